"""Backup and maintenance windows: UTC, daily or weekly, and whether they meet."""

from __future__ import annotations

from settings.checks import Advice, Check, Verdict, text

_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = f"({'|'.join(_DAYS)})"
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES


def daily_window(shortest: int) -> Check:
    """`hh:mm-hh:mm`, at least `shortest` minutes long; it may run over midnight."""
    return _window("hh:mm-hh:mm", f"{_TIME}-{_TIME}", _DAY_MINUTES, shortest)


def weekly_window(shortest: int) -> Check:
    """`ddd:hh:mm-ddd:hh:mm`, at least `shortest` minutes long; it may run over the end of the week."""
    return _window("ddd:hh:mm-ddd:hh:mm", f"{_DAY}:{_TIME}-{_DAY}:{_TIME}", _WEEK_MINUTES, shortest)


def _window(form: str, pattern: str, period: int, shortest: int) -> Check:
    def long_enough(window: str) -> Verdict:
        _, length = _span(window, period)
        return None if length >= shortest else Advice(f"Make it at least {shortest} minutes long")

    allowed = f"a window {form} in UTC of at least {shortest} minutes"
    return text(allowed, pattern, spelled=lambda value: value.strip().lower(), also=long_enough)


def windows_meet(daily: str, weekly: str) -> bool:
    """Whether the daily window shares a minute with the weekly one. Where one ends the other may begin."""
    daily_start, daily_length = _span(daily, _DAY_MINUTES)
    weekly_start, weekly_length = _span(weekly, _WEEK_MINUTES)
    return any(
        (start - weekly_start) % _WEEK_MINUTES < weekly_length or (weekly_start - start) % _WEEK_MINUTES < daily_length
        for start in range(daily_start, _WEEK_MINUTES, _DAY_MINUTES)
    )


def _span(window: str, period: int) -> tuple[int, int]:
    """Start and length in minutes."""
    start, end = (_minute(moment) for moment in window.split("-"))
    return start, (end - start) % period


def _minute(moment: str) -> int:
    *day, hour, minute = moment.split(":")
    return (_DAYS.index(day[0]) if day else 0) * _DAY_MINUTES + int(hour) * 60 + int(minute)
