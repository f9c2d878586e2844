"""Part of `nerfbot bench learn`: training on the rover in PyBullet with two processes beside one.

Both train as the preset `rover-room` does, on rollouts of the same size, in turn and in short chunks. What
else a machine does can only slow a chunk down, so each is judged by the fastest of its chunks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from nerfbot.agents.learner import Learner, Seconds
from nerfbot.bench.figures import Baseline, Figure
from nerfbot.experiment.protocol.config import RobotTrainingConfig, load_experiment
from nerfbot.experiment.runs.robot_training import env_keywords, robots
from nerfbot.experiment.runs.rover_evaluation import one_thread

PRESET, SIZE, ROUNDS = "rover-room", 512, 16
"""What is trained, actions in a rollout, and chunks of each."""


@dataclass
class Training:
    """A learner, and of each of its chunks: actions/s, actions/s of the time in the environment alone, and
    the learner's share of the time.
    """

    learner: Learner
    rates: list[float] = field(default_factory=list)
    environment: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def chunk(self) -> None:
        """One rollout and one update."""
        learner = self.learner
        learner.seconds = spent = Seconds()
        learner.iterate()
        self.rates.append(learner.rollout.size / spent.total)
        self.environment.append(learner.rollout.size / spent.environment)
        self.shares.append(1.0 - spent.environment / spent.total)

    @property
    def share(self) -> float:
        """The learner's, in the fastest chunk."""
        return self.shares[self.rates.index(max(self.rates))]


def figures(progress: Callable[[str], None] = lambda _: None) -> list[Figure]:
    """Train on one process and on two, in turn."""
    config = load_experiment(PRESET, on_robot=True)
    assert isinstance(config, RobotTrainingConfig)
    with one_thread(), contextlib.ExitStack() as stack:
        progress("starting robots")
        one, two = (_training(stack, config, processes) for processes in (1, 2))
        for number in range(ROUNDS):
            progress(f"robots, round {number + 1} of {ROUNDS}")
            one.chunk()
            two.chunk()
    alone, both = max(one.rates), max(two.rates)
    against = Baseline("the same with one process", alone * config.hold)
    waiting = Baseline("the same with one process", max(one.environment) * config.hold)
    return [
        Figure("sim_steps_per_s", both * config.hold, "1/s", "higher", against),
        Figure("sim_two_process_ratio", both / alone, "1", "higher", against),
        Figure(
            "sim_two_process_environment_ratio",
            max(two.environment) / max(one.environment),
            "1",
            "higher",
            waiting,
        ),
        Figure("sim_learner_share", two.share, "1", "lower"),
    ]


def _training(stack: contextlib.ExitStack, config: RobotTrainingConfig, processes: int) -> Training:
    """A learner on so many processes with a crew each, warmed up."""
    config = config.model_copy(update={"processes": processes})
    batch = stack.enter_context(robots(config, env_keywords(config, "powers")))
    ppo = config.ppo.model_copy(update={"rollout_steps": SIZE // (processes * config.crew)})
    learner = Learner(batch, config.network, ppo, 1 << 40)
    learner.iterate()
    return Training(learner)
