"""A command stream ages by receipt and keeps its order, whatever its stamps say."""

from __future__ import annotations

import itertools
import math

import pytest

from nerfbot.hardware.safety.staleness import StreamMonitor

HOUR = 3600.0


def fed(stamps: list[float], offset: float = 0.0, period: float = 0.05) -> tuple[StreamMonitor, float]:
    stream, now = StreamMonitor(timeout=0.1), 100.0
    for stamp in stamps:
        assert stream.accept(now, stamp + offset) == ""
        now += period
    return stream, now


def test_it_is_stale_before_the_first_message_and_after_the_timeout() -> None:
    stream = StreamMonitor(timeout=0.1)
    assert stream.is_stale(0.0)
    stream.accept(1.0, 0.0)
    assert not stream.is_stale(1.099)
    assert stream.is_stale(1.1)


def test_a_clock_that_runs_backwards_makes_it_stale() -> None:
    stream = StreamMonitor(timeout=0.1)
    stream.accept(1.0, 0.0)
    assert stream.is_stale(0.999)


@pytest.mark.parametrize("offset", [-HOUR + 4000, 0.0, HOUR], ids=["past", "same", "future"])
def test_a_senders_clock_may_be_an_hour_off_and_still_ages_by_receipt(offset: float) -> None:
    stream, now = fed([100.0, 100.05], offset)
    assert stream.is_stale(now + 0.1)


@pytest.mark.parametrize("jump", [HOUR, -HOUR + 4000, 0.8])
def test_a_stamp_that_jumps_is_refused_until_the_robot_rests(jump: float) -> None:
    stream, now = fed([5000.0, 5000.05])
    for _ in range(3):
        assert "delay changed" in stream.accept(now, 5000.0 + jump if jump > 0 else jump)
    assert stream.is_stale(now + 0.1)
    assert "delay changed" in stream.accept(now + 0.1, 5000.0 + jump if jump > 0 else jump)
    stream.note_rest()
    assert stream.accept(now + 0.15, 5000.0 + jump if jump > 0 else jump) == ""


def test_a_message_that_was_held_up_is_refused() -> None:
    stream, now = fed([100.0, 100.05])
    stream.timeout = 2.0
    assert "late" in stream.accept(now + 0.8, 100.1)


@pytest.mark.parametrize(("stamp", "what"), [(100.05, "same"), (100.0, "older")])
def test_duplicates_and_late_ones_do_not_refresh_it(stamp: float, what: str) -> None:
    stream, now = fed([100.0, 100.05])
    assert what in stream.accept(now, stamp)
    assert stream.is_stale(now + 0.06)


def test_a_frozen_repeat_does_not_begin_a_new_stream() -> None:
    stream, now = fed([100.0, 100.05])
    for step in range(1, 40):
        assert stream.accept(now + 0.05 * step, 100.05)
    assert stream.is_stale(now + 2.0)


def test_messages_without_stamps_are_accepted_but_not_mixed() -> None:
    fed([0.0, 0.0, 100.0])
    stream, now = fed([100.0])
    assert "was stamped" in stream.accept(now, 0.0)


@pytest.mark.parametrize("stamp", [math.nan, math.inf, -1.0])
def test_a_stamp_that_is_no_time_is_refused(stamp: float) -> None:
    assert "must be a time" in StreamMonitor(timeout=0.1).accept(1.0, stamp)


def test_a_second_sender_is_refused_and_reported_until_it_has_been_silent_for_a_second() -> None:
    stream = StreamMonitor(timeout=0.1)
    assert stream.accept(1.0, 0.0, "a") == ""
    assert "second publisher" in stream.accept(1.01, 0.0, "b")
    assert stream.has_second_source(1.5)
    assert not stream.has_second_source(2.02)


def test_a_new_sender_is_followed_once_the_first_is_silent() -> None:
    stream = StreamMonitor(timeout=0.1)
    stream.accept(1.0, 0.0, "a")
    assert stream.accept(1.2, 0.0, "b") == ""
    assert not stream.has_second_source(1.2)


def coarse(step: float, until: float, period: float = 0.05) -> tuple[StreamMonitor, list[float], float]:
    """A sender every 0.05 s whose clock moves in steps; when its messages were accepted, and the end."""
    stream, accepted, now = StreamMonitor(timeout=0.1), [], 100.0
    while now < until:
        if not stream.accept(now, 5000.0 + step * math.floor((now - 100.0) / step + 1e-6)):
            accepted.append(now)
        now += period
    return stream, accepted, now


@pytest.mark.parametrize("step", [0.1, 0.2, 0.25])
def test_a_coarse_clock_does_not_starve_the_robot_once_it_is_known(step: float) -> None:
    _, accepted, _ = coarse(step, 110.0)
    later = [now for now in accepted if now > 101.0]
    assert max(b - a for a, b in itertools.pairwise(later)) < 0.051
    assert len(later) >= 178


@pytest.mark.parametrize(("step", "bound"), [(0.05, 0.1), (0.1, 0.3), (0.2, 0.5), (0.4, 0.6)])
def test_a_sender_with_a_coarse_clock_that_hangs_goes_stale(step: float, bound: float) -> None:
    stream, accepted, now = coarse(step, 104.0)
    hangs = 5000.0 + step * math.floor((now - 0.05 - 100.0) / step + 1e-6)
    since, last = now, accepted[-1]
    while now < since + 5.0:
        if not stream.accept(now, hangs):
            last = now
        now += 0.05
    assert last - since < bound
    assert stream.is_stale(now)


def test_a_clock_that_becomes_fine_again_allows_no_repeats() -> None:
    stream, _, now = coarse(0.2, 103.0)
    for step in range(4):
        assert stream.accept(now + 0.05 * step, 5003.0 + 0.05 * step) == ""
    assert "same" in stream.accept(now + 0.16, 5003.15)
