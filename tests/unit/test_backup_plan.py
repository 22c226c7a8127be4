from __future__ import annotations

import json
from typing import Any

import pytest

from components.aurora import AuroraCluster
from components.backup_plan import BackupPlan, BackupPlanArgs, CopyAction, VaultLock
from tests.unit.recording import Recording, record
from tests.unit.test_aurora import args as aurora_args
from tests.unit.test_program import run

CLUSTER = "arn:aws:rds:eu-west-1:123456789012:cluster:dev-postgres"
VAULT = "arn:aws:backup:eu-central-1:123456789012:backup-vault:copies"
VAULTS, PLANS = "aws:backup/vault:Vault", "aws:backup/plan:Plan"
SELECTIONS, LOCKS = "aws:backup/selection:Selection", "aws:backup/vaultLockConfiguration:VaultLockConfiguration"


def plan(**changes: Any) -> Recording:
    args = {
        "vault_name": "dev-vault",
        "plan_name": "dev-daily",
        "role_name": "dev-role",
        "selection_name": "dev-selection",
        "resource_arns": [CLUSTER],
        "tags": {"Environment": "dev", "Project": "meetinity"},
        **changes,
    }
    return record(lambda: BackupPlan("backup", BackupPlanArgs(**args)) and None)


def rule(recording: Recording) -> dict[str, Any]:
    (found,) = recording.one(PLANS).inputs["rules"]
    return found


def test_the_plan_is_registered_with_exactly_these_inputs():
    recording = plan()
    tags = {"Environment": "dev", "Project": "meetinity"}
    assert recording.one(VAULTS).inputs == {"name": "dev-vault", "tags": {**tags, "Name": "dev-vault"}}
    assert recording.one(VAULTS).protect is True
    assert recording.one(PLANS).inputs == {
        "name": "dev-daily",
        "rules": [
            {
                "ruleName": "dev-daily-rule",
                "targetVaultName": "dev-vault",
                "schedule": "cron(0 3 * * ? *)",
                "startWindow": 60,
                "completionWindow": 360,
                "enableContinuousBackup": False,
                "lifecycle": {"deleteAfter": 35},
            }
        ],
        "tags": {**tags, "Name": "dev-daily"},
    }
    assert recording.one(SELECTIONS).inputs == {
        "name": "dev-selection",
        "planId": "backup-plan-id",
        "iamRoleArn": "arn:aws:iam::123456789012:role/dev-role",
        "resources": [CLUSTER],
    }
    assert recording.all(LOCKS) == []


def test_the_role_is_aws_backups_and_may_back_up_and_restore_before_anything_is_selected():
    recording = plan()
    trust = json.loads(recording.one("aws:iam/role:Role").inputs["assumeRolePolicy"])
    assert trust["Statement"][0]["Principal"] == {"Service": "backup.amazonaws.com"}
    rights = recording.all("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert [each.inputs["policyArn"].rpartition("/")[2] for each in rights] == [
        "AWSBackupServiceRolePolicyForBackup",
        "AWSBackupServiceRolePolicyForRestores",
    ]
    waits_for = {urn.rpartition("::")[2] for urn in recording.one(SELECTIONS).depends_on}
    assert {each.name for each in rights} <= waits_for


def test_what_is_chosen_by_tag_is_a_selection_of_its_own():
    recording = plan(resource_arns=[], selection_tags={"backup": "daily", "a": "b"})
    assert recording.one(SELECTIONS).inputs["name"] == "dev-selection-by-tag"
    assert recording.one(SELECTIONS).inputs["selectionTags"] == [
        {"type": "STRINGEQUALS", "key": "a", "value": "b"},
        {"type": "STRINGEQUALS", "key": "backup", "value": "daily"},
    ]
    assert "resources" not in recording.one(SELECTIONS).inputs
    assert len(plan(selection_tags={"a": "b"}).all(SELECTIONS)) == 2


@pytest.mark.parametrize(
    ("changes", "path", "expected"),
    [
        ({"cold_storage_after": 30, "delete_after": 120}, "lifecycle", {"coldStorageAfter": 30, "deleteAfter": 120}),
        ({"enable_continuous_backup": True}, "enableContinuousBackup", True),
        (
            {"copy_to": CopyAction(vault_arn=VAULT, delete_after=90)},
            "copyActions",
            [{"destinationVaultArn": VAULT, "lifecycle": {"deleteAfter": 90}}],
        ),
    ],
)
def test_choices_of_the_rule(changes, path, expected):
    assert rule(plan(**changes))[path] == expected


def test_a_vault_is_locked_and_encrypted_as_asked():
    recording = plan(kms_key_id="arn:key", vault_lock=VaultLock(changeable_for_days=3, min_retention_days=7))
    assert recording.one(VAULTS).inputs["kmsKeyArn"] == "arn:key"
    assert recording.one(LOCKS).inputs == {
        "backupVaultName": "dev-vault", "changeableForDays": 3, "minRetentionDays": 7,
    }  # fmt: skip


@pytest.mark.parametrize("managed", [False, True])
def test_the_cluster_leaves_alone_what_aws_backup_manages(managed):
    recording = record(lambda: AuroraCluster("database", aurora_args(backups_managed_by_aws_backup=managed)) and None)
    cluster = recording.one("aws:rds/cluster:Cluster")
    assert {"backupRetentionPeriod", "preferredBackupWindow"} <= cluster.inputs.keys(), "they are set at creation"
    ignored = {"backupRetentionPeriod", "preferredBackupWindow"} & set(cluster.ignore_changes)
    assert len(ignored) == (2 if managed else 0)


def test_every_generation_of_the_database_is_backed_up_and_redis_is_not():
    recording, exported = run(
        "dev",
        {
            "meetinity-data:backup": {
                "enabled": True,
                "enableContinuousBackup": True,
                "deleteAfter": 7,
                "additionalResourceArns": ["arn:aws:s3:::uploads"],
            },
            "meetinity-data:database": {"generations": {"main": {}, "r1": {"restore": {"snapshot": "s"}}}},
        },
    )
    # One of its own for each generation: one more or less replaces none of the others.
    assert {each.name: (each.inputs["name"], each.inputs["resources"]) for each in recording.all(SELECTIONS)} == {
        "backup-selection": ("dev-backup-selection", [CLUSTER, "arn:aws:s3:::uploads"]),
        "backup-selection-of-r1": ("dev-backup-selection-of-r1", [f"{CLUSTER}-r1"]),
    }
    assert recording.one("aws:iam/role:Role", "backup-role").inputs["name"] == "dev-aws-backup-role"
    assert rule(recording)["lifecycle"] == {"deleteAfter": 7}
    assert all("backupRetentionPeriod" in each.ignore_changes for each in recording.all("aws:rds/cluster:Cluster"))
    assert exported["aws_backup_vault_arn"] is not None


def test_without_a_word_there_is_no_plan():
    recording, exported = run("dev")
    assert [each.type for each in recording if each.type.startswith("aws:backup/")] == []
    assert exported["aws_backup_vault_arn"] is None
