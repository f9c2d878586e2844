"""`nerfbot servo scan|id|calibrate|monitor|drive`: set-up help for a robot on a servo bus, and its driver."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from nerfbot.cli.consent import YES, agree, motion
from nerfbot.cli.registers import port_of
from nerfbot.errors import InvalidCommand

app = typer.Typer(
    name="servo", help="Servo buses: find, number, calibrate, watch, drive.", no_args_is_help=True
)

PORT = Annotated[str, typer.Option(help="/dev/ttyUSB0 or the like, or `emulator`.")]
ROBOT = Annotated[str, typer.Option(help="A robot on a servo bus, by name or YAML file.")]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

BAUDS = {"feetech": (1_000_000, 500_000, 115_200), "dynamixel": (1_000_000, 57_600, 115_200)}


@app.callback()
def _group() -> None:
    pass


@app.command()
def scan(
    port: PORT,
    robot: ROBOT = "so101",
    last: Annotated[int, typer.Option(help="Highest ID to ask.")] = 20,
    as_json: JSON = False,
) -> None:
    """Ask at the usual baud rates, in both protocols, who is there. Nothing is written."""
    from nerfbot.hardware.bus.bus import Bus
    from nerfbot.hardware.bus.control_table import load_servo, servo_models
    from nerfbot.hardware.bus.port import Port

    if not 0 <= last <= 252:
        raise InvalidCommand(f"--last = {last}: must be from 0 to 252")
    names = {load_servo(model).number: model for model in servo_models()}
    found: list[dict[str, Any]] = []
    with port_of(port, robot) as path:
        for protocol, bauds in BAUDS.items():
            for baud in bauds:
                with closing(Bus(Port(path, baud), protocol)) as bus:
                    for id, number in bus.scan(range(last + 1)).items():
                        model = names.get(number, f"model number {number}")
                        found.append({"id": id, "model": model, "protocol": protocol, "baud": baud})
                if found:
                    break
            if found:
                break
    if as_json:
        print(json.dumps(found))
    else:
        table = Table()
        for heading in ("id", "model", "protocol", "baud"):
            table.add_column(heading, justify="right" if heading in ("id", "baud") else "left")
        for row in found:
            table.add_row(*(str(row[key]) for key in ("id", "model", "protocol", "baud")))
        Console().print(table if found else f"{port}: nobody answers (power? wiring? higher IDs?)")
    raise typer.Exit(0 if found else 1)


@app.command("id")
def change_id(
    port: PORT,
    old: Annotated[int, typer.Option("--from", help="The servo's ID now.")],
    new: Annotated[int, typer.Option("--to", help="Its new ID.")],
    robot: ROBOT = "so101",
    model: Annotated[str | None, typer.Option(help="The servo's model; default: that of the robot.")] = None,
    yes: YES = False,
) -> None:
    """Give one servo another ID. Connect that servo alone, or be sure that no other has either ID."""
    from nerfbot.hardware.bus.bus import Bus
    from nerfbot.hardware.bus.control_table import load_servo
    from nerfbot.hardware.bus.port import Port
    from nerfbot.hardware.robot import ServoRobot

    description = ServoRobot.load(robot)
    servo = load_servo(model) if model else description.servos.get(old, description.joints[0].servo)
    agree(port, f"the torque of servo {old} goes off, and its EEPROM gets the ID {new}.", yes)
    with (
        port_of(port, robot) as path,
        closing(Bus(Port(path, description.baud), servo.protocol, {old: servo})) as bus,
    ):
        bus.change_id(old, new)
    print(f"servo {old} is servo {new} now")


@app.command()
def calibrate(
    port: PORT,
    out: Annotated[Path, typer.Argument(help="The file to write, in LeRobot's format.")],
    robot: ROBOT = "so101",
    yes: YES = False,
) -> None:
    """Record homing offsets and ranges while you move the arm by hand; torque stays off."""
    from nerfbot.hardware.driver.calibration import Recorder
    from nerfbot.hardware.driver.setup import open_bus
    from nerfbot.hardware.robot import ServoRobot

    description, console = ServoRobot.load(robot), Console()
    agree(port, f"the torque of {description.name} goes off: hold the arm, or it falls.", yes)
    with port_of(port, robot) as path, closing(open_bus(description, path)) as bus:
        recorder = Recorder(bus, description)
        console.input("Move every joint to the middle of its range and press Enter. ")
        recorder.middle()
        console.print("Move every joint through its whole range; Ctrl-C ends.")
        with Live(console=console, refresh_per_second=8) as live, suppress(KeyboardInterrupt):
            while True:
                live.update(_ranges(recorder.look()))
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
    seconds: Annotated[float, typer.Option(help="How long; 0: until Ctrl-C.")] = 0.0,
    as_json: JSON = False,
) -> None:
    """Watch position, velocity, load, voltage, temperature and status. Nothing is written.

    With `--json` it reads once.
    """
    from nerfbot.hardware.driver.setup import open_bus
    from nerfbot.hardware.robot import ServoRobot

    description = ServoRobot.load(robot)
    with (
        port_of(port, robot) as path,
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
    """One row a joint, SI units; a joint that does not answer has its name alone."""
    blocks = {joint.id: joint.servo.block(*joint.servo.feedback) for joint in robot.joints}
    replies: dict[int, Any] = {}
    for _ in range(3):
        rest = {id: block for id, block in blocks.items() if id not in replies}
        replies |= bus.read_blocks(rest) if rest else {}
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


@app.command()
def drive(
    spec: Annotated[str, typer.Argument(help="The nerf: a preset's name or a YAML file.")],
    port: PORT,
    robot: ROBOT = "so101",
    folder: Annotated[Path | None, typer.Option(help="Where the sockets are made.")] = None,
    calibration: Annotated[Path | None, typer.Option(help="A calibration in LeRobot's format.")] = None,
    supervisor: Annotated[
        Path | None, typer.Option(help="The supervisor's socket, to be told of latches.")
    ] = None,
    allow: Annotated[list[str] | None, typer.Option(help="A limit that may go unenforced, by name.")] = None,
    yes: YES = False,
) -> None:
    """Run the driver until Ctrl-C: it moves nothing without a permit and a command."""
    from nerfbot.hardware.driver.calibration import calibrated
    from nerfbot.hardware.driver.service import Setting, serve
    from nerfbot.hardware.robot import ServoRobot
    from nerfbot.limits import NerfSpec

    description = ServoRobot.load(robot)
    if calibration is not None:
        description = calibrated(description, calibration)
    loaded = NerfSpec.load(spec)
    agree(port, motion(description, loaded, allow or ()), yes)
    place = folder or Path(tempfile.mkdtemp(prefix="nerfbot-drive-"))
    place.mkdir(parents=True, exist_ok=True)
    with port_of(port, robot) as path:
        setting = Setting(
            description, loaded, path, place, place / "audit.jsonl",
            allow=tuple(allow or ()), supervisor=supervisor,
        )  # fmt: skip
        serve(
            setting, lambda: print(f"{description.name} under {loaded.name}: sockets in {place}", flush=True)
        )


@app.command()
def teleoperate(
    leader: Annotated[str, typer.Option(help="The leader arm's port: moved by hand, its torque stays off.")],
    port: PORT,
    nerf: Annotated[str, typer.Option(help="The follower's nerf: a preset's name or a YAML file.")],
    robot: ROBOT = "so101",
    leader_calibration: Annotated[
        Path | None, typer.Option(help="The leader's, in LeRobot's format.")
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="The follower's.")] = None,
    supervised: Annotated[
        bool, typer.Option("--supervised", help="Permits come from a supervisor of yours, not from here.")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="Where the driver's sockets are made.")] = None,
    seconds: Annotated[float, typer.Option(help="How long; 0: until Ctrl-C.")] = 0.0,
    yes: YES = False,
) -> None:
    """Let a leader arm command a nerfed follower of the same kind, through the driver and its guards.

    While it runs, it permits the follower to move; when it ends, the follower stops and is let down.
    """
    from nerfbot.hardware.driver.calibration import calibrated
    from nerfbot.hardware.driver.teleoperation import teleoperating
    from nerfbot.hardware.robot import ServoRobot
    from nerfbot.limits import NerfSpec

    description, loaded = ServoRobot.load(robot), NerfSpec.load(nerf)
    theirs = calibrated(description, leader_calibration) if leader_calibration else description
    ours = calibrated(description, calibration) if calibration else description
    agree(leader, f"the torque of the leader {theirs.name} goes off: hold the arm, or it falls.", yes)
    agree(port, motion(ours, loaded), yes)
    place = folder or Path(tempfile.mkdtemp(prefix="nerfbot-teleoperate-"))
    place.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + seconds if seconds > 0.0 else float("inf")
    console, said = Console(), ""
    with (
        port_of(leader, robot) as led,
        port_of(port, robot) as driven,
        teleoperating(theirs, led, ours, driven, loaded, place, supervised) as arms,
        suppress(KeyboardInterrupt),
    ):
        console.print(f"{ours.name} under {loaded.name} follows; Ctrl-C ends it (sockets in {place})")
        while time.monotonic() < until:
            state = arms.step()
            told = state["phase"] + ": " + (state["latched"] or "; ".join(state["reasons"]) or "follows")
            if told != said:
                console.print(told)
                said = told
