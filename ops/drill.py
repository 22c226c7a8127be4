"""`drill`: a whole restore on a generation of its own, timed, verified and taken down again.

It goes the way of a real one (the stack file, `pulumi up`, the Job in the cluster), but touches only its own
generation: updates are targeted, and the stack file ends as it began. Fit for a schedule.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from ops.aws import client
from ops.errors import FoundError, OpsError
from ops.options import pass_stack, with_json
from ops.recovery_points import recovery_points, restorable_window
from ops.restore import make_plan
from ops.stack import DATABASE, STORES, Generation, Stack
from ops.stack_file import StackFile
from ops.terminal import say, show, span, table
from ops.verify import compare

KEY = "drill"
NAMESPACE = "Meetinity/Data"


@click.command()
@click.argument("stores", nargs=-1, type=click.Choice(STORES), metavar="[database] [redis]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Also write the JSON here.")
@click.option("--no-metrics", is_flag=True, help="Do not write to CloudWatch.")
@with_json
@pass_stack
def drill(
    stack: Stack, stores: tuple[str, ...], report: Path | None, *, yes: bool, no_metrics: bool, as_json: bool
) -> None:
    """Restore each store's newest point into a temporary generation, verify it, and take it down again.

    Ends in the measured recovery time and recovery point. Exits 3 when a restored store falls short.
    """
    if report and not report.parent.is_dir():
        raise OpsError(f"--report {report}: there is no directory {report.parent}")
    if not yes:
        click.confirm(f"Restore and delete a temporary generation in stack {stack.name}?", abort=True, err=True)
    with _alone(stack):
        results = [_drill(stack, store, metrics=not no_metrics) for store in dict.fromkeys(stores or STORES)]
    document = {"stack": stack.name, "environment": stack.environment, "drills": results}
    if report:
        report.write_text(json.dumps(document, indent=2) + "\n")
    rows = [
        (
            each["store"],
            each["outcome"],
            span(timedelta(seconds=each["recoveryTimeSeconds"])),
            span(timedelta(seconds=each["recoveryPointSeconds"])),
            "; ".join(each["wrong"]) or "none",
        )
        for each in results
    ]
    columns = ("store", "outcome", "recovery time", "recovery point", "differences")
    show(document, [table(f"Drill of stack {stack.name}", columns, rows)], as_json=as_json)
    if wrong := [f"{each['store']}: {'; '.join(each['wrong'])}" for each in results if each["wrong"]]:
        raise FoundError(f"the drill restored something else than the source has: {' '.join(wrong)}")


@contextlib.contextmanager
def _alone(stack: Stack) -> Iterator[None]:
    """One drill of a checkout at a time: the second would take the first one's generation for remains.

    The lock is on the directory: it leaves no file, and the kernel takes it back from whoever ends.
    """
    directory = os.open(StackFile(stack).path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise OpsError("another drill of this checkout is at work: wait for it to end") from None
    finally:
        os.close(directory)


def _drill(stack: Stack, store: str, *, metrics: bool) -> dict[str, Any]:
    """Raises OpsError when the restore fails; the temporary generation is then taken down as well."""
    _take_down(stack, store)  # what a drill that was killed left behind
    stack = stack.again()
    source = stack.generation(store)
    made = make_plan(stack, store=store, latest=True, key=KEY)
    started, clock = datetime.now(UTC), time.monotonic()
    behind = started - _newest_point(stack, source)
    outcome, wrong = "failed", ["it did not come up"]
    file = StackFile(stack)
    # Unprotected from the beginning: it is made to be deleted.
    standing = [each.key for each in stack.generations(store)]
    file.add_generation(store, KEY, {**made.entry, "retiring": True}, standing)
    file.write()
    try:
        _up(stack, store)
        restored = stack.again().generation(store, KEY)
        wrong = compare(stack.again(), restored, source).wrong(exact=False)
        outcome = "restored" if not wrong else "differs"
    finally:
        took = time.monotonic() - clock
        try:
            if metrics:
                _write_metrics(stack, store, took, behind.total_seconds(), succeeded=outcome == "restored")
        finally:
            file.undo()
            _take_down(stack.again(), store)
    return {
        "store": store,
        "outcome": outcome,
        "startedAt": started.isoformat(timespec="seconds"),
        "from": made.point,
        "recoveryTimeSeconds": round(took, 1),
        "recoveryPointSeconds": round(behind.total_seconds(), 1),
        "wrong": wrong,
    }


def _newest_point(stack: Stack, source: Generation) -> datetime:
    """How far the restore can go: what was written later would be lost."""
    if source.store == DATABASE:
        window = restorable_window(source)
        if window is not None:
            return window.latest
    taken = [each.taken_at for each in recovery_points(stack, source.store) if each.source == source.identifier]
    return max(each for each in taken if each is not None)


def _up(stack: Stack, store: str) -> None:
    """Only what belongs to the drill: nothing else that waits in the stack file is deployed by it."""
    say(f"pulumi up of the temporary {store} generation")
    try:
        stack.pulumi("up", "--yes", "--skip-preview", "--non-interactive", "--target", f"**::{store}-{KEY}*")
    except OpsError as error:
        advice = "`pulumi up` by hand says more; run the drill again to take its remains down"
        raise OpsError(f"{error}. {advice}") from error


def _take_down(stack: Stack, store: str) -> None:
    """Out of the stack file, out of AWS, and its final snapshot with it; nothing to do is fine."""
    file = StackFile(stack)
    deployed = any(f"::{store}-{KEY}" in each["urn"] for each in stack.resources)
    if KEY in file.generations(store):
        file.remove_generation(store, KEY, [])
        file.write()
    if not deployed:
        return
    identifier = f"{stack.base_name(store)}-{KEY}"
    try:
        _up(stack, store)
    except OpsError:
        # What was imported after a kill has no dependencies in the state, so its cluster may go before its instances,
        # and is refused. These are gone now.
        _up(stack, store)
    if store == DATABASE:
        _delete_automated_backups(stack, identifier)
    for point in recovery_points(stack, store):
        if point.name.startswith(f"{identifier}-final-"):
            with contextlib.suppress(OpsError):
                _delete_snapshot(stack, store, point.name)


def _delete_automated_backups(stack: Stack, identifier: str) -> None:
    """Deleting a cluster keeps them, on purpose; of a drill nobody wants them."""
    rds = client("rds", stack.region)
    backups = rds.describe_db_cluster_automated_backups(DBClusterIdentifier=identifier)["DBClusterAutomatedBackups"]
    for each in backups:
        rds.delete_db_cluster_automated_backup(DbClusterResourceId=each["DbClusterResourceId"])


def _delete_snapshot(stack: Stack, store: str, name: str) -> None:
    if store == DATABASE:
        client("rds", stack.region).delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    else:
        client("elasticache", stack.region).delete_snapshot(SnapshotName=name)


def _write_metrics(stack: Stack, store: str, took: float, behind: float, *, succeeded: bool) -> None:
    dimensions = [{"Name": "Environment", "Value": stack.environment}, {"Name": "Store", "Value": store}]
    figures = (
        ("DrillRecoveryTime", took, "Seconds"),
        ("DrillRecoveryPoint", behind, "Seconds"),
        ("DrillSucceeded", float(succeeded), "Count"),
    )
    client("cloudwatch", stack.region).put_metric_data(
        Namespace=NAMESPACE,
        MetricData=[
            {"MetricName": name, "Value": value, "Unit": unit, "Dimensions": dimensions}
            for name, value, unit in figures
        ],
    )
