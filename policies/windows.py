"""Daily and weekly windows in UTC, as AWS writes them."""

import re

_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES
_DAILY = re.compile(f"({_TIME})-({_TIME})")
_WEEKLY = re.compile(f"((?:{'|'.join(_DAYS)}):{_TIME})-((?:{'|'.join(_DAYS)}):{_TIME})")


def daily_minutes(window: object) -> frozenset[int] | None:
    """The minutes of the week in `hh:mm-hh:mm`, every day; None if it is no such window."""
    found = _DAILY.fullmatch(window) if isinstance(window, str) else None
    if not found:
        return None
    start, length = _span(found[1], found[2], _DAY_MINUTES)
    return _minutes(start, length, range(0, _WEEK_MINUTES, _DAY_MINUTES))


def weekly_minutes(window: object) -> frozenset[int] | None:
    """The minutes of the week in `ddd:hh:mm-ddd:hh:mm`; None if it is no such window."""
    found = _WEEKLY.fullmatch(window.lower()) if isinstance(window, str) else None
    if not found:
        return None
    start, length = _span(found[1], found[2], _WEEK_MINUTES)
    return _minutes(start, length, range(1))


def _minutes(start: int, length: int, offsets: range) -> frozenset[int]:
    return frozenset((start + offset + minute) % _WEEK_MINUTES for offset in offsets for minute in range(length))


def _span(start: str, end: str, period: int) -> tuple[int, int]:
    first, last = _minute(start), _minute(end)
    return first, (last - first) % period


def _minute(moment: str) -> int:
    *day, hour, minute = moment.split(":")
    return (_DAYS.index(day[0]) if day else 0) * _DAY_MINUTES + int(hour) * 60 + int(minute)
