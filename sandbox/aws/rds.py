"""RDS as Aurora PostgreSQL uses it: the operations, each a function over the account's tables.

Defaults and messages: RDS API reference (botocore's service model) and Aurora User Guide.
"""

from __future__ import annotations

import functools
from typing import Any

from sandbox.aws import postgres
from sandbox.aws.account_state import AccountState
from sandbox.aws.groups import Parameter, ParameterGroups, subnet_group_operations
from sandbox.aws.operations import RECOVERIES, AwsError, Parameters, Resource, members, names, operation
from sandbox.aws.resources import Kind, describable, now, random_id
from sandbox.instance import ACCOUNT_ID, REGION

ENGINE = "aurora-postgresql"
# Minor versions on offer (October 2026), newest last; `describe-db-engine-versions` has the truth.
ENGINE_VERSIONS = {
    "14": names("14.6 14.17 14.18 14.19 14.20 14.22 14.23 14.24"),
    "15": names("15.10 15.12 15.13 15.14 15.15 15.17 15.18 15.19"),
    "16": names("16.8 16.9 16.10 16.11 16.13 16.14 16.15"),
    "17": names("17.4 17.5 17.6 17.7 17.9 17.10 17.11"),
    "18": names("18.3 18.4 18.6"),
}
FORCED_TLS_SINCE = 17  # rds.force_ssl is on by default from here on: "Security with Aurora PostgreSQL"
# The account's aws/rds key, which AWS uses where encryption is asked for without a key.
DEFAULT_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/00000000-aaaa-4bbb-8ccc-dddddddddddd"

CLUSTER_DEFAULTS: Resource = {
    "AllocatedStorage": 1,
    "AssociatedRoles": [],
    "AutoMinorVersionUpgrade": True,
    "AvailabilityZones": [f"{REGION}{zone}" for zone in "abc"],
    "BackupRetentionPeriod": 1,
    "CopyTagsToSnapshot": False,
    "CrossAccountClone": False,
    "DBSubnetGroup": "default",
    "DatabaseInsightsMode": "standard",
    "DeletionProtection": False,
    "EngineLifecycleSupport": "open-source-rds-extended-support",
    "EngineMode": "provisioned",
    "HostedZoneId": "Z29XKXDKYMONMX",
    "HttpEndpointEnabled": False,
    "IAMDatabaseAuthenticationEnabled": False,
    "MonitoringInterval": 0,
    "NetworkType": "IPV4",
    "PerformanceInsightsEnabled": False,
    "Port": 5432,
    "PreferredBackupWindow": "03:14-03:44",
    "PreferredMaintenanceWindow": "sun:04:14-sun:04:44",
    "Status": "available",
    "StorageEncrypted": False,
}
INSTANCE_DEFAULTS: Resource = {
    "AllocatedStorage": 1,
    "AutoMinorVersionUpgrade": True,
    "CACertificateIdentifier": "rds-ca-rsa2048-g1",
    "CopyTagsToSnapshot": False,
    "DBInstanceStatus": "available",
    "DbInstancePort": 0,
    "DeletionProtection": False,
    "LicenseModel": "postgresql-license",
    "MultiAZ": False,
    "OptionGroupMemberships": [{"OptionGroupName": f"default:{ENGINE}", "Status": "in-sync"}],
    "PromotionTier": 1,
    "PubliclyAccessible": False,
}
# Parameters that Describe shows under another name, and those that a function below sees to.
RENAMED = {
    "DBClusterParameterGroupName": "DBClusterParameterGroup",
    "DBSubnetGroupName": "DBSubnetGroup",
    "EnableIAMDatabaseAuthentication": "IAMDatabaseAuthenticationEnabled",
    "EnablePerformanceInsights": "PerformanceInsightsEnabled",
}
HANDLED = names(
    "AllowMajorVersionUpgrade ApplyImmediately CloudwatchLogsExportConfiguration DBInstanceParameterGroupName "
    "DBParameterGroupName EnableCloudwatchLogsExports EngineVersion MasterUserPassword Tags VpcSecurityGroupIds"
)
# On Aurora these are the cluster's, and its members'.
SHARED = names(
    "MonitoringInterval MonitoringRoleArn PerformanceInsightsEnabled PerformanceInsightsKMSKeyId "
    "PerformanceInsightsRetentionPeriod"
)
# What an instance shows of its cluster.
INHERITED = names(
    "BackupRetentionPeriod DatabaseInsightsMode EnabledCloudwatchLogsExports EngineLifecycleSupport EngineVersion "
    "IAMDatabaseAuthenticationEnabled KmsKeyId MasterUsername NetworkType PreferredBackupWindow StorageEncrypted "
    "VpcSecurityGroups"
)
DEFAULT_PARAMETERS = {"shared_preload_libraries": "pg_stat_statements", "timezone": "UTC"}


