"""The bus on real bytes: reads, acknowledged writes, many servos at once, noise, unplugging, bad ports."""

from __future__ import annotations

import pytest

from nerfbot.hardware.bus.port import Port
from nerfbot.hardware.emulator.process import wait_until
from nerfbot.hardware.errors import InvalidServo, NoReply, NotAcknowledged, PortError, ServoRefused

pytestmark = pytest.mark.realtime

ROBOTS = ("so101", "koch")


@pytest.mark.parametrize("robot", ROBOTS)
def test_every_servo_is_found_with_its_model(robot, emulate, connect):
    bus = connect(emulate(robot), robot)
    numbers = bus.scan(range(10))
    assert numbers == {id: servo.number for id, servo in bus.servos.items()}


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_checked_write_is_what_the_servo_holds(robot, emulate, connect):
    emulated = emulate(robot)
    bus = connect(emulated, robot)
    name = bus.servos[3].limits["effort"].ram
    bus.write_checked(3, name, 300)
    assert bus.read(3, name) == 300
    assert emulated.state()[3]["values"][name] == 300
    writes = [entry for entry in emulated.read_log() if entry[1] == "w"]
    assert [entry[2] for entry in writes] == [3]


@pytest.mark.parametrize("robot", ROBOTS)
def test_blocks_of_all_servos_are_read_and_written_in_one_exchange(robot, emulate, connect):
    emulated = emulate(robot)
    bus = connect(emulated, robot)
    goal = {
        id: bus.block_of(id, {servo.limits["acceleration"].ram: 100 + id}) for id, servo in bus.servos.items()
    }
    bus.write_blocks(goal)
    blocks = {id: servo.block(*servo.feedback) for id, servo in bus.servos.items()}
    replies = bus.read_blocks(blocks)
    assert list(replies) == list(bus.servos)
    for id, servo in bus.servos.items():
        assert bus.read(id, servo.limits["acceleration"].ram) == 100 + id
        reading = servo.decode_block(blocks[id][0], replies[id].data)
        assert id in (2, 3, 4) or reading["present_position"] == 2048  # the others sink, without torque


def test_eeprom_is_refused_outside_set_up_and_while_torque_is_on(emulate, connect):
    bus = connect(emulate())
    with pytest.raises(InvalidServo, match="max_torque_limit lies in EEPROM"):
        bus.write(1, "max_torque_limit", 500)
    with pytest.raises(InvalidServo, match="max_torque_limit lies in EEPROM"):
        bus.write_checked(1, "max_torque_limit", 500)
    bus.write_checked(1, "torque_enable", 1)
    with pytest.raises(ServoRefused, match="torque_enable = 1"):
        bus.write_eeprom(1, {"max_torque_limit": 500})


@pytest.mark.parametrize(("robot", "name"), [("so101", "max_torque_limit"), ("koch", "pwm_limit")])
def test_eeprom_is_written_once_locked_again_and_survives_a_restart(robot, name, emulate, connect):
    emulated = emulate(robot)
    bus = connect(emulated, robot)
    assert bus.write_eeprom(1, {name: 500}) == [name]
    assert bus.write_eeprom(1, {name: 500}) == []
    if "lock" in bus.servos[1].registers:
        assert bus.read(1, "lock") == 1
    emulated.fault("brown_out")
    assert wait_until(lambda: bus.identify(1) is not None)
    assert bus.read(1, name) == 500


def test_a_value_that_does_not_fit_is_refused_before_anything_is_written(emulate, connect):
    emulated = emulate()
    bus = connect(emulated)
    with pytest.raises(InvalidServo, match="max_torque_limit = 1001"):
        bus.write_eeprom(1, {"position_p": 20, "max_torque_limit": 1001})
    assert not [entry for entry in emulated.read_log() if entry[1] == "w"]


def test_a_dynamixel_that_refuses_says_why(emulate, connect):
    bus = connect(emulate("koch"), "koch")
    bus.write_eeprom(1, {"pwm_limit": 500})
    with pytest.raises(ServoRefused, match="servo 1: goal_pwm = 501: data limit error"):
        bus.write(1, "goal_pwm", 501)


@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("fault", ["corruption", "bad_checksum", "partial", "wrong_id", "noise", "silence"])
def test_one_spoilt_answer_is_asked_for_again(robot, fault, emulate, connect):
    emulated = emulate(robot)
    bus = connect(emulated, robot)
    emulated.fault(fault, servo=2, count=1)
    assert bus.read(2, "model_number") == bus.servos[2].number
    bus.write_checked(2, "torque_enable", 0)


