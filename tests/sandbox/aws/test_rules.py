"""Every row of `rules.yaml` through boto3: what breaks it is refused with its error, and the neighbour passes.

A request that passes has kept every rule; so that this need not build a database each time, requests
for new resources name a subnet group or cluster that does not exist, which is asked about last.
"""

# ruff: noqa: E501 — a row is a line

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from sandbox.aws import rules
from tests.sandbox.aws.conftest import PASSWORD, TOKEN, Api

ENGINE = {"Engine": "aurora-postgresql"}
ROLE = "arn:aws:iam::123456789012:role/monitoring"
# What each operation is sent beside a row's arguments, and the error with which a request that keeps every rule ends.
BASES: dict[str, tuple[dict[str, Any], str]] = {
    "CreateDBCluster": (
        {**ENGINE, "DBClusterIdentifier": "new", "MasterUsername": "app", "MasterUserPassword": PASSWORD,
         "DBSubnetGroupName": "nowhere"},
        "DBSubnetGroupNotFoundFault",
    ),
    "RestoreDBClusterFromSnapshot": (
        {**ENGINE, "DBClusterIdentifier": "new", "SnapshotIdentifier": "ruled", "DBSubnetGroupName": "nowhere"},
        "DBSubnetGroupNotFoundFault",
    ),
    "RestoreDBClusterToPointInTime": (
        {"DBClusterIdentifier": "new", "SourceDBClusterIdentifier": "staffed", "UseLatestRestorableTime": True,
         "DBSubnetGroupName": "nowhere"},
        "DBSubnetGroupNotFoundFault",
    ),
    "ModifyDBCluster": ({"DBClusterIdentifier": "ruled", "ApplyImmediately": True}, ""),
    "DeleteDBCluster": ({"DBClusterIdentifier": "nobody", "SkipFinalSnapshot": True}, "DBClusterNotFoundFault"),
    "CreateDBInstance": (
        {**ENGINE, "DBInstanceIdentifier": "new", "DBClusterIdentifier": "nobody", "DBInstanceClass": "db.r6g.large"},
        "DBClusterNotFoundFault",
    ),
    "ModifyDBInstance": ({"DBInstanceIdentifier": "staffed-2"}, ""),
    "CreateDBClusterSnapshot": (
        {"DBClusterIdentifier": "nobody", "DBClusterSnapshotIdentifier": "new"}, "DBClusterNotFoundFault"
    ),
    "CopyDBClusterSnapshot": (
        {"SourceDBClusterSnapshotIdentifier": "nobody", "TargetDBClusterSnapshotIdentifier": "new"},
        "DBClusterSnapshotNotFoundFault",
    ),
    "DeleteDBClusterSnapshot": ({}, ""),
    "FailoverDBCluster": ({"DBClusterIdentifier": "staffed"}, ""),
    "CreateDBSubnetGroup": ({"DBSubnetGroupDescription": "d", "DBSubnetGroupName": "private"}, "DBSubnetGroupAlreadyExists"),
    "ModifyDBSubnetGroup": ({"DBSubnetGroupName": "private"}, ""),
    "DeleteDBSubnetGroup": ({}, "DBSubnetGroupNotFoundFault"),
    "CreateDBClusterParameterGroup": ({"Description": "d", "DBParameterGroupFamily": "aurora-postgresql16"}, ""),
    "CreateDBParameterGroup": ({"Description": "d", "DBParameterGroupFamily": "aurora-postgresql16"}, ""),
    "DeleteDBClusterParameterGroup": ({}, "DBParameterGroupNotFound"),
    "DeleteDBParameterGroup": ({}, "DBParameterGroupNotFound"),
    "CreateReplicationGroup": (
        {"ReplicationGroupId": "new", "ReplicationGroupDescription": "d", "CacheSubnetGroupName": "nowhere",
         "CacheNodeType": "cache.t4g.micro"},
        "CacheSubnetGroupNotFoundFault",
    ),
    "ModifyReplicationGroup": ({"ReplicationGroupId": "ruled", "ApplyImmediately": True}, ""),
    "DeleteReplicationGroup": ({"ReplicationGroupId": "nobody"}, "ReplicationGroupNotFoundFault"),
    "IncreaseReplicaCount": ({"ReplicationGroupId": "ruled-tls", "ApplyImmediately": True}, ""),
    "DecreaseReplicaCount": ({"ReplicationGroupId": "ruled-tls", "ApplyImmediately": True}, "ReplicationGroupNotFoundFault"),
    "TestFailover": ({"ReplicationGroupId": "ruled-tls", "NodeGroupId": "0001"}, ""),
    "CreateSnapshot": ({"ReplicationGroupId": "ruled", "SnapshotName": "new"}, ""),
    "CopySnapshot": ({"SourceSnapshotName": "nobody"}, "SnapshotNotFoundFault"),
    "CreateCacheParameterGroup": ({"CacheParameterGroupName": "ruled-new", "Description": "d"}, ""),
    "DeleteCacheParameterGroup": ({}, "CacheParameterGroupNotFound"),
    "CreateCacheSubnetGroup": (
        {"CacheSubnetGroupDescription": "d", "CacheSubnetGroupName": "private"}, "CacheSubnetGroupAlreadyExists"
    ),
    "ModifyCacheSubnetGroup": ({"CacheSubnetGroupName": "private"}, ""),
    "DeleteCacheSubnetGroup": ({}, "CacheSubnetGroupNotFoundFault"),
    "DeleteSecurityGroup": ({}, "InvalidGroup.NotFound"),
    "CreateBackupVault": ({}, ""),
    "CreateBackupPlan": ({}, ""),
    "UpdateBackupPlan": ({"BackupPlanId": "nowhere"}, "ResourceNotFoundException"),
    "CreateBackupSelection": ({"BackupPlanId": "nowhere"}, "ResourceNotFoundException"),
    "DeleteBackupVault": ({}, ""),
}  # fmt: skip


def backup_plan(name: str = "", **rule: Any) -> dict[str, Any]:
    """Of a new name each time it is not given, for every row that passes makes one."""
    sent = {"RuleName": "daily", "TargetBackupVaultName": "ruled", **rule}
    return {"BackupPlan": {"BackupPlanName": name or uuid.uuid4().hex, "Rules": [sent]}}


def selection(*resources: str, name: str = "all") -> dict[str, Any]:
    role = "arn:aws:iam::123456789012:role/backup"
    return {"BackupSelection": {"SelectionName": name, "IamRoleArn": role, "Resources": list(resources)}}


def copied(**lifecycle: int) -> dict[str, Any]:
    vault = "arn:aws:backup:eu-central-1:123456789012:backup-vault:copies"
    return backup_plan(CopyActions=[{"DestinationBackupVaultArn": vault, "Lifecycle": lifecycle}])


def days(**offset: int) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(**offset)


