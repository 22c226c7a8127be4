"""What each role may do, as IAM documents; pure.

A stack's role is for the resources that carry the stack's environment as their name's beginning, or as their tag where
AWS gives them no name: so a mistake in one stack does not reach another's of the same account. It is no wall against an
attacker (docs/ci.md, "Roles").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]

PROJECT = "meetinity-data"
ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"

# What previews, refreshes and the operators' looking commands ask. Reading, each of them, and nothing of the data.
READS = (
    "backup:DescribeBackupVault",
    "backup:GetBackupPlan",
    "backup:GetBackupSelection",
    "backup:ListRecoveryPointsByBackupVault",
    "backup:ListRecoveryPointsByResource",
    "backup:ListTags",
    "cloudwatch:GetMetricData",
    "ec2:Describe*",
    "eks:DescribeCluster",
    "elasticache:Describe*",
    "elasticache:ListTagsForResource",
    "logs:DescribeLogGroups",
    "logs:ListTagsForResource",
    "logs:ListTagsLogGroup",
    "rds:Describe*",
    "rds:ListTagsForResource",
)  # fmt: skip
ROLE_READS = ("iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:ListRolePolicies")

RDS_WRITES = (
    "AddTagsToResource", "CopyDBClusterSnapshot", "CreateDBCluster", "CreateDBClusterParameterGroup",
    "CreateDBClusterSnapshot", "CreateDBInstance", "CreateDBParameterGroup", "CreateDBSubnetGroup", "DeleteDBCluster",
    "DeleteDBClusterAutomatedBackup", "DeleteDBClusterParameterGroup", "DeleteDBClusterSnapshot", "DeleteDBInstance",
    "DeleteDBParameterGroup", "DeleteDBSubnetGroup", "ModifyDBCluster", "ModifyDBClusterParameterGroup",
    "ModifyDBInstance", "ModifyDBParameterGroup", "ModifyDBSubnetGroup", "RebootDBInstance", "RemoveTagsFromResource",
    "ResetDBClusterParameterGroup", "ResetDBParameterGroup", "RestoreDBClusterFromSnapshot",
    "RestoreDBClusterToPointInTime",
)  # fmt: skip
ELASTICACHE_WRITES = (
    "AddTagsToResource", "CreateCacheParameterGroup", "CreateCacheSubnetGroup", "CreateReplicationGroup",
    "CreateSnapshot", "DecreaseReplicaCount", "DeleteCacheParameterGroup", "DeleteCacheSubnetGroup",
    "DeleteReplicationGroup", "DeleteSnapshot", "IncreaseReplicaCount", "ModifyCacheParameterGroup",
    "ModifyCacheSubnetGroup", "ModifyReplicationGroup", "RemoveTagsFromResource", "ResetCacheParameterGroup",
)  # fmt: skip
GROUP_WRITES = (
    "AuthorizeSecurityGroupIngress", "CreateTags", "DeleteSecurityGroup", "DeleteTags",
    "ModifySecurityGroupRules", "RevokeSecurityGroupEgress", "RevokeSecurityGroupIngress",
)  # fmt: skip
LOG_WRITES = (
    "AssociateKmsKey", "CreateLogGroup", "DeleteLogGroup", "DeleteRetentionPolicy", "DisassociateKmsKey",
    "PutRetentionPolicy", "TagResource", "UntagResource",
)  # fmt: skip
# ElastiCache delivers its logs in the caller's name: ElastiCache User Guide, "Log delivery", permissions.
LOG_DELIVERY = (
    "CreateLogDelivery", "DeleteLogDelivery", "DescribeResourcePolicies", "GetLogDelivery", "ListLogDeliveries",
    "PutResourcePolicy", "UpdateLogDelivery",
)  # fmt: skip
ROLE_WRITES = ("CreateRole", "DeleteRole", "TagRole", "UntagRole", "UpdateAssumeRolePolicy", "UpdateRole")
BACKUP_WRITES = (
    "CreateBackupSelection", "DeleteBackupPlan", "DeleteBackupSelection", "DeleteBackupVault",
    "DeleteBackupVaultLockConfiguration", "PutBackupVaultLockConfiguration", "TagResource", "UntagResource",
    "UpdateBackupPlan",
)  # fmt: skip
BACKUP_POLICIES = [
    "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup",
    "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForRestores",
]
MONITORING_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"


def trust(provider: str, subjects: Sequence[str]) -> Document:
    """Only a token for AWS, of a job in exactly one of these environments; no subject has a wildcard."""
    condition = {f"{ISSUER}:aud": AUDIENCE, f"{ISSUER}:sub": list(subjects)}
    principal, action = {"Federated": provider}, "sts:AssumeRoleWithWebIdentity"
    return _document(
        {"Effect": "Allow", "Principal": principal, "Action": action, "Condition": {"StringEquals": condition}}
    )


def only_encrypted_transport(bucket: str) -> Document:
    """A bucket policy: nobody reads or writes the state without TLS."""
    return _document(
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


@dataclass(frozen=True)
class Stack:
    """One stack, and where its state is."""

    name: str
    account: str
    bucket: str


def look(stack: Stack, key: str) -> Document:
    """Read one stack's state, open its secrets with its `key`, see what it describes. Nothing here changes anything."""
    return _document(
        _allow("ListState", ["s3:ListBucket"], [f"arn:aws:s3:::{stack.bucket}"]),
        _allow("ReadState", ["s3:GetObject"], [f"{_state(stack)}/meta.yaml", *_objects(stack)]),
        _allow("Secrets", ["kms:Decrypt"], [key]),
        _allow("Look", READS, ["*"]),
        _allow("LookAtRoles", ROLE_READS, _roles(stack)),
    )


