"""Each stage of the actuator limiter with numbers worked out by hand; stops, resets and bad input."""

import math

import numpy as np
import pytest

from nerfbot.errors import InvalidCommand, InvalidSpec
from nerfbot.limits import ActuatorLimiter, Channel, Measured, NerfSpec, Reason
from tests.limits.cases import DT, HARD, Drive, at_rest, channel, envelope, levels, limiter, row, spec

INVALID, TIME, STOP = Reason.INVALID, Reason.TIME, Reason.STOP


def always(rate: float = 1e6, duration: float = 1e6) -> dict:
    return {"rate": {"nerfed": rate, "lifted": rate}, "duration": duration}


class TestSpeed:
    def test_velocity_is_capped_both_ways(self):
        drive = Drive(limiter("velocity", spec(velocity=0.5)))
        assert drive.run(0.4, 2.0, -2.0, -0.3) == [0.4, 0.5, -0.5, -0.3]

    def test_velocity_changes_by_the_acceleration_times_the_step(self):
        drive = Drive(limiter("velocity", spec(acceleration=16.0, deceleration=32.0)))
        assert drive.run(3.0, 3.0, 3.0, 3.0, 0.0, 0.0) == [1.0, 2.0, 3.0, 3.0, 1.0, 0.0]

    def test_a_step_through_zero_brakes_first_and_then_speeds_up(self):
        drive = Drive(limiter("velocity", spec(acceleration=16.0, deceleration=32.0)))
        assert drive.run(1.0, -3.0, -3.0) == [1.0, -0.5, -1.5]

    def test_a_deceleration_that_is_not_stated_is_the_acceleration_and_no_less_than_a_stops(self):
        assert Drive(limiter("velocity", spec(acceleration=16.0))).run(1.0, 1.0, 0.0) == [1.0, 1.0, 0.0]
        drive = Drive(limiter("velocity", spec(acceleration=4.0)))  # a stop has 10
        assert drive.run(1.0, 1.0, 1.0, 0.0) == [0.25, 0.5, 0.75, 0.125]

    def test_where_the_nerf_states_no_acceleration_the_envelopes_holds(self):
        assert Drive(limiter("velocity")).run(4.0, 4.0, -4.0) == [2.5, 4.0, 1.5]

    def test_jerk_makes_an_s_curve_that_ends_on_the_goal(self):
        drive = Drive(limiter("velocity", spec(jerk=64.0)))  # 0.25 a step more in every step
        out = drive.run(*[3.0] * 9)
        assert out[:4] == [0.25, 0.75, 1.5, 2.25]
        assert max(out) == pytest.approx(3.0, abs=1e-12)
        assert out[-1] == 3.0
        second = np.abs(np.diff(out, 2, prepend=[0.0, 0.0]))
        assert second.max() <= 0.25 + 1e-12

    def test_the_change_under_a_jerk_limit_is_a_rate_and_stretches_with_the_step(self):
        drive = Drive(limiter("velocity", spec(jerk=64.0)))
        drive.run(4.0, 4.0)
        drive.now += DT  # a step twice as long
        assert (
            drive.step(4.0) == 0.75 + 2 * 0.5 + 4 * 0.25
        )  # a change of 0.5 a step, and four times the growth
        assert drive.step(4.0) <= 4.0

    def test_a_position_moves_at_its_velocity_and_lands_on_its_target(self):
        drive = Drive(limiter("position", spec(velocity=2.0)))
        assert drive.run(*[0.3] * 4) == [0.125, 0.25, 0.3, 0.3]

    def test_a_position_speeds_up_and_brakes_without_passing_its_target(self):
        drive = Drive(limiter("position", spec(acceleration=16.0)))  # 0.0625 a step more in every step
        out = drive.run(*[0.5] * 10)
        assert out[:3] == pytest.approx([0.0625, 0.1875, 0.1875 + 0.0625 * 8 / 3], abs=1e-12)
        assert max(out) == 0.5
        assert out[-1] == 0.5

    def test_a_lower_deceleration_brakes_earlier(self):
        drive = Drive(limiter("position", spec(acceleration=32.0, deceleration=10.0)))
        out = drive.run(*[1.0] * 40)
        steps = np.diff(out, prepend=0.0)
        assert np.diff(steps).min() >= -10.0 * DT * DT - 1e-9
        assert np.diff(steps, prepend=0.0).max() <= 32.0 * DT * DT + 1e-9
        assert max(out) <= 1.0 + 1e-12
        assert out[-1] == 1.0

    def test_above_a_velocity_limit_that_falls_a_channel_only_slows_down(self):
        nerf = spec(velocity={"nerfed": 1.0, "lifted": 4.0}, acceleration=16.0)
        drive = Drive(limiter("velocity", nerf), lift=1.0)
        assert drive.run(3.0, 3.0, 3.0) == [1.0, 2.0, 3.0]
        drive.lift = 0.0
        assert drive.run(3.0, 3.0, 3.0) == [2.0, 1.0, 1.0]


