"""ElastiCache: a Redis or Valkey replication group and everything it needs to be safe and observable."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from components.guards import REDIS_CHANGES, Inputs, guarded, losing_changes, lost_of_group, retention_shrinks
from components.store_parts import (
    created_first,
    final_snapshot_identifier,
    generated_credential,
    log_group,
    security_group,
)

# The first version of Redis that delivers each (ElastiCache User Guide, "Log delivery"); every Valkey does.
LOG_TYPES = {"slow-log": (6, 0), "engine-log": (6, 2)}


@dataclass(frozen=True, kw_only=True)
class RedisReplicationGroupArgs:
    """What a `RedisReplicationGroup` is made of. Only names and the network have no default."""

    identifier: str
    """Physical name of the replication group; every other physical name starts with it."""
    parameter_group_name: str
    parameter_group_family: str
    """`redis7`, `valkey7`, `valkey8` or `valkey9`; must be that of `engine_version`."""
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    allowed_security_groups: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Who may connect: a stable name for each security group, and its id."""
    allowed_cidr_blocks: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    engine: str = "redis"
    """`redis` or `valkey`."""
    engine_version: str = "7.1"
    node_type: str = "cache.r6g.large"
    num_cache_clusters: int = 2
    """The primary and its replicas together, 1 to 6."""
    port: int = 6379
    auth_token: pulumi.Input[str] | None = None
    """Generated (32 alphanumeric characters) when None; needs encryption in transit."""
    kms_key_id: pulumi.Input[str] | None = None
    """Encrypts data at rest and snapshots; None for AWS's own key."""
    log_kms_key_id: pulumi.Input[str] | None = None
    """Encrypts the log groups; its key policy must admit CloudWatch Logs, so it is a choice of its own."""
    transit_encryption_enabled: bool = True
    at_rest_encryption_enabled: bool = True
    automatic_failover_enabled: bool = True
    multi_az_enabled: bool = True
    snapshot_retention_limit: int = 7
    """Days, 0 to 35; 0 means no backups at all."""
    snapshot_window: str = "03:00-04:00"
    maintenance_window: str = "sun:05:00-sun:06:00"
    snapshot_name: str | None = None
    """The snapshot a new group starts from; used at creation only."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Added to, or in place of, the component's own parameters."""
    log_retention_days: int = 30
    apply_immediately: bool = False
    auto_minor_version_upgrade: bool = True
    protect: bool = True
    """ElastiCache has no deletion protection of its own: Pulumi's `protect` is all there is."""
    accepted_changes: Collection[str] = ()
    """Changes that lose something and are meant, by the stack file's key: `snapshotRetentionLimit`, `name`, …"""


