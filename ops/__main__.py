"""`python -m ops`: look at the data platform, back it up, bring it back."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ops import errors
from ops.stack import Stack

# Each command's module is imported when the command is asked for: most of the start would go into AWS's client,
# which a pull request's commands do not need.
_COMMANDS = {
    "status": "ops.status:status",
    "backups": "ops.backups:backups",
    "snapshot": "ops.snapshot:snapshot",
    "restore": "ops.restore:restore",
    "drill": "ops.drill:drill",
    "plan": "ops.plan.commands:plan",
    "graph": "ops.graph:command",
    "preview": "ops.pipeline.preview:preview",
    "comment": "ops.pipeline.comment:comment",
    "review": "ops.pipeline.review:review",
    "deploy": "ops.pipeline.deploy:deploy",
    "drift": "ops.pipeline.drift:drift",
    "release": "ops.pipeline.release:release",
}


@contextmanager
def _explained() -> Iterator[None]:
    """ops.aws.explained, whose import only an error that is none of ours or click's waits for."""
    try:
        yield
    except (errors.OpsError, click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception:
        with import_module("ops.aws").explained():
            raise


class _Commands(click.Group):
    """Turns what a person can act on into one line and an exit code (ops/errors.py)."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 click's signature
        where = _COMMANDS.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _explained():
                return super().invoke(ctx)
        except errors.OpsError as error:
            click.echo(f"ops: {error}", err=True)
            ctx.exit(error.exit_code)
        except click.Abort as error:
            # A question that was broken off, had nobody to answer it, or was answered by no.
            click.echo(
                "\nops: not confirmed, nothing was done; without a terminal confirm by an option, see --help", err=True
            )
            ctx.exit(errors.INTERRUPTED if isinstance(error.__context__, KeyboardInterrupt) else errors.FAILED)
        except BrokenPipeError:
            raise  # click ends in silence
        except OSError as error:
            if error.filename is None and error.errno != errno.ENOSPC:
                raise
            click.echo(f"ops: {error.filename or 'the output'}: {error.strerror}", err=True)
            ctx.exit(errors.FAILED)
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
    if name == "":
        raise click.UsageError("--stack is empty: name the stack, or leave the option out for the selected one")
    ctx.obj = Stack(cwd, name)


if __name__ == "__main__":
    # A cancelled job or a stopped service ends like a Ctrl-C: what has begun is brought to an end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main(prog_name="python -m ops")
