"""AWS Backup on the local stack: made, at rest, seen by the operators, and out of the way again. Told in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.sandbox.operator import Operator

VAULT = "local-backup-vault"
ROLE = "arn:aws:iam::123456789012:role/local-aws-backup-role"


@pytest.fixture(scope="module")
def planned(operator) -> Iterator[Operator]:
    before = operator.stack_file.read_text()
    backup(
        operator,
        enabled=True,
        selectionTags={"backup": "daily"},
        vaultLock={"mode": "governance", "minRetentionDays": 7},
        copyTo={"vaultArn": "arn:aws:backup:eu-central-1:123456789012:backup-vault:copies", "deleteAfter": 90},
    )
    operator.up()
    yield operator
    operator.stack_file.write_text(before)


def backup(operator: Operator, **changes: Any) -> None:
    operator.configure(lambda config: config.update(backup={**config.get("backup", {}), **changes}))


def outputs(operator: Operator) -> dict[str, Any]:
    return json.loads(operator.run("pulumi", "stack", "output", "--json"))


def plan(operator: Operator) -> dict[str, Any]:
    (found,) = operator.aws("backup", "list-backup-plans")["BackupPlansList"]
    return operator.aws("backup", "get-backup-plan", "--backup-plan-id", found["BackupPlanId"])["BackupPlan"]


def test_the_plan_stands_as_configured_and_a_second_update_has_nothing_to_do(planned):
    planned.pulumi("preview", "--refresh", "--expect-no-changes")
    vault = planned.aws("backup", "describe-backup-vault", "--backup-vault-name", VAULT)
    assert outputs(planned)["aws_backup_vault_arn"] == vault["BackupVaultArn"]
    assert (vault["Locked"], vault["MinRetentionDays"]) == (True, 7)
    (rule,) = plan(planned)["Rules"]
    assert (rule["ScheduleExpression"], rule["Lifecycle"]) == ("cron(0 3 * * ? *)", {"DeleteAfterDays": 35})
    assert rule["CopyActions"][0]["Lifecycle"] == {"DeleteAfterDays": 90}
    selections = {
        each["inputs"]["name"]: each["inputs"]
        for each in planned.resources()
        if each["type"] == "aws:backup/selection:Selection"
    }
    cluster = outputs(planned)["stores"]["database"]["generations"]["main"]["arn"]
    assert selections["local-backup-selection"]["resources"] == [cluster]
    assert selections["local-backup-selection-by-tag"]["selectionTags"][0]["key"] == "backup"


def test_a_changed_plan_is_changed_in_place(planned):
    before = planned.aws("backup", "list-backup-plans")["BackupPlansList"][0]["BackupPlanId"]
    backup(planned, deleteAfter=40, startWindow=120)
    planned.up()
    assert planned.aws("backup", "list-backup-plans")["BackupPlansList"][0]["BackupPlanId"] == before
    (rule,) = plan(planned)["Rules"]
    assert (rule["Lifecycle"], rule["StartWindowMinutes"]) == ({"DeleteAfterDays": 40}, 120)
    planned.pulumi("preview", "--expect-no-changes")


def test_the_operators_see_what_is_in_the_vault_and_until_when(planned):
    cluster = outputs(planned)["stores"]["database"]["generations"]["main"]["arn"]
    started = planned.aws(
        *("backup", "start-backup-job", "--backup-vault-name", VAULT, "--resource-arn", cluster),
        *("--iam-role-arn", ROLE, "--lifecycle", "DeleteAfterDays=40"),
    )
    document = planned.ops_json("backups")
    (point,) = [each for each in document["points"] if each["kind"] == "aws-backup"]
    assert started["RecoveryPointArn"].endswith(f":cluster-snapshot:{point['name']}")
    assert (point["vault"], point["generation"], point["state"]) == (VAULT, "main", "available")
    assert point["expiresAt"] > point["takenAt"]
    assert document["notes"] == []
    assert f"aws-backup in {VAULT}" in planned.ops("backups").stdout
    assert planned.ops_json("status")["stores"][0]["lastBackup"]["name"] == point["name"]
    refused = planned.ops("snapshot", "delete", point["name"], "--confirm", "local-postgres", code=1).stderr
    assert "is aws-backup: AWS deletes it itself" in refused
    plan_of = planned.ops_json("restore", "plan", "database", "--snapshot", point["name"])
    assert plan_of["entry"] == {"restore": {"snapshot": point["name"]}}


def test_continuous_mode_and_the_cluster_do_not_fight(planned):
    """What AWS Backup does to the cluster when its job runs is no difference, before or after a refresh."""
    backup(planned, enableContinuousBackup=True, deleteAfter=14)
    said = planned.up(check=False)
    assert "backup.deleteAfter: received 14. Allowed: database.backupRetentionPeriod (7)" in said
    planned.configure(lambda config: config.setdefault("database", {}).update(backupRetentionPeriod=14))
    planned.up()
    cluster = "local-postgres"
    planned.aws(
        *("rds", "modify-db-cluster", "--db-cluster-identifier", cluster, "--apply-immediately"),
        *("--backup-retention-period", "14", "--preferred-backup-window", "01:10-01:40"),
    )
    planned.pulumi("preview", "--expect-no-changes")
    planned.pulumi("preview", "--refresh", "--expect-no-changes")
    planned.up("--refresh")
    (found,) = planned.aws("rds", "describe-db-clusters", "--db-cluster-identifier", cluster)["DBClusters"]
    assert (found["BackupRetentionPeriod"], found["PreferredBackupWindow"]) == (14, "01:10-01:40")


def test_a_vault_goes_only_on_purpose_and_only_when_it_is_empty(planned):
    planned.configure(lambda config: config.update(backup={"enabled": False}))
    assert "cannot be deleted" in planned.up(check=False)
    planned.run("pulumi", "state", "unprotect", "--yes", planned.urn("aws:backup/vault:Vault"))
    assert "because it contains recovery points" in planned.up(check=False)
    for point in planned.ops_json("backups")["points"]:
        if point["kind"] == "aws-backup":
            arn = f"arn:aws:rds:eu-west-1:123456789012:cluster-snapshot:{point['name']}"
            planned.run(
                *("aws", "backup", "delete-recovery-point"),
                *("--backup-vault-name", VAULT, "--recovery-point-arn", arn),
            )
    planned.configure(lambda config: config["database"].pop("backupRetentionPeriod"))
    planned.configure(
        lambda config: config.update(
            acknowledged=[{"change": "database.backupRetentionPeriod", "until": today(), "reason": "a test"}]
        )
    )
    planned.up()
    planned.pulumi("preview", "--expect-no-changes")
    assert planned.aws("backup", "list-backup-vaults")["BackupVaultList"] == []
    assert "aws_backup_vault_arn" not in outputs(planned) or outputs(planned)["aws_backup_vault_arn"] is None


def today() -> str:
    return datetime.now(UTC).date().isoformat()
