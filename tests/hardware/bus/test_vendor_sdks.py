"""Both makers' own SDKs drive the emulator: witnesses that know nothing of this project's bus code.

dynamixel-sdk (ROBOTIS, Protocol 2.0) and feetech-servo-sdk (scservo_sdk). Their packets are also
compared with ours, byte by byte.
"""

from __future__ import annotations

import pytest

from nerfbot.hardware.bus.bus import PROTOCOLS
from nerfbot.hardware.emulator.process import wait_until

pytestmark = pytest.mark.realtime

dynamixel_sdk = pytest.importorskip("dynamixel_sdk")
scservo_sdk = pytest.importorskip("scservo_sdk")

TRIES = 5  # their time-outs are short for a busy machine


@pytest.fixture
def dynamixel(emulate):
    emulated = emulate("koch")
    port = dynamixel_sdk.PortHandler(str(emulated.port))
    assert port.setBaudRate(1_000_000)
    yield emulated, port, dynamixel_sdk.PacketHandler(2.0)
    port.closePort()


@pytest.fixture
def feetech(emulate):
    emulated = emulate("so101")
    port = scservo_sdk.PortHandler(str(emulated.port))
    assert port.setBaudRate(1_000_000)
    yield emulated, port, scservo_sdk.PacketHandler(0)
    port.closePort()


def again(call, good):
    """Call until it reports success, a few times."""
    result = call()
    for _ in range(TRIES):
        if good(result):
            break
        result = call()
    assert good(result), result
    return result


def test_dynamixel_sdk_pings_reads_and_writes(dynamixel):
    emulated, port, packets = dynamixel
    for id, number in {1: 1060, 6: 1200}.items():
        assert again(lambda id=id: packets.ping(port, id), lambda r: r[1] == 0)[0] == number
    again(lambda: packets.write4ByteTxRx(port, 5, 112, 123), lambda r: r[0] == 0 and r[1] == 0)
    assert again(lambda: packets.read4ByteTxRx(port, 5, 112), lambda r: r[1] == 0)[0] == 123
    assert emulated.state()[5]["values"]["profile_velocity"] == 123
    assert again(lambda: packets.read2ByteTxRx(port, 5, 144), lambda r: r[1] == 0)[0] == 50


def test_dynamixel_sdk_is_refused_where_the_manual_says_so(dynamixel):
    _, port, packets = dynamixel
    again(lambda: packets.write1ByteTxRx(port, 5, 64, 1), lambda r: r[0] == 0)
    cases = {
        "EEPROM with torque on": (lambda: packets.write2ByteTxRx(port, 5, 38, 100), 7),
        "goal current beyond the limit": (lambda: packets.write2ByteTxRx(port, 5, 102, 1751), 4),
        "read-only register": (lambda: packets.write4ByteTxRx(port, 5, 132, 1), 7),
    }
    for name, (call, error) in cases.items():
        assert again(call, lambda r: r[0] == 0)[1] == error, name


def test_dynamixel_sdk_reads_and_writes_all_servos_at_once(dynamixel):
    emulated, port, packets = dynamixel
    write = dynamixel_sdk.GroupSyncWrite(port, packets, 112, 4)
    bulk = dynamixel_sdk.GroupBulkWrite(port, packets)
    for id in range(1, 7):
        assert write.addParam(id, list((50 + id).to_bytes(4, "little")))
    assert write.txPacket() == 0
    bulk.addParam(1, 108, 4, list((7).to_bytes(4, "little")))
    bulk.addParam(5, 102, 2, list((300).to_bytes(2, "little")))
    assert bulk.txPacket() == 0
    assert wait_until(lambda: emulated.state()[5]["values"]["goal_current"] == 300)
    read = dynamixel_sdk.GroupSyncRead(port, packets, 112, 4)
    for id in range(1, 7):
        read.addParam(id)
    again(read.txRxPacket, lambda r: r == 0)
    assert [read.getData(id, 112, 4) for id in range(1, 7)] == [51, 52, 53, 54, 55, 56]
    bulk_read = dynamixel_sdk.GroupBulkRead(port, packets)
    bulk_read.addParam(1, 108, 4)
    bulk_read.addParam(5, 102, 2)
    again(bulk_read.txRxPacket, lambda r: r == 0)
    assert (bulk_read.getData(1, 108, 4), bulk_read.getData(5, 102, 2)) == (7, 300)