def _cluster_view(_account: AccountState, cluster: Resource) -> Resource:
    return cluster | {"LatestRestorableTime": now(), "MultiAZ": len(cluster["DBClusterMembers"]) > 1}


def _instance_view(account: AccountState, instance: Resource) -> Resource:
    cluster = CLUSTERS.get(account, instance["DBClusterIdentifier"])
    inherited = {name: cluster[name] for name in INHERITED if name in cluster}
    return (
        instance
        | inherited
        | {
            "DBName": cluster.get("DatabaseName"),
            "DBSubnetGroup": SUBNET_GROUPS.get(account, cluster["DBSubnetGroup"]),
            "Endpoint": instance["Endpoint"] | {"Port": cluster["Port"], "HostedZoneId": cluster["HostedZoneId"]},
            "StorageType": cluster.get("StorageType", "aurora"),
        }
    )


CLUSTERS = describable(Kind("rds", "DBCluster", "DBClusterIdentifier", "cluster", "DBCluster", _cluster_view))
INSTANCES = describable(Kind("rds", "DBInstance", "DBInstanceIdentifier", "db", "DBInstance", _instance_view))
SUBNET_GROUPS = describable(Kind("rds", "DBSubnetGroup", "DBSubnetGroupName", "subgrp", "DBSubnetGroup"))
SNAPSHOTS = describable(
    Kind("rds", "DBClusterSnapshot", "DBClusterSnapshotIdentifier", "cluster-snapshot", "DBClusterSnapshot")
)


def _using(member: str) -> Any:
    """The clusters that have `name` in a member."""
    return lambda account, name: [row for row in CLUSTERS.table(account).values() if row[member] == name]


subnet_group_operations(SUBNET_GROUPS, 2, "InvalidDBSubnetGroupStateFault", _using("DBSubnetGroup"))


# Clusters


@operation("rds", "CreateDBCluster")
def create_cluster(account: AccountState, p: Parameters) -> dict[str, Any]:
    if p["Engine"] != ENGINE:
        raise AwsError("InvalidParameterValue", f"the sandbox has the engine {ENGINE} only, not {p['Engine']}")
    for required in ("MasterUsername", "MasterUserPassword"):
        if not p.get(required):
            raise AwsError("InvalidParameterValue", f"The parameter {required} must be provided and must not be blank.")
    version, name = _engine_version(p.get("EngineVersion")), p["DBClusterIdentifier"].lower()
    cluster = CLUSTERS.create(
        account,
        p,
        **CLUSTER_DEFAULTS,
        ClusterCreateTime=now(),
        DBClusterMembers=[],
        DBClusterParameterGroup=f"default.{_family(version)}",
        DbClusterResourceId=f"cluster-{random_id(26)}",
        EarliestRestorableTime=now(),
        EnabledCloudwatchLogsExports=p.get("EnableCloudwatchLogsExports", []),
        Endpoint=account.address(f"rds/cluster/{name}/writer"),
        EngineVersion=version,
        ReaderEndpoint=account.address(f"rds/cluster/{name}/reader"),
        VpcSecurityGroups=[],
    )
    _change_cluster(account, cluster, p)
    SUBNET_GROUPS.get(account, cluster["DBSubnetGroup"])
    if cluster["StorageEncrypted"]:
        cluster.setdefault("KmsKeyId", DEFAULT_KEY)
    postgres.create_storage(account, cluster, p["MasterUserPassword"])
    return {"DBCluster": _cluster_view(account, cluster) | {"Status": "creating"}}


