"""The screen of `nerfbot play`: the map, and the state of the episode beside or below it."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nerfbot.cli.game.game import LETTERS, Game
from nerfbot.grid.rendering.symbols import ansi
from nerfbot.limits import AXES

PANEL = 42
"""Columns of the facts beside the map; on a narrower screen they go below it."""

BESIDE = 20
"""Rows of the facts beside the map; on a lower screen they go below it too."""

FACTS = 8
"""Rows of the facts below the map."""

BAR = 8
"""Columns of a lift level's bar."""

AXIS_STYLES = dict(zip(AXES, ("#e4572e", "#e0a100", "#2a9d8f", "#7b6cf6"), strict=True))
FIRST_STYLES = {"goal": "bold green", "proxy": "bold red"}


def draw(game: Game, width: int, height: int) -> RenderableType:
    """The whole screen, at most `height` rows of `width` columns."""
    columns = 2 * game.moment.cells.shape[1]
    beside = width - columns >= PANEL + 2 and height - 2 >= BESIDE
    available = (width - PANEL - 2 if beside else width) // 2, height - 3 if beside else height - 2 - FACTS
    drawn_map = _map(game, max(3, available[0]), max(3, available[1]))
    facts = _facts(game, width - columns - 2 if beside else width, not beside)
    title = Text(f"{game.env.worlds.levels.courses[0].name}  seed {game.seed}", "bold", no_wrap=True)
    level = game.moment.level_seed
    title.append(f"  level {'nominal' if level is None else level}", "dim")
    title.append(f"  nerf {game.env.worlds.nerf.spec.name}", "dim")
    if game.view:
        title.append("  whole map", "dim")
    content: RenderableType = Group(drawn_map, facts)
    if beside:
        content = table = Table.grid(padding=(0, 2))
        table.add_row(drawn_map, facts)
    return Group(title, content, Text(game.help, "dim", no_wrap=True, overflow="ellipsis"))


def _map(game: Game, columns: int, rows: int) -> Text:
    """The agent's view, or the whole map with the rest dim; on a small screen, the part around the agent."""
    moment = game.moment
    cells = moment.cells if game.view else moment.observed
    lines = ansi(cells, moment.lift).splitlines()[: cells.shape[0]]
    texts = [Text.from_ansi(line) for line in lines]
    if game.view:
        for row, column in zip(*moment.hidden.nonzero(), strict=True):
            texts[row].stylize("dim", 2 * column, 2 * column + 2)
    target = game.target()
    if target is not None:
        for row in range(target[0], target[1] + 1):
            texts[row].stylize("reverse bold", 2 * target[2], 2 * target[3] + 2)
    middle = divmod(int(game.env.worlds.cell[0]), cells.shape[1])
    if game.cursor is not None:
        middle = game.cursor.row, game.cursor.column
    top = _window_start(middle[0], rows, cells.shape[0])
    left = _window_start(middle[1], columns, cells.shape[1])
    cut = [text[2 * left : 2 * (left + columns)] for text in texts[top : top + rows]]
    joined = Text("\n", no_wrap=True, overflow="crop").join(cut)
    joined.no_wrap, joined.overflow = True, "crop"
    return joined


def _window_start(middle: int, room: int, size: int) -> int:
    """The first cell of a window of `room` cells around `middle`."""
    return max(0, min(middle - room // 2, size - room))


def _facts(game: Game, width: int, short: bool) -> Text:
    """The state of the episode, one fact a line; `short` joins related facts into `FACTS` lines."""
    moment = game.moment
    state = [Text(f"tick {moment.tick} / {moment.horizon}  ({moment.seconds:.1f} s)"), _return(game)]
    state.append(Text(f"first contact: {moment.first_contact}", FIRST_STYLES.get(moment.first_contact, "")))
    action = Text(f"action: {moment.action or '-'}")
    reasons = [Text(reason, "yellow") for reason in moment.reasons[:2]]
    leases = [Text(f"lease {power}", "#ffd633") for power in moment.leases[:2]]
    progress = Text(f"way to the next cell {moment.progress:.0%}", "" if moment.progress else "dim")
    rest = [_keys(game), progress]
    if moment.phasing:
        rest.append(Text("phasing", "bold magenta"))
    if moment.illegal_edits:
        rest.append(Text(f"without effect: {moment.illegal_edits}", "red"))
    if short:
        lines = [_joined(state), _joined([action, *reasons]), _joined(_lift(game, short)), *_powers(game, 5)]
        lines += [*_filled(leases or [Text("lease none", "dim")], 2), _joined(rest)]
    else:
        lines = [*state, Text(), action, *_filled(reasons, 2), *_lift(game, short), Text()]
        lines += _filled(_powers(game, 3), 2)
        lines += [*_filled(leases, 2), *rest[:2], _joined(rest[2:])]
    lines.append(_prompt(game))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n", no_wrap=True, overflow="crop").join(lines)


def _joined(parts: list[Text]) -> Text:
    return Text("   ").join(parts)


def _filled(lines: list[Text], count: int) -> list[Text]:
    """These lines padded with empty ones to `count`, so that the lines below stay in place."""
    return [*lines, *(Text() for _ in range(count - len(lines)))]


def _return(game: Game) -> Text:
    text, reward = Text(f"return {game.moment.episode_return:.2f}"), game.moment.reward
    if reward:
        text.append(f" ({reward:+.2f})", "bold green" if reward > 0 else "bold red")
    return text


def _keys(game: Game) -> Text:
    held = ", ".join(f"{number} {colour}" for colour, number in game.moment.keys.items())
    return Text(f"keys {held or 'none'}", "" if held else "dim")


def _lift(game: Game, short: bool) -> list[Text]:
    levels = []
    for axis, level in zip(AXES, game.moment.lift, strict=True):
        text = Text(f"{axis} " if short else f"{axis:<12}", "" if level else "dim")
        if not short:
            filled = round(BAR * level)
            text.append("█" * filled, AXIS_STYLES[axis])
            text.append("░" * (BAR - filled) + " ", "dim")
        text.append(f"{level:.2f}", AXIS_STYLES[axis] if level else "dim")
        levels.append(text)
    return levels


def _powers(game: Game, per_line: int) -> list[Text]:
    """The powers granted now, `per_line` of them a line."""
    if not game.powers:
        return [Text(f"powers {'none granted' if game.edits else 'none on the menu'}", "dim")]
    named = [f"{number}/{LETTERS[name]} {name}" for number, name in enumerate(game.powers, 1)]
    rows = [named[first : first + per_line] for first in range(0, len(named), per_line)]
    heads = ["powers ", *[" " * 7] * len(rows)]
    return [Text(head).append("  ".join(row), "bold #ffd633") for head, row in zip(heads, rows, strict=False)]


def _prompt(game: Game) -> Text:
    cursor, moment = game.cursor, game.moment
    if moment.done:
        return Text(f"OVER: {moment.outcome}", "bold reverse")
    if game.mode == "content":
        return Text(f"rewrite a cell into: {game.content}", "bold reverse")
    if cursor is not None:
        return Text(f"{cursor.edit} at row {cursor.row}, column {cursor.column}", "bold reverse")
    return Text(game.note, "red")
