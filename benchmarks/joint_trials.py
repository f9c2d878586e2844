"""Trials of a URDF's joints under limits: what `urdf_sweep` does with one file.

A trial puts one limit on all joints, in one channel mode, moves them and reads them after every physics step.
"""

from __future__ import annotations

import contextlib
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidSpec
from nerfbot.limits import NerfSpec
from nerfbot.sim.physics.client import GRAVITY, SUBSTEP
from nerfbot.sim.plant.nerfed_plant import NerfedPlant
from nerfbot.sim.robots.description import RobotDescription
from nerfbot.sim.robots.urdf import read_urdf, undrivable

Floats = NDArray[np.float64]

MODES = {"position": "{base}", "velocity": "{base}/s", "effort": "{effort}"}
LIMITS = {
    "velocity": "{base}/s",
    "acceleration": "{base}/s²",
    "deceleration": "{base}/s²",
    "effort": "{effort}",
    "position": "{base}",
}
DRIVES = ("driven", "gravity", "push")
UNITS = {"angle": {"base": "rad", "effort": "N·m"}, "length": {"base": "m", "effort": "N"}}

TOLERANCE = {"velocity": 0.05, "acceleration": 0.2, "deceleration": 0.2, "effort": 0.02, "position": 0.05}
"""Share of a limit by which a joint may pass it; of half the range for a position. PyBullet's solver leaves
some thousandths of rad/s in a physics step, which counts in accelerations."""
SATURATED = 0.95
"""Share of the effort that a motor may use from which on it counts as all of it."""
REACH = 0.1
"""Seconds ahead in which the end of a range stops a joint, whatever its deceleration."""
CREEP = 0.05
"""Outward speed of a joint beyond its range that counts as standing, rad/s or m/s."""
PHASE, BLOW = 12, 2
"""Control steps of each third of a run, and of a push that is stronger than the motor."""
HEIGHT = 20.0
"""m above the floor, out of everything's way."""


class Joint(NamedTuple):
    """A joint: name, URDF type, "angle" or "length", what its motor can do, and the limits to test.

    ``low`` and ``high`` are its URDF's stops (infinite: none); the position limit is ``caps["position"]``
    either way from ``middle``.
    """

    name: str
    type: str
    kind: str
    effort: float
    velocity: float
    low: float
    high: float
    caps: dict[str, float]

    @property
    def middle(self) -> float:
        """Where its range is centred, rad or m."""
        return 0.5 * (self.low + self.high) if math.isfinite(self.low) else 0.0

    def unit(self, text: str) -> str:
        """A unit such as ``{base}/s`` for this joint."""
        return text.format(**UNITS[self.kind])


class Finding(NamedTuple):
    """One limit on all joints of a type, in a channel mode, under a drive: the joint that went furthest.

    ``measured``: largest while its motor had effort to spare, ``largest``: at any time; ``refused``: why the
    limit was not accepted, "" where it was.
    """

    type: str
    limit: str
    mode: str
    drive: str
    joint: Joint
    measured: float
    largest: float
    refused: str = ""

    @property
    def share(self) -> float:
        """What was measured, as a share of the limit."""
        return self.measured / self.joint.caps[self.limit]

    @property
    def failed(self) -> bool:
        """Whether the joint went beyond its limit."""
        return not self.share <= 1.0 + TOLERANCE[self.limit]


def joints_of(root: Element) -> tuple[list[Joint], list[str]]:
    """The joints that can be commanded, and why others cannot."""
    joints, others = [], []
    for item in root.findall("joint"):
        name, kind = item.get("name", ""), item.get("type", "")
        if kind == "fixed":
            continue
        reason = undrivable(item)
        if reason:
            others.append(f"joint {name!r} {reason}")
        else:
            joints.append(_joint(name, kind, item.find("limit")))
    return joints, others


def _joint(name: str, kind: str, limit: Element | None) -> Joint:
    """A joint with its URDF's limits, or guessed ones where that states none, and limits below them."""
    angle = kind != "prismatic"
    stated = {key: float(text) for key, text in ({} if limit is None else limit.attrib).items()}
    effort = stated.get("effort", 0.0) or (50.0 if angle else 100.0)
    velocity = stated.get("velocity", 0.0) or (5.0 if angle else 1.0)
    low, high = stated.get("lower", 0.0), stated.get("upper", 0.0)
    if kind == "continuous" or low >= high:
        low, high = -math.inf, math.inf
    caps = {
        "velocity": min(0.5 * velocity, 0.5 if angle else 0.1),
        "acceleration": 4.0 if angle else 1.0,
        "deceleration": 4.0 if angle else 1.0,
        "effort": 0.5 * effort,
        "position": min(0.4 * (high - low), 1.0),
    }
    return Joint(name, kind, "angle" if angle else "length", effort, velocity, low, high, caps)