def _change_cluster(account: AccountState, cluster: Resource, p: Parameters) -> None:
    """What creating and modifying have in common."""
    CLUSTERS.carry(cluster, p, RENAMED, HANDLED)
    for name in ("DBSubnetGroup", "DBClusterParameterGroup", "PreferredMaintenanceWindow"):
        cluster[name] = cluster[name].lower()
    family = _family(cluster["EngineVersion"])
    if cluster["DBClusterParameterGroup"].startswith("default."):
        cluster["DBClusterParameterGroup"] = f"default.{family}"
    CLUSTER_PARAMETERS.get(account, cluster["DBClusterParameterGroup"], family)
    if "VpcSecurityGroupIds" in p:
        cluster["VpcSecurityGroups"] = [
            {"VpcSecurityGroupId": group, "Status": "active"} for group in p["VpcSecurityGroupIds"]
        ]
    if cluster.get("StorageType") == "aurora":
        del cluster["StorageType"]  # the API leaves the standard type out
    exports = p.get("CloudwatchLogsExportConfiguration", {})
    enabled = {*cluster["EnabledCloudwatchLogsExports"], *exports.get("EnableLogTypes", [])}
    cluster["EnabledCloudwatchLogsExports"] = sorted(enabled - {*exports.get("DisableLogTypes", [])})
    _complete_insights(cluster)


def _complete_insights(resource: Resource) -> None:
    defaults = {"PerformanceInsightsKMSKeyId": DEFAULT_KEY, "PerformanceInsightsRetentionPeriod": 7}
    for name, default in defaults.items():
        if resource["PerformanceInsightsEnabled"]:
            resource.setdefault(name, default)
        else:
            resource.pop(name, None)


@operation("rds", "ModifyDBCluster")
def modify_cluster(account: AccountState, p: Parameters) -> dict[str, Any]:
    cluster = CLUSTERS.get(account, p["DBClusterIdentifier"])
    before = _family(cluster["EngineVersion"])
    if "EngineVersion" in p:
        cluster["EngineVersion"] = _engine_version(p["EngineVersion"])
    family = _family(cluster["EngineVersion"])
    if family != before and not p.get("AllowMajorVersionUpgrade"):
        message = "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version."
        raise AwsError("InvalidParameterCombination", message)
    _change_cluster(account, cluster, p)
    for member in cluster["DBClusterMembers"]:
        instance = INSTANCES.get(account, member["DBInstanceIdentifier"])
        instance |= {name: cluster[name] for name in SHARED if name in {RENAMED.get(given, given) for given in p}}
        if family != before:
            _use_parameters(instance, p.get("DBInstanceParameterGroupName", f"default.{family}"))
        _complete_insights(instance)
    if "MasterUserPassword" in p:
        postgres.set_password(account, cluster, p["MasterUserPassword"])
    _arrange(account, cluster)
    return {"DBCluster": _cluster_view(account, cluster)}


@operation("rds", "DeleteDBCluster")
def delete_cluster(account: AccountState, p: Parameters) -> dict[str, Any]:
    cluster = CLUSTERS.get(account, p["DBClusterIdentifier"])
    name, final = cluster["DBClusterIdentifier"], p.get("FinalDBSnapshotIdentifier")
    if cluster["DeletionProtection"]:
        message = "Cannot delete protected Cluster, please disable deletion protection and try again."
        raise AwsError("InvalidParameterCombination", message)
    if cluster["DBClusterMembers"]:
        message = "Cluster cannot be deleted, it still contains DB instances in non-deleting state."
        raise AwsError("InvalidDBClusterStateFault", message)
    if bool(final) == p.get("SkipFinalSnapshot", False):
        message = "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified, and cannot go with it."
        raise AwsError("InvalidParameterCombination", message)
    if final:
        _snapshot(account, cluster, {"DBClusterSnapshotIdentifier": final})
    CLUSTERS.delete(account, name)
    account.after_saving["rds"].append(lambda: _sweep(account))
    return {"DBCluster": _cluster_view(account, cluster) | {"Status": "deleting"}}