class TestStrength:
    def test_gain_scales_a_velocity_and_an_effort(self):
        assert Drive(limiter("velocity", spec(gain=0.5))).run(1.0, -1.0) == [0.5, -0.5]
        assert Drive(limiter("effort", spec(gain=0.25))).run(8.0, -4.0) == [2.0, -1.0]

    def test_gain_comes_after_the_velocity_limit(self):
        assert Drive(limiter("velocity", spec(gain=0.5, velocity=1.0))).run(2.0) == [0.5]

    def test_effort_caps_an_effort_channel_and_tells_the_cap(self):
        drive = Drive(limiter("effort", spec(effort=5.0)))
        assert drive.run(4.0, 9.0, -9.0) == [4.0, 5.0, -5.0]
        assert drive.effort == 5.0

    @pytest.mark.parametrize("mode", ["position", "velocity"])
    def test_effort_is_a_cap_for_the_plant_on_other_channels(self, mode):
        drive = Drive(limiter(mode, spec(effort={"nerfed": 5.0, "lifted": 20.0})))
        drive.step(0.1)
        assert drive.effort == 5.0
        drive.lift = 0.5
        drive.step(0.1)
        assert drive.effort == 12.5

    def test_without_a_cap_anywhere_there_is_none(self):
        for velocity in (0.0, 1.0, -1.0):
            drive = Drive(limiter("velocity", hard={"max_effort": None}), measured=at_rest(velocity=velocity))
            drive.run(2.0, 2.0, -2.0)
            assert drive.effort == math.inf
        drive = Drive(limiter("velocity"))
        drive.step(0.1)
        assert drive.effort == HARD["max_effort"]

    @pytest.mark.parametrize(
        ("mode", "command", "velocity", "expected"),
        [
            ("effort", 9.0, 0.0, 8.0),
            ("effort", 9.0, 2.0, 4.0),
            ("effort", 9.0, 4.0, 0.0),
            ("effort", 9.0, 5.0, 0.0),
            ("effort", -9.0, 2.0, 10.0),  # braking: 12, capped
            ("effort", -9.0, -2.0, 4.0),
            ("velocity", 3.0, 2.0, 4.0),
            ("velocity", 1.0, 2.0, 10.0),
            ("velocity", 2.0, 2.0, 8.0),
            ("position", 0.5, 2.0, 4.0),
            ("position", -0.5, 2.0, 10.0),
            ("position", 0.0, 2.0, 8.0),
        ],
    )
    def test_a_torque_speed_curve_has_four_quadrants(self, mode, command, velocity, expected):
        drive = Drive(limiter(mode, spec(stall_effort=8.0, no_load_velocity=4.0, effort=10.0)))
        moving = Measured(row(0.0), row(velocity))
        if mode == "velocity":
            drive.step(2.0, measured=Measured(row(0.0), row(2.0)))
        drive.step(command, measured=moving)
        assert drive.effort == expected
        if mode == "effort":
            assert drive.last.value[0, 0] == math.copysign(min(abs(command), expected), command)

    def test_the_curve_of_a_position_channel_looks_at_the_measured_position(self):
        drive = Drive(limiter("position", spec(stall_effort=8.0, no_load_velocity=4.0)))
        drive.step(0.5, measured=Measured(row(0.5), row(0.0)))
        drive.step(0.5, measured=Measured(row(0.25), row(1.0)))
        assert drive.effort == 6.0
        drive.step(0.5, measured=Measured(row(0.75), row(1.0)))
        assert drive.effort == 10.0

    @pytest.mark.parametrize(
        ("velocity", "expected"),
        [(0.0, 6.0), (3.6, 6.0), (3.8, 3.0), (4.0, 0.0), (5.0, -2.0), (9.0, -6.0), (-3.0, 6.0)],
    )
    def test_near_its_velocity_limit_an_effort_channel_loses_its_drive_and_brakes_above_it(
        self, velocity, expected
    ):
        drive = Drive(limiter("effort", spec(effort=6.0, velocity=4.0)))
        assert drive.step(9.0, measured=at_rest(velocity=velocity)) == pytest.approx(expected)
        assert drive.step(-9.0, measured=at_rest(velocity=-velocity)) == pytest.approx(-expected)

    @pytest.mark.parametrize(("velocity", "brake"), [(4.5, -1.0), (-4.5, 1.0), (3.0, 0.0)])
    def test_above_its_velocity_limit_an_effort_channel_brakes_without_a_command(self, velocity, brake):
        drive = Drive(limiter("effort", spec(effort=6.0, velocity=4.0)))
        assert drive.step(0.0, measured=at_rest(velocity=velocity)) == brake
        assert bool(drive.reasons & Reason.VELOCITY) == bool(brake)

    def test_a_plant_that_bounds_the_speed_gets_the_effort_to_do_it_with(self):
        joint = Channel("joint", "effort", "N·m", True, frozenset({"velocity"}), velocity_limit=True)
        nerf = spec(stall_effort=6.0, no_load_velocity=4.0, effort=8.0, velocity=2.0)
        drive = Drive(ActuatorLimiter(nerf, [joint], envelope=envelope(mode="effort"), period=DT))
        assert drive.step(9.0, measured=at_rest(velocity=3.0)) == 1.5  # what the curve leaves to drive with
        assert drive.effort == 8.0  # the cap: braking, the curve leaves more
        assert drive.reasons & Reason.VELOCITY

    @pytest.mark.parametrize("mode", ["velocity", "position"])
    def test_other_channels_keep_their_effort_at_their_velocity_limit(self, mode):
        drive = Drive(limiter(mode, spec(effort=6.0, velocity=1.0)))
        drive.step(0.5, measured=at_rest(velocity=1.0))
        drive.step(1.0, measured=at_rest(velocity=1.0))
        assert drive.effort == 6.0


