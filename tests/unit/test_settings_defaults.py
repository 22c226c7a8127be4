"""What a stack gets that says nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from settings import Settings
from settings.database import Database
from settings.defaults import ENVIRONMENTS, defaults
from settings.names import MAIN, StoreNames
from tests.unit.stack_config import load, refusal

# variables.tf and main.tf of the old root and modules, in camelCase; what they got wrong stands in IMPROVED.
OLD_DATABASE = {
    "name": "postgres",
    "db_name": "meetinity",
    "master_username": "meetinity_app",
    "master_password": None,
    "instance_class": "db.r6g.large",
    "instance_count": 2,
    "backup_retention_period": 7,
    "preferred_backup_window": "03:00-04:00",
    "preferred_maintenance_window": "sun:04:00-sun:05:00",
    "allowed_cidr_blocks": (),
    "allowed_security_group_ids": (),
    "kms_key_id": None,
    "performance_insights_enabled": True,
    "deletion_protection": True,
    "apply_immediately": False,
    "allow_major_version_upgrade": False,
    "iam_database_authentication_enabled": True,
    "port": 5432,
}
OLD_REDIS = {
    "name": "redis",
    "engine": "redis",
    "engine_version": "7.1",
    "node_type": "cache.r6g.large",
    "num_cache_clusters": 2,
    "port": 6379,
    "family": "redis7",
    "auth_token": None,
    "allowed_cidr_blocks": (),
    "allowed_security_group_ids": (),
    "maintenance_window": "sun:05:00-sun:06:00",
    "snapshot_retention_limit": 7,
    "apply_immediately": False,
    "transit_encryption_enabled": True,
    "at_rest_encryption_enabled": True,
    "automatic_failover_enabled": True,
    "multi_az_enabled": True,
    "auto_minor_version_upgrade": True,
}
OLD_BACKUP = {
    "enabled": False,
    "vault_name": "dev-backup-vault",
    "plan_name": "dev-daily-backup",
    "schedule": "cron(0 3 * * ? *)",
    "start_window": 60,
    "completion_window": 360,
    "cold_storage_after": 0,
    "delete_after": 35,
    "additional_resource_arns": (),
}
IMPROVED = {
    "engine_version": "16.15",
    "database_insights_mode": "standard",
    "performance_insights_retention_period": 7,
    "monitoring_interval": 60,
    "auto_minor_version_upgrade": True,
}


def fields(model: Any, names: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(model, name) for name in names}


def test_dev_is_what_the_old_modules_made_by_default_and_what_they_lacked() -> None:
    dev = load({})

    assert fields(dev.database, OLD_DATABASE) == OLD_DATABASE
    assert fields(dev.database, IMPROVED) == IMPROVED
    assert fields(dev.redis, OLD_REDIS) == OLD_REDIS
    assert fields(dev.backup, OLD_BACKUP) == OLD_BACKUP
    assert (dev.kubernetes.cluster_name, dev.kubernetes.namespace) == ("meetinity-eks", "meetinity-dev")
    assert dev.network.model_dump() == {
        "vpc_id": None,
        "private_subnet_ids": None,
        "allowed_security_group_ids": None,
        "allowed_cidr_blocks": (),
    }
    assert dev.standard_tags == {"Environment": "dev", "Project": "meetinity"}


@pytest.mark.parametrize(
    ("stack", "differences"),
    [
        ("local", {"database.instance_class": "db.t4g.medium", "redis.node_type": "cache.t4g.micro"}),
        ("staging", {}),
        (
            "prod",
            {
                "database.backup_retention_period": 14,
                "database.database_insights_mode": "advanced",
                "database.performance_insights_retention_period": 465,
            },
        ),
    ],
)
def test_other_environments_differ_from_dev_in_exactly_this(stack: str, differences: dict[str, Any]) -> None:
    def flat(settings: Settings) -> dict[str, Any]:
        return {
            f"{store}.{field}": value
            for store in ("database", "redis")
            for field, value in getattr(settings, store).model_dump().items()
        }

    dev, other = flat(load({})), flat(load({}, stack=stack))

    assert {field: value for field, value in other.items() if dev[field] != value} == differences


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_is_sound_without_a_word_in_its_stack_file(environment: str) -> None:
    settings = load({}, stack=environment)

    assert settings.environment == environment
    assert settings.kubernetes.namespace == f"meetinity-{environment}"
    assert settings.database.instance_count >= 2, "a reader endpoint needs a reader"
    assert settings.redis.num_cache_clusters >= 2, "a reader endpoint needs a replica"
    assert (settings.database.serving, settings.redis.serving) == (MAIN, MAIN)


@pytest.mark.parametrize(
    ("environment", "backups", "snapshots", "insights"), [("dev", 7, 1, 7), ("staging", 7, 7, 7), ("prod", 14, 7, 465)]
)
def test_defaults_stand_at_or_above_the_floors_of_the_policies(
    environment: str, backups: int, snapshots: int, insights: int
) -> None:
    values = defaults(environment)

    assert values["database"]["backupRetentionPeriod"] >= backups
    assert values["redis"]["snapshotRetentionLimit"] >= snapshots
    assert values["database"]["performanceInsightsRetentionPeriod"] >= insights


def test_the_environment_may_differ_from_the_stacks_name() -> None:
    assert load({"environment": "prod"}, stack="blue").database.backup_retention_period == 14


def test_lists_of_the_network_and_of_a_store_add_up() -> None:
    settings = load(
        {
            "network": {"allowedCidrBlocks": ["10.0.0.0/16", "10.1.0.0/16"]},
            "redis": {"allowedCidrBlocks": ["10.1.0.0/16", "fd00::/8"]},
        }
    )

    assert settings.allowed_cidr_blocks(settings.redis) == ("10.0.0.0/16", "10.1.0.0/16", "fd00::/8")
    assert settings.allowed_cidr_blocks(settings.database) == ("10.0.0.0/16", "10.1.0.0/16")


def test_without_insights_their_defaults_go_as_well() -> None:
    database = load({"database": {"performanceInsightsEnabled": False}}, stack="prod").database

    assert (database.database_insights_mode, database.performance_insights_retention_period) == ("standard", None)


def test_serverless_brings_its_instance_class() -> None:
    database = load({"database": {"serverless": {"minCapacity": 0, "maxCapacity": 4}}}).database

    assert database.instance_class == "db.serverless"
    assert database.serverless is not None
    assert (database.serverless.min_capacity, database.serverless.max_capacity) == (0, 4)


@pytest.mark.parametrize("version", ["13.15", "14.12", "15.7", "16.3", "17.4", "18.3", "16"])
def test_versions_that_can_pause_take_a_minimum_of_zero(version: str) -> None:
    config = {"engineVersion": version, "serverless": {"minCapacity": 0, "maxCapacity": 1}}

    assert load({"database": config}).database.engine_version == version


@pytest.mark.parametrize(
    ("engine", "version", "family"),
    [
        ("redis", "6.2", "redis6.x"),
        ("redis", "7.1", "redis7"),
        ("valkey", "7.2", "valkey7"),
        ("valkey", "8.1", "valkey8"),
        ("valkey", "9.0", "valkey9"),
    ],
)
def test_the_family_follows_from_the_engines_version(engine: str, version: str, family: str) -> None:
    assert load({"redis": {"engine": engine, "engineVersion": version}}).redis.family == family


def test_valkey_brings_a_version_of_its_own() -> None:
    assert load({"redis": {"engine": "valkey"}}).redis.family == "valkey8"


@pytest.mark.parametrize(("version", "family"), [("15.10", "aurora-postgresql15"), ("17", "aurora-postgresql17")])
def test_the_family_follows_from_the_major(version: str, family: str) -> None:
    assert load({"database": {"engineVersion": version}}).database.family == family


def test_new_stacks_carry_the_family_in_the_parameter_groups_name() -> None:
    prod = load({}, stack="prod")

    assert prod.names(prod.database, MAIN) == StoreNames("prod-postgres", "prod-postgres-aurora-postgresql16")
    assert prod.names(prod.database, "r1") == StoreNames("prod-postgres-r1", "prod-postgres-r1-aurora-postgresql16")
    assert prod.names(prod.redis, MAIN) == StoreNames("prod-redis", "prod-redis-redis7")


def test_a_group_name_has_no_dot_even_where_the_family_has() -> None:
    dev = load({"redis": {"engineVersion": "6.2"}})

    assert dev.names(dev.redis, MAIN).parameter_group == "dev-redis-redis6-x"


def test_adopted_stacks_keep_the_old_parameter_groups_name() -> None:
    dev = load({"database": {"parameterGroupName": "dev-postgres-pg"}})

    assert dev.names(dev.database, MAIN).parameter_group == "dev-postgres-pg"
    assert dev.names(dev.database, "r1").parameter_group == "dev-postgres-pg-r1"


def test_physical_names_are_those_of_the_old_modules() -> None:
    dev = load({})
    names = dev.names(dev.database, MAIN)

    assert [names.store, names.instance(1), names.subnet_group, names.security_group, names.monitoring_role] == [
        "dev-postgres",
        "dev-postgres-1",
        "dev-postgres-subnet",
        "dev-postgres-sg",
        "dev-postgres-monitoring",
    ]


def test_names_as_long_as_aws_allows_are_taken() -> None:
    assert load({"redis": {"name": "r" * 36}}).redis.name == "r" * 36
    assert load({"database": {"name": "d" * 57, "monitoringInterval": 0}}).database.name == "d" * 57
    assert "1 error" in str(refusal({"database": {"name": "d" * 57, "monitoringInterval": 0, "instanceCount": 10}}))


def test_windows_may_follow_each_other_without_a_gap() -> None:
    windows = {"preferredBackupWindow": "23:00-00:00", "preferredMaintenanceWindow": "sun:22:00-sun:23:00"}

    assert load({"database": windows})
    assert load({"database": {**windows, "preferredMaintenanceWindow": "mon:00:00-mon:01:00"}})


def test_another_way_in_takes_the_default_clusters_place() -> None:
    network = {"vpcId": "vpc-0a1b2c3d", "privateSubnetIds": ["subnet-0a1b2c3d", "subnet-0a1b2c3e"]}

    kubernetes = load({"kubernetes": {"context": "kind"}, "network": network}).kubernetes

    assert (kubernetes.cluster_name, kubernetes.context, kubernetes.kubeconfig) == (None, "kind", None)


def test_restores_of_every_kind_are_taken() -> None:
    settings = load(
        {
            "database": {
                "serving": "r2",
                "generations": {
                    "main": {"restore": {"snapshot": "rds:dev-postgres-2026-11-20-03-05"}},
                    "r1": {"restore": {"snapshot": "arn:aws:rds:eu-west-1:123456789012:cluster-snapshot:rds:a-1"}},
                    "r2": {"restore": {"generation": "main", "pointInTime": "2026-11-23T12:59:59+01:00"}},
                    "r3": {"restore": {"generation": "r2", "pointInTime": "latest"}},
                    "r4": {"restore": {"generation": "main", "clone": True}},
                    "r5": {},
                },
            },
            "redis": {
                "generations": {"main": {}, "r1": {"restore": {"snapshot": "automatic.dev-redis-2026-11-20-03-00"}}}
            },
        }
    )

    assert list(settings.database.generations) == ["main", "r1", "r2", "r3", "r4", "r5"]
    restore = settings.database.generations["r2"].restore
    assert restore is not None
    assert (restore.generation, restore.point_in_time) == ("main", "2026-11-23T12:59:59+01:00")


KEY = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-1111-2222-3333-444455556666"
AT_THE_LIMITS: list[dict[str, Any]] = [
    {"tags": {"k" * 128: "v" * 256, "cost-centre": ""}},
    {"kubernetes": {"clusterName": "c" * 100, "namespace": "n" * 63, "createNamespace": True}},
    {"database": {"engineVersion": "11", "dbName": "d" * 63, "masterUsername": "u" * 16, "kmsKeyId": KEY}},
    {"database": {"engineVersion": "18.6", "instanceCount": 1, "port": 1150, "backupRetentionPeriod": 1}},
    {"database": {"instanceCount": 16, "port": 65535, "backupRetentionPeriod": 35, "monitoringInterval": 0}},
    {"database": {"performanceInsightsRetentionPeriod": 731, "storageType": "aurora-iopt1"}},
    {"database": {"performanceInsightsRetentionPeriod": 31 * 23, "monitoringInterval": 1}},
    {"database": {"performanceInsightsRetentionPeriod": 465, "databaseInsightsMode": "advanced"}},
    {"database": {"preferredBackupWindow": "23:45-00:15", "preferredMaintenanceWindow": "sun:23:15-sun:23:45"}},
    {"database": {"serverless": {"minCapacity": 0, "maxCapacity": 1, "secondsUntilAutoPause": 300}}},
    {"database": {"serverless": {"minCapacity": 0, "maxCapacity": 256, "secondsUntilAutoPause": 86400}}},
    {"database": {"engineVersion": "16.2", "serverless": {"minCapacity": 0.5, "maxCapacity": 0.5 + 0.5}}},
    {"database": {"serverless": {"minCapacity": 256, "maxCapacity": 256}}},
    {"database": {"generations": {"main": {"restore": {"snapshot": "s" * 255}}, "g" * 12: {}}}},
    {
        "database": {
            "generations": {"main": {}, "a": {"restore": {"generation": "main", "pointInTime": "2026-11-23T12:00:00Z"}}}
        }
    },
    {"redis": {"numCacheClusters": 1, "automaticFailoverEnabled": False, "multiAzEnabled": False, "port": 1}},
    {"redis": {"numCacheClusters": 2, "multiAzEnabled": False, "automaticFailoverEnabled": False, "port": 65535}},
    {"redis": {"numCacheClusters": 6, "snapshotRetentionLimit": 0, "kmsKeyId": KEY, "parameterGroupFamily": "redis7"}},
    {"redis": {"snapshotRetentionLimit": 35, "atRestEncryptionEnabled": False, "parameterGroupName": "p" * 255}},
    {"redis": {"snapshotWindow": "23:30-00:30", "maintenanceWindow": "mon:00:30-mon:01:30"}},
    {"redis": {"transitEncryptionEnabled": False}},
    {"migrations": [{"name": "m" * 44, "image": "a:1", "command": ["b"], "deadlineSeconds": 1, "revision": "0010"}]},
    {"migrations": [{"name": "m", "image": "a:1", "command": ["b"], "deadlineSeconds": 86400, "versionTable": "s.t"}]},
    {
        "migrations": [
            {
                "name": "m",
                "image": "a:1",
                "command": ["b"],
                "resources": {
                    "requests": {"cpu": "1000m", "memory": "1Gi"},
                    "limits": {"cpu": "1", "memory": "1024Mi"},
                },
            }
        ]
    },
    {"migrations": [{"name": "m", "image": "a:1", "command": ["b", "b"], "resources": {"limits": {"cpu": "0.5"}}}]},
    {"access": {"readers": [{"kind": "User", "name": "r" * 253}, {"kind": "Group", "name": "r" * 253}]}},
    {"backup": {"vaultName": "ab", "planName": "p" * 45, "startWindow": 60, "completionWindow": 120, "deleteAfter": 1}},
    {"backup": {"vaultName": "v" * 50, "startWindow": 52_559_940, "completionWindow": 52_560_000}},
    {
        "backup": {
            "coldStorageAfter": 36_410,
            "deleteAfter": 36_500,
            "additionalResourceArns": ["arn:aws:s3:::bucket-*"],
        }
    },
    {"backup": {"coldStorageAfter": 30, "deleteAfter": 120, "selectionTags": {"backup": ""}}},
    {
        "backup": {
            "enabled": True,
            "schedule": "cron(0 3 ? * MON-FRI *)",
            "enableContinuousBackup": True,
            "deleteAfter": 7,
        }
    },
    {"backup": {"vaultLock": {"mode": "governance", "minRetentionDays": 35, "maxRetentionDays": 35}}},
    {"backup": {"vaultLock": {"mode": "compliance", "changeableForDays": 3}}},
    {
        "backup": {
            "copyTo": {
                "vaultArn": "arn:aws:backup:eu-central-1:123456789012:backup-vault:copies",
                "coldStorageAfter": 1,
                "deleteAfter": 91,
            }
        }
    },
    {"monitoring": {"alarmsEnabled": False, "databaseCpuPercent": 1, "redisCpuPercent": 100}},
    {"monitoring": {"subscribers": [{"protocol": "email", "endpoint": "data-ops@meetinity.example"}]}},
]


@pytest.mark.parametrize("config", AT_THE_LIMITS)
def test_values_at_their_limits_are_taken(config: dict[str, Any]) -> None:
    assert load(config)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("database", {"masterPassword": "!#%&" + "p" * 4}),
        ("database", {"masterPassword": "p" * 41}),
        ("redis", {"authToken": "!&#$^<>-" + "t" * 8}),
        ("redis", {"authToken": "t" * 128}),
    ],
)
def test_secrets_at_their_limits_are_taken(section: str, values: dict[str, Any]) -> None:
    assert load({section: values}, secret=[section])


@pytest.mark.parametrize(
    ("section", "values"),
    [("database", {"masterPassword": "p" * 42}), ("redis", {"authToken": "t" * 129})],
)
def test_secrets_beyond_their_limits_are_not(section: str, values: dict[str, Any]) -> None:
    assert "1 error" in str(refusal({section: values}, secret=[section]))


@pytest.mark.parametrize(
    "image",
    [
        "user-service:1",
        "ghcr.io/meetinity/user-service:migrations-1.0.0",
        "localhost:5000/a/b:1",
        "registry:5000/a:1",
        f"a@sha256:{'0' * 64}",
        f"ghcr.io/a/b_c:1@sha256:{'f' * 64}",
    ],
)
def test_images_with_a_tag_or_a_digest_are_taken(image: str) -> None:
    migration = load({"migrations": [{"name": "a", "image": image, "command": ["b", "-c"]}]}).migrations[0]

    assert (migration.image, migration.command) == (image, ("b", "-c"))
    assert (migration.version_table, migration.deadline_seconds, migration.revision) == ("alembic_version", 900, None)
    assert migration.resources.model_dump() == {
        "requests": {"cpu": "200m", "memory": "256Mi"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    }


def test_readers_read_both_secrets_unless_told_otherwise() -> None:
    readers = load(
        {
            "access": {
                "readers": [
                    {"kind": "Group", "name": "data-ops", "secrets": None},
                    {"kind": "User", "name": "arn:aws:iam::123456789012:user/ada"},
                    {
                        "kind": "ServiceAccount",
                        "name": "exporter",
                        "namespace": "monitoring",
                        "secrets": ["platform-redis"],
                    },
                ]
            }
        }
    ).access.readers

    assert [reader.secrets for reader in readers] == [
        ("platform-database", "platform-redis"),
        ("platform-database", "platform-redis"),
        ("platform-redis",),
    ]


def test_settings_cannot_be_changed_after_the_fact() -> None:
    settings = load({})

    with pytest.raises(ValueError, match="frozen"):
        settings.database.instance_count = 1  # type: ignore[misc]


def test_every_default_is_a_key_of_its_section() -> None:
    known = {str(field.alias) for field in Database.model_fields.values()}

    assert set(defaults("prod")["database"]) <= known


def test_importing_settings_brings_in_neither_pulumi_nor_yaml() -> None:
    program = "import settings, sys; print({'pulumi', 'yaml', 'boto3'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