@pytest.mark.parametrize("robot", ROBOTS)
def test_after_any_noise_every_answer_is_the_right_servos(robot, emulate, connect):
    emulated = emulate(robot)
    bus = connect(emulated, robot)
    for id in bus.servos:
        bus.write_checked(id, bus.servos[id].limits["velocity"].ram, 100 + id)
    for fault in ("corruption", "partial", "noise", "wrong_id", "late"):
        emulated.fault(fault, count=6, value=0.03 if fault == "late" else 2)
        for _ in range(3):
            for id, servo in bus.servos.items():
                try:
                    assert bus.read(id, servo.limits["velocity"].ram) == 100 + id
                except NoReply:
                    continue
        emulated.do("clear")


def test_silence_names_the_servo_and_a_late_answer_is_not_taken_for_the_next(emulate, connect):
    emulated = emulate()
    bus = connect(emulated)
    bus.write_checked(1, "goal_velocity", 1234)
    emulated.fault("late", servo=1, count=1, value=0.04)
    packet = bus.protocol.read(1, 46, 2)
    assert bus._exchange(packet, {1: 2}) == {}
    wait_until(lambda: False, 0.06)
    assert bus.read(1, "torque_limit") == 1000
    assert (bus.late, bus.stray_count) == (1, 0)
    emulated.fault("silence", servo=4)
    with pytest.raises(NoReply, match="servo 4 does not answer"):
        bus.read(4, "torque_limit")


def test_the_echo_of_an_adapter_is_found_out_and_ignored(emulate, connect):
    emulated = emulate()
    bus = connect(emulated)
    assert not bus.probe_echo()
    emulated.fault("echo")
    assert bus.probe_echo()
    assert bus.read(1, "present_position") == 2048
    bus.write_checked(1, "goal_velocity", 77)
    assert bus.identify(1) == 777
    assert bus.stray_count == 0


def test_a_servo_that_forgets_what_is_written_is_found_out(emulate, connect):
    emulated = emulate()
    bus = connect(emulated)
    bus.servos[1] = bus.servos[1].model_copy(deep=True)
    read_only = bus.servos[1].registers["present_position"].model_copy(update={"access": "rw", "high": 4095})
    bus.servos[1].registers["present_position"] = read_only
    with pytest.raises(NotAcknowledged, match="present_position = 7: the servo holds 2048"):
        bus.write_checked(1, "present_position", 7)


def test_the_port_comes_back_after_an_unplug(emulate, connect):
    emulated = emulate()
    bus = connect(emulated)
    emulated.fault("unplug")
    with pytest.raises(PortError, match=r"port .*: (lost|is closed)"):
        bus.read(1, "present_position")
    assert not bus.port.try_reopen()
    emulated.fault("replug")
    assert wait_until(bus.port.try_reopen)
    assert bus.read(1, "present_position") == 2048


def test_attempts_to_reopen_are_spaced():
    now = [0.0]
    port = Port.__new__(Port)
    port.path, port.baud, port.clock = "/nowhere/ttyUSB9", 1_000_000, lambda: now[0]
    port._device, port._fd, port._failures, port._next_try = None, -1, 0, 0.0
    tries = []

    def open_it():
        tries.append(now[0])
        raise PortError("gone")

    port.open = open_it
    for step in range(400):
        now[0] = step * 0.01
        port.try_reopen()
    assert tries == pytest.approx([0.0, 0.05, 0.15, 0.35, 0.85, 1.85, 2.85, 3.85], abs=0.04)


def test_a_wrong_baud_rate_is_silence_and_not_a_reading(emulate, connect):
    bus = connect(emulate(), baud=115_200)
    assert bus.scan(range(1, 4)) == {}


def test_a_port_has_one_owner(emulate, connect):
    emulated = emulate()
    connect(emulated)
    with pytest.raises(PortError, match="is busy"):
        connect(emulated)


@pytest.mark.parametrize(
    ("path", "message"),
    [("/nowhere/ttyUSB9", "there is no such port"), ("/dev/null", "is not a serial port")],
)
def test_a_wrong_port_gives_one_line(path, message):
    with pytest.raises(PortError, match=message) as caught:
        Port(path, 1_000_000)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_clock_that_jumps_does_not_disturb_an_exchange(emulate, connect, monkeypatch):
    emulated = emulate()
    bus = connect(emulated)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert bus.read(1, "present_position") == 2048