class TestReliability:
    def test_latency_is_a_time(self):
        drive = Drive(limiter("velocity", spec({"latency": 2 * DT})))
        assert drive.run(1.0, 2.0, 3.0, 4.0, 4.0) == [0.0, 0.0, 1.0, 2.0, 3.0]

    def test_a_position_channel_waits_where_it_is_measured(self):
        drive = Drive(limiter("position", spec({"latency": DT})), measured=at_rest(position=0.25))
        assert drive.run(0.3, 0.35, 0.4) == [0.25, 0.3, 0.35]

    def test_without_a_measured_position_the_first_command_is_where_it_is(self):
        limited = limiter("position", spec({"latency": DT}))
        now, out = 0.0, []
        for command in (0.25, 0.3, 0.3):
            out.append(limited.apply(row(command), None, now, levels(0)).value[0, 0])
            now += DT
        assert out == [0.25, 0.25, 0.3]

    @pytest.mark.parametrize(("mode", "neutral"), [("velocity", 0.0), ("effort", 0.0), ("position", 0.125)])
    def test_a_lost_message_leaves_the_neutral_command(self, mode, neutral):
        drive = Drive(limiter(mode, spec({"drop": always()})), measured=at_rest(position=0.125))
        assert drive.run(0.2, 0.2) == [neutral, neutral]
        assert drive.effort == HARD["max_effort"]

    def test_a_lost_message_leaves_a_position_where_it_was_sent_if_it_is_not_measured(self):
        limited = limiter("position", spec({"drop": always()}))
        assert limited.apply(row(0.25), None, 0.0, levels(0)).value[0, 0] == 0.25
        assert limited.apply(row(0.5), None, DT, levels(0)).value[0, 0] == 0.25

    def test_a_stuck_channel_holds_the_last_command_that_came_through(self):
        nerf = spec(hold={"rate": {"nerfed": 1e6, "lifted": 0}, "duration": 1e-6, "spread": "fixed"})
        drive = Drive(limiter("velocity", nerf), lift=1.0)
        assert drive.run(1.0, 2.0) == [1.0, 2.0]
        drive.limiter._faults[0, 0] = True
        assert drive.run(0.5) == [2.0]

    def test_a_channel_that_is_stuck_from_the_start_is_at_rest(self):
        for mode, rest in (("velocity", 0.0), ("effort", 0.0), ("position", 0.125)):
            drive = Drive(limiter(mode, spec(hold=always())), measured=at_rest(position=0.125))
            assert drive.run(0.2, 0.3) == [rest, rest]
            assert drive.effort == HARD["max_effort"]

    def test_without_power_a_channel_has_no_effort(self):
        for mode, out in (("velocity", 0.2), ("effort", 0.0), ("position", 0.2)):
            drive = Drive(limiter(mode, spec(intermittent=always())), measured=at_rest(position=0.125))
            drive.run(0.2)
            assert drive.run(0.2) == [out]
            assert drive.effort == 0.0

    @pytest.mark.parametrize(("mode", "neutral"), [("velocity", 0.0), ("position", 0.125)])
    def test_without_power_a_channel_whose_effort_cannot_be_capped_gets_the_neutral_command(
        self, mode, neutral
    ):
        unit = {"velocity": "rad/s", "position": "rad"}[mode]
        hard = envelope(mode=mode, max_effort=None)
        limited = ActuatorLimiter(
            spec(intermittent=always()), [Channel("joint", mode, unit)], envelope=hard, period=DT
        )
        drive = Drive(limited, measured=at_rest(position=0.125))
        assert drive.run(0.2, 0.2) == [neutral, neutral]

    def test_dead_band_is_about_rest_or_about_the_last_position(self):
        assert Drive(limiter("velocity", spec(dead_band=0.5))).run(0.4, 0.5, -0.4, 1.0) == [0, 0.5, 0, 1.0]
        assert Drive(limiter("effort", spec(dead_band=0.5))).run(0.4, -0.5) == [0.0, -0.5]
        assert Drive(limiter("position", spec(dead_band=0.05))).run(0.04, 0.06, 0.1) == [0.0, 0.06, 0.06]

    def test_backlash_follows_by_the_edges_of_the_gap(self):
        assert Drive(limiter("velocity", spec(backlash=0.5))).run(1.0, 0.75, 0.25, 0.0) == [
            0.75,
            0.75,
            0.5,
            0.25,
        ]

    def test_quantum_rounds_a_position_and_cuts_a_rate(self):
        assert Drive(limiter("velocity", spec(quantum=0.25))).run(0.74, -0.74) == [0.5, -0.5]
        assert Drive(limiter("position", spec(quantum=0.125))).run(0.07, 0.1, 0.04) == [0.125, 0.125, 0.0]

    def test_the_stages_come_in_their_order(self):
        nerf = spec(dead_band=1.0, backlash=0.5, quantum=0.5, velocity=1.5, gain=0.5)
        drive = Drive(limiter("velocity", nerf))
        # 2.4 -> backlash 2.15 -> quantum 2.0 -> velocity 1.5 -> gain 0.75
        assert drive.run(2.4) == [0.75]


