"""Somebody who runs `python -m ops` on the local stack, in a sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from sandbox import lifecycle, processes
from sandbox.instance import CHECKOUT, write_privately
from tests.sandbox.platform import Platform


class Operator(Platform):
    def ops(self, *arguments: str, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:
        """`python -m ops` from the project's directory; stdout and stderr apart."""
        done = subprocess.run(
            [sys.executable, "-m", "ops", *arguments],
            cwd=self.directory,
            env={**self.environment, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            check=False,
            **{"timeout": 120, **more},
        )
        assert done.returncode == code, (
            f"ops {' '.join(arguments)} exited {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done

    def rewrite_account(self, service: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Edit what the sandbox's AWS holds, to make time pass for it."""
        processes.stop(self.instance, "aws-api")
        path = self.instance.state / "aws" / f"{service}.json"
        tables = json.loads(path.read_text())
        change(tables)
        write_privately(path, json.dumps(tables))
        lifecycle.up(self.instance, lambda _: None)

    def ops_json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.ops(*arguments, "--json", code=code).stdout)
