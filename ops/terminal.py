"""What a person sees: tables and JSON on stdout, progress on stderr, a live line only on a terminal."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ops.errors import OpsError, StoppedWaitingError

# Nothing is cut, and no name broken: a pipe has no width, and a terminal wraps lines by itself.
UNLIMITED_WIDTH = 1000
HEARTBEAT_SECONDS = 60.0


def _console(*, stderr: bool) -> Console:
    live = stderr and sys.stderr.isatty()  # a line that is written again and again must fit
    return Console(stderr=stderr, width=None if live else UNLIMITED_WIDTH, highlight=False)


def say(message: str) -> None:
    """One line of progress."""
    _console(stderr=True).print(Text(message), soft_wrap=True)


def show(document: Mapping[str, Any], tables: Iterable[RenderableType], *, as_json: bool) -> None:
    """The result: the whole document as JSON, or its tables."""
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")
        return
    console = _console(stderr=False)
    for each in tables:
        console.print(each)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> RenderableType:
    """A title, and below it the rows if there are any."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(columns))
    for column in columns:
        made.add_column(column.upper(), overflow="fold")
    for row in rows:
        made.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    parts: list[RenderableType] = [Text(title)] if title else []
    return Group(*parts, made) if made.row_count else Group(*parts)


def moment(when: datetime | None) -> str | None:
    """`2026-11-24T08:00:00Z`: the form that a stack file takes."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if when else None


def between(window: Mapping[str, str | None] | None) -> str | None:
    return f"{window['from']} to {window['to']}" if window else None


def span(length: timedelta) -> str:
    """`3 d 4 h`, `4 h 5 min`, `5 min`, `12 s`."""
    seconds = int(length.total_seconds())
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def wait_until(
    what: str,
    look: Callable[[], tuple[str, bool]],
    *,
    then: str,
    timeout: timedelta,
    every: float = 10.0,
) -> timedelta:
    """Ask `look` for a state and whether that is the end, until it is; returns the time it took.

    On a terminal the line lives; elsewhere it is a line for each new state, and one a minute.
    `then` is what becomes of it and how to go on, for whoever interrupts or runs out of time.
    """
    console, started, last, spoken = _console(stderr=True), time.monotonic(), "", 0.0

    def elapsed() -> timedelta:
        return timedelta(seconds=time.monotonic() - started)

    try:
        with console.status(what) if console.is_terminal else contextlib.nullcontext() as live:
            while True:
                state, done = look()
                if live is not None:
                    live.update(f"{what}: {state}, {span(elapsed())}")
                elif state != last or time.monotonic() - spoken > HEARTBEAT_SECONDS:
                    say(f"{what}: {state}, {span(elapsed())}")
                    last, spoken = state, time.monotonic()
                if done:
                    break
                if elapsed() > timeout:
                    raise OpsError(f"{what} is still {state} after {span(elapsed())}. {then}")
                time.sleep(every)
    except KeyboardInterrupt:
        raise StoppedWaitingError(f"stopped waiting for {what}. {then}") from None
    return elapsed()
