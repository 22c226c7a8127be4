"""Run a command, and tell how long it took and how much memory the Pulumi program needed at its peak."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# The shim that runs a Python program for the engine; the program is the process that it is.
PROGRAM_MARK = "pulumi-language-python-exec"
SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Measured:
    seconds: float
    program_megabytes: float


def run(
    command: Sequence[str], *, environment: Mapping[str, str], directory: Path, codes: Sequence[int] = (0,)
) -> Measured:
    """Raises RuntimeError with the command's output when it ends with another code."""
    start = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    peak = _PeakMemory(process.pid)
    peak.start()
    output, _ = process.communicate()
    seconds = time.monotonic() - start
    peak.join()
    if process.returncode not in codes:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    return Measured(seconds, peak.kilobytes / 1024)


class _PeakMemory(threading.Thread):
    """VmHWM of the program among the descendants of a process; the kernel keeps the peak, so sampling suffices."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self._root = root
        self.kilobytes = 0

    def run(self) -> None:
        while Path(f"/proc/{self._root}").exists():
            for pid in _descendants(self._root):
                self.kilobytes = max(self.kilobytes, _high_water_mark(pid))
            time.sleep(SAMPLE_SECONDS)


def _descendants(root: int) -> list[int]:
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
            children = [int(each) for task in tasks for each in (task / "children").read_text().split()]
        except OSError:
            continue
        found += children
        queue += children
    return found


def _high_water_mark(pid: int) -> int:
    try:
        if PROGRAM_MARK not in Path(f"/proc/{pid}/cmdline").read_text():
            return 0
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
