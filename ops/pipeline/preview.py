"""`preview`: what `pulumi up` would do, in a file, under the environment's policies; the engine blinds its secrets."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click

from ops import child
from ops.errors import OpsError
from ops.options import pass_stack
from ops.plan.preview import Preview, parse
from ops.plan.redaction import redactor
from ops.stack import Stack
from ops.stack_file import StackFile
from ops.terminal import say

PACK = Path(__file__).parents[2] / "policies"


@dataclass(frozen=True)
class Ran:
    """A preview as Pulumi left it."""

    stack: str
    text: str
    stderr: str
    code: int

    @cached_property
    def preview(self) -> Preview:
        """Raises OpsError when it failed, with what it said, and nothing is there to judge."""
        if self.code == 0:
            return parse(self.text, f"the preview of {self.stack}")
        try:
            said = [each.message for each in parse(self.text, "").errors]
        except OpsError:
            said = [self.stderr.strip() or self.text.strip()]
        raise OpsError(redactor(())(f"the preview of {self.stack} failed, nothing was changed: {' '.join(said)}"))

    def write(self, plan: Path) -> None:
        """Into `plan`, and beside it what Pulumi said on stderr if it failed: the comment takes it from there."""
        plan.parent.mkdir(parents=True, exist_ok=True)
        plan.write_text(self.text)
        if self.code:
            plan.with_suffix(".stderr").write_text(redactor(())(self.stderr))


def run(stack: Stack, *arguments: str) -> Ran:
    command = ["pulumi", "preview", "--json", "--non-interactive", "--stack", stack.name, *arguments]
    # The engine's events: only they tell what the policies say, and what becomes of the outputs.
    environment = {**os.environ, "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "1"}
    done = child.run(command, cwd=stack.directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    told = [line for line in done.stdout.split("\n") if not _is_debug(line)]
    return Ran(stack.name, "\n".join(told), done.stderr, done.returncode)


def _is_debug(line: str) -> bool:
    """What providers tell for debugging was not written to be read by others."""
    if '"diagnosticEvent"' not in line:
        return False
    try:
        event = json.loads(line)
    except ValueError:
        return False
    said = event.get("diagnosticEvent") if isinstance(event, dict) else None
    return isinstance(said, dict) and said.get("severity") == "debug"


def with_policies(stack: Stack) -> Sequence[str]:
    """The arguments that hold a run to its environment's policies."""
    configuration = PACK / "environments" / f"{StackFile(stack).environment}.json"
    return ("--policy-pack", str(PACK), "--policy-pack-config", str(configuration))


@click.command()
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@pass_stack
def preview(stack: Stack, plan: Path) -> None:
    """Write the preview to PLAN, also when it failed; then exit 1."""
    try:
        ran = run(stack, *with_policies(stack))
    except OpsError as error:
        Ran(stack.name, "", str(error), 1).write(plan)  # so that the comment says it
        raise
    ran.write(plan)
    say(f"{stack.name}: {len(ran.preview.changed)} changes, in {plan}")
