"""The operating-system user the databases run as: PostgreSQL refuses root."""

from __future__ import annotations

import functools
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sandbox import processes, toolchain
from sandbox.errors import SandboxError
from sandbox.instance import Instance, write_privately

ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@functools.cache
def _user() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = users.get("postgres") or users.get("nobody")
    if user is None:
        raise SandboxError("databases cannot run as root, and there is no user `postgres` or `nobody`; add one")
    return user


def name() -> str:
    return _user().pw_name


@functools.cache
def tool(program: str) -> Path:
    """Where a program of PostgreSQL or Redis is."""
    return toolchain.tools()[program]


def run(command: Sequence[object], *, stdin: str = "") -> str:
    """Run a tool as that user and return its output; SandboxError with its last words when it fails.

    What is secret goes to `stdin`, and is never repeated in an error.
    """
    words = [str(word) for word in command]
    user = _user() if os.geteuid() == 0 else None
    done = subprocess.run(
        words,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=ENVIRONMENT,
        user=user and user.pw_uid,
        group=user and user.pw_gid,
        extra_groups=[] if user else None,
    )
    if done.returncode:
        lines = done.stderr.splitlines()
        cause = next((line for line in lines if re.search("(ERROR|FATAL|PANIC|error):", line)), *lines[-1:] or [""])
        raise SandboxError(f"{Path(words[0]).name} failed ({done.returncode}): {cause[:300]}")
    return done.stdout


def start(instance: Instance, process: str, command: Sequence[object]) -> None:
    """Start a server as that user, with nothing of the sandbox's environment."""
    user = _user() if os.geteuid() == 0 else None
    processes.start(
        instance,
        process,
        [str(word) for word in command],
        environment=ENVIRONMENT,
        directory=Path("/"),
        user=user and user.pw_uid,
        group=user and user.pw_gid,
    )


def own(*paths: Path) -> None:
    """Hand files over to that user, for its eyes only."""
    for path in paths:
        if os.geteuid() == 0:
            os.chown(path, _user().pw_uid, _user().pw_gid)
        path.chmod(0o700 if path.is_dir() else 0o600)


def write(path: Path, text: str) -> bool:
    """Write a file of that user's, for its eyes only; True when it did not hold this text before."""
    if path.exists() and path.read_text() == text:
        return False
    write_privately(path, text)
    own(path)
    return True


def make_directory(path: Path) -> None:
    """A directory of that user's, and everything above it passable for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o711)
    path.mkdir(exist_ok=True)
    own(path)


def copy(source: Path, target: Path) -> None:
    """Copy a directory whole or not at all, as that user."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    run(["cp", "-a", source, unfinished])
    unfinished.rename(target)


def sweep(instance: Instance, prefix: str, servers: Collection[str], kept: Mapping[Path, Collection[str]]) -> None:
    """Stop the servers of a prefix that are none of `servers`; remove from directories what is not to be kept."""
    for process in processes.running(instance):
        if process.startswith(prefix) and process.removeprefix(prefix) not in servers:
            processes.stop(instance, process, how=signal.SIGINT)
    for directory, names in kept.items():
        for path in directory.glob("*"):
            if path.name not in names:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
