"""One robot in a physics client: it loads the URDF, commands the joint motors and reads its own body.

The limits are physical: an effort limit is the torque that a motor may use, a velocity limit the speed that a
motor pulls towards and never past. What the robot senses of the world is in the plant's `sensors`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerfbot.declared import suggestion
from nerfbot.errors import InvalidCommand
from nerfbot.limits import Channel, Measured
from nerfbot.limits.channel import Floats, MotionLimits
from nerfbot.limits.compiled import compiled

from ..errors import InvalidRobot, UnknownChannel
from ..physics.client import Client, warnings_on_stderr
from ..physics.collision import GROUND, WHEELS
from .description import TWIST, ChannelRow, RobotDescription
from .drives import Kinematics, kinematics_of
from .motors import JointMotors, JointSpec, Motors, TwistMotors
from .servos import ServoMotors, SimulatedServo
from .urdf import check_urdf

Numbers = NDArray[np.float64] | Sequence[float]


JOINT_ITERATIONS = 200
"""Of PyBullet's solver where joints are commanded one by one: with the usual 50 the light joints of an arm
miss their accelerations by up to half when the effort of another is saturated."""


class BodyState(NamedTuple):
    """The base link at one instant, in the world unless said otherwise; rotation is row-major, body to world.

    ``velocity`` is (forward, leftward, upward) in m/s and ``rates`` (roll, pitch, yaw) in rad/s, both in the
    robot's own axes; ``heading`` in rad; ``joints`` holds PyBullet's (position, velocity, reaction, motor
    effort) of each joint used, ``available`` the force (N·m or N) that each motor might use, by index.
    """

    position: tuple[float, float, float]
    rotation: tuple[float, ...]
    heading: float
    velocity: tuple[float, float, float]
    rates: tuple[float, float, float]
    joints: Sequence[tuple[float, float, tuple[float, ...], float]]
    available: Mapping[int, float]


@compiled
def _are_valid(values: np.ndarray, limits: np.ndarray) -> bool:
    """Whether all commands are finite and no limit is NaN or below 0."""
    bad = 0
    for k in range(values.size):
        bad += (not math.isfinite(values[k])) + (not limits[k] >= 0.0)
    return bad == 0


class Robot:
    """A robot standing in a client.

    Its drive turns a twist into wheel speeds and steering angles (`drives`); other channels are joints,
    commanded by velocity, effort or position (`motors`), or servos (`servos`), which yield under load. The
    client sets the motors before each of its physics steps.

    A force from outside that exceeds the effort limit can still push the robot faster than commanded: its
    motors then brake with all the effort they are allowed. That is what a real robot does, and nothing more
    is enforceable.

    Raises `InvalidRobot`: missing or broken URDF, an effort or velocity limit that is stated nowhere.
    `UnknownChannel`: a row of the table names a joint that the URDF does not have.
    """

    def __init__(self, client: Client, description: RobotDescription) -> None:
        self.client, self.description = client, description
        path = description.urdf_path()
        check_urdf(path, description.name, description.commanded_joints(), description.rest)
        flags = client.URDF_USE_INERTIA_FROM_FILE | client.URDF_USE_IMPLICIT_CYLINDER
        try:
            with warnings_on_stderr():
                self.body: int = client.loadURDF(str(path), useFixedBase=description.fixed_base, flags=flags)
        except Exception as error:  # pybullet.error, which has no stable name without the module
            raise InvalidRobot(f"{description.name}: urdf: PyBullet cannot load {path}: {error}") from None
        self.channels: tuple[Channel, ...] = tuple(row.channel() for row in description.channels)
        self._infos = [client.getJointInfo(self.body, i) for i in range(client.getNumJoints(self.body))]
        self._movable = [info for info in self._infos if info[2] != client.JOINT_FIXED]
        self.links = {info[12].decode(): i for i, info in enumerate(self._infos)}
        self._available: dict[int, float] = {}
        """The force that each motor may use, by URDF index; written anew by every command."""
        self._position, self._velocity = np.zeros((2, len(self.channels)))
        self._motion = Measured(self._position[None], self._velocity[None])
        self._create_motors()
        self._read_pose = client.bound("getBasePositionAndOrientation", self.body)
        self._read_motion = client.bound("getBaseVelocity", self.body)
        self._read_joints = client.bound("getJointStates", self.body, self.joint_indices)
        offset, turn = client.getDynamicsInfo(self.body, -1)[3:5]
        self._to_inertial = (offset, turn)
        self._from_inertial = client.invertTransform(offset, turn)
        self._is_turned = self._from_inertial[1] != (0.0, 0.0, 0.0, 1.0)
        for link, friction in description.friction.items():
            client.changeDynamics(self.body, self._link("friction", link), lateralFriction=friction)
        on_ground = {self._link("ground_links", link) for link in description.ground_links}
        for index in on_ground:
            client.setCollisionFilterGroupMask(self.body, index, WHEELS, GROUND)
        self.solid_links = [i for i in (-1, *range(len(self._infos))) if i not in on_ground]
        """Links that can meet walls and objects; -1 is the base."""
        self.place(0.0, 0.0, 0.0)
        self.footprint = self._measure_footprint()
        self.state = self.read()

    # Loading

    def _unknown(self, field: str, name: str, known: Sequence[str]) -> UnknownChannel:
        hint = suggestion(name, known)
        return UnknownChannel(f"{self.description.name}: {field}: the robot has no {name!r}{hint}")

    def _link(self, field: str, name: str) -> int:
        if name not in self.links:
            raise self._unknown(field, name, list(self.links))
        return self.links[name]

    def _info(self, name: str, field: str) -> Any:
        info = next((info for info in self._movable if info[1].decode() == name), None)
        if info is None:
            raise self._unknown(field, name, [info[1].decode() for info in self._movable])
        return info

    def _wheel(self, name: str) -> JointSpec:
        """A driven wheel; limits that the URDF leaves at 0 follow from those of the twist channels."""
        info = self._info(name, "drive")
        limits: dict[str, float] = {}
        for limit, stated in self.description.wheel_limits().items():
            in_urdf = info[10] if limit == "effort" else info[11]
            if in_urdf <= 0 and stated is None:
                rows = "linear.x" if limit == "effort" else " and ".join(TWIST)
                raise InvalidRobot(
                    f"{self.description.name}: drive: the URDF gives wheel {name!r} {limit} {in_urdf:g};"
                    f" state the {limit} of {rows} in channels"
                )
            limits[limit] = in_urdf if in_urdf > 0 or stated is None else stated
        turn = self.client.getLinkState(self.body, info[0])[5]
        across = self.client.multiplyTransforms((0, 0, 0), turn, info[13], (0, 0, 0, 1))[0][1]
        if across < 0.9:
            way = "rolls backwards" if across < -0.9 else "does not roll along +x"
            raise InvalidRobot(f"{self.description.name}: drive: wheel {name!r} {way}: its axis must be +y")
        return JointSpec(name, info[0], limits["effort"], limits["velocity"], None)

    def _joint(self, name: str, row: ChannelRow | None, field: str) -> JointSpec:
        """A joint with the tighter of the limits that the channel table and the URDF state."""
        info = self._info(name, field)
        limits = {}
        for limit, in_table, in_urdf in (
            ("effort", row.effort if row else None, info[10]),
            ("velocity", row.velocity if row else None, info[11]),
        ):
            if in_table is None and in_urdf <= 0:
                raise InvalidRobot(
                    f"{self.description.name}: {field}: the URDF gives joint {name!r} {limit} {in_urdf:g}; "
                    f"state its {limit} limit in the channel table"
                )
            limits[limit] = min(value for value in (in_table, in_urdf) if value is not None and value > 0)
        bounds = (info[8], info[9]) if info[8] < info[9] else None
        return JointSpec(name, info[0], limits["effort"], limits["velocity"], bounds)

    def _create_motors(self) -> None:
        """Sort the channels into motors by kind, and note at which joint each channel is measured."""
        client, body, rows = self.client, self.body, self.description.channels
        self._motors: list[Motors] = []
        self._kinematics: Kinematics | None = None
        driven: list[JointSpec] = []
        self._rolling: list[int] = []
        drive = self.description.drive
        if drive is not None:
            wheels = [self._wheel(name) for name in drive.driven]
            hinges = [self._joint(name, None, "drive.steering") for name in drive.steering]
            self._rolling = [self._info(name, "drive.rolling")[0] for name in drive.rolling]
            effort, speed = min(wheel.effort for wheel in wheels), min(wheel.velocity for wheel in wheels)
            self._kinematics = kinematics_of(drive, effort, speed)
            limits = [math.inf if row.effort is None else row.effort for row in rows[:2]]
            self._motors.append(TwistMotors(client, body, self._kinematics, wheels, hinges, limits))
            driven = wheels + hinges
        joints = [
            (i, row, self._joint(row.joint_name, row, f"channels.{row.name}"))
            for i, row in enumerate(rows)
            if row.name not in TWIST
        ]
        served = [
            SimulatedServo(i, joint, row.servo, max_velocity=joint.velocity)
            for i, row, joint in joints
            if row.servo is not None
        ]
        self.servos = ServoMotors(client, body, served) if served else None
        if self.servos is not None:
            self._motors.append(self.servos)
        plain = [(i, row.mode, joint) for i, row, joint in joints if row.servo is None]
        self._joint_motors = JointMotors(client, body, plain) if plain else None
        if self._joint_motors is not None:
            client.setPhysicsEngineParameter(numSolverIterations=JOINT_ITERATIONS)
            self._motors.append(self._joint_motors)
        for motors in self._motors:
            client.before_step(motors.step)
        self.limit_motion()
        used = driven + [joint for _, _, joint in joints]
        self.joint_names = tuple(joint.name for joint in used)
        self.joint_indices = [joint.index for joint in used]
        self._joint_channels = list(enumerate((i for i, _, _ in joints), len(driven)))
        """Place among ``joint_indices`` and channel of each joint that has a channel of its own."""
        self._servo_places = [
            (self.joint_indices.index(each.joint.index), each.joint.index) for each in served
        ]
        """Place among ``joint_indices`` and URDF index of each servo."""
        unknown = set(self.description.rest) - {info[1].decode() for info in self._infos}
        if unknown:
            raise self._unknown("rest", sorted(unknown)[0], [info[1].decode() for info in self._infos])

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
        for info in self._movable:
            self.client.resetJointState(self.body, info[0], rest.get(info[1].decode(), 0.0))
        for motors in self._motors:
            motors.reset()
        self.limit_motion()
        self.brake()
        self.state = self.read()

    def brake(self) -> None:
        """Hold still: velocity motors at zero with the joint's full effort, positions held, unused joints
        locked.
        """
        for info in self._movable:
            if info[0] not in self.joint_indices:
                force = 0.0 if info[0] in self._rolling else info[10]
                self.client.setJointMotorControl2(
                    self.body, info[0], self.client.VELOCITY_CONTROL, targetVelocity=0.0, force=force
                )
        states = self.client.getJointStates(self.body, self.joint_indices)
        command = np.zeros(len(self.channels))
        for place, channel in self._joint_channels:
            if self.channels[channel].mode == "position":
                command[channel] = states[place][0]
        self.actuate(command)

    def actuate(self, command: Numbers, effort_limit: Numbers | None = None) -> None:
        """Command the motors; they keep a command until the next one.

        Args:
            command: shape (channels,), in the channels' units; or (steps, channels), one row for each of the
                coming physics steps, of which the last one stays.
            effort_limit: as large, N or N·m; inf or None where there is none. On ``linear.x`` F newtons give
                each of n driven wheels F * radius / n; on ``angular.z`` T newton metres give
                T * radius / (n * half track). The tightest of these and of the URDF's effort holds.

        Raises `InvalidCommand`: a wrong number of values, one that is not finite, or an effort limit below 0
        or NaN.

        """
        commands, limits = self.checked(command, effort_limit)
        self._available = {}
        for motors in self._motors:
            motors.command(commands, limits, self._available)

    def checked(self, command: Numbers, effort_limit: Numbers | None = None) -> tuple[Floats, Floats]:
        """Commands and effort limits as `actuate` takes them, (steps, channels); raises what it does."""
        values = np.asarray(command, np.float64)
        limits = np.full(values.shape, math.inf) if effort_limit is None else np.asarray(effort_limit, float)
        if values.shape[-1:] != (len(self.channels),) or limits.shape != values.shape:
            raise InvalidCommand(
                f"actuate: {self.description.name} has {len(self.channels)} channels, "
                f"got {values.shape[-1]} values and {limits.shape[-1]} effort limits"
            )
        if not _are_valid(values.ravel(), limits.ravel()):
            for place, number in np.ndenumerate(values):
                name, limit = self.channels[place[-1]].name, limits[place]
                if not math.isfinite(number):
                    raise InvalidCommand(f"actuate: {name} must be finite, got {number}")
                if not limit >= 0.0:
                    raise InvalidCommand(
                        f"actuate: the effort limit of {name} must be at least 0, got {limit}"
                    )
        return (values[None], limits[None]) if values.ndim == 1 else (values, limits)

    def limit_motion(self, limits: MotionLimits | None = None) -> None:
        """From the next physics step on, bound how joints move; None: unbounded.

        ``limits`` has one row. A servo brakes as it speeds up; a twist is bounded in the command already. The
        bounds hold at every physics step, as far as the effort suffices.
        """
        if limits is None:
            bounds = np.full((5, len(self.channels)), math.inf)
            bounds[3] = -math.inf
        else:
            bounds = np.concatenate(limits)
        for motors in self._motors:
            motors.limit(bounds.tolist())

    # Reading

    def read(self) -> BodyState:
        """Read the body from the physics; returns the new ``state``."""
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
            lx, ly, lz = self._to_inertial[0]
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
            self._available,
        )
        return self.state

    def efforts(self) -> list[float]:
        """What the motor of each joint used gave at the last `read`, N·m or N."""
        state, motors = self.state, self._joint_motors
        forces = state.available if motors is None else {**state.available, **motors.forces}
        torques = {} if motors is None else motors.torques
        efforts = []
        for index, joint in zip(self.joint_indices, state.joints, strict=True):
            # PyBullet still reports the last torque of a motor that has no force any more
            force = forces.get(index, 0.0)
            efforts.append(max(-force, min(force, joint[3])) + torques.get(index, 0.0))
        if self.servos is not None:
            for place, index in self._servo_places:
                efforts[place] = self.servos.load(index)
        return efforts

    def motion(self) -> Measured:
        """What `measured` reports, without the effort; the next call overwrites the arrays."""
        state, position, velocity = self.state, self._position, self._velocity
        if self._kinematics is not None:
            velocity[0], velocity[1] = state.velocity[0], state.rates[2]
        for place, channel in self._joint_channels:
            position[channel], velocity[channel] = state.joints[place][:2]
        return self._motion

    def measured(self) -> Measured:
        """What the channels report for the last ``read``: arrays of shape (1, channels).

        ``linear.x`` has the body's forward velocity (m/s) and the sum of the wheels' torques over their
        radius (N); ``angular.z`` the yaw rate (rad/s) and the wheels' torque difference as a moment (N·m).
        Their position is 0: a twist has none.
        """
        efforts, effort = self.efforts(), np.zeros((1, len(self.channels)))
        if self._kinematics is not None:
            effort[0, :2] = self._kinematics.twist_effort(efforts)
        for place, channel in self._joint_channels:
            effort[0, channel] = efforts[place]
        self.motion()
        return Measured(self._position[None].copy(), self._velocity[None].copy(), effort)
