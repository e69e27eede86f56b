"""``mixminus top``: the calls of a running process, live in the terminal."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .errors import FAILED, NOT_FOUND, OK, CliError
from .output import is_terminal, print_json, print_table
from .state_options import STATE_DIR, HostState

if TYPE_CHECKING:
    from ..console.consolefile import ConsoleFile
    from .top_board import Board
    from .top_feed import Feed

ONCE_S: Final = 3.0
"""How long --once waits for levels."""
SCREENS_PER_S: Final = 5
"""As often as levels come."""


def register(app: typer.Typer) -> None:
    """Add ``top``."""
    app.command()(top)


def top(
    state_dir: HostState = STATE_DIR,
    ended: Annotated[bool, typer.Option("--ended", help="Show calls that are over, too.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Print what is there, and exit.")] = False,
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.2, max=3600, help="With --json: seconds between.")
    ] = 1.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON again and again; with --once, one.")
    ] = False,
) -> int:
    """Show the calls of a running dev, serve or service, live.

    Levels are the loudest of each call's legs: what comes in, what goes out. Without a terminal
    it prints once.

    Example: mixminus top

    Example: mixminus top --json --interval 5
    """
    from .top_board import Board

    board = Board()
    if as_json and not once:
        return _stream(state_dir, board, interval_s, ended=ended)
    if once or not is_terminal():
        _fill(state_dir, board)
        if as_json:
            print_json(board.as_json(ended=ended))
        else:
            _print(board, ended=ended)
        return OK
    return _show(state_dir, board, ended=ended)


def _load(state_dir: Path) -> ConsoleFile:
    from ..console.consolefile import ConsoleFile, ConsoleFileError

    try:
        return ConsoleFile.load(state_dir)
    except ConsoleFileError as exc:
        raise CliError(str(exc), NOT_FOUND) from None


@contextmanager
def _open(state_dir: Path) -> Iterator[Feed]:
    """Connect; a console that goes away in the meantime ends the command."""
    from .top_feed import Feed, FeedLostError

    try:
        with Feed.open(_load(state_dir)) as feed:
            yield feed
    except FeedLostError as exc:
        raise CliError(f"{exc}: does it still run?", FAILED) from None


def _fill(state_dir: Path, board: Board) -> None:
    """Take in messages until there are levels of all that is to be shown."""
    with _open(state_dir) as feed:
        end_s = time.monotonic() + ONCE_S
        while (left_s := end_s - time.monotonic()) > 0:
            message = feed.receive(left_s)
            if message is not None:
                board.take(message)
            if board.engine is not None and (board.has_levels or not board.calls()):
                return
    if board.engine is None:
        raise CliError("the console did not say anything in time")


def _stream(state_dir: Path, board: Board, interval_s: float, *, ended: bool) -> int:
    with _open(state_dir) as feed:
        due_s = time.monotonic() + min(interval_s, ONCE_S)
        while True:
            message = feed.receive(max(0.0, due_s - time.monotonic()))
            if message is not None:
                board.take(message)
            if time.monotonic() >= due_s and board.engine is not None:
                due_s += interval_s
                print(json.dumps(board.as_json(ended=ended)), flush=True)


def _print(board: Board, *, ended: bool) -> None:
    from .top_view import HEADINGS, engine_lines, plain_rows

    for line in engine_lines(board):
        print(line)
    print_table(HEADINGS, plain_rows(board.calls(ended=ended)), empty="no calls")


def _show(state_dir: Path, board: Board, *, ended: bool) -> int:
    """Fill the terminal until ``q`` or Ctrl-C; a process that starts anew is found again."""
    from rich.live import Live

    from .output import terminal
    from .top_feed import SteadyFeed
    from .top_view import screen

    console = terminal()
    with (
        SteadyFeed(lambda: _load(state_dir)) as feed,
        _keys() as pressed,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while pressed() not in ("q", "Q"):
            for message in feed.receive_for(1.0 / SCREENS_PER_S):
                board.take(message)
            calls = board.calls(ended=ended)
            shown = screen(board, calls, height=console.height, note=feed.note)
            live.update(shown, refresh=True)
    return OK


@contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """Read keys as they are pressed; yields what returns the next one, or nothing."""
    import select
    import termios
    import tty

    if not sys.stdin.isatty():
        yield lambda: ""
        return
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    try:
        tty.setcbreak(file)

        def pressed() -> str:
            is_there = bool(select.select([file], [], [], 0)[0])
            return os.read(file, 1).decode("latin-1") if is_there else ""

        yield pressed
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)
