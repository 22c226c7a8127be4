"""`backups`: every recovery point of both stores, and where they fall short of the policy's floor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType

from ops.described import described, first_node
from ops.errors import FoundError
from ops.options import pass_stack, with_json
from ops.recovery_points import RecoveryPoint, Window, recovery_points, window_of
from ops.stack import DATABASE, STORES, Generation, Stack
from ops.terminal import between, moment, show, span, table

ENVIRONMENTS = Path(__file__).parent.parent / "policies" / "environments"
FLOOR_RULES = {"database": "aurora-backup-retention", "redis": "redis-snapshot-retention"}

# A daily backup starts anywhere in its window and takes a while: two are never this far apart unless one failed.
LONGEST_BETWEEN = timedelta(hours=26)
# Aurora User Guide, "Continuous backups": the latest restorable time is typically within five minutes.
LONGEST_BEHIND = timedelta(minutes=15)


@click.command()
@with_json
@pass_stack
def backups(stack: Stack, *, as_json: bool) -> None:
    """Every recovery point with age and expiry, and the gaps against the policy's floor.

    The floors are those of policies/environments/ENVIRONMENT.json. Exits 3 when a serving store falls short.
    """
    now = datetime.now(UTC)
    stores: list[dict[str, Any]] = []
    points: list[RecoveryPoint] = []
    notes: list[str] = []
    for store in STORES:
        found = recovery_points(stack, store, notes)
        points += found
        days = floor(stack.environment, store)
        stores += [_coverage(generation, found, days, now) for generation in stack.generations(store)]
    document = {
        "stack": stack.name,
        "environment": stack.environment,
        "stores": stores,
        "points": [as_document(point, now) for point in points],
        "notes": notes,
    }
    show(document, _tables(document), as_json=as_json)
    if short := [gap for each in stores if each["serving"] for gap in each["gaps"]]:
        raise FoundError("; ".join(short))


def floor(environment: str, store: str) -> int:
    """Days of backups that the environment's policy asks for."""
    configured = json.loads((ENVIRONMENTS / f"{environment}.json").read_text())
    return int(configured[FLOOR_RULES[store]]["floor"])


def as_document(point: RecoveryPoint, now: datetime) -> dict[str, Any]:
    return {
        "store": point.store,
        "generation": point.generation,
        "source": point.source,
        "name": point.name,
        "kind": point.kind,
        "vault": point.vault,
        "state": point.state,
        "takenAt": moment(point.taken_at),
        "age": span(now - point.taken_at) if point.taken_at else None,
        "expiresAt": moment(point.expires_at),
        "engineVersion": point.engine_version,
    }


def points_table(title: str, points: Sequence[dict[str, Any]]) -> RenderableType:
    return table(
        title,
        ("store", "generation", "name", "kind", "state", "taken", "age", "expires", "engine"),
        (
            (
                each["store"],
                each["generation"],
                each["name"],
                f"{each['kind']} in {each['vault']}" if each["vault"] else each["kind"],
                each["state"],
                each["takenAt"],
                each["age"],
                each["expiresAt"] or "never",
                each["engineVersion"],
            )
            for each in points
        ),
    )


def _coverage(
    generation: Generation, points: Sequence[RecoveryPoint], floor_days: int, now: datetime
) -> dict[str, Any]:
    found = described(generation)
    covered = {
        "store": generation.store,
        "generation": generation.key,
        "serving": generation.serving,
        "identifier": generation.identifier,
        "retentionDays": None,
        "floorDays": floor_days,
        "restorable": None,
        "gaps": [f"{generation.identifier} is missing in AWS"],
    }
    if found is None:
        return covered
    window: Window | None = None
    if generation.store == DATABASE:
        retention, created, window = found["BackupRetentionPeriod"], found["ClusterCreateTime"], window_of(found)
    else:
        retention = found["SnapshotRetentionLimit"]
        created = first_node(generation, found)["CacheClusterCreateTime"]
    taken = [each.taken_at for each in points if each.source == generation.identifier and each.usable and each.taken_at]
    missing = gaps(
        continuous=generation.store == DATABASE,
        retention_days=retention,
        floor_days=floor_days,
        created_at=created,
        taken_at=taken,
        window=window,
        now=now,
    )
    return covered | {
        "retentionDays": retention,
        "restorable": {"from": moment(window.earliest), "to": moment(window.latest)} if window else None,
        "gaps": [f"{generation.identifier} {gap}" for gap in missing],
    }


def gaps(
    *,
    continuous: bool,
    retention_days: int,
    floor_days: int,
    created_at: datetime,
    taken_at: Sequence[datetime],
    window: Window | None,
    now: datetime,
) -> Iterator[str]:
    """What is missing between now and the floor, or the store's birth if it is younger."""
    if retention_days < floor_days:
        yield f"keeps backups for {retention_days} days; the policy's floor is {floor_days}"
    since = max(created_at, now - timedelta(days=floor_days))
    if continuous:
        if window is None:
            yield "cannot be restored to any moment: AWS gives no restorable window"
            return
        if window.earliest > since + LONGEST_BETWEEN:
            reach = f"the floor reaches to {moment(since)}"
            yield f"cannot be restored to a moment before {moment(window.earliest)}; {reach}"
        if now - window.latest > LONGEST_BEHIND:
            yield f"cannot be restored to the last {span(now - window.latest)}"
        return
    covered = [since, *sorted(each for each in taken_at if each > since), now]
    for before, after in pairwise(covered):
        if after - before > LONGEST_BETWEEN:
            yield f"has no snapshot between {moment(before)} and {moment(after)} ({span(after - before)})"


def _tables(document: dict[str, Any]) -> Iterator[RenderableType]:
    yield table(
        f"Cover of stack {document['stack']} ({document['environment']})",
        ("store", "generation", "name", "kept", "floor", "restorable", "gaps"),
        (
            (
                each["store"],
                f"{each['generation']}{' (serves)' if each['serving'] else ''}",
                each["identifier"],
                f"{each['retentionDays']} days" if each["retentionDays"] is not None else None,
                f"{each['floorDays']} days",
                between(each["restorable"]) or ("snapshots only" if each["store"] != DATABASE else None),
                "; ".join(each["gaps"]) or "none",
            )
            for each in document["stores"]
        ),
    )
    yield points_table("\nRecovery points", document["points"])
    if document["notes"]:
        yield table("\nNot known", ("what",), [(note,) for note in document["notes"]])
