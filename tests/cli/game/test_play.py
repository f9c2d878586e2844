"""`nerfbot play`: what every key does, what fits on a screen, and a terminal that is put back afterwards."""

from __future__ import annotations

import io
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from nerfbot.cli import main
from nerfbot.cli.game.game import Game
from nerfbot.cli.game.keyboard import Keyboard, keyboard
from nerfbot.cli.game.screen import draw
from nerfbot.course.parser import catalogue
from nerfbot.errors import InvalidCommand
from nerfbot.grid.codes import AGENT, COLOURS, FLOOR, OBJECT, SHAPES
from nerfbot.grid.env import GridEnv
from nerfbot.powers import EDITS

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

ALL = {"course": "coin-in-corner", "powers": EDITS, "schedule": "always", "levels": 8, "destinations": "cell"}


@pytest.fixture(scope="module")
def env() -> GridEnv:
    return GridEnv(**ALL)


@pytest.fixture
def game(env: GridEnv) -> Game:
    return Game(env, seed=3)


def place(game: Game) -> tuple[int, int]:
    (row,), (column,) = ((game.moment.cells[..., 2] & AGENT) != 0).nonzero()
    return int(row), int(column)


def shown(game: Game, width: int = 80, height: int = 24) -> str:
    console = Console(width=width, height=height, file=io.StringIO())
    with console.capture() as captured:
        console.print(draw(game, width, height))
    return captured.get()


# Keys


def keys_of(sent: bytes) -> list[str | None]:
    read, write = os.pipe()
    os.write(write, sent)
    board, keys = Keyboard(read), []
    while (key := board.key(0.0)) is not None:
        keys.append(key)
    os.close(write)
    with pytest.raises(EOFError):
        board.key(0.0)
    os.close(read)
    return keys


def test_keys_are_read_by_name_and_unknown_sequences_as_nothing() -> None:
    assert keys_of(b"\x1b[A\x1b[B\x1b[C\x1b[D\x1bOA") == ["up", "down", "right", "left", "up"]
    assert keys_of(b"q \r\nw\x7f\x1b") == ["q", "space", "enter", "enter", "w", "escape", "escape"]
    assert keys_of(b"\x1b[5~\x1b[1;5Cx") == ["", "", "x"]
    assert keys_of("é".encode()) == ["é"]


def test_the_terminal_is_put_back_after_errors_and_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "r+b", buffering=0) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(sys, "stdout", terminal)
        before, handler = termios.tcgetattr(slave), signal.getsignal(signal.SIGTERM)
        for problem in (ValueError, KeyboardInterrupt, SystemExit):
            with pytest.raises(problem):
                fail_at_the_keyboard(problem)
            assert termios.tcgetattr(slave) == before
            assert signal.getsignal(signal.SIGTERM) == handler
    os.close(master)


def fail_at_the_keyboard(problem: type[BaseException]) -> None:
    before = termios.tcgetattr(sys.stdin.fileno())
    with keyboard() as keys:
        assert termios.tcgetattr(sys.stdin.fileno()) != before
        os.kill(os.getpid(), signal.SIGINT)
        assert keys.key(0.0) == "interrupt"
        assert keys.key(0.0) is None
        if problem is not SystemExit:
            raise problem
        os.kill(os.getpid(), signal.SIGTERM)
        keys.key(0.0)


def test_without_a_terminal_it_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play"]) == 2
    assert capsys.readouterr().err == "nerfbot: play needs a terminal: the standard input is not one\n"
    with pytest.raises(InvalidCommand, match="play needs a terminal"), keyboard():
        pass


# The game


@pytest.mark.parametrize("keys", [("up", "left", "down", "right"), tuple("wasd"), tuple("khjl")])
def test_moves_by_arrows_and_letters(game: Game, keys: tuple[str, ...]) -> None:
    for key, name in zip(keys, ("north", "west", "south", "east"), strict=True):
        before = place(game)
        assert game.press(key)
        assert game.moment.action == name
        down, right = {"north": (-1, 0), "west": (0, -1), "south": (1, 0), "east": (0, 1)}[name]
        moved = (place(game)[0] - before[0], place(game)[1] - before[1])
        assert moved == ((0, 0) if "something is in the way" in game.moment.reasons else (down, right))
    assert game.moment.tick == 4
    game.press("space")
    assert (game.moment.action, game.moment.tick) == ("stay", 5)


