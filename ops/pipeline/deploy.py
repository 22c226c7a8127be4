"""`deploy`: `pulumi up` of exactly the plan that was reviewed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from ops import child, lock
from ops.errors import FoundError, OpsError
from ops.options import pass_stack
from ops.pipeline import plan_gate
from ops.pipeline.github import GitHub
from ops.pipeline.preview import run, with_policies
from ops.pipeline.review import reviewed
from ops.plan.digest import digest
from ops.stack import Stack
from ops.terminal import say


@click.command()
@click.option("--commit", help="The main branch's commit; its pull request has the reviewed plan.")
@click.option("--digest", "given", help="The digest of a plan that was reviewed elsewhere.")
@click.option("--plan", type=click.Path(path_type=Path, dir_okay=False), default="plan.json", show_default=True)
@pass_stack
def deploy(stack: Stack, commit: str | None, given: str | None, plan: Path) -> None:
    """Preview once more into PLAN, compare it with the reviewed one, then `pulumi up`; migrations run in there.

    Exits 3, with nothing changed, when the plan is another, or the gate refuses it.
    """
    if bool(commit) == bool(given):
        raise click.UsageError("say where the reviewed plan is: --commit or --digest")
    policies = with_policies(stack)
    ran = run(stack, *policies)
    ran.write(plan)
    if refusal := plan_gate.refusal(ran.preview):
        raise FoundError(f"the plan gate refuses the plan of {stack.name}, nothing was changed:\n{refusal}")
    if ran.preview.changed:
        _require_reviewed(stack, digest(ran.preview), commit, given)
    else:
        say(f"{stack.name}: nothing to change")
    _up(stack, *policies)


def _require_reviewed(stack: Stack, now: str, commit: str | None, given: str | None) -> None:
    by_hand = f"to deploy this plan all the same, have it reviewed and run deploy-stack by hand with digest {now}"
    try:
        then, where = reviewed(GitHub.of_this_run(), stack.name, commit) if commit else (str(given), "--digest")
    except OpsError as error:
        raise FoundError(f"{stack.name} was not changed: {error}; {by_hand}") from error
    if then != now:
        raise FoundError(
            f"{stack.name} was not changed: its plan is not the one that was reviewed in {where} ({then}). Something"
            " else was deployed, or changed by hand, since; or this commit brings changes of an earlier one whose"
            f" deployment was skipped. {by_hand[0].upper()}{by_hand[1:]}"
        )
    say(f"{stack.name}: the plan is the one that was reviewed in {where}")


def _up(stack: Stack, *policies: str) -> None:
    """With its output as it comes. Raises OpsError, which explains a lock."""
    command = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", stack.name, *policies]
    said: list[str] = []
    with (
        subprocess.Popen(
            command, cwd=stack.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
        child.ended_first("pulumi", lambda: _relay(process, said)),
    ):
        _relay(process, said)
    if process.returncode != 0:
        raise OpsError(
            lock.explanation("".join(said), stack.name)
            or f"the update of {stack.name} failed as shown above; what it had done until then stands. Put right what"
            " it names and run this again: an update goes on from where it stopped"
        )


def _relay(process: subprocess.Popen[str], said: list[str]) -> None:
    for line in process.stdout or ():
        sys.stdout.write(line)
        sys.stdout.flush()
        said.append(line)
