"""`nerfbot bench grid`: steps a second of the gridworld with random actions, beside its peers in one run.

Every step takes in a row of random actions (drawn ahead, their assignment is timed) and writes the whole
observation of every world. Ours and the peers run short chunks in turn, so that a machine whose speed changes
slows all of them; a rate is the median of its chunks, a ratio the median over chunks that were neighbours.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nerfbot.bench.figures import Baseline, Figure
from nerfbot.bench.peers import Peer
from nerfbot.limits import AXES
from nerfbot.powers import EDITS

COURSE = "coin-in-corner"
"""9x9 cells, a quarter of them walls, a new level and start in every episode."""

WORLDS, MANY = 8192, 100_000
SIZES = (2048, 8192, 32768, MANY)
"""Numbers of worlds among which the best rate is sought."""

POWERED = {"kind": "occasional", "probability": 1.0, "start": [4.0, 24.0], "length": [22.0, 30.0]}
"""Grants in every episode, by itself for the lifts and for the edits: in well over 30 % of the steps."""

BLOCK = 61
"""Steps of random actions drawn ahead, taken in turn: no divisor of the horizon."""

ROUNDS, SECONDS = 7, 0.4
"""Chunks of each rate, and about how long one takes, s."""

PEERS = {"ratio_navix": "navix", "ratio_envpool": "envpool", "ratio_xland": "xland-minigrid"}
SCRIPT = "peers_grid.py"


@dataclass
class Runner:
    """Something that steps: `run` does a block of steps and says how many world steps they were."""

    run: Callable[[], int]
    rates: list[float] = field(default_factory=list)

    def chunk(self) -> None:
        """Run for about `SECONDS` and keep the rate."""
        steps, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            steps += self.run()
        self.rates.append(steps / (time.perf_counter() - began))

    @property
    def rate(self) -> float:
        """Median of the chunks, steps/s."""
        return statistics.median(self.rates)


def figures(progress: Callable[[str], None] = lambda _: None) -> list[Figure]:
    """Measure ours and whatever peers are installed."""
    measured = [*_batched(progress), *_sizes(progress), *_single(progress)]
    if _cuda():
        measured += _on_cuda(progress)
    return measured


def _batched(progress: Callable[[str], None]) -> Iterator[Figure]:
    """The rates at 8,192 worlds, and their ratios to the peers'."""
    progress("building worlds")
    plain, powered = Runner(_stepper(WORLDS)), _Powered(WORLDS)
    nerfed = Runner(_stepper(WORLDS, nerf="rover-weak", powers=(*AXES, *EDITS), schedule=POWERED))
    vector = Runner(_vector_stepper(WORLDS))
    with contextlib.ExitStack() as stack:
        peers: list[tuple[str, Peer, list[float]]] = []
        for ratio, name in PEERS.items():
            progress(f"starting {name}")
            peer = stack.enter_context(Peer(SCRIPT, name, WORLDS))
            if peer.title:
                peers.append((ratio, peer, []))
        for number in range(ROUNDS):
            progress(f"{WORLDS:,} worlds, round {number + 1} of {ROUNDS}")
            for _, peer, rates in peers:
                rates.append(peer.rate(SECONDS))
            for runner in (plain, powered, nerfed, vector):
                runner.chunk()
        peers = [entry for entry in peers if np.isfinite(entry[2]).all()]  # the others ended on the way
        best = max(((statistics.median(rates), peer.title) for _, peer, rates in peers), default=None)
        beside = Baseline(str(best[1]), best[0]) if best else None
        yield Figure("steps_per_s_plain", plain.rate, "1/s", "higher", beside)
        yield Figure("steps_per_s_powers", powered.rate, "1/s", "higher", beside)
        yield Figure("granted_share", powered.share, "1", "higher", Baseline("share asked for", 0.3))
        yield Figure("steps_per_s_powers_nerfed", nerfed.rate, "1/s", "higher", beside)
        yield Figure("steps_per_s_vector_env", vector.rate, "1/s", "higher", beside)
        for ratio, peer, rates in peers:
            against = Baseline(str(peer.title), statistics.median(rates))
            yield Figure(ratio, _ratio(plain.rates, rates), "1", "higher", against)


def _sizes(progress: Callable[[str], None], device: str = "cpu", suffix: str = "") -> Iterator[Figure]:
    """The rate with very many worlds, as a share of the best."""
    runners = {count: Runner(_stepper(count, device=device)) for count in SIZES}
    for number in range(ROUNDS):
        for count, runner in runners.items():
            progress(f"{count:,} worlds, round {number + 1} of {ROUNDS}")
            runner.chunk()
    best = max(SIZES, key=lambda count: runners[count].rate)
    against = Baseline(f"best rate, {best:,} worlds", runners[best].rate)
    yield Figure(f"steps_per_s_100k{suffix}", runners[MANY].rate, "1/s", "higher", against)
    share = runners[MANY].rate / runners[best].rate
    yield Figure(f"share_of_best_100k{suffix}", share, "1", "higher", against)


