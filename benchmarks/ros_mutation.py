"""Takes every guard of the ROS 2 chain away, one at a time, and requires a test to fail; prints the list.

`python benchmarks/ros_mutation.py [WORD]`: only the mutants whose name holds WORD. Works on a copy of the
repository. Exit 1 where a mutant lives. Those of nodes need ROS 2 and take some seconds each.
"""

from __future__ import annotations

import sys

from hardware_mutation import Mutant, report

STREAM, CHAIN, CLAMP = "test_stream.py", "test_chain.py", "test_chain.py -k clamp"
COMMANDS, PARAMETERS = "test_commands.py", "test_parameters.py"
ZONES, LATCH, OVERSIGHT = "test_zones.py", "test_ladder_and_latch.py", "test_oversight.py"
SUPERVISOR, GATE = "test_supervisor_node.py", "test_gate_node.py"

MUTANTS = [
    # Whether a stream can be followed
    Mutant("stale by receipt", "stream.py", "return not 0.0 <= self.age(now) < self.timeout", "return False", STREAM),
    Mutant("clock runs back", "stream.py", "not 0.0 <= self.age(now) < self", "not self.age(now) < self", STREAM),
    Mutant("frozen repeat", "stream.py", "if stamp > 0.0 and before - self.jump < stamp <= before:", "if False:", STREAM),
    Mutant("second sender", "stream.py", "elif source is not None and self._source is not None and source != self._source:", "elif False:", STREAM),
    Mutant("second sender is told", "stream.py", "return now - self._other_heard < 1.0", "return False", STREAM),
    Mutant("duplicate", "stream.py", "if stamp == before:", "if False:", STREAM),
    Mutant("out of order", "stream.py", "if stamp < before and before - stamp < self.jump:", "if False:", STREAM),
    Mutant("stamp jumps", "stream.py", "if abs(change) > self.jump:", "if False:", STREAM),
    Mutant("jumped until rest", "stream.py", "            if self._jumped:\n", "            if False:\n", STREAM),
    Mutant("stamp is a time", "stream.py", "if not math.isfinite(stamp) or stamp < 0.0:", "if False:", STREAM),
    Mutant("stamps are not mixed", "stream.py", 'return "stamp = 0 in a stream that was stamped" if before else ""', 'return ""', STREAM),
    # The link
    Mutant("conditions stop", "chain.py", "if self.conditions:", "if False:", CHAIN),
    Mutant("permit stops", "chain.py", "if forbidden:", "if False:", CHAIN),
    Mutant("two senders stop", "chain.py", "if self.stream.second_source(now):", "if False:", CHAIN),
    Mutant("bad command stops", "chain.py", 'return self._begin_stop(f"command: {values}", now, measured)', "return None", CHAIN),
    Mutant("stops by the timer", "chain.py", "if reason and not self._stopping else None", "if reason else None", CHAIN),
    Mutant("stood still", "chain.py", "if now - self._awake > self.stream.timeout and", "if False and", CHAIN),
    Mutant("takes nothing after", "chain.py", "        if self.settling:\n", "        if False:\n", CHAIN),
    Mutant("empties its queue", "link.py", "empty(self._in, COMMAND_QOS.depth)", "pass", "test_command_queue.py -k longer"),
    Mutant("ration", "rations.py", "self._left > 0 and ", "", "test_command_queue.py -k ration"),
    Mutant("clamp range", "clamp.py", "bounded = min(max(value, low), high)", "bounded = value", CLAMP),
    Mutant("clamp step", "clamp.py", "bounded = min(max(bounded, at - step), at + step)", "pass", CLAMP),
    Mutant("clamp finite", "clamp.py", "if not math.isfinite(value):", "if False:", CLAMP),
    Mutant("clamp time", "clamp.py", "min(max(now - self._last_time, 0.0), 2.0 * self._period)", "abs(now - self._last_time)", CHAIN),
    # Messages
    Mutant("finite numbers", "commands.py", "if not math.isfinite(value):", "if False:", COMMANDS),
    Mutant("units", "commands.py", "if abs(value) > LARGEST:", "if False:", COMMANDS),
    Mutant("parts it lacks", "commands.py", "        if value:\n", "        if False:\n", COMMANDS),
    Mutant("array's length", "commands.py", "if len(message.data) != len(channels):", "if False:", COMMANDS),
    Mutant("names twice", "commands.py", "if names.count(name) > 1:", "if False:", COMMANDS),
    Mutant("names", "commands.py", "if sorted(names) != sorted(known):", "if False:", COMMANDS),
    Mutant("one point", "commands.py", "if len(points) != 1:", "if False:", COMMANDS),
    # Parameters
    Mutant("zero is not off", "parameters.py", 'if value == 0.0 and not name.endswith("position") and not name.startswith("min"):', "if False:", PARAMETERS),
    Mutant("finite limits", "parameters.py", "if not math.isfinite(value):", "if False:", PARAMETERS),
    Mutant("no switch", "parameters.py", 'if values.get(f"{place}.{switch}", True) is not True:', "if False:", PARAMETERS),
    Mutant("inverted range", "parameters.py", "if low is not None and high is not None and low >= high:", "if False:", PARAMETERS),
    Mutant("misspelt", "parameters.py", 'if name not in known and not name.startswith("qos_overrides."):', "if False:", PARAMETERS),
    Mutant("parameter range", "parameters.py", "if not (inside and number <= item.high):", "if False:", PARAMETERS),
    # Position, latch, leases
    Mutant("pose jumps", "zones.py", "if moved > reach:", "if False:", ZONES),
    Mutant("pose is finite", "zones.py", "if not all(map(math.isfinite, pose)):", "if False:", ZONES),
    Mutant("silent odometry", "zones.py", "return None if self.is_silent(now) else self._frame.then(self._last)", "return self._frame.then(self._last)", ZONES),
    Mutant("drift", "zones.py", "radius = self.drift * self.travelled", "radius = 0.0", ZONES),
    Mutant("cause persists", "latch.py", "        if cause:\n", "        if False:\n", LATCH),
    Mutant("at rest", "latch.py", "if not stopped:", "if False:", LATCH),
    Mutant("unreadable latch", "latch.py", "except (OSError, ValueError, KeyError, TypeError):\n            return f", "except (OSError, ValueError, KeyError, TypeError):\n            return '' and f", LATCH),
    Mutant("no backstop", "oversight.py", "if not self.backstop:", "if False:", OVERSIGHT),
    Mutant("not now", "oversight.py", "if worst and not self.authority.latched:", "if False:", OVERSIGHT),
    Mutant("leases end", "oversight.py", "if severity >= Severity.NO_LIFT:", "if False:", OVERSIGHT),
    # The nodes
    Mutant("caps hold the load", "gate.py", "(item.holding_effort or 0.0, ", "(0.0, ", f"{GATE} -k torque"),
    Mutant("caps end at the envelope", "gate.py", "min(max(cap, low), high)", "max(cap, low)", f"{GATE} -k torque"),
    Mutant("caps are numbers", "gate.py", "or not all(cap >= 0.0 for cap in caps)", "", f"{GATE} -k caps_that"),
    Mutant("second publisher", "link.py", "if count > 1:", "if False:", f"{GATE} -k second"),
    Mutant("inactive", "link.py", 'self.chain.conditions["inactive"] = "the node is not active"\n        super()', "super()", f"{GATE} -k deactivated"),
    Mutant("cleanup", "node.py", 'self.get_logger().error("cleanup is refused: end the process instead")\n        return FAILURE', "return super().on_cleanup(state)", f"{GATE} -k cleanup"),
    Mutant("read-only", "node.py", "read_only=True", "read_only=False", "test_faults_at_limits.py -k widens"),
    Mutant("tracking", "supervisor.py", 'self._hold("tracking", lagging,', 'self._hold("tracking", False,', f"{SUPERVISOR} -k does_not_do"),
    Mutant("mute gate", "supervisor.py", 'self._hold("gate", mute,', 'self._hold("gate", False,', f"{SUPERVISOR} -k sends_nothing"),
    Mutant("asks for nothing", "supervisor.py", "return bool(asked) and all(", "return all(", f"{SUPERVISOR} -k garbage"),
    Mutant("runaway", "supervisor.py", "if self._fast_since is not None and now - self._fast_since > 0.3:", "if False:", f"{SUPERVISOR} -k runaway"),
    Mutant("reading is a number", "supervisor.py", "bad = not (reading <= threshold if watch.above else reading >= threshold)", "bad = reading > threshold if watch.above else reading < threshold", f"{SUPERVISOR} -k voltage"),
]  # fmt: skip
"""Text of a file of `hardware/`, what it is replaced by, and the tests that must notice."""

if __name__ == "__main__":
    sys.exit(report(MUTANTS, sys.argv[1] if len(sys.argv) > 1 else ""))
