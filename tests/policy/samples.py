"""One compliant resource of each type: a test changes one thing in it."""

from __future__ import annotations

import copy
from typing import Any

from policies import tokens
from policies.connections import KEYS
from policies.rule import Resource
from policies.value import Secret

TAGS = {"Environment": "prod", "Project": "meetinity", "Name": "prod-thing"}

CONTAINER = {
    "name": "migrate",
    "image": f"ghcr.io/meetinity/user-service:1.0.0@sha256:{'0' * 64}",
    "command": ["alembic", "upgrade", "head"],
    "env": [
        {"name": "HOME", "value": "/tmp"},
        {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "platform-database", "key": "DATABASE_URL"}}},
    ],
    "resources": {"requests": {"cpu": "200m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
}

POD = {
    "restartPolicy": "Never",
    "serviceAccountName": "migration",
    "automountServiceAccountToken": False,
    "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
    "volumes": [{"name": "tmp", "emptyDir": {}}],
    "containers": [CONTAINER],
}

PROPERTIES: dict[str, dict[str, Any]] = {
    tokens.CLUSTER: {
        "clusterIdentifier": "prod-postgres",
        "engine": "aurora-postgresql",
        "engineVersion": "16.15",
        "masterUsername": "meetinity_app",
        "masterPassword": Secret("correcthorsebatterystaple"),
        "dbSubnetGroupName": "prod-postgres-subnet",
        "dbClusterParameterGroupName": "prod-postgres-aurora-postgresql16",
        "backupRetentionPeriod": 14,
        "preferredBackupWindow": "03:00-04:00",
        "preferredMaintenanceWindow": "sun:04:00-sun:05:00",
        "skipFinalSnapshot": False,
        "finalSnapshotIdentifier": "prod-postgres-final-0a1b2c3d",
        "deleteAutomatedBackups": False,
        "copyTagsToSnapshot": True,
        "deletionProtection": True,
        "storageEncrypted": True,
        "kmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/k",
        "iamDatabaseAuthenticationEnabled": True,
        "enabledCloudwatchLogsExports": ["postgresql"],
        "performanceInsightsEnabled": True,
        "performanceInsightsRetentionPeriod": 465,
        "performanceInsightsKmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/k",
        "databaseInsightsMode": "advanced",
        "monitoringInterval": 60,
        "monitoringRoleArn": "arn:aws:iam::123456789012:role/monitoring",
        "arn": "arn:aws:rds:eu-west-1:123456789012:cluster:prod-postgres",
        "tags": TAGS,
    },
    tokens.INSTANCE: {
        "identifier": "prod-postgres-1",
        "clusterIdentifier": "prod-postgres",
        "engine": "aurora-postgresql",
        "dbSubnetGroupName": "prod-postgres-subnet",
        "publiclyAccessible": False,
        "autoMinorVersionUpgrade": True,
        "performanceInsightsEnabled": True,
        "performanceInsightsRetentionPeriod": 465,
        "performanceInsightsKmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/k",
        "monitoringInterval": 60,
        "monitoringRoleArn": "arn:aws:iam::123456789012:role/monitoring",
        "tags": TAGS,
    },
    tokens.CLUSTER_PARAMETERS: {
        "name": "prod-postgres-aurora-postgresql16",
        "family": "aurora-postgresql16",
        "parameters": [
            {"name": "rds.force_ssl", "value": "1"},
            {"name": "log_statement", "value": "ddl"},
            {"name": "log_min_duration_statement", "value": "1000"},
            {"name": "shared_preload_libraries", "value": "pg_stat_statements"},
        ],
        "tags": TAGS,
    },
    tokens.REPLICATION_GROUP: {
        "replicationGroupId": "prod-redis",
        "engine": "redis",
        "engineVersion": "7.1",
        "numCacheClusters": 2,
        "automaticFailoverEnabled": True,
        "multiAzEnabled": True,
        "subnetGroupName": "prod-redis-subnet",
        "atRestEncryptionEnabled": True,
        "kmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/k",
        "transitEncryptionEnabled": True,
        "authToken": Secret("correcthorsebatterystaple"),
        "snapshotRetentionLimit": 7,
        "snapshotWindow": "03:00-04:00",
        "maintenanceWindow": "sun:05:00-sun:06:00",
        "finalSnapshotIdentifier": "prod-redis-final-0a1b2c3d",
        "autoMinorVersionUpgrade": True,
        "logDeliveryConfigurations": [{"logType": "slow-log"}, {"logType": "engine-log"}],
        "tags": TAGS,
    },
    tokens.SECURITY_GROUP: {"description": "Connections to prod-postgres", "egress": [], "tags": TAGS},
    tokens.SECURITY_GROUP_RULE: {
        "type": "ingress", "protocol": "tcp", "cidrBlocks": ["10.0.0.0/16"], "description": "from the office",
    },
    tokens.INGRESS_RULE: {
        "ipProtocol": "tcp", "cidrIpv4": "10.0.0.0/16", "description": "from the nodes", "tags": TAGS,
    },
    tokens.EGRESS_RULE: {"ipProtocol": "tcp", "cidrIpv4": "10.0.0.0/16", "description": "to a peer", "tags": TAGS},
    tokens.CLUSTER_SNAPSHOT: {"storageEncrypted": True, "sharedAccounts": ["123456789012"], "tags": TAGS},
    tokens.BACKUP_PLAN: {"id": "plan-1", "rules": [{"lifecycle": {"deleteAfter": 35}}], "tags": TAGS},
    tokens.BACKUP_SELECTION: {
        "planId": "plan-1", "resources": ["arn:aws:rds:eu-west-1:123456789012:cluster:prod-postgres"],
    },
    tokens.SECRET: {
        "metadata": {"name": "platform-redis", "namespace": "meetinity-prod"},
        "type": "Opaque",
        "stringData": Secret(dict.fromkeys(KEYS["platform-redis"], "x")),
    },
    tokens.ROLE: {
        "metadata": {"name": "reader", "namespace": "meetinity-prod"},
        "rules": [
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["platform-redis"], "verbs": ["get"]},
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "watch"]},
        ],
    },
    tokens.ROLE_BINDING: {
        "metadata": {"name": "readers", "namespace": "meetinity-prod"},
        "roleRef": {"kind": "Role", "name": "reader"},
        "subjects": [{"kind": "Group", "name": "data-ops"}],
    },
    tokens.JOB: {
        "metadata": {"name": "user-service-migration-1f2e3d4c", "namespace": "meetinity-prod"},
        "spec": {"backoffLimit": 1, "activeDeadlineSeconds": 900, "template": {"spec": POD}},
    },
    tokens.RANDOM_PASSWORD: {"length": 32, "result": Secret("correcthorsebatterystaple")},
    tokens.STACK: {
        "database_endpoint": "writer.example",
        "database_password": Secret("correcthorsebatterystaple"),
        "helm_values": {
            "global": {"database": {"secretName": "platform-database", "secretKeys": {"password": "password"}}}
        },
    },
    tokens.PROXY: {"name": "prod-proxy", "engineFamily": "POSTGRESQL", "requireTls": True},
    tokens.REDIS_USER: {
        "userId": "app", "userName": "app", "engine": "redis", "accessString": "on ~* +@read",
        "authenticationMode": {"type": "password", "passwords": Secret(["correcthorsebatterystaple"])},
    },
    tokens.KEY: {"description": "stores", "enableKeyRotation": True, "tags": TAGS},
    tokens.BACKUP_VAULT: {"name": "prod-backup-vault", "tags": TAGS},
    tokens.INSTANCE_PARAMETERS: {
        "name": "prod-postgres-aurora-postgresql16-instance", "family": "aurora-postgresql16",
        "parameters": [{"name": "work_mem", "value": "65536"}], "tags": TAGS,
    },
    tokens.PREFIX_LIST: {"name": "offices", "id": "pl-1", "entries": [{"cidr": "10.1.0.0/16"}]},
    tokens.PREFIX_LIST_ENTRY: {"cidr": "10.1.0.0/16", "prefixListId": "pl-1"},
    tokens.DEFAULT_SECURITY_GROUP: {"vpcId": "vpc-1", "ingress": [], "egress": []},
    tokens.RANDOM_ID: {"byteLength": 4, "keepers": {"identifier": "prod-postgres"}},
    tokens.CONFIG_MAP: {
        "metadata": {"name": "settings", "namespace": "meetinity-prod"},
        "data": {"LOG_LEVEL": "info", "settings.ini": "level = info\npassword = ${DB_PASSWORD}\ntoken_ttl: 60\n"},
    },
    tokens.CLUSTER_ROLE_BINDING: {
        "metadata": {"name": "readers"},
        "roleRef": {"kind": "Role", "name": "reader"},
        "subjects": [{"kind": "Group", "name": "data-ops"}],
    },
}  # fmt: skip

MISSING = object()


def sample(type_: str, changes: dict[str, Any] | None = None, *, protect: bool = True, name: str = "it") -> Resource:
    """A compliant resource of `type_` with each dotted path of `changes` set, or taken out where MISSING."""
    properties = copy.deepcopy(PROPERTIES[type_])
    for path, value in (changes or {}).items():
        _set(properties, path.split("/"), value)
    urn = f"urn:pulumi:prod::meetinity-data::{type_}::{name}"
    return Resource(type=type_, properties=properties, urn=urn, name=name, protect=protect)


def bare(type_: str, **properties: Any) -> Resource:
    """A resource of any type, with no more than is said."""
    return Resource(type=type_, properties=properties, urn=f"urn:pulumi:prod::meetinity-data::{type_}::it", name="it")


def _set(target: Any, path: list[str], value: Any) -> None:
    *above, last = path
    for step in above:
        target = target[int(step)] if isinstance(target, list) else target[step]
        if isinstance(target, Secret):
            target = target.value
    key: Any = int(last) if isinstance(target, list) else last
    if value is MISSING:
        target.pop(key) if isinstance(target, list) else target.pop(key, None)
    else:
        target[key] = value