class TestEnvelope:
    def test_no_command_passes_the_range(self):
        assert Drive(limiter("effort")).run(99.0, -99.0) == [50.0, -50.0]
        assert Drive(limiter("effort", hard={"min_effort": -1.0})).run(-9.0) == [-1.0]
        assert Drive(limiter("velocity", hard={"min_velocity": 0.0})).run(-9.0) == [0.0]
        assert Drive(limiter("velocity")).run(*[9.0] * 3)[-1] == 4.0
        assert Drive(limiter("position")).run(*[9.0] * 60)[-1] == 3.0
        assert Drive(limiter("position")).run(*[-9.0] * 60)[-1] == -2.0

    def test_a_request_past_the_range_winds_nothing_up(self):
        drive = Drive(limiter("velocity", spec(acceleration=16.0)))
        drive.run(*[1e6] * 200)
        assert drive.run(0.0) == [3.0]
        drive = Drive(limiter("position", spec(velocity=2.0)))
        drive.run(*[1e6] * 200)
        assert drive.run(0.0) == [2.875]

    def test_a_position_never_moves_faster_than_its_nerf_says_while_it_catches_up(self):
        drive = Drive(limiter("position", spec(velocity=1.0), hard={"stop_deceleration": 35.0}))
        out = drive.run(*[2.0] * 60)
        assert np.diff(out).max() <= 1.0 * DT + 1e-12
        assert max(out) <= 2.0

    def test_a_first_command_out_of_range_begins_at_the_edge(self):
        limited = limiter("position")
        assert limited.apply(row(9.0), None, 0.0, levels(0)).value[0, 0] == 3.0

    def test_a_measured_position_out_of_range_comes_back_slowly(self):
        drive = Drive(limiter("position"), measured=at_rest(position=4.0))
        out = drive.run(*[4.0] * 30)
        assert out[0] == 4.0 - 40.0 * DT * DT
        assert np.all(np.diff(out) <= 0.0)
        assert out[-1] == 3.0


