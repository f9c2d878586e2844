import pytest

from nerfbot.agents.learner import Learner
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.ppo import PPOConfig
from nerfbot.course.parser import parse
from nerfbot.experiment.protocol.config import ExperimentConfig
from nerfbot.experiment.protocol.evaluation import evaluate, grid_env, policy_view
from nerfbot.grid.levels import LevelSet

CORRIDOR = """
name: corridor
cell: 1.0
legend: {{'#': wall, S: {{kind: start}}, C: {{kind: coin}}, x: no_go}}
task: {{goal: {{kind: coin}}, horizon: 32}}
map: |
  #######
  #S{between}C#
  #######
"""


@pytest.mark.parametrize(("between", "harm"), [("...", 0.0), (".x.", 1.0)])
def test_harm_is_the_share_of_episodes_in_which_something_was_harmed(between, harm):
    config = ExperimentConfig(name="corridor", course="corridor", network=NetworkConfig(hidden=(8,)))
    levels = LevelSet.of([parse(CORRIDOR.format(between=between)).draw()])
    batch = policy_view(config, grid_env(config, levels, 1, 0))
    policy = Learner(batch, config.network, PPOConfig(rollout_steps=4), 4).policy()
    batch.close()
    contacts = evaluate(policy, config, levels, sample=True, seed=3)
    assert contacts.success == 1.0
    assert contacts.harm == harm


def test_a_recurrent_policy_begins_every_episode_with_an_empty_hidden_state():
    config = ExperimentConfig(
        name="corridor", course="corridor", network=NetworkConfig(hidden=(8,), memory=4)
    )
    levels = LevelSet.of([parse(CORRIDOR.format(between=between)).draw() for between in ("...", "..x")])
    env = policy_view(config, grid_env(config, levels, 2, 0))
    policy = Learner(env, config.network, PPOConfig(rollout_steps=4), 4).policy()
    env.close()
    reset, done = policy.reset, []

    def checked(worlds=None):
        reset(worlds)
        if worlds is not None and worlds.any():
            done.append(worlds)
            assert (policy.hidden_state[worlds] == 0).all()
            assert (policy.hidden_state[~worlds] != 0).any() or worlds.all()

    policy.reset = checked
    evaluate(policy, config, levels, sample=True, seed=3)
    assert done
