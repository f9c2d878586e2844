"""How nodes reach each other: within this machine unless told otherwise, and never by shared memory.

A process that is killed leaves its shared memory behind, in whatever state: files in `/dev/shm`, and now and
then peers that hear nothing of its successor (eProsima/Fast-DDS issues 2790, 5469). A safety chain must be
able to lose any of its processes. `ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST` does not serve: rmw_fastrtps sets
shared memory up for it, whatever `FASTDDS_BUILTIN_TRANSPORTS` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
"""Where Fast DDS looks for a profile. The second is the name up to Fast DDS 2; later ones warn of it."""

FAST_DDS_2 = ("humble", "iron", "jazzy")
"""ROS 2 distributions that come with it."""

LOOPBACK = Path(__file__).with_name("loopback.xml")


def transport(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to ``environment`` for the processes of a chain; what is set there stays.

    Without any: this machine's nodes alone, over UDP. With a discovery range of the user's own: UDP in place
    of shared memory. With a profile of Fast DDS, or another middleware: nothing about transports.
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
