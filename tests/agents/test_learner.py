"""The loop: who acts, what takes part in learning, and what stops a run."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from nerfbot.agents.explorers import Bandit, Explorer, load_explorer
from nerfbot.agents.hooks import Bonus
from nerfbot.agents.learner import Learner
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.errors import InvalidCommand
from tests.agents.toys import SMALL, Corridor, Scripted, corridor, ppo, scripted

STEPS, WORLDS, MOVES = 6, 4, 2
POWERED = [(1, 0), (2, 0), (4, 2), (0, 3), (5, 1)]


def powered_mask(after: bool = False) -> np.ndarray:
    mask = np.ones((STEPS + 1, WORLDS, 4), bool)
    mask[:, :, MOVES:] = False
    for step, world in POWERED:
        mask[step, world, MOVES:] = True
    mask[STEPS, 3, MOVES:] = after
    return mask


def explored(env: Scripted, **changes: Any) -> Learner:
    return Learner(TensorVectorEnv(env, moves=MOVES), SMALL, ppo(**changes), 100, explorer=Explorer())


def collected(learner: Learner) -> Learner:
    learner.collect()
    learner.process_rewards()
    return learner


def test_the_explorer_acts_where_a_power_is_open_and_the_policy_everywhere_else() -> None:
    env = scripted(mask=powered_mask())
    rollout = collected(explored(env)).rollout
    powered = {(int(s), int(w)) for s, w in rollout.powered.nonzero()}
    assert powered == set(POWERED)
    taken = np.stack(env.taken)
    for step in range(STEPS):
        for world in range(WORLDS):
            uses = taken[step, world] >= MOVES
            assert uses == ((step, world) in powered)
            if not uses:
                assert taken[step, world] == rollout.action[step, world]
    assert np.array_equal(taken, rollout.executed)


def test_a_powered_step_ends_the_chain_before_it_bootstrapped_by_the_critic() -> None:
    learner = collected(explored(scripted(mask=powered_mask(after=True)), gamma=0.9, lam=0.8))
    rollout = learner.rollout
    reward, value = rollout.rewards["task"], rollout.values["task"]
    assert rollout.advantages["task"][0, 0] == pytest.approx(
        float(reward[0, 0] + 0.9 * value[1, 0] - value[0, 0])
    )
    # World 3 has a power open after the rollout's last step.
    with torch.no_grad():
        after = learner.network(learner.env.observation).values["task"][3]
    wanted = reward[5, 3] + 0.9 * after - value[5, 3]
    assert rollout.advantages["task"][5, 3] == pytest.approx(float(wanted), rel=1e-4)
    # And the chain of the step before does reach across an unpowered step.
    delta = reward[3, 3] + 0.9 * value[4, 3] - value[3, 3]
    following = rollout.advantages["task"][4, 3]
    assert rollout.advantages["task"][3, 3] == pytest.approx(float(delta + 0.72 * following), rel=1e-4)


@pytest.mark.parametrize("what", ["reward", "action", "log_prob"])
def test_a_powered_step_takes_no_part_in_the_loss(what: str) -> None:
    def changed(powered: bool) -> list[torch.Tensor]:
        env = scripted(mask=powered_mask())
        rows = np.zeros((STEPS, WORLDS), bool)
        for step, world in POWERED if powered else [(3, 0)]:
            rows[step, world] = True
        if what == "reward":
            env.reward[rows] = 1e3
        learner = collected(explored(env, normalise_rewards=True))
        rollout = learner.rollout
        if what == "action":
            rollout.action[torch.from_numpy(rows)] = 1 - rollout.action[torch.from_numpy(rows)]
        if what == "log_prob":
            rollout.log_prob[torch.from_numpy(rows)] = -3.0
        learner.ppo.update(rollout)
        return [p.detach() for p in learner.network.parameters()]

    plain = collected(explored(scripted(mask=powered_mask()), normalise_rewards=True))
    plain.ppo.update(plain.rollout)
    same = [p.detach() for p in plain.network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(same, changed(True), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(same, changed(False), strict=True))


@pytest.mark.parametrize("minibatches", [1, 2, 4])
def test_critics_with_a_body_of_their_own_judge_every_step_of_a_rollout(minibatches: int) -> None:
    network = NetworkConfig(hidden=(16,), separate=True)
    learner = Learner(corridor(), network, ppo(minibatches=minibatches), 1000, bonus=Bonus("novelty"))
    learner.collect()
    rollout = learner.rollout
    for step in range(rollout.steps):
        with torch.no_grad():
            values = learner.network({name: part[step] for name, part in rollout.observation.items()}).values
        assert set(values) == {"task", "bonus"}
        for name, value in values.items():
            torch.testing.assert_close(rollout.values[name][step], value)


def test_the_policy_has_no_outputs_for_powers_that_are_the_explorers() -> None:
    learner = Learner(corridor(), SMALL, ppo(), 100, explorer=Explorer())
    assert learner.network.head.outputs == Corridor.MOVES
    assert learner.policy().action_space.n == Corridor.MOVES
    alone = Learner(TensorVectorEnv(Corridor()), SMALL, ppo(), 100)
    assert alone.network.head.outputs == 5


def test_a_policy_that_uses_powers_itself_takes_them_only_where_they_are_open() -> None:
    env = scripted(mask=powered_mask(), steps=STEPS)
    learner = Learner(TensorVectorEnv(env, moves=MOVES), SMALL, ppo(), 100)
    learner.collect()
    allowed = np.take_along_axis(powered_mask()[:STEPS], np.stack(env.taken)[..., None], 2)
    assert allowed.all()
    assert not learner.rollout.powered.any()
    assert learner.rollout.mask is not None
    assert np.array_equal(learner.rollout.mask, powered_mask()[:STEPS])


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize(
    ("where", "bad", "says"),
    [
        *(
            ("observation", bad, f"observation: {bad} in world 2, step 3")
            for bad in (np.nan, np.inf, -np.inf)
        ),
        *(("reward", bad, f"reward 'task': {bad} in world 2, step 3") for bad in (np.nan, np.inf, -np.inf)),
        ("last", np.nan, "value 'task' of what followed: nan in world 1, step 5"),
        ("final", np.nan, "value 'task' of what followed: nan in world 0, step 2"),
    ],
)
def test_a_number_that_is_none_stops_the_run_with_one_line_and_spares_the_network(
    where: str, bad: float, says: str, normalised: bool
) -> None:
    truncated = np.zeros((STEPS, WORLDS), bool)
    truncated[2, 0] = True
    env = scripted(truncated=truncated)
    array, place = {
        "observation": (env.observation, (3, 2, 1)),
        "last": (env.observation, (STEPS, 1, 0)),
        "reward": (env.reward, (3, 2)),
        "final": (env.final, (2, 0, 2)),
    }[where]
    array[place] = bad
    config = ppo(normalise_observations=normalised, normalise_rewards=normalised)
    learner = Learner(TensorVectorEnv(env), SMALL, config, 100)
    before = copy.deepcopy(learner.network.state_dict())
    with pytest.raises(InvalidCommand, match="must be finite") as caught:
        learner.iterate()
    assert "\n" not in str(caught.value)
    if not normalised:  # a running norm spreads it to all worlds
        assert says in str(caught.value)
    assert all(torch.equal(before[name], value) for name, value in learner.network.state_dict().items())


def test_learning_that_diverges_stops_with_one_line() -> None:
    env = scripted()
    learner = Learner(TensorVectorEnv(env), SMALL, ppo(learning_rate=1e30, max_gradient=1e30, epochs=20), 100)
    with pytest.raises(InvalidCommand, match="learning has diverged") as caught:
        learner.iterate()
    assert "\n" not in str(caught.value)


def test_the_bonus_falls_on_a_straight_line_and_has_a_critic_of_its_own() -> None:
    learner = Learner(corridor(), SMALL, ppo(), 8 * 6 * 10, bonus=Bonus("novelty", weight=0.5, until=0.5))
    weights = []
    for _ in range(10):
        learner.iterate()
        weights.append(learner.rollout.weights["bonus"])
    assert weights == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1, 0, 0, 0, 0, 0])
    assert learner.network.critics == ("task", "bonus")
    assert learner.rollout.rewards["bonus"].min() > 0
    assert set(learner.rollout.rewards["task"].unique().tolist()) <= {0.0, 1.0}


def test_a_bonus_whose_weight_is_0_does_not_change_what_the_policy_is_taught() -> None:
    learner = collected(Learner(corridor(), SMALL, ppo(), 100, bonus=Bonus(weight=0.0)))
    batch = next(learner.rollout.minibatches(1, learner.generator, whole_worlds=False))
    advantages = learner.rollout.advantages["task"].flatten()
    assert torch.equal(batch.advantage.sort().values, advantages.sort().values)


def test_the_environments_info_is_handed_on_where_an_episode_ended() -> None:
    heard: list[Any] = []
    learner = Learner(corridor(), SMALL, ppo(), 100, on_episodes=heard.append)
    for _ in range(3):
        learner.iterate()
    assert heard
    assert all("final_obs" in info for info in heard)


def test_steps_are_counted_with_the_power_steps_and_end_the_run() -> None:
    learner = Learner(corridor(), SMALL, ppo(), 96, explorer=Explorer())
    assert learner.remaining == 1.0
    assert learner.iterate()["steps"] == 48
    assert (learner.remaining, learner.done) == (0.5, False)
    learner.iterate()
    assert (learner.remaining, learner.done) == (0.0, True)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Learner(TensorVectorEnv(scripted()), SMALL, ppo(), 9, explorer=Explorer()),
            "explorer: the environment",
        ),
        (lambda: Bonus(weight=-1.0), "bonus.weight = -1.0"),
        (lambda: Bonus(until=0.0), "bonus.until = 0.0"),
        (lambda: Learner(corridor(), SMALL, ppo(), 9, bonus=Bonus("joy")), "signal: unknown 'joy'"),
        (
            lambda: Learner(corridor(), SMALL, ppo(), 9, explorer=Bandit(), signal="joy"),
            "signal: unknown 'joy'",
        ),
        (lambda: load_explorer("columbus"), "explorer: unknown 'columbus'"),
        (lambda: load_explorer("bandit", rat=0.1), "explorer 'bandit': .*'rat'"),
        (lambda: load_explorer("policy", network={"kind": "mlp", "hiden": [3]}), "network.hiden"),
        (
            lambda: Learner(corridor(), SMALL, ppo(), 9, explorer=load_explorer("policy")),
            "one grid observation",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(make: Any, says: str) -> None:
    with pytest.raises(InvalidCommand, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_signal_of_contacts_is_refused_where_the_environment_tells_none() -> None:
    learner = Learner(
        TensorVectorEnv(scripted(mask=powered_mask()), moves=MOVES), SMALL, ppo(), 100, explorer=Bandit()
    )
    with pytest.raises(InvalidCommand, match="FirstTouch: the environment tells no contacts"):
        learner.iterate()


def test_the_same_seed_gives_the_same_curve_and_another_seed_another() -> None:
    def curve(seed: int) -> list[dict[str, float]]:
        learner = Learner(corridor(), SMALL, ppo(), 480, explorer=Bandit(), bonus=Bonus(), seed=seed)
        torch.manual_seed(int(np.random.default_rng().integers(2**31)))  # the global generator has no say
        return [learner.iterate() for _ in range(5)]

    assert curve(1) == curve(1)
    assert curve(1) != curve(2)


def test_a_network_that_predicts_rewards_learns_to_and_the_surprise_signal_reads_it() -> None:
    network = NetworkConfig(hidden=(32,), predicts_reward=True)
    env = Corridor(32)
    learner = Learner(
        TensorVectorEnv(env, moves=Corridor.MOVES),
        network,
        ppo(learning_rate=1e-2),
        10**6,
        Explorer(),
        "reward-surprise",
    )
    errors = []
    for _ in range(60):
        learner.iterate()
        rollout = learner.rollout
        assert rollout.predicted_reward is not None
        free = ~rollout.powered
        errors.append(float((rollout.predicted_reward - rollout.rewards["task"])[free].square().mean()))
    chance = float(rollout.rewards["task"][free].var())
    assert errors[-1] < 0.2 * chance


def test_a_signal_that_needs_predictions_is_refused_with_a_network_that_makes_none() -> None:
    with pytest.raises(InvalidCommand, match="reward-surprise: the network predicts no rewards"):
        Learner(TensorVectorEnv(Corridor(4), moves=3), SMALL, ppo(), 100, Explorer(), "reward-surprise")
    with pytest.raises(InvalidCommand, match="reward-surprise: the network predicts no rewards"):
        Learner(TensorVectorEnv(Corridor(4, powers=False)), SMALL, ppo(), 100, bonus=Bonus("reward-surprise"))
    predicts = NetworkConfig(hidden=(8,), predicts_reward=True)
    Learner(TensorVectorEnv(Corridor(4)), predicts, ppo(), 100, bonus=Bonus("reward-surprise")).iterate()
    with pytest.raises(InvalidCommand, match="promise: needs a planning network"):
        Learner(TensorVectorEnv(Corridor(4), moves=3), SMALL, ppo(), 100, Explorer(), "promise")