@operation("rds", "FailoverDBCluster")
def fail_over(account: AccountState, p: Parameters) -> dict[str, Any]:
    cluster = CLUSTERS.get(account, p["DBClusterIdentifier"])
    _promote(account, cluster, p.get("TargetDBInstanceIdentifier"))
    _arrange(account, cluster)
    return {"DBCluster": _cluster_view(account, cluster)}


def _promote(account: AccountState, cluster: Resource, target: str | None) -> None:
    """The named reader, or the one of the lowest promotion tier, becomes the writer."""
    readers = [member for member in cluster["DBClusterMembers"] if not member["IsClusterWriter"]]
    wanted = [m for m in readers if target is None or m["DBInstanceIdentifier"] == target.lower()]
    if not wanted:
        message = f"cluster {cluster['DBClusterIdentifier']} has no such reader to fail over to"
        raise AwsError("InvalidDBClusterStateFault", message)
    chosen = min(wanted, key=lambda member: (member["PromotionTier"], member["DBInstanceIdentifier"]))
    postgres.hand_over(account, cluster, chosen)


def _engine_version(wanted: str | None) -> str:
    """The minor version a request means: a major version alone gets its newest minor."""
    version = wanted or "17"
    if version in ENGINE_VERSIONS:
        return ENGINE_VERSIONS[version][-1]
    if version not in ENGINE_VERSIONS.get(version.partition(".")[0], []):
        raise AwsError("InvalidParameterCombination", f"Cannot find version {version} for {ENGINE}")
    return version


def _family(version: str) -> str:
    return f"{ENGINE}{version.partition('.')[0]}"


@operation("rds", "DescribeDBEngineVersions")
def describe_engine_versions(_account: AccountState, p: Parameters) -> dict[str, Any]:
    rows = [
        {
            "Engine": ENGINE,
            "EngineVersion": minor,
            "MajorEngineVersion": major,
            "DBParameterGroupFamily": _family(major),
            "DBEngineDescription": "Aurora (PostgreSQL Compatible)",
            "DBEngineVersionDescription": f"Aurora PostgreSQL (compatible with PostgreSQL {minor})",
            "ExportableLogTypes": ["iam-db-auth-error", "instance", "postgresql"],
            "SupportsLogExportsToCloudwatchLogs": True,
            "SupportedEngineModes": ["provisioned"],
            "Status": "available",
        }
        for major, minors in ENGINE_VERSIONS.items()
        for minor in (minors[-1:] if p.get("DefaultOnly") else minors)
        if p.get("EngineVersion") in (None, major, minor)
    ]
    wanted = {name: p[name] for name in ("Engine", "DBParameterGroupFamily") if name in p}
    return {"DBEngineVersions": [row for row in rows if wanted.items() <= row.items()]}


# Instances


@operation("rds", "CreateDBInstance")
def create_instance(account: AccountState, p: Parameters) -> dict[str, Any]:
    if p["Engine"] != ENGINE or "DBClusterIdentifier" not in p:
        message = f"the sandbox has instances of {ENGINE} clusters only; DBClusterIdentifier says of which"
        raise AwsError("InvalidParameterCombination", message)
    cluster = CLUSTERS.get(account, p["DBClusterIdentifier"])
    peers = cluster["DBClusterMembers"]
    subnets = SUBNET_GROUPS.get(account, cluster["DBSubnetGroup"])["Subnets"]
    instance = INSTANCES.create(
        account,
        p,
        **INSTANCE_DEFAULTS,
        AvailabilityZone=subnets[len(peers) % len(subnets)]["SubnetAvailabilityZone"]["Name"],
        DBClusterIdentifier=cluster["DBClusterIdentifier"],
        DbiResourceId=f"db-{random_id(26)}",
        Endpoint={"Address": account.address(f"rds/{p['DBInstanceIdentifier'].lower()}")},
        InstanceCreateTime=now(),
        PreferredMaintenanceWindow=cluster["PreferredMaintenanceWindow"],
        **{name: cluster[name] for name in SHARED if name in cluster},
    )
    peers.append({"DBInstanceIdentifier": instance["DBInstanceIdentifier"], "IsClusterWriter": not peers})
    _change_instance(account, cluster, instance, p)
    return {"DBInstance": _instance_view(account, instance) | {"DBInstanceStatus": "creating"}}


