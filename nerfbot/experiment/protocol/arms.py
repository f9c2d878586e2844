"""The arms, a table: how each condition differs from plain PPO on training levels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nerfbot.agents.hooks import Bonus
from nerfbot.declared import suggestion, validate
from nerfbot.experiment.protocol.arm import Arm
from nerfbot.experiment.protocol.config import ExperimentConfig, InvalidExperiment, MenuConfig

CEILING = "randomised-100"
"""The arm that others are divided by: the same agent, trained on the kind of level that is tested."""

MENU_SIZES = ("4", "16", "64")
"""Names of the smaller menus: how many kinds of edit each has."""

EXPLORE = Arm("a separate explorer acts while a power is open", menu="all", actor="explorer")
RANDOM = Arm("the same menu and schedule, chosen by chance", menu="all", actor="random")

WORD_SIGNALS = {
    "first-touch": "at the first touch",
    "td-surprise": "by the critic's errors",
    "positive-value-loss": "by regret",
    "reward-surprise": "by what came out other than expected alone",
    "promise": "by the best place it made",
    "value-change": "by what they promise",
    "value-disagreement": "by an ensemble's spread of the return",
    "reward-disagreement": "by an ensemble's spread of the reward",
    "novelty": "by random network distillation",
}
"""Other signals for the experiment's own explorer, which reads the words of an edit: how each scores."""

AVERAGE, SURPRISE = "a signed average a kind of edit, scored", {"signal": "reward-surprise"}

IDEAS: dict[str, tuple[str, dict[str, Any]]] = {
    "bandit": (f"{AVERAGE} at the first touch", {"name": "bandit", "signal": "first-touch"}),
    "bandit-surprise": (f"{AVERAGE} by reward surprise", {"name": "bandit", **SURPRISE}),
    "thompson": ("the words of an edit, weights drawn from their posterior", {"options": {"sampled": True}}),
    **{
        signal: (f"the words of an edit, scored {how}", {"signal": signal})
        for signal, how in WORD_SIGNALS.items()
    },
    "regressor": ("a network of the state, one output a kind of edit", {"name": "regressor", **SURPRISE}),
    "regressor-words": (
        "a network of the state times the words of an edit",
        {"name": "regressor", **SURPRISE, "options": {"words": 16, "rank_power": 2.0}},
    ),
    "policy": (
        "a policy of its own, by policy gradient on reward surprise",
        {"name": "policy", **SURPRISE},
    ),
}
"""Alternative explorers: what each is, and its changes of the explorer's configuration."""

ARMS: dict[str, Arm] = {
    "random-policy": Arm("untrained: what chance reaches", times=0),
    "plain": Arm("PPO on training levels alone"),
    **{
        f"randomised-{share:g}": Arm(f"{share:g} % of distinguishing levels", alpha=share / 100)
        for share in (0.1, 1, 3, 10, 100)
    },
    "bonus-only": Arm("an exploration bonus without powers", bonus=Bonus()),
    "powers": Arm("powers, used for reward", menu="all"),
    "powers-bonus": Arm("powers, used for reward and bonus", menu="all", bonus=Bonus()),
    "powers-explore": replace(EXPLORE, curriculum="record"),
    "random-powers": RANDOM,
    **{
        f"random-powers-x{times}": replace(RANDOM, why=f"{RANDOM.why}, {times} times the steps", times=times)
        for times in (2, 4)
    },
    "random-powers-matched": Arm(
        "random, granted often enough to match the explorer's alpha_eff",
        menu="all",
        actor="random",
        matches="powers-explore",
    ),
    "random-powers-oracle": Arm(
        "random, from a menu cut down by a designer who knows the answer", menu="oracle", actor="random"
    ),
    "yoked": Arm("no powers, but episodes that begin where the explorer's edits led", yoked="powers-explore"),
    "plr": Arm("prioritised replay of training levels (Jiang et al. 2021)", curriculum="plr"),
    "accel": Arm("PLR with edited training levels (Parker-Holder et al. 2022)", curriculum="accel"),
    "shuffled-explorer": Arm("the explorer with its scores permuted", menu="all", actor="shuffled"),
    **{
        f"{arm}-{kinds}": replace(base, why=f"{base.why}: {kinds} kinds of edit", menu=kinds)
        for kinds in MENU_SIZES
        for arm, base in (("powers-explore", EXPLORE), ("random-powers", RANDOM))
    },
    **{
        f"only-{power}": Arm(f"the explorer with {power} alone", menu=power, actor="explorer")
        for power in ("move-coin", "teleport", "rewrite-cell", "phase", "unlock")
    },
    **{
        f"idea-{name}": replace(EXPLORE, why=why, explorer=explorer)
        for name, (why, explorer) in IDEAS.items()
    },
    "explore-no-score": Arm(
        "the explorer with every score 0", menu="all", actor="explorer", explorer={"signal": "nothing"}
    ),
    "explore-task-reward": Arm(
        "the explorer paid by the task", menu="all", actor="explorer", explorer={"signal": "task-return"}
    ),
    "explore-never-withdrawn": Arm(
        "the power is never taken back",
        menu="all",
        actor="explorer",
        schedule={"charges": None, "length": [1000, 1000]},
    ),
    "explore-region": Arm(
        "the explorer picks a square of cells", menu="all", actor="explorer", destinations="region"
    ),
    "explore-cell": Arm("the explorer picks the cell", menu="all", actor="explorer", destinations="cell"),
}
"""Every arm by its name."""


def load_arm(name: str) -> Arm:
    """An arm by its name. Raises `InvalidExperiment` for an unknown one."""
    if name not in ARMS:
        raise InvalidExperiment(f"arm: unknown {name!r}{suggestion(name, tuple(ARMS))}")
    return ARMS[name]


def steps_of(config: ExperimentConfig, arm: Arm) -> int:
    """Environment steps that an arm trains for."""
    return config.steps * arm.times


def menu_of(config: ExperimentConfig, arm: Arm) -> MenuConfig:
    """The menu that an arm plays with. Raises `InvalidExperiment` where the experiment has no such menu."""
    if arm.menu == "none":
        return MenuConfig()
    base = config.menu
    if arm.menu == "all":
        changes: dict[str, Any] = {}
    elif arm.menu in config.menus:
        changes = dict(config.menus[arm.menu])
    elif arm.menu in base.powers:
        changes = {"powers": (arm.menu,)}
    else:
        known = ", ".join(base.powers) or "none"
        raise InvalidExperiment(
            f"arm: {config.name!r} has no menu {arm.menu!r} (menus: {', '.join(config.menus) or 'none'};"
            f" powers: {known})"
        )
    if arm.destinations is not None:
        changes["destinations"] = arm.destinations
    changes["schedule"] = {**base.schedule, **changes.get("schedule", {}), **arm.schedule}
    return validate(
        MenuConfig, {**base.model_dump(), **changes}, f"experiment {config.name!r}: menus", InvalidExperiment
    )
