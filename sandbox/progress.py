"""What a person sees of long work: one line per step on standard error, with the time since the start."""

from __future__ import annotations

import sys
import time


class Progress:
    """Call it with a line; it prints the line with the minutes and seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        sys.stderr.write(f"[{minutes:2d}:{seconds:02d}] {line}\n")
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """`75` as `1 min 15 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