def test_teleport_goes_where_the_cursor_is(game: Game) -> None:
    rows, columns = np.nonzero(game.moment.cells[..., 0] == 1)
    wanted = int(rows[-1]), int(columns[-1])
    game.press("t")
    assert game.mode == "cell"
    down, right = wanted[0] - place(game)[0], wanted[1] - place(game)[1]
    for key, count in (
        ("down" if down > 0 else "up", abs(down)),
        ("right" if right > 0 else "left", abs(right)),
    ):
        for _ in range(count):
            game.press(key)
    assert game.target() == (wanted[0], wanted[0], wanted[1], wanted[1])
    assert game.moment.tick == 0
    game.press("enter")
    assert place(game) == wanted
    assert game.mode == "drive"
    assert game.moment.tick == 1


@pytest.mark.parametrize(("destinations", "side"), [("region", 3), ("drawn", 7)])
def test_other_destinations_are_chosen_as_coarsely_as_the_menu_has_them(destinations: str, side: int) -> None:
    game = Game(GridEnv(**{**ALL, "destinations": destinations, "course": "yellow-coin"}), seed=1)
    before = place(game)
    game.press("t")
    low, high = (1, side) if destinations == "drawn" else (game.target() or (0, 0))[:2]
    if destinations == "region":
        assert game.target() is not None
        assert high - low < side
        game.press("enter")
    assert low <= place(game)[0] <= high
    assert place(game) != before
    assert game.moment.tick == 1


def test_a_cell_is_rewritten_into_any_colour_and_shape(game: Game) -> None:
    game.press(str(1 + game.powers.index("rewrite-cell")))
    assert game.content == "yellow coin"
    game.press("left")
    game.press("down")
    assert game.content == f"{COLOURS[COLOURS.index('yellow') - 1]} gem"
    game.press("enter")
    start = place(game)
    around = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
    kinds = game.moment.cells[..., 0]
    step = next(key for key, (y, x) in around.items() if kinds[start[0] + y, start[1] + x] == FLOOR)
    game.press(step)
    assert game.cursor is not None
    cell = game.cursor.row, game.cursor.column
    game.press("space")
    assert tuple(game.moment.cells[cell][:2]) == (OBJECT + SHAPES.index("gem"), COLOURS.index("yellow"))


def test_a_choice_is_left_without_a_tick(game: Game) -> None:
    for keys in ("t", "x", ["x", "enter"]):
        for key in keys:
            game.press(key)
        game.press("escape")
        assert (game.mode, game.cursor, game.moment.tick) == ("drive", None, 0)
    assert game.press("x")
    assert game.press("q")
    assert not game.press("interrupt")


def test_powers_without_a_destination_are_used_at_once(game: Game) -> None:
    game.press("p")
    assert (game.moment.action, game.moment.phasing) == ("phase", True)


def test_what_is_not_granted_is_said_and_costs_nothing() -> None:
    game = Game(GridEnv(**{**ALL, "schedule": "never"}), seed=1)
    game.press("t")
    assert game.note == "teleport is not granted now"
    game.press("1")
    assert game.note == "no power 1: granted: none"
    assert (game.moment.tick, game.mode) == (0, "drive")
    assert "none granted" in shown(game)


def test_restart_gives_the_same_episode_and_next_another(game: Game) -> None:
    first = game.moment.cells.copy()
    for key in ("right", "down", "m"):
        game.press(key)
    game.press("escape")
    game.press("r")
    assert game.moment.tick == 0
    assert np.array_equal(game.moment.cells, first)
    others = []
    for seed in range(4, 9):
        game.press("n")
        assert game.seed == game.moment.seed == seed
        others.append(np.array_equal(game.moment.cells, first))
    assert not all(others)


def test_an_episode_that_is_over_waits_for_the_next() -> None:
    game = Game(GridEnv(**{**ALL, "task": {"horizon": 3.0}, "schedule": "never"}), seed=2)
    while not game.moment.done:
        game.press("space")
    assert (game.mode, game.moment.tick) == ("over", 3)
    game.press("up")
    assert game.moment.tick == 3
    assert "OVER" in shown(game)
    game.press("r")
    assert (game.mode, game.moment.tick) == ("drive", 0)
    assert not game.press("q")


def test_reasons_keys_and_reward_are_shown() -> None:
    slow = Game(GridEnv(course="scarce-keys", nerf="rover-slow", powers=[], levels=4), seed=0)
    while not slow.moment.reasons:
        slow.press("right")
    assert slow.moment.reasons[0] in shown(slow)
    rich = Game(GridEnv(course="scarce-keys", powers=["unlock"], schedule="always", levels=4), seed=0)
    rich.press("u")
    text = shown(rich)
    assert "return 1.00 (+1.00)" in text
    assert "first contact: goal" in text
    assert re.search(r"lease \d+\.\d s: unlock", text)


