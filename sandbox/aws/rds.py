"""RDS as Aurora PostgreSQL uses it: the operations on clusters and instances, functions over the account's tables.

Defaults: `catalogue.yaml`; what is refused: `rules.yaml`; backups: `rds_backups`; the servers: `postgres`.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.aws import postgres, rds_backups
from sandbox.aws.account_state import SWEEPS, AccountState
from sandbox.aws.groups import Parameter, ParameterGroups, subnet_group_operations
from sandbox.aws.operations import MAINTENANCE, RECOVERIES, Parameters, Resource, operation
from sandbox.aws.rds_backups import BACKUPS, SNAPSHOTS
from sandbox.aws.resources import CATALOGUE, Kind, now, random_id
from sandbox.instance import ACCOUNT_ID, REGION

ENGINE = "aurora-postgresql"
OFFER = CATALOGUE["rds"]
# The account's aws/rds key, which AWS uses where encryption is asked for without a key.
DEFAULT_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/00000000-aaaa-4bbb-8ccc-dddddddddddd"
CERTIFICATES_VALID_TILL = "2061-05-22T00:00:00+00:00"


def _cluster_view(account: AccountState, cluster: Resource) -> Resource:
    told = {"MultiAZ": len(cluster["DBClusterMembers"]) > 1, "PendingModifiedValues": CLUSTERS.pending(cluster) or None}
    return cluster | rds_backups.window(account, cluster) | told


def _cluster_base(account: AccountState, p: Parameters) -> Resource:
    """What a restored cluster has of its source; the newer of its version and the default one, unless that is told."""
    default = _engine_version(OFFER["default version"])
    if snapshot := SNAPSHOTS.find(account, p.get("SnapshotIdentifier", "")):
        source: Resource = snapshot["_cluster"]
        version = max(source["EngineVersion"], default, key=_numbers)
    elif p.keys() & {"SourceDBClusterIdentifier", "SourceDbClusterResourceId"}:
        source = {name: value for name, value in rds_backups.source(account, p).items() if name != "Port"}
        version = source["EngineVersion"]
    else:
        source, version = {}, default
    kept = {name: source[name] for name in CLUSTERS.words("restored") if name in source}
    return kept | {"EngineVersion": version, "DBClusterParameterGroup": f"default.{_family(version)}"}


def _instance_base(account: AccountState, p: Parameters) -> Resource:
    cluster = CLUSTERS.find(account, p.get("DBClusterIdentifier", "")) or {}
    kept = {name: cluster[name] for name in INSTANCES.words("shared") if name in cluster}
    return kept | {"PreferredMaintenanceWindow": cluster.get("PreferredMaintenanceWindow")}


def _instance_view(account: AccountState, instance: Resource) -> Resource:
    cluster = CLUSTERS.get(account, instance["DBClusterIdentifier"])
    authority = {"CAIdentifier": instance["CACertificateIdentifier"], "ValidTill": CERTIFICATES_VALID_TILL}
    return {
        **instance,
        **{name: cluster[name] for name in INSTANCES.words("inherited") if name in cluster},
        "CertificateDetails": authority,
        "DBName": cluster.get("DatabaseName"),
        "DBSubnetGroup": SUBNET_GROUPS.get(account, cluster["DBSubnetGroup"]),
        "Endpoint": instance["Endpoint"] | {"Port": cluster["Port"], "HostedZoneId": cluster["HostedZoneId"]},
        "PendingModifiedValues": INSTANCES.pending(instance),
        "StorageType": cluster.get("StorageType", "aurora"),
    }


CLUSTERS = Kind(
    *("rds", "DBCluster", "DBClusterIdentifier", "cluster", "DBCluster"), _cluster_view, _cluster_base
).register()
INSTANCES = Kind(
    *("rds", "DBInstance", "DBInstanceIdentifier", "db", "DBInstance"), _instance_view, _instance_base
).register()
SUBNET_GROUPS = Kind("rds", "DBSubnetGroup", "DBSubnetGroupName", "subgrp", "DBSubnetGroup").register()
subnet_group_operations(SUBNET_GROUPS)


# Clusters


@operation("rds", "CreateDBCluster")
def create_cluster(account: AccountState, p: Parameters) -> dict[str, Any]:
    cluster = _new_cluster(account, p)
    postgres.create_storage(account, cluster, p["MasterUserPassword"])
    return {"DBCluster": _cluster_view(account, cluster) | {"Status": "creating"}}


@operation("rds", "RestoreDBClusterFromSnapshot")
def restore_from_snapshot(account: AccountState, p: Parameters) -> dict[str, Any]:
    snapshot = SNAPSHOTS.get(account, p["SnapshotIdentifier"])
    # The databases are the snapshot's; AWS does not make another.
    cluster = _new_cluster(account, {name: value for name, value in p.items() if name != "DatabaseName"})
    postgres.restore_storage(account, cluster, snapshot["DBClusterSnapshotIdentifier"])
    return {"DBCluster": _cluster_view(account, cluster) | {"Status": "creating"}}


@operation("rds", "RestoreDBClusterToPointInTime")
def restore_to_point_in_time(account: AccountState, p: Parameters) -> dict[str, Any]:
    source, until = rds_backups.source(account, p), p.get("RestoreToTime")
    moment = until and until.replace(tzinfo=UTC)
    cluster = _new_cluster(account, p)
    postgres.restore_storage(account, cluster, rds_backups.base(account, source, moment), source, moment)
    return {"DBCluster": _cluster_view(account, cluster) | {"Status": "creating"}}


def _new_cluster(account: AccountState, p: Parameters) -> Resource:
    name = p["DBClusterIdentifier"].lower()
    cluster = CLUSTERS.create(
        account,
        p,
        ClusterCreateTime=now(),
        DbClusterResourceId=f"cluster-{random_id(26)}",
        Endpoint=account.address(f"rds/cluster/{name}/writer"),
        ReaderEndpoint=account.address(f"rds/cluster/{name}/reader"),
    )
    if "EngineVersion" in p:
        cluster["EngineVersion"] = _engine_version(p["EngineVersion"])
    _change_cluster(account, cluster, p)
    if "SnapshotIdentifier" in p and "KmsKeyId" in p:
        cluster["StorageEncrypted"] = True
    if cluster["StorageEncrypted"]:
        cluster.setdefault("KmsKeyId", DEFAULT_KEY)
    return cluster


def _change_cluster(account: AccountState, cluster: Resource, p: Parameters) -> None:
    """What creating and modifying have in common."""
    CLUSTERS.carry(cluster, p)
    for name in ("DBSubnetGroup", "DBClusterParameterGroup", "PreferredMaintenanceWindow"):
        cluster[name] = cluster[name].lower()
    if cluster["DBClusterParameterGroup"].startswith("default."):
        cluster["DBClusterParameterGroup"] = f"default.{_family(cluster['EngineVersion'])}"
    CLUSTER_PARAMETERS.get(account, cluster["DBClusterParameterGroup"])
    if "VpcSecurityGroupIds" in p:
        cluster["VpcSecurityGroups"] = [
            {"VpcSecurityGroupId": group, "Status": "active"} for group in p["VpcSecurityGroupIds"]
        ]
    if cluster.get("StorageType") in ("", "aurora"):
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
    if not resource["MonitoringInterval"]:
        resource.pop("MonitoringRoleArn", None)


@operation("rds", "ModifyDBCluster")
def modify_cluster(account: AccountState, p: Parameters) -> dict[str, Any]:
    cluster = CLUSTERS.get(account, p["DBClusterIdentifier"])
    if "EngineVersion" in p:
        p["EngineVersion"] = _engine_version(p["EngineVersion"])
    p = CLUSTERS.due(cluster, p)
    before, was_standard = _family(cluster["EngineVersion"]), "StorageType" not in cluster
    cluster["EngineVersion"] = p.get("EngineVersion", cluster["EngineVersion"])
    family = _family(cluster["EngineVersion"])
    _change_cluster(account, cluster, p)
    if was_standard and "StorageType" in cluster:
        cluster["IOOptimizedNextAllowedModificationTime"] = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    changed = {CLUSTERS.member(name) for name in p}
    for member in cluster["DBClusterMembers"]:
        instance = INSTANCES.get(account, member["DBInstanceIdentifier"])
        instance |= {name: cluster[name] for name in INSTANCES.words("shared") if name in changed and name in cluster}
        if family != before:
            _use_parameters(account, instance, p.get("DBInstanceParameterGroupName", f"default.{family}"))
        _complete_insights(instance)
    if "MasterUserPassword" in p:
        postgres.set_password(account, cluster, p["MasterUserPassword"])
    _arrange(account, cluster)
    return {"DBCluster": _cluster_view(account, cluster)}


@operation("rds", "DeleteDBCluster")
def delete_cluster(account: AccountState, p: Parameters) -> dict[str, Any]:
    cluster = CLUSTERS.get(account, p["DBClusterIdentifier"])
    if final := p.get("FinalDBSnapshotIdentifier"):
        rds_backups.snapshot(account, cluster, {"DBClusterSnapshotIdentifier": final})
    view = _cluster_view(account, cluster) | {"Status": "deleting"}
    rds_backups.end(account, cluster, keep=not p.get("DeleteAutomatedBackups", True))
    CLUSTERS.delete(account, cluster["DBClusterIdentifier"])
    return {"DBCluster": view}


@operation("rds", "FailoverDBCluster")
def fail_over(account: AccountState, p: Parameters) -> dict[str, Any]:
    cluster = CLUSTERS.get(account, p["DBClusterIdentifier"])
    _promote(account, cluster, p.get("TargetDBInstanceIdentifier"))
    _arrange(account, cluster)
    return {"DBCluster": _cluster_view(account, cluster)}


def _promote(account: AccountState, cluster: Resource, target: str | None = None) -> None:
    """The named reader, or the one of the lowest promotion tier, becomes the writer."""
    readers = [member for member in cluster["DBClusterMembers"] if not member["IsClusterWriter"]]
    wanted = [member for member in readers if target is None or member["DBInstanceIdentifier"] == target.lower()]
    chosen = min(wanted, key=lambda member: (member["PromotionTier"], member["DBInstanceIdentifier"]))
    postgres.hand_over(account, cluster, chosen)


def _engine_version(wanted: str) -> str:
    """The minor version a request means: a major version alone gets its newest minor."""
    return str(OFFER["versions"].get(wanted, [wanted])[-1])


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _family(version: str) -> str:
    return f"{ENGINE}{version.partition('.')[0]}"


@operation("rds", "DescribeDBEngineVersions")
def describe_engine_versions(_account: AccountState, p: Parameters) -> dict[str, Any]:
    rows = [
        OFFER["engine version"]
        | {"EngineVersion": minor, "MajorEngineVersion": major, "DBParameterGroupFamily": _family(major)}
        | {"DBEngineVersionDescription": f"Aurora PostgreSQL (compatible with PostgreSQL {minor})"}
        for major, minors in OFFER["versions"].items()
        for minor in (minors[-1:] if p.get("DefaultOnly") else minors)
        if p.get("EngineVersion") in (None, major, minor)
    ]
    wanted = {name: p[name] for name in ("Engine", "DBParameterGroupFamily") if name in p}
    return {"DBEngineVersions": [row for row in rows if wanted.items() <= row.items()]}


@operation("rds", "DescribeCertificates")
def describe_certificates(_account: AccountState, p: Parameters) -> dict[str, Any]:
    rows = [
        {
            "CertificateIdentifier": name,
            "CertificateType": "CA",
            "ValidTill": CERTIFICATES_VALID_TILL,
            "CertificateArn": f"arn:aws:rds:{REGION}::cert:{name}",
        }
        for name in OFFER["certificates"]
        if p.get("CertificateIdentifier") in (None, name)
    ]
    return {"Certificates": rows, "DefaultCertificateForNewLaunches": OFFER["certificates"][0]}


@operation("rds", "DescribePendingMaintenanceActions")
def describe_pending_maintenance(_account: AccountState, _p: Parameters) -> dict[str, Any]:
    return {"PendingMaintenanceActions": []}  # AWS has no update of its own for what runs here


# Instances


@operation("rds", "CreateDBInstance")
def create_instance(account: AccountState, p: Parameters) -> dict[str, Any]:
    cluster = CLUSTERS.get(account, p["DBClusterIdentifier"])
    peers = cluster["DBClusterMembers"]
    subnets = SUBNET_GROUPS.get(account, cluster["DBSubnetGroup"])["Subnets"]
    instance = INSTANCES.create(
        account,
        p,
        AvailabilityZone=subnets[len(peers) % len(subnets)]["SubnetAvailabilityZone"]["Name"],
        DBClusterIdentifier=cluster["DBClusterIdentifier"],
        DbiResourceId=f"db-{random_id(26)}",
        Endpoint={"Address": account.address(f"rds/{p['DBInstanceIdentifier'].lower()}")},
        InstanceCreateTime=now(),
    )
    peers.append({"DBInstanceIdentifier": instance["DBInstanceIdentifier"], "IsClusterWriter": not peers})
    _change_instance(account, cluster, instance, p)
    if not BACKUPS.find(account, cluster["DbClusterResourceId"]):
        rds_backups.back_up(account, cluster)
    return {"DBInstance": _instance_view(account, instance) | {"DBInstanceStatus": "creating"}}


def _change_instance(account: AccountState, cluster: Resource, instance: Resource, p: Parameters) -> None:
    """What creating and modifying have in common."""
    INSTANCES.carry(instance, p)
    instance["PreferredMaintenanceWindow"] = instance["PreferredMaintenanceWindow"].lower()
    if "DBParameterGroupName" in p or "DBParameterGroups" not in instance:
        default = f"default.{_family(cluster['EngineVersion'])}"
        _use_parameters(account, instance, p.get("DBParameterGroupName", default))
    stream = f"log-group:RDSOSMetrics:log-stream:{instance['DbiResourceId']}"
    monitored = f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:{stream}" if instance["MonitoringInterval"] else None
    instance["EnhancedMonitoringResourceArn"] = monitored
    _member(cluster, instance)["PromotionTier"] = instance["PromotionTier"]
    _complete_insights(instance)
    _arrange(account, cluster)


def _use_parameters(account: AccountState, instance: Resource, group: str) -> None:
    name = INSTANCE_PARAMETERS.get(account, group.lower())["DBParameterGroupName"]
    instance["DBParameterGroups"] = [{"DBParameterGroupName": name, "ParameterApplyStatus": "in-sync"}]


def _member(cluster: Resource, instance: Resource) -> Resource:
    name = instance["DBInstanceIdentifier"]
    found: Resource = next(m for m in cluster["DBClusterMembers"] if m["DBInstanceIdentifier"] == name)
    return found


@operation("rds", "ModifyDBInstance")
def modify_instance(account: AccountState, p: Parameters) -> dict[str, Any]:
    instance = INSTANCES.get(account, p["DBInstanceIdentifier"])
    cluster = CLUSTERS.get(account, instance["DBClusterIdentifier"])
    _change_instance(account, cluster, instance, INSTANCES.due(instance, p))
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
        _promote(account, cluster)
    postgres.stop(account, instance["DBInstanceIdentifier"])
    cluster["DBClusterMembers"].remove(member)
    INSTANCES.delete(account, instance["DBInstanceIdentifier"])
    _arrange(account, cluster)
    return {"DBInstance": view}


def _arrange(account: AccountState, cluster: Resource) -> None:
    """Bring the servers in line with the tables, and the parameter groups' state in line with the servers."""
    major = cluster["EngineVersion"].partition(".")[0]
    defaults = OFFER["parameters"] | {"rds.force_ssl": "1" if int(major) >= OFFER["forced TLS since"] else "0"}
    shared = CLUSTER_PARAMETERS.values(account, cluster["DBClusterParameterGroup"])
    settings = {}
    for member in cluster["DBClusterMembers"]:
        group = INSTANCES.get(account, member["DBInstanceIdentifier"])["DBParameterGroups"][0]["DBParameterGroupName"]
        own = INSTANCE_PARAMETERS.values(account, group)
        settings[member["DBInstanceIdentifier"]] = defaults | shared | own
    postgres.arrange(account, cluster, settings)
    for member in cluster["DBClusterMembers"]:
        waits = postgres.waits_for_restart(account, cluster, member)
        member["DBClusterParameterGroupStatus"] = "pending-reboot" if waits else "in-sync"


