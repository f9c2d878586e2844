import numpy as np
import pytest

from nerfbot.limits.streams import Draws, Stream, mix

SEEDS = np.arange(5, 9, dtype=np.uint64)
ALL = np.arange(4)


def reference(x: int) -> int:
    """Return SplitMix64's finaliser in plain integers."""
    word = (1 << 64) - 1
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & word
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & word
    return x ^ (x >> 31)


def test_mix_is_the_finaliser_of_splitmix64():
    words = np.array([0, 1, 2**63, 0x9E3779B97F4A7C15, 12345678901234567], np.uint64)
    assert mix(words).tolist() == [reference(int(word)) for word in words]
    # First output of SplitMix64 seeded with 0, as published with the reference implementation.
    assert int(mix(np.array([0x9E3779B97F4A7C15], np.uint64))[0]) == 0xE220A8397B1DCDAF


def test_numbers_follow_from_seed_purpose_lane_and_counter_alone():
    import hashlib

    golden, word = 0x9E3779B97F4A7C15, (1 << 64) - 1
    purpose = int.from_bytes(hashlib.sha256(b"noise/lidar").digest()[:8], "little")
    key = reference(reference((7 + golden) & word) ^ purpose)
    lane = reference((3 + golden) & word)
    expected = reference((reference(key ^ lane) + 11 * golden) & word) >> 11
    got = Stream("noise/lidar", SEEDS).uniform(np.array([2]), np.array([11]), 3)
    assert got.tolist() == [expected * 2.0**-53]


def test_numbers_are_uniform_and_uncorrelated():
    stream = Stream("a", np.arange(50, dtype=np.uint64))
    numbers = stream.uniform(np.arange(50)[:, None], np.arange(400)[None])
    assert 0.0 <= numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1.0
    assert numbers.mean() == pytest.approx(0.5, abs=0.01)
    assert numbers.var() == pytest.approx(1 / 12, abs=0.003)
    assert abs(np.corrcoef(numbers[0], numbers[1])[0, 1]) < 0.15
    assert abs(np.corrcoef(numbers[:, :-1].ravel(), numbers[:, 1:].ravel())[0, 1]) < 0.03


def test_purposes_lanes_seeds_and_counters_all_matter():
    a, b = Stream("a", SEEDS), Stream("b", SEEDS)
    zero = np.zeros(1, np.int64)
    base = a.uniform(ALL, zero)
    assert len(set(base)) == 4
    assert not np.any(base == b.uniform(ALL, zero))
    assert not np.any(base == a.uniform(ALL, zero, 1))
    assert not np.any(base == a.uniform(ALL, zero + 1))
    assert np.array_equal(base, a.uniform(ALL, zero, 0))


def test_indices_counters_and_lanes_broadcast():
    stream = Stream("a", SEEDS)
    block = stream.uniform(ALL[:, None], np.zeros(1, np.int64), np.arange(3))
    assert block.shape == (4, 3)
    assert block[2, 1] == stream.uniform(np.array([2]), np.zeros(1, np.int64), 1)[0]


def test_reseeding_one_robot_leaves_the_others_alone():
    stream, zero = Stream("a", SEEDS), np.zeros(1, np.int64)
    before = stream.uniform(ALL, zero)
    stream.reseed(np.array([1]), np.array([99]))
    after = stream.uniform(ALL, zero)
    assert (before == after).tolist() == [True, False, True, True]
    assert after[1] == Stream("a", np.array([99])).uniform(np.array([0]), zero)[0]


def successive(draws: Draws, calls: int) -> np.ndarray:
    return np.array([draws.next().copy() for _ in range(calls)])


def test_draws_are_the_streams_numbers_call_by_call():
    drawn = successive(Draws("j", SEEDS, 2), 150)
    expected = Stream("j", SEEDS).uniform(ALL[:, None], np.arange(150)[:, None, None], np.arange(2))
    assert np.array_equal(drawn, expected)


def test_draws_of_many_lanes_are_the_same_numbers():
    many = successive(Draws("j", SEEDS, 1500), 3)
    expected = Stream("j", SEEDS).uniform(ALL[:, None], np.arange(3)[:, None, None], np.arange(1500))
    assert np.array_equal(many, expected)


@pytest.mark.parametrize("calls_before", [0, 1, 63, 64, 65, 130])
def test_a_reset_robot_starts_from_its_first_number_and_the_others_go_on(calls_before):
    draws = Draws("j", SEEDS, 2)
    successive(draws, calls_before)
    draws.reset(np.array([2]), np.array([50], np.uint64))
    after = successive(draws, 70)
    undisturbed = successive(Draws("j", SEEDS, 2), calls_before + 70)[calls_before:]
    alone = successive(Draws("j", np.array([50], np.uint64), 2), 70)
    assert np.array_equal(after[:, 2], alone[:, 0])
    assert np.array_equal(after[:, [0, 1, 3]], undisturbed[:, [0, 1, 3]])


def test_normal_draws_are_those_of_box_and_muller_each_from_two_lanes_of_its_own():
    drawn = successive(Draws("n", SEEDS, 3, normal=True), 4)
    lanes = Stream("n", SEEDS).uniform(ALL[:, None], np.arange(4)[:, None, None], np.arange(6))
    radius, angle = np.sqrt(-2.0 * np.log1p(-lanes[..., 0::2])), 2.0 * np.pi * lanes[..., 1::2]
    np.testing.assert_allclose(drawn, radius * np.cos(angle), rtol=1e-12)


def test_normal_draws_are_standard_normal():
    drawn = successive(Draws("n", np.arange(40, dtype=np.uint64), 10, normal=True), 50)
    assert drawn.mean() == pytest.approx(0.0, abs=0.03)
    assert drawn.std() == pytest.approx(1.0, abs=0.03)
    assert np.mean(np.abs(drawn) > 1.96) == pytest.approx(0.05, abs=0.01)
    assert abs(np.corrcoef(drawn[..., 0].ravel(), drawn[..., 1].ravel())[0, 1]) < 0.08