@pytest.mark.parametrize("name", catalogue())
def test_every_course_fits_on_80_columns_and_24_rows(name: str) -> None:
    powers = {"powers": ["speed", *EDITS], "schedule": "always", "contents": "basic"}
    game = Game(GridEnv(course=name, nerf="rover-weak", levels=2, **powers), seed=1)  # type: ignore[arg-type]
    for keys in ((), ("v",), ("t",), ("escape", "x")):
        for key in keys:
            game.press(key)
        for width, height in ((80, 24), (120, 40), (60, 20)):
            lines = shown(game, width, height).rstrip("\n").split("\n")
            assert len(lines) <= height
            assert max(map(len, lines)) <= width
            assert "@" in "".join(lines)


# A real terminal


class Terminal:
    """A pseudo-terminal of 80 x 24 in which the command runs, with what its screen shows."""

    def __init__(self, *words: str) -> None:
        import fcntl
        import struct

        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        code = "import sys; from nerfbot.cli import main; sys.exit(main(sys.argv[1:]))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "play", *words],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""},
        )
        self.written = b""

    def until(self, *wanted: str, seconds: float = 120.0) -> None:
        """Read until the screen shows all these texts."""
        end = time.monotonic() + seconds
        while not all(text in self.screen for text in wanted):
            assert time.monotonic() < end, f"{wanted!r} not in {self.screen!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                self.written += os.read(self.master, 65536)

    @property
    def output(self) -> str:
        """Everything it wrote so far."""
        return self.written.decode(errors="replace")

    @property
    def screen(self) -> str:
        """What was drawn since the cursor last went home, without its colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.output.split("\x1b[H")[-1])

    def send(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        """Wait for the command; its exit status, with everything it wrote in `output`."""
        end = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                self.written += os.read(self.master, 65536)
        while select.select([self.master], [], [], 0.1)[0]:
            self.written += os.read(self.master, 65536)
        return self.process.wait(1)

    def close(self) -> None:
        self.process.kill()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal() -> Iterator[Any]:
    opened: list[Terminal] = []

    def start(*words: str) -> Terminal:
        opened.append(Terminal(*words))
        return opened[-1]

    yield start
    for item in opened:
        item.close()


def test_a_course_is_played_in_a_terminal_that_is_put_back(terminal: Any) -> None:
    session = terminal("coin-in-corner", "--seed", "3", "--nerf", "none", "--schedule", "always")
    session.until("coin-in-corner  seed 3", "tick 0 / 64")
    assert termios.tcgetattr(session.slave) != session.before
    session.send("\x1b[C")
    session.until("tick 1 / 64", "action: east")
    session.send("t")
    session.until("teleport at row")
    session.send("\x1b")
    session.until("arrows/wasd/hjkl move")
    session.send("3")
    session.until("1/m move-coin", "rewrite a cell into: yellow coin")
    session.send("\x03")
    assert session.end() == 0
    is_put_back(session)
    assert "coin-in-corner, seed 3: tick 1, return 0.00, first contact none" in session.output


def is_put_back(session: Terminal) -> None:
    assert termios.tcgetattr(session.slave) == session.before
    # The alternate screen was left and the cursor shown again.
    assert session.output.rfind("\x1b[?1049l") > session.output.rfind("\x1b[?1049h") >= 0
    assert session.output.rfind("\x1b[?25h") > session.output.rfind("\x1b[?25l") >= 0


def test_a_game_that_is_terminated_puts_the_terminal_back(terminal: Any) -> None:
    session = terminal("coin-in-corner", "--seed", "1")
    session.until("tick 0")
    session.process.terminate()
    assert session.end() == 128 + signal.SIGTERM
    is_put_back(session)


def test_bad_input_is_one_line_in_a_terminal_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "r+b", buffering=0) as terminal:
        before = termios.tcgetattr(slave)
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(sys, "stdout", terminal)
        for words, message in (
            (["coin-in-corne"], "did you mean 'coin-in-corner'?"),
            (["yellow-coin", "--powers", "fly"], "powers: unknown power 'fly'"),
            (
                ["yellow-coin", "--destinations", "far"],
                "destinations: must be one of drawn, region, cell, got 'far'",
            ),
        ):
            assert main(["play", *words]) == 2
            error = capsys.readouterr().err.splitlines()[-1]
            assert error.startswith("nerfbot: ")
            assert message in error
        assert termios.tcgetattr(slave) == before
    os.close(master)
