"""One container as a local process: `python -I -S container.py DIRECTORY`.

Stays beside the process as its parent, so that the exit code survives a restart of the node. It locks
DIRECTORY/lock while it runs and creates DIRECTORY/begun before anything else: however often it is started, the
container runs once. DIRECTORY/spec.json says what to do, and is removed when read (it holds secrets). The output goes
to DIRECTORY/log and, at the end, DIRECTORY/status.json appears.
SIGTERM is passed on, with SIGKILL after the grace period; SIGINT kills at once. Everything that the container
started ends with it.

Where the kernel allows unprivileged user and mount namespaces (Linux 5.12), the process sees the machine's
files read-only, its volumes and termination log at their mount paths, and itself as the user it asked for:
outside, that is the user who runs the sandbox, without a single capability. Uses the standard library
alone: it is started once per container, and must be quick.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_UNBINDABLE, _MS_PRIVATE = 2, 4, 1 << 12, 1 << 14, 1 << 17, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux

_NOT_FOUND, _CANNOT_RUN = 127, 126  # exit codes, as shells and container engines give them

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    directory = Path(sys.argv[1])
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)  # whoever sees `begun` may signal: it waits for its handler
    with (directory / "lock").open("w") as lock, contextlib.suppress(BlockingIOError, FileExistsError):
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # first: what is begun and not locked has lost its parent
        (directory / "begun").touch(exist_ok=False)
        spec = json.loads((directory / "spec.json").read_text())
        (directory / "spec.json").unlink()
        _run(spec, directory)


# For the node.


def holder(directory: Path) -> int | None:
    """The process that runs the container of `directory` at this moment, if one does."""
    try:
        with (directory / "lock").open("rb") as lock:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, *_, pid = struct.unpack(_FLOCK, fcntl.fcntl(lock, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return None
    return None if kind == fcntl.F_UNLCK else pid


def begun(directory: Path) -> bool:
    """Whether the container of `directory` was ever run: it will not be again."""
    return (directory / "begun").exists()


def end_orphans(directory: Path) -> None:
    """Kill what a container left behind whose parent was killed: nothing of it may work on beside its successor.

    Its session's number may be somebody else's by now, so a process must also be in the container's mount namespace
    or write to its log.
    """
    with contextlib.suppress(OSError, ValueError):
        session, namespace = (directory / "session").read_text().split()
        outside = str(Path("/proc/self/ns/mnt").readlink())
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "stat").read_text().rpartition(")")[2].split()[3] != session:
                    continue
                inside = namespace != outside and str((process / "ns" / "mnt").readlink()) == namespace
                if inside or str(directory / "log") in (str((process / "fd" / each).readlink()) for each in "12"):
                    os.kill(int(process.name), signal.SIGKILL)


# The container.


def _run(spec: dict[str, Any], directory: Path) -> None:
    _call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _become(spec, directory, writing)
    os.close(writing)

    def kill(*_: object) -> None:
        send(child, signal.SIGKILL)

    def terminate(*_: object) -> None:
        # The node writes a deletion's grace period here, where it differs from the pod's own.
        grace = spec["grace"]
        with contextlib.suppress(OSError, ValueError):
            grace = int((directory / "grace").read_text())
        send(child, signal.SIGTERM if grace > 0 else signal.SIGKILL)
        signal.alarm(grace)

    for number, action in zip(_HANDLED, (terminate, kill, kill), strict=True):
        signal.signal(number, action)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)

    with os.fdopen(reading) as pipe:
        failure = pipe.read()  # ends, empty, when the child has become the command
    with contextlib.suppress(OSError):  # it may have ended already
        (directory / "session").write_text(f"{child} {Path(f'/proc/{child}/ns/mnt').readlink()}")
    code = _wait(child)
    status = {"exitCode": code, "finishedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    if failure:
        status |= {"reason": "ContainerCannotRun", "message": failure}
    temporary = directory / ".status.json"
    temporary.write_text(json.dumps(status))
    temporary.replace(directory / "status.json")


def _become(spec: dict[str, Any], directory: Path, failure: int) -> None:
    """In the child: set everything up and turn into the command, or say why not. Never returns."""
    command = spec["command"]
    code = _CANNOT_RUN
    try:
        os.setsid()
        os.umask(0o022)
        log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        if spec["isolated"]:
            _enter_namespaces(spec["uid"], spec["gid"])
            _Root(directory / "root").build(spec["mounts"])
        # The kernel forgets the first with a change of user, so it comes after.
        _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        os.chdir(spec["workdir"])
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):  # what Python and shells ignore, as inherited
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        try:
            os.execvpe(command[0], command, spec["environment"])  # noqa: S606 -- that is the point
        except FileNotFoundError:
            code = _NOT_FOUND
            os.write(failure, f'"{command[0]}": no such executable file in the image'.encode())
    except OSError as error:
        os.write(failure, f"{error.filename or command[0]}: {error.strerror}".encode())
    finally:
        os._exit(code)


def _enter_namespaces(uid: int, gid: int) -> None:
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {outer_uid} 1"), ("gid_map", f"{gid} {outer_gid} 1")):
        Path("/proc/self", name).write_text(line)
    _mount(None, Path("/"), None, _MS_REC | _MS_PRIVATE)


class _Root:
    """The container's file system, put together in an empty directory from the machine's and the pod's mounts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ours: set[Path] = set()  # what can be added to without touching the machine's own directories

    def build(self, mounts: list[dict[str, Any]]) -> None:
        self._directory.mkdir(exist_ok=True)
        self._show(Path("/"))
        # Resolved as the machine's paths, which these are but for the mounts: /var/run is mostly a link to /run.
        targets = sorted(((Path(mount["path"]).resolve(), mount) for mount in mounts), key=lambda entry: entry[0])
        # A mount inside another one finds its mount point there, or makes it there, once that one stands.
        outer = [entry for entry in targets if not any(other in entry[0].parents for other, _ in targets)]
        for path, mount in outer:
            if not self._inside(path).exists():
                self._provide(path, Path(mount["source"]))
        _make_read_only(self._directory)
        for path, mount in targets:
            target = self._inside(path)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _make(target, like=Path(mount["source"]))
            _mount(mount["source"], target, None, _MS_BIND | _MS_REC)
            if mount["readOnly"]:
                _make_read_only(target)
        if (shared_memory := self._inside(Path("/dev/shm"))).is_dir():  # noqa: S108 -- a mount point, not a file
            _mount("tmpfs", shared_memory, "tmpfs", _MS_NOSUID | _MS_NODEV)
        os.chroot(self._directory)

    def _inside(self, path: Path) -> Path:
        return self._directory / path.relative_to("/")

    def _show(self, directory: Path) -> None:
        """Cover a directory with a new one that shows the same entries."""
        cover = self._inside(directory)
        _mount("tmpfs", cover, "tmpfs", _MS_NOSUID | _MS_NODEV)
        if cover == self._directory:  # or binding the directory that this one is in would bind it again
            _mount(None, cover, None, _MS_UNBINDABLE)
        for entry in directory.iterdir():
            target = cover / entry.name
            if entry.is_symlink():
                target.symlink_to(entry.readlink())
            else:
                _make(target, like=entry)
                _mount(str(entry), target, None, _MS_BIND | _MS_REC)
        self._ours.add(directory)

    def _provide(self, path: Path, like: Path) -> None:
        """Make a mount point where there is none."""
        missing = [path, *(parent for parent in path.parents if not self._inside(parent).exists())]
        parent = missing[-1].parent
        if parent not in self._ours:
            self._show(parent)
        for directory in reversed(missing[1:]):
            self._inside(directory).mkdir()
            self._ours.add(directory)
        _make(self._inside(path), like=like)


