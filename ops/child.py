"""Commands that must not be killed halfway."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def ended_first(name: str, finish: Callable[[], Any]) -> Iterator[None]:
    """An interrupt waits for the command `name` to end, by `finish`, and is raised then.

    A terminal has told the command, too; after a SIGTERM, which was for us alone, it works to its end. Killed, or left
    without a reader, Pulumi leaves the stack locked, and resources that are not in the state.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted: waiting for {name} to end what it has begun", file=sys.stderr)
        finish()
        raise


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """As subprocess.run, which would kill the command a quarter of a second after an interrupt."""
    with subprocess.Popen(command, text=True, **options) as process, ended_first(command[0], process.communicate):
        stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
