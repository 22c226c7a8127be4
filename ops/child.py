"""Commands that must not be killed halfway."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """As subprocess.run, but an interrupt waits for the command's own end, and is raised then.

    A terminal has told the command, too; after a SIGTERM, which was for us alone, it works to its end. subprocess.run
    would kill it a quarter of a second later: Pulumi then leaves the stack locked, and resources not in the state.
    """
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            stdout, stderr = process.communicate()
        except KeyboardInterrupt:
            print(f"interrupted: waiting for {command[0]} to end what it has begun", file=sys.stderr)
            process.communicate()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
