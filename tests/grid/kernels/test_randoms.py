"""The generator of the kernels: its numbers are those of plain integers, spread evenly, and never shared."""

from __future__ import annotations

import numpy as np
import warp as wp

from nerfbot.grid.kernels.randoms import Purpose, below, episode_key, mix, random_bits, uniform
from nerfbot.limits import streams
from tests.grid.reference_parts import Draws, scramble


@wp.kernel
def draw(
    seed: wp.uint64,
    episode: wp.int32,
    purpose: wp.int32,
    n: wp.int32,
    words: wp.array(dtype=wp.uint64),
    numbers: wp.array(dtype=wp.float64),
    wholes: wp.array(dtype=wp.int32),
):
    tick = wp.tid()
    key = episode_key(seed, episode)
    words[tick] = random_bits(key, purpose, tick, 3)
    numbers[tick] = uniform(key, purpose, tick, 0)
    wholes[tick] = below(key, purpose, tick, 3, n)


@wp.kernel
def mixed(given: wp.array(dtype=wp.uint64), results: wp.array(dtype=wp.uint64)):
    results[wp.tid()] = mix(given[wp.tid()])


def drawn(seed=11, episode=2, purpose=Purpose.HOLD, n=7, count=20_000):
    """Words, numbers in [0, 1) and whole numbers below n at the ticks 0, 1, ..."""
    kinds = (wp.uint64, wp.float64, wp.int32)
    out = [wp.zeros(count, dtype=kind, device="cpu") for kind in kinds]
    given = [wp.uint64(seed), episode, int(purpose), n, *out]
    wp.launch(draw, dim=count, inputs=given, device="cpu")
    return [array.numpy() for array in out]


def test_mixing_is_that_of_every_other_generator_of_the_project():
    values = np.array([0, 1, 2, 2**63, 2**64 - 1, 0x9E3779B97F4A7C15], np.uint64)
    results = wp.zeros(len(values), dtype=wp.uint64, device="cpu")
    wp.launch(mixed, dim=len(values), inputs=[wp.array(values, device="cpu"), results], device="cpu")
    assert (results.numpy() == streams.mix(values)).all()
    assert results.numpy().tolist() == [scramble(int(value)) for value in values]


def test_the_numbers_are_those_that_plain_integers_give():
    words, numbers, wholes = drawn(seed=2**64 - 5, episode=9, purpose=Purpose.DESTINATION, count=50)
    plain = Draws(2**64 - 5, 9)
    for tick in range(50):
        assert int(words[tick]) == plain.random_bits(Purpose.DESTINATION, tick, 3)
        assert numbers[tick] == plain.uniform(Purpose.DESTINATION, tick)
        assert wholes[tick] == plain.below(Purpose.DESTINATION, 7, tick, 3)


def test_numbers_are_uniform_and_do_not_hang_together():
    _, numbers, wholes = drawn()
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    counts = np.histogram(numbers, bins=20, range=(0.0, 1.0))[0]
    assert ((counts - 1000.0) ** 2 / 1000.0).sum() < 50.0  # chi-square, 19 degrees: one in 10,000
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.03
    counts = np.bincount(wholes, minlength=7)
    assert len(counts) == 7
    assert ((counts - 20_000 / 7) ** 2 / (20_000 / 7)).sum() < 28.0  # 6 degrees


def test_purposes_episodes_and_seeds_have_numbers_of_their_own():
    streams_of = [
        drawn(purpose=purpose, seed=seed, episode=episode, count=2000)[1]
        for purpose, seed, episode in (
            *((purpose, 11, 2) for purpose in Purpose),
            *((Purpose.HOLD, 12, 2), (Purpose.HOLD, 11, 3), (Purpose.HOLD, 12, 1)),
        )
    ]
    for index, one in enumerate(streams_of):
        for other in streams_of[:index]:
            assert not np.isin(one, other).any()
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.1
