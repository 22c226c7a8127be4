"""`drill`: a whole restore on a generation of its own, timed, verified and taken down again.

It goes the way of a real one (the stack file, `pulumi up`, the Job in the cluster), but touches only its own
generation: updates are targeted, and the stack file ends as it began. Fit for a schedule.
"""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError

from ops.aws import client, code_of, explained
from ops.described import described
from ops.errors import FoundError, OpsError, StoppedWaitingError
from ops.options import pass_stack, with_json
from ops.recovery_points import recovery_points, window_of
from ops.restore import DRILL, is_protected, make_plan
from ops.stack import DATABASE, MAIN, STORES, Generation, Stack
from ops.stack_file import StackFile
from ops.terminal import say, show, span, table
from ops.verify import compare

FAILED = "failed"
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
    if report and report.is_dir():
        raise OpsError(f"--report {report} is a directory: name a file")
    if report and not report.parent.is_dir():
        raise OpsError(f"--report {report}: there is no directory {report.parent}")
    if not yes:
        click.confirm(f"Restore and delete a temporary generation in stack {stack.name}?", abort=True, err=True)
    try:
        with _alone(stack):
            results = [_attempt(stack, store) for store in dict.fromkeys(stores or STORES)]
    except (KeyboardInterrupt, StoppedWaitingError):
        raise StoppedWaitingError("the drill was interrupted: the next one takes down what is left of it") from None
    document = {"stack": stack.name, "environment": stack.environment, "drills": results}
    rows = [
        (
            each["store"],
            each["outcome"],
            *(_span(each[figure]) for figure in ("recoveryTimeSeconds", "recoveryPointSeconds")),
            "see below" if each["outcome"] == FAILED else "; ".join(each["wrong"]) or "none",
        )
        for each in results
    ]
    columns = ("store", "outcome", "recovery time", "recovery point", "differences")
    show(document, [table(f"Drill of stack {stack.name}", columns, rows)], as_json=as_json)
    if report:
        report.write_text(json.dumps(document, indent=2) + "\n")
    if not no_metrics:
        for each in results:
            _write_metrics(stack, each)
    if failed := [f"{each['store']}: {'; '.join(each['wrong'])}" for each in results if each["outcome"] == FAILED]:
        raise OpsError(f"the drill failed: {' '.join(failed)}")
    if wrong := [f"{each['store']}: {'; '.join(each['wrong'])}" for each in results if each["wrong"]]:
        raise FoundError(f"the drill restored something else than the source has: {' '.join(wrong)}")


def _span(seconds: float | None) -> str | None:
    return None if seconds is None else span(timedelta(seconds=seconds))


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


def _attempt(stack: Stack, store: str) -> dict[str, Any]:
    """The drill of one store; one that fails is a result like any other, so that the next is drilled, too."""
    result = {
        "store": store,
        "outcome": FAILED,
        "startedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "from": None,
        "recoveryTimeSeconds": None,
        "recoveryPointSeconds": None,
    }
    try:
        with explained():
            return result | _drill(stack, store)
    except StoppedWaitingError:
        raise
    except OpsError as error:
        return {**result, "wrong": [str(error)]}


def _drill(stack: Stack, store: str) -> dict[str, Any]:
    """Raises OpsError when the restore fails; the temporary generation is then taken down as well."""
    _check_deployed(stack)
    _take_down(stack, store)  # what a drill that was killed left behind
    stack = stack.again()
    source = stack.generation(store)
    made = make_plan(stack, store=store, latest=True, drill=True)
    started, clock = datetime.now(UTC), time.monotonic()
    behind = started - _newest_point(stack, source)
    file = StackFile(stack)
    # Unprotected from the beginning: it is made to be deleted.
    standing = [each.key for each in stack.generations(store)]
    file.add_generation(store, DRILL, {**made.entry, "retiring": True}, standing)
    file.write()
    interrupted = False
    try:
        _up(stack, store, *_names(store))
        restored = stack.again().generation(store, DRILL)
        wrong = compare(stack.again(), restored, source).wrong(exact=False)
        took = time.monotonic() - clock
    except (KeyboardInterrupt, StoppedWaitingError):
        interrupted = True
        raise
    finally:
        file.undo()
        try:
            _take_down(stack.again(), store)
        except (OpsError, ClientError) as error:
            if not interrupted:
                raise
            say(str(error))  # or the next store's drill would begin
    return {
        "outcome": "differs" if wrong else "restored",
        "from": made.point,
        "recoveryTimeSeconds": round(took, 1),
        "recoveryPointSeconds": round(behind.total_seconds(), 1),
        "wrong": wrong,
    }


def _check_deployed(stack: Stack) -> None:
    """Raises OpsError where the stack file is ahead: a targeted update publishes the outputs of every store."""
    file = StackFile(stack)
    for store in STORES:
        standing = {each.key: each.serving for each in stack.generations(store) if each.key != DRILL}
        written = {*file.generations(store)} - {DRILL} or {MAIN}
        if written != {*standing} or not standing.get(file.serving(store) or MAIN):
            raise OpsError(f"{file.path.name} has changes of {store} that are not deployed: run `pulumi up` first")


