"""Takes every guard of the ROS 2 chain away, one at a time, and requires a test to fail; prints the list.

`python benchmarks/ros_mutation.py [WORD]`: only the mutants whose name holds WORD. Works on a copy of the
repository. Exit 1 where a mutant lives. Those of nodes need ROS 2 and take some seconds each; most guards of
permits, latch and leases are in `hardware_mutation`.
"""

from __future__ import annotations

import sys

from hardware_mutation import Mutant, report

SAFETY, ROS = "safety/test_{}.py".format, "ros/test_{}.py".format
STREAM, FILTER = SAFETY("staleness"), SAFETY("command_filter")
LIMITER = f"{FILTER} -k limiter"
COMMANDS, PARAMETERS = ROS("command_messages"), ROS("parameters")
LOCALISATION, LATCH = SAFETY("localisation"), SAFETY("estop_latch")
MOTION, PERMIT = SAFETY("motion_monitor"), SAFETY("permit")
MEASURED, SENSORS, PLAYER = ROS("measurements"), ROS("sensor_messages"), SAFETY("trajectory_player")
GATE, QUEUE = ROS("gate_node_joints"), ROS("command_queue")

MUTANTS = [
    # Whether a stream can be followed
    Mutant("stale by receipt", "safety/staleness.py", "return not 0.0 <= self.age(now) < self.timeout", "return False", STREAM),
    Mutant("clock runs back", "safety/staleness.py", "not 0.0 <= self.age(now) < self", "not self.age(now) < self", STREAM),
    Mutant("frozen repeat", "safety/staleness.py", "if stamp > 0.0 and before - self.jump < stamp <= before and not self._may_repeat(received, stamp):", "if False:", STREAM),
    Mutant("second sender", "safety/staleness.py", "elif self.is_another(source):", "elif False:", STREAM),
    Mutant("second sender is reported", "safety/staleness.py", "return now - self._other_source_at < 1.0", "return False", STREAM),
    Mutant("duplicate", "safety/staleness.py", "if stamp == before:", "if False:", STREAM),
    Mutant("coarse clock ends", "safety/staleness.py", "received - self._stamp_since < longest", "True", STREAM),
    Mutant("coarse clock is known", "safety/staleness.py", "step if self._repeats and", "step if", STREAM),
    Mutant("out of order", "safety/staleness.py", "if stamp < before and before - stamp < self.jump:", "if False:", STREAM),
    Mutant("stamp jumps", "safety/staleness.py", "if abs(change) > self.jump:", "if False:", STREAM),
    Mutant("jumped until rest", "safety/staleness.py", "            if self._jump_refusal:\n", "            if False:\n", STREAM),
    Mutant("stamp is a time", "safety/staleness.py", "if not math.isfinite(stamp) or stamp < 0.0:", "if False:", STREAM),
    Mutant("stamps are not mixed", "safety/staleness.py", 'return "stamp = 0 in a stream that was stamped" if before else ""', 'return ""', STREAM),
    # The command filter
    Mutant("conditions stop", "safety/command_filter.py", "if self.stop_conditions:", "if False:", FILTER),
    Mutant("permit stops", "safety/command_filter.py", "if forbidden:", "if False:", FILTER),
    Mutant("two senders stop", "safety/command_filter.py", "if self.stream.has_second_source(now):", "if False:", FILTER),
    Mutant("bad command stops", "safety/command_filter.py", 'return self._begin_stop(f"command: {values}", now, measured)', "return None", FILTER),
    Mutant("stops by the timer", "safety/command_filter.py", "if reason and not self._stopping else None", "if reason else None", FILTER),
    Mutant("stall", "safety/command_filter.py", "if now - self._last_call > self.stream.timeout and", "if False and", FILTER),
    Mutant("accepts nothing after it", "safety/command_filter.py", "        if self.recovering:\n", "        if False:\n", FILTER),
    Mutant("empties its queue", "ros/filter_node.py", "discard_queue(self._in, COMMAND_QOS.depth)", "pass", f"{QUEUE} -k longer"),
    Mutant("budget", "ros/callback_budget.py", "self._remaining > 0 and ", "", f"{QUEUE} -k budget"),
    Mutant("limiter range", "safety/rate_limit.py", "bounded = min(max(value, low), high)", "bounded = value", LIMITER),
    Mutant("limiter step", "safety/rate_limit.py", "bounded = min(max(bounded, last - step), last + step)", "pass", LIMITER),
    Mutant("a silence buys no step of a stop", "safety/rate_limit.py", "longest, rates = self._tick, self._stop_rates", "pass", LIMITER),
    Mutant("nor before the limiter", "safety/command_filter.py", "self._time, self._tick)", "self._time)", f"{FILTER} -k one_tick"),
    Mutant("limiter finite", "safety/rate_limit.py", "if not math.isfinite(value):", "if False:", LIMITER),
    Mutant("limiter time", "safety/rate_limit.py", "min(max(now - self._last_time, 0.0), longest)", "abs(now - self._last_time)", FILTER),
    Mutant("effort holds the load", "safety/command_filter.py", "(item.holding_effort or 0.0, ", "(0.0, ", f"{FILTER} -k effort"),
    Mutant("effort ends at the envelope", "safety/command_filter.py", "[min(max(value, low), high) for", "[max(value, low) for", f"{FILTER} -k effort"),
    Mutant("effort is a number", "safety/command_filter.py", "or not all(value >= 0.0 for value in values)", "", f"{FILTER} -k effort"),
    # Messages
    Mutant("finite numbers", "ros/command_messages.py", "if not math.isfinite(value):", "if False:", COMMANDS),
    Mutant("units", "ros/command_messages.py", "if abs(value) > LARGEST:", "if False:", COMMANDS),
    Mutant("parts it lacks", "ros/command_messages.py", "        if value:\n", "        if False:\n", COMMANDS),
    Mutant("array's length", "ros/command_messages.py", "if len(message.data) != len(channels):", "if False:", COMMANDS),
    Mutant("names twice", "ros/command_messages.py", "if names.count(name) > 1:", "if False:", COMMANDS),
    Mutant("names", "ros/command_messages.py", "if sorted(names) != sorted(known):", "if False:", COMMANDS),
    Mutant("one point", "ros/command_messages.py", "if len(message.points) != 1:", "if False:", COMMANDS),
    # Parameters
    Mutant("zero is not off", "ros/parameters.py", 'if not field.startswith("min_") and field != "max_position" and value <= 0.0:', "if False:", PARAMETERS),
    Mutant("finite limits", "ros/parameters.py", "if not math.isfinite(value):", "if False:", PARAMETERS),
    Mutant("no switch", "ros/parameters.py", 'if values.get(f"{place}.{switch}", True) is not True:', "if False:", PARAMETERS),
    Mutant("inverted range", "ros/parameters.py", "if low >= high:", "if False:", PARAMETERS),
    Mutant("misspelt", "ros/parameters.py", 'if name not in known and not name.startswith("qos_overrides."):', "if False:", PARAMETERS),
    Mutant("parameter range", "ros/parameters.py", "if not (above and value <= item.high):", "if False:", PARAMETERS),
    # Permits
    Mutant("permit fields", "safety/permit.py", "if not is_good(value):", "if False:", PERMIT),
    # Position and latch
    Mutant("pose jumps", "safety/localisation.py", "if moved > reach:", "if False:", LOCALISATION),
    Mutant("pose is finite", "safety/localisation.py", "if not all(map(math.isfinite, pose)):", "if False:", LOCALISATION),
    Mutant("silent odometry", "safety/localisation.py", "return None if self.is_silent(now) else self._odometry_frame", "return self._odometry_frame", LOCALISATION),
    Mutant("drift", "safety/localisation.py", "radius = self.drift * self.travelled", "radius = 0.0", LOCALISATION),
    Mutant("unreadable latch", "safety/estop_latch.py", "except (OSError, ValueError, KeyError, TypeError):\n            return f", "except (OSError, ValueError, KeyError, TypeError):\n            return '' and f", LATCH),
    # Speed and commands
    Mutant("tracking", "safety/motion_monitor.py", '"tracking", lagging,', '"tracking", False,', MOTION),
    Mutant("silent gate", "safety/motion_monitor.py", '"gate", silent,', '"gate", False,', MOTION),
    Mutant("odometry", "safety/motion_monitor.py", '"odometry", silent,', '"odometry", False,', MOTION),
    Mutant("frozen clock", "safety/motion_monitor.py", '"clock", frozen,', '"clock", False,', MOTION),
    Mutant("requests nothing", "safety/motion_monitor.py", "return bool(requested) and all(", "return all(", MOTION),
    Mutant("runaway", "safety/motion_monitor.py", '"runaway", fast,', '"runaway", False,', MOTION),
    Mutant("probe", "safety/motion_monitor.py", "and self.is_at_rest:", ":", MOTION),
    Mutant("scan", "safety/motion_monitor.py", '"scan", stale,', '"scan", False,', MOTION),
    Mutant("scan's stamp", "safety/motion_monitor.py", "if stamp != self._scan_stamp or stamp == 0.0:", "if True:", MOTION),
    # Measurements and sensors
    Mutant("measured is finite", "ros/measurements.py", "finite = np.isfinite(numbers)", "finite = numbers == numbers", MEASURED),
    Mutant("measured is fresh", "ros/measurements.py", "now - self._times.min(axis=1) < MEASUREMENT_TIMEOUT", "self._times.min(axis=1) > 0.0", MEASURED),
    Mutant("joint twice", "ros/sensor_formats.py", "if given.count(name) > 1:", "if False:", SENSORS),
    Mutant("joint field's length", "ros/sensor_formats.py", "if len(values) not in (0, len(given)):", "if False:", SENSORS),
    Mutant("scan's angles", "ros/sensor_formats.py", "if ranges.size > 1 and not 0.0", "if False and not 0.0", SENSORS),
    Mutant("blank intensities", "ros/sensor_formats.py", "np.where(np.isfinite(seen), intensities[source], 0.0)", "intensities", SENSORS),
    Mutant("blank orientation", "ros/sensor_formats.py", "    message.orientation = type(message.orientation)(w=1.0)\n", "", SENSORS),
    Mutant("blank effort", "ros/sensor_messages.py", "(math.nan if stream.limiter.changes_values else 1.0)", "1.0", SENSORS),
    # Trajectories
    Mutant("trajectory in the envelope", "safety/trajectory_player.py", "if (low is not None and value < low)", "if False and (low is not None and value < low)", PLAYER),
    Mutant("trajectory's sender", "safety/trajectory_player.py", "if stream.is_another(source) and not stream.is_stale(now):", "if False:", PLAYER),
    Mutant("a stop ends it", "safety/trajectory_player.py", "if output is None or output.stop:", "if False:", PLAYER),
    Mutant("scaled", "safety/trajectory_player.py", "self._at += elapsed / slowdown", "self._at += elapsed", PLAYER),
    Mutant("path tolerance", "safety/trajectory_player.py", "self._check(PATH_TOLERANCE,", "0 and self._check(PATH_TOLERANCE,", PLAYER),
    # The nodes
    Mutant("second publisher", "ros/filter_node.py", "if count > 1:", "if False:", f"{GATE} -k second"),
    Mutant("inactive", "ros/filter_node.py", "        if self.active:\n", "        if True:\n", f"{ROS('lifecycle')} -k shutdown"),
    Mutant("stops before it ends", "ros/filter_node.py", "while not self.filter.at_rest and", "while False and", f"{ROS('lifecycle')} -k brakes_under"),
    Mutant("defect of the limiter", "ros/gate_node.py", "            self._send(self.filter.bare_stop(self.now()), None)\n", "", f"{ROS('lifecycle')} -k limiter_fails"),
    Mutant("signals at start", "ros/program.py", "        if self.starting:\n", "        if False:\n", f"{ROS('lifecycle')} -k compiles"),
    Mutant("cleanup", "ros/base_node.py", 'self.get_logger().error("cleanup is refused: end the process instead")\n        return FAILURE', "return super().on_cleanup(state)", f"{GATE} -k cleanup"),
    Mutant("read-only", "ros/base_node.py", "read_only=True", "read_only=False", "test_faults_at_limits.py -k widens"),
    Mutant("reading is a number", "ros/supervisor_node.py", "bad = not (reading <= threshold if item.is_maximum else reading >= threshold)", "bad = reading > threshold if item.is_maximum else reading < threshold", f"{ROS('supervisor_node')} -k voltage"),
]  # fmt: skip
"""Text of a file of `hardware/`, what it is replaced by, and the tests that must notice."""

if __name__ == "__main__":
    sys.exit(report(MUTANTS, sys.argv[1] if len(sys.argv) > 1 else ""))