def scaled(**configuration: Any) -> dict[str, Any]:
    return {"ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 4, **configuration}}


def logs(*kinds: str) -> list[dict[str, Any]]:
    details = {"CloudWatchLogsDetails": {"LogGroup": "redis"}}
    delivery = {"DestinationType": "cloudwatch-logs", "DestinationDetails": details, "LogFormat": "json"}
    return [{"LogType": kind, **delivery} for kind in kinds]


TLS = {"TransitEncryptionEnabled": True}
INSIGHTS = {"EnablePerformanceInsights": True}
MAJOR = {"EngineVersion": "17.4", "AllowMajorVersionUpgrade": True, "DBClusterParameterGroupName": "ruled-17"}
NEXT = {
    **MAJOR,
    "DBClusterIdentifier": "ruled-next",
    "ApplyImmediately": None,
}  # it waits, so that it is asked for again
# (rule, operation, what breaks it, the neighbour that passes)
ROWS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("a cluster's identifier is 1 to 63 letters, digits and single hyphens, a letter first, no hyphen last", "CreateDBCluster", {"DBClusterIdentifier": "c" * 64}, {"DBClusterIdentifier": "c" * 63}),
    ("a cluster's identifier is 1 to 63 letters, digits and single hyphens, a letter first, no hyphen last", "RestoreDBClusterToPointInTime", {"DBClusterIdentifier": "a--b"}, {"DBClusterIdentifier": "A-b"}),
    ("an instance's identifier is 1 to 63 letters, digits and single hyphens, a letter first, no hyphen last", "CreateDBInstance", {"DBInstanceIdentifier": "a-"}, {"DBInstanceIdentifier": "a-1"}),
    ("a snapshot's identifier is 1 to 63 letters, digits and single hyphens, a letter first, no hyphen last", "CreateDBClusterSnapshot", {"DBClusterSnapshotIdentifier": "s" * 64}, {"DBClusterSnapshotIdentifier": "s" * 63}),
    ("a copy's identifier is 1 to 63 letters, digits and single hyphens, a letter first, no hyphen last", "CopyDBClusterSnapshot", {"TargetDBClusterSnapshotIdentifier": "s" * 64}, {"TargetDBClusterSnapshotIdentifier": "s" * 63}),
    ("a final snapshot's identifier is 1 to 255 letters, digits and single hyphens, a letter first, no hyphen last", "DeleteDBCluster", {"FinalDBSnapshotIdentifier": "s" * 256, "SkipFinalSnapshot": False}, {"FinalDBSnapshotIdentifier": "s" * 255, "SkipFinalSnapshot": False}),
    ("a subnet group's name is up to 255 letters, digits, periods, underscores, spaces and hyphens, a letter first, not `default`", "CreateDBSubnetGroup", {"DBSubnetGroupName": "Default", "SubnetIds": "zones"}, {"DBSubnetGroupName": "a_b. c-d", "SubnetIds": "zones"}),
    ("a subnet group's name is up to 255 letters, digits, periods, underscores, spaces and hyphens, a letter first, not `default`", "CreateDBSubnetGroup", {"DBSubnetGroupName": "1abc", "SubnetIds": "zones"}, {"DBSubnetGroupName": "abc 1", "SubnetIds": "zones"}),
    ("a cluster parameter group's name is up to 255 letters, digits, periods and single hyphens, a letter first", "CreateDBClusterParameterGroup", {"DBClusterParameterGroupName": "a_b"}, {"DBClusterParameterGroupName": "ruled-a.b"}),
    ("an instance parameter group's name is up to 255 letters, digits, periods and single hyphens, a letter first", "CreateDBParameterGroup", {"DBParameterGroupName": "p" * 256}, {"DBParameterGroupName": "p" * 255}),
    ("a database's name is 1 to 63 letters, digits and underscores, a letter first, not a reserved word", "CreateDBCluster", {"DatabaseName": "Select"}, {"DatabaseName": "selected_1"}),
    ("a database's name is 1 to 63 letters, digits and underscores, a letter first, not a reserved word", "CreateDBCluster", {"DatabaseName": "d" * 64}, {"DatabaseName": "d" * 63}),
    ("a master user's name is 1 to 16 letters, digits and underscores, a letter first, and nobody's already", "CreateDBCluster", {"MasterUsername": "admin"}, {"MasterUsername": "admin_1"}),
    ("a master user's name is 1 to 16 letters, digits and underscores, a letter first, and nobody's already", "CreateDBCluster", {"MasterUsername": "pg_a"}, {"MasterUsername": "u" * 16}),
    ("a master user's name is no reserved word", "CreateDBCluster", {"MasterUsername": "Select"}, {"MasterUsername": "selected"}),
    ("a new cluster has a master user", "CreateDBCluster", {"MasterUsername": None}, {}),
    ("a new cluster has a master password", "CreateDBCluster", {"MasterUserPassword": None}, {}),
    ("a master password is 8 to 41 printable ASCII characters, none of them `/`, `\"` or `@`", "CreateDBCluster", {"MasterUserPassword": "1234567@"}, {"MasterUserPassword": "1 -_!#%~"}),
    ("a master password is 8 to 41 printable ASCII characters, none of them `/`, `\"` or `@`", "ModifyDBCluster", {"MasterUserPassword": "p" * 42}, {"MasterUserPassword": "p" * 41}),
    ("the engine is aurora-postgresql", "CreateDBCluster", {"Engine": "aurora-mysql"}, {}),
    ("the engine mode is provisioned; serverless v1 is no more", "CreateDBCluster", {"EngineMode": "serverless"}, {"EngineMode": "provisioned"}),
    ("the engine mode is provisioned; serverless v1 is no more", "ModifyDBCluster", {"EngineMode": "serverless"}, {}),
    ("a version is one on offer, or a major version alone", "CreateDBCluster", {"EngineVersion": "16.1"}, {"EngineVersion": "16"}),
    ("a version is one on offer, or a major version alone", "CreateDBCluster", {"EngineVersion": "13.9"}, {"EngineVersion": "14.6"}),
    ("the lifecycle is extended support, or none", "CreateDBCluster", {"EngineLifecycleSupport": "none"}, {"EngineLifecycleSupport": "open-source-rds-extended-support-disabled"}),
    ("a cluster is never downgraded", "ModifyDBCluster", {"EngineVersion": "16.10"}, {"EngineVersion": "16.11"}),
    ("a major upgrade is allowed by name", "ModifyDBCluster", {"EngineVersion": "17.4", "DBClusterParameterGroupName": "ruled-17"}, {"EngineVersion": "16.11", "AllowMajorVersionUpgrade": True}),
    ("the instances' parameter group is given with a major upgrade only", "ModifyDBCluster", {"DBInstanceParameterGroupName": "ruled-16"}, {}),
    ("a major upgrade names the instances' next parameter group where they have one of their own", "ModifyDBCluster", {**MAJOR, "DBClusterIdentifier": "staffed"}, {"DBClusterIdentifier": "staffed", "EngineVersion": "16.11"}),
    ("the instances' next parameter group exists", "ModifyDBCluster", {**MAJOR, "DBClusterIdentifier": "staffed", "DBInstanceParameterGroupName": "none"}, {**NEXT, "DBInstanceParameterGroupName": "ruled-17"}),
    ("the instances' next parameter group is of the next version's family", "ModifyDBCluster", {**MAJOR, "DBClusterIdentifier": "staffed", "DBInstanceParameterGroupName": "ruled-16"}, {**NEXT, "DBInstanceParameterGroupName": "default.aurora-postgresql17"}),
    ("the instances' next parameter group is of the next version's family", "ModifyDBCluster", {**MAJOR, "DBClusterIdentifier": "staffed", "DBInstanceParameterGroupName": "default.aurora-postgresql16"}, {**NEXT, "DBInstanceParameterGroupName": "ruled-17"}),
    ("a cluster parameter group that is named exists", "CreateDBCluster", {"DBClusterParameterGroupName": "none"}, {"DBClusterParameterGroupName": "default.aurora-postgresql17"}),
    ("a cluster parameter group is of the engine's major version; a major upgrade brings one of the new family", "CreateDBCluster", {"DBClusterParameterGroupName": "ruled-16"}, {"DBClusterParameterGroupName": "ruled-16", "EngineVersion": "16"}),
    ("a cluster parameter group is of the engine's major version; a major upgrade brings one of the new family", "ModifyDBCluster", {"EngineVersion": "17.4", "AllowMajorVersionUpgrade": True}, {"DBClusterParameterGroupName": "default.aurora-postgresql16"}),
    ("an instance parameter group that is named exists", "ModifyDBInstance", {"DBParameterGroupName": "none"}, {"DBParameterGroupName": "ruled-16"}),
    ("an instance parameter group is of the family of the cluster's version", "ModifyDBInstance", {"DBParameterGroupName": "ruled-17"}, {"DBParameterGroupName": "ruled-16"}),
    ("a parameter group is of a family on offer", "CreateDBParameterGroup", {"DBParameterGroupName": "x", "DBParameterGroupFamily": "aurora-postgresql13"}, {"DBParameterGroupName": "ruled-14", "DBParameterGroupFamily": "aurora-postgresql14"}),
    ("backups are kept 1 to 35 days; they cannot be turned off", "CreateDBCluster", {"BackupRetentionPeriod": 0}, {"BackupRetentionPeriod": 1}),
    ("backups are kept 1 to 35 days; they cannot be turned off", "ModifyDBCluster", {"BackupRetentionPeriod": 36}, {"BackupRetentionPeriod": 35}),
    ("the port is 1150 to 65535", "RestoreDBClusterFromSnapshot", {"Port": 1149}, {"Port": 1150, "EngineVersion": "16"}),
    ("a backup window is hh24:mi-hh24:mi", "CreateDBCluster", {"PreferredBackupWindow": "3:00-04:00"}, {"PreferredBackupWindow": "23:45-00:15"}),
    ("a backup window is 30 minutes at least", "CreateDBCluster", {"PreferredBackupWindow": "01:00-01:29"}, {"PreferredBackupWindow": "01:00-01:30"}),
    ("a maintenance window is ddd:hh24:mi-ddd:hh24:mi", "ModifyDBCluster", {"PreferredMaintenanceWindow": "so:01:00-so:02:00"}, {"PreferredMaintenanceWindow": "Sun:23:45-Mon:00:15"}),
    ("a maintenance window is 30 minutes at least", "ModifyDBInstance", {"PreferredMaintenanceWindow": "sun:01:00-sun:01:29"}, {"PreferredMaintenanceWindow": "sun:01:00-sun:01:30"}),
    ("the backup window does not meet the maintenance window", "CreateDBCluster", {"PreferredBackupWindow": "04:30-05:00", "PreferredMaintenanceWindow": "mon:04:00-mon:04:31"}, {"PreferredBackupWindow": "04:30-05:00", "PreferredMaintenanceWindow": "mon:04:00-mon:04:30"}),
    # The stored backup window counts, 03:14-03:44.
    ("the backup window does not meet the maintenance window", "ModifyDBCluster", {"PreferredMaintenanceWindow": "mon:23:00-tue:03:15"}, {"PreferredMaintenanceWindow": "mon:23:00-tue:03:14"}),
    ("an instance's maintenance window does not meet its cluster's backup window", "ModifyDBInstance", {"PreferredMaintenanceWindow": "wed:03:00-wed:03:30"}, {"PreferredMaintenanceWindow": "wed:04:00-wed:04:30"}),
    ("the promotion tier is 0 to 15", "ModifyDBInstance", {"PromotionTier": 16}, {"PromotionTier": 15}),
    ("the logs of Aurora PostgreSQL are postgresql, instance and iam-db-auth-error", "CreateDBCluster", {"EnableCloudwatchLogsExports": ["postgresql", "audit"]}, {"EnableCloudwatchLogsExports": ["postgresql", "iam-db-auth-error"]}),
    ("a log that is turned on later is one of those too", "ModifyDBCluster", {"CloudwatchLogsExportConfiguration": {"EnableLogTypes": ["error"]}}, {"CloudwatchLogsExportConfiguration": {"EnableLogTypes": ["instance"]}}),
    ("the certificate authority is one on offer", "ModifyDBInstance", {"CACertificateIdentifier": "rds-ca-2019"}, {"CACertificateIdentifier": "rds-ca-ecc384-g1"}),
    ("the storage type is aurora or aurora-iopt1", "CreateDBCluster", {"StorageType": "io1"}, {"StorageType": "aurora-iopt1"}),
    ("a cluster is changed to aurora-iopt1 once in 30 days", "ModifyDBCluster", {"DBClusterIdentifier": "staffed", "StorageType": "aurora-iopt1"}, {"DBClusterIdentifier": "staffed", "StorageType": "aurora"}),
    ("Performance Insights is kept 7 days, 1 to 23 months of 31, or 731", "CreateDBCluster", {**INSIGHTS, "PerformanceInsightsRetentionPeriod": 94}, {**INSIGHTS, "PerformanceInsightsRetentionPeriod": 93}),
    ("Performance Insights is kept 7 days, 1 to 23 months of 31, or 731", "CreateDBInstance", {**INSIGHTS, "PerformanceInsightsRetentionPeriod": 8}, {**INSIGHTS, "PerformanceInsightsRetentionPeriod": 731}),
    ("a retention or key of Performance Insights needs Performance Insights", "CreateDBCluster", {"PerformanceInsightsRetentionPeriod": 7}, {**INSIGHTS, "PerformanceInsightsRetentionPeriod": 7}),
    ("Insights mode advanced needs Performance Insights, kept 465 days", "CreateDBCluster", {**INSIGHTS, "DatabaseInsightsMode": "advanced", "PerformanceInsightsRetentionPeriod": 434}, {**INSIGHTS, "DatabaseInsightsMode": "advanced", "PerformanceInsightsRetentionPeriod": 465}),
    ("Insights mode advanced needs Performance Insights, kept 465 days", "ModifyDBCluster", {"DBClusterIdentifier": "staffed", "EnablePerformanceInsights": False}, {"DBClusterIdentifier": "staffed", "EnablePerformanceInsights": True}),
    ("Insights mode advanced is asked for together with Performance Insights", "ModifyDBCluster", {"DBClusterIdentifier": "staffed", "DatabaseInsightsMode": "advanced"}, {**INSIGHTS, "DBClusterIdentifier": "staffed", "DatabaseInsightsMode": "advanced"}),
    ("an instance has Performance Insights as its cluster has it", "ModifyDBInstance", {**INSIGHTS, "PerformanceInsightsRetentionPeriod": 7}, {**INSIGHTS, "PerformanceInsightsRetentionPeriod": 465}),
    ("with Insights mode advanced every instance is monitored as the cluster is", "ModifyDBInstance", {"MonitoringInterval": 30, "MonitoringRoleArn": ROLE}, {"MonitoringInterval": 60, "MonitoringRoleArn": ROLE}),
    ("the monitoring interval is 0, 1, 5, 10, 15, 30 or 60 seconds", "CreateDBInstance", {"MonitoringInterval": 20, "MonitoringRoleArn": ROLE}, {"MonitoringInterval": 15, "MonitoringRoleArn": ROLE}),
    ("monitoring needs a role", "CreateDBCluster", {"MonitoringInterval": 60}, {"MonitoringInterval": 60, "MonitoringRoleArn": ROLE}),
    ("a monitoring role needs monitoring", "CreateDBCluster", {"MonitoringRoleArn": ROLE}, {"MonitoringInterval": 1, "MonitoringRoleArn": ROLE}),
    ("the smallest capacity is 0 to 256", "CreateDBCluster", scaled(MinCapacity=-0.5), scaled(MinCapacity=0)),
    ("the largest capacity is 1 to 256", "CreateDBCluster", scaled(MaxCapacity=256.5), scaled(MaxCapacity=256)),
    ("capacities are in steps of 0.5", "CreateDBCluster", scaled(MinCapacity=0.7), scaled(MinCapacity=1.5)),
    ("a scaling configuration has both ends", "CreateDBCluster", {"ServerlessV2ScalingConfiguration": {"MaxCapacity": 4}}, scaled()),
    ("the smallest capacity is not above the largest", "CreateDBCluster", scaled(MinCapacity=4.5), scaled(MinCapacity=4)),
    ("a pause comes after 300 to 86400 seconds", "CreateDBCluster", scaled(MinCapacity=0, SecondsUntilAutoPause=299), scaled(MinCapacity=0, SecondsUntilAutoPause=300)),
    ("only a smallest capacity of 0 pauses", "CreateDBCluster", scaled(SecondsUntilAutoPause=300), scaled(MinCapacity=0, SecondsUntilAutoPause=86400)),
    ("a smallest capacity of 0 needs a version that can pause", "CreateDBCluster", {**scaled(MinCapacity=0), "EngineVersion": "14.6"}, {**scaled(MinCapacity=0), "EngineVersion": "14.17"}),
    ("an instance of class db.serverless needs its cluster's scaling configuration", "CreateDBInstance", {"DBClusterIdentifier": "ruled", "DBInstanceClass": "db.serverless"}, {"DBInstanceClass": "db.serverless"}),
    ("an instance's class is one of Aurora PostgreSQL's", "CreateDBInstance", {"DBInstanceClass": "db.m5.large"}, {"DBInstanceClass": "db.r8g.48xlarge"}),
    ("an instance carries nothing that is its cluster's", "CreateDBInstance", {"AllocatedStorage": 20}, {"CopyTagsToSnapshot": True}),
    ("an instance carries nothing that is its cluster's", "CreateDBInstance", {"DeletionProtection": False}, {"PubliclyAccessible": False}),
    ("an instance's version is its cluster's", "ModifyDBInstance", {"EngineVersion": "16.13"}, {"EngineVersion": "16.11"}),
    ("an instance's Insights mode is its cluster's", "ModifyDBInstance", {"DatabaseInsightsMode": "standard"}, {"DatabaseInsightsMode": "advanced"}),
    ("an instance's Insights mode is its cluster's", "CreateDBInstance", {"DBClusterIdentifier": "ruled", "DatabaseInsightsMode": "advanced"}, {"DatabaseInsightsMode": "standard"}),
    ("an instance's subnet group exists", "CreateDBInstance", {"DBSubnetGroupName": "nowhere"}, {"DBSubnetGroupName": "private"}),
    ("an instance is a cluster's", "CreateDBInstance", {"DBClusterIdentifier": None}, {}),
    ("a cluster carries nothing that is of other engines' clusters", "CreateDBCluster", {"AllocatedStorage": 20}, {"CopyTagsToSnapshot": True}),
    ("a cluster carries nothing that is of other engines' clusters", "CreateDBCluster", {"PubliclyAccessible": False}, {}),
    ("a cluster carries nothing that is of other engines' clusters", "ModifyDBCluster", {"BacktrackWindow": 3600}, {}),
    ("a cluster is of no global one, replicates no other, and is not Limitless", "CreateDBCluster", {"GlobalClusterIdentifier": "world"}, {}),
    ("a cluster is of no global one, replicates no other, and is not Limitless", "CreateDBCluster", {"ReplicationSourceIdentifier": "arn:aws:rds:eu-west-1:123456789012:cluster:other"}, {}),
    ("a cluster is of no global one, replicates no other, and is not Limitless", "CreateDBCluster", {"ClusterScalabilityType": "limitless"}, {"ClusterScalabilityType": "standard"}),
    ("subnets exist", "CreateDBSubnetGroup", {"SubnetIds": ["subnet-0"]}, {"SubnetIds": "zones"}),
    ("the subnets of a group are of one VPC", "CreateDBSubnetGroup", {"SubnetIds": "networks"}, {"SubnetIds": "zones"}),
    ("the subnets of a group cover two Availability Zones", "CreateDBSubnetGroup", {"SubnetIds": "zone"}, {"SubnetIds": "zones"}),
    ("security groups exist", "CreateDBCluster", {"VpcSecurityGroupIds": ["sg-0"]}, {"VpcSecurityGroupIds": "group"}),
    ("a subnet group in use stays", "DeleteDBSubnetGroup", {"DBSubnetGroupName": "Private"}, {"DBSubnetGroupName": "nowhere"}),
    ("a cluster parameter group in use stays, and so does a default", "DeleteDBClusterParameterGroup", {"DBClusterParameterGroupName": "ruled-16"}, {"DBClusterParameterGroupName": "nowhere"}),
    ("an instance parameter group in use stays, and so does a default", "DeleteDBParameterGroup", {"DBParameterGroupName": "ruled-16"}, {"DBParameterGroupName": "nowhere"}),
    ("an instance parameter group in use stays, and so does a default", "DeleteDBParameterGroup", {"DBParameterGroupName": "default.aurora-postgresql16"}, {"DBParameterGroupName": "nowhere"}),
    ("a protected cluster stays", "DeleteDBCluster", {"DBClusterIdentifier": "protected"}, {}),
    ("a cluster goes after its instances", "DeleteDBCluster", {"DBClusterIdentifier": "staffed"}, {}),
    ("a final snapshot is taken, or skipped by name", "DeleteDBCluster", {"SkipFinalSnapshot": False}, {"SkipFinalSnapshot": True}),
    ("a final snapshot is not both taken and skipped", "DeleteDBCluster", {"FinalDBSnapshotIdentifier": "final"}, {"FinalDBSnapshotIdentifier": "final", "SkipFinalSnapshot": False}),
    ("a final snapshot has a name of its own", "DeleteDBCluster", {"DBClusterIdentifier": "ruled", "FinalDBSnapshotIdentifier": "Ruled", "SkipFinalSnapshot": False}, {"FinalDBSnapshotIdentifier": "final", "SkipFinalSnapshot": False}),
    ("a final snapshot has a name of its own", "DeleteDBCluster", {"DBClusterIdentifier": "ruled", "FinalDBSnapshotIdentifier": "Ruled", "SkipFinalSnapshot": False}, {"DBClusterIdentifier": "gone", "FinalDBSnapshotIdentifier": "Ruled", "SkipFinalSnapshot": False}),
    ("a cluster without a reader cannot fail over", "FailoverDBCluster", {"DBClusterIdentifier": "ruled"}, {}),
    ("a failover's target is a reader of the cluster", "FailoverDBCluster", {"TargetDBInstanceIdentifier": "nobody"}, {"TargetDBInstanceIdentifier": "Staffed-1"}),
    ("only manual snapshots are deleted by hand", "DeleteDBClusterSnapshot", {"DBClusterSnapshotIdentifier": "automated"}, {"DBClusterSnapshotIdentifier": "spare"}),
    ("an unencrypted snapshot is not encrypted by a copy", "CopyDBClusterSnapshot", {"SourceDBClusterSnapshotIdentifier": "ruled", "KmsKeyId": "k"}, {"SourceDBClusterSnapshotIdentifier": "nobody", "KmsKeyId": "k"}),
    ("the snapshot to restore exists", "RestoreDBClusterFromSnapshot", {"SnapshotIdentifier": "nobody"}, {}),
    ("a restore runs no older version than the snapshot's", "RestoreDBClusterFromSnapshot", {"EngineVersion": "16.10"}, {"EngineVersion": "16.11"}),
    ("a restore has one source", "RestoreDBClusterToPointInTime", {"SourceDbClusterResourceId": "cluster-1"}, {}),
    ("a restore has one source", "RestoreDBClusterToPointInTime", {"SourceDBClusterIdentifier": None}, {}),
    ("a key is given only where the restored cluster is encrypted", "RestoreDBClusterToPointInTime", {"KmsKeyId": "k"}, {}),
    ("a restore is full-copy or copy-on-write", "RestoreDBClusterToPointInTime", {"RestoreType": "clone"}, {"RestoreType": "full-copy"}),
    ("a clone is of now", "RestoreDBClusterToPointInTime", {"RestoreType": "copy-on-write", "UseLatestRestorableTime": None, "RestoreToTime": days(seconds=-1)}, {"RestoreType": "copy-on-write"}),
    ("a restore is to one moment", "RestoreDBClusterToPointInTime", {"RestoreToTime": days(seconds=-1)}, {}),
    ("a restore is to one moment", "RestoreDBClusterToPointInTime", {"UseLatestRestorableTime": None}, {}),
    ("a cluster can be restored once it has a backup", "RestoreDBClusterToPointInTime", {"SourceDBClusterIdentifier": "ruled"}, {}),
    ("the moment is between the earliest and the latest restorable time", "RestoreDBClusterToPointInTime", {"UseLatestRestorableTime": None, "RestoreToTime": days(days=-40)}, {}),
    ("the cluster of a new instance exists", "CreateDBInstance", {}, {"DBClusterIdentifier": "nobody"}),
    ("a subnet group exists", "CreateDBCluster", {}, {"DBSubnetGroupName": "nowhere"}),
    # The same rules, asked of other operations
    ("a version is one on offer, or a major version alone", "RestoreDBClusterFromSnapshot", {"EngineVersion": "13.9"}, {"EngineVersion": "16.11"}),
    ("a version is one on offer, or a major version alone", "ModifyDBCluster", {"EngineVersion": "16.12"}, {"EngineVersion": "16.11"}),
    ("a cluster parameter group that is named exists", "RestoreDBClusterFromSnapshot", {"DBClusterParameterGroupName": "none"}, {"DBClusterParameterGroupName": "ruled-17", "EngineVersion": "17.4"}),
    ("a cluster parameter group that is named exists", "ModifyDBCluster", {"DBClusterParameterGroupName": "none"}, {"DBClusterParameterGroupName": "ruled-16"}),
    ("an instance parameter group that is named exists", "CreateDBInstance", {"DBParameterGroupName": "none"}, {"DBParameterGroupName": "ruled-16"}),
    ("the port is 1150 to 65535", "ModifyDBCluster", {"Port": 65536}, {"Port": 5432}),
    ("the port is 1150 to 65535", "RestoreDBClusterToPointInTime", {"Port": 65536}, {"Port": 65535}),
    ("a maintenance window is ddd:hh24:mi-ddd:hh24:mi", "CreateDBInstance", {"PreferredMaintenanceWindow": "01:00-02:00"}, {"PreferredMaintenanceWindow": "mon:01:00-mon:02:00"}),
    ("the promotion tier is 0 to 15", "CreateDBInstance", {"PromotionTier": -1}, {"PromotionTier": 0}),
    ("the logs of Aurora PostgreSQL are postgresql, instance and iam-db-auth-error", "RestoreDBClusterFromSnapshot", {"EnableCloudwatchLogsExports": ["error"]}, {"EnableCloudwatchLogsExports": ["postgresql"]}),
    ("the certificate authority is one on offer", "CreateDBInstance", {"CACertificateIdentifier": "rds-ca-2019"}, {"CACertificateIdentifier": "rds-ca-rsa4096-g1"}),
    ("the storage type is aurora or aurora-iopt1", "RestoreDBClusterFromSnapshot", {"StorageType": "io1"}, {"StorageType": "aurora"}),
    ("the storage type is aurora or aurora-iopt1", "RestoreDBClusterToPointInTime", {"StorageType": "io1"}, {"StorageType": "aurora-iopt1"}),
    ("the storage type is aurora or aurora-iopt1", "ModifyDBCluster", {"StorageType": "gp3"}, {"StorageType": "aurora"}),
    ("Performance Insights is kept 7 days, 1 to 23 months of 31, or 731", "ModifyDBCluster", {**INSIGHTS, "PerformanceInsightsRetentionPeriod": 30}, {"EnablePerformanceInsights": False}),
    ("the monitoring interval is 0, 1, 5, 10, 15, 30 or 60 seconds", "ModifyDBCluster", {"MonitoringInterval": 2, "MonitoringRoleArn": ROLE}, {"MonitoringInterval": 0}),
    ("the smallest capacity is 0 to 256", "ModifyDBCluster", scaled(MinCapacity=256.5, MaxCapacity=256), {}),
    ("the largest capacity is 1 to 256", "RestoreDBClusterFromSnapshot", scaled(MaxCapacity=0.5), scaled(MaxCapacity=1)),
    ("an instance of class db.serverless needs its cluster's scaling configuration", "ModifyDBInstance", {"DBInstanceClass": "db.serverless"}, {"DBInstanceClass": "db.r6g.large"}),
    ("an instance's class is one of Aurora PostgreSQL's", "ModifyDBInstance", {"DBInstanceClass": "db.m5.large"}, {"DBInstanceClass": "db.r6g.large"}),
    ("an instance carries nothing that is its cluster's", "ModifyDBInstance", {"BackupRetentionPeriod": 7}, {"PubliclyAccessible": False}),
    ("security groups exist", "RestoreDBClusterFromSnapshot", {"VpcSecurityGroupIds": ["sg-0"]}, {"VpcSecurityGroupIds": "group"}),
    ("security groups exist", "RestoreDBClusterToPointInTime", {"VpcSecurityGroupIds": ["sg-0"]}, {"VpcSecurityGroupIds": "group"}),
    ("security groups exist", "ModifyDBCluster", {"VpcSecurityGroupIds": ["sg-0"]}, {}),
    ("subnets exist", "ModifyDBSubnetGroup", {"SubnetIds": ["subnet-0"]}, {"SubnetIds": "zones"}),
    ("the subnets of a group are of one VPC", "ModifyDBSubnetGroup", {"SubnetIds": "networks"}, {"SubnetIds": "zones"}),
    ("the subnets of a group cover two Availability Zones", "ModifyDBSubnetGroup", {"SubnetIds": "zone"}, {"SubnetIds": "zones"}),
    # ElastiCache
    ("a group's identifier is 1 to 40 letters, digits and single hyphens, a letter first, no hyphen last", "CreateReplicationGroup", {"ReplicationGroupId": "g" * 41}, {"ReplicationGroupId": "G" * 40}),
    ("a description is not empty", "CreateReplicationGroup", {"ReplicationGroupDescription": ""}, {}),
    ("a snapshot's name is letters, digits and single hyphens, a letter first", "CreateSnapshot", {"SnapshotName": "automatic.x"}, {"SnapshotName": "automatic-x"}),
    ("a copy's name is letters, digits and single hyphens, a letter first", "CopySnapshot", {"TargetSnapshotName": "1--bad!"}, {"TargetSnapshotName": "copied"}),
    ("a final snapshot's name is letters, digits and single hyphens, a letter first", "DeleteReplicationGroup", {"FinalSnapshotIdentifier": "automatic.x"}, {"FinalSnapshotIdentifier": "automatic-x"}),
    ("a final snapshot has a name of its own", "DeleteReplicationGroup", {"ReplicationGroupId": "ruled", "FinalSnapshotIdentifier": "Ruled"}, {"FinalSnapshotIdentifier": "final"}),
    ("a final snapshot has a name of its own", "DeleteReplicationGroup", {"ReplicationGroupId": "ruled", "FinalSnapshotIdentifier": "Ruled"}, {"ReplicationGroupId": "gone", "FinalSnapshotIdentifier": "Ruled"}),
    ("the engine is redis or valkey", "CreateReplicationGroup", {"Engine": "memcached"}, {"Engine": "valkey"}),
    ("a version is asked for as major.minor, without its patch", "CreateReplicationGroup", {"EngineVersion": "7.1.0"}, {"EngineVersion": "6.x"}),
    ("a version is asked for as major.minor, without its patch", "ModifyReplicationGroup", {"EngineVersion": "7.0.7"}, {"EngineVersion": "7.0"}),
    ("a version is one on offer", "CreateReplicationGroup", {"EngineVersion": "7.2"}, {"EngineVersion": "7.1"}),
    ("a version is one on offer", "CreateReplicationGroup", {"Engine": "valkey", "EngineVersion": "7.1"}, {"Engine": "valkey", "EngineVersion": "7.2"}),
    ("valkey does not become redis", "ModifyReplicationGroup", {"ReplicationGroupId": "ruled-valkey", "Engine": "redis", "EngineVersion": "7.1"}, {"ReplicationGroupId": "ruled-valkey", "Engine": "valkey"}),
    ("redis becomes valkey with a version of it", "ModifyReplicationGroup", {"Engine": "valkey"}, {"Engine": "redis"}),
    ("a group is never downgraded", "ModifyReplicationGroup", {"EngineVersion": "6.2"}, {"EngineVersion": "7.0"}),
    ("a parameter group that is named exists", "CreateReplicationGroup", {"CacheParameterGroupName": "none"}, {"CacheParameterGroupName": "default.redis7"}),
    ("a parameter group is of the version's family; a change of it brings another", "CreateReplicationGroup", {"CacheParameterGroupName": "ruled-7", "EngineVersion": "6.2"}, {"CacheParameterGroupName": "ruled-7", "EngineVersion": "7.0"}),
    ("a parameter group is of the version's family; a change of it brings another", "ModifyReplicationGroup", {"Engine": "valkey", "EngineVersion": "8.0"}, {"CacheParameterGroupName": "ruled-7"}),
    ("a parameter group is of a family on offer", "CreateCacheParameterGroup", {"CacheParameterGroupFamily": "redis7.cluster.on"}, {"CacheParameterGroupFamily": "valkey9"}),
    ("a new group's token is 16 to 128 letters, digits and characters of !&#$^<>-", "CreateReplicationGroup", {**TLS, "AuthToken": "t" * 15}, {**TLS, "AuthToken": "!&#$^<>-" * 2}),
    ("a new group's token is 16 to 128 letters, digits and characters of !&#$^<>-", "CreateReplicationGroup", {**TLS, "AuthToken": "t" * 129}, {**TLS, "AuthToken": "t" * 128}),
    ("a new group's token is 16 to 128 letters, digits and characters of !&#$^<>-", "CreateReplicationGroup", {**TLS, "AuthToken": "underscore_" * 2}, {**TLS, "AuthToken": TOKEN}),
    ("a later token is 16 to 128 printable characters without /, \", @ and %", "ModifyReplicationGroup", {"ReplicationGroupId": "ruled-tls", "AuthToken": "percent%" * 2}, {"ReplicationGroupId": "ruled-tls", "AuthToken": "underscore_" * 2}),
    ("a token needs encryption in transit", "CreateReplicationGroup", {"AuthToken": TOKEN}, {**TLS, "AuthToken": TOKEN}),
    ("a group has one user group at most", "CreateReplicationGroup", {**TLS, "UserGroupIds": ["a", "b"]}, {**TLS}),
    ("a token and a user group exclude each other", "CreateReplicationGroup", {**TLS, "AuthToken": TOKEN, "UserGroupIds": ["a"]}, {**TLS}),
    ("a user group exists; the sandbox has none", "CreateReplicationGroup", {**TLS, "UserGroupIds": ["a"]}, {**TLS}),
    ("DELETE needs a user group and no token", "ModifyReplicationGroup", {"AuthTokenUpdateStrategy": "DELETE"}, {}),
    ("a strategy comes with a token", "ModifyReplicationGroup", {"AuthTokenUpdateStrategy": "ROTATE"}, {}),
    ("SET comes after ROTATE", "ModifyReplicationGroup", {"ReplicationGroupId": "ruled-once", "AuthToken": TOKEN, "AuthTokenUpdateStrategy": "SET"}, {"ReplicationGroupId": "ruled-tls", "AuthToken": "underscore_" * 2, "AuthTokenUpdateStrategy": "SET"}),
    ("encryption in transit is turned on for a group of 7.0.5 or newer only", "ModifyReplicationGroup", {**TLS, "ReplicationGroupId": "ruled-6", "TransitEncryptionMode": "preferred"}, {"ReplicationGroupId": "ruled-6", "TransitEncryptionEnabled": False}),
    ("encryption in transit is turned on by way of `preferred`", "ModifyReplicationGroup", {**TLS, "TransitEncryptionMode": "required"}, {"TransitEncryptionEnabled": False}),
    ("encryption in transit is turned off by way of `preferred`", "ModifyReplicationGroup", {"ReplicationGroupId": "ruled-tls", "TransitEncryptionEnabled": False}, {"ReplicationGroupId": "ruled-tls", **TLS, "TransitEncryptionMode": "required"}),
    ("clients use TLS, or they do not", "CreateReplicationGroup", {**TLS, "TransitEncryptionMode": "preferred"}, {**TLS, "TransitEncryptionMode": "required"}),
    ("a mode needs encryption in transit", "CreateReplicationGroup", {"TransitEncryptionMode": "required"}, {**TLS, "TransitEncryptionMode": "required"}),
    ("a key needs encryption at rest", "CreateReplicationGroup", {"KmsKeyId": "k"}, {"KmsKeyId": "k", "AtRestEncryptionEnabled": True}),
    ("the sandbox has no shards", "CreateReplicationGroup", {"NumNodeGroups": 2}, {"NumNodeGroups": 1}),
    ("the sandbox has no cluster mode, and no durability but the default", "CreateReplicationGroup", {"ClusterMode": "enabled"}, {"ClusterMode": "disabled"}),
    ("the sandbox has no cluster mode, and no durability but the default", "ModifyReplicationGroup", {"ClusterMode": "compatible"}, {"ClusterMode": "disabled"}),
    ("the sandbox has no cluster mode, and no durability but the default", "CreateReplicationGroup", {"Durability": "sync"}, {}),
    ("nodes are counted, or shards and their replicas, not both", "CreateReplicationGroup", {"NumCacheClusters": 2, "ReplicasPerNodeGroup": 1}, {"ReplicasPerNodeGroup": 1}),
    ("a group has 1 to 6 nodes", "CreateReplicationGroup", {"NumCacheClusters": 7}, {"NumCacheClusters": 6}),
    ("a shard has 0 to 5 replicas", "CreateReplicationGroup", {"ReplicasPerNodeGroup": 6}, {"ReplicasPerNodeGroup": 5}),
    ("a shard is resized to 0 to 5 replicas", "IncreaseReplicaCount", {"NewReplicaCount": 6}, {"NewReplicaCount": 2}),
    ("replicas are not resized in a maintenance window", "DecreaseReplicaCount", {"NewReplicaCount": 1, "ApplyImmediately": False}, {"NewReplicaCount": 1}),
    ("an increase is above the present number", "IncreaseReplicaCount", {"NewReplicaCount": 1}, {"NewReplicaCount": 2}),
    ("a decrease is below the present number", "DecreaseReplicaCount", {"NewReplicaCount": 2}, {"NewReplicaCount": 1}),
    ("automatic failover needs a replica to fail over to", "CreateReplicationGroup", {"AutomaticFailoverEnabled": True, "NumCacheClusters": 1}, {"AutomaticFailoverEnabled": True, "NumCacheClusters": 2}),
    ("automatic failover needs a replica to fail over to", "CreateReplicationGroup", {"AutomaticFailoverEnabled": True}, {"AutomaticFailoverEnabled": True, "ReplicasPerNodeGroup": 1}),
    ("automatic failover is turned on where there is a replica", "ModifyReplicationGroup", {"AutomaticFailoverEnabled": True}, {"ReplicationGroupId": "ruled-tls", "AutomaticFailoverEnabled": True}),
    ("automatic failover keeps a replica", "DecreaseReplicaCount", {"NewReplicaCount": 0}, {"ReplicationGroupId": "nobody", "NewReplicaCount": 1}),
    ("multi-AZ needs automatic failover", "CreateReplicationGroup", {"MultiAZEnabled": True}, {"MultiAZEnabled": True, "AutomaticFailoverEnabled": True, "NumCacheClusters": 2}),
    ("only a group with automatic failover can be told to fail over", "TestFailover", {"ReplicationGroupId": "ruled"}, {}),
    ("a failover's node group exists", "TestFailover", {"NodeGroupId": "0002"}, {}),
    ("a node's type is one on offer", "CreateReplicationGroup", {"CacheNodeType": "cache.t1.micro"}, {"CacheNodeType": "cache.r7g.large"}),
    ("data tiering is for r6gd", "CreateReplicationGroup", {"DataTieringEnabled": True}, {"DataTieringEnabled": True, "CacheNodeType": "cache.r6gd.xlarge"}),
    ("r6gd is for data tiering", "CreateReplicationGroup", {"CacheNodeType": "cache.r6gd.xlarge"}, {"DataTieringEnabled": True, "CacheNodeType": "cache.r6gd.xlarge"}),
    ("r6gd is for data tiering", "ModifyReplicationGroup", {"CacheNodeType": "cache.r6gd.xlarge"}, {"CacheNodeType": "cache.r6g.large"}),
    ("data tiering needs redis 6.2 or valkey 7.2", "CreateReplicationGroup", {"DataTieringEnabled": True, "CacheNodeType": "cache.r6gd.xlarge", "EngineVersion": "6.0"}, {"DataTieringEnabled": True, "CacheNodeType": "cache.r6gd.xlarge", "EngineVersion": "6.2"}),
    ("the primary is not retained on its own", "DeleteReplicationGroup", {"RetainPrimaryCluster": True}, {}),
    ("backups are kept 0 to 35 days", "CreateReplicationGroup", {"SnapshotRetentionLimit": 36}, {"SnapshotRetentionLimit": 35}),
    ("a snapshot window is hh24:mi-hh24:mi", "CreateReplicationGroup", {"SnapshotWindow": "05:00-6:00"}, {"SnapshotWindow": "05:00-06:00"}),
    ("a snapshot window is 60 minutes at least", "CreateReplicationGroup", {"SnapshotWindow": "05:00-05:59"}, {"SnapshotWindow": "23:30-00:30"}),
    ("a maintenance window is ddd:hh24:mi-ddd:hh24:mi", "CreateReplicationGroup", {"PreferredMaintenanceWindow": "01:00-02:00"}, {"PreferredMaintenanceWindow": "TUE:01:00-TUE:02:00"}),
    ("a maintenance window is 60 minutes at least", "CreateReplicationGroup", {"PreferredMaintenanceWindow": "tue:01:00-tue:01:59"}, {"PreferredMaintenanceWindow": "tue:23:30-wed:00:30"}),
    ("the snapshot window does not meet the maintenance window, even with backups off", "CreateReplicationGroup", {"SnapshotRetentionLimit": 0, "SnapshotWindow": "02:30-03:30"}, {"SnapshotWindow": "02:00-03:00"}),
    ("the snapshot window does not meet the maintenance window, even with backups off", "ModifyReplicationGroup", {"PreferredMaintenanceWindow": "fri:05:30-fri:06:30"}, {"PreferredMaintenanceWindow": "fri:06:00-fri:07:00"}),
    ("a node is backed up by hand 20 times in 24 hours at most", "CreateSnapshot", {"ReplicationGroupId": "ruled-once", "SnapshotName": "x"}, {"SnapshotName": "y"}),
    ("the snapshot to restore exists", "CreateReplicationGroup", {"SnapshotName": "nobody"}, {"SnapshotName": "ruled", "CacheNodeType": "cache.r6g.large"}),
    ("a restore's nodes have the memory of the source's", "CreateReplicationGroup", {"SnapshotName": "ruled", "CacheNodeType": "cache.m6g.large"}, {"SnapshotName": "ruled", "CacheNodeType": "cache.r6g.large"}),
    ("a restore runs no older version than the snapshot's", "CreateReplicationGroup", {"SnapshotName": "ruled", "CacheNodeType": "cache.r6g.large", "EngineVersion": "6.2"}, {"SnapshotName": "ruled", "CacheNodeType": "cache.r6g.large", "EngineVersion": "7.0"}),
    ("two logs are delivered at most, the slow log and the engine log", "CreateReplicationGroup", {"LogDeliveryConfigurations": logs("slow-log", "slow-log")}, {"LogDeliveryConfigurations": logs("slow-log", "engine-log")}),
    ("subnets exist", "CreateCacheSubnetGroup", {"SubnetIds": ["subnet-0"]}, {"SubnetIds": "zone"}),
    ("the subnets of a group are of one VPC", "CreateCacheSubnetGroup", {"SubnetIds": "networks"}, {"SubnetIds": "zones"}),
    ("security groups exist", "CreateReplicationGroup", {"SecurityGroupIds": ["sg-0"]}, {"SecurityGroupIds": "group"}),
    ("a subnet group in use stays", "DeleteCacheSubnetGroup", {"CacheSubnetGroupName": "private"}, {"CacheSubnetGroupName": "nowhere"}),
    ("a parameter group in use stays, and so does a default", "DeleteCacheParameterGroup", {"CacheParameterGroupName": "ruled-7"}, {"CacheParameterGroupName": "nowhere"}),
    ("a subnet group exists", "CreateReplicationGroup", {}, {"CacheSubnetGroupName": "nowhere"}),
    # The same rules, asked of other operations
    ("a version is one on offer", "ModifyReplicationGroup", {"EngineVersion": "7.9"}, {"EngineVersion": "7.0"}),
    ("a parameter group that is named exists", "ModifyReplicationGroup", {"CacheParameterGroupName": "none"}, {"CacheParameterGroupName": "ruled-7"}),
    ("a token needs encryption in transit", "ModifyReplicationGroup", {"AuthToken": TOKEN}, {}),
    ("multi-AZ needs automatic failover", "ModifyReplicationGroup", {"MultiAZEnabled": True}, {"MultiAZEnabled": False}),
    ("a group has 1 to 6 nodes", "CreateReplicationGroup", {"NumCacheClusters": 0}, {"NumCacheClusters": 1}),
    ("a node's type is one on offer", "ModifyReplicationGroup", {"CacheNodeType": "cache.t1.micro"}, {"CacheNodeType": "cache.r6g.large"}),
    ("backups are kept 0 to 35 days", "ModifyReplicationGroup", {"SnapshotRetentionLimit": 36}, {"SnapshotRetentionLimit": 0}),
    ("a snapshot window is hh24:mi-hh24:mi", "ModifyReplicationGroup", {"SnapshotWindow": "5:00-06:00"}, {"SnapshotWindow": "05:00-06:00"}),
    ("a snapshot window is 60 minutes at least", "ModifyReplicationGroup", {"SnapshotWindow": "05:00-05:30"}, {"SnapshotWindow": "05:00-06:00"}),
    ("a maintenance window is ddd:hh24:mi-ddd:hh24:mi", "ModifyReplicationGroup", {"PreferredMaintenanceWindow": "01:00-02:00"}, {"PreferredMaintenanceWindow": "fri:06:00-fri:07:00"}),
    ("a maintenance window is 60 minutes at least", "ModifyReplicationGroup", {"PreferredMaintenanceWindow": "fri:01:00-fri:01:30"}, {"PreferredMaintenanceWindow": "fri:06:00-fri:07:00"}),
    ("two logs are delivered at most, the slow log and the engine log", "ModifyReplicationGroup", {"LogDeliveryConfigurations": logs("slow-log", "slow-log")}, {}),
    ("security groups exist", "ModifyReplicationGroup", {"SecurityGroupIds": ["sg-0"]}, {}),
    ("subnets exist", "ModifyCacheSubnetGroup", {"SubnetIds": ["subnet-0"]}, {"SubnetIds": "zones"}),
    ("the subnets of a group are of one VPC", "ModifyCacheSubnetGroup", {"SubnetIds": "networks"}, {"SubnetIds": "zones"}),
    # EC2
    ("a security group that a store uses stays", "DeleteSecurityGroup", {"GroupId": "used"}, {"GroupId": "sg-0"}),
    # AWS Backup

    ("a snapshot of AWS Backup is deleted by AWS Backup", "DeleteDBClusterSnapshot", {"DBClusterSnapshotIdentifier": "of-backup"}, {"DBClusterSnapshotIdentifier": "spare-2"}),
    ("a vault's name is 2 to 50 letters, digits, hyphens and underscores", "CreateBackupVault", {"BackupVaultName": "a.b"}, {"BackupVaultName": "ab-_9"}),
    ("a plan's name is 1 to 50 letters, digits, hyphens, underscores and periods", "CreateBackupPlan", backup_plan("a b"), backup_plan("a.b")),
    ("a rule's name is 1 to 50 letters, digits, hyphens, underscores and periods", "CreateBackupPlan", backup_plan(RuleName="r" * 51), backup_plan(RuleName="r" * 50)),
    ("a schedule is a cron expression of six fields with one question mark", "CreateBackupPlan", backup_plan(ScheduleExpression="cron(0 3 * * * *)"), backup_plan(ScheduleExpression="cron(0 3 * * ? *)")),
    ("a schedule is a cron expression of six fields with one question mark", "CreateBackupPlan", backup_plan(ScheduleExpression="cron(0 3 ? * ? *)"), backup_plan(ScheduleExpression="cron(0 3 ? * MON *)")),
    ("a schedule is a cron expression of six fields with one question mark", "CreateBackupPlan", backup_plan(ScheduleExpression="rate(1 day)"), backup_plan()),
    ("a backup may wait for an hour or longer", "CreateBackupPlan", backup_plan(StartWindowMinutes=59), backup_plan(StartWindowMinutes=60)),
    ("a backup has an hour more to end than to begin", "CreateBackupPlan", backup_plan(StartWindowMinutes=60, CompletionWindowMinutes=119), backup_plan(StartWindowMinutes=60, CompletionWindowMinutes=120)),
    ("a recovery point is kept for 1 to 36500 days", "CreateBackupPlan", backup_plan(Lifecycle={"DeleteAfterDays": 36_501}), backup_plan(Lifecycle={"DeleteAfterDays": 36_500})),
    ("a recovery point is kept for 1 to 36500 days", "CreateBackupPlan", copied(DeleteAfterDays=0), copied(DeleteAfterDays=1)),
    ("a recovery point is in cold storage for 90 days or longer", "CreateBackupPlan", backup_plan(Lifecycle={"MoveToColdStorageAfterDays": 1, "DeleteAfterDays": 90}), backup_plan(Lifecycle={"MoveToColdStorageAfterDays": 1, "DeleteAfterDays": 91})),
    ("a recovery point is in cold storage for 90 days or longer", "CreateBackupPlan", copied(MoveToColdStorageAfterDays=1, DeleteAfterDays=90), copied(MoveToColdStorageAfterDays=1, DeleteAfterDays=91)),
    ("a continuous backup is kept for at most 35 days, and warm", "CreateBackupPlan", backup_plan(EnableContinuousBackup=True, Lifecycle={"DeleteAfterDays": 36}), backup_plan(EnableContinuousBackup=True, Lifecycle={"DeleteAfterDays": 35})),
    ("a continuous backup is kept for at most 35 days, and warm", "CreateBackupPlan", backup_plan(EnableContinuousBackup=True), backup_plan(EnableContinuousBackup=False)),
    ("a selection's name is 1 to 50 letters, digits, hyphens, underscores and periods", "CreateBackupSelection", selection("*", name="a b"), selection("*")),
    ("a selected resource is an ARN, or one's beginning, or everything", "CreateBackupSelection", selection("arn:aws:s3:::*-logs"), selection("arn:aws:s3:::logs-*", "arn:aws:s3:::b")),
    ("a vault that holds recovery points stays", "DeleteBackupVault", {"BackupVaultName": "ruled"}, {"BackupVaultName": "empty"}),
    ("a plan's name is 1 to 50 letters, digits, hyphens, underscores and periods", "UpdateBackupPlan", backup_plan("a b"), backup_plan("a.b")),
    ("a backup may wait for an hour or longer", "UpdateBackupPlan", backup_plan(StartWindowMinutes=59), backup_plan(StartWindowMinutes=60)),
]  # fmt: skip
# Rows whose violation is what every passing request ends with.
LAST = ("the cluster of a new instance exists", "a subnet group exists")
RULES = {(service, rule.rule): rule for (service, _), found in rules.table().items() for rule in found}
SERVICES = {operation: service for service, operation in rules.table()}