def _make(path: Path, *, like: Path) -> None:
    if like.is_dir():
        path.mkdir()
    else:
        path.touch()


def _mount(source: str | None, target: Path, kind: str | None, flags: int) -> None:
    arguments = (value and os.fsencode(value) for value in (source, target, kind))
    _call("mount", *arguments, flags, None, about=str(target))


def _make_read_only(path: Path) -> None:
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    size = ctypes.sizeof(attributes)
    _call("syscall", _SYS_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), _AT_RECURSIVE, attributes, size, about=str(path))


def _call(function: str, *arguments: Any, about: str | None = None) -> None:
    """Call into the C library, whose arguments here are all as wide as a pointer; raise its error."""
    wide = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    if getattr(_libc, function)(*wide):
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}", about)


def send(pid: int, number: int) -> None:
    """Signal a process that may be over by now."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait(child: int) -> int:
    """Wait for the command, then end whatever it left behind; its exit code, 128 + n for signal n."""
    code = _CANNOT_RUN
    ended = False
    with contextlib.suppress(ChildProcessError):  # raised when there is nobody left to wait for
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == child:
                ended = True
                code = os.waitstatus_to_exitcode(status)
                code = 128 - code if code < 0 else code
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
            if ended:
                for orphan in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                    send(int(orphan), signal.SIGKILL)
    return code


if __name__ == "__main__":
    main()
