"""`review`: what was reviewed, kept where only a workflow can write it: as commit statuses of the bot's.

A pull request's head gets one status per stack, `plan/STACK`. It succeeds where the plan may be deployed, and then its
description ends in the plan's digest, which `deploy` holds the plan of the moment against.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from ops.errors import OpsError
from ops.pipeline import plan_gate
from ops.pipeline.github import BOT, GitHub, run_url
from ops.plan.digest import digest
from ops.plan.preview import read
from ops.terminal import say

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}$")
_LONGEST = 140  # of a status's description, in characters


@click.group()
def review() -> None:
    """What a deployment is bound to."""


@review.command()
@click.argument("plans", type=click.Path(path_type=Path, file_okay=False))
@click.option("--commit", required=True, help="The pull request's head.")
@click.option("--stack", "stacks", multiple=True, required=True, help="Each stack that must have a plan.")
def record(plans: Path, commit: str, stacks: tuple[str, ...]) -> None:
    """Set the status of each stack from PLANS/STACK.json: its digest, or why it may not be deployed."""
    github = GitHub.of_this_run()
    for stack in stacks:
        state, told = _verdict(plans / f"{stack}.json")
        body = {"state": state, "context": _context(stack), "description": told[:_LONGEST]}
        github.post(f"/statuses/{commit}", {**body, **({"target_url": run_url()} if run_url() else {})})
        say(f"{_context(stack)}: {state}: {told}")


def reviewed(github: GitHub, stack: str, commit: str) -> tuple[str, str]:
    """The digest of the plan that was reviewed for a commit of the main branch, and where.

    Raises OpsError when the commit came by no pull request, or its plan was never good.
    """
    pulls = [each for each in github.get(f"/commits/{commit}/pulls") if each.get("merged_at")]
    if not pulls:
        raise OpsError(f"commit {commit} came by no merged pull request, so nobody has reviewed its plan")
    # A commit is told of by every pull request that has it; one of them made it.
    its = next((each for each in pulls if each.get("merge_commit_sha") == commit), pulls[0])
    pull = f"pull request #{its['number']}"
    for status in github.every(f"/commits/{its['head']['sha']}/statuses"):  # the newest first
        # A preview that was run again after the merge is of today, and nobody has reviewed it.
        later = status.get("created_at", "") > its["merged_at"]
        if status["context"] == _context(stack) and (status.get("creator") or {}).get("login") == BOT and not later:
            if found := _DIGEST.search(status["description"] or ""):
                return found[0], pull
            raise OpsError(f"{pull} had no plan of {stack} that may be deployed: {status['description']}")
    raise OpsError(f"{pull} has no plan of {stack}: its preview never ran to an end")


def _context(stack: str) -> str:
    return f"plan/{stack}"


def _verdict(plan: Path) -> tuple[str, str]:
    try:
        preview = read(plan)
    except OpsError:
        return "error", "there is no plan: the preview did not get as far"
    if preview.failed:
        return "failure", "the preview failed"
    try:
        refused = plan_gate.refusal(preview) is not None
    except OpsError:
        return "failure", "the plan gate cannot read its waivers"
    if refused:
        return "failure", "the plan gate refuses it"
    return "success", f"{len(preview.changed)} changes, {digest(preview)}"