def change_stores(stack: Stack) -> Document:
    """What an update, a destruction and a drill do to databases and caches."""
    return _document(
        _allow("Databases", _of("rds", RDS_WRITES), _arns("rds", stack, *(
            f"{kind}:{stack.name}-*" for kind in ("cluster", "db", "subgrp", "cluster-pg", "pg", "cluster-snapshot")
        ), "cluster-auto-backup:*")),
        # What a restore takes, besides the store that it makes: a snapshot, whatever AWS or a person named it.
        _allow("Restore", ["rds:RestoreDBClusterFromSnapshot", "rds:CopyDBClusterSnapshot"],
               _arns("rds", stack, "cluster-snapshot:*")),
        _allow("AwsGroups", ["rds:CreateDBCluster", "rds:CreateDBInstance", "rds:ModifyDBInstance"],
               _arns("rds", stack, "cluster-pg:default.*", "pg:default.*")),
        _allow("Caches", _of("elasticache", ELASTICACHE_WRITES), _arns("elasticache", stack, *(
            f"{kind}:{stack.name}-*"
            for kind in ("replicationgroup", "cluster", "subnetgroup", "parametergroup", "snapshot")
        ))),
        # A replication group's automatic snapshots are named by ElastiCache.
        _allow("RestoreCache", ["elasticache:CreateReplicationGroup"],
               _arns("elasticache", stack, "snapshot:*", "parametergroup:default.*")),
        _allow("FirstOfItsKind", ["iam:CreateServiceLinkedRole"], ["*"], {"StringEquals": {"iam:AWSServiceName": [
            "rds.amazonaws.com", "elasticache.amazonaws.com",
        ]}}),
        _allow("DrillFigures", ["cloudwatch:PutMetricData"], ["*"],
               {"StringEquals": {"cloudwatch:namespace": "Meetinity/Data"}}),
    )  # fmt: skip