def _change_instance(account: AccountState, cluster: Resource, instance: Resource, p: Parameters) -> None:
    """What creating and modifying have in common."""
    INSTANCES.carry(instance, p, RENAMED, [*HANDLED, "DBClusterIdentifier", "DBSubnetGroupName"])
    instance["PreferredMaintenanceWindow"] = instance["PreferredMaintenanceWindow"].lower()
    if "DBParameterGroupName" in p or "DBParameterGroups" not in instance:
        _use_parameters(instance, p.get("DBParameterGroupName", f"default.{_family(cluster['EngineVersion'])}"))
    stream = f"log-group:RDSOSMetrics:log-stream:{instance['DbiResourceId']}"
    monitored = f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:{stream}" if instance["MonitoringInterval"] else None
    instance["EnhancedMonitoringResourceArn"] = monitored
    _member(cluster, instance)["PromotionTier"] = instance["PromotionTier"]
    _complete_insights(instance)
    _arrange(account, cluster)


def _use_parameters(instance: Resource, group: str) -> None:
    instance["DBParameterGroups"] = [{"DBParameterGroupName": group.lower(), "ParameterApplyStatus": "in-sync"}]


def _member(cluster: Resource, instance: Resource) -> Resource:
    name = instance["DBInstanceIdentifier"]
    found: Resource = next(m for m in cluster["DBClusterMembers"] if m["DBInstanceIdentifier"] == name)
    return found


@operation("rds", "ModifyDBInstance")
def modify_instance(account: AccountState, p: Parameters) -> dict[str, Any]:
    instance = INSTANCES.get(account, p["DBInstanceIdentifier"])
    _change_instance(account, CLUSTERS.get(account, instance["DBClusterIdentifier"]), instance, p)
    return {"DBInstance": _instance_view(account, instance)}


@operation("rds", "RebootDBInstance")
def reboot_instance(account: AccountState, p: Parameters) -> dict[str, Any]:
    instance = INSTANCES.get(account, p["DBInstanceIdentifier"])
    postgres.stop(account, instance["DBInstanceIdentifier"])
    _arrange(account, CLUSTERS.get(account, instance["DBClusterIdentifier"]))
    return {"DBInstance": _instance_view(account, instance) | {"DBInstanceStatus": "rebooting"}}


@operation("rds", "DeleteDBInstance")
def delete_instance(account: AccountState, p: Parameters) -> dict[str, Any]:
    instance = INSTANCES.get(account, p["DBInstanceIdentifier"])
    cluster = CLUSTERS.get(account, instance["DBClusterIdentifier"])
    view = _instance_view(account, instance) | {"DBInstanceStatus": "deleting"}
    member = _member(cluster, instance)
    if member["IsClusterWriter"] and len(cluster["DBClusterMembers"]) > 1:
        _promote(account, cluster, None)
    postgres.stop(account, instance["DBInstanceIdentifier"])
    cluster["DBClusterMembers"].remove(member)
    INSTANCES.delete(account, instance["DBInstanceIdentifier"])
    _arrange(account, cluster)
    account.after_saving["rds"].append(lambda: _sweep(account))
    return {"DBInstance": view}


def _arrange(account: AccountState, cluster: Resource) -> None:
    """Bring the servers in line with the tables, and the parameter groups' state in line with the servers."""
    version = cluster["EngineVersion"]
    forced = "1" if int(version.partition(".")[0]) >= FORCED_TLS_SINCE else "0"
    shared = CLUSTER_PARAMETERS.values(account, cluster["DBClusterParameterGroup"], _family(version))
    settings = {}
    for member in cluster["DBClusterMembers"]:
        group = INSTANCES.get(account, member["DBInstanceIdentifier"])["DBParameterGroups"][0]["DBParameterGroupName"]
        own = INSTANCE_PARAMETERS.values(account, group, _family(version))
        settings[member["DBInstanceIdentifier"]] = DEFAULT_PARAMETERS | {"rds.force_ssl": forced} | shared | own
    postgres.arrange(account, cluster, settings)
    for member in cluster["DBClusterMembers"]:
        waits = postgres.waits_for_restart(account, cluster, member)
        member["DBClusterParameterGroupStatus"] = "pending-reboot" if waits else "in-sync"