def _single(progress: Callable[[str], None]) -> Iterator[Figure]:
    """One world through `gymnasium.make`, beside MiniGrid's."""
    progress("one world")
    ours, rates = Runner(_single_stepper()), []
    with Peer(SCRIPT, "minigrid", 1) as peer:
        for _ in range(ROUNDS):
            ours.chunk()
            if peer.title:
                rates.append(peer.rate(SECONDS))
        against = Baseline(peer.title, statistics.median(rates)) if peer.title else None
        yield Figure("steps_per_s_single", ours.rate, "1/s", "higher", against)
        if peer.title:
            yield Figure("ratio_minigrid_single", _ratio(ours.rates, rates), "1", "higher", against)


def _on_cuda(progress: Callable[[str], None]) -> Iterator[Figure]:
    """The batched rates on a GPU, the actions drawn ahead in its own memory."""
    progress("building worlds on the GPU")
    plain, powered = Runner(_stepper(WORLDS, device="cuda")), _Powered(WORLDS, device="cuda")
    for number in range(ROUNDS):
        progress(f"GPU, round {number + 1} of {ROUNDS}")
        plain.chunk()
        powered.chunk()
    yield Figure("steps_per_s_plain_cuda", plain.rate, "1/s", "higher")
    yield Figure("steps_per_s_powers_cuda", powered.rate, "1/s", "higher")
    yield Figure("granted_share_cuda", powered.share, "1", "higher", Baseline("share asked for", 0.3))
    yield from _sizes(progress, "cuda", "_cuda")


class _Powered(Runner):
    """Every power on. `share`: of the steps in which all edits were granted, or in which anything was lifted,
    whichever is less; looked at after every block.
    """

    def __init__(self, count: int, device: str = "cpu") -> None:
        worlds = _build(count, powers=(*AXES, *EDITS), schedule=POWERED, device=device)
        super().__init__(_stepping(worlds))
        self._worlds, self._inner = worlds, self.run
        self._edits: list[float] = []
        self._lifts: list[float] = []
        self.run = self._watched

    def _watched(self) -> int:
        steps = self._inner()
        self._worlds.fetch()
        self._edits.append(float((self._worlds.granted == (1 << len(EDITS)) - 1).mean()))
        self._lifts.append(float((self._worlds.lift > 0.0).any(axis=1).mean()))
        return steps

    @property
    def share(self) -> float:
        """Share of the steps with powers granted."""
        return min(statistics.fmean(self._edits), statistics.fmean(self._lifts))


def _build(count: int, **keywords: Any) -> Any:
    from nerfbot.grid.build import GridConfig

    return GridConfig(**{"course": COURSE, "powers": (), **keywords}).build(count)


def _stepper(count: int, **keywords: Any) -> Callable[[], int]:
    return _stepping(_build(count, **keywords))


def _stepping(worlds: Any) -> Callable[[], int]:
    """A block of steps of a plant, with random actions of its whole table."""
    actions = _random_actions(worlds.count, len(worlds.menu.table))
    if worlds.device.is_cuda:
        return _stepping_on_gpu(worlds, actions)

    def run() -> int:
        for row in actions:
            worlds.step(row)
        return BLOCK * worlds.count

    run()
    return run


def _stepping_on_gpu(worlds: Any, actions: Any) -> Callable[[], int]:
    import warp as wp

    rows = [wp.array(row, dtype=wp.int64, device=worlds.device) for row in actions]

    def run() -> int:
        for row in rows:
            wp.copy(worlds.out.action, row)
            worlds.step()
        return BLOCK * worlds.count

    run()
    return run


def _vector_stepper(count: int) -> Callable[[], int]:
    """A block of steps through `gymnasium.make_vec`, with views in place of copies."""
    import gymnasium

    import nerfbot  # noqa: F401 -- registers the environments

    envs = gymnasium.make_vec("nerfbot/Grid-v0", num_envs=count, course=COURSE, powers=(), copy=False)
    envs.reset(seed=0)
    actions = _random_actions(count, int(envs.single_action_space.n))  # type: ignore[attr-defined]

    def run() -> int:
        for row in actions:
            envs.step(row)
        return BLOCK * count

    run()
    return run


def _single_stepper() -> Callable[[], int]:
    """Steps of one world through `gymnasium.make`, as it comes."""
    import gymnasium

    import nerfbot  # noqa: F401 -- registers the environments

    env = gymnasium.make("nerfbot/Grid-v0", course=COURSE)
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, env.action_space.n, 4096).tolist()  # type: ignore[attr-defined]

    def run() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    run()
    return run


def _random_actions(count: int, actions: int) -> Any:
    return np.random.default_rng(0).integers(0, actions, (BLOCK, count))


def _ratio(ours: Sequence[float], others: Sequence[float]) -> float:
    """Median ratio of chunks that ran one after the other."""
    return statistics.median(one / other for one, other in zip(ours, others, strict=True))


def _cuda() -> bool:
    import warp as wp

    return bool(wp.is_cuda_available())
