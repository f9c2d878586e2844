"""How nodes communicate: within this machine unless configured otherwise, and never by shared memory.

A killed process leaves its shared memory behind: files in `/dev/shm`, and sometimes peers that do not hear
its successor (eProsima/Fast-DDS issues 2790, 5469). A safety chain must survive the loss of any process.
`ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST` is no alternative: rmw_fastrtps sets up shared memory for it,
whatever `FASTDDS_BUILTIN_TRANSPORTS` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
"""Variables that name a profile of Fast DDS; the second up to version 2, and later versions warn of it."""

FAST_DDS_2 = ("humble", "iron", "jazzy")
"""ROS 2 distributions with Fast DDS 2."""

LOOPBACK = Path(__file__).with_name("loopback.xml")


def transport(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to ``environment`` for the processes of a chain; the user's own stay.

    By default: this machine's nodes only, over UDP. With a discovery range of the user's: UDP in place of
    shared memory. With a profile of Fast DDS, or another middleware: nothing about transports.
    """
    if not environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps").startswith("rmw_fastrtps"):
        added = {RANGE: "LOCALHOST"}
    elif any(name in environment for name in PROFILES):
        added = {}
    elif RANGE in environment:
        added = {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}
    else:
        old = environment.get("ROS_DISTRO") in FAST_DDS_2
        added = {RANGE: "SUBNET", PROFILES[old]: str(LOOPBACK)}
    return {name: value for name, value in added.items() if name not in environment}
