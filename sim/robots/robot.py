"""One robot in a physics client: it loads the URDF, enforces limits in the joint motors and reads its own
body.

The limits are physical here: an effort cap is the torque that a motor may use, a velocity cap is the speed
that a motor pulls towards and never past. What the robot senses of the world is in `sensors`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerfbot.declared import suggestion
from nerfbot.errors import InvalidCommand
from nerfbot.limits import Channel, Measured

from ..errors import InvalidRobot, UnknownChannel
from ..physics.client import Client
from .description import TWIST, ChannelRow, RobotDescription
from .drives import drive_of
from .servos import Servo, Servos

GROUND, WALLS = 64, 128
"""Collision groups: the floor, ramps and steps; the walls."""

WHEELS, GHOST = 512, 1024
"""Collision groups of a robot's ground links, which meet only the ground, and of a robot that passes walls.

PyBullet lets two bodies collide when *either* accepts the other's group, so both must refuse.
"""

_URDF_FLAGS = ("URDF_USE_INERTIA_FROM_FILE", "URDF_USE_IMPLICIT_CYLINDER")


class BodyState(NamedTuple):
    """The base link at one instant, in the world unless said otherwise; rotation is row-major, body to world.

    ``velocity`` is (forward, leftward, upward) in m/s and ``rates`` (roll, pitch, yaw) in rad/s, both in the
    robot's own axes; ``heading`` in rad; ``joints`` holds PyBullet's (position, velocity, reaction, motor
    effort) of each joint used, ``allowed`` the force (N·m or N) that a motor might use until then, by index.
    """

    position: tuple[float, float, float]
    rotation: tuple[float, ...]
    heading: float
    velocity: tuple[float, float, float]
    rates: tuple[float, float, float]
    joints: Sequence[tuple[float, float, tuple[float, ...], float]]
    allowed: Mapping[int, float]


@dataclass(frozen=True)
class Joint:
    """A joint as it may be used: URDF index, effort and velocity limits, position range (empty: none)."""

    name: str
    index: int
    effort: float
    velocity: float
    range: tuple[float, float] | None


class Robot:
    """A robot standing in a client.

    Velocity channels are joint motors with the effort cap as their torque; a twist is turned into wheel
    speeds and steering angles by its drive (`drives`). Position channels use the position motor with a
    velocity and an effort cap, or are servos (`servos`), which yield under load. Effort channels use a
    velocity motor whose target is the joint's velocity limit in the effort's direction and whose force is
    the effort: that is the commanded effort exactly, until the joint reaches its velocity limit, where it
    holds (a plain torque would spin it past the limit).

    A force from outside that exceeds the effort cap can still push the robot faster than commanded: its
    motors then brake with all the effort they are allowed. That is what a real robot does, and nothing more
    is enforceable.

    Raises `InvalidRobot`: missing or broken URDF, an effort or velocity limit that is stated nowhere.
    `UnknownChannel`: a row of the table names a joint that the URDF does not have.
    """

    def __init__(self, client: Client, description: RobotDescription) -> None:
        self.client = client
        self.description = description
        path = description.urdf_path()
        flags = 0
        for flag in _URDF_FLAGS:
            flags |= getattr(client, flag)
        try:
            self.body: int = client.loadURDF(str(path), useFixedBase=description.fixed_base, flags=flags)
        except Exception as error:  # pybullet.error, which has no stable name without the module
            raise InvalidRobot(f"{description.name}: urdf: PyBullet cannot load {path}: {error}") from None
        self.channels: tuple[Channel, ...] = tuple(row.channel() for row in description.channels)
        self._infos = [client.getJointInfo(self.body, i) for i in range(client.getNumJoints(self.body))]
        self.links = {info[12].decode(): i for i, info in enumerate(self._infos)}
        self._velocity_caps = [math.inf] * len(self.channels)
        self._acceleration_caps = [math.inf] * len(self.channels)
        self._allowed: dict[int, float] = {}
        self._moved = np.zeros(len(self.channels)), np.zeros(len(self.channels))
        self._motion = Measured(self._moved[0][None], self._moved[1][None])
        self._compile()
        self._read_pose = client.bound("getBasePositionAndOrientation", self.body)
        self._read_motion = client.bound("getBaseVelocity", self.body)
        self._read_joints = client.bound("getJointStates", self.body, self.joint_indices)
        offset, turn = client.getDynamicsInfo(self.body, -1)[3:5]
        self._to_inertial = (offset, turn)
        self._from_inertial = client.invertTransform(offset, turn)
        self._is_turned = self._from_inertial[1] != (0.0, 0.0, 0.0, 1.0)
        for link, friction in description.friction.items():
            if link not in self.links:
                raise self._unknown("friction", link, list(self.links))
            client.changeDynamics(self.body, self.links[link], lateralFriction=friction)
        for link in description.ground_links:
            if link not in self.links:
                raise self._unknown("ground_links", link, list(self.links))
            client.setCollisionFilterGroupMask(self.body, self.links[link], WHEELS, GROUND)
        on_ground = {self.links[link] for link in description.ground_links}
        self.solid_links = [i for i in (-1, *range(len(self._infos))) if i not in on_ground]
        """Links that can meet walls and objects; -1 is the base."""
        self.place(0.0, 0.0, 0.0)
        self.footprint = self._measure_footprint()
        self.state = self.read()

    # Loading

    def _unknown(self, field: str, name: str, known: list[str]) -> UnknownChannel:
        hint = suggestion(name, known)
        return UnknownChannel(f"{self.description.name}: {field}: the robot has no {name!r}{hint}")

    def _joint(self, name: str, row: ChannelRow | None, field: str) -> Joint:
        movable = [info for info in self._infos if info[2] != self.client.JOINT_FIXED]
        info = next((info for info in movable if info[1].decode() == name), None)
        if info is None:
            raise self._unknown(field, name, [info[1].decode() for info in movable])
        limits = {}
        for word, stated, given in (
            ("effort", row.effort if row else None, info[10]),
            ("velocity", row.velocity if row else None, info[11]),
        ):
            if stated is None and given <= 0:
                raise InvalidRobot(
                    f"{self.description.name}: {field}: the URDF gives joint {name!r} {word} {given:g}; "
                    f"state its {word} limit in the channel table"
                )
            limits[word] = min(value for value in (stated, given) if value is not None and value > 0)
        span = (info[8], info[9]) if info[8] < info[9] else None
        return Joint(name, info[0], limits["effort"], limits["velocity"], span)

    def _compile(self) -> None:
        """Sort the channels into motors: the wheels, then joints by mode; remember where each is measured."""
        drive, rows = self.description.drive, self.description.channels
        wheels: list[Joint] = []
        self._twist: tuple[int, int] | None = None
        self._hinges: list[Joint] = []
        self._rolling: list[int] = []
        if drive is not None:
            names = [row.name for row in rows]
            self._twist = (names.index("linear.x"), names.index("angular.z"))
            self._twist_caps = [math.inf if row.effort is None else row.effort for row in rows[:2]]
            wheels = [self._joint(name, None, "drive") for name in drive.driven]
            effort, speed = (min(getattr(wheel, name) for wheel in wheels) for name in ("effort", "velocity"))
            self.drive = drive_of(drive, effort, speed)
            self._hinges = [self._joint(name, None, "drive.steering") for name in self.drive.hinges]
            self._rolling = [self._joint(name, None, "drive.rolling").index for name in self.drive.rolling]
        singles = [(i, row) for i, row in enumerate(rows) if row.name not in TWIST]
        joints = [
            (i, row.mode, self._joint(row.joint_name, row, f"channels.{row.name}")) for i, row in singles
        ]
        self._moving = [(i, mode, joint) for i, mode, joint in joints if mode != "position"]
        self._served = [(i, joint) for i, _, joint in joints if rows[i].servo is not None]
        served = {i for i, _ in self._served}
        self._positioned = [(i, joint) for i, mode, joint in joints if mode == "position" and i not in served]
        self.servos: Servos | None = None
        if self._served:
            models = [Servo(joint.index, rows[i].servo) for i, joint in self._served]  # type: ignore[arg-type]
            self.servos = Servos(self.client, self.body, models)
        self._drive_count = len(wheels) + len(self._hinges)
        used = wheels + self._hinges + [joint for _, _, joint in joints]
        self.joint_names = tuple(joint.name for joint in used)
        self.joint_indices = [joint.index for joint in used]
        served_indices = [joint.index for _, joint in self._served]
        self._servo_places = [(self.joint_indices.index(index), index) for index in served_indices]
        """Place among ``joint_indices`` and URDF index of each servo."""
        self._motors = [j.index for j in wheels] + [joint.index for _, _, joint in self._moving]
        self._idle = [
            info[0]
            for info in self._infos
            if info[2] != self.client.JOINT_FIXED and info[0] not in {*self.joint_indices, *self._rolling}
        ]
        self._measured_joint = [i for i, _, _ in joints]
        for name in self.description.rest:
            self._joint_index(name)

    def _joint_index(self, name: str) -> int:
        names = [info[1].decode() for info in self._infos]
        if name not in names:
            raise self._unknown("rest", name, names)
        return names.index(name)

    def _measure_footprint(self) -> tuple[float, float, float, float]:
        """(x min, x max, y min, y max) in m of all but the ground links, from above, in body axes."""
        boxes = [
            self.client.getAABB(self.body, link)
            for link in self.solid_links
            if self.client.getCollisionShapeData(self.body, link)
        ]
        if not boxes:
            return (0.0, 0.0, 0.0, 0.0)
        low = np.min([box[0] for box in boxes], axis=0)
        high = np.max([box[1] for box in boxes], axis=0)
        return (float(low[0]), float(high[0]), float(low[1]), float(high[1]))

    def index(self, name: str) -> int:
        """Position of a channel in the arrays.

        Raises `UnknownChannel`: the robot has no such channel.
        """
        names = [channel.name for channel in self.channels]
        if name not in names:
            raise self._unknown("channel", name, names)
        return names.index(name)

    # Moving

    def place(
        self,
        x: float,
        y: float,
        heading: float,
        elevation: float = 0.0,
        joints: Mapping[str, float] | None = None,
    ) -> None:
        """Put the robot at rest at (x, y) m, turned to ``heading`` rad, motors braking; ``elevation``:
        ground, m. ``joints``: positions by joint in place of the description's rest.
        """
        rest = {**self.description.rest, **(joints or {})}
        turn = self.client.getQuaternionFromEuler((0.0, 0.0, heading))
        position = (x, y, self.description.spawn_height + elevation)
        self.client.resetBasePositionAndOrientation(
            self.body, *self.client.multiplyTransforms(position, turn, *self._to_inertial)
        )
        self.client.resetBaseVelocity(self.body, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        for info in self._infos:
            if info[2] != self.client.JOINT_FIXED:
                self.client.resetJointState(self.body, info[0], rest.get(info[1].decode(), 0.0))
        if self.servos is not None:
            self.servos.rest()
        self.brake()
        self.state = self.read()

    def brake(self) -> None:
        """Hold still: velocity motors at zero with the joint's full effort, positions held, unused joints
        locked.
        """
        for index in (*self._idle, *self._rolling):
            force = 0.0 if index in self._rolling else self._infos[index][10]
            self.client.setJointMotorControl2(
                self.body, index, self.client.VELOCITY_CONTROL, targetVelocity=0.0, force=force
            )
        states = self.client.getJointStates(self.body, self.joint_indices)
        value = np.zeros(len(self.channels))
        for channel, state in zip(self._measured_joint, states[self._drive_count :], strict=True):
            if self.channels[channel].mode == "position":
                value[channel] = state[0]
        self.actuate(value, None)

    def actuate(
        self,
        value: NDArray[np.float64] | Sequence[float],
        effort_limit: NDArray[np.float64] | Sequence[float] | None = None,
    ) -> None:
        """Set the motors; they keep this command until the next one.

        Args:
            value: shape (channels,), in the channels' units.
            effort_limit: shape (channels,), N or N·m, inf where there is none. On ``linear.x`` a cap of F
                newtons gives
                each of n driven wheels F * radius / n; on ``angular.z`` a cap of T newton metres gives T *
                radius / (n * half track). The tightest of these and of the URDF's effort holds.

        Raises `InvalidCommand`: a wrong number of values, one that is not finite, or an effort limit below 0
        or NaN.

        """
        self._set_motors(*self.checked(value, effort_limit))

    def checked(
        self,
        value: NDArray[np.float64] | Sequence[float],
        effort_limit: NDArray[np.float64] | Sequence[float] | None = None,
    ) -> tuple[list[float], list[float]]:
        """Values and effort limits as lists, where `actuate` would take them; raises what it does."""
        values = value.tolist() if isinstance(value, np.ndarray) else list(value)
        if effort_limit is None:
            limits = [math.inf] * len(values)
        else:
            limits = effort_limit.tolist() if isinstance(effort_limit, np.ndarray) else list(effort_limit)
        if len(values) != len(self.channels) or len(limits) != len(values):
            raise InvalidCommand(
                f"actuate: {self.description.name} has {len(self.channels)} channels, "
                f"got {len(values)} values and {len(limits)} effort limits"
            )
        for channel, number, limit in zip(self.channels, values, limits, strict=True):
            if not math.isfinite(number):
                raise InvalidCommand(f"actuate: {channel.name} must be finite, got {number}")
            if not limit >= 0.0:
                raise InvalidCommand(
                    f"actuate: the effort limit of {channel.name} must be at least 0, got {limit}"
                )
        return values, limits

    def cap_velocity(self, limit: NDArray[np.float64] | Sequence[float]) -> None:
        """Bound the speed at which joints move to a position or under an effort, from the next command on.

        ``limit``: shape (channels,), rad/s or m/s. A motor that is sent to a position would otherwise hurry
        from one control step's target to the next. A twist and a joint's velocity are commands already.
        """
        self._velocity_caps = [float(value) for value in limit]

    def cap_acceleration(self, limit: NDArray[np.float64] | Sequence[float]) -> None:
        """Bound the acceleration of servos' profiles, (channels,) rad/s², from the next command on.

        Other motors need none: the limiter's targets for them have it.
        """
        self._acceleration_caps = [float(value) for value in limit]

    def _set_motors(self, values: list[float], limits: list[float]) -> None:
        speeds: list[float] = []
        forces: list[float] = []
        angles: list[float] = []
        if self._twist is not None:
            forward, turning = self._twist
            push = min(limits[forward], self._twist_caps[0])
            moment = min(limits[turning], self._twist_caps[1])
            speeds, force, angles = self.drive.command(values[forward], values[turning], push, moment)
            forces = [force] * len(speeds)
        for i, mode, joint in self._moving:
            cap = min(limits[i], joint.effort)
            if mode == "effort":
                speeds.append(math.copysign(min(joint.velocity, self._velocity_caps[i]), values[i]))
                forces.append(min(abs(values[i]), cap))
            else:
                speeds.append(max(-joint.velocity, min(joint.velocity, values[i])))
                forces.append(cap)
        client = self.client
        allowed = self._allowed = dict(zip(self._motors, forces, strict=True))
        if speeds:
            client.setJointMotorControlArray(
                self.body, self._motors, client.VELOCITY_CONTROL, targetVelocities=speeds, forces=forces
            )
        for joint, angle in zip(self._hinges, angles, strict=True):
            allowed[joint.index] = joint.effort
            client.setJointMotorControl2(
                self.body,
                joint.index,
                client.POSITION_CONTROL,
                targetPosition=angle,
                maxVelocity=joint.velocity,
                force=joint.effort,
            )
        for i, joint in self._served:
            assert self.servos is not None
            target = values[i] if joint.range is None else max(joint.range[0], min(joint.range[1], values[i]))
            top = min(joint.velocity, self._velocity_caps[i])
            self.servos.bound(joint.index, top, self._acceleration_caps[i])
            self.servos.command(joint.index, target, min(limits[i], joint.effort))
        for i, joint in self._positioned:
            force = allowed[joint.index] = min(limits[i], joint.effort)
            target = values[i] if joint.range is None else max(joint.range[0], min(joint.range[1], values[i]))
            client.setJointMotorControl2(
                self.body,
                joint.index,
                client.POSITION_CONTROL,
                targetPosition=target,
                maxVelocity=min(joint.velocity, self._velocity_caps[i]),
                force=force,
            )

    # Reading

    def read(self) -> BodyState:
        """Read the body from the physics, keep it as ``state`` and return it."""
        position, turn = self._read_pose()
        velocity, spin = self._read_motion()
        joints = self._read_joints() if self.joint_indices else ()
        (ox, oy, oz), orientation = self._from_inertial
        if self._is_turned:
            turn = self.client.multiplyTransforms((0.0, 0.0, 0.0), turn, (0.0, 0.0, 0.0), orientation)[1]
        x, y, z, w = turn
        xx, yy, zz, xy, xz, yz, xw, yw, zw = x * x, y * y, z * z, x * y, x * z, y * z, x * w, y * w, z * w
        a, b, c = 1.0 - 2.0 * (yy + zz), 2.0 * (xy - zw), 2.0 * (xz + yw)
        d, e, f = 2.0 * (xy + zw), 1.0 - 2.0 * (xx + zz), 2.0 * (yz - xw)
        g, h, i = 2.0 * (xz - yw), 2.0 * (yz + xw), 1.0 - 2.0 * (xx + yy)
        # PyBullet reports the centre of mass of the base; the offset back to the base link, in the world:
        if self._is_turned:
            (lx, ly, lz), _ = self._to_inertial
            ox, oy, oz = -lx, -ly, -lz
        sx, sy, sz = a * ox + b * oy + c * oz, d * ox + e * oy + f * oz, g * ox + h * oy + i * oz
        wx, wy, wz = spin
        vx = velocity[0] + wy * sz - wz * sy
        vy = velocity[1] + wz * sx - wx * sz
        vz = velocity[2] + wx * sy - wy * sx
        self.state = BodyState(
            (position[0] + sx, position[1] + sy, position[2] + sz),
            (a, b, c, d, e, f, g, h, i),
            math.atan2(d, a),
            (a * vx + d * vy + g * vz, b * vx + e * vy + h * vz, c * vx + f * vy + i * vz),
            (a * wx + d * wy + g * wz, b * wx + e * wy + h * wz, c * wx + f * wy + i * wz),
            joints,
            self._allowed,
        )
        return self.state

    def efforts(self) -> list[float]:
        """What the motor of each joint used gave at the last `read`, N·m or N."""
        state = self.state
        # Of a motor without force, PyBullet goes on telling the last torque that it had
        told = [
            joint[3] if state.allowed.get(index) else 0.0
            for index, joint in zip(self.joint_indices, state.joints, strict=True)
        ]
        if self.servos is not None:
            for place, index in self._servo_places:
                told[place] = self.servos.drive(index)
        return told

    def motion(self) -> Measured:
        """What `measured` reports, without the effort; the arrays are written anew when it is asked again."""
        state, (position, velocity) = self.state, self._moved
        if self._twist is not None:
            forward, turning = self._twist
            velocity[forward], velocity[turning] = state.velocity[0], state.rates[2]
        for k, channel in enumerate(self._measured_joint, self._drive_count):
            position[channel], velocity[channel] = state.joints[k][:2]
        return self._motion

    def measured(self) -> Measured:
        """What the channels report for the last ``read``: arrays of shape (1, channels).

        ``linear.x`` has the body's forward velocity (m/s) and the sum of the wheels' torques over their
        radius (N); ``angular.z`` the yaw rate (rad/s) and the wheels' torque difference as a moment (N·m).
        Their position is 0: a twist has none.
        """
        torques, effort = self.efforts(), [0.0] * len(self.channels)
        if self._twist is not None:
            forward, turning = self._twist
            effort[forward], effort[turning] = self.drive.efforts(torques)
        for k, channel in enumerate(self._measured_joint, self._drive_count):
            effort[channel] = torques[k]
        self.motion()
        position, velocity = np.array(self._moved)[:, None]  # copies
        return Measured(position, velocity, np.array([effort]))
