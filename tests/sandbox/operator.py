"""Somebody who runs `python -m ops` on the local stack, in a sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from sandbox.instance import CHECKOUT
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
            timeout=120,
            **more,
        )
        assert done.returncode == code, (
            f"ops {' '.join(arguments)} exited {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done

    def ops_json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.ops(*arguments, "--json", code=code).stdout)
