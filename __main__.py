"""Meetinity's data platform, one stack per environment: stores, then Secrets, then migrations."""

import pulumi
import pulumi_kubernetes as kubernetes

from components.aurora import AuroraCluster
from components.backup_plan import BackupPlan
from components.from_settings import (
    aurora_args,
    backup_plan_args,
    kubernetes_and_network,
    logical_name,
    migration_args,
    redis_args,
    secrets_args,
)
from components.helm_values import helm_values
from components.migration import MigrationJob
from components.redis import RedisReplicationGroup
from components.secrets import ConnectionSecrets
from components.stack_settings import stack_settings
from components.stores_output import stores_output

settings = stack_settings()
access, network = kubernetes_and_network(settings)
in_cluster = pulumi.ResourceOptions(provider=access.provider("kubernetes"))

databases = {
    generation: AuroraCluster(logical_name("database", generation), aurora_args(settings, generation, network))
    for generation in settings.database.generations
}
caches = {
    generation: RedisReplicationGroup(logical_name("redis", generation), redis_args(settings, generation, network))
    for generation in settings.redis.generations
}
backup_plan = BackupPlan("backup", backup_plan_args(settings, databases)) if settings.backup.enabled else None
database, redis = databases[settings.database.serving], caches[settings.redis.serving]

namespace: pulumi.Input[str] = settings.kubernetes.namespace
if settings.kubernetes.create_namespace:
    # Everything in it goes with it, so it is guarded like the database.
    guarded = pulumi.ResourceOptions.merge(
        in_cluster, pulumi.ResourceOptions(protect=settings.database.deletion_protection)
    )
    namespace = kubernetes.core.v1.Namespace("namespace", metadata={"name": namespace}, opts=guarded).metadata.name


def after(*resources: pulumi.Resource) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(in_cluster, pulumi.ResourceOptions(depends_on=resources))


# A cluster has its endpoint before an instance answers there: the Secrets wait for the stores whole.
secrets = ConnectionSecrets(
    "connections", secrets_args(settings, namespace, network, database, redis), opts=after(database, redis)
)

# After the Secrets, and before anything that rolls services out.
for migration in settings.migrations:
    MigrationJob(
        f"{migration.name}-migration", migration_args(settings, migration, namespace, access), opts=after(secrets)
    )

outputs = {
    "database_endpoint": database.endpoint,
    "database_reader_endpoint": database.reader_endpoint,
    "database_port": database.port,
    "database_name": database.database_name,
    "database_username": database.username,
    "database_password": database.password,
    "redis_primary_endpoint": redis.primary_endpoint,
    "redis_reader_endpoint": redis.reader_endpoint,
    "redis_port": redis.port,
    "redis_auth_token": redis.auth_token,
    "cluster_name": settings.kubernetes.cluster_name,
    "aws_backup_vault_arn": backup_plan.vault_arn if backup_plan else None,
    "helm_values": helm_values(settings.environment, secrets),
    "stores": stores_output(settings, databases, caches),
    "kubernetes": {"namespace": namespace, "context": access.context, "kubeconfig": access.kubeconfig},
}
for name, value in outputs.items():
    pulumi.export(name, value)
