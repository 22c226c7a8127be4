"""Faults on demand: what `python -m sandbox fault` makes fail.

They stand in <state>/faults.json, with the number of times each was injected, until they are cleared: a restart of
anything leaves them at work. AWS faults strike in the AWS API (`strike`, called by sandbox.aws.server); the others
are done to a process here.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock

from sandbox import processes
from sandbox.errors import SandboxError
from sandbox.instance import Instance, write_privately

# Faults of AWS operations, and what each does to a request.
AWS_FAULTS = {
    "throttle": "Refuse with the service's own throttling error.",
    "error": "Answer with an internal error, status 500.",
    "slow": "Answer late, or when the fault is cleared.",
    "cut": "Close the connection without an answer, the operation not carried out.",
    "cut-after": "Carry the operation out, or refuse it, then close the connection without an answer.",
}
# Processes by role: the service whose rows name them, the member that does, their prefix, and what tells the role.
_ROLES = {
    "writer": ("rds", "DBInstanceIdentifier", "postgres-", ("IsClusterWriter", True)),
    "reader": ("rds", "DBInstanceIdentifier", "postgres-", ("IsClusterWriter", False)),
    "primary": ("elasticache", "CacheClusterId", "redis-", ("CurrentRole", "primary")),
    "replica": ("elasticache", "CacheClusterId", "redis-", ("CurrentRole", "replica")),
}
_CONTAINERS = "pod-"


@dataclass
class Fault:
    """One fault. `times` and `rate` limit it, `seen` counts the requests it could have struck."""

    id: int
    kind: str
    target: str  # service:Operation, with * and ?; or the name of a process
    times: int | None = None
    rate: float = 1.0
    seed: int = 0
    seconds: float = 0.0
    seen: int = 0
    injected: int = 0

    def spent(self) -> bool:
        return self.times is not None and self.injected >= self.times

    def strikes(self) -> bool:
        """Whether it hits the next request; which ones it hits depends on nothing but the seed."""
        self.seen += 1
        hit = random.Random(f"{self.seed} {self.seen}").random() < self.rate  # noqa: S311 — repeatable on purpose
        self.injected += hit
        return hit


def read(instance: Instance) -> list[Fault]:
    """Every fault that was not cleared."""
    try:
        return [Fault(**row) for row in json.loads(_file(instance).read_text())]
    except FileNotFoundError:
        return []


def active(instance: Instance) -> Sequence[Fault]:
    """Those that still make something fail; a killed process that runs again does not."""
    running = processes.running(instance)
    return [each for each in read(instance) if not each.spent() and (each.kind != "kill" or each.target not in running)]


def add(instance: Instance, kind: str, target: str, **limits: float | None) -> Fault:
    """Make requests to `target` fail; raises SandboxError for a pattern that no operation matches."""
    if kind in AWS_FAULTS:
        _require_operation(target)
    with _changing(instance) as faults:
        number = max((each.id for each in faults), default=0) + 1
        faults.append(Fault(number, kind, target, **limits))  # type: ignore[arg-type]
        return faults[-1]


def strike(instance: Instance, service: str, operation: str) -> Fault | None:
    """The fault, if any, that this request meets; counted."""
    if not _file(instance).exists():
        return None
    with _changing(instance) as faults:
        met = [each for each in faults if fnmatch.fnmatchcase(f"{service}:{operation}", each.target)]
        return next((each for each in met if not each.spent() and each.strikes()), None)


def kill(instance: Instance, part: str) -> Sequence[str]:
    """SIGKILL the processes of a part (see `find`); with the node, its containers go. Returns their names.

    SandboxError when nothing of it runs.
    """
    running = processes.running(instance)
    names = [name for name in find(instance, part) if name in running]
    if not names:
        raise SandboxError(f"{part} does not run: nothing was killed")
    for name in names:
        for each in list(_family(name, running[name])):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        # The node is gone before its containers are killed. (mypy has no type for a lambda's default.)
        processes.wait(lambda name=name: processes.find(instance, name) is None, 5)  # type: ignore[misc]
    add(instance, "kill", names[0], injected=1)
    return names


def fill_disk(instance: Instance, part: str) -> Sequence[str]:
    """Let a part write to no file any more (RLIMIT_FSIZE 0), nor what is started in its place."""
    names = find(instance, part)
    for name in names:
        add(instance, "disk", name, injected=1)
        processes.full_disk_marker(instance, name).touch()
        _limit_writing(instance, name)
    return names


def clear(instance: Instance, number: int | None = None) -> Sequence[Fault]:
    """Forget a fault, or all, and let processes write again; what was killed is for `lifecycle.up` to start."""
    with _changing(instance) as faults:
        gone = [each for each in faults if number in (None, each.id)]
        if number is not None and not gone:
            raise SandboxError(f"there is no fault {number}; `python -m sandbox fault list` shows which there are")
        faults[:] = [each for each in faults if each not in gone]
        full = {each.target for each in faults if each.kind == "disk"}
    for fault in gone:
        if fault.kind == "disk" and fault.target not in full:
            processes.full_disk_marker(instance, fault.target).unlink(missing_ok=True)
            for name in processes.running(instance):  # what it started has its limit
                _limit_writing(instance, name)
    return gone


def find(instance: Instance, part: str) -> Sequence[str]:
    """Names of the processes that a part stands for: a role (writer, reader, primary, replica), or a process itself.

    Raises SandboxError when there is none of that name, or when more than one could be meant.
    """
    known = processes.recorded(instance)
    if part == "node":
        return [part, *(name for name in processes.running(instance) if name.startswith(_CONTAINERS))]
    names = [part] if part in known else _of_role(instance, part) if part in _ROLES else []
    if len(names) > 1:
        raise SandboxError(f"there is more than one {part}: say which of {', '.join(sorted(names))}")
    if not names:
        parts = [*_ROLES, *(name for name in known if not name.startswith(_CONTAINERS))]
        raise SandboxError(f"there is no {part} in sandbox {instance.name}; there could be: {', '.join(parts)}")
    return names


def _of_role(instance: Instance, role: str) -> list[str]:
    """Read it from the account's tables, which are there whatever the AWS API is made to answer."""
    service, identifier, prefix, (member, value) = _ROLES[role]
    path = instance.state / "aws" / f"{service}.json"
    rows = json.loads(path.read_text()) if path.exists() else {}
    clusters = [row["DBClusterMembers"] for row in rows.get("DBClusters", {}).values()]
    groups = [row["NodeGroups"][0]["NodeGroupMembers"] for row in rows.get("ReplicationGroups", {}).values()]
    return [prefix + row[identifier] for rows in (*clusters, *groups) for row in rows if row.get(member) == value]