def _newest_point(stack: Stack, source: Generation) -> datetime:
    """How far the restore can go: what was written later would be lost."""
    if source.store == DATABASE and (window := window_of(described(source) or {})) is not None:
        return window.latest
    points = recovery_points(stack, source.store)
    return max(each.taken_at for each in points if each.source == source.identifier and each.usable and each.taken_at)


def _names(store: str) -> Sequence[str]:
    """What the resources of a drill are called."""
    return (f"{store}-{DRILL}", f"{store}-{DRILL}-*")


def _up(stack: Stack, store: str, *names: str) -> None:
    """Only what belongs to the drill: nothing else that waits in the stack file is deployed by it."""
    doing = f"pulumi up of the temporary {store} generation"
    say(doing)
    targets = [f"--target=**::{each}" for each in names]
    try:
        stack.pulumi("up", "--yes", "--skip-preview", "--non-interactive", *targets, doing=doing)
    except OpsError as error:
        advice = "`pulumi up` by hand says more; run the drill again to take its remains down"
        raise OpsError(f"{error}. {advice}") from error


def _take_down(stack: Stack, store: str) -> None:
    """Out of the stack file, out of AWS, and its final snapshot with it; nothing to do is fine.

    Raises OpsError for a generation of that name that no drill made.
    """
    file = StackFile(stack)
    _check_made_by_a_drill(stack, file, store)
    if DRILL in file.generations(store):
        file.remove_generation(store, DRILL, [])
        file.write()
    names = [each["urn"].rpartition("::")[2] for each in stack.resources]
    everything = _names(store)
    identifier = stack.store_name(store, DRILL)
    if any(fnmatch.filter(names, each) for each in everything):
        try:
            _up(stack, store, *everything)
        except OpsError:
            # What was imported after a kill has no dependencies in the state, so Pulumi deletes it in an order that AWS
            # refuses: a cluster before its instances. The right one:
            for part in ("instance-[0-9]*", "cluster", "replication-group"):
                if found := fnmatch.filter(names, f"{store}-{DRILL}-{part}"):
                    _up(stack, store, *found)
            _up(stack, store, *everything)
    # Also of a drill that was killed between that and this.
    if store == DATABASE:
        _delete_automated_backups(stack, identifier)
    for point in recovery_points(stack, store):
        if point.name.startswith(f"{identifier}-final-"):
            _delete_snapshot(stack, store, point.name)


def _check_made_by_a_drill(stack: Stack, file: StackFile, store: str) -> None:
    """A drill's never serves and was never protected; what else has its name holds somebody's data."""
    written = file.generations(store)
    somebodys = DRILL in written and not (written[DRILL] or {}).get("retiring")
    somebodys = somebodys or file.serving(store) == DRILL
    for each in stack.generations(store):
        if each.key == DRILL:
            somebodys = somebodys or each.serving or is_protected(stack, each)
    if somebodys:
        raise OpsError(
            f"generation {DRILL} of {store} was not made by a drill, which would delete it: restore it under another "
            "name, promote that if it serves, and retire this one"
        )


def _delete_automated_backups(stack: Stack, identifier: str) -> None:
    """Deleting a cluster keeps them, on purpose; of a drill nobody wants them."""
    rds = client("rds", stack.region)
    try:
        backups = rds.describe_db_cluster_automated_backups(DBClusterIdentifier=identifier)["DBClusterAutomatedBackups"]
    except ClientError as error:
        if code_of(error) != "DBClusterAutomatedBackupNotFoundFault":
            raise
        return
    for each in backups:
        rds.delete_db_cluster_automated_backup(DbClusterResourceId=each["DbClusterResourceId"])


def _delete_snapshot(stack: Stack, store: str, name: str) -> None:
    try:
        if store == DATABASE:
            client("rds", stack.region).delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
        else:
            client("elasticache", stack.region).delete_snapshot(SnapshotName=name)
    except ClientError as error:
        # The restore was drilled all the same; a snapshot that stays costs, so it is told.
        say(f"snapshot {name} stays ({code_of(error)}): python -m ops snapshot delete {name}")


def _write_metrics(stack: Stack, result: Mapping[str, Any]) -> None:
    """One that failed has no times: only that it did not succeed."""
    dimensions = [
        {"Name": "Environment", "Value": stack.environment},
        {"Name": "Store", "Value": result["store"]},
    ]
    figures = (
        ("DrillRecoveryTime", result["recoveryTimeSeconds"], "Seconds"),
        ("DrillRecoveryPoint", result["recoveryPointSeconds"], "Seconds"),
        ("DrillSucceeded", float(result["outcome"] == "restored"), "Count"),
    )
    client("cloudwatch", stack.region).put_metric_data(
        Namespace=NAMESPACE,
        MetricData=[
            {"MetricName": name, "Value": value, "Unit": unit, "Dimensions": dimensions}
            for name, value, unit in figures
            if value is not None
        ],
    )
