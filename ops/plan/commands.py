"""`python -m ops plan`: the commands of a pull request. None of them asks AWS, the cluster or Pulumi."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import click

from ops import errors
from ops.options import with_json
from ops.plan import check as gate
from ops.plan import waivers
from ops.plan.preview import read
from ops.plan.redaction import known_to, redacted, redactor
from ops.plan.report import report
from ops.plan.sarif import sarif

preview_argument = click.argument("preview", type=click.Path(path_type=Path))
with_waivers = click.option(
    "--waivers",
    "waivers_file",
    type=click.Path(path_type=Path),
    default=waivers.FILE,
    show_default=True,
    help="What is let pass, by whom and until when.",
)
with_today = click.option(
    "--today",
    type=click.DateTime(["%Y-%m-%d"]),
    default=lambda: datetime.now(UTC).strftime("%Y-%m-%d"),
    help="The day (UTC) that waivers are held against.",
)


def day(given: datetime) -> date:
    return given.date()


@click.group()
def plan() -> None:
    """Judge and tell what a preview would do. PREVIEW is what `pulumi preview --json` wrote, or `-` for stdin."""


@plan.command()
@preview_argument
@with_waivers
@with_today
@click.option("--sarif", "sarif_file", type=click.Path(path_type=Path), help="Write the decisions there as SARIF too.")
@with_json
def check(preview: Path, waivers_file: Path, today: datetime, sarif_file: Path | None, as_json: bool) -> None:
    """Refuse what would lose a store, its protection or its backups, unless a waiver lets it pass.

    Exit codes: 0 passed, 1 the preview failed or cannot be read, 3 refused.
    """
    seen = read(preview)
    verdict = gate.check(seen, waivers.load(waivers_file, day(today)), day(today))
    redact = redactor(known_to(seen))
    if sarif_file:
        sarif_file.write_text(json.dumps(redacted(sarif(verdict), redact), indent=2) + "\n")
    if as_json:
        click.echo(json.dumps(redacted(verdict.asdict(), redact), indent=2))
    else:
        click.echo(redact(report(verdict, waivers_file)))
    if verdict.refused:
        raise SystemExit(errors.FOUND)
    if verdict.failed:
        raise SystemExit(errors.FAILED)
