"""The resources of the local stack straight from the SDKs: no settings, no components, nothing shared.

`bare:clusters` asks for further database clusters, as further generations do in the real program.
"""

import json

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
import pulumi_random as random

TAGS = {"Environment": "bench", "Project": "meetinity"}

config = pulumi.Config()
eks = aws.eks.get_cluster_output(name="meetinity-eks")
vpc = eks.vpc_config.vpc_id
subnets = aws.ec2.get_subnets_output(
    filters=vpc.apply(lambda found: [aws.ec2.GetSubnetsFilterArgs(name="vpc-id", values=[found])]),
    tags={"Tier": "private"},
)
subnet_ids = subnets.ids.apply(sorted)
cidrs = subnet_ids.apply(
    lambda ids: pulumi.Output.all(*[aws.ec2.get_subnet_output(id=each).cidr_block for each in ids])
)
nodes = aws.ec2.get_security_groups_output(
    filters=vpc.apply(
        lambda found: [
            aws.ec2.GetSecurityGroupsFilterArgs(name="vpc-id", values=[found]),
            aws.ec2.GetSecurityGroupsFilterArgs(name="tag:Name", values=["meetinity-eks-node"]),
        ]
    )
).ids[0]
sources = {"nodes": nodes, "cluster": eks.vpc_config.cluster_security_group_id}

kubeconfig = eks.apply(
    lambda found: json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "eks",
                    "cluster": {
                        "server": found.endpoint,
                        "certificate-authority-data": found.certificate_authorities[0].data,
                    },
                }
            ],
            "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "aws"}}],
            "current-context": "eks",
            "users": [
                {
                    "name": "aws",
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": "aws",
                            "args": ["--region", "eu-west-1", "eks", "get-token", "--cluster-name", "meetinity-eks"],
                            "interactiveMode": "Never",
                        }
                    },
                }
            ],
        }
    )
)
cluster_provider = k8s.Provider(
    "kubernetes", kubeconfig=kubeconfig, cluster_identifier=eks.arn, enable_secret_mutable=True
)


def door(name: str, port: int) -> aws.ec2.SecurityGroup:
    group = aws.ec2.SecurityGroup(
        f"{name}-sg", name=f"{name}-sg", description=name, vpc_id=vpc, egress=[], tags={**TAGS, "Name": f"{name}-sg"}
    )
    for source, source_id in sources.items():
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-{source}",
            security_group_id=group.id,
            referenced_security_group_id=source_id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            description=f"{name} from {source}",
            tags={**TAGS, "Name": f"{name}-{source}"},
        )
    return group


def database(name: str) -> tuple[aws.rds.Cluster, random.RandomPassword]:
    password = random.RandomPassword(f"{name}-password", length=32, special=False)
    group = door(name, 5432)
    role = aws.iam.Role(
        f"{name}-monitoring",
        name=f"{name}-monitoring",
        assume_role_policy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": "sts:AssumeRole",
                        "Principal": {"Service": "monitoring.rds.amazonaws.com"},
                    }
                ],
            }
        ),
        tags={**TAGS, "Name": f"{name}-monitoring"},
    )
    attachment = aws.iam.RolePolicyAttachment(
        f"{name}-monitoring-policy",
        role=role.name,
        policy_arn="arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole",
    )
    logs = [
        aws.cloudwatch.LogGroup(
            f"{name}-{log}", name=f"/aws/rds/cluster/{name}/{log}", retention_in_days=30, tags={**TAGS, "Name": log}
        )
        for log in ("postgresql", "iam-db-auth-error")
    ]
    subnet_group = aws.rds.SubnetGroup(
        f"{name}-subnet", name=f"{name}-subnet", subnet_ids=subnet_ids, tags={**TAGS, "Name": f"{name}-subnet"}
    )
    cluster_parameters = aws.rds.ClusterParameterGroup(
        f"{name}-pg",
        name=f"{name}-pg",
        family="aurora-postgresql16",
        parameters=[
            {"name": "log_min_duration_statement", "value": "1000", "applyMethod": "immediate"},
            {"name": "log_statement", "value": "ddl", "applyMethod": "immediate"},
            {"name": "rds.force_ssl", "value": "1", "applyMethod": "immediate"},
            {"name": "shared_preload_libraries", "value": "pg_stat_statements", "applyMethod": "pending-reboot"},
        ],
        tags={**TAGS, "Name": f"{name}-pg"},
    )
    instance_parameters = aws.rds.ParameterGroup(
        f"{name}-pg-instance",
        name=f"{name}-pg-instance",
        family="aurora-postgresql16",
        tags={**TAGS, "Name": f"{name}-pg-instance"},
    )
    suffix = random.RandomId(f"{name}-final", byte_length=4, keepers={"identifier": name})
    cluster = aws.rds.Cluster(
        f"{name}-cluster",
        cluster_identifier=name,
        engine="aurora-postgresql",
        engine_mode="provisioned",
        engine_version="16.15",
        database_name="meetinity",
        master_username="meetinity_app",
        master_password=password.result,
        port=5432,
        db_subnet_group_name=subnet_group.name,
        vpc_security_group_ids=[group.id],
        db_cluster_parameter_group_name=cluster_parameters.name,
        iam_database_authentication_enabled=True,
        storage_encrypted=True,
        backup_retention_period=7,
        preferred_backup_window="03:00-04:00",
        preferred_maintenance_window="sun:04:00-sun:05:00",
        copy_tags_to_snapshot=True,
        delete_automated_backups=False,
        skip_final_snapshot=False,
        final_snapshot_identifier=suffix.hex.apply(lambda found: f"{name}-final-{found}"),
        enabled_cloudwatch_logs_exports=["postgresql", "iam-db-auth-error"],
        performance_insights_enabled=True,
        performance_insights_retention_period=7,
        database_insights_mode="standard",
        monitoring_interval=60,
        monitoring_role_arn=role.arn,
        tags={**TAGS, "Name": name},
        opts=pulumi.ResourceOptions(depends_on=[*logs, attachment]),
    )
    for number in (1, 2):
        aws.rds.ClusterInstance(
            f"{name}-{number}",
            identifier=f"{name}-{number}",
            cluster_identifier=cluster.id,
            engine="aurora-postgresql",
            instance_class="db.r6g.large",
            db_subnet_group_name=cluster.db_subnet_group_name,
            db_parameter_group_name=instance_parameters.name,
            publicly_accessible=False,
            promotion_tier=number,
            performance_insights_enabled=True,
            performance_insights_retention_period=7,
            monitoring_interval=60,
            monitoring_role_arn=role.arn,
            tags={**TAGS, "Name": f"{name}-{number}"},
        )
    return cluster, password


