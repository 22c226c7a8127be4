"""Servers that outlive the command that started them: started detached, found and ended by id.

A process is known by its id *and* its start time, so an id that the kernel has handed to somebody
else is never signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.instance import Instance, write_privately


@dataclass(frozen=True)
class Record:
    """What is remembered of a started process, in <state>/run/<name>.json."""

    pid: int
    started: str

    def alive(self) -> bool:
        return _start_time(self.pid) == self.started


def _start_time(pid: int) -> str | None:
    """Field 22 of /proc/<pid>/stat; None when there is no such process, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _record_path(instance: Instance, name: str) -> Path:
    return instance.state / "run" / f"{name}.json"


def log_path(instance: Instance, name: str) -> Path:
    return instance.state / "logs" / f"{name}.log"


def find(instance: Instance, name: str) -> Record | None:
    """The running process of that name, if it runs."""
    try:
        record = Record(**json.loads(_record_path(instance, name).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return record if record.alive() else None


def recorded(instance: Instance) -> Sequence[str]:
    """Every process that was started and not stopped: it runs, or it died."""
    return sorted(path.stem for path in (instance.state / "run").glob("*.json"))


def running(instance: Instance) -> dict[str, Record]:
    """Every process of this instance that is alive, by name."""
    return {name: record for name in recorded(instance) if (record := find(instance, name))}


def start(
    instance: Instance,
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    user: int | None = None,
    group: int | None = None,
) -> Record:
    """Start `command` detached, its output in <state>/logs/<name>.log; a no-op while it runs.

    Secrets belong in files or on standard input, never in `command`: argv is public.
    """
    if record := find(instance, name):
        return record
    log = log_path(instance, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        log.chmod(0o600)
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory or instance.state,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=[] if user is not None else None,
            )
        except FileNotFoundError as error:
            raise SandboxError(f"cannot start {name}: {error.filename} is missing; run `make up` again") from error
    process.returncode = 0  # it outlives us: keeps Popen's finalizer from complaining that nobody waited
    record = Record(process.pid, _start_time(process.pid) or "")
    write_privately(_record_path(instance, name), json.dumps(asdict(record)))
    return record


def stop(instance: Instance, name: str, *, how: signal.Signals = signal.SIGTERM, patience: float = 15) -> None:
    """Ask the process to end, insist after `patience` seconds; a no-op when it is not running."""
    record = find(instance, name)
    if record:
        for number in (how, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, number)
            if _gone(record, patience):
                break
        else:
            raise SandboxError(f"{name} (process {record.pid}) does not end; end it by hand, then try again")
    _record_path(instance, name).unlink(missing_ok=True)


def _gone(record: Record, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        # Reap it where it is our own child; elsewhere init does.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(record.pid, os.WNOHANG)
        if not record.alive():
            return True
        time.sleep(0.02)
    return False


def wait_until_ready(instance: Instance, name: str, ready: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait for a started process to answer; say where its log is when it ends or takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return
        if find(instance, name) is None:
            raise SandboxError(
                f"{name} ended while starting: {_last_line(instance, name)} (log: {log_path(instance, name)})"
            )
        time.sleep(0.05)
    raise SandboxError(f"{name} is not ready after {seconds:.0f} s (log: {log_path(instance, name)})")


def _last_line(instance: Instance, name: str) -> str:
    with contextlib.suppress(OSError):
        lines = [line for line in log_path(instance, name).read_text(errors="replace").splitlines() if line.strip()]
        if lines:
            return lines[-1][:300]
    return "it wrote nothing"
