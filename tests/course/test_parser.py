"""Every way in which a course file can be wrong: one line, with file, line and column."""

from __future__ import annotations

import pytest

from nerfbot.course import parse
from nerfbot.errors import InvalidCourse

GOOD = """\
name: tiny
cell: 0.5
legend:
  "#": wall
  S: {kind: start, heading: 1.5}
  B: {kind: block, mass: 6.0, friction: 0.4}
  F: [{kind: fog, visibility: 0.5}, {kind: lift_zone, axes: [speed]}]
  C: {kind: coin, colour: red}
map: |
  ######
  #SFBC#
  ######
task:
  goal: {kind: coin}
  horizon: 20
route:
  - [1, 2]
  - [1, 4, push]
"""


def message(text: str) -> str:
    with pytest.raises(InvalidCourse) as caught:
        parse(text, "tiny.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_good_file_parses_to_what_it_says() -> None:
    course = parse(GOOD, "tiny.yaml").draw()
    assert (course.rows, course.columns, course.cell) == (3, 6, 0.5)
    assert course.start.heading == 1.5
    assert [item.kind for item in course.at(1, 2)] == ["fog", "lift_zone"]
    assert course.element("block-1").properties == {"mass": 6.0, "friction": 0.4, "colour": "brown"}
    assert [point.action for point in course.route] == ["drive", "push"]


# what to replace, by what, and how the error must begin and what it must name
WRONG = {
    "unknown element": ("kind: coin, colour: red", "kind: cion", "tiny.yaml:8:13: legend.C.kind", "'coin'"),
    "unknown legend character": ("#SFBC#", "#SFXC#", "tiny.yaml:11:6: map", "'X'"),
    "ragged map": ("#SFBC#", "#SFBC", "tiny.yaml:11:8: map", "ragged line of 5"),
    "a line too long": ("#SFBC#", "#SFBC##", "tiny.yaml:11:9: map", "ragged line of 7"),
    "no start": ("#SFBC#", "#.FBC#", "tiny.yaml:9:6: map", "no start"),
    "two starts": ("#SFBC#", "#SFSC#", "tiny.yaml:11:6: map", "second start"),
    "open edge": ("#SFBC#", "#SFBC.", "tiny.yaml:11:8: map", "edge must be wall"),
    "a blank for a map character": ("#SFBC#", "#S BC#", "tiny.yaml:11:5: map", "' '"),
    "negative mass": ("mass: 6.0", "mass: -6.0", "tiny.yaml:6:26: legend.B.mass", "got -6.0"),
    "NaN mass": ("mass: 6.0", "mass: .nan", "tiny.yaml:6:26: legend.B.mass", "got nan"),
    "infinite horizon": ("horizon: 20", "horizon: .inf", "tiny.yaml:15:12: task.horizon", "got inf"),
    "wrong type": ("mass: 6.0", "mass: heavy", "tiny.yaml:6:26: legend.B.mass", "got 'heavy'"),
    "a boolean for a number": ("cell: 0.5", "cell: true", "tiny.yaml:2:7: cell", "got True"),
    "zero cell": ("cell: 0.5", "cell: 0", "tiny.yaml:2:7: cell", "got 0"),
    "missing property": ("mass: 6.0, ", "", "tiny.yaml:6:6: legend.B.mass", "is required"),
    "unknown property": ("mass: 6.0", "mas: 6.0", "tiny.yaml:6:20: legend.B.mas: unknown field", "'mass'"),
    "a cell that is not the file's to say": (
        "mass: 6.0",
        "row: 1",
        "tiny.yaml:6:20: legend.B.row: unknown field",
        "(known: colour",
    ),
    "unknown key at the top": ("route:", "rout:", "tiny.yaml:16:1: rout: unknown field", "'route'"),
    "unknown key in the task": (
        "horizon: 20",
        "horizn: 20",
        "tiny.yaml:15:3: task.horizn: unknown field",
        "'horizon'",
    ),
    "unknown key in a matcher": (
        "goal: {kind: coin}",
        "goal: {kind: coin, color: red}",
        "tiny.yaml:14:22",
        "colour",
    ),
    "unknown axis": ("axes: [speed]", "axes: [sped]", "tiny.yaml:7:62: legend.F[1].axes[0]", "'sped'"),
    "no axes": ("axes: [speed]", "axes: []", "tiny.yaml:7:61: legend.F[1].axes", "at least 1"),
    "a list never closed": ("B: {kind: block, ", "B: [coin, {kind: block, ", "tiny.yaml", "YAML"),
    "a key given twice": ("cell: 0.5", "name: again", "tiny.yaml:2:1: 'name' is given twice", ""),
    "legend key of two characters": ("  C: {", "  CC: {", "tiny.yaml:8:3: a legend key is one", "'CC'"),
    "goal that is nowhere": (
        "goal: {kind: coin}",
        "goal: {kind: chest}",
        "tiny.yaml:14:9: task.goal",
        "no element",
    ),
    "waypoint in a wall": ("[1, 2]", "[0, 2]", "tiny.yaml:17:5: route[0]", "[0, 2] is a wall"),
    "waypoint outside": ("[1, 2]", "[9, 2]", "tiny.yaml:17:5: route[0]", "no such cell"),
    "waypoint of one number": ("[1, 2]", "[1]", "tiny.yaml:17:5: route[0]", "[row, column]"),
    "unknown action": ("4, push", "4, pusj", "tiny.yaml:18:12: route[1][2]", "'push'"),
    "bad name": ("name: tiny", "name: Tiny Course", "tiny.yaml:1:7: name", "'Tiny Course'"),
    "missing task": (
        "task:\n  goal: {kind: coin}\n  horizon: 20\n",
        "",
        "tiny.yaml:1:1: task",
        "is required",
    ),
    "folded map": ("map: |", "map: >", "tiny.yaml:9:6: map", "literal block"),
    "unclosed bracket": ("[speed]", "[speed", "tiny.yaml:7", "not valid YAML"),
    "endless alias": ("task:\n", "task: &a\n  proxies: [*a]\n", "tiny.yaml:13:7", "endless"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_one_line_that_names_the_place(case: str) -> None:
    old, new, begins, names = WRONG[case]
    assert old in GOOD
    text = message(GOOD.replace(old, new, 1))
    assert text.startswith(begins), text
    assert names in text


def test_two_bodies_cannot_share_a_cell() -> None:
    text = message(GOOD.replace("C: {kind: coin, colour: red}", "C: [coin, key]"))
    assert text == "tiny.yaml:8:6: legend.C: coin and key cannot share a cell"


def test_an_empty_or_unstructured_text_is_refused() -> None:
    for text in ("", "just words", "- a\n- b\n", "name: [", "\x00"):
        assert message(text).startswith("tiny.yaml:")


def test_a_drawn_element_needs_enough_free_cells() -> None:
    drawn = "drawn:\n  - {kind: key, among: F, count: 2}\nmap:"
    assert "2 to be placed but only 1 free" in message(GOOD.replace("map:", drawn))
    nowhere = "drawn:\n  - {kind: key, among: Q}\nmap:"
    assert message(GOOD.replace("map:", nowhere)).startswith(
        "tiny.yaml:10:24: drawn[0].among: the map has no cell"
    )


def test_later_drawn_elements_cannot_be_starved_by_earlier_ones() -> None:
    drawn = "drawn:\n  - {kind: key, among: F}\n  - {kind: decoy, among: F}\nmap:"
    assert "may leave it no free cell" in message(GOOD.replace("map:", drawn))


def test_walls_and_zones_cannot_be_drawn() -> None:
    for kind in ("wall", "{kind: fog, visibility: 1}", "{kind: gate, period: 2, open: 1}"):
        inner = kind if kind == "wall" else kind[1:-1]
        entry = f"{{kind: {inner}, among: F}}" if kind == "wall" else f"{{{inner}, among: F}}"
        assert "can be drawn" in message(GOOD.replace("map:", f"drawn:\n  - {entry}\nmap:"))


def test_variation_intervals_must_be_ordered_and_positive() -> None:
    for interval in ("[2, 1]", "[-1, 1]", "[0, .inf]", "[1]"):
        text = message(GOOD + f"variation:\n  gate_phase: {interval}\n")
        assert text.startswith(
            ("tiny.yaml:20:15: variation.gate_phase", "tiny.yaml:20:19: variation.gate_phase[1]")
        ), text
    assert "greater than 0" in message(GOOD + "variation:\n  block_mass: [0, 1]\n")
