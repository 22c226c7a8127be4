"""`preview`: what `pulumi up` would do, as JSON in a file, under the environment's policies; never with a secret."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ops.errors import OpsError
from ops.options import pass_stack
from ops.stack import Stack
from ops.stack_file import StackFile
from ops.terminal import say

PACK = Path(__file__).parents[2] / "policies"
# `pulumi preview --json` lists only what changes, and what changes its protection under this name.
UNCHANGED = "same"


def with_policies(stack: Stack) -> Sequence[str]:
    """The arguments that hold a run to its environment's policies."""
    configuration = PACK / "environments" / f"{StackFile(stack).environment}.json"
    return ("--policy-pack", str(PACK), "--policy-pack-config", str(configuration))


def run(stack: Stack, *arguments: str) -> tuple[dict[str, Any], int]:
    """The preview's JSON and Pulumi's exit code: a preview that failed has its diagnostics in there."""
    command = ["pulumi", "preview", "--json", "--non-interactive", "--stack", stack.name, *arguments]
    done = subprocess.run(command, cwd=stack.directory, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout), done.returncode
    except ValueError:
        said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise OpsError(f"the preview of {stack.name} gave no JSON: {said}") from None


def changes(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps that change something, protection included."""
    return [each for each in document.get("steps", []) if each["op"] != UNCHANGED or "protect" in _touched(each)]


def _touched(step: dict[str, Any]) -> set[str]:
    old, new = step.get("oldState") or {}, step.get("newState") or {}
    return {"protect"} if bool(old.get("protect")) != bool(new.get("protect")) else set()


@click.command()
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--refresh", is_flag=True, help="Against what AWS and Kubernetes say, not against the recorded state.")
@pass_stack
def preview(stack: Stack, plan: Path, *, refresh: bool) -> None:
    """Write the preview to PLAN, also when it failed; then exit 1."""
    document, code = run(stack, *with_policies(stack), *(["--refresh"] if refresh else []))
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_text(json.dumps(document, indent=2) + "\n")
    if code:
        raise OpsError(f"the preview of {stack.name} failed; its diagnostics are in {plan}")
    say(f"{stack.name}: {len(changes(document))} changes in {plan}")
