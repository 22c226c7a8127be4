"""RDS's backups: manual snapshots, the automated ones, and the window that a restore can reach.

An automated backup is a row of its own, for it can outlive its cluster: the automated snapshots are
the bases, the archived write-ahead log what came after them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.aws import postgres
from sandbox.aws.account_state import AccountState
from sandbox.aws.operations import Parameters, Resource, members, operation
from sandbox.aws.resources import KINDS, Kind, now


def _view(account: AccountState, backup: Resource) -> Resource:
    cluster, bases = backup["_cluster"] or _cluster(account, backup), automated(account, backup["DbClusterResourceId"])
    shown = {name: cluster[name] for name in members("rds", "DBClusterAutomatedBackup") & cluster.keys()}
    window = {"EarliestTime": bases[0]["SnapshotCreateTime"], "LatestTime": backup.get("_until") or now()}
    return shown | backup | {"RestoreWindow": window}


BACKUPS = Kind(
    *("rds", "DBClusterAutomatedBackup", "DbClusterResourceId", "cluster-auto-backup", "DBClusterAutomatedBackup"),
    _view,
).register()
SNAPSHOTS = Kind(
    *("rds", "DBClusterSnapshot", "DBClusterSnapshotIdentifier", "cluster-snapshot", "DBClusterSnapshot")
).register()


def _cluster(account: AccountState, backup: Resource) -> Resource:
    clusters = KINDS["DBCluster"].table(account).values()
    return next(each for each in clusters if each["DbClusterResourceId"] == backup["DbClusterResourceId"])


def automated(account: AccountState, resource_id: str) -> list[Resource]:
    """A cluster's automated snapshots, oldest first."""
    rows = SNAPSHOTS.table(account).values()
    found = [r for r in rows if r["SnapshotType"] == "automated" and r["DbClusterResourceId"] == resource_id]
    return sorted(found, key=lambda row: str(row["SnapshotCreateTime"]))


def window(account: AccountState, cluster: Resource) -> Resource:
    """The members of a cluster that tell from when to when it can be restored; none before its first backup."""
    bases = automated(account, cluster["DbClusterResourceId"])
    return {"EarliestRestorableTime": bases[0]["SnapshotCreateTime"], "LatestRestorableTime": now()} if bases else {}


def snapshot(account: AccountState, cluster: Resource, p: Parameters, kind: str = "manual") -> Resource:
    """Copy a cluster's storage, and its row with it, because a restore needs all of it."""
    name = p["DBClusterSnapshotIdentifier"].lower()
    SNAPSHOTS.refuse_existing(account, name)
    postgres.save_copy(account, cluster, name)
    shown = {member: cluster[member] for member in members("rds", "DBClusterSnapshot") & cluster.keys()}
    inherited = cluster["TagList"] if cluster["CopyTagsToSnapshot"] else []
    computed = {
        "LicenseModel": "postgresql-license",
        "PercentProgress": 100,
        "SnapshotCreateTime": now(),
        "SnapshotType": kind,
        "Status": "available",
        "TagList": p.get("Tags") or inherited,
        "VpcId": KINDS["DBSubnetGroup"].get(account, cluster["DBSubnetGroup"])["VpcId"],
        "_cluster": cluster,
    }
    return SNAPSHOTS.create(account, p, **(shown | computed))


def back_up(account: AccountState, cluster: Resource) -> None:
    """Take an automated snapshot of a cluster that runs, and let go of those past its retention."""
    resource_id = cluster["DbClusterResourceId"]
    name = f"rds:{cluster['DBClusterIdentifier']}-{datetime.now(UTC):%Y-%m-%d-%H-%M}"
    if not cluster["DBClusterMembers"] or SNAPSHOTS.find(account, name):  # AWS's names tell minutes
        return
    snapshot(account, cluster, {"DBClusterSnapshotIdentifier": name}, "automated")
    if not BACKUPS.find(account, resource_id):
        told = {"DbClusterResourceId": resource_id, "Status": "active", "Region": cluster["AvailabilityZones"][0][:-1]}
        BACKUPS.create(account, told, **told, _cluster=None)
    kept_since = (datetime.now(UTC) - timedelta(days=cluster["BackupRetentionPeriod"])).isoformat()
    bases = automated(account, resource_id)
    # The newest one before that is the base of the window's first moment.
    past = [base for base in bases if base["SnapshotCreateTime"] < kept_since][:-1]
    for base in past:
        SNAPSHOTS.delete(account, base["DBClusterSnapshotIdentifier"])
    if past:
        postgres.prune_log(account, cluster, bases[len(past)]["DBClusterSnapshotIdentifier"])


