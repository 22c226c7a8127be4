"""AWS Backup, where moto stops: selections, plans that change and go, and recovery points of Aurora clusters.

A recovery point of a cluster is one of RDS's snapshots, called `awsbackup:job-…`; a job takes it at once.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.aws import rds_backups
from sandbox.aws.account_state import AccountState
from sandbox.aws.operations import AwsError, Parameters, operation
from sandbox.aws.resources import KINDS


def _found(those: dict[str, Any], name: str) -> Any:
    if name not in those:
        raise AwsError("ResourceNotFoundException", f"{name} cannot be found")
    return those[name]


def _plan(account: AccountState, p: Parameters) -> Any:
    plan = _found(account.moto("backup").plans, p["BackupPlanId"])
    plan.__dict__.setdefault("selections", {})
    return plan


@operation("backup", "UpdateBackupPlan")
def update_plan(account: AccountState, p: Parameters) -> dict[str, Any]:
    plan = _plan(account, p)
    after = type(plan)(p["BackupPlan"], plan.creator_request_id, account.moto("backup"))
    plan.backup_plan, plan.version_id = after.backup_plan, after.version_id
    return dict(plan.to_dict())


@operation("backup", "DeleteBackupPlan")
def delete_plan(account: AccountState, p: Parameters) -> dict[str, Any]:
    if _plan(account, p).selections:
        message = "Related backup plan selections must be deleted prior to backup plan deletion"
        raise AwsError("InvalidRequestException", message)
    return dict(account.moto("backup").plans.pop(p["BackupPlanId"]).to_dict())


@operation("backup", "CreateBackupSelection")
def create_selection(account: AccountState, p: Parameters) -> dict[str, Any]:
    made = {"SelectionId": str(uuid.uuid4()), "CreationDate": datetime.now(UTC), **p}
    _plan(account, p).selections[made["SelectionId"]] = made
    return made


@operation("backup", "GetBackupSelection")
def get_selection(account: AccountState, p: Parameters) -> dict[str, Any]:
    return dict(_found(_plan(account, p).selections, p["SelectionId"]))


@operation("backup", "DeleteBackupSelection")
def delete_selection(account: AccountState, p: Parameters) -> dict[str, Any]:
    del _plan(account, p).selections[get_selection(account, p)["SelectionId"]]
    return {}


@operation("backup", "StartBackupJob")
def start_job(account: AccountState, p: Parameters) -> dict[str, Any]:
    job = str(uuid.uuid4())
    _found(account.moto("backup").vaults, p["BackupVaultName"])
    with account.locks["rds"]:
        cluster = KINDS["DBCluster"].get(account, p["ResourceArn"])
        row = rds_backups.snapshot(account, cluster, {"DBClusterSnapshotIdentifier": f"awsbackup:job-{job}"})
        row["_point"] = {name: p.get(name) for name in ("BackupVaultName", "ResourceArn", "IamRoleArn", "Lifecycle")}
        account.save("rds")
    return {"BackupJobId": job, "RecoveryPointArn": row["DBClusterSnapshotArn"]}


@operation("backup", "ListRecoveryPointsByBackupVault")
@operation("backup", "ListRecoveryPointsByResource")
def list_points(account: AccountState, p: Parameters) -> dict[str, Any]:
    wanted = {
        "BackupVaultName": p.get("BackupVaultName"),
        "ResourceArn": p.get("ResourceArn") or p.get("ByResourceArn"),
    }
    found = []
    for row in list(KINDS["DBClusterSnapshot"].table(account).values()):  # rds may change meanwhile
        point, made = row.get("_point"), datetime.fromisoformat(row["SnapshotCreateTime"])
        if point and all(value in (None, point[name]) for name, value in wanted.items()):
            days = (point["Lifecycle"] or {}).get("DeleteAfterDays")
            ends = {"CalculatedLifecycle": {"DeleteAt": made + timedelta(days=days)}} if days else {}
            arn = {"RecoveryPointArn": row["DBClusterSnapshotArn"]}
            found.append(
                {**point, **arn, **ends, "CreationDate": made, "Status": "COMPLETED", "ResourceType": "Aurora"}
            )
    return {"RecoveryPoints": found}


@operation("backup", "DeleteRecoveryPoint")
def delete_point(account: AccountState, p: Parameters) -> dict[str, Any]:
    if _found(account.moto("backup").vaults, p["BackupVaultName"]).locked:
        raise AwsError("InvalidRequestException", "The recovery point is in a locked vault and cannot be deleted")
    with account.locks["rds"]:
        KINDS["DBClusterSnapshot"].delete(account, p["RecoveryPointArn"])
        account.save("rds")
    return {}