def test_every_rule_has_a_row_and_a_source():
    assert {(SERVICES[operation], rule) for rule, operation, _, _ in ROWS} == set(RULES)
    assert all(rule.source and rule.error and rule.message for rule in RULES.values())


@pytest.fixture(scope="module")
def stand_ins(aws, subnets, subnet_group, security_group, instance_of) -> dict[str, Any]:
    """What the rows name: stores in the states that rules look at, and lists of subnets and security groups."""
    rds, cache, ec2 = (aws.client(service) for service in ("rds", "elasticache", "ec2"))
    for major in ("16", "17"):
        family = {"DBParameterGroupFamily": f"aurora-postgresql{major}", "Description": "d"}
        rds.create_db_cluster_parameter_group(DBClusterParameterGroupName=f"ruled-{major}", **family)
        rds.create_db_parameter_group(DBParameterGroupName=f"ruled-{major}", **family)
    cluster = {**BASES["CreateDBCluster"][0], "EngineVersion": "16.11", "DBSubnetGroupName": subnet_group}
    used = ec2.create_security_group(GroupName="used", Description="d", VpcId=ec2.describe_subnets(SubnetIds=subnets)["Subnets"][0]["VpcId"])["GroupId"]  # fmt: skip
    insights = {**INSIGHTS, "PerformanceInsightsRetentionPeriod": 465, "DatabaseInsightsMode": "advanced"}
    watched = {**insights, "MonitoringInterval": 60, "MonitoringRoleArn": ROLE}
    for name, more in (
        ("ruled", {"VpcSecurityGroupIds": [used], "DBClusterParameterGroupName": "ruled-16"}),
        ("protected", {"DeletionProtection": True, "DBClusterParameterGroupName": "ruled-16"}),
        ("staffed", watched),
        ("ruled-next", {}),
    ):
        rds.create_db_cluster(**{**cluster, **more, "DBClusterIdentifier": name})
    for number in (1, 2):
        instance_of("staffed", number, DBParameterGroupName="ruled-16")
    for storage in ("aurora-iopt1", "aurora"):
        rds.modify_db_cluster(DBClusterIdentifier="staffed", StorageType=storage, ApplyImmediately=True)
    for name in ("ruled", "spare"):
        rds.create_db_cluster_snapshot(DBClusterIdentifier="ruled", DBClusterSnapshotIdentifier=name)
    first = rds.describe_db_cluster_snapshots(DBClusterIdentifier="staffed", SnapshotType="automated")
    rds.create_db_cluster_snapshot(DBClusterIdentifier="ruled", DBClusterSnapshotIdentifier="spare-2")
    backup = aws.client("backup")
    for vault in ("ruled", "empty"):
        backup.create_backup_vault(BackupVaultName=vault)
    arn = rds.describe_db_clusters(DBClusterIdentifier="ruled")["DBClusters"][0]["DBClusterArn"]
    point = backup.start_backup_job(BackupVaultName="ruled", ResourceArn=arn, IamRoleArn=ROLE)["RecoveryPointArn"]
    cache.create_cache_parameter_group(
        CacheParameterGroupName="ruled-7", CacheParameterGroupFamily="redis7", Description="d"
    )
    group = {**BASES["CreateReplicationGroup"][0], "CacheSubnetGroupName": subnet_group, "EngineVersion": "7.0"}
    for name, more in (
        ("ruled", {"CacheNodeType": "cache.r6g.large", "CacheParameterGroupName": "ruled-7"}),
        ("ruled-tls", {**TLS, "AuthToken": TOKEN, "NumCacheClusters": 2, "AutomaticFailoverEnabled": True}),
        ("ruled-once", {**TLS, "AuthToken": TOKEN}),
        ("ruled-6", {"EngineVersion": "6.2"}),
        ("ruled-valkey", {"Engine": "valkey", "EngineVersion": "8.0"}),
    ):
        cache.create_replication_group(**{**group, **more, "ReplicationGroupId": name})
    cache.create_snapshot(SnapshotName="ruled", ReplicationGroupId="ruled")
    for number in range(20):
        cache.create_snapshot(SnapshotName=f"once-{number}", ReplicationGroupId="ruled-once")
    other = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    foreign = ec2.create_subnet(VpcId=other, CidrBlock="10.8.1.0/24")["Subnet"]["SubnetId"]
    return {
        "automated": first["DBClusterSnapshots"][0]["DBClusterSnapshotIdentifier"],
        "of-backup": point.rpartition(":cluster-snapshot:")[2],
        "used": used,
        "group": [security_group],
        "zone": subnets[:1],
        "zones": subnets,
        "networks": [*subnets, foreign],
    }