def _family(name: str, process: psutil.Process) -> Iterator[psutil.Process]:
    """A process, then its children; without the AWS API's and the node's, which are processes of the sandbox.

    Whoever limits a process does so before its children are listed, so that what it starts has the limit; whoever kills
    lists them first.
    """
    yield process
    with contextlib.suppress(psutil.NoSuchProcess):
        yield from () if name in ("aws-api", "node") else process.children(recursive=True)


def _limit_writing(instance: Instance, name: str) -> None:
    """Take the right to write to files from a running process, or give it back, as the marker says."""
    limit = "0" if processes.full_disk_marker(instance, name).exists() else "unlimited"
    if process := processes.find(instance, name):
        for each in _family(name, process):
            # As the process's own user: root may do it only with a capability that containers mostly lack.
            command = ["prlimit", f"--pid={each.pid}", f"--fsize={limit}:"]
            with contextlib.suppress(psutil.NoSuchProcess):
                user = {} if os.geteuid() else {"user": each.uids().real, "group": each.gids().real, "extra_groups": []}
                done = subprocess.run(command, capture_output=True, text=True, check=False, **user)  # type: ignore[call-overload]
                if done.returncode and each.is_running():
                    raise SandboxError(f"cannot limit what {name} writes: {done.stderr.strip()}")


def _require_operation(target: str) -> None:
    import botocore.session

    service, colon, operation = target.partition(":")
    if not colon or not service or not operation:
        raise SandboxError(
            f"{target!r} is no operation: expected SERVICE:OPERATION, as rds:CreateDBCluster or *:Create*"
        )
    session = botocore.session.get_session()
    services = fnmatch.filter(session.get_available_services(), service)
    if not services:
        raise SandboxError(f"AWS has no service {service!r}: expected its name in the AWS CLI, as rds or elasticache")
    if len(services) == 1:
        operations = session.get_service_model(services[0]).operation_names
        if not fnmatch.filter(operations, operation):
            raise SandboxError(f"{service} has no operation {operation!r}; names are the API's, as CreateDBCluster")


def _file(instance: Instance) -> Path:
    return instance.state / "faults.json"


@contextlib.contextmanager
def _changing(instance: Instance) -> Iterator[list[Fault]]:
    """The faults, to be changed: one process at a time, and written only when they differ."""
    with FileLock(instance.state / "faults.lock"):
        faults = read(instance)
        before = [asdict(each) for each in faults]
        yield faults
        if (after := [asdict(each) for each in faults]) != before:
            write_privately(_file(instance), json.dumps(after))
