"""Every point that a store can be brought back to.

Aurora's window, its snapshots wherever they are kept, what is retained of deleted clusters; ElastiCache's snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from ops.aws import client, code_of, if_allowed, pages
from ops.stack import DATABASE, REDIS, Stack

AUTOMATED, MANUAL = "automated", "manual"
# In a vault; the name begins so, whatever type RDS gives it.
AWS_BACKUP, AWS_BACKUP_PREFIX = "aws-backup", "awsbackup:"
# The automated backups of a cluster that was deleted: every moment up to its end, until they expire.
RETAINED = "retained"


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
    vault: str | None = None
    """AWS Backup's, where it is kept in one."""

    @property
    def usable(self) -> bool:
        return self.state == "available"


def recovery_points(stack: Stack, store: str, notes: list[str] | None = None) -> list[RecoveryPoint]:
    """Newest first, with those of generations that the stack no longer has. `notes` gets what AWS would not tell."""
    notes = [] if notes is None else notes
    if store == DATABASE:
        retained = _retained(stack, notes)
        found = [*_database_points(stack, retained, notes), *_retained_backups(stack, retained)]
    else:
        found = list(_redis_points(stack))
    return sorted(found, key=lambda each: (each.taken_at is None, each.taken_at or datetime.min), reverse=True)


def _generation_of(stack: Stack, store: str, source: str) -> str | None:
    """Key of the generation with that physical name, `retired` for one that was, None for another's store."""
    for each in stack.generations(store):
        if each.identifier == source:
            return each.key
    base = stack.base_name(store)
    return "retired" if source == base or source.startswith(f"{base}-") else None


def _database_points(stack: Stack, retained: list[dict[str, Any]], notes: list[str]) -> Iterator[RecoveryPoint]:
    snapshots = list(pages(stack.region, "rds", "describe_db_cluster_snapshots", "DBClusterSnapshots"))
    known = {each["DBClusterIdentifier"] for each in (*snapshots, *retained)}
    retired = [each for each in sorted(known) if _generation_of(stack, DATABASE, each) == "retired"]
    in_vaults = _in_vaults(stack, retired, notes)
    # RDS lists automated and manual ones; another type it tells of when asked by name.
    listed = {each["DBClusterSnapshotArn"] for each in snapshots}
    snapshots += [each for arn in in_vaults if arn not in listed and (each := _by_arn(stack, arn))]
    # By the id that no later cluster of the same name has.
    retention = {
        each["DbClusterResourceId"]: each["BackupRetentionPeriod"]
        for each in (*retained, *pages(stack.region, "rds", "describe_db_clusters", "DBClusters"))
        if _generation_of(stack, DATABASE, each["DBClusterIdentifier"])
    }
    for each in snapshots:
        source = each["DBClusterIdentifier"]
        generation = _generation_of(stack, DATABASE, source)
        if generation is None:
            continue
        name, point = each["DBClusterSnapshotIdentifier"], in_vaults.get(each["DBClusterSnapshotArn"], {})
        kind = AWS_BACKUP if point or name.startswith(AWS_BACKUP_PREFIX) else each["SnapshotType"]
        taken, kept = each.get("SnapshotCreateTime"), retention.get(each["DbClusterResourceId"])
        yield RecoveryPoint(
            store=DATABASE,
            generation=generation,
            source=source,
            name=name,
            kind=kind,
            state=each["Status"],
            taken_at=taken,
            expires_at=taken + timedelta(days=kept)
            if kind == AUTOMATED and taken and kept
            else (point.get("CalculatedLifecycle") or {}).get("DeleteAt"),
            engine_version=each["EngineVersion"],
            size_gib=each.get("AllocatedStorage"),
            details=each,
            vault=point.get("BackupVaultName"),
        )


def _by_arn(stack: Stack, arn: str) -> dict[str, Any] | None:
    try:
        answer = client("rds", stack.region).describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=arn)
    except ClientError as error:
        if code_of(error) != "DBClusterSnapshotNotFoundFault":
            raise
        return None
    return dict(answer["DBClusterSnapshots"][0])


def _in_vaults(stack: Stack, retired: Sequence[str], notes: list[str]) -> dict[str, dict[str, Any]]:
    """AWS Backup's recovery points of the stack's clusters, those that are gone too, by the snapshot's ARN.

    A continuous one is no snapshot: it is the cluster's own restorable window.
    """

    def ask(arn: str) -> dict[str, dict[str, Any]]:
        points = pages(stack.region, "backup", "list_recovery_points_by_resource", "RecoveryPoints", ResourceArn=arn)
        # Only a vault tells until when it keeps them.
        vaults = {each["BackupVaultName"] for each in points}
        return {
            each["RecoveryPointArn"]: each
            for vault in sorted(vaults)
            for each in pages(
                *(stack.region, "backup", "list_recovery_points_by_backup_vault", "RecoveryPoints"),
                BackupVaultName=vault,
                ByResourceArn=arn,
            )
            if ":cluster-snapshot:" in each["RecoveryPointArn"]
        }

    found: dict[str, dict[str, Any]] = {}
    arns = {each.identifier: each.arn for each in stack.generations(DATABASE)}
    gone = {name: f"{stack.generation(DATABASE).arn.rpartition(':')[0]}:{name}" for name in retired}
    for name, arn in {**gone, **arns}.items():
        found |= if_allowed(f"AWS Backup's recovery points of {name}", lambda arn=arn: ask(arn), notes) or {}  # type: ignore[misc]
    return found


def _retained(stack: Stack, notes: list[str]) -> list[dict[str, Any]]:
    """AWS's rows of the automated backups that outlived their cluster."""

    def ask() -> list[dict[str, Any]]:
        every = pages(stack.region, "rds", "describe_db_cluster_automated_backups", "DBClusterAutomatedBackups")
        return [each for each in every if each["Status"] == RETAINED]

    return if_allowed("automated backups of deleted clusters", ask, notes) or []


def _retained_backups(stack: Stack, retained: list[dict[str, Any]]) -> Iterator[RecoveryPoint]:
    for each in retained:
        generation = _generation_of(stack, DATABASE, each["DBClusterIdentifier"])
        if generation is None:
            continue
        until = each.get("RestoreWindow", {}).get("LatestTime")
        yield RecoveryPoint(
            store=DATABASE,
            generation="retired",
            source=each["DBClusterIdentifier"],
            name=each["DbClusterResourceId"],
            kind=RETAINED,
            state="available",
            taken_at=until,
            expires_at=until + timedelta(days=each["BackupRetentionPeriod"]) if until else None,
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
        # A snapshot that is being made has none yet.
        taken = min((when for node in each["NodeSnapshots"] if (when := node.get("SnapshotCreateTime"))), default=None)
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


def window_of(cluster: dict[str, Any]) -> Window | None:
    """None where AWS gives none. In whole seconds, as it is shown and a stack file takes it: each can be asked for."""
    earliest, latest = cluster.get("EarliestRestorableTime"), cluster.get("LatestRestorableTime")
    if earliest is None or latest is None:
        return None
    up = timedelta(seconds=1) if earliest.microsecond else timedelta()
    return Window(earliest.replace(microsecond=0) + up, latest.replace(microsecond=0))
