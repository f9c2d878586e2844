"""A joint trajectory as a curve through its points, and how fast it may be followed within limits. No ROS.

Between points with velocities and accelerations the curve is a quintic, with velocities a cubic, as in
joint_trajectory_controller. Through bare positions it is a monotone cubic (Fritsch and Carlson 1980), which
starts and ends at rest and does not overshoot: straight lines would ask for infinite accelerations.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nerfbot.limits.channel import Floats

_SAMPLES = 33
"""Samples of each segment in which the largest velocity and acceleration are found."""


class Trajectory:
    """Positions (channels,) over time, from ``start`` at 0 s through the points.

    ``points`` as `trajectory_points` reads them; a first point at 0 s takes the place of ``start``.
    """

    def __init__(self, points: Mapping[str, Floats], start: Floats) -> None:
        times, positions = points["time_from_start"], points["positions"]
        velocities, accelerations = points.get("velocities"), points.get("accelerations")
        rest = np.zeros((1, positions.shape[1]))
        if times[0] > 0.0:
            times, positions = np.append(0.0, times), np.vstack([start, positions])
            velocities = None if velocities is None else np.vstack([rest, velocities])
            accelerations = None if accelerations is None else np.vstack([rest, accelerations])
        self._times, self.end = times, positions[-1]
        self.duration = float(times[-1])
        if velocities is None:
            velocities, accelerations = _monotone_slopes(times, positions), None
        self._curves = _curves(times, positions, velocities, accelerations)
        share = np.linspace(0.0, 1.0, _SAMPLES)[:, None] * np.diff(times)
        orders = np.arange(6)
        slopes, bends = orders[1:] * self._curves[..., 1:], orders[2:] * orders[1:-1] * self._curves[..., 2:]
        self.peak_velocity = _peak(slopes, share, positions.shape[1])
        """Largest speed of each channel, (channels,), unit/s."""
        self.peak_acceleration = _peak(bends, share, positions.shape[1])
        """Largest acceleration of each channel, (channels,), unit/s²."""

    def sample(self, time: float) -> Floats:
        """Positions (channels,) at ``time`` (s), the first and the last ones before and after."""
        time = min(max(time, 0.0), self.duration)
        if not len(self._curves):
            return self.end
        segment = min(int(np.searchsorted(self._times, time, side="right")) - 1, len(self._curves) - 1)
        powers = (time - self._times[segment]) ** np.arange(6)
        return np.asarray(self._curves[segment] @ powers)

    def slowdown(self, velocity: Floats, acceleration: Floats) -> float:
        """How many times slower it must be followed to stay within these limits, (channels,); at least 1."""
        return max(
            1.0,
            float((self.peak_velocity / velocity).max()),
            float(np.sqrt((self.peak_acceleration / acceleration).max())),
        )


def _monotone_slopes(times: Floats, positions: Floats) -> Floats:
    """Velocities at the points: 0 at both ends and where the direction turns, else the harmonic mean."""
    slopes = np.zeros_like(positions)
    if len(times) > 2:
        secants = np.diff(positions, axis=0) / np.diff(times)[:, None]
        before, after = secants[:-1], secants[1:]
        same = before * after > 0.0
        slopes[1:-1][same] = 2.0 * before[same] * after[same] / (before[same] + after[same])
    return slopes


def _curves(times: Floats, positions: Floats, velocities: Floats, accelerations: Floats | None) -> Floats:
    """Coefficients of each segment's polynomial, (segments, channels, 6), lowest order first."""
    h = np.diff(times)[:, None]
    curves = np.zeros((len(times) - 1, positions.shape[1], 6))
    move, v0, v1 = np.diff(positions, axis=0), velocities[:-1], velocities[1:]
    curves[..., 0], curves[..., 1] = positions[:-1], v0
    if accelerations is None:
        curves[..., 2] = (3.0 * move - (2.0 * v0 + v1) * h) / h**2
        curves[..., 3] = (-2.0 * move + (v0 + v1) * h) / h**3
        return curves
    a0, a1 = accelerations[:-1], accelerations[1:]
    curves[..., 2] = a0 / 2.0
    curves[..., 3] = (20.0 * move - (8.0 * v1 + 12.0 * v0) * h - (3.0 * a0 - a1) * h**2) / (2.0 * h**3)
    curves[..., 4] = (-30.0 * move + (14.0 * v1 + 16.0 * v0) * h + (3.0 * a0 - 2.0 * a1) * h**2) / (
        2.0 * h**4
    )
    curves[..., 5] = (12.0 * move - 6.0 * (v1 + v0) * h + (a1 - a0) * h**2) / (2.0 * h**5)
    return curves


def _peak(curves: Floats, share: NDArray[np.float64], channels: int) -> Floats:
    """The largest size of polynomials (segments, channels, orders) at times (samples, segments)."""
    if not len(curves):
        return np.zeros(channels)
    powers = share[..., None] ** np.arange(curves.shape[-1])
    return np.asarray(np.abs(np.einsum("sco,nso->nsc", curves, powers)).max(axis=(0, 1)))