def call(aws: Api, stand_ins: dict[str, Any], operation: str, arguments: dict[str, Any]) -> tuple[str, str]:
    """The error code and message of a request, both empty if it succeeds."""
    sent = {**BASES[operation][0], **arguments}
    told = {
        name: stand_ins.get(value, value) if isinstance(value, str) and name in STOOD_IN else value
        for name, value in sent.items()
        if value is not None
    }
    try:
        getattr(aws.client(SERVICES[operation]), xform_name(operation))(**told)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    return "", ""


STOOD_IN = ("SubnetIds", "VpcSecurityGroupIds", "SecurityGroupIds", "GroupId", "DBClusterSnapshotIdentifier")


def wired(aws: Api, operation: str, error: str) -> str:
    """The code that goes over the wire for an error, which may be the name of its shape."""
    model = aws.client(SERVICES[operation]).meta.service_model
    found = model.shape_for(error).metadata if error in model.shape_names else {}
    return found.get("error", {}).get("code", error)


@pytest.mark.parametrize(
    ("name", "operation", "broken", "kept"), ROWS, ids=[f"{row[1]}: {row[0]}"[:90] for row in ROWS]
)
def test_a_rule_refuses_what_breaks_it_and_nothing_beside(aws, stand_ins, name, operation, broken, kept):
    rule = RULES[SERVICES[operation], name]
    code, message = call(aws, stand_ins, operation, broken)
    assert (code, message) != ("", ""), "nothing was refused"
    assert code == wired(aws, operation, rule.error), message
    words = max(rule.message.replace("{", "}").split("}")[0::2], key=len).strip()
    assert words in message
    if name not in LAST:
        code, message = call(aws, stand_ins, operation, kept)
        assert code in ("", wired(aws, operation, BASES[operation][1])), message