class TestStops:
    def test_a_velocity_brakes_by_the_stop_deceleration(self):
        drive = Drive(limiter("velocity"))
        drive.run(2.0)
        out = [drive.limiter.stop(None, drive.now + k * DT).value[0, 0] for k in range(5)]
        assert out == [1.375, 0.75, 0.125, 0.0, 0.0]

    def test_a_position_goes_to_where_it_is_measured(self):
        drive = Drive(limiter("position"))
        drive.run(0.1)
        where = Measured(row(0.05), None)
        out = [drive.limiter.stop(where, drive.now + k * DT).value[0, 0] for k in range(4)]
        assert out[-1] == 0.05

    def test_a_position_that_is_not_measured_stays_where_it_was_sent(self):
        drive = Drive(limiter("position"))
        drive.run(0.1, 0.1)
        assert drive.limiter.stop(None, drive.now).value[0, 0] == 0.1
        drive.limiter.reset()
        assert drive.limiter.stop(None, 0.0).value[0, 0] == 0.1

    def test_an_effort_is_damped(self):
        limited = limiter("effort")
        assert limited.stop(at_rest(velocity=1.5), 0.0).value[0, 0] == -3.0
        assert limited.stop(at_rest(velocity=99.0), DT).value[0, 0] == -50.0
        assert limited.stop(None, 2 * DT).value[0, 0] == 0.0
        undamped = limiter("effort", hard={"damping": None})
        assert undamped.stop(at_rest(velocity=1.5), 0.0).value[0, 0] == 0.0

    def test_a_stop_enters_after_all_impairments(self):
        nerf = spec(
            {"latency": 1.0, "drop": always()},
            hold=always(),
            intermittent=always(),
            effort=5.0,
            gain=0.5,
            velocity=1.0,
        )
        drive = Drive(limiter("velocity", nerf), measured=at_rest(velocity=2.0))
        drive.run(2.0)
        before = drive.last.value[0, 0]
        limited = drive.limiter.stop(at_rest(velocity=2.0), drive.now)
        assert limited.value[0, 0] == max(before - 0.625, 0.0)
        assert limited.effort_limit[0, 0] == HARD["max_effort"]
        assert limited.reasons[0, 0] == STOP

    def test_messages_under_way_are_lost_in_a_stop(self):
        drive = Drive(limiter("velocity", spec({"latency": 2 * DT})))
        drive.run(1.0, 1.0, 1.0, 1.0)
        for _ in range(3):
            drive.limiter.stop(None, drive.now)
            drive.now += DT
        assert drive.run(2.0, 2.0, 2.0) == [0.0, 0.0, 2.0]
        drive = Drive(limiter("position", spec({"latency": 2 * DT})))
        drive.run(0.1, 0.1, 0.1, 0.1)
        drive.limiter.stop(None, drive.now)
        drive.now += DT
        assert drive.run(0.2, 0.2, 0.2) == [0.1, 0.1, 0.2]

    def test_the_nerf_goes_on_from_where_the_stop_has_led(self):
        drive = Drive(limiter("velocity", spec(acceleration=16.0, deceleration=32.0)))
        drive.run(3.0, 3.0, 3.0)
        drive.limiter.stop(None, drive.now)  # 3 - 0.625
        drive.now += DT
        assert drive.run(4.0, 4.0) == [3.375, 4.0]
        drive = Drive(limiter("position", spec(velocity=2.0)))
        drive.run(0.5, 0.5, 0.5, 0.5)
        for _ in range(5):
            drive.limiter.stop(at_rest(position=0.25), drive.now)
            drive.now += DT
        assert drive.run(0.25, 0.5) == [0.25, 0.375]

    def test_bursts_go_on_during_a_stop(self):
        nerf = spec(hold={"rate": {"nerfed": 20.0, "lifted": 20.0}, "duration": 0.2})
        stopped, driven = limiter("velocity", nerf), limiter("velocity", nerf)
        for number in range(100):
            stopped.stop(at_rest(), number * DT)
            driven.apply(row(1.0), at_rest(), number * DT, levels(0))
            assert np.array_equal(stopped._faults, driven._faults)

    @pytest.mark.parametrize("elapsed", [0.0, -1.0, 1e-12, -1e300])
    def test_time_that_does_not_advance_stops_all_robots(self, elapsed):
        drive = Drive(limiter("velocity", count=2), measured=at_rest(2))
        drive.run(2.0)
        limited = drive.limiter.apply(row(2.0, 2), at_rest(2), elapsed, levels(0, 2))
        assert limited.value.tolist() == [[1.375], [1.375]]
        assert (limited.reasons == TIME | STOP).all()
        assert drive.run(2.0) == [2.0]  # time goes on from the last that advanced

    def test_time_that_runs_backwards_does_not_set_the_clock(self):
        limited = limiter("velocity", spec(acceleration=16.0))
        for now, expected in ((10.0, 1.0), (5.0, 0.375), (10.0, 0.0), (10.0 + DT, 1.0)):
            assert limited.apply(row(4.0), None, now, levels(0)).value[0, 0] == expected

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_a_command_that_is_not_finite_stops_its_robot_only(self, bad):
        drive = Drive(limiter("velocity", count=3), measured=at_rest(3))
        drive.run(2.0)
        limited = drive.limiter.apply([[2.0], [bad], [2.0]], at_rest(3), drive.now, levels(0, 3))
        assert limited.value[:, 0].tolist() == [2.0, 1.375, 2.0]
        assert limited.reasons[:, 0].tolist() == [0, INVALID | STOP, 0]

    @pytest.mark.parametrize("what", [0, 1])
    def test_a_measurement_that_is_not_finite_stops_its_robot_only(self, what):
        drive = Drive(limiter("velocity", count=2), measured=at_rest(2))
        drive.run(2.0)
        arrays = [row(0.0, 2), row(0.0, 2)]
        arrays[what][0] = math.nan
        limited = drive.limiter.apply(row(2.0, 2), Measured(*arrays), drive.now, levels(0, 2))
        assert limited.value[:, 0].tolist() == [1.375, 2.0]
        assert limited.reasons[:, 0].tolist() == [INVALID | STOP, 0]

    def test_bad_commands_and_bad_measurements_add_up(self):
        limited = limiter("velocity", count=3)
        position = np.array([[math.nan], [0.0], [0.0]])
        velocity = np.array([[0.0], [math.nan], [0.0]])
        reasons = limited.apply(
            [[0.0], [0.0], [math.nan]], Measured(position, velocity), 0.0, levels(0, 3)
        ).reasons
        assert (reasons == INVALID | STOP).all()

    def test_a_position_that_cannot_be_measured_holds_where_it_was_sent(self):
        drive = Drive(limiter("position"))
        drive.run(0.1, 0.1)
        drive.step(0.5, measured=Measured(row(math.nan), row(0.0)))
        assert drive.last.value[0, 0] == 0.1