def end(account: AccountState, cluster: Resource, *, keep: bool) -> None:
    """What deleting a cluster does to its automated backups: kept, they can still be restored."""
    backup = BACKUPS.find(account, cluster["DbClusterResourceId"])
    if backup and keep:
        postgres.archive_rest(account, cluster)
        backup |= {"Status": "retained", "_cluster": cluster, "_until": now()}
    elif backup:
        _delete(account, cluster["DbClusterResourceId"])


def _delete(account: AccountState, resource_id: str) -> Resource:
    for base in automated(account, resource_id):
        SNAPSHOTS.delete(account, base["DBClusterSnapshotIdentifier"])
    return BACKUPS.delete(account, resource_id)


def source(account: AccountState, p: Parameters) -> Resource:
    """The cluster that a point-in-time restore names, be it deleted."""
    if name := p.get("SourceDBClusterIdentifier"):
        return KINDS["DBCluster"].get(account, name)
    backup = BACKUPS.get(account, p["SourceDbClusterResourceId"])
    return backup["_cluster"] or _cluster(account, backup)


def base(account: AccountState, cluster: Resource, until: datetime | None) -> str:
    """The identifier of the automated snapshot that a restore to `until` (now, if None) begins with."""
    bases = automated(account, cluster["DbClusterResourceId"])
    before = [each for each in bases if until is None or datetime.fromisoformat(each["SnapshotCreateTime"]) <= until]
    return str(before[-1]["DBClusterSnapshotIdentifier"])


@operation("rds", "CreateDBClusterSnapshot")
def create_snapshot(account: AccountState, p: Parameters) -> dict[str, Any]:
    cluster = KINDS["DBCluster"].get(account, p["DBClusterIdentifier"])
    return {"DBClusterSnapshot": snapshot(account, cluster, p) | {"Status": "creating"}}


@operation("rds", "CopyDBClusterSnapshot")
def copy_snapshot(account: AccountState, p: Parameters) -> dict[str, Any]:
    original = SNAPSHOTS.get(account, p["SourceDBClusterSnapshotIdentifier"])
    name = p["TargetDBClusterSnapshotIdentifier"]
    SNAPSHOTS.refuse_existing(account, name)
    postgres.copy_copy(account, original["DBClusterSnapshotIdentifier"], name.lower())
    changed = {
        "SnapshotType": "manual",
        "SnapshotCreateTime": now(),
        "SourceDBClusterSnapshotArn": original["DBClusterSnapshotArn"],
        "TagList": p.get("Tags") or (original["TagList"] if p.get("CopyTags") else []),
        **{name: p[name] for name in ("KmsKeyId",) if name in p},
    }
    kept = {key: value for key, value in original.items() if key not in (SNAPSHOTS.id, "DBClusterSnapshotArn")}
    copy = SNAPSHOTS.create(account, {SNAPSHOTS.id: name}, **(kept | changed))
    return {"DBClusterSnapshot": copy | {"Status": "copying"}}


@operation("rds", "DeleteDBClusterSnapshot")
def delete_snapshot(account: AccountState, p: Parameters) -> dict[str, Any]:
    return {"DBClusterSnapshot": SNAPSHOTS.delete(account, p["DBClusterSnapshotIdentifier"])}


@operation("rds", "DeleteDBClusterAutomatedBackup")
def delete_backup(account: AccountState, p: Parameters) -> dict[str, Any]:
    backup = _view(account, BACKUPS.get(account, p["DbClusterResourceId"]))
    _delete(account, backup["DbClusterResourceId"])
    return {"DBClusterAutomatedBackup": backup | {"Status": "deleting"}}
