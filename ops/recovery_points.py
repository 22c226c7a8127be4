"""Every point that a store can be brought back to: Aurora's window and snapshots, ElastiCache's snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ops.aws import client, pages
from ops.stack import DATABASE, REDIS, Generation, Stack

AUTOMATED, MANUAL, AWS_BACKUP = "automated", "manual", "aws-backup"


@dataclass(frozen=True)
class RecoveryPoint:
    store: str
    generation: str
    """Its key; `retired` where the stack no longer has the generation."""
    source: str
    """The physical name of the store it was taken of."""
    name: str
    kind: str
    state: str
    taken_at: datetime | None
    """None while it is being made."""
    expires_at: datetime | None
    """None: never by itself."""
    engine_version: str
    size_gib: float | None
    details: dict[str, Any]
    """AWS's whole answer, for whoever has to compare."""

    @property
    def usable(self) -> bool:
        return self.state == "available"


def recovery_points(stack: Stack, store: str) -> list[RecoveryPoint]:
    """Newest first, with those of generations that the stack no longer has."""
    found = _database_points(stack) if store == DATABASE else _redis_points(stack)
    return sorted(found, key=lambda each: (each.taken_at is None, each.taken_at or datetime.min), reverse=True)


def _generation_of(stack: Stack, store: str, source: str) -> str | None:
    """Key of the generation with that physical name, `retired` for one that was, None for another's store."""
    for each in stack.generations(store):
        if each.identifier == source:
            return each.key
    base = stack.base_name(store)
    return "retired" if source == base or source.startswith(f"{base}-") else None


def _database_points(stack: Stack) -> Iterator[RecoveryPoint]:
    clusters = {
        each["DBClusterIdentifier"]: each
        for each in pages(stack.region, "rds", "describe_db_clusters", "DBClusters")
        if _generation_of(stack, DATABASE, each["DBClusterIdentifier"])
    }
    for each in pages(stack.region, "rds", "describe_db_cluster_snapshots", "DBClusterSnapshots"):
        source = each["DBClusterIdentifier"]
        generation = _generation_of(stack, DATABASE, source)
        if generation is None:
            continue
        kind = AWS_BACKUP if each["SnapshotType"] == "awsbackup" else each["SnapshotType"]
        taken, kept = each.get("SnapshotCreateTime"), clusters.get(source, {}).get("BackupRetentionPeriod")
        yield RecoveryPoint(
            store=DATABASE,
            generation=generation,
            source=source,
            name=each["DBClusterSnapshotIdentifier"],
            kind=kind,
            state=each["Status"],
            taken_at=taken,
            expires_at=taken + timedelta(days=kept) if kind == AUTOMATED and taken and kept else None,
            engine_version=each["EngineVersion"],
            size_gib=each.get("AllocatedStorage"),
            details=each,
        )


def _redis_points(stack: Stack) -> Iterator[RecoveryPoint]:
    groups = stack.generations(REDIS)
    for each in pages(stack.region, "elasticache", "describe_snapshots", "Snapshots"):
        source = each.get("ReplicationGroupId") or each["CacheClusterId"].rpartition("-")[0]
        generation = _generation_of(stack, REDIS, source)
        if generation is None:
            continue
        kind = MANUAL if each["SnapshotSource"] == "manual" else AUTOMATED
        taken = min((node["SnapshotCreateTime"] for node in each["NodeSnapshots"]), default=None)
        kept = each.get("SnapshotRetentionLimit") if any(group.identifier == source for group in groups) else None
        yield RecoveryPoint(
            store=REDIS,
            generation=generation,
            source=source,
            name=each["SnapshotName"],
            kind=kind,
            state=each["SnapshotStatus"],
            taken_at=taken,
            expires_at=taken + timedelta(days=kept) if kind == AUTOMATED and taken and kept else None,
            engine_version=each["EngineVersion"],
            size_gib=None,
            details=each,
        )


@dataclass(frozen=True)
class Window:
    """The moments that a cluster can be restored to."""

    earliest: datetime
    latest: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.earliest <= moment <= self.latest


def restorable_window(generation: Generation) -> Window | None:
    """None for Redis, which has snapshots only, and for a cluster that AWS gives no window for."""
    if generation.store != DATABASE:
        return None
    (cluster,) = client("rds", generation.region).describe_db_clusters(DBClusterIdentifier=generation.identifier)[
        "DBClusters"
    ]
    return window_of(cluster)


def window_of(cluster: dict[str, Any]) -> Window | None:
    earliest, latest = cluster.get("EarliestRestorableTime"), cluster.get("LatestRestorableTime")
    return Window(earliest, latest) if earliest and latest else None
