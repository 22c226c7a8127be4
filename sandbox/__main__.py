"""`python -m sandbox`: the whole platform on this machine."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from policies.stack_file import StackFileError
from sandbox import faults, images, lifecycle, stack
from sandbox.errors import SandboxError
from sandbox.instance import Instance, NoSandboxError
from sandbox.progress import Progress


class _Commands(click.Group):
    """Turns what a person can act on into one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            if sys.platform != "linux":
                raise SandboxError(f"the sandbox needs Linux; this is {sys.platform}. A Linux container or VM will do")
            return super().invoke(ctx)
        except (SandboxError, StackFileError) as error:
            click.echo(f"sandbox: {error}", err=True)
            ctx.exit(1)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            what = error.filename or "the output"
            click.echo(f"sandbox: the disk is full, {what} cannot be written; make room and try again", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo(
                "sandbox: interrupted; the same command goes on from here, `make down` stops what runs", err=True
            )
            ctx.exit(130)


@click.group(cls=_Commands, help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    pass


@main.command()
@click.option("--deploy", is_flag=True, help="Then bring the `local` stack up in it.")
def up(*, deploy: bool) -> None:
    """Start whatever does not run yet."""
    instance = Instance.current()
    report = Progress()
    # One lock over both: nobody takes the sandbox down under a deployment, or deploys beside it.
    with lifecycle.alone(instance, report):
        tools = lifecycle.up(instance, report)
        if deploy:
            sys.exit(stack.deploy(lifecycle.environment(instance, tools), report))
    click.echo("The sandbox is up: `source sandbox/activate` for a shell in it, `make down` to stop it.", err=True)


def _to_stop() -> Instance:
    """The sandbox, if there is one; stopping none is no mistake."""
    try:
        return Instance.current(create=False)
    except NoSandboxError as error:
        click.echo(f"sandbox: {error}", err=True)
        raise click.exceptions.Exit(0) from error


@main.command()
def down() -> None:
    """Stop every process; the state stays."""
    lifecycle.down(_to_stop(), Progress())


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(*, yes: bool) -> None:
    """Stop every process and delete the state."""
    instance = _to_stop()
    if not yes:
        if not sys.stdin.isatty():
            raise SandboxError(f"reset deletes {instance.state} with everything in it: say --yes")
        click.confirm(f"Delete {instance.state}: databases, cluster and Pulumi state?", abort=True, err=True)
    lifecycle.reset(instance, Progress())


@main.command()
def status() -> None:
    """Show what runs."""
    instance = Instance.current(create=False)
    click.echo(f"sandbox {instance.name}   state {instance.state}")
    click.echo(f"Kubernetes {instance.kubernetes_endpoint}   AWS {instance.aws_endpoint}\n")
    _echo_table([("NAME", "PROCESS", "UP FOR", "MEMORY"), *lifecycle.status(instance)])
    if active := faults.active(instance):
        click.echo(
            f"\nfaults at work: {len(active)}; `python -m sandbox fault list` shows them, `fault clear` ends them"
        )


def _echo_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@main.command()
@click.option("--restore", is_flag=True, help="Print what brings back the present environment instead.")
def env(*, restore: bool) -> None:
    """Print the shell commands that set up the environment; see sandbox/activate."""
    instance = Instance.current(create=False)
    lifecycle.require_up(instance)
    click.echo("\n".join(lifecycle.shell_lines(instance, restore=restore)))


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", metavar="STACK")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def preview(name: str, arguments: tuple[str, ...]) -> None:
    """Preview STACK from its committed file; more arguments go to `pulumi preview`."""
    instance = Instance.current()
    tools = lifecycle.up(instance, Progress())
    sys.exit(stack.preview(instance, name, lifecycle.environment(instance, tools), arguments))


@main.group()
def fault() -> None:
    """Make something fail, until `fault clear`."""


def _aws_fault(kind: str, what: str) -> None:
    """The command that makes AWS operations fail in one way."""
    seconds = [click.option("--seconds", type=click.FloatRange(0), default=5, show_default=True, help="How late.")]

    @fault.command(kind, help=f"AWS operations: {what}")
    @click.argument("operation", metavar="SERVICE:OPERATION")
    @click.option("--times", type=click.IntRange(1), help="Only so many requests.")
    @click.option("--rate", type=click.FloatRange(0, 1), default=1.0, help="Only this share of the requests.")
    @click.option("--seed", type=int, default=0, help="Which requests a rate hits; the same seed, the same requests.")
    def add(operation: str, **limits: float | None) -> None:
        added = faults.add(Instance.current(create=False), kind, operation, **limits)
        click.echo(f"fault {added.id}: {kind} {operation}", err=True)

    for option in seconds if kind == "slow" else []:
        option(add)


for _kind, _what in faults.AWS_FAULTS.items():
    _aws_fault(_kind, _what)

_PART = click.argument("part", metavar="writer|reader|primary|replica|NAME")


@fault.command()
@_PART
def kill(part: str) -> None:
    """SIGKILL a server by role, or by its NAME in `status`; with the node go its containers."""
    click.echo(f"killed {', '.join(faults.kill(Instance.current(create=False), part))}", err=True)


@fault.command()
@_PART
def disk(part: str) -> None:
    """Let a server write to no file any more: each write fails as with a full disk."""
    names = faults.fill_disk(Instance.current(create=False), part)
    click.echo(f"nothing that {', '.join(names)} writes is stored any more", err=True)


@fault.command("list")
def list_() -> None:
    """Show the faults, how often each was injected, and whether it still is at work."""
    instance = Instance.current(create=False)
    at_work = faults.active(instance)
    rows = [
        (str(each.id), each.kind, each.target, str(each.injected), "at work" if each in at_work else "over")
        for each in faults.read(instance)
    ]
    _echo_table([("FAULT", "KIND", "TARGET", "INJECTED", ""), *rows])


@fault.command()
@click.argument("number", type=int, required=False)
def clear(number: int | None) -> None:
    """End a fault, or all, and start again what was killed."""
    instance = Instance.current(create=False)
    gone = faults.clear(instance, number)
    if any(each.kind in ("kill", "disk") for each in gone):
        lifecycle.up(instance, Progress())
    click.echo(f"faults cleared: {len(gone)}", err=True)


@main.group()
def image() -> None:
    """Images that the process node can run."""


@image.command()
@click.argument("reference")
@click.argument("directory", type=click.Path(path_type=Path))
def add(reference: str, directory: Path) -> None:
    """Register a copy of DIRECTORY as the image REFERENCE (REPOSITORY:TAG)."""
    target = images.add(Instance.current(), reference, directory)
    click.echo(f"{reference} is in {target}", err=True)


if __name__ == "__main__":
    # A cancelled job ends like a Ctrl-C, and its builds with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