def without_shapes(root: Element) -> bytes:
    """The URDF without what is seen or touched: meshes may be missing, and joints are measured in the air."""
    for link in root.findall("link"):
        for shape in [*link.findall("visual"), *link.findall("collision")]:
            link.remove(shape)
    return ElementTree.tostring(root)


def trials(urdf: Path, folder: Path) -> Iterator[Finding | str]:
    """Measure one URDF; texts say what is left out. ``folder`` receives a copy of it without shapes.

    Raises `NerfbotError`, `ValueError` or `ParseError` for a URDF that cannot be measured.
    """
    root = read_urdf(urdf)
    joints, others = joints_of(root)
    yield from others
    if not joints:
        raise ValueError("no joint that can be commanded")
    (folder / urdf.name).write_bytes(without_shapes(root))
    for limit in LIMITS:
        for mode in MODES:
            try:
                plant = _plant(folder / urdf.name, joints, limit, mode)
            except InvalidSpec as error:
                for joint in {joint.type: joint for joint in joints}.values():
                    yield Finding(joint.type, limit, mode, "", joint, 0.0, 0.0, str(error))
                continue
            with contextlib.closing(plant):
                for drive in DRIVES:
                    trace = _run(plant, joints, mode, drive)
                    for found in _furthest(joints, limit, mode, trace):
                        yield Finding(found[0].type, limit, mode, drive, *found)


def _plant(urdf: Path, joints: list[Joint], limit: str, mode: str) -> NerfedPlant:
    """The robot in the air, with a channel for each joint and one limit on all of them."""
    nerf = {}
    if limit != "position":
        nerf = {
            joint.name: {limit: {"nerfed": joint.caps[limit], "lifted": joint.caps[limit]}}
            for joint in joints
        }
    robot = RobotDescription.model_validate(
        {
            "name": urdf.stem,
            "urdf": urdf.name,
            "folder": urdf.parent,
            "channels": [
                {
                    "name": joint.name,
                    "mode": mode,
                    "unit": joint.unit(MODES[mode]),
                    "effort": joint.effort,
                    "velocity": joint.velocity,
                }
                for joint in joints
            ],
            "envelope": {"channels": {joint.name: _envelope(joint, limit, mode) for joint in joints}},
            "rest": {joint.name: joint.middle for joint in joints},
            "fixed_base": True,
            "spawn_height": HEIGHT,
            "sensors": {"lidar": {"rays": 1}},
        }
    )
    spec = NerfSpec.parse({"name": "sweep", "channels": nerf})
    return NerfedPlant("corner", spec, robot, pictures=False)


def _envelope(joint: Joint, limit: str, mode: str) -> dict[str, float]:
    """What the machine can do, with the range to test where that is the limit."""
    hard = {"max_effort": joint.effort}
    if mode != "effort":
        hard |= {"max_velocity": joint.velocity, "max_acceleration": 1000.0}
        hard |= {"stop_deceleration": joint.caps["deceleration"]}
    if mode == "position" or limit == "position":
        half = joint.caps["position"]
        hard |= {"min_position": joint.middle - half, "max_position": joint.middle + half}
    return hard


def _run(plant: NerfedPlant, joints: list[Joint], mode: str, drive: str) -> Floats:
    """Position, velocity and motor effort of each joint after each physics step: (3, steps + 1, joints)."""
    client, robot = plant.plant.client, plant.plant.robot
    trace: list[list[tuple[float, float, float]]] = []
    push = np.zeros(len(joints))
    advance = client.stepSimulation

    def read() -> None:
        states = robot.read().joints
        trace.append([(*state[:2], effort) for state, effort in zip(states, robot.efforts(), strict=True)])

    def watched() -> None:
        if push.any():
            _push(client, robot.body, robot.joint_indices, joints, push)
        advance()
        read()

    plant.reset()
    read()
    tilt = -GRAVITY / math.sqrt(3.0)
    client.setGravity(*((tilt, tilt, tilt) if drive == "gravity" else (0.0, 0.0, -GRAVITY)))
    most = np.array([{"position": 10.0, "velocity": j.velocity, "effort": j.effort}[mode] for j in joints])
    rest = np.array([joint.middle if mode == "position" else 0.0 for joint in joints])
    effort = np.array([joint.effort for joint in joints])
    client.stepSimulation = watched
    try:
        for step in range(3 * PHASE):
            third, begun = divmod(step, PHASE)
            way = (1.0, -1.0, 0.0)[third] if drive == "driven" else 0.0
            if drive == "push":
                push[:] = effort * (0.5, -2.0 if begun < BLOW else 0.0, 0.0)[third]
            plant.step(rest + way * most)
    finally:
        client.stepSimulation = advance
    if len(trace) <= 3 * PHASE:
        raise RuntimeError("the plant's physics steps were not seen")
    return np.moveaxis(np.array(trace), 2, 0)


