"""The local stack in the test sandbox, driven by the real CLI as an operator drives it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox import stack
from sandbox.instance import Instance

NAMESPACE = "meetinity-local"


class Platform:
    def __init__(self, instance: Instance, environment: Mapping[str, str]) -> None:
        self.instance = instance
        self.directory, self.environment = stack.scratch_project(instance, stack.LOCAL, dict(environment))
        stack.select(stack.LOCAL, self.environment, self.directory)

    @property
    def stack_file(self) -> Path:
        return self.directory / f"Pulumi.{stack.LOCAL}.yaml"

    def configure(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Edit the stack file; `change` gets its `config` without the namespace."""
        document = yaml.safe_load(self.stack_file.read_text())
        config = {key.removeprefix("meetinity-data:"): value for key, value in document["config"].items()}
        change(config)
        document["config"] = {key if ":" in key else f"meetinity-data:{key}": value for key, value in config.items()}
        self.stack_file.write_text(yaml.safe_dump(document))

    def run(self, *command: str, check: bool = True) -> str:
        """The output of a command in the sandbox's environment; stdout and stderr together."""
        result = subprocess.run(
            command,
            executable=shutil.which(command[0], path=self.environment["PATH"]),
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )
        self.code = result.returncode
        if check:
            assert result.returncode == 0, f"{' '.join(command)} exited {result.returncode}:\n{result.stdout}"
        return result.stdout

    def pulumi(self, *arguments: str, check: bool = True) -> str:
        return self.run("pulumi", *arguments, "--non-interactive", check=check)

    def up(self, *arguments: str, check: bool = True) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", *arguments, check=check)

    def resources(self) -> list[dict[str, Any]]:
        exported = json.loads(self.run("pulumi", "stack", "export"))
        return exported["deployment"].get("resources", [])

    def urn(self, type_: str) -> str:
        found = [each["urn"] for each in self.resources() if each["type"] == type_]
        assert len(found) == 1, found
        return found[0]

    def kubernetes(self, *arguments: str) -> Any:
        return json.loads(self.run("kubectl", "--namespace", NAMESPACE, "get", *arguments, "--output", "json"))

    def aws(self, *arguments: str) -> Any:
        return json.loads(self.run("aws", *arguments, "--output", "json") or "null")

    def secret(self, name: str) -> dict[str, str]:
        """What a service sees of a connection Secret."""
        data = self.kubernetes("secret", name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}
