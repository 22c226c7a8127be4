"""What a command ends with, and the exit code that says so.

0 done; 1 refused or failed; 2 wrong usage; 3 looked, and found something wrong; 130 interrupted.
"""

from __future__ import annotations

FAILED, FOUND, INTERRUPTED = 1, 3, 130


class OpsError(Exception):
    """One line for a person: what happened, to what, what to do."""

    exit_code = FAILED


class FoundError(OpsError):
    """The command worked, and what it found is not as it should be."""

    exit_code = FOUND


class StoppedWaitingError(OpsError):
    """A wait that was broken off; what it waited for goes on."""

    exit_code = INTERRUPTED
