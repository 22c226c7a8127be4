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
from pathlib import Path

import psutil

from sandbox.errors import SandboxError
from sandbox.instance import Instance, write_privately


def _record(instance: Instance, name: str) -> Path:
    """What is remembered of a started process."""
    return instance.state / "run" / f"{name}.json"


def full_disk_marker(instance: Instance, name: str) -> Path:
    """While this file exists, the process of that name is started with no right to write to a file."""
    return instance.state / "run" / f"{name}.full-disk"


def log_path(instance: Instance, name: str) -> Path:
    return instance.state / "logs" / f"{name}.log"


def _start_time(pid: int) -> str | None:
    """Field 22 of /proc/<pid>/stat, which no change of the clock moves; None of a zombie, or of nothing."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] != "Z":
            return fields[19]
        with contextlib.suppress(ChildProcessError):  # reap our own child; elsewhere its parent does
            os.waitpid(pid, os.WNOHANG)
    return None


def find(instance: Instance, name: str) -> psutil.Process | None:
    """The running process of that name, if it runs."""
    with contextlib.suppress(OSError, ValueError, KeyError, psutil.NoSuchProcess):
        record = json.loads(_record(instance, name).read_text())
        if _start_time(record["pid"]) == record["started"] is not None:
            return psutil.Process(record["pid"])
    return None


def recorded(instance: Instance) -> Sequence[str]:
    """Every process that was started and not stopped: it runs, or it died."""
    return sorted(path.stem for path in (instance.state / "run").glob("*.json"))


def running(instance: Instance) -> dict[str, psutil.Process]:
    """Every process of this instance that is alive, by name."""
    return {name: process for name in recorded(instance) if (process := find(instance, name))}


def start(
    instance: Instance,
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    user: int | None = None,
    group: int | None = None,
) -> psutil.Process:
    """Start `command` detached, its output in <state>/logs/<name>.log; a no-op while it runs.

    Secrets belong in files or on standard input, never in `command`: argv is public.
    """
    if process := find(instance, name):
        return process
    log = log_path(instance, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    limit = ["prlimit", "--fsize=0:", "--"] if full_disk_marker(instance, name).exists() else []
    with log.open("ab") as output:
        log.chmod(0o600)
        try:
            started = subprocess.Popen(
                [*limit, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory or instance.state,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,
                restore_signals=False,  # a write beyond a limit is then an error, as on a full disk, and not the end
                user=user,
                group=group,
                extra_groups=[] if user is not None else None,
            )
        except FileNotFoundError as error:
            raise SandboxError(f"cannot start {name}: {error.filename} is missing; run `make up` again") from error
    started.returncode = 0  # it outlives us: keeps Popen's finalizer from complaining that nobody waited
    process = psutil.Process(started.pid)
    write_privately(_record(instance, name), json.dumps({"pid": started.pid, "started": _start_time(started.pid)}))
    return process


def stop(instance: Instance, name: str, *, how: signal.Signals = signal.SIGTERM, patience: float = 15) -> None:
    """Ask the process to end, insist after `patience` seconds; a no-op when it is not running."""
    for number in (how, signal.SIGKILL):
        if (process := find(instance, name)) is None:
            break
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        wait(lambda: find(instance, name) is None, patience if number is how else 15)
    if process := find(instance, name):
        raise SandboxError(f"{name} (process {process.pid}) does not end; end it by hand, then try again")
    _record(instance, name).unlink(missing_ok=True)


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met


def wait_until_ready(instance: Instance, name: str, ready: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait for a started process to answer; say where its log is when it ends or takes too long."""
    log = log_path(instance, name)
    if not wait(lambda: ready() or find(instance, name) is None, seconds):
        raise SandboxError(f"{name} is not ready after {seconds:.0f} s (log: {log})")
    if find(instance, name) is None:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        said = lines[-1][:300] if lines else "it wrote nothing"
        raise SandboxError(f"{name} ended while starting: {said} (log: {log})")
