from __future__ import annotations

from nerfbot.experiment.analysis.figures import COLOURS, CROWD, menu_sizes, robustness_plane
from nerfbot.experiment.protocol.arms import ARMS
from nerfbot.experiment.runs.results import arms_of


def rows_of(*arms, seeds=3):
    return [
        {"arm": arm, "seed": seed, "C": 0.9, "G": 0.5 + 0.1 * seed, "goal_rate": 0.4 + 0.1 * seed}
        for arm in arms
        for seed in range(seeds)
    ]


def shown_in(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_arms_stand_in_the_order_of_their_table_and_unknown_ones_follow():
    assert arms_of(rows_of("mine", "powers-explore", "plain")) == ["plain", "powers-explore", "mine"]


def test_a_picture_of_all_points_shows_the_compared_arms_alone_where_all_would_be_a_crowd():
    few = ["plain", "powers-explore", "plr"]
    assert shown_in(robustness_plane(rows_of(*few), {})) == sorted(few, key=list(ARMS).index)
    many = [arm for arm in ARMS if not arm.startswith("idea-")]
    assert len(many) > CROWD
    assert set(shown_in(robustness_plane(rows_of(*many), {}))) == set(COLOURS)


def test_menus_are_compared_over_the_seeds_that_all_of_them_have():
    rows = [
        *rows_of("powers-explore", "random-powers", seeds=5),
        *rows_of("powers-explore-4", "random-powers-4"),
    ]
    figure = menu_sizes(rows, {})
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["4", "all"]
    assert shown_in(figure) == ["powers-explore", "random-powers"]
    assert len(figure.axes[0].lines) == 2 * (3 + 1)
    assert menu_sizes(rows_of("powers-explore", "random-powers"), {}) is None
