"""Peers of the learner, each a whole PPO loop in a process of its own: for `nerfbot bench learn`.

``python peers_learn.py NAME WORLDS`` builds and warms one peer and answers as peers_grid.py does, in
environment steps learned from per second. Both have two hidden layers of 256 for the policy and as many for
the critic, 32 steps a rollout, 3 epochs, 4 minibatches, and observations of 192 numbers; nothing here imports
nerfbot.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time

STEPS, EPOCHS, MINIBATCHES = 32, 3, 4


def sb3(worlds):
    """Stable-baselines3 on worlds that cost it nothing: noise for observations, made ahead."""
    import gymnasium
    import numpy as np
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecEnv

    class Nothing(VecEnv):
        def __init__(self):
            space = gymnasium.spaces.Box(0.0, 1.0, (192,), np.float32)
            super().__init__(worlds, space, gymnasium.spaces.Discrete(5))
            rng = np.random.default_rng(0)
            self.observations = rng.random((16, worlds, 192), np.float32)
            self.rewards = rng.random((16, worlds)).astype(np.float32)
            self.done, self.infos = np.zeros(worlds, bool), [{} for _ in range(worlds)]
            self.step_number = 0

        def reset(self):
            return self.observations[0]

        def step_async(self, actions):
            self.step_number = (self.step_number + 1) % 16

        def step_wait(self):
            return self.observations[self.step_number], self.rewards[self.step_number], self.done, self.infos

        def close(self):
            pass

        def get_attr(self, name, indices=None):
            return [None] * worlds

        def set_attr(self, name, value, indices=None):
            pass

        def env_method(self, name, *arguments, indices=None, **keywords):
            return [None] * worlds

        def env_is_wrapped(self, wrapper, indices=None):
            return [False] * worlds

    layers = {"pi": [256, 256], "vf": [256, 256]}
    model = PPO(
        "MlpPolicy",
        Nothing(),
        n_steps=STEPS,
        batch_size=worlds * STEPS // MINIBATCHES,
        n_epochs=EPOCHS,
        policy_kwargs={"net_arch": layers},
        device="cpu",
    )

    def run():
        model.learn(worlds * STEPS)
        return worlds * STEPS

    return run


def navix(worlds):
    """NAVIX's own PPO on its Empty-8x8, the symbolic observation flattened; an update is compiled whole."""
    import flax.linen as nn
    import jax
    import jax.numpy as jnp
    import navix
    import optax
    from navix.agents.models import ActorCritic, MLPEncoder
    from navix.agents.ppo import PPO, PPOHparams, TrainingState

    env = navix.make("Navix-Empty-8x8-v0")

    class Flat(nn.Module):
        @nn.compact
        def __call__(self, x):
            return MLPEncoder(256)(jnp.ravel(x).astype(jnp.float32))

    network = ActorCritic(int(env.action_space.n), actor_encoder=Flat(), critic_encoder=Flat())
    numbers = PPOHparams(
        num_envs=worlds, num_steps=STEPS, num_minibatches=MINIBATCHES, num_epochs=EPOCHS, anneal_lr=False
    )
    agent = PPO(numbers, network, env)
    key = jax.random.PRNGKey(0)
    begun = jax.vmap(env.reset)(jax.random.split(key, worlds))
    params = network.init(key, begun.observation[0])
    state = TrainingState.create(
        apply_fn=jax.vmap(network.apply, in_axes=(None, 0)),
        params=params,
        tx=optax.chain(
            optax.clip_by_global_norm(0.5), optax.inject_hyperparams(optax.adam)(learning_rate=3e-4, eps=1e-5)
        ),
        env_state=begun,
        rng=key,
        frames=jnp.asarray(0, dtype=jnp.int32),
        epoch=jnp.asarray(0, dtype=jnp.int32),
        policy=jax.vmap(lambda p, x: network.apply(p, x, method="policy"), in_axes=(None, 0)),
        value_fn=jax.vmap(lambda p, x: network.apply(p, x, method="value"), in_axes=(None, 0)),
    )
    update = jax.jit(lambda state: agent.update(state, None)[0])
    latest = {"state": jax.block_until_ready(update(state))}

    def run():
        latest["state"] = jax.block_until_ready(update(latest["state"]))
        return worlds * STEPS

    return run


PEERS = {"sb3": (sb3, "stable-baselines3"), "navix": (navix, "navix")}


def main():
    """Serve one peer on standard input and output."""
    name, worlds = sys.argv[1], int(sys.argv[2])
    build, package = PEERS[name]
    try:
        version = importlib.metadata.version(package)
        run = build(worlds)
        run()
    except Exception as problem:
        print(json.dumps({"missing": f"{type(problem).__name__}: {problem}"}), flush=True)
        return
    print(json.dumps({"peer": f"{package} {version} PPO"}), flush=True)
    for line in sys.stdin:
        seconds, steps, began = float(line), 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            steps += run()
        print(json.dumps(steps / (time.perf_counter() - began)), flush=True)


if __name__ == "__main__":
    main()