class RedisReplicationGroup(pulumi.ComponentResource):
    """An encrypted, backed-up replication group of one shard in private subnets.

    Creates a security group with its rules, a cache subnet group, a parameter group
    (`allkeys-lru`, TCP keep-alive 60 s), log groups for the slow and the engine log, and the
    replication group. With encryption in transit and no `auth_token` it generates one.

    A guard refuses, in preview, what would replace the group, or shorten its retention while there are
    snapshots to lose (`components.guards`), unless `accepted_changes` names it.
    """

    primary_endpoint: pulumi.Output[str]
    reader_endpoint: pulumi.Output[str]
    port: pulumi.Output[int]
    auth_token: pulumi.Output[str] | None
    security_group_id: pulumi.Output[str]
    replication_group_arn: pulumi.Output[str]

    def __init__(self, name: str, args: RedisReplicationGroupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            "meetinity:data:RedisReplicationGroup", name, _guarded_inputs(args), _with_guard(name, args, opts)
        )
        self._name = name
        self._args = args
        self._children = pulumi.ResourceOptions(parent=self)

        self.auth_token = self._auth_token()
        group = security_group(
            name,
            self,
            physical_name=f"{args.identifier}-sg",
            # The same for Valkey: another description replaces the security group, and with it every connection.
            store=f"Redis replication group {args.identifier}",
            vpc_id=args.vpc_id,
            port=args.port,
            from_security_groups=args.allowed_security_groups,
            from_cidr_blocks=args.allowed_cidr_blocks,
            tags=args.tags,
        )
        replication_group = self._replication_group(group)

        self.primary_endpoint = replication_group.primary_endpoint_address
        self.reader_endpoint = replication_group.reader_endpoint_address
        self.port = replication_group.port.apply(lambda port: port if port is not None else args.port)
        self.security_group_id = group.id
        self.replication_group_arn = replication_group.arn
        self.register_outputs(
            {
                "primaryEndpoint": self.primary_endpoint,
                "readerEndpoint": self.reader_endpoint,
                "port": self.port,
                "authToken": self.auth_token,
                "securityGroupId": self.security_group_id,
                "replicationGroupArn": self.replication_group_arn,
            }
        )

    def _tags(self, physical_name: str) -> dict[str, str]:
        return {**self._args.tags, "Name": physical_name}

    def _auth_token(self) -> pulumi.Output[str] | None:
        if self._args.auth_token is not None:
            return pulumi.Output.secret(self._args.auth_token)
        if not self._args.transit_encryption_enabled:
            return None  # AWS takes a token only together with TLS.
        return generated_credential(f"{self._name}-auth-token", self)

    def _parameter_group(self) -> aws.elasticache.ParameterGroup:
        args = self._args
        parameters = {"maxmemory-policy": "allkeys-lru", "tcp-keepalive": "60", **args.parameters}
        return aws.elasticache.ParameterGroup(
            f"{self._name}-parameters",
            name=args.parameter_group_name,
            family=args.parameter_group_family,
            description=f"Parameters of {args.identifier}",
            parameters=[
                aws.elasticache.ParameterGroupParameterArgs(name=parameter, value=value)
                for parameter, value in sorted(parameters.items())
            ],
            tags=self._tags(args.parameter_group_name),
            opts=created_first(self),
        )

    def _log_delivery(self) -> list[aws.elasticache.ReplicationGroupLogDeliveryConfigurationArgs]:
        return [
            aws.elasticache.ReplicationGroupLogDeliveryConfigurationArgs(
                destination=log_group(
                    f"{self._name}-{log}",
                    self,
                    physical_name=f"/aws/elasticache/{self._args.identifier}/{log}",
                    retention_days=self._args.log_retention_days,
                    kms_key_id=self._args.log_kms_key_id,
                    tags=self._args.tags,
                ).name,
                destination_type="cloudwatch-logs",
                log_format="json",
                log_type=log,
            )
            for log in log_types(self._args.engine, self._args.engine_version)
        ]

    def _replication_group(self, group: aws.ec2.SecurityGroup) -> aws.elasticache.ReplicationGroup:
        args = self._args
        subnet_group_name = f"{args.identifier}-subnet"
        subnet_group = aws.elasticache.SubnetGroup(
            f"{self._name}-subnet-group",
            name=subnet_group_name,
            description=f"Private subnets of {args.identifier}",
            subnet_ids=args.subnet_ids,
            tags=self._tags(subnet_group_name),
            opts=created_first(self),
        )
        return aws.elasticache.ReplicationGroup(
            f"{self._name}-replication-group",
            replication_group_id=args.identifier,
            description=f"Highly available Redis for {args.identifier}",
            engine=args.engine,
            engine_version=args.engine_version,
            node_type=args.node_type,
            num_cache_clusters=args.num_cache_clusters,
            port=args.port,
            parameter_group_name=self._parameter_group().name,
            subnet_group_name=subnet_group.name,
            security_group_ids=[group.id],
            automatic_failover_enabled=args.automatic_failover_enabled,
            multi_az_enabled=args.multi_az_enabled,
            at_rest_encryption_enabled=args.at_rest_encryption_enabled,
            kms_key_id=args.kms_key_id,
            transit_encryption_enabled=args.transit_encryption_enabled,
            auth_token=self.auth_token,
            # A new token joins the old one; the old one goes in a second, deliberate step (strategy SET).
            auth_token_update_strategy="ROTATE" if self.auth_token is not None else None,
            snapshot_retention_limit=args.snapshot_retention_limit,
            snapshot_window=args.snapshot_window,
            final_snapshot_identifier=final_snapshot_identifier(
                self._name,
                self,
                identifier=args.identifier,
                replaced_by={
                    "port": str(args.port),
                    "at_rest_encryption_enabled": str(args.at_rest_encryption_enabled),
                    "kms_key_id": args.kms_key_id,
                    "engine": args.engine,
                    "transit_encryption_enabled": str(args.transit_encryption_enabled),
                },
            ),
            snapshot_name=args.snapshot_name,
            maintenance_window=args.maintenance_window,
            auto_minor_version_upgrade=args.auto_minor_version_upgrade,
            apply_immediately=args.apply_immediately,
            log_delivery_configurations=self._log_delivery(),
            tags=self._tags(args.identifier),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect,
                # A restore happens at creation; taking the spent input out later would replace the group.
                ignore_changes=["snapshotName"],
            ),
        )


def log_types(engine: str, version: str) -> list[str]:
    """The logs that a version delivers. `6.x` is the newest of its major."""
    numbers = tuple(99 if each == "x" else int(each) for each in version.split(".")[:2])
    return [log for log, first in LOG_TYPES.items() if engine == "valkey" or numbers >= first]


def _guarded_inputs(args: RedisReplicationGroupArgs) -> dict[str, pulumi.Input[str | int | bool | None]]:
    """What the guard compares. The group itself takes them from its own arguments."""
    return {
        "identifier": args.identifier,
        "port": args.port,
        "kmsKeyId": args.kms_key_id,
        "atRestEncryptionEnabled": args.at_rest_encryption_enabled,
        "transitEncryptionEnabled": args.transit_encryption_enabled,
        "engine": args.engine,
        "engineVersion": args.engine_version,
        "snapshotRetentionLimit": args.snapshot_retention_limit,
    }


def _with_guard(
    name: str, args: RedisReplicationGroupArgs, opts: pulumi.ResourceOptions | None
) -> pulumi.ResourceOptions:
    accepted = args.accepted_changes

    def refusals(old: Inputs, new: Inputs) -> list[str]:
        return [
            *losing_changes("redis", REDIS_CHANGES, old, new, accepted),
            *retention_shrinks("redis", "snapshotRetentionLimit", old, new, accepted, lost_of_group),
        ]

    return pulumi.ResourceOptions.merge(opts, guarded(name, refusals))
