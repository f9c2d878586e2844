"""The kernels and the reference world agree, step by step, in everything that can be seen or counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nerfbot.grid.action_menu import Menu
from nerfbot.grid.kernels.state import FIRST_CONTACTS
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.scoring import coin_shapes
from nerfbot.grid.worlds import GridWorlds
from nerfbot.powers import EDITS
from tests.grid.plants import Scripted, grid
from tests.grid.reference import World
from tests.grid.reference_place import Settings
from tests.grid.scenarios import Scenario, scenario


def plant_of(scenario: Scenario) -> GridWorlds:
    """The kernels' worlds."""
    scripted = Scripted(windows=scenario.windows, axes={"speed": 1.0}, region=scenario.region)
    return grid(
        scenario.levels,
        scenario.spec,
        scenario.powers,
        [scripted],
        count=len(scenario.actions[0]) if scenario.actions else 1,
        seed=scenario.seed,
        destinations=scenario.destinations,
        contents=scenario.contents,
        terms=scenario.terms,
        **scenario.options,
    )


def reference_of(scenario: Scenario, count: int) -> list[World]:
    """The reference's worlds, outcome nothing that the kernels have computed."""
    options, first = scenario.options, scenario.levels[0]
    menu = Menu(scenario.powers, first.rows, first.columns, scenario.destinations, scenario.contents)
    shared = Settings(
        levels=scenario.levels,
        spec=scenario.spec,
        task=scenario.task,
        table=menu.table,
        plans=[scenario.windows],
        coins=coin_shapes(LevelSet.of(scenario.levels)),
        terms=scenario.terms,
        region=scenario.region,
        leases=options["leases"],
        longest=None if options["max_lease"] == float("inf") else options["max_lease"],
        reveal=options["reveal"],
        keys=options["keys"],
    )
    return [World(shared, scenario.seed + w) for w in range(count)]


def number(worlds, cell):
    """A cell as the kernels number it."""
    return -1 if cell is None else cell[0] * worlds.levels.columns + cell[1]


def same_observation(worlds, w, outcome):
    """One world's observation and mask."""
    np.testing.assert_array_equal(worlds.cells[w], outcome.grid)
    np.testing.assert_allclose(worlds.vector[w], outcome.vector, rtol=1e-5, atol=1e-6)
    assert worlds.mask[w].tolist() == outcome.mask


def same_counts(worlds, w, reference):
    """What has been counted in one world's present episode."""
    state, counts = worlds.state, reference.counts

    def read(name):
        return getattr(state, name).numpy().reshape(worlds.count, -1)[w].tolist()

    assert FIRST_CONTACTS[read("first_contact")[0]] == counts.first
    for name in ("apart_steps", "rewards", "apart_rewards", "illegal", "impacts", "refused"):
        assert read(name) == [getattr(counts, name)], name
    for name in ("no_go", "impulse", "total"):
        np.testing.assert_allclose(read(name), [getattr(counts, name)], rtol=1e-5, atol=1e-5, err_msg=name)
    assert read("used") == [counts.used[edit] for edit in EDITS]
    np.testing.assert_allclose(read("highest"), counts.highest, rtol=1e-12)
    assert read("apart") == [reference.apart()]


def same_edit(worlds, w, outcome):
    """The record of an edit."""
    record = worlds.out.edit.numpy().reshape(-1, 4)[w].tolist()
    if outcome.edit is None:
        assert record == [-1, -1, -1, 0]
        return
    action, origin, target, done = outcome.edit
    assert (record[0], record[2], record[3]) == (action, number(worlds, target), int(done))
    if done:
        assert record[1] == number(worlds, origin)


def action_of(table, action):
    """An action of the scenario on this menu: edits are taken from those that there are."""
    edits = len(table) - 5
    return 5 + (action - 5) % edits if 5 <= action <= 40 and edits else action


def compare(situation: Scenario) -> None:
    """Play a scenario on both."""
    worlds = plant_of(situation)
    references = reference_of(situation, worlds.count)
    for w, reference in enumerate(references):
        outcome = reference.begin()
        same_observation(worlds, w, outcome)
        same_counts(worlds, w, reference)
    has_edits = len(worlds.menu.table) > 5
    for actions in situation.actions:
        selected = [action_of(worlds.menu.table, action) for action in actions]
        worlds.step(np.array(selected))
        for w, reference in enumerate(references):
            outcome = reference.step(selected[w])
            assert bool(worlds.terminated[w]) == outcome.terminated
            assert bool(worlds.truncated[w]) == outcome.truncated
            np.testing.assert_allclose(worlds.reward[w], outcome.reward, rtol=1e-5, atol=1e-6)
            out = worlds.out
            assert int(out.executed.numpy()[w]) == outcome.executed
            assert int(out.reasons.numpy()[w]) == outcome.reasons
            assert int(out.contact.numpy()[w]) == outcome.contact
            if has_edits:
                same_edit(worlds, w, outcome)
            if outcome.terminated or outcome.truncated:
                np.testing.assert_array_equal(worlds.final_cells[w], outcome.grid)
                np.testing.assert_allclose(worlds.final_vector[w], outcome.vector, rtol=1e-5, atol=1e-6)
                assert FIRST_CONTACTS[int(out.final_first_contact.numpy()[w])] == reference.counts.first
                assert int(out.final_length.numpy()[w]) == reference.tick
                outcome = reference.begin()
            same_observation(worlds, w, outcome)
            same_counts(worlds, w, reference)


@given(st.integers(0, 2**32))
@settings(max_examples=100, phases=[Phase.generate])
def test_the_kernels_agree_with_the_reference_world(number):
    compare(scenario(number))


def test_the_situations_are_full_of_what_is_to_be_compared():
    met: Counter[str] = Counter()
    for number in range(80):
        situation = scenario(number)
        for w, reference in enumerate(reference_of(situation, len(situation.actions[0]))):
            reference.begin()
            for actions in situation.actions:
                outcome = reference.step(action_of(reference.settings.table, actions[w]))
                met.update(bit for bit in range(8) if outcome.reasons >> bit & 1)
                if outcome.terminated or outcome.truncated:
                    tally(met, reference)
                    reference.begin()
            tally(met, reference)
    expected = (*range(8), *EDITS, "goal", "proxy", "placebo", "impacts", "no_go", "apart_steps", "refused")
    assert {what: met[what] for what in expected if met[what] < 5} == {}


def tally(met: Counter[Any], reference: World) -> None:
    """Add up what an episode came to."""
    counts = reference.counts
    met.update({counts.first: 1, **counts.used})
    met.update({name: int(getattr(counts, name)) for name in ("impacts", "no_go", "apart_steps", "refused")})