def _push(client: Any, body: int, indices: list[int], joints: list[Joint], push: Floats) -> None:
    """Push joints along their axes from outside: a link one way, the link before it the other way."""
    for link, joint, size in zip(indices, joints, push.tolist(), strict=True):
        info, state = client.getJointInfo(body, link), client.getLinkState(body, link)
        x, y, z = client.multiplyTransforms((0.0, 0.0, 0.0), state[5], info[13], (0.0, 0.0, 0.0, 1.0))[0]
        for index, amount in ((link, size), (info[16], -size)):
            vector = (amount * x, amount * y, amount * z)
            if joint.kind == "angle":
                client.applyExternalTorque(body, index, vector, client.WORLD_FRAME)
            else:
                client.applyExternalForce(body, index, vector, state[4], client.WORLD_FRAME)


def _furthest(
    joints: list[Joint], limit: str, mode: str, trace: Floats
) -> Iterator[tuple[Joint, float, float]]:
    """Of each joint type the joint that went furthest with effort to spare: that much, and at any time.

    Under an effort, and out of a range, an excess that lasts for one physics step is left out: a motor that
    gives an effort learns of a push, also from other joints, one step late. Changes of speed count while no
    joint is saturated or at a stop: PyBullet's solver leaves the rest to the others.
    """
    worst: dict[str, tuple[Joint, float, float]] = {}
    most = np.array([joint.effort for joint in joints])
    busy = (np.abs(trace[2, 1:]) >= SATURATED * most).any(axis=1)
    busy = _and_after(
        busy | np.any([_at_stop(joint, *trace[:2, 1:, k]) for k, joint in enumerate(joints)], axis=0)
    )
    for number, joint in enumerate(joints):
        amount, excused = judge(joint, limit, *trace[:, :, number])
        if limit in ("acceleration", "deceleration"):
            excused |= busy
        if (
            limit == "deceleration" and mode == "position"
        ):  # the end of the range is nearer than the way to brake
            after = trace[:, 1:, number]
            excused |= np.abs(after[0] - joint.middle) + REACH * np.abs(after[1]) > joint.caps["position"]
        counted = np.where(excused, 0.0, amount)
        if mode == "effort" or limit == "position":
            around = np.maximum(np.append(0.0, counted[:-1]), np.append(counted[1:], 0.0))
            counted = np.minimum(counted, around)
        measured, cap = float(counted.max()), joint.caps[limit]
        best = worst.get(joint.type)
        if best is None or measured / cap > best[1] / best[0].caps[limit]:
            worst[joint.type] = (joint, measured, float(amount.max()))
    yield from worst.values()


def judge(
    joint: Joint, limit: str, position: Floats, velocity: Floats, effort: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """What ``limit`` bounds, at each physics step, and whether an excess there is excused.

    The three arrays (steps + 1,) begin before the first step. An excess is excused while the motor works
    against it with all its effort and in the step after, at a stop of the URDF, and out of a range where it
    moves no further out.
    """
    before, after, push = velocity[:-1], velocity[1:], effort[1:]
    turned = before * after < 0.0
    if limit == "effort":
        return np.abs(push), np.zeros(len(push), bool)
    if limit == "position":
        away = position[1:] - joint.middle
        saturated = _and_after(-np.sign(away) * push >= SATURATED * joint.effort)
        return np.abs(away), saturated | (after * np.sign(away) < CREEP)
    if limit == "velocity":
        amount, way = np.abs(after), np.sign(after)
    elif limit == "acceleration":
        amount = np.where(turned, np.abs(after), np.abs(after) - np.abs(before)) / SUBSTEP
        way = np.sign(after)
    else:
        amount = np.where(turned, np.abs(before), np.abs(before) - np.abs(after)) / SUBSTEP
        way = -np.sign(before)
    at_stop = _at_stop(joint, position, velocity)
    saturated = _and_after(-way * push >= SATURATED * joint.effort)
    excused = saturated | at_stop[1:] | at_stop[:-1]
    if limit == "deceleration":  # a joint that was thrown past its velocity limit brakes as hard as it can
        excused |= np.abs(before) > joint.velocity
    return np.maximum(amount, 0.0), excused


def _at_stop(joint: Joint, position: Floats, velocity: Floats) -> NDArray[np.bool_]:
    """Whether a joint is at a stop of the URDF, or will be in the next step."""
    margin = SUBSTEP * np.abs(velocity) + 0.01 * min(joint.high - joint.low, 1.0)
    return (position < joint.low + margin) | (position > joint.high - margin)


def _and_after(steps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``steps``, and each step after one of them."""
    return steps | np.append(False, steps[:-1])