def change_around(stack: Stack) -> Document:
    """What they do to the rest: the state, security groups, log groups, the monitoring role."""
    groups = _arns("ec2", stack, "security-group/*", "security-group-rule/*")
    return _document(
        _allow("WriteState", ["s3:PutObject", "s3:DeleteObject"], _objects(stack)),
        _allow("Groups", _of("ec2", GROUP_WRITES), groups,
               {"StringEquals": {"aws:ResourceTag/Environment": stack.name}}),
        _allow("NewGroups", ["ec2:CreateSecurityGroup", "ec2:AuthorizeSecurityGroupIngress"], groups,
               {"StringEquals": {"aws:RequestTag/Environment": stack.name}}),
        _allow("InVpc", ["ec2:CreateSecurityGroup"], _arns("ec2", stack, "vpc/*")),
        _allow("TagNewGroups", ["ec2:CreateTags"], groups,
               {"StringEquals": {"ec2:CreateAction": ["CreateSecurityGroup", "AuthorizeSecurityGroupIngress"]}}),
        _allow("Logs", _of("logs", LOG_WRITES), _arns("logs", stack, *(
            f"log-group:/aws/{service}/{stack.name}-*" for service in ("rds/cluster", "elasticache")
        ))),
        _allow("LogDelivery", _of("logs", LOG_DELIVERY), ["*"]),
        _allow("Roles", _of("iam", ROLE_WRITES), _roles(stack)),
        # The one policy it may hand out, to a role that it may hand to one service.
        _allow("MonitoringPolicy", ["iam:AttachRolePolicy", "iam:DetachRolePolicy"], _roles(stack),
               {"ArnEquals": {"iam:PolicyARN": MONITORING_POLICY}}),
        _allow("PassToMonitoring", ["iam:PassRole"], _roles(stack),
               {"StringEquals": {"iam:PassedToService": "monitoring.rds.amazonaws.com"}}),
    )  # fmt: skip


def change_backups(stack: Stack) -> Document:
    """What they do to AWS Backup's vault, plan and selections; plans have no name in their ARN, only tags.

    A vault with a key of one's own needs rights on that key besides, from the key's policy.
    """
    vaults, plans = _arns("backup", stack, f"backup-vault:{stack.name}-*"), _arns("backup", stack, "backup-plan:*")
    return _document(
        _allow("Vaults", _of("backup", ["CreateBackupVault", *BACKUP_WRITES]), vaults),
        _allow("Plans", _of("backup", BACKUP_WRITES), plans,
               {"StringEquals": {"aws:ResourceTag/Environment": stack.name}}),
        _allow("NewPlans", ["backup:CreateBackupPlan", "backup:TagResource"], plans,
               {"StringEquals": {"aws:RequestTag/Environment": stack.name}}),
        # AWS Backup API permissions reference: CreateBackupVault; it names no vault.
        _allow("VaultStorage", ["backup-storage:MountCapsule"], ["*"]),
        _allow("BackupPolicies", ["iam:AttachRolePolicy", "iam:DetachRolePolicy"], _roles(stack),
               {"ArnEquals": {"iam:PolicyARN": BACKUP_POLICIES}}),
        _allow("PassToBackup", ["iam:PassRole"], _roles(stack),
               {"StringEquals": {"iam:PassedToService": "backup.amazonaws.com"}}),
    )  # fmt: skip


def _state(stack: Stack) -> str:
    return f"arn:aws:s3:::{stack.bucket}/.pulumi"


def _objects(stack: Stack) -> list[str]:
    """One stack's: pulumi, pkg/backend/diy/store.go and lock.go."""
    return [
        f"{_state(stack)}/stacks/{PROJECT}/{stack.name}.json*",
        f"{_state(stack)}/backups/{PROJECT}/{stack.name}/*",
        f"{_state(stack)}/history/{PROJECT}/{stack.name}/*",
        f"{_state(stack)}/locks/organization/{PROJECT}/{stack.name}/*",
    ]


def _roles(stack: Stack) -> list[str]:
    return [f"arn:aws:iam::{stack.account}:role/{stack.name}-*"]


def _of(service: str, operations: Sequence[str]) -> list[str]:
    return [f"{service}:{each}" for each in operations]


def _arns(service: str, stack: Stack, *resources: str) -> list[str]:
    return [f"arn:aws:{service}:*:{stack.account}:{each}" for each in resources]


def _allow(
    sid: str, actions: Sequence[str], resources: Sequence[str], condition: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    said = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**said, **({"Condition": condition} if condition else {})}


def _document(*statements: Mapping[str, Any]) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}
