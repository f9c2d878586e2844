"""`nerfbot bench learn`: whole-loop learning steps a second, beside the bare passes of the network and peers.

The bare passes are what no loop can do without: the same network's forward passes of a rollout, and forward
and backward of every minibatch, on data that already lies there. Ours, the bare passes and the peers run in
turn, so that a machine whose speed changes slows all of them alike. Training on the rover in PyBullet is
measured in `nerfbot.bench.learn_sim`.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import torch

from nerfbot.agents.learner import Learner
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.ppo import PPOConfig
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.bench.figures import Baseline, Figure
from nerfbot.bench.peers import Peer
from nerfbot.experiment.protocol.config import load_experiment

WORLDS, STEPS, EPOCHS, MINIBATCHES = 512, 32, 3, 4
MANY = 8192
"""Worlds that are measured beside `WORLDS` on a GPU, which 512 cannot keep busy."""

ROUNDS, SECONDS = 5, 4.0
"""Turns, and about how long a peer runs in each, s."""

ROOM = ("########", *(["#......#"] * 6), "########")
"""8x8 cells, so that an observation has 192 numbers."""

PRECISION = "bfloat16"
"""Of the matrix products; weights, losses and optimiser are float32. `mlp_steps_per_s_float32` is without."""

MLP = NetworkConfig(kind="mlp", hidden=(256, 256), separate=True)
RESULTS = "coin-in-corner"
"""The experiment whose network is measured as "conv": the results were made with it."""

PEERS = {"mlp_ratio_sb3": "sb3", "mlp_ratio_navix": "navix"}
SCRIPT = "peers_learn.py"


@dataclass
class Loop:
    """A learner and the bare passes of its network; `chunk` measures both, one after the other."""

    learner: Learner
    rates: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def chunk(self) -> None:
        """Two iterations of the loop, the bare passes of as many."""
        learner = self.learner
        began = time.perf_counter()
        for _ in range(2):
            learner.iterate()
        looped = time.perf_counter() - began
        bare = sum(_bare_passes(learner) for _ in range(2))
        self.rates.append(2 * learner.rollout.size / looped)
        self.shares.append(bare / looped)

    @property
    def rate(self) -> float:
        """Median, steps/s."""
        return statistics.median(self.rates)

    def figures(self, name: str) -> Iterator[Figure]:
        """Rate, share of the bare passes, and where the rest went."""
        share = statistics.median(self.shares)
        against = Baseline("bare passes alone", self.rate / share)
        yield Figure(f"{name}_steps_per_s", self.rate, "1/s", "higher", against)
        yield Figure(f"{name}_bare_ratio", share, "1", "higher", against)
        seconds, steps = self.learner.seconds, max(1, self.learner.steps)
        spent = seconds.total / steps
        for part in ("environment", "acting", "updating"):
            time_share = getattr(seconds, part) / steps / spent
            yield Figure(f"{name}_share_{part}", time_share, "1", "lower")


def figures(progress: Callable[[str], None] = lambda _: None) -> list[Figure]:
    """Measure ours, the bare passes, and whatever peers are installed."""
    progress("building worlds")
    mlp, exact, conv = _mlp(PRECISION), _mlp("float32"), _planning()
    many = _mlp(PRECISION, MANY) if _device() == "cuda" else None
    loops = [loop for loop in (mlp, exact, conv, many) if loop is not None]
    for loop in loops:
        loop.learner.iterate()
    with contextlib.ExitStack() as stack:
        peers: list[tuple[str, Peer, list[float]]] = []
        for ratio, name in PEERS.items():
            progress(f"starting {name}")
            peer = stack.enter_context(Peer(SCRIPT, name, WORLDS, own=name == "sb3"))
            if peer.title:
                peers.append((ratio, peer, []))
        for number in range(ROUNDS):
            progress(f"round {number + 1} of {ROUNDS}")
            for _, peer, rates in peers:
                rates.append(peer.rate(SECONDS))
            for loop in loops:
                loop.chunk()
        measured = [*mlp.figures("mlp"), *conv.figures("conv")]
        against = Baseline("with bfloat16 products", mlp.rate)
        measured.append(Figure("mlp_steps_per_s_float32", exact.rate, "1/s", "higher", against))
        if many is not None:
            measured += many.figures(f"mlp_{MANY}")
        for ratio, peer, rates in peers:
            against = Baseline(str(peer.title), statistics.median(rates))
            both = zip(mlp.rates, rates, strict=True)
            measured.append(Figure(ratio, statistics.median(a / b for a, b in both), "1", "higher", against))
    if find_spec("pybullet") is not None:
        from nerfbot.bench import learn_sim

        measured += learn_sim.figures(progress)
    return measured


def _learner(env: Any, network: NetworkConfig, precision: Any, only: tuple[str, ...]) -> Loop:
    config = PPOConfig(
        rollout_steps=STEPS, epochs=EPOCHS, minibatches=MINIBATCHES, precision=precision, learning_rate=3e-4
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Loop(Learner(TensorVectorEnv(env, device, only=only), network, config, 1 << 40))


def _mlp(precision: str, worlds: int = WORLDS) -> Loop:
    from nerfbot.course.parser import parse
    from nerfbot.grid.vector_env import GridVectorEnv

    rows = list(ROOM)
    rows[1], rows[6] = "#S.....#", "#.....C#"
    text = (
        "name: room\ncell: 1.0\nlegend: {'#': wall, S: {kind: start}, C: {kind: coin}}\n"
        "task: {goal: {kind: coin}, horizon: 64}\nmap: |\n" + "".join(f"  {row}\n" for row in rows)
    )
    env = GridVectorEnv(worlds, copy=False, seed=0, course=parse(text).draw(), powers=(), device=_device())
    return _learner(env, MLP, precision, ("grid",))


def _planning() -> Loop:
    from nerfbot.grid.vector_env import GridVectorEnv

    env = GridVectorEnv(WORLDS, copy=False, seed=0, course=RESULTS, powers=(), levels=1024, device=_device())
    return _learner(env, load_experiment(RESULTS).network, "float32", ("grid",))


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _bare_passes(learner: Learner) -> float:
    """Seconds of a rollout's forward passes and an update's forward and backward passes, nothing between.

    A network that predicts rewards does so in the update's.
    """
    rollout, network, config = learner.rollout, learner.network, learner.config
    device = learner.env.device
    steps = [
        {name: part[step] for name, part in rollout.observation.items()} for step in range(rollout.steps)
    ]
    size = rollout.size // config.minibatches
    flat = {name: part.flatten(0, 1) for name, part in rollout.observation.items()}
    batches = [
        ({name: part[some].clone() for name, part in flat.items()}, rollout.action.flatten()[some].clone())
        for some in (slice(number * size, (number + 1) * size) for number in range(config.minibatches))
    ]
    _wait(device)
    began = time.perf_counter()
    with torch.inference_mode(), learner.ppo.autocast(device):
        for observation in steps:
            network(observation, with_values=False)
        if network.critic is not None:
            for observation, _ in batches:
                network.values(observation)
    for _ in range(config.epochs):
        for observation, action in batches:
            with learner.ppo.autocast(device):
                output = network(observation)
            total = output.policy.float().sum() + sum(value.sum() for value in output.values.values())
            if network.config.predicts_reward:
                total = total + network.predicted_reward(observation, action, output.features).nansum()
            network.zero_grad(set_to_none=True)
            total.backward()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
