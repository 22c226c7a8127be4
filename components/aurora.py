"""Aurora PostgreSQL: a cluster, its instances, and everything it needs to be safe and observable."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from components.guards import (
    DATABASE_CHANGES,
    Inputs,
    guarded,
    losing_changes,
    lost_of_cluster,
    major_upgrade_unasked,
    retention_shrinks,
)
from components.store_parts import (
    created_first,
    final_snapshot_identifier,
    generated_credential,
    log_group,
    security_group,
)

# Whom PostgreSQL's log tells on. `iam-db-auth-error` explains refused IAM log-ins (API: EnableCloudwatchLogsExports).
LOG_EXPORTS = ("postgresql", "iam-db-auth-error")

# Read at server start only, so AWS refuses `immediate` for them (API: DescribeDBClusterParameters, ApplyType=static).
STATIC_PARAMETERS = frozenset({"shared_preload_libraries"})

MONITORING_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
MONITORING_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "monitoring.rds.amazonaws.com"},
        }
    ],
}


@dataclass(frozen=True, kw_only=True)
class ServerlessV2:
    """Capacity of `db.serverless` instances, in Aurora capacity units (ACU), in steps of 0.5."""

    min_capacity: float
    max_capacity: float
    seconds_until_auto_pause: int | None = None


@dataclass(frozen=True, kw_only=True)
class AuroraRestore:
    """Where the data of a new cluster comes from; used at creation only.

    Either `snapshot` (a cluster snapshot's name or ARN), or `source_cluster` with one of
    `restore_to_time` (RFC 3339), `latest` or `clone` (copy-on-write).
    """

    snapshot: pulumi.Input[str] | None = None
    source_cluster: pulumi.Input[str] | None = None
    restore_to_time: str | None = None
    latest: bool = False
    clone: bool = False

    def to_point_in_time(self) -> aws.rds.ClusterRestoreToPointInTimeArgs | None:
        if self.source_cluster is None:
            return None
        return aws.rds.ClusterRestoreToPointInTimeArgs(
            source_cluster_identifier=self.source_cluster,
            restore_type="copy-on-write" if self.clone else "full-copy",
            restore_to_time=self.restore_to_time,
            use_latest_restorable_time=True if self.latest or self.clone else None,
        )


@dataclass(frozen=True, kw_only=True)
class AuroraClusterArgs:
    """What an `AuroraCluster` is made of. Only names and the network have no default."""

    identifier: str
    """Physical name of the cluster; every other physical name starts with it."""
    parameter_group_name: str
    """Carries the family in new stacks, so that a major upgrade can stand beside the old group."""
    parameter_group_family: str
    """`aurora-postgresql<major>`; must be that of `engine_version`."""
    engine_version: str
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    """Private subnets in at least two availability zones."""
    allowed_security_groups: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Who may connect: a stable name for each security group, and its id."""
    allowed_cidr_blocks: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    database_name: str = "meetinity"
    master_username: str = "meetinity_app"
    master_password: pulumi.Input[str] | None = None
    """Generated (32 alphanumeric characters) when None."""
    port: int = 5432
    instance_class: str = "db.r6g.large"
    instance_count: int = 2
    serverless: ServerlessV2 | None = None
    """Makes every instance `db.serverless`, whatever `instance_class` says."""
    storage_type: str | None = None
    """None for Aurora standard, `aurora-iopt1` for I/O-Optimized."""
    kms_key_id: pulumi.Input[str] | None = None
    """Encrypts storage and Performance Insights; None for AWS's own `aws/rds` key."""
    log_kms_key_id: pulumi.Input[str] | None = None
    """Encrypts the log groups; its key policy must admit CloudWatch Logs, so it is a choice of its own."""

    backup_retention_period: int = 7
    """Days, 1 to 35: Aurora backups cannot be turned off."""
    preferred_backup_window: str = "03:00-04:00"
    backups_managed_by_aws_backup: bool = False
    """AWS Backup's continuous mode sets retention and window itself: ours are used at creation, then left alone."""
    preferred_maintenance_window: str = "sun:04:00-sun:05:00"
    deletion_protection: bool = True
    """AWS's deletion protection and Pulumi's `protect` together, so that one decision lifts both."""
    restore: AuroraRestore | None = None

    performance_insights_enabled: bool = True
    performance_insights_retention_period: int | None = 7
    """Days: 7, a multiple of 31 up to 713, or 731; of no meaning without Performance Insights."""
    database_insights_mode: str = "standard"
    """`advanced` needs Performance Insights kept for 465 days."""
    monitoring_interval: int = 60
    """Seconds between enhanced-monitoring samples; 0 turns it off."""
    log_retention_days: int = 30
    slow_query_milliseconds: int = 1000
    """`log_min_duration_statement`: slower statements are logged with their duration."""
    cluster_parameters: Mapping[str, str] = field(default_factory=dict)
    """Added to, or in place of, the component's own cluster parameters."""

    iam_database_authentication_enabled: bool = True
    apply_immediately: bool = False
    allow_major_version_upgrade: bool = False
    auto_minor_version_upgrade: bool = True
    accepted_changes: Collection[str] = ()
    """Changes that lose something and are meant, by the stack file's key: `backupRetentionPeriod`, `name`, …"""


class AuroraCluster(pulumi.ComponentResource):
    """An encrypted, backed-up, observable Aurora PostgreSQL cluster in private subnets.

    Creates a security group with its rules, a DB subnet group, cluster and instance parameter
    groups (TLS forced, slow statements logged, `pg_stat_statements` loaded), a log group per
    exported log, the enhanced-monitoring role, the cluster, and `instance_count` instances of which
    the first is the preferred writer. Without `master_password` it generates one.

    The final snapshot's name carries a random suffix that changes when the cluster is replaced, so
    that two deletions can never ask for the same name.

    A guard refuses, in preview, what would replace the cluster, lower its version, or shorten its retention
    while there are recovery points to lose (`components.guards`), unless `accepted_changes` names it.
    """

    endpoint: pulumi.Output[str]
    reader_endpoint: pulumi.Output[str]
    port: pulumi.Output[int]
    database_name: pulumi.Output[str]
    username: pulumi.Output[str]
    password: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    cluster_arn: pulumi.Output[str]
    cluster_id: pulumi.Output[str]

    def __init__(self, name: str, args: AuroraClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("meetinity:data:AuroraCluster", name, _guarded_inputs(args), _with_guard(name, args, opts))
        self._name = name
        self._args = args
        self._children = pulumi.ResourceOptions(parent=self)

        self.password = self._master_password()
        group = security_group(
            name,
            self,
            physical_name=f"{args.identifier}-sg",
            store=f"PostgreSQL cluster {args.identifier}",
            vpc_id=args.vpc_id,
            port=args.port,
            from_security_groups=args.allowed_security_groups,
            from_cidr_blocks=args.allowed_cidr_blocks,
            tags=args.tags,
        )
        monitoring = self._monitoring_role()
        role_arn = monitoring[0].arn if monitoring else None
        instance_parameters = self._instance_parameter_group()
        cluster = self._cluster(
            group, role_arn, instance_parameters, depends_on=[*self._log_groups(), *(monitoring or [])]
        )
        self._instances(cluster, role_arn, instance_parameters)

        self.endpoint = cluster.endpoint
        self.reader_endpoint = cluster.reader_endpoint
        self.port = cluster.port
        self.database_name = cluster.database_name
        self.username = cluster.master_username
        self.security_group_id = group.id
        self.cluster_arn = cluster.arn
        self.cluster_id = cluster.id
        self.register_outputs(
            {
                "endpoint": self.endpoint,
                "readerEndpoint": self.reader_endpoint,
                "port": self.port,
                "databaseName": self.database_name,
                "username": self.username,
                "password": self.password,
                "securityGroupId": self.security_group_id,
                "clusterArn": self.cluster_arn,
                "clusterId": self.cluster_id,
            }
        )

    def _tags(self, physical_name: str) -> dict[str, str]:
        return {**self._args.tags, "Name": physical_name}

    def _master_password(self) -> pulumi.Output[str]:
        if self._args.master_password is not None:
            return pulumi.Output.secret(self._args.master_password)
        return generated_credential(f"{self._name}-master-password", self)

    def _monitoring_role(self) -> tuple[aws.iam.Role, aws.iam.RolePolicyAttachment] | None:
        """The role, and the right without which it is of no use; None when monitoring is off."""
        args = self._args
        if args.monitoring_interval == 0:
            return None
        role_name = f"{args.identifier}-monitoring"
        role = aws.iam.Role(
            f"{self._name}-monitoring-role",
            name=role_name,
            description=f"Lets RDS write enhanced-monitoring metrics of {args.identifier}",
            assume_role_policy=json.dumps(MONITORING_TRUST),
            tags=self._tags(role_name),
            opts=self._children,
        )
        rights = aws.iam.RolePolicyAttachment(
            f"{self._name}-monitoring-policy",
            role=role.name,
            policy_arn=MONITORING_POLICY,
            opts=self._children,
        )
        return role, rights

    def _log_groups(self) -> list[aws.cloudwatch.LogGroup]:
        return [
            log_group(
                f"{self._name}-log-{log}",
                self,
                physical_name=f"/aws/rds/cluster/{self._args.identifier}/{log}",
                retention_days=self._args.log_retention_days,
                kms_key_id=self._args.log_kms_key_id,
                tags=self._args.tags,
            )
            for log in LOG_EXPORTS
        ]

    def _cluster_parameter_group(self) -> aws.rds.ClusterParameterGroup:
        args = self._args
        parameters = {
            "rds.force_ssl": "1",
            "log_statement": "ddl",
            "log_min_duration_statement": str(args.slow_query_milliseconds),
            "shared_preload_libraries": "pg_stat_statements",
            **args.cluster_parameters,
        }
        return aws.rds.ClusterParameterGroup(
            f"{self._name}-cluster-parameters",
            name=args.parameter_group_name,
            family=args.parameter_group_family,
            description=f"Cluster parameters of {args.identifier}",
            parameters=[
                aws.rds.ClusterParameterGroupParameterArgs(
                    name=parameter,
                    value=value,
                    apply_method="pending-reboot" if parameter in STATIC_PARAMETERS else "immediate",
                )
                for parameter, value in sorted(parameters.items())
            ],
            tags=self._tags(args.parameter_group_name),
            opts=created_first(self),
        )

    def _instance_parameter_group(self) -> aws.rds.ParameterGroup:
        name = f"{self._args.parameter_group_name}-instance"
        return aws.rds.ParameterGroup(
            f"{self._name}-instance-parameters",
            name=name,
            family=self._args.parameter_group_family,
            description=f"Instance parameters of {self._args.identifier}",
            tags=self._tags(name),
            opts=created_first(self),
        )

    def _cluster(
        self,
        group: aws.ec2.SecurityGroup,
        monitoring_role_arn: pulumi.Output[str] | None,
        instance_parameters: aws.rds.ParameterGroup,
        depends_on: Sequence[pulumi.Resource],
    ) -> aws.rds.Cluster:
        args = self._args
        subnet_group_name = f"{args.identifier}-subnet"
        subnet_group = aws.rds.SubnetGroup(
            f"{self._name}-subnet-group",
            name=subnet_group_name,
            description=f"Private subnets of {args.identifier}",
            subnet_ids=args.subnet_ids,
            tags=self._tags(subnet_group_name),
            opts=created_first(self),
        )
        insights = args.performance_insights_enabled
        return aws.rds.Cluster(
            f"{self._name}-cluster",
            cluster_identifier=args.identifier,
            engine=aws.rds.EngineType.AURORA_POSTGRESQL,
            engine_mode=aws.rds.EngineMode.PROVISIONED,
            engine_version=args.engine_version,
            allow_major_version_upgrade=args.allow_major_version_upgrade,
            database_name=args.database_name,
            master_username=args.master_username,
            master_password=self.password,
            port=args.port,
            db_subnet_group_name=subnet_group.name,
            vpc_security_group_ids=[group.id],
            db_cluster_parameter_group_name=self._cluster_parameter_group().name,
            # A major upgrade has to name the group that its instances take over to the new family, and nothing else
            # may (API: ModifyDBCluster, DBInstanceParameterGroupName; terraform-provider-aws #17357).
            db_instance_parameter_group_name=instance_parameters.name if args.allow_major_version_upgrade else None,
            iam_database_authentication_enabled=args.iam_database_authentication_enabled,
            storage_encrypted=True,
            storage_type=args.storage_type,
            kms_key_id=args.kms_key_id,
            backup_retention_period=args.backup_retention_period,
            preferred_backup_window=args.preferred_backup_window,
            preferred_maintenance_window=args.preferred_maintenance_window,
            copy_tags_to_snapshot=True,
            deletion_protection=args.deletion_protection,
            # Point-in-time recovery outlives a cluster that was deleted by mistake.
            delete_automated_backups=False,
            skip_final_snapshot=False,
            final_snapshot_identifier=final_snapshot_identifier(
                self._name,
                self,
                identifier=args.identifier,
                replaced_by={
                    "database_name": args.database_name,
                    "master_username": args.master_username,
                    "kms_key_id": args.kms_key_id,
                },
            ),
            snapshot_identifier=args.restore.snapshot if args.restore else None,
            restore_to_point_in_time=args.restore.to_point_in_time() if args.restore else None,
            enabled_cloudwatch_logs_exports=list(LOG_EXPORTS),
            performance_insights_enabled=insights,
            performance_insights_retention_period=args.performance_insights_retention_period if insights else None,
            performance_insights_kms_key_id=args.kms_key_id if insights else None,
            database_insights_mode=args.database_insights_mode,
            monitoring_interval=args.monitoring_interval,
            monitoring_role_arn=monitoring_role_arn,
            serverlessv2_scaling_configuration=aws.rds.ClusterServerlessv2ScalingConfigurationArgs(
                min_capacity=args.serverless.min_capacity,
                max_capacity=args.serverless.max_capacity,
                seconds_until_auto_pause=args.serverless.seconds_until_auto_pause,
            )
            if args.serverless
            else None,
            apply_immediately=args.apply_immediately,
            tags=self._tags(args.identifier),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.deletion_protection,
                depends_on=depends_on,
                ignore_changes=[
                    # A restore happens at creation; taking the spent input out later must not replace the cluster.
                    "snapshotIdentifier",
                    "restoreToPointInTime",
                    # AWS refuses changes to what AWS Backup manages, which is as it says from its next backup on
                    # (terraform-provider-aws #33465).
                    *(["backupRetentionPeriod", "preferredBackupWindow"] if args.backups_managed_by_aws_backup else []),
                ],
                hooks=_say_what_a_restore_left(self._name) if args.restore else None,
            ),
        )

    def _instances(
        self,
        cluster: aws.rds.Cluster,
        monitoring_role_arn: pulumi.Output[str] | None,
        parameter_group: aws.rds.ParameterGroup,
    ) -> None:
        args = self._args
        insights = args.performance_insights_enabled
        for number in range(1, args.instance_count + 1):
            identifier = f"{args.identifier}-{number}"
            aws.rds.ClusterInstance(
                f"{self._name}-instance-{number}",
                identifier=identifier,
                cluster_identifier=cluster.id,
                engine=aws.rds.EngineType.AURORA_POSTGRESQL,
                instance_class="db.serverless" if args.serverless else args.instance_class,
                db_subnet_group_name=cluster.db_subnet_group_name,
                db_parameter_group_name=parameter_group.name,
                publicly_accessible=False,
                promotion_tier=1 if number == 1 else 2,
                # The same on every instance as on the cluster: Aurora refuses a mix.
                performance_insights_enabled=insights,
                performance_insights_retention_period=args.performance_insights_retention_period if insights else None,
                performance_insights_kms_key_id=args.kms_key_id if insights else None,
                monitoring_interval=args.monitoring_interval,
                monitoring_role_arn=monitoring_role_arn,
                auto_minor_version_upgrade=args.auto_minor_version_upgrade,
                preferred_maintenance_window=args.preferred_maintenance_window,
                apply_immediately=args.apply_immediately,
                tags=self._tags(identifier),
                opts=self._children,
            )


def _guarded_inputs(args: AuroraClusterArgs) -> dict[str, pulumi.Input[str | int | None]]:
    """What the guard compares. The cluster itself takes them from its own arguments."""
    return {
        "identifier": args.identifier,
        "databaseName": args.database_name,
        "masterUsername": args.master_username,
        "kmsKeyId": args.kms_key_id,
        "engineVersion": args.engine_version,
        "backupRetentionPeriod": args.backup_retention_period,
    }


def _with_guard(name: str, args: AuroraClusterArgs, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    accepted = args.accepted_changes

    def refusals(old: Inputs, new: Inputs) -> list[str]:
        return [
            *losing_changes("database", DATABASE_CHANGES, old, new, accepted),
            *major_upgrade_unasked(old, new, allowed=args.allow_major_version_upgrade),
            *retention_shrinks("database", "backupRetentionPeriod", old, new, accepted, lost_of_cluster),
        ]

    return pulumi.ResourceOptions.merge(opts, guarded(name, refusals))


# The provider sends these with a creation, but not all of them with a restore: a restore leaves some as the
# source had them, and the next update sets them (terraform-provider-aws #35189, #47689, #47742).
NOT_RESTORED = (
    "iamDatabaseAuthenticationEnabled",
    "performanceInsightsEnabled",
    "performanceInsightsRetentionPeriod",
    "performanceInsightsKmsKeyId",
    "databaseInsightsMode",
)


def left_by_restore(wanted: Inputs, found: Inputs) -> list[str]:
    """Which of the settings that a restore may not set are not as asked for."""
    return [key for key in NOT_RESTORED if wanted.get(key) is not None and found.get(key) != wanted[key]]


def _say_what_a_restore_left(name: str) -> pulumi.ResourceHookBinding:
    async def say(hook: pulumi.ResourceHookArgs) -> None:
        wanted = hook.new_inputs or {}
        if left := left_by_restore(wanted, hook.new_outputs or {}):
            pulumi.log.warn(
                f"{wanted['clusterIdentifier']} is restored, with these settings still as they were in its source: "
                f"{', '.join(left)}. Run `pulumi up` once more before it serves: that sets them"
            )

    return pulumi.ResourceHookBinding(after_create=[pulumi.ResourceHook(f"{name}-restored", say)])