def cache(name: str) -> tuple[aws.elasticache.ReplicationGroup, random.RandomPassword]:
    token = random.RandomPassword(f"{name}-token", length=32, special=False)
    group = door(name, 6379)
    subnet_group = aws.elasticache.SubnetGroup(
        f"{name}-subnet", name=f"{name}-subnet", subnet_ids=subnet_ids, tags={**TAGS, "Name": f"{name}-subnet"}
    )
    parameters = aws.elasticache.ParameterGroup(
        f"{name}-pg",
        name=f"{name}-pg",
        family="redis7",
        parameters=[{"name": "maxmemory-policy", "value": "allkeys-lru"}, {"name": "tcp-keepalive", "value": "60"}],
        tags={**TAGS, "Name": f"{name}-pg"},
    )
    suffix = random.RandomId(f"{name}-final", byte_length=4, keepers={"identifier": name})
    logs = {
        log: aws.cloudwatch.LogGroup(
            f"{name}-{log}", name=f"/aws/elasticache/{name}/{log}", retention_in_days=30, tags={**TAGS, "Name": log}
        )
        for log in ("slow-log", "engine-log")
    }
    replication_group = aws.elasticache.ReplicationGroup(
        f"{name}-group",
        replication_group_id=name,
        description=name,
        engine="redis",
        engine_version="7.1",
        node_type="cache.r6g.large",
        num_cache_clusters=2,
        port=6379,
        parameter_group_name=parameters.name,
        subnet_group_name=subnet_group.name,
        security_group_ids=[group.id],
        automatic_failover_enabled=True,
        multi_az_enabled=True,
        at_rest_encryption_enabled=True,
        transit_encryption_enabled=True,
        auth_token=token.result,
        auth_token_update_strategy="ROTATE",  # noqa: S106
        snapshot_retention_limit=7,
        snapshot_window="03:00-04:00",
        final_snapshot_identifier=suffix.hex.apply(lambda found: f"{name}-final-{found}"),
        maintenance_window="sun:05:00-sun:06:00",
        log_delivery_configurations=[
            {"destination": group.name, "destinationType": "cloudwatch-logs", "logFormat": "json", "logType": log}
            for log, group in logs.items()
        ],
        tags={**TAGS, "Name": name},
    )
    return replication_group, token


postgres, password = database("bench-postgres")
for number in range(2, (config.get_int("clusters") or 1) + 1):
    database(f"bench-postgres-{number}")
redis, token = cache("bench-redis")

random.RandomPassword("bench-checksum-key", length=32, special=False)
options = pulumi.ResourceOptions(provider=cluster_provider)
NAMESPACE = "meetinity-dev"
secrets = []
for name, data in {
    "bench-database": {"host": postgres.endpoint, "password": password.result},
    "bench-redis": {"host": redis.primary_endpoint_address, "password": token.result},
}.items():
    secrets.append(
        k8s.core.v1.Secret(name, metadata={"name": name, "namespace": NAMESPACE}, string_data=data, opts=options)
    )
    k8s.rbac.v1.Role(
        f"{name}-reader",
        metadata={"name": f"{name}-reader", "namespace": NAMESPACE},
        rules=[{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get"]}],
        opts=options,
    )
    k8s.rbac.v1.RoleBinding(
        f"{name}-readers",
        metadata={"name": f"{name}-readers", "namespace": NAMESPACE},
        role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": f"{name}-reader"},
        subjects=[{"kind": "Group", "name": "data-ops", "apiGroup": "rbac.authorization.k8s.io"}],
        opts=options,
    )
k8s.networking.v1.NetworkPolicy(
    "bench-egress",
    metadata={"name": "bench-egress", "namespace": NAMESPACE},
    spec={
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": cidrs.apply(lambda blocks: [{"ipBlock": {"cidr": block}} for block in blocks]),
                "ports": [{"protocol": "TCP", "port": 5432}, {"protocol": "TCP", "port": 6379}],
            }
        ],
    },
    opts=options,
)
account = k8s.core.v1.ServiceAccount(
    "bench-account",
    metadata={"name": "bench-migration", "namespace": NAMESPACE},
    automount_service_account_token=False,
    opts=options,
)
k8s.batch.v1.Job(
    "bench-job",
    metadata={"name": "bench-migration", "namespace": NAMESPACE},
    spec={
        "backoffLimit": 0,
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "serviceAccountName": "bench-migration",
                "containers": [
                    {
                        "name": "bench",
                        "image": "public.ecr.aws/docker/library/postgres:17.6-alpine",
                        "command": ["/bin/true"],
                    }
                ],
            }
        },
    },
    opts=pulumi.ResourceOptions(provider=cluster_provider, depends_on=[account, *secrets]),
)
pulumi.export("endpoint", postgres.endpoint)
