"""The defaults of every environment, in the spelling of a stack file: a stack file holds only what differs.

They are the old Terraform modules' own, but for: a supported engine version, Database Insights and
enhanced monitoring, which those modules lacked, and what production asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from settings.access import SECRETS
from settings.database import SERVERLESS_CLASS
from settings.names import MAIN

Values = dict[str, Any]

_COMMON: Mapping[str, Values] = {
    "network": {"allowedCidrBlocks": []},
    "kubernetes": {"clusterName": "meetinity-eks", "createNamespace": False},
    "database": {
        "name": "postgres",
        # The newest 16 (October 2026): standard support until 2029-02-28, and the longest way to go before AWS retires
        # the minor. Not the LTS minor 16.8: staying there would mean no automatic minor upgrades.
        "engineVersion": "16.15",
        "dbName": "meetinity",
        "masterUsername": "meetinity_app",
        "instanceClass": "db.r6g.large",
        "instanceCount": 2,
        "port": 5432,
        "backupRetentionPeriod": 7,
        "preferredBackupWindow": "03:00-04:00",
        "preferredMaintenanceWindow": "sun:04:00-sun:05:00",
        "performanceInsightsEnabled": True,
        "performanceInsightsRetentionPeriod": 7,
        "databaseInsightsMode": "standard",
        "monitoringInterval": 60,
        "deletionProtection": True,
        "applyImmediately": False,
        "allowMajorVersionUpgrade": False,
        "autoMinorVersionUpgrade": True,
        "iamDatabaseAuthenticationEnabled": True,
        "allowedCidrBlocks": [],
        "allowedSecurityGroupIds": [],
        "serving": MAIN,
        "generations": {MAIN: {}},
    },
    "redis": {
        "name": "redis",
        "engine": "redis",
        "engineVersion": "7.1",
        "nodeType": "cache.r6g.large",
        "numCacheClusters": 2,
        "port": 6379,
        # AWS picked one for the old module: named, so that it stays clear of the maintenance window.
        "snapshotWindow": "03:00-04:00",
        "maintenanceWindow": "sun:05:00-sun:06:00",
        "snapshotRetentionLimit": 7,
        "automaticFailoverEnabled": True,
        "multiAzEnabled": True,
        "transitEncryptionEnabled": True,
        "atRestEncryptionEnabled": True,
        "autoMinorVersionUpgrade": True,
        "applyImmediately": False,
        "allowedCidrBlocks": [],
        "allowedSecurityGroupIds": [],
        "serving": MAIN,
        "generations": {MAIN: {}},
    },
    "access": {"readers": []},
    "backup": {
        "enabled": False,
        "schedule": "cron(0 3 * * ? *)",
        "startWindow": 60,
        "completionWindow": 360,
        "additionalResourceArns": [],
        "selectionTags": {},
        "enableContinuousBackup": False,
        "coldStorageAfter": 0,
        "deleteAfter": 35,
    },
    # Thresholds: AWS's recommended alarms (CloudWatch User Guide).
    "monitoring": {
        "alarmsEnabled": False,
        "exportersEnabled": False,
        "dashboardsEnabled": False,
        "databaseCpuPercent": 90,
        "redisCpuPercent": 90,
        "redisMemoryPercent": 80,
        "subscribers": [],
    },
}

# What differs from the common ones.
_DIFFERENCES: Mapping[str, Mapping[str, Values]] = {
    # Smaller where it is cost alone; two instances and two nodes stay, or a reader endpoint would have no reader.
    "local": {"database": {"instanceClass": "db.t4g.medium"}, "redis": {"nodeType": "cache.t4g.micro"}},
    "dev": {},
    "staging": {},
    "prod": {
        "database": {
            "backupRetentionPeriod": 14,
            "databaseInsightsMode": "advanced",
            "performanceInsightsRetentionPeriod": 465,
        }
    },
}

ENVIRONMENTS = tuple(_DIFFERENCES)

# Of every entry of a list.
ENTRIES: Mapping[tuple[str, ...], Values] = {
    ("migrations",): {
        "versionTable": "alembic_version",
        # Inside the LimitRange of every environment: prod asks for 150m/256Mi at least, dev allows 2/2Gi at most.
        "resources": {"requests": {"cpu": "200m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "deadlineSeconds": 900,
    },
    ("access", "readers"): {"secrets": list(SECRETS)},
}


def defaults(environment: str) -> dict[str, Values]:
    """The defaults of one environment, section by section."""
    named: dict[str, Values] = {
        "kubernetes": {"namespace": f"meetinity-{environment}"},
        "backup": {"vaultName": f"{environment}-backup-vault", "planName": f"{environment}-daily-backup"},
    }
    own = _DIFFERENCES[environment]
    return {
        section: {**values, **named.get(section, {}), **own.get(section, {})} for section, values in _COMMON.items()
    }


def with_defaults(environment: str, given: Mapping[str, Any]) -> Values:
    """`given`, where a key that is absent or null takes its default. What has the wrong shape stays as it is."""
    completed: Values = {"environment": environment, "tags": {}, "migrations": [], "acknowledged": [], **given}
    for section, values in defaults(environment).items():
        own = given.get(section, {})
        completed[section] = _over(_consistent(section, values, own), own) if isinstance(own, dict) else own
    for (section, *below), entry in ENTRIES.items():
        holder, key = (completed[section], below[0]) if below else (completed, section)
        if isinstance(holder, dict) and isinstance(holder.get(key), list):
            holder[key] = [_over(entry, item) if isinstance(item, dict) else item for item in holder[key]]
    return completed


def _over(values: Values, own: Mapping[str, Any]) -> Values:
    return {**values, **{key: value for key, value in own.items() if value is not None or key not in values}}


def _consistent(section: str, values: Values, own: Mapping[str, Any]) -> Values:
    """The defaults without those that would contradict what the stack, or another default, says."""
    return {**values, **_giving_way(section, _over(values, own))}


def _giving_way(section: str, own: Mapping[str, Any]) -> Values:
    """Defaults that would contradict what is said, and the ones that take their place."""
    if section == "kubernetes" and (own.get("context") is not None or own.get("kubeconfig") is not None):
        return {"clusterName": None}
    if section == "redis" and own.get("engine") == "valkey":
        return {"engineVersion": "8.2"}
    instead: Values = {}
    if section == "database" and own.get("performanceInsightsEnabled") is False:
        instead |= {"databaseInsightsMode": "standard", "performanceInsightsRetentionPeriod": None}
    if section == "database" and own.get("serverless") is not None:
        instead |= {"instanceClass": SERVERLESS_CLASS}
    return instead
