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
def comment(file: Path, pull_request: int) -> None:
    """Put FILE, which `plan comment` wrote, on the pull request, in place of the one that stands there."""
    github, body = GitHub.of_this_run(), {"body": file.read_text()}
    for each in github.every(f"/issues/{pull_request}/comments"):
        if MARKER in each["body"] and each["user"]["login"] == BOT:
            github.patch(f"/issues/comments/{each['id']}", body)
            say(f"replaced the comment on #{pull_request}")
            return
    github.post(f"/issues/{pull_request}/comments", body)
    say(f"commented on #{pull_request}")
