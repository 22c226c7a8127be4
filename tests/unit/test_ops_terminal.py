"""Waiting: what is said, how it ends, and how to go on after an interrupt."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ops import terminal
from ops.errors import OpsError, StoppedWaitingError


class Clock:
    """Sleeping is what makes time pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(terminal, "time", clock)
    return clock


def wait(states: list[object], **changes: object) -> timedelta:
    def look() -> tuple[str, bool]:
        state = states.pop(0) if len(states) > 1 else states[0]
        if isinstance(state, BaseException):
            raise state
        return str(state), state == "available"

    limits = {"timeout": timedelta(hours=1), "every": 30.0, **changes}
    return terminal.wait_until("snapshot s1", look, then="It goes on.", **limits)


def test_without_a_terminal_a_line_for_each_state_and_one_a_minute(clock, capsys):
    assert wait(["creating"] * 5 + ["available"]) == timedelta(seconds=150)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "snapshot s1: creating, 0 s",
        "snapshot s1: creating, 1 min",
        "snapshot s1: available, 2 min",
    ]


@pytest.mark.parametrize(
    ("states", "error", "message", "code"),
    [
        (
            ["creating"],
            OpsError,
            "snapshot s1 is still creating after 1 h 0 min. It goes on.",
            1,
        ),
        (
            ["creating", KeyboardInterrupt()],
            StoppedWaitingError,
            "stopped waiting for snapshot s1. It goes on.",
            130,
        ),
    ],
)
def test_whoever_stops_waiting_is_told_how_to_go_on(clock, states, error, message, code):
    with pytest.raises(error) as raised:
        wait(states)
    assert (str(raised.value), raised.value.exit_code) == (message, code)


def test_a_narrow_terminal_breaks_no_name(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    terminal.show({}, [terminal.table("", ("name", "point"), [("n" * 30, "p" * 30)])], as_json=False)
    assert f"{'n' * 30}  {'p' * 30}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(seconds=12.9), "12 s"),
        (timedelta(minutes=5, seconds=59), "5 min"),
        (timedelta(hours=4, minutes=5), "4 h 5 min"),
        (timedelta(days=3, hours=4, minutes=59), "3 d 4 h"),
    ],
)
def test_span(length, text):
    assert terminal.span(length) == text
