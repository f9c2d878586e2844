"""Packets, pinned by the makers' own examples, and what noise does to them.

Dynamixel: ROBOTIS e-manual, docs/en/dxl/protocol2 (examples of each instruction). Feetech: "Servo SCS
Communication Protocol" (FT-SCS), examples 1 to 8, and the STS3215 memory table's generated instructions.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerfbot.hardware.bus.dynamixel import Dynamixel
from nerfbot.hardware.bus.feetech import Feetech
from nerfbot.hardware.bus.protocol import ACTION, BROADCAST, PING, REBOOT

DXL, SCS = Dynamixel(), Feetech()
GOAL = bytes.fromhex("0008 0000 E803")

SENT = {
    "dxl ping 1": (DXL.instruction(1, PING), "FFFFFD00 01 0300 01 194E"),
    "dxl ping all": (DXL.instruction(BROADCAST, PING), "FFFFFD00 FE 0300 01 3142"),
    "dxl read": (DXL.read(1, 132, 4), "FFFFFD00 01 0700 02 8400 0400 1D15"),
    "dxl write": (DXL.write(1, 116, (512).to_bytes(4, "little")), "FFFFFD00 01 0900 03 7400 00020000 CA89"),
    "dxl reg write": (
        DXL.write(1, 104, (200).to_bytes(4, "little"), later=True),
        "FFFFFD00 01 0900 04 6800 C8000000 AE8E",
    ),
    "dxl action": (DXL.instruction(1, ACTION), "FFFFFD00 01 0300 05 02CE"),
    "dxl reboot": (DXL.instruction(1, REBOOT), "FFFFFD00 01 0300 08 2F4E"),
    "dxl sync read": (DXL.sync_read(132, 4, [1, 2]), "FFFFFD00 FE 0900 82 8400 0400 01 02 CEFA"),
    "dxl sync write": (
        DXL.sync_write(116, {1: (150).to_bytes(4, "little"), 2: (170).to_bytes(4, "little")}),
        "FFFFFD00 FE 1100 83 7400 0400 01 96000000 02 AA000000 8287",
    ),
    "dxl bulk read": (
        DXL.bulk_read({1: (144, 2), 2: (146, 1)}),
        "FFFFFD00 FE 0D00 92 01 9000 0200 02 9200 0100 1A05",
    ),
    "scs ping": (SCS.instruction(1, PING), "FFFF 01 02 01 FB"),
    "scs read": (SCS.read(1, 56, 2), "FFFF 01 04 02 38 02 BE"),
    "scs write id to all": (SCS.write(BROADCAST, 5, b"\x01"), "FFFF FE 04 03 05 01 F4"),
    "scs unlock": (SCS.write(BROADCAST, 55, b"\x00"), "FFFF FE 04 03 37 00 C3"),
    "scs write goal": (SCS.write(1, 42, GOAL), "FFFF 01 09 03 2A 0008 0000 E803 D5"),
    "scs reg write": (SCS.write(1, 42, GOAL, later=True), "FFFF 01 09 04 2A 0008 0000 E803 D4"),
    "scs action": (SCS.instruction(BROADCAST, ACTION), "FFFF FE 02 05 FA"),
    "scs sync write": (
        SCS.sync_write(42, dict.fromkeys((1, 2, 3, 4), GOAL)),
        "FFFF FE 20 83 2A 06 01 00080000E803 02 00080000E803 03 00080000E803 04 00080000E803 58",
    ),
    "scs sync read": (SCS.sync_read(56, 8, [1, 2]), "FFFF FE 06 82 38 08 01 02 36"),
}

RECEIVED = {
    "dxl ping status": (DXL, "FFFFFD00 01 0700 55 00 06 04 26 655D", (1, 0, "06 04 26")),
    "dxl read status": (DXL, "FFFFFD00 01 0800 55 00 A6000000 8CC0", (1, 0, "A6000000")),
    "dxl write status": (DXL, "FFFFFD00 01 0400 55 00 A10C", (1, 0, "")),
    "dxl sync read, second": (DXL, "FFFFFD00 02 0800 55 00 1F080000 BABE", (2, 0, "1F080000")),
    "dxl bulk read, first": (DXL, "FFFFFD00 01 0600 55 00 7700 C369", (1, 0, "7700")),
    "scs ping status": (SCS, "FFFF 01 02 00 FC", (1, 0, "")),
    "scs read status": (SCS, "FFFF 01 04 00 18 05 DD", (1, 0, "1805")),
    "scs sync read, first": (SCS, "FFFF 01 0A 00 00 08 00 00 00 00 79 1E 55", (1, 0, "000800000000791E")),
    "scs sync read, second": (SCS, "FFFF 02 0A 00 FF 07 00 00 00 00 77 23 53", (2, 0, "FF0700000000 7723")),
}


@pytest.mark.parametrize("case", SENT)
def test_a_frame_is_the_makers_example(case):
    built, example = SENT[case]
    assert built.hex() == bytes.fromhex(example).hex()


@pytest.mark.parametrize("case", RECEIVED)
def test_the_makers_status_is_taken_apart(case):
    protocol, example, (id, error, data) = RECEIVED[case]
    packet = protocol.parse(bytearray.fromhex(example))
    assert (packet.id, packet.code, packet.data) == (id, error, bytes.fromhex(data))
    assert protocol.status(id, error, packet.data) == bytes.fromhex(example)


@pytest.mark.parametrize("protocol", [DXL, SCS], ids=lambda protocol: protocol.name)
@given(data=st.binary(max_size=40), error=st.integers(0, 0x7F))
def test_a_status_comes_back_as_it_was_sent(protocol, data, error):
    packet = protocol.parse(bytearray(protocol.status(7, error, data)))
    assert (packet.id, packet.code, packet.data) == (7, error, data)


def test_a_header_inside_the_data_is_stuffed_and_comes_back():
    data = bytes.fromhex("01 FFFFFD 02 FFFFFDFD")
    raw = DXL.status(3, 0, data)
    assert bytes.fromhex("FFFFFDFD") in raw
    assert DXL.parse(bytearray(raw)).data == data


@pytest.mark.parametrize("protocol", [DXL, SCS], ids=lambda protocol: protocol.name)
@given(noise=st.binary(max_size=12), cut=st.integers(0, 5))
def test_after_noise_and_half_a_frame_the_next_good_one_is_found(protocol, noise, cut):
    good = protocol.status(5, 0, b"\x12\x34")
    # Noise may hold the beginning of a longer packet: what follows it must be long enough to show that.
    buffer = bytearray(noise + protocol.status(4, 0, b"\x00\x00")[:cut] + good + good * 120)
    packets = []
    while (packet := protocol.parse(buffer)) is not None:
        packets.append(packet)
    assert sum((packet.id, packet.data) == (5, b"\x12\x34") for packet in packets) >= 80


@pytest.mark.parametrize("protocol", [DXL, SCS], ids=lambda protocol: protocol.name)
def test_every_single_flipped_bit_is_noticed(protocol):
    good = protocol.status(5, 0, bytes(range(9)))
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        packet = protocol.parse(bytearray(bad))
        assert packet is None or packet.raw != bytes(bad) or (packet.id == 5 and bytes(bad) == good)


@pytest.mark.parametrize("protocol", [DXL, SCS], ids=lambda protocol: protocol.name)
def test_a_frame_that_comes_byte_by_byte_is_one_frame(protocol):
    buffer, packets = bytearray(), []
    noise = random.Random(1).randbytes(3)
    for byte in noise + protocol.status(9, 0, b"abc") + protocol.status(8, 1, b""):
        buffer.append(byte)
        packet = protocol.parse(buffer)
        if packet:
            packets.append((packet.id, packet.code, packet.data))
    assert packets == [(9, 0, b"abc"), (8, 1, b"")]
