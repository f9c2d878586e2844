"""Peers of the grid, each stepped with random actions in a process of its own: for `nerfbot bench grid`.

``python peers_grid.py NAME WORLDS`` builds and warms one peer, prints a JSON line with its version, and then,
for every line of standard input (seconds), steps for about that long and prints the steps per second as a
JSON line. Where the peer cannot be had, the first line says so and the process ends. `make bench-peers`
installs the peers; nothing here imports nerfbot.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time

BLOCK = 64
"""Steps of prepared random actions, taken in turn."""


def navix(worlds):
    """8x8 worlds of NAVIX with its full symbolic observation, a jitted scan of the batch."""
    import jax
    import navix

    env = navix.make("Navix-Empty-8x8-v0")  # its steps begin the next episode by themselves
    keys = jax.random.split(jax.random.PRNGKey(0), worlds)
    state = jax.jit(jax.vmap(env.reset))(keys)
    return scanned(jax.vmap(env.step), state, worlds, env.action_space.n)


def xland(worlds):
    """9x9 worlds of xland-minigrid, a jitted scan of the batch."""
    import jax
    import xminigrid
    from xminigrid.wrappers import GymAutoResetWrapper

    env, params = xminigrid.make("MiniGrid-Empty-8x8")
    env = GymAutoResetWrapper(env)
    keys = jax.random.split(jax.random.PRNGKey(0), worlds)
    state = jax.jit(jax.vmap(lambda key: env.reset(params, key)))(keys)
    step = jax.vmap(lambda state, action: env.step(params, state, action))
    return scanned(step, state, worlds, env.num_actions(params))


def scanned(step, state, worlds, action_count):
    """Steps of a batch in JAX: a block of prepared actions, compiled as one scan."""
    import jax

    @jax.jit
    def block(state, actions):
        return jax.lax.scan(lambda state, row: (step(state, row), None), state, actions)[0]

    actions = jax.random.randint(jax.random.PRNGKey(1), (BLOCK, worlds), 0, int(action_count))
    carry = {"state": jax.block_until_ready(block(state, actions))}

    def run():
        carry["state"] = jax.block_until_ready(block(carry["state"], actions))
        return BLOCK * worlds

    return run


def envpool(worlds):
    """EnvPool's MiniGrid in C++, one thread a core; its observation is the 7x7 view."""
    import os

    import envpool
    import numpy as np

    cores = len(os.sched_getaffinity(0))
    env = envpool.make_gymnasium("MiniGrid-Empty-8x8-v0", num_envs=worlds, num_threads=cores)
    env.reset()
    actions = np.random.default_rng(0).integers(0, env.action_space.n, (BLOCK, worlds)).astype(np.int32)

    def run():
        for row in actions:
            env.step(row)
        return BLOCK * worlds

    return run


def minigrid(worlds):
    """One MiniGrid world through `gymnasium.make` as it comes; its observation is the 7x7 view."""
    import gymnasium
    import minigrid  # noqa: F401 -- registers the environments
    import numpy as np

    if worlds != 1:
        raise ValueError(f"one world at a time, not {worlds}")
    env = gymnasium.make("MiniGrid-Empty-8x8-v0")
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, env.action_space.n, 4096).tolist()

    def run():
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    return run


PEERS = {
    "navix": (navix, "navix"),
    "xland-minigrid": (xland, "xminigrid"),
    "envpool": (envpool, "envpool"),
    "minigrid": (minigrid, "minigrid"),
}


def main():
    name, worlds = sys.argv[1], int(sys.argv[2])
    build, package = PEERS[name]
    try:
        version = importlib.metadata.version(package)
        run = build(worlds)
    except Exception as error:
        print(json.dumps({"missing": f"{type(error).__name__}: {error}".splitlines()[0]}), flush=True)
        return
    run()
    print(json.dumps({"peer": f"{package} {version}"}), flush=True)
    for line in sys.stdin:
        steps, began = 0, time.perf_counter()
        while time.perf_counter() - began < float(line):
            steps += run()
        print(json.dumps(steps / (time.perf_counter() - began)), flush=True)


if __name__ == "__main__":
    main()