class TestTime:
    def test_the_first_step_is_the_period(self):
        assert Drive(limiter("velocity", spec(acceleration=16.0))).run(4.0) == [1.0]
        assert Drive(limiter("velocity", spec(acceleration=16.0), period=0.125)).run(4.0) == [2.0]

    def test_a_pause_earns_credit_for_no_more_than_two_periods(self):
        for pause, expected in ((DT, 1.25), (2 * DT, 1.5), (3 * DT, 1.5), (1e6, 1.5)):
            drive = Drive(limiter("velocity", spec(acceleration=4.0, deceleration=40.0)))
            assert drive.run(1.0, 1.0, 1.0, 1.0)[-1] == 1.0
            drive.now += pause - DT
            assert drive.step(4.0) == expected

    def test_a_new_episode_of_all_robots_may_set_the_clock_back(self):
        limited = limiter("velocity", count=2)
        limited.apply(row(1.0, 2), at_rest(2), 100.0, levels(0, 2))
        limited.reset()
        assert not limited.apply(row(1.0, 2), at_rest(2), 0.0, levels(0, 2)).reasons.any()

    def test_a_new_episode_of_some_robots_does_not(self):
        limited = limiter("velocity", count=2)
        limited.apply(row(1.0, 2), at_rest(2), 100.0, levels(0, 2))
        limited.reset([True, False])
        assert (limited.apply(row(1.0, 2), at_rest(2), 0.0, levels(0, 2)).reasons == TIME | STOP).all()


RANDOM = {"nerfed": {"uniform": [1.0, 2.0]}, "lifted": 3.0}


class TestReset:
    def test_seeds_choose_the_randomised_limits(self):
        limited = limiter("velocity", spec(velocity=RANDOM), count=3, seed=5)
        alone = limiter("velocity", spec(velocity=RANDOM), seed=6)
        assert limited.limits("velocity")[1, 0] == alone.limits("velocity")[0, 0]
        limited.reset([True, False, True], [6, 6])
        assert np.array_equal(limited.limits("velocity"), np.repeat(alone.limits("velocity"), 3, 0))

    def test_without_seeds_each_robot_goes_on_in_its_own_sequence(self):
        limited = limiter("velocity", spec(velocity=RANDOM), count=3)
        alone = limiter("velocity", spec(velocity=RANDOM), seed=1)
        drawn = {float(limited.limits("velocity")[1, 0])}
        for _ in range(4):
            limited.reset([False, True, False])
            alone.reset()
            assert limited.limits("velocity")[1, 0] == alone.limits("velocity")[0, 0]
            drawn.add(float(alone.limits("velocity")[0, 0]))
        assert len(drawn) == 5

    def test_the_lift_of_the_last_call_stays(self):
        nerf = spec(velocity={"nerfed": 1.0, "lifted": 3.0})
        limited = limiter("velocity", nerf)
        limited.apply(row(0.0), None, 0.0, levels(0.5))
        limited.reset()
        assert limited.limits("velocity")[0, 0] == 2.0
        limited.apply(row(0.0), None, 0.0, levels(0.5))
        assert limited.limits("velocity")[0, 0] == 2.0

    def test_a_robot_begins_anew_where_it_is_measured(self):
        drive = Drive(limiter("velocity", spec(acceleration=16.0)))
        drive.run(3.0, 3.0, 3.0)
        drive.limiter.reset()
        assert drive.step(3.0) == 1.0
        drive.limiter.reset()
        assert drive.step(3.0, measured=at_rest(velocity=1.5)) == 2.5
        drive = Drive(limiter("position", spec(velocity=2.0)))
        drive.run(0.5)
        drive.limiter.reset()
        assert drive.step(1.5, measured=at_rest(position=1.0)) == 1.125

    def test_messages_under_way_are_lost(self):
        drive = Drive(limiter("velocity", spec({"latency": 2 * DT}), count=2), measured=at_rest(2))
        drive.run(1.0, 1.0)
        drive.limiter.reset([True, False])
        out = []
        for _ in range(3):
            drive.step(2.0)
            out.append(drive.last.value[:, 0].tolist())
        assert out == [[0.0, 1.0], [0.0, 1.0], [2.0, 2.0]]

    def test_faults_end(self):
        nerf = spec({"drop": always()})
        drive = Drive(limiter("velocity", nerf), lift=0.0)
        drive.run(1.0)
        assert drive.limiter._faults.any()
        drive.limiter.reset()
        assert not drive.limiter._faults.any()

    def test_an_empty_mask_changes_nothing(self):
        limited = limiter("velocity", spec(velocity=RANDOM), count=2)
        before = limited.limits("velocity")
        limited.reset([False, False])
        limited.reset([False, False], [])
        assert np.array_equal(limited.limits("velocity"), before)


