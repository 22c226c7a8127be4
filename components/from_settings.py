"""Component arguments from the stack's settings: the one place where their names meet.

Components do not know the settings, so that each is usable without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pulumi
import pulumi_aws as aws

from components.aurora import AuroraCluster, AuroraClusterArgs, AuroraRestore, ServerlessV2
from components.backup_plan import BackupPlanArgs, CopyAction, VaultLock
from components.cluster_access import ClusterAccess, eks_access
from components.migration import MigrationJobArgs
from components.network import Network, resolve_network
from components.redis import RedisReplicationGroup, RedisReplicationGroupArgs
from components.secrets import ConnectionSecretsArgs, DatabaseConnection, RedisConnection, SecretReader, StandingStores
from settings import Settings
from settings.migrations import Migration
from settings.names import MAIN
from settings.store import Store


def logical_name(store: str, generation: str) -> str:
    """`database`, and `database-r1` for generation r1: what stands in the URN, for ever."""
    return store if generation == MAIN else f"{store}-{generation}"


def kubernetes_and_network(settings: Settings) -> tuple[ClusterAccess, Network]:
    """The way into the cluster, and the network; both from one look-up of the EKS cluster, where it is used."""
    kubernetes, network = settings.kubernetes, settings.network
    eks = aws.eks.get_cluster_output(name=kubernetes.cluster_name) if kubernetes.cluster_name else None
    if eks is not None and kubernetes.cluster_name:
        access = eks_access(kubernetes.cluster_name, eks)
    elif kubernetes.kubeconfig is not None:
        # The stack is all that is known to stay the same while a kubeconfig changes.
        access = ClusterAccess(
            identifier=f"{pulumi.get_project()}-{pulumi.get_stack()}",
            kubeconfig=pulumi.Output.secret(kubernetes.kubeconfig.get_secret_value()),
        )
    else:
        access = ClusterAccess(identifier=f"context/{kubernetes.context}", context=kubernetes.context)
    return access, resolve_network(
        eks_cluster=eks,
        eks_cluster_name=kubernetes.cluster_name,
        vpc_id=network.vpc_id,
        private_subnet_ids=network.private_subnet_ids,
        allowed_security_group_ids=network.allowed_security_group_ids,
        allowed_cidr_blocks=network.allowed_cidr_blocks,
    )


def _allowed_security_groups(network: Network, store: Store) -> Mapping[str, pulumi.Input[str]]:
    return {**network.allowed_security_groups, **{group: group for group in store.allowed_security_group_ids}}


def _accepted_changes(settings: Settings, section: str) -> frozenset[str]:
    return settings.acknowledged_changes(section, datetime.now(UTC).date())


def _aurora_restore(settings: Settings, generation: str) -> AuroraRestore | None:
    restore = settings.database.generations[generation].restore
    if restore is None:
        return None
    latest = restore.point_in_time == "latest"
    return AuroraRestore(
        snapshot=restore.snapshot,
        source_cluster=settings.names(settings.database, restore.generation).store if restore.generation else None,
        restore_to_time=None if latest else restore.point_in_time,
        latest=latest,
        clone=bool(restore.clone),
    )


def aurora_args(settings: Settings, generation: str, network: Network) -> AuroraClusterArgs:
    database = settings.database
    names = settings.names(database, generation)
    return AuroraClusterArgs(
        identifier=names.store,
        parameter_group_name=names.parameter_group,
        parameter_group_family=database.family,
        engine_version=database.engine_version,
        vpc_id=network.vpc_id,
        subnet_ids=network.private_subnet_ids,
        allowed_security_groups=_allowed_security_groups(network, database),
        allowed_cidr_blocks=settings.allowed_cidr_blocks(database),
        tags=settings.standard_tags,
        database_name=database.db_name,
        master_username=database.master_username,
        master_password=database.master_password.get_secret_value() if database.master_password else None,
        port=database.port,
        instance_class=database.instance_class,
        instance_count=database.instance_count,
        serverless=ServerlessV2(
            min_capacity=database.serverless.min_capacity,
            max_capacity=database.serverless.max_capacity,
            seconds_until_auto_pause=database.serverless.seconds_until_auto_pause,
        )
        if database.serverless
        else None,
        storage_type=database.storage_type,
        kms_key_id=database.kms_key_id,
        backup_retention_period=database.backup_retention_period,
        preferred_backup_window=database.preferred_backup_window,
        backups_managed_by_aws_backup=settings.backup.enabled and settings.backup.enable_continuous_backup,
        preferred_maintenance_window=database.preferred_maintenance_window,
        deletion_protection=database.deletion_protection and not database.generations[generation].retiring,
        restore=_aurora_restore(settings, generation),
        performance_insights_enabled=database.performance_insights_enabled,
        performance_insights_retention_period=database.performance_insights_retention_period,
        database_insights_mode=database.database_insights_mode,
        monitoring_interval=database.monitoring_interval,
        iam_database_authentication_enabled=database.iam_database_authentication_enabled,
        # What serves nobody need not wait for a window: a restore is then as configured one update later.
        apply_immediately=database.apply_immediately or generation != database.serving,
        allow_major_version_upgrade=database.allow_major_version_upgrade,
        auto_minor_version_upgrade=database.auto_minor_version_upgrade,
        accepted_changes=_accepted_changes(settings, "database"),
    )


def redis_args(settings: Settings, generation: str, network: Network) -> RedisReplicationGroupArgs:
    redis = settings.redis
    names = settings.names(redis, generation)
    restore = redis.generations[generation].restore
    return RedisReplicationGroupArgs(
        identifier=names.store,
        parameter_group_name=names.parameter_group,
        parameter_group_family=redis.family,
        vpc_id=network.vpc_id,
        subnet_ids=network.private_subnet_ids,
        allowed_security_groups=_allowed_security_groups(network, redis),
        allowed_cidr_blocks=settings.allowed_cidr_blocks(redis),
        tags=settings.standard_tags,
        engine=redis.engine,
        engine_version=redis.engine_version,
        node_type=redis.node_type,
        num_cache_clusters=redis.num_cache_clusters,
        port=redis.port,
        auth_token=redis.auth_token.get_secret_value() if redis.auth_token else None,
        kms_key_id=redis.kms_key_id,
        transit_encryption_enabled=redis.transit_encryption_enabled,
        at_rest_encryption_enabled=redis.at_rest_encryption_enabled,
        automatic_failover_enabled=redis.automatic_failover_enabled,
        multi_az_enabled=redis.multi_az_enabled,
        snapshot_retention_limit=redis.snapshot_retention_limit,
        snapshot_window=redis.snapshot_window,
        maintenance_window=redis.maintenance_window,
        snapshot_name=restore.snapshot if restore else None,
        apply_immediately=redis.apply_immediately or generation != redis.serving,
        auto_minor_version_upgrade=redis.auto_minor_version_upgrade,
        protect=not redis.generations[generation].retiring,
        accepted_changes=_accepted_changes(settings, "redis"),
    )


def backup_plan_args(settings: Settings, databases: Mapping[str, AuroraCluster]) -> BackupPlanArgs:
    """Every generation of the database is backed up: a restored one before it serves, a retiring one to its end.

    Names are the old module's.
    """
    backup, environment = settings.backup, settings.environment
    lock, copy = backup.vault_lock, backup.copy_to
    arns = {key: database.cluster_arn for key, database in databases.items()}
    return BackupPlanArgs(
        vault_name=backup.vault_name,
        plan_name=backup.plan_name,
        role_name=f"{environment}-aws-backup-role",
        selection_name=f"{environment}-backup-selection",
        resource_arns=[*(arns[key] for key in arns if key == MAIN), *backup.additional_resource_arns],
        generation_arns={key: arn for key, arn in arns.items() if key != MAIN},
        selection_tags=backup.selection_tags,
        tags=settings.standard_tags,
        kms_key_id=backup.kms_key_id,
        schedule=backup.schedule,
        start_window=backup.start_window,
        completion_window=backup.completion_window,
        delete_after=backup.delete_after,
        cold_storage_after=backup.cold_storage_after or None,
        enable_continuous_backup=backup.enable_continuous_backup,
        vault_lock=VaultLock(
            changeable_for_days=lock.changeable_for_days,
            min_retention_days=lock.min_retention_days,
            max_retention_days=lock.max_retention_days,
        )
        if lock
        else None,
        copy_to=CopyAction(
            vault_arn=copy.vault_arn,
            delete_after=copy.delete_after,
            cold_storage_after=copy.cold_storage_after or None,
        )
        if copy
        else None,
    )


def secrets_args(
    settings: Settings,
    namespace: pulumi.Input[str],
    network: Network,
    database: AuroraCluster,
    redis: RedisReplicationGroup,
) -> ConnectionSecretsArgs:
    return ConnectionSecretsArgs(
        namespace=namespace,
        database=DatabaseConnection(
            host=database.endpoint,
            reader_host=database.reader_endpoint,
            port=database.port,
            database=database.database_name,
            username=database.username,
            password=database.password,
        ),
        redis=RedisConnection(
            host=redis.primary_endpoint,
            reader_host=redis.reader_endpoint,
            port=redis.port,
            password=redis.auth_token,
        ),
        subnet_cidr_blocks=network.private_subnet_cidr_blocks,
        readers=[
            SecretReader(kind=reader.kind, name=reader.name, namespace=reader.namespace, secrets=reader.secrets)
            for reader in settings.access.readers
        ],
        stores=StandingStores(
            serving={section: settings.names(store, store.serving).store for section, store in settings.stores.items()},
            standing={
                section: [settings.names(store, key).store for key in store.generations]
                for section, store in settings.stores.items()
            },
            accepted_changes={section: _accepted_changes(settings, section) for section in settings.stores},
        ),
    )


def migration_args(
    settings: Settings, migration: Migration, namespace: pulumi.Input[str], access: ClusterAccess
) -> MigrationJobArgs:
    return MigrationJobArgs(
        service=migration.name,
        namespace=namespace,
        image=migration.image,
        command=migration.command,
        target=settings.names(settings.database, settings.database.serving).store,
        revision=migration.revision,
        version_table=migration.version_table,
        resources=migration.resources.model_dump(exclude_none=True),
        deadline_seconds=migration.deadline_seconds,
        kubeconfig=access.kubeconfig,
        context=access.context,
    )
