"""Stacks in the sandbox: `local` brought up from the checkout, any other previewed from its committed file."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import yaml

from ops import child
from policies import stack_file
from sandbox.errors import SandboxError
from sandbox.instance import CHECKOUT, Instance

LOCAL = "local"

HOW_TO_GO_ON = """
Use it:   source sandbox/activate      then pulumi, kubectl, aws, psql and redis-cli work against it
          kubectl get secret platform-database -o jsonpath='{.data.DATABASE_URL}' | base64 -d
Look:     make status
Stop:     make down                    (the data stays; make up goes on from there)
"""


def backend_url(directory: Path) -> str:
    """A Pulumi backend in a directory, without files of metadata: a Pulumi killed over one cannot read its state."""
    return f"file://{directory}?metadata=skip"


def program(environment: Mapping[str, str]) -> Path:
    """The Pulumi CLI of a sandbox's environment, whatever this process finds on its own PATH."""
    return Path(environment["PATH"].split(os.pathsep)[0]) / "pulumi"


def pulumi(
    arguments: Sequence[str], environment: Mapping[str, str], *, directory: Path = CHECKOUT, quiet: bool = False
) -> int:
    """Run the Pulumi CLI of the sandbox and return its exit code; quiet keeps its output unless it fails."""
    command = ["pulumi", *arguments]
    result = child.run(
        command,
        executable=program(environment),
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL if quiet else None,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.PIPE if quiet else None,
    )
    if quiet and result.returncode != 0:
        said = result.stderr.strip() or result.stdout.strip()
        raise SandboxError(f"pulumi {arguments[0]} {arguments[1]} failed: {said}")
    return result.returncode


def select(stack: str, environment: Mapping[str, str], directory: Path = CHECKOUT) -> None:
    pulumi(["stack", "select", "--create", stack], environment, directory=directory, quiet=True)


def deploy(environment: Mapping[str, str], report: Callable[[str], None], directory: Path = CHECKOUT) -> int:
    """`pulumi up` of the local stack; prints how to connect and how to stop. Returns Pulumi's exit code.

    A lock that a killed Pulumi left behind is released; SandboxError says that another one is at work on the stack.
    """
    select(LOCAL, environment, directory)
    for lock in Path(urlsplit(environment["PULUMI_BACKEND_URL"]).path).glob(f".pulumi/locks/*/*/{LOCAL}/*.json"):
        with contextlib.suppress(ValueError, OSError, psutil.NoSuchProcess):  # killed while it wrote the lock; ended
            holder = psutil.Process(int(json.loads(lock.read_text())["pid"]))
            if holder.name() == "pulumi":
                raise SandboxError(f"pulumi process {holder.pid} updates the stack: wait for it to end, then try again")
        if lock.exists():
            report("a pulumi process is gone and left the stack locked: `pulumi cancel --yes` releases it")
            pulumi(["cancel", "--yes", "--stack", LOCAL], environment, directory=directory, quiet=True)
    code = pulumi(["up", "--stack", LOCAL, "--yes", "--skip-preview"], environment, directory=directory)
    if code == 0:
        print(HOW_TO_GO_ON)
    return code


def scratch_project(instance: Instance, stack: str, environment: Mapping[str, str]) -> tuple[Path, dict[str, str]]:
    """A project directory beside the state whose program is the checkout's, and the environment to run it in.

    Its stack file is a copy and its backend its own, so that whatever Pulumi writes (a salt, a lock, a
    state) leaves the work tree and the local stack alone.
    """
    source = CHECKOUT / f"Pulumi.{stack}.yaml"
    settings, project = stack_file.read(source), stack_file.read(CHECKOUT / "Pulumi.yaml")
    directory = instance.state / "scratch" / stack
    (directory / "backend").mkdir(parents=True, exist_ok=True)
    project["main"] = str(CHECKOUT)
    project["runtime"]["options"]["virtualenv"] = str(CHECKOUT / project["runtime"]["options"]["virtualenv"])
    (directory / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    # The secrets provider of a real stack is a key in AWS; here the passphrase takes its place.
    encrypted = [key for key, value in (settings.get("config") or {}).items() if "secure" in _keys(value)]
    if encrypted and settings.get("secretsprovider"):
        raise SandboxError(
            f"{source.name} holds secrets that only {settings['secretsprovider'].partition('?')[0]} can open "
            f"({', '.join(encrypted)}): preview it with its own backend and credentials, or without these keys"
        )
    kept = {key: value for key, value in settings.items() if key not in ("secretsprovider", "encryptedkey")}
    (directory / source.name).write_text(yaml.safe_dump(kept))
    return directory, {**environment, "PULUMI_BACKEND_URL": backend_url(directory / "backend")}


def _keys(value: object) -> set[str]:
    """Every key at any depth."""
    if isinstance(value, list):
        return {key for item in value for key in _keys(item)}
    if isinstance(value, dict):
        return {str(key) for key in value} | {key for item in value.values() for key in _keys(item)}
    return set()


def preview(instance: Instance, stack: str, environment: Mapping[str, str], arguments: Sequence[str] = ()) -> int:
    """Preview `stack` from its committed file: `local` as it stands, any other as if into an empty account.

    Returns Pulumi's exit code.
    """
    if stack == LOCAL:
        select(stack, environment)
        return pulumi(["preview", "--stack", stack, *arguments], environment)
    directory, scratch = scratch_project(instance, stack, environment)
    select(stack, scratch, directory)
    return pulumi(["preview", "--stack", stack, *arguments], scratch, directory=directory)