def _sweep(account: AccountState) -> None:
    """Remove what no row stands for any more, or yet: servers, files, addresses."""
    clusters, instances = CLUSTERS.table(account), INSTANCES.table(account)
    logs = {row["DbClusterResourceId"] for table in (clusters, BACKUPS.table(account)) for row in table.values()}
    postgres.sweep(account, clusters, instances, SNAPSHOTS.table(account), logs)
    used = {row[end] for row in clusters.values() for end in ("Endpoint", "ReaderEndpoint")}
    account.release_others("rds", used | {row["Endpoint"]["Address"] for row in instances.values()})


def _recover(account: AccountState) -> None:
    _sweep(account)
    for cluster in CLUSTERS.table(account).values():
        _arrange(account, cluster)


def _maintain(account: AccountState) -> None:
    """The backup and maintenance windows of every cluster come."""
    for name in list(CLUSTERS.table(account)):
        modify_cluster(account, {"DBClusterIdentifier": name, "ApplyImmediately": True})
        rds_backups.back_up(account, CLUSTERS.get(account, name))
    for name in list(INSTANCES.table(account)):
        modify_instance(account, {"DBInstanceIdentifier": name, "ApplyImmediately": True})


SWEEPS["rds"] = _sweep
RECOVERIES["rds"] = _recover
MAINTENANCE["rds"] = _maintain


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


def _with_cluster_group(account: AccountState, name: str) -> list[Resource]:
    return [row for row in CLUSTERS.table(account).values() if row["DBClusterParameterGroup"] == name]


def _with_instance_group(account: AccountState, name: str) -> list[Resource]:
    rows = [
        row for row in INSTANCES.table(account).values() if row["DBParameterGroups"][0]["DBParameterGroupName"] == name
    ]
    return [CLUSTERS.get(account, cluster) for cluster in {row["DBClusterIdentifier"] for row in rows}]


def _parameter_groups(shape: str, arn: str, users: Any) -> ParameterGroups:
    return ParameterGroups(
        Kind("rds", shape, f"{shape}Name", arn, "DBParameterGroup").register(),
        family="DBParameterGroupFamily",
        given="Parameters",
        catalogue=_catalogue,
        users=users,
        reach=_arrange,
    ).register()


CLUSTER_PARAMETERS = _parameter_groups("DBClusterParameterGroup", "cluster-pg", _with_cluster_group)
INSTANCE_PARAMETERS = _parameter_groups("DBParameterGroup", "pg", _with_instance_group)
