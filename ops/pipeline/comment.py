"""`comment`: the one comment of ours on a pull request, made or replaced."""

from __future__ import annotations

from pathlib import Path

import click

from ops.pipeline.github import BOT, GitHub
from ops.plan.comment import MARKER
from ops.terminal import say


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--pull-request", type=int, required=True)
@click.option("--commit", help="The head that FILE is about: once there is a newer one, its comment is left alone.")
def comment(file: Path, pull_request: int, commit: str | None) -> None:
    """Put FILE, which `plan comment` wrote, on the pull request, in place of the one that stands there."""
    github, body = GitHub.of_this_run(), {"body": file.read_text()}
    if commit and (head := github.get(f"/pulls/{pull_request}")["head"]["sha"]) != commit:
        # A run that is started again, long after: its plan is no longer this pull request's.
        say(f"#{pull_request} is at {head} by now: its comment is left as it is")
        return
    for each in github.every(f"/issues/{pull_request}/comments"):
        if MARKER in each["body"] and each["user"]["login"] == BOT:
            github.patch(f"/issues/comments/{each['id']}", body)
            say(f"replaced the comment on #{pull_request}")
            return
    github.post(f"/issues/{pull_request}/comments", body)
    say(f"commented on #{pull_request}")
