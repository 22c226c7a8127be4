"""`python -m ops plan`: the commands of a pull request. None of them asks AWS, the cluster or Pulumi."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import click

from ops import errors
from ops.errors import OpsError
from ops.options import with_json
from ops.plan import check as gate
from ops.plan import policy_results, waivers
from ops.plan.comment import StackPlan
from ops.plan.comment import comment as composed
from ops.plan.digest import digest as digested
from ops.plan.preview import Preview, read
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


@plan.command()
@click.argument("previews", nargs=-1, required=True, metavar="[STACK=]PREVIEW...")
@with_waivers
@with_today
@click.option("--run", default="", help="The address of the job's log, linked from the comment.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the comment there instead of to stdout.")
@with_json
def comment(
    previews: tuple[str, ...],
    waivers_file: Path,
    today: datetime,
    run: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Write the comment for a pull request: of every stack, worst first.

    Beside prod.json it takes what stands there: prod.policies.json (`make --silent policy STACK=prod JSON=1`) and
    prod.stderr. A preview that failed, or that there is none of, is told of too. Exit code 0 whatever the verdict:
    `check` is the gate.
    """
    held: Sequence[waivers.Waiver] | str
    try:
        held = waivers.load(waivers_file, day(today))
    except OpsError as error:
        held = str(error)  # an older comment, of when they could be read, must not stay
    plans = [_stack_plan(each, held, day(today)) for each in previews]
    redact = redactor(value for each in plans for value in (known_to(each.preview or Preview([]))))
    text = composed(plans, redact, run=run)
    if output:
        output.write_text(text)
    if as_json:
        verdicts = [each.verdict.asdict() if each.verdict else {"stack": each.name, "passed": False} for each in plans]
        click.echo(json.dumps(redacted({"comment": text, "stacks": verdicts}, redact), indent=2))
    elif not output:
        click.echo(text, nl=False)


def _stack_plan(given: str, held: Sequence[waivers.Waiver] | str, today: date) -> StackPlan:
    """`held` is why there are no waivers, where they cannot be read."""
    name, _, where = given.rpartition("=")
    path = Path(where)
    name = name or path.stem
    beside = path.with_suffix(".stderr")
    failure = beside.read_text(errors="replace") if beside.exists() else ""
    policies_file = path.with_suffix(".policies.json")
    policies = policy_results.read(policies_file) if policies_file.exists() else None
    try:
        seen = read(path)
    except OpsError as error:
        return StackPlan(name, failure=failure or str(error), policies=policies)
    if policies is None and seen.policies:
        policies = policy_results.of_events(seen.policies)
    if isinstance(held, str):
        return StackPlan(name, seen, None, "\n".join(filter(None, (held, failure))), policies)
    return StackPlan(name, seen, gate.check(seen, held, today), failure, policies)


@plan.command()
@preview_argument
@click.option("--expect", help="Compare with this one; exit 3 if the plan is another.")
@with_json
def digest(preview: Path, expect: str | None, as_json: bool) -> None:
    """Print the digest of what would be done, to hold an update to the plan that was reviewed."""
    found = digested(read(preview))
    if as_json:
        click.echo(json.dumps({"digest": found, "expected": expect, "same": expect in (None, found)}, indent=2))
    else:
        click.echo(found)
    if expect not in (None, found):
        raise errors.FoundError(
            f"the plan is not the one that was reviewed ({expect}): something changed in between, in the program, its "
            "inputs or the account. Look at the new preview and approve it anew"
        )
