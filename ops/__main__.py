"""`python -m ops`: look at the data platform, back it up, bring it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ops import backups, drill, errors, graph, restore, snapshot, status
from ops.aws import explained
from ops.pipeline import comment, deploy, drift, preview, release, review
from ops.plan.commands import plan
from ops.stack import Stack


class _Commands(click.Group):
    """Turns what a person can act on into one line and an exit code (ops/errors.py)."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with explained():
                return super().invoke(ctx)
        except errors.OpsError as error:
            click.echo(f"ops: {error}", err=True)
            ctx.exit(error.exit_code)
        except click.Abort as error:
            # A question that was broken off, had nobody to answer it, or was answered by no.
            click.echo("\nops: not confirmed, nothing was done; without a terminal say --yes or --confirm", err=True)
            ctx.exit(errors.INTERRUPTED if isinstance(error.__context__, KeyboardInterrupt) else errors.FAILED)
        except KeyboardInterrupt:
            click.echo("ops: interrupted; nothing that AWS has begun was undone", err=True)
            ctx.exit(errors.INTERRUPTED)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=__doc__,
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 looked and found something wrong, "
    "130 interrupted. Tables go to stdout, progress to stderr.",
)
@click.option("--stack", "name", help="The stack; the selected one if not given.")
@click.option(
    "--cwd",
    "-C",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="The project's directory, as for `pulumi`.",
)
@click.pass_context
def main(ctx: click.Context, name: str | None, cwd: Path) -> None:
    ctx.obj = Stack(cwd, name)


for each in (status.status, backups.backups, snapshot.snapshot, restore.restore, drill.drill, plan, graph.command):
    main.add_command(each)
for each in (preview.preview, comment.comment, review.review, deploy.deploy, drift.drift, release.release):
    main.add_command(each)

if __name__ == "__main__":
    main(prog_name="python -m ops")