class TestLift:
    def test_levels_are_clamped_and_what_is_not_finite_counts_as_nerfed(self):
        nerf = spec(velocity={"nerfed": 1.0, "lifted": 3.0})
        limited = limiter("velocity", nerf)
        for step, (level, expected) in enumerate(
            (
                (0.0, 1.0),
                (0.25, 1.5),
                (1.0, 3.0),
                (7.0, 3.0),
                (-3.0, 1.0),
                (1.0, 3.0),
                (math.nan, 1.0),
                (math.inf, 1.0),
            )
        ):
            limited.apply(row(0.0), None, step * DT, levels(level))
            assert limited.limits("velocity")[0, 0] == expected

    def test_one_robots_lift_is_its_own(self):
        nerf = spec(velocity={"nerfed": 1.0, "lifted": 3.0}, gain=0.5)
        limited = limiter("velocity", nerf, count=2)
        lift = levels(0, 2)
        lift[1, 1] = 0.5
        limited.apply(row(0.0, 2), None, 0.0, lift)
        assert limited.limits("velocity")[:, 0].tolist() == [1.0, 2.0]
        assert limited.limits("gain")[:, 0].tolist() == [0.5, 0.5]

    def test_the_latency_falls_with_the_reliability(self):
        drive = Drive(limiter("velocity", spec({"latency": 4 * DT})), lift=0.5)
        assert drive.run(1.0, 2.0, 3.0) == [0.0, 0.0, 1.0]

    def test_a_lift_heals_bursts(self):
        nerf = spec(hold={"rate": 1e6, "duration": 1e-9})
        drive = Drive(limiter("velocity", nerf), lift=1.0)
        assert drive.run(1.0, 2.0, 0.5) == [1.0, 2.0, 0.5]

    def test_the_effective_limits_are_copies_and_only_declared_ones_are_told(self):
        limited = limiter("velocity", spec(velocity=1.0))
        limited.limits("velocity")[:] = 9.0
        assert limited.limits("velocity")[0, 0] == 1.0
        with pytest.raises(KeyError, match="gain"):
            limited.limits("gain")


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "line"),
        [
            ({"command": [1.0]}, "command must have shape (1, 1), got (1,)"),
            ({"command": 1.0}, "command must have shape (1, 1), got ()"),
            ({"command": [[1.0, 2.0]]}, "command must have shape (1, 1), got (1, 2)"),
            ({"command": "fast"}, "command must be numbers of shape (1, 1), got str"),
            ({"command": [[1.0], [2.0, 3.0]]}, "command must be numbers of shape (1, 1), got list"),
            ({"command": {}}, "command must be numbers of shape (1, 1), got dict"),
            ({"lift": [0.0] * 4}, "lift must have shape (1, 4), got (4,)"),
            ({"lift": [[0.0] * 3]}, "lift must have shape (1, 4), got (1, 3)"),
            ({"now": math.nan}, "now must be a finite time in s, got nan"),
            ({"now": math.inf}, "now must be a finite time in s, got inf"),
            ({"measured": Measured(row(0, 2))}, "measured.position must have shape (1, 1), got (2, 1)"),
            ({"measured": Measured(None, row(0, 2))}, "measured.velocity must have shape (1, 1), got (2, 1)"),
        ],
    )
    def test_a_bad_call_is_told_in_one_line(self, change, line):
        call = {"command": row(0.0), "measured": None, "now": 0.0, "lift": levels(0), **change}
        with pytest.raises(InvalidCommand) as caught:
            limiter("velocity").apply(**call)
        assert str(caught.value) == line

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (([True],), "mask must be bool of shape (2,), got bool (1,)"),
            (([1, 0],), "mask must be bool of shape (2,), got int64 (2,)"),
            (([True, True], [1]), "seeds must have shape (2,), got (1,)"),
            (([True, False], [1, 2]), "seeds must have shape (1,), got (2,)"),
            (([True, False], [0.5]), "seeds must be integers, got float64"),
        ],
    )
    def test_a_bad_reset_is_told_in_one_line(self, arguments, line):
        with pytest.raises(InvalidCommand) as caught:
            limiter("velocity", count=2).reset(*arguments)
        assert str(caught.value) == line

    @pytest.mark.parametrize(
        ("options", "line"),
        [
            ({"count": 0}, "count must be at least 1, got 0"),
            ({"period": 0.0}, "period must be above 0 s, got 0.0"),
            ({"period": -1.0}, "period must be above 0 s, got -1.0"),
            ({"period": math.nan}, "period must be above 0 s, got nan"),
            ({"period": math.inf}, "period must be above 0 s, got inf"),
            ({"seed": -1}, "seed must be at least 0 and below 2**64, got -1"),
            ({"seed": 2**64}, f"seed must be at least 0 and below 2**64, got {2**64}"),
        ],
    )
    def test_a_bad_limiter_is_told_in_one_line(self, options, line):
        with pytest.raises(InvalidCommand) as caught:
            limiter("velocity", **options)
        assert str(caught.value) == line

    def test_the_largest_seed_is_as_good_as_any(self):
        limiter("velocity", count=2, seed=2**64 - 1).reset()

    @pytest.mark.parametrize("mode", ["effort", "velocity"])
    def test_a_limit_that_depends_on_a_measurement_asks_for_it(self, mode):
        fields = {"velocity": 1.0} if mode == "effort" else {"stall_effort": 1.0, "no_load_velocity": 1.0}
        limited = limiter(mode, spec(**fields))
        with pytest.raises(InvalidCommand) as caught:
            limited.apply(row(0.0), Measured(row(0.0), None), 0.0, levels(0))
        name = "velocity" if mode == "effort" else "stall_effort"
        assert str(caught.value) == f"measured.velocity is required by joint.{name}, got None"
        limited.apply(row(0.0), at_rest(), 0.0, levels(0))
        limited.stop(None, DT)

    def test_an_allowed_limit_asks_for_nothing(self):
        joint = Channel("joint", "effort", "N·m")
        hard = envelope(mode="effort")
        limited = ActuatorLimiter(spec(velocity=1.0), [joint], envelope=hard, allow=["joint.velocity"])
        limited.apply(row(0.0), None, 0.0, levels(0))

    def test_a_bad_call_changes_nothing(self):
        limited, untouched = (
            limiter("velocity", spec(acceleration=16.0)),
            limiter("velocity", spec(acceleration=16.0)),
        )
        for _ in range(2):
            with pytest.raises(InvalidCommand):
                limited.apply(row(0.0), None, math.nan, levels(0))
        one = limited.apply(row(4.0), None, 0.0, levels(0)).value
        assert np.array_equal(one, untouched.apply(row(4.0), None, 0.0, levels(0)).value)

    def test_an_envelope_is_required(self):
        with pytest.raises(InvalidSpec) as caught:
            ActuatorLimiter(spec(), [channel("velocity")])
        assert str(caught.value) == "test: envelope: is required, from the nerf or from the machine"

    def test_the_machines_envelope_goes_before_the_nerfs(self):
        hard = {"max_velocity": 1.0, "max_acceleration": 40.0, "stop_deceleration": 1.0}
        nerf = NerfSpec.parse({"name": "a", "envelope": {"channels": {"joint": hard}}})
        own = ActuatorLimiter(nerf, [channel("velocity")], period=DT)
        assert own.apply(row(2.0), None, 0.0, levels(0)).value[0, 0] == 1.0
        machine = ActuatorLimiter(nerf, [channel("velocity")], envelope=envelope(), period=DT)
        assert machine.apply(row(2.0), None, 0.0, levels(0)).value[0, 0] == 2.0

    @pytest.mark.parametrize(
        ("fields", "line"),
        [
            (
                {"velocity": 5.0},
                "test: channels[joint].velocity.nerfed: 5 is above the envelope's max_velocity 4",
            ),
            (
                {"effort": 60.0},
                "test: channels[joint].effort.nerfed: 60 is above the envelope's max_effort 50",
            ),
        ],
    )
    def test_a_nerf_past_the_machines_envelope_is_refused(self, fields, line):
        with pytest.raises(InvalidSpec) as caught:
            limiter("velocity", spec(**fields))
        assert str(caught.value) == line

    def test_a_channel_that_the_robot_does_not_have_is_refused(self):
        with pytest.raises(InvalidSpec) as caught:
            ActuatorLimiter(spec(gain=0.5), [channel("velocity", "jiont")], envelope=envelope("jiont"))
        assert str(caught.value) == (
            "test: channels[joint]: the robot has no such channel; did you mean 'jiont'?"
        )

    def test_what_cannot_be_enforced_is_refused_unless_allowed(self):
        bare = Channel("joint", "velocity", "rad/s")
        with pytest.raises(InvalidSpec, match=r"^channels\[joint\]\.effort: 5 N·m is not enforceable: "):
            ActuatorLimiter(spec(effort=5.0), [bare], envelope=envelope())
        limited = ActuatorLimiter(spec(effort=5.0), [bare], envelope=envelope(), allow=["joint.effort"])
        assert [item.status for item in limited.report] == ["not enforceable"]


def test_channels_of_all_modes_are_limited_side_by_side():
    names = {"arm": "position", "wheel": "velocity", "grip": "effort"}
    nerf = NerfSpec.parse(
        {
            "name": "test",
            "channels": {
                "arm": {"velocity": {"nerfed": 2.0, "lifted": 2.0}},
                "wheel": {"gain": 0.5},
                "grip": {"effort": {"nerfed": 5.0, "lifted": 5.0}},
            },
        }
    )
    limited = ActuatorLimiter(
        nerf, [channel(mode, name) for name, mode in names.items()], envelope=envelope(*names), period=DT
    )
    rest = Measured(np.zeros((1, 3)), np.zeros((1, 3)))
    out = limited.apply([[1.0, 2.0, 9.0]], rest, 0.0, levels(0))
    assert out.value.tolist() == [[0.125, 1.0, 5.0]]
    assert out.effort_limit.tolist() == [[50.0, 50.0, 5.0]]
    assert out.reasons.tolist() == [[Reason.VELOCITY, Reason.GAIN, Reason.EFFORT]]
    assert out.reasons.dtype == np.uint16
