"""The stack that the commands are about: what it says of itself through the Pulumi CLI."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from ops.child import ended_first
from ops.errors import OpsError
from ops.lock import explanation
from ops.terminal import HEARTBEAT_SECONDS, say, span

MAIN = "main"
"""The generation that has the plain name (settings/names.py)."""
DATABASE, REDIS = "database", "redis"
STORES = (DATABASE, REDIS)


@dataclass(frozen=True)
class Generation:
    """One generation of a store, under its physical name."""

    store: str
    key: str
    identifier: str
    arn: str
    serving: bool

    @property
    def region(self) -> str:
        return self.arn.split(":")[3]

    def __str__(self) -> str:
        return f"{self.store} generation {self.key} ({self.identifier})"


@dataclass(frozen=True)
class Stack:
    """A deployed stack. Everything is read when it is first asked for."""

    directory: Path
    chosen: str | None = None
    """None for the stack that is selected."""

    def pulumi(self, *arguments: str, doing: str | None = None) -> str:
        """The output of a `pulumi` command on this stack; `doing` is said with the time it takes, once a minute.

        An interrupt waits for it to end. Raises OpsError with Pulumi's own last words.
        """
        # By name, whatever somebody selects meanwhile.
        return self._run(*arguments, "--stack", self.name, doing=doing)

    def _run(self, *arguments: str, doing: str | None = None) -> str:
        command = ["pulumi", *arguments]
        try:
            process = subprocess.Popen(
                command, cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        except FileNotFoundError:
            raise OpsError("there is no `pulumi` on the PATH: install it, or `source sandbox/activate`") from None
        with process, ended_first("pulumi", process.communicate):
            stdout, stderr = _finished(process, doing)
        if process.returncode != 0:
            locked = explanation(stderr + stdout, arguments[-1])
            raise OpsError(f"`{' '.join(command)}` failed: {locked or _reason(stdout, stderr)}")
        return stdout

    def again(self) -> Stack:
        """The same stack, read anew."""
        return Stack(self.directory, self.name)

    @cached_property
    def name(self) -> str:
        return self.chosen or self._run("stack", "--show-name").strip()

    @cached_property
    def outputs(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.pulumi("stack", "output", "--json"))
        if "stores" not in found and not self.resources:
            raise OpsError(
                f"nothing is deployed in stack {self.name}. If it never was: `pulumi up`. If it was destroyed, that "
                'makes empty stores, and its data is in the final snapshots: docs/runbook.md, "Destroy a stack"'
            )
        if "stores" not in found:
            raise OpsError(f"stack {self.name} has no output `stores`: run `pulumi up` once with this version")
        self._check_account(found["stores"])
        return found

    def _check_account(self, stores: Mapping[str, Any]) -> None:
        """Raises OpsError where the credentials are of another account: it may have stores of the same names."""
        from ops.aws import client  # a pull request's commands need none

        described = stores[DATABASE]
        arn = described["generations"][described["serving"]]["arn"].split(":")
        account = client("sts", arn[3]).get_caller_identity()["Account"]
        if account != arn[4]:
            raise OpsError(
                f"stack {self.name} is in account {arn[4]}, and the AWS credentials are of account {account}: "
                "choose its profile or role (AWS_PROFILE), and run this again"
            )

    @cached_property
    def secret_outputs(self) -> Mapping[str, Any]:
        """With the secrets in them: only for what must connect to a store."""
        found: Mapping[str, Any] = json.loads(self.pulumi("stack", "output", "--json", "--show-secrets"))
        return found

    @cached_property
    def resources(self) -> list[dict[str, Any]]:
        """The recorded resources; their secrets stay encrypted."""
        return list(json.loads(self.pulumi("stack", "export"))["deployment"].get("resources", []))

    @property
    def environment(self) -> str:
        return str(self.outputs["helm_values"]["global"]["environment"])

    def base_name(self, store: str) -> str:
        """The physical name that every generation's begins with."""
        return str(self.outputs["stores"][store]["name"])

    def store_name(self, store: str, key: str) -> str:
        """The physical name that a generation has or would have."""
        return self.base_name(store) if key == MAIN else f"{self.base_name(store)}-{key}"

    def generations(self, store: str) -> list[Generation]:
        """The serving one first."""
        described = self.outputs["stores"][store]
        found = [
            Generation(store, key, each["identifier"], each["arn"], key == described["serving"])
            for key, each in described["generations"].items()
        ]
        return sorted(found, key=lambda each: (not each.serving, each.key))

    def generation(self, store: str, key: str | None = None) -> Generation:
        """The one of that key, or the serving one."""
        found = self.generations(store)
        for each in found:
            if each.key == key or (key is None and each.serving):
                return each
        known = ", ".join(each.key for each in found)
        raise OpsError(f"stack {self.name} has no generation {key!r} of {store}: it has {known}")

    @property
    def region(self) -> str:
        return self.generation(DATABASE).region


def _finished(process: subprocess.Popen[str], doing: str | None) -> tuple[str, str]:
    """Its stdout and stderr, once it has ended."""
    began = time.monotonic()
    while True:
        try:
            return process.communicate(timeout=HEARTBEAT_SECONDS)
        except subprocess.TimeoutExpired:
            if doing:
                say(f"{doing}: {span(timedelta(seconds=time.monotonic() - began))}")


def _reason(stdout: str, stderr: str) -> str:
    """Pulumi's own: an update's diagnostics are on stdout, and end with a mere `update failed`."""
    lines = [line.strip() for line in (*stdout.splitlines(), *stderr.splitlines()) if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    telling = [line for line in errors if line not in ("update failed", "preview failed")]
    return (telling or errors or lines or ["it gave no reason"])[0 if telling else -1]