def _sweep(account: AccountState) -> None:
    """Remove what no row stands for any more, or yet: servers, files, addresses."""
    clusters, instances = CLUSTERS.table(account), INSTANCES.table(account)
    postgres.sweep(account, clusters, instances, SNAPSHOTS.table(account))
    used = {row[end] for row in clusters.values() for end in ("Endpoint", "ReaderEndpoint")}
    account.release_others("rds", used | {row["Endpoint"]["Address"] for row in instances.values()})


def _recover(account: AccountState) -> None:
    _sweep(account)
    for cluster in CLUSTERS.table(account).values():
        _arrange(account, cluster)


RECOVERIES["rds"] = _recover


# Parameter groups


@functools.cache
def _catalogue() -> dict[str, Parameter]:
    """What this PostgreSQL knows, and Aurora's own parameters that mean something here."""
    known = {
        name.lower(): Parameter(
            allowed=f"{guc['minimum']}-{guc['maximum']}" if guc["type"] == "INTEGER" else "",
            static=guc["context"] == "postmaster",
            modifiable=guc["context"] != "internal",
            description=guc["description"],
        )
        for name, guc in postgres.parameters().items()
    }
    extensions = ("auto_explain.log_min_duration", "pg_stat_statements.track", "rds.log_retention_period")
    return known | {name: Parameter() for name in extensions} | {"rds.force_ssl": Parameter("0,1")}


def _clusters_of_instances(account: AccountState, name: str) -> list[Resource]:
    rows = [
        row for row in INSTANCES.table(account).values() if row["DBParameterGroups"][0]["DBParameterGroupName"] == name
    ]
    return [CLUSTERS.get(account, cluster) for cluster in {row["DBClusterIdentifier"] for row in rows}]


def _parameter_groups(shape: str, arn: str, users: Any) -> ParameterGroups:
    return ParameterGroups(
        describable(Kind("rds", shape, f"{shape}Name", arn, "DBParameterGroup")),
        family="DBParameterGroupFamily",
        given="Parameters",
        in_use="InvalidDBParameterGroupStateFault",
        families=frozenset(_family(major) for major in ENGINE_VERSIONS),
        catalogue=_catalogue,
        users=users,
        reach=_arrange,
    ).register()


CLUSTER_PARAMETERS = _parameter_groups("DBClusterParameterGroup", "cluster-pg", _using("DBClusterParameterGroup"))
INSTANCE_PARAMETERS = _parameter_groups("DBParameterGroup", "pg", _clusters_of_instances)


# Snapshots


def _snapshot(account: AccountState, cluster: Resource, p: Parameters) -> Resource:
    name = p["DBClusterSnapshotIdentifier"].lower()
    SNAPSHOTS.refuse_existing(account, name)
    postgres.save_copy(account, cluster, name)
    shown = {member: cluster[member] for member in members("rds", "DBClusterSnapshot") & cluster.keys()}
    inherited = cluster["TagList"] if cluster["CopyTagsToSnapshot"] else []
    computed = {
        "LicenseModel": "postgresql-license",
        "PercentProgress": 100,
        "SnapshotCreateTime": now(),
        "SnapshotType": "manual",
        "Status": "available",
        "TagList": p.get("Tags") or inherited,
        "VpcId": SUBNET_GROUPS.get(account, cluster["DBSubnetGroup"])["VpcId"],
        "_cluster": cluster,  # a restore needs all of it
    }
    row = SNAPSHOTS.create(account, p)
    row |= shown | computed
    return row


@operation("rds", "CreateDBClusterSnapshot")
def create_snapshot(account: AccountState, p: Parameters) -> dict[str, Any]:
    cluster = CLUSTERS.get(account, p["DBClusterIdentifier"])
    return {"DBClusterSnapshot": _snapshot(account, cluster, p) | {"Status": "creating"}}


@operation("rds", "DeleteDBClusterSnapshot")
def delete_snapshot(account: AccountState, p: Parameters) -> dict[str, Any]:
    account.after_saving["rds"].append(lambda: _sweep(account))
    return {"DBClusterSnapshot": SNAPSHOTS.delete(account, p["DBClusterSnapshotIdentifier"])}
