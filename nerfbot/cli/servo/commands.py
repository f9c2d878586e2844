"""`nerfbot servo scan|id|baud|calibrate|monitor|drive|teleoperate`: set-up of a servo robot; its driver."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from nerfbot.cli.options import JSON
from nerfbot.cli.servo.confirmation import YES, confirm, enter_pressed, expected_motion
from nerfbot.cli.servo.register_check import opened_port
from nerfbot.errors import InvalidCommand

if TYPE_CHECKING:
    from nerfbot.hardware.bus.bus import Bus
    from nerfbot.hardware.robot import ServoRobot

app = typer.Typer(
    name="servo", help="Servo buses: scan, number, calibrate, monitor, drive.", no_args_is_help=True
)

PORT = Annotated[str, typer.Option(help="/dev/ttyUSB0 or the like, or `emulator`.")]
ROBOT = Annotated[str, typer.Option(help="A robot on a servo bus, by name or YAML file.")]
MODEL = Annotated[str | None, typer.Option(help="The servo's model; default: that of the robot.")]
FOLDER = Annotated[
    Path | None, typer.Option(help="Folder for the driver's sockets; default: a temporary one.")
]

MARGIN = Annotated[
    float,
    typer.Option(help="Time for an answer beyond its bits, s; more where the adapter holds answers back."),
]

BUSES = (
    *(("feetech", baud) for baud in (1_000_000, 500_000, 115_200)),
    *(("dynamixel", baud) for baud in (1_000_000, 57_600, 115_200)),
)
"""The usual protocols and baud rates, in the order of a scan."""


@app.command()
def scan(
    port: PORT,
    robot: ROBOT = "so101",
    last: Annotated[int, typer.Option(help="Highest ID to ping.")] = 20,
    as_json: JSON = False,
) -> None:
    """Find servos at the usual baud rates, in both protocols. Nothing is written."""
    from nerfbot.hardware.bus.bus import Bus
    from nerfbot.hardware.bus.port import Port
    from nerfbot.hardware.driver.setup import model_name

    if not 0 <= last <= 252:
        raise InvalidCommand(f"--last = {last}: must be from 0 to 252")
    servos: list[dict[str, Any]] = []
    with opened_port(port, robot) as path:
        for protocol, baud in BUSES:
            with closing(Bus(Port(path, baud), protocol)) as bus:
                for id, number in bus.scan(range(last + 1)).items():
                    model = model_name(bus, id, number)
                    servos.append({"id": id, "model": model, "protocol": protocol, "baud": baud})
            if servos:
                break
    if as_json:
        print(json.dumps(servos))
    else:
        table = Table()
        for heading in ("id", "model", "protocol", "baud"):
            table.add_column(heading, justify="right" if heading in ("id", "baud") else "left")
        for row in servos:
            table.add_row(*map(str, row.values()))
        Console().print(table if servos else f"{port}: no servo answers (power? wiring? higher IDs?)")
    raise typer.Exit(0 if servos else 1)


@app.command("id")
def change_id(
    port: PORT,
    old: Annotated[int, typer.Option("--from", help="The servo's present ID.")],
    new: Annotated[int, typer.Option("--to", help="Its new ID.")],
    robot: ROBOT = "so101",
    model: MODEL = None,
    baud: Annotated[int | None, typer.Option(help="The servo's baud rate; default: the robot's.")] = None,
    yes: YES = False,
) -> None:
    """Change the ID of one servo. Connect it alone, or make sure that no other has either ID."""
    with _one_servo(port, old, robot, model, baud, f"its EEPROM gets the ID {new}", yes) as bus:
        bus.change_id(old, new)
    print(f"servo {old} is servo {new} now")


@app.command("baud")
def change_baud(
    port: PORT,
    id: Annotated[int, typer.Option("--id", help="The servo's ID.")],
    old: Annotated[int, typer.Option("--from", help="Its present baud rate: 57600 for a new Dynamixel.")],
    new: Annotated[int, typer.Option("--to", help="Its new baud rate.")],
    robot: ROBOT = "so101",
    model: MODEL = None,
    yes: YES = False,
) -> None:
    """Change the baud rate of one servo: all servos of a robot speak at the same one."""
    with _one_servo(port, id, robot, model, old, f"its EEPROM gets the baud rate {new}", yes) as bus:
        bus.change_baud(id, new)
    print(f"servo {id} speaks at {new} bit/s now")


@contextmanager
def _one_servo(
    port: str, id: int, robot: str, model: str | None, baud: int | None, effect: str, yes: bool
) -> Iterator[Bus]:
    """Ask, and yield a bus at ``baud`` with the servo ``id`` of ``robot``, or of ``model``."""
    from nerfbot.hardware.bus.bus import Bus
    from nerfbot.hardware.bus.control_table import load_servo
    from nerfbot.hardware.bus.port import Port
    from nerfbot.hardware.robot import ServoRobot

    description = ServoRobot.load(robot)
    servo = load_servo(model) if model else description.servos.get(id, description.joints[0].servo)
    confirm(port, f"the torque of servo {id} goes off, and {effect}.", yes)
    with (
        opened_port(port, robot) as path,
        closing(Bus(Port(path, baud or description.baud), servo.protocol, {id: servo})) as bus,
    ):
        yield bus


@app.command()
def calibrate(
    port: PORT,
    out: Annotated[Path, typer.Argument(help="The file to write, in LeRobot's format.")],
    robot: ROBOT = "so101",
    yes: YES = False,
) -> None:
    """Record homing offsets and ranges while you move the arm by hand; torque stays off."""
    from nerfbot.hardware.driver.calibration import CalibrationRecorder
    from nerfbot.hardware.driver.setup import open_bus
    from nerfbot.hardware.robot import ServoRobot

    description, console = ServoRobot.load(robot), Console()
    confirm(port, f"the torque of {description.name} goes off: hold the arm, or it falls.", yes)
    with opened_port(port, robot) as path, closing(open_bus(description, path)) as bus:
        recorder = CalibrationRecorder(bus, description)
        console.input("Move every joint to the middle of its range and press Enter. ")
        recorder.set_middle()
        console.print("Move every joint through its whole range; Ctrl-C ends.")
        with Live(console=console, refresh_per_second=8) as live, suppress(KeyboardInterrupt):
            while True:
                live.update(_ranges(recorder.update_ranges()))
        recorder.save(out)
    console.print(f"calibration written to {out}")


def _ranges(ranges: dict[str, tuple[int, int]]) -> Table:
    table = Table("joint", "least", "most")
    for name, (low, high) in ranges.items():
        table.add_row(name, str(low), str(high))
    return table


@app.command()
def monitor(
    port: PORT,
    robot: ROBOT = "so101",
    seconds: Annotated[float, typer.Option(help="Duration; 0: until Ctrl-C.")] = 0.0,
    as_json: JSON = False,
) -> None:
    """Show position, velocity, load, voltage, temperature and status. Nothing is written.

    With `--json` it reads once.
    """
    from nerfbot.hardware.driver.setup import open_bus
    from nerfbot.hardware.robot import ServoRobot

    description = ServoRobot.load(robot)
    with (
        opened_port(port, robot) as path,
        closing(open_bus(description, path)) as bus,
        suppress(KeyboardInterrupt),
    ):
        if as_json:
            print(json.dumps(readings(bus, description)))
            return
        until = time.monotonic() + seconds if seconds > 0.0 else float("inf")
        with Live(refresh_per_second=10) as live:
            while time.monotonic() < until:
                live.update(_table(readings(bus, description)))
                time.sleep(0.1)


def readings(bus: Any, robot: Any) -> list[dict[str, Any]]:
    """One row per joint, in SI units; a joint that does not answer has only its name and ID."""
    blocks = {joint.id: joint.servo.block(*joint.servo.feedback) for joint in robot.joints}
    replies: dict[int, Any] = {}
    for _ in range(3):
        missing = {id: block for id, block in blocks.items() if id not in replies}
        replies |= bus.read_blocks(missing) if missing else {}
    rows: list[dict[str, Any]] = []
    for joint in robot.joints:
        row: dict[str, Any] = {"joint": joint.name, "id": joint.id}
        if joint.id in replies:
            servo = joint.servo
            values = servo.decode_block(servo.block(*servo.feedback)[0], replies[joint.id].data)
            velocity = values["present_velocity"] * servo.register("present_velocity").scale
            load = "present_load" if "present_load" in values else "present_current"
            row["position_rad"] = round(joint.radians(values["present_position"]), 4)
            row["velocity_rad_s"] = round(joint.direction * velocity, 4)
            row[f"{load}_{servo.register(load).unit}"] = round(values[load] * servo.register(load).scale, 4)
            row["voltage_V"] = round(values["present_voltage"] * 0.1, 1)
            row["temperature_degC"] = values["present_temperature"]
            row["status"] = ", ".join(servo.fault_names(values.get("hardware_status", 0))) or "ok"
        rows.append(row)
    return rows


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("joint", "id", "rad", "rad/s", "load", "V", "°C", "status")
    for row in rows:
        cells = [str(value) for value in row.values()]
        table.add_row(*(cells if len(cells) == 8 else [*cells, "", "", "", "", "", "no answer"]))
    return table


def _load_robot(robot: str, calibration: Path | None) -> ServoRobot:
    from nerfbot.hardware.lerobot import calibrated
    from nerfbot.hardware.robot import ServoRobot

    description = ServoRobot.load(robot)
    return description if calibration is None else calibrated(description, calibration)


def _check_margin(margin: float) -> None:
    if not 0.0 < margin <= 0.2:
        raise InvalidCommand(f"--margin = {margin:g}: must be above 0 and at most 0.2 s")


def _socket_folder(folder: Path | None) -> Path:
    sockets = folder or Path(tempfile.mkdtemp(prefix="nerfbot-driver-"))
    sockets.mkdir(parents=True, exist_ok=True)
    return sockets


@app.command()
def drive(
    spec: Annotated[str, typer.Argument(help="The nerf: a preset's name or a YAML file.")],
    port: PORT,
    robot: ROBOT = "so101",
    folder: FOLDER = None,
    calibration: Annotated[Path | None, typer.Option(help="A calibration in LeRobot's format.")] = None,
    supervisor: Annotated[
        Path | None, typer.Option(help="The supervisor's socket, which is notified of latches.")
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="A limit that may stay unenforced, by name; may be repeated.")
    ] = None,
    margin: MARGIN = 0.004,
    yes: YES = False,
) -> None:
    """Run the driver until Ctrl-C. Without a permit and a command it moves nothing."""
    from nerfbot.hardware.driver.service import DriverConfig, serve
    from nerfbot.limits import NerfSpec

    description, loaded = _load_robot(robot, calibration), NerfSpec.load(spec)
    limits = tuple(allow or ())
    _check_margin(margin)
    confirm(port, expected_motion(description, loaded, limits), yes)
    sockets = _socket_folder(folder)
    started = f"{description.name} under {loaded.name}: sockets in {sockets}"
    with opened_port(port, robot, calibration) as path:
        audit = sockets / "audit.jsonl"
        config = DriverConfig(description, loaded, path, sockets, audit, margin, limits, supervisor)
        serve(config, lambda: print(started, flush=True))


@app.command()
def teleoperate(
    leader: Annotated[
        str, typer.Option(help="Port of the leader arm, which is moved by hand with torque off.")
    ],
    port: PORT,
    nerf: Annotated[str, typer.Option(help="The follower's nerf: a preset's name or a YAML file.")],
    robot: ROBOT = "so101",
    leader_calibration: Annotated[
        Path | None, typer.Option(help="The leader's calibration, in LeRobot's format.")
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="The follower's calibration.")] = None,
    supervised: Annotated[
        bool, typer.Option("--supervised", help="Your own supervisor sends the permits, not this command.")
    ] = False,
    folder: FOLDER = None,
    seconds: Annotated[float, typer.Option(help="Duration; 0: until Ctrl-C.")] = 0.0,
    margin: MARGIN = 0.004,
    yes: YES = False,
) -> None:
    """Let a leader arm command a nerfed follower of the same kind, through the driver and its guards.

    The command permits the follower to move while it runs, and Enter clears its latch once the cause is
    gone; at its end the follower stops and is let down.
    """
    from nerfbot.hardware.driver.teleoperation import teleoperating
    from nerfbot.limits import NerfSpec

    loaded = NerfSpec.load(nerf)
    leading, following = _load_robot(robot, leader_calibration), _load_robot(robot, calibration)
    _check_margin(margin)
    confirm(leader, f"the torque of the leader {leading.name} goes off: hold the arm, or it falls.", yes)
    confirm(port, expected_motion(following, loaded), yes)
    sockets = _socket_folder(folder)
    until = time.monotonic() + seconds if seconds > 0.0 else float("inf")
    console, last_text = Console(), ""
    with (
        opened_port(leader, robot, leader_calibration) as leader_port,
        opened_port(port, robot, calibration) as follower_port,
        teleoperating(
            leading, leader_port, following, follower_port, loaded, sockets, supervised, margin
        ) as arms,
        suppress(KeyboardInterrupt),
    ):
        console.print(f"{following.name} under {loaded.name} follows; Ctrl-C ends it (sockets in {sockets})")
        while time.monotonic() < until:
            state = arms.step()
            if enter_pressed():
                arms.clear()
            text = arms.problem or _teleoperation_text(state, supervised)
            if text != last_text:
                console.print(text, markup=False)
                last_text = text


def _teleoperation_text(state: dict[str, Any], supervised: bool) -> str:
    """The follower's state in a line: what stops it, and what the operator does about it."""
    if not state["latched"]:
        return f"{state['phase']}: {'; '.join(state['reasons']) or 'follows'}"
    ready = "waits for the supervisor" if supervised else "press Enter to clear it"
    return f"{state['phase']}: {state['latched']}: {'; '.join(state['needs']) or ready}"
