"""The plan gate and the plan's digest, as `python -m ops plan` gives them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ops.errors import FOUND, OpsError

CHECKOUT = Path(__file__).parents[2]


def refusal(plan: Path) -> str | None:
    """What the gate says of a plan that it refuses; None for one that it lets pass."""
    done = _ops("plan", "check", str(plan))
    if done.returncode == FOUND:
        return done.stdout
    _require(done)
    return None


def digest(plan: Path) -> str:
    done = _ops("plan", "digest", str(plan))
    _require(done)
    return done.stdout.strip()


def _ops(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ops", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def _require(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise OpsError(done.stderr.strip().removeprefix("ops: ") or f"{done.args} exited {done.returncode}")
