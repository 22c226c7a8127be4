"""Commands that must not be killed halfway."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """As subprocess.run, but an interrupt waits for the command's own end, and is raised then.

    The terminal has told the command, too. subprocess.run would kill it a quarter of a second later: Pulumi then leaves
    the stack locked, and resources that are not in the state.
    """
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            stdout, stderr = process.communicate()
        except KeyboardInterrupt:
            print(f"interrupted: waiting for {command[0]} to end what it has begun", file=sys.stderr)
            process.communicate()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