def test_dynamixel_sdk_sees_the_watchdog_stop_a_servo(dynamixel):
    emulated, port, packets = dynamixel
    again(lambda: packets.write4ByteTxRx(port, 5, 112, 40), lambda r: r[0] == 0)
    again(lambda: packets.write1ByteTxRx(port, 5, 64, 1), lambda r: r[0] == 0)
    again(lambda: packets.write1ByteTxRx(port, 5, 98, 5), lambda r: r[0] == 0)
    again(lambda: packets.write4ByteTxRx(port, 5, 116, 3500), lambda r: r[0] == 0)
    assert wait_until(lambda: emulated.state()[5]["values"]["bus_watchdog"] == -1)
    assert wait_until(lambda: abs(emulated.state()[5]["velocity"]) < 0.02)
    assert emulated.state()[5]["angle"] < 3400 * 2 * 3.14159 / 4096
    result = again(lambda: packets.write4ByteTxRx(port, 5, 116, 3000), lambda r: r[0] == 0)
    assert result[1] == 4  # data range error, as the manual says
    again(lambda: packets.write1ByteTxRx(port, 5, 98, 0), lambda r: r[0] == 0 and r[1] == 0)
    again(lambda: packets.write4ByteTxRx(port, 5, 116, 2100), lambda r: r[0] == 0 and r[1] == 0)


def test_feetech_sdk_pings_reads_and_writes(feetech):
    emulated, port, packets = feetech
    assert again(lambda: packets.ping(port, 3), lambda r: r[1] == 0)[0] == 777
    again(lambda: packets.write2ByteTxRx(port, 3, 48, 321), lambda r: r[0] == 0)
    assert again(lambda: packets.read2ByteTxRx(port, 3, 48), lambda r: r[1] == 0)[0] == 321
    assert emulated.state()[3]["values"]["torque_limit"] == 321


def test_feetech_sdk_moves_a_servo(feetech):
    emulated, port, packets = feetech
    block = [100, *(2500).to_bytes(2, "little"), 0, 0, *(2000).to_bytes(2, "little")]
    again(lambda: packets.writeTxRx(port, 5, 41, len(block), block), lambda r: r[0] == 0)
    target = 2500 * 2 * 3.14159265 / 4096

    def arrived():
        servo = emulated.state()[5]
        return abs(servo["angle"] - target) < 0.01 and abs(servo["velocity"]) < 0.02

    assert wait_until(arrived)
    position = again(lambda: packets.read2ByteTxRx(port, 5, 56), lambda r: r[1] == 0)[0]
    assert abs(position - 2500) < 5


def test_feetech_sdk_reads_and_writes_all_servos_at_once(feetech):
    _, port, packets = feetech
    write = scservo_sdk.GroupSyncWrite(port, packets, 46, 2)
    for id in range(1, 7):
        write.addParam(id, list((100 + id).to_bytes(2, "little")))
    assert write.txPacket() == 0
    read = scservo_sdk.GroupSyncRead(port, packets, 46, 2)
    for id in range(1, 7):
        read.addParam(id)
    again(read.txRxPacket, lambda r: r == 0)
    assert [read.getData(id, 46, 2) for id in range(1, 7)] == [101, 102, 103, 104, 105, 106]


class SentBytes:
    """A port that records what an SDK sends."""

    is_using = False

    def __init__(self):
        self.sent = b""

    def clearPort(self):  # noqa: N802 (the SDK's name)
        pass

    def writePort(self, packet):  # noqa: N802
        self.sent = bytes(packet)
        return len(packet)

    def setPacketTimeout(self, length):  # noqa: N802
        pass


@pytest.mark.parametrize("address", [7, 42, 116])
def test_our_frames_are_the_sdks(address):
    # Without FF FF FD: dynamixel-sdk 4.1.0 loses the stuffing that the manual asks for (it rebinds the list).
    data = bytes((0xFF, 0xFE, 0xFD, 1))
    sdk, port = dynamixel_sdk.PacketHandler(2.0), SentBytes()
    sdk.writeTxOnly(port, 9, address, 4, list(data))
    assert port.sent == PROTOCOLS["dynamixel"].write(9, address, data)
    port.is_using = False
    sdk.readTx(port, 9, address, 4)
    assert port.sent == PROTOCOLS["dynamixel"].read(9, address, 4)
    sdk, port = scservo_sdk.PacketHandler(0), SentBytes()
    sdk.writeTxOnly(port, 9, address, 4, list(data))
    assert port.sent == PROTOCOLS["feetech"].write(9, address, data)
    port.is_using = False
    sdk.readTx(port, 9, address, 4)
    assert port.sent == PROTOCOLS["feetech"].read(9, address, 4)
