"""One process at a time, and who is waited for."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def exclusive(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path`; `waiting` is called with the holder's process id before another one is waited for.

    Whoever holds it may take it again. The directory may be deleted by the one waited for, and is then made anew.
    """
    lock = FileLock(path, is_singleton=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        with contextlib.suppress(FileNotFoundError):
            waiting(_holder(path))
        while not lock.is_locked:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                lock.acquire()
    path.write_text(str(os.getpid()))
    try:
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    """The holder's process id, which it writes a moment after it has the lock."""
    for _ in range(100):
        if said := path.read_text():
            return said
        time.sleep(0.01)
    return "?"
