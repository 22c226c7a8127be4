"""ElastiCache as a Redis or Valkey replication group without shards uses it.

Defaults and messages: ElastiCache API reference (botocore's service model) and User Guide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.aws import redis
from sandbox.aws.account_state import AccountState
from sandbox.aws.groups import Parameter, ParameterGroups, subnet_group_operations
from sandbox.aws.operations import RECOVERIES, AwsError, Parameters, Resource, members, names, operation
from sandbox.aws.resources import Kind, describable, now

# Version a caller names → the version AWS shows (October 2026) and the family of its parameter groups.
ENGINE_VERSIONS = {
    "redis": {
        "6.0": ("6.0.5", "redis6.x"),
        "6.2": ("6.2.6", "redis6.x"),
        "7.0": ("7.0.7", "redis7"),
        "7.1": ("7.1.0", "redis7"),
    },
    "valkey": {
        "7.2": ("7.2.6", "valkey7"),
        "8.0": ("8.0.1", "valkey8"),
        "8.1": ("8.1.0", "valkey8"),
        "8.2": ("8.2.0", "valkey8"),
        "9.0": ("9.0.0", "valkey9"),
        "9.1": ("9.1.0", "valkey9"),
    },
}
_NATURAL, _YES_NO = "0-2147483647", "yes,no"
_POLICIES = "volatile-lru,allkeys-lru,volatile-lfu,allkeys-lfu,volatile-random,allkeys-random,volatile-ttl,noeviction"
# Parameters of the families and ElastiCache's defaults: "Redis OSS 7 parameters", User Guide.
PARAMETERS = {
    "activedefrag": Parameter(_YES_NO, "no"),
    "active-expire-effort": Parameter("1-10", "1"),
    "databases": Parameter("1-1200000", "16", static=True),
    "hash-max-listpack-entries": Parameter(_NATURAL, "512"),
    "hash-max-listpack-value": Parameter(_NATURAL, "64"),
    "latency-tracking": Parameter(_YES_NO, "no"),
    "lazyfree-lazy-eviction": Parameter(_YES_NO, "no"),
    "lazyfree-lazy-expire": Parameter(_YES_NO, "no"),
    "lazyfree-lazy-server-del": Parameter(_YES_NO, "no"),
    "lfu-decay-time": Parameter(_NATURAL, "1"),
    "lfu-log-factor": Parameter("1-2147483647", "10"),
    "maxmemory-policy": Parameter(_POLICIES, "volatile-lru"),
    "maxmemory-samples": Parameter("1-2147483647", "3"),
    "notify-keyspace-events": Parameter("", ""),
    "reserved-memory-percent": Parameter("0-100", "25"),
    "set-max-intset-entries": Parameter(_NATURAL, "512"),
    "slowlog-log-slower-than": Parameter("-1-2147483647", "10000"),
    "slowlog-max-len": Parameter(_NATURAL, "128"),
    "tcp-keepalive": Parameter(_NATURAL, "300"),
    "timeout": Parameter(_NATURAL, "0"),
    "zset-max-listpack-entries": Parameter(_NATURAL, "128"),
    "zset-max-listpack-value": Parameter(_NATURAL, "64"),
}
# ElastiCache's own, and what Redis takes only when it starts.
NOT_LIVE = ("reserved-memory-percent", "databases")

GROUP_DEFAULTS: Resource = {
    "AuthTokenEnabled": False,
    "AutoMinorVersionUpgrade": True,
    "AutomaticFailover": "disabled",
    "CacheNodeType": "cache.t4g.micro",
    "ClusterEnabled": False,
    "ClusterMode": "disabled",
    "DataTiering": "disabled",
    "IpDiscovery": "ipv4",
    "LogDeliveryConfigurations": [],
    "MemberClusters": [],
    "MultiAZ": "disabled",
    "NetworkType": "ipv4",
    "PendingModifiedValues": {},
    "SnapshotRetentionLimit": 0,
    "SnapshotWindow": "05:00-06:00",
    "Status": "available",
    "UserGroupIds": [],
}
# What functions below see to, be it on the group or on its nodes.
HANDLED = names(
    "ApplyImmediately AuthToken AuthTokenUpdateStrategy AutomaticFailoverEnabled CacheParameterGroupName "
    "CacheSubnetGroupName EngineVersion LogDeliveryConfigurations MultiAZEnabled NumCacheClusters NumNodeGroups Port "
    "PreferredMaintenanceWindow ReplicasPerNodeGroup SecurityGroupIds Tags TransitEncryptionEnabled"
)
# What a node shows of its group.
OF_GROUP = names(
    "AtRestEncryptionEnabled AuthTokenEnabled AuthTokenLastModifiedDate AutoMinorVersionUpgrade CacheNodeType Engine "
    "IpDiscovery LogDeliveryConfigurations NetworkType ReplicationGroupId SnapshotRetentionLimit SnapshotWindow "
    "TransitEncryptionEnabled TransitEncryptionMode"
)
# What a new node has of its peers.
OF_PEERS = names("EngineVersion CacheSubnetGroupName PreferredMaintenanceWindow CacheParameterGroup SecurityGroups")


def _node_view(account: AccountState, node: Resource) -> Resource:
    group = GROUPS.get(account, node["ReplicationGroupId"])
    return node | {name: group[name] for name in OF_GROUP if name in group}


def _kind(shape: str, identifier: str, arn: str, **view: Any) -> Kind:
    return describable(Kind("elasticache", shape, identifier, arn, shape, **view))


GROUPS = _kind("ReplicationGroup", "ReplicationGroupId", "replicationgroup")
NODES = _kind("CacheCluster", "CacheClusterId", "cluster", view=_node_view)
SUBNET_GROUPS = _kind("CacheSubnetGroup", "CacheSubnetGroupName", "subnetgroup")
SNAPSHOTS = _kind("Snapshot", "SnapshotName", "snapshot")


def _in_subnet_group(account: AccountState, name: str) -> list[Resource]:
    return [node for node in NODES.table(account).values() if node["CacheSubnetGroupName"] == name]


subnet_group_operations(SUBNET_GROUPS, 1, "CacheSubnetGroupInUse", _in_subnet_group)


# Replication groups


@operation("elasticache", "CreateReplicationGroup")
def create_group(account: AccountState, p: Parameters) -> dict[str, Any]:
    if p.get("NumNodeGroups", 1) != 1:
        raise AwsError(
            "InvalidParameterValue", "the sandbox has no sharded replication groups: NumNodeGroups must be 1"
        )
    name, engine = p["ReplicationGroupId"].lower(), p.get("Engine", "redis")
    version, family = _version(engine, p.get("EngineVersion"))
    encrypted, port = p.get("TransitEncryptionEnabled", False), p.get("Port", 6379)
    ends = {
        f"{end}Endpoint": {"Address": account.address(f"elasticache/group/{name}/{end}"), "Port": port}
        for end in ("Primary", "Reader")
    }
    group = GROUPS.create(
        account,
        p,
        **GROUP_DEFAULTS,
        AtRestEncryptionEnabled=engine == "valkey",
        Engine=engine,
        NodeGroups=[{"NodeGroupId": "0001", "Status": "available", **ends, "NodeGroupMembers": []}],
        ReplicationGroupCreateTime=now(),
        TransitEncryptionEnabled=encrypted,
        TransitEncryptionMode="required" if encrypted else None,
    )
    subnets = SUBNET_GROUPS.get(account, p.get("CacheSubnetGroupName", "default"))
    parameters = p.get("CacheParameterGroupName", f"default.{family}")
    shared: tuple[Any, ...] = (
        version,
        subnets["CacheSubnetGroupName"],
        "sun:03:00-sun:04:00",
        _parameters_shown(parameters),
        [],
    )
    redis.create(account, group, p.get("AuthToken"))
    for _ in range(p.get("NumCacheClusters") or 1 + p.get("ReplicasPerNodeGroup", 0)):
        _add_node(account, group, dict(zip(OF_PEERS, shared, strict=True)))
    _change_group(account, group, p)
    return {"ReplicationGroup": group | {"Status": "creating"}}


def _add_node(account: AccountState, group: Resource, shared: Resource) -> None:
    shard, peers = group["NodeGroups"][0], redis.nodes(group)
    numbered = (f"{group['ReplicationGroupId']}-{number:03}" for number in range(1, len(peers) + 2))
    name = next(candidate for candidate in numbered if candidate not in group["MemberClusters"])
    subnets = SUBNET_GROUPS.get(account, shared["CacheSubnetGroupName"])["Subnets"]
    zone = subnets[len(peers) % len(subnets)]["SubnetAvailabilityZone"]["Name"]
    endpoint = {"Address": account.address(f"elasticache/{name}"), "Port": shard["PrimaryEndpoint"]["Port"]}
    node = {"CacheNodeId": "0001", "CacheNodeStatus": "available", "CacheNodeCreateTime": now(), "Endpoint": endpoint}
    NODES.create(
        account,
        {"CacheClusterId": name},
        **shared,
        CacheClusterCreateTime=now(),
        CacheClusterStatus="available",
        CacheNodes=[node | {"ParameterGroupStatus": "in-sync", "CustomerAvailabilityZone": zone}],
        NumCacheNodes=1,
        PreferredAvailabilityZone=zone,
        ReplicationGroupId=group["ReplicationGroupId"],
    )
    member = {
        "CacheClusterId": name,
        "CacheNodeId": "0001",
        "ReadEndpoint": endpoint,
        "PreferredAvailabilityZone": zone,
    }
    peers.append(member | {"CurrentRole": "replica" if peers else "primary"})
    group["MemberClusters"].append(name)


def _parameters_shown(name: str) -> Resource:
    return {"CacheParameterGroupName": name.lower(), "ParameterApplyStatus": "in-sync", "CacheNodeIdsToReboot": []}


def _change_group(account: AccountState, group: Resource, p: Parameters) -> None:
    """What creating and modifying have in common: on the group, on its nodes, then on the servers."""
    GROUPS.carry(group, p, {"ReplicationGroupDescription": "Description"}, HANDLED)
    for given, shown in (("AutomaticFailoverEnabled", "AutomaticFailover"), ("MultiAZEnabled", "MultiAZ")):
        if given in p:
            group[shown] = "enabled" if p[given] else "disabled"
    if "AuthToken" in p:
        group |= {"AuthTokenEnabled": True, "AuthTokenLastModifiedDate": now()}
    deliveries = {delivery["LogType"]: delivery for delivery in group["LogDeliveryConfigurations"]}
    for given in p.get("LogDeliveryConfigurations", []):
        deliveries[given["LogType"]] = given | {"Status": "active"}
    group["LogDeliveryConfigurations"] = [given for given in deliveries.values() if given.get("Enabled", True)]
    group["SnapshottingClusterId"] = group["MemberClusters"][-1] if group["SnapshotRetentionLimit"] else None
    changes: Resource = {}
    if "EngineVersion" in p or "Engine" in p:
        changes["EngineVersion"] = _version(group["Engine"], p.get("EngineVersion"))[0]
    if "PreferredMaintenanceWindow" in p:
        changes["PreferredMaintenanceWindow"] = p["PreferredMaintenanceWindow"].lower()
    if "CacheParameterGroupName" in p:
        changes["CacheParameterGroup"] = _parameters_shown(p["CacheParameterGroupName"])
    if "SecurityGroupIds" in p:
        changes["SecurityGroups"] = [{"SecurityGroupId": sg, "Status": "active"} for sg in p["SecurityGroupIds"]]
    for name in group["MemberClusters"]:
        NODES.get(account, name).update(changes)
    _arrange(account, group)


@operation("elasticache", "ModifyReplicationGroup")
def modify_group(account: AccountState, p: Parameters) -> dict[str, Any]:
    group = GROUPS.get(account, p["ReplicationGroupId"])
    strategy = p.get("AuthTokenUpdateStrategy", "ROTATE")
    if strategy == "DELETE":
        raise AwsError("InvalidParameterCombination", "DELETE needs a user group, which the sandbox does not have")
    _change_group(account, group, p)
    if "AuthToken" in p:
        redis.set_token(account, group, p["AuthToken"], keep=strategy == "ROTATE")
    return {"ReplicationGroup": group}


@operation("elasticache", "IncreaseReplicaCount")
def increase_replicas(account: AccountState, p: Parameters) -> dict[str, Any]:
    group, more = _resized(account, p, 1)
    first = NODES.get(account, group["MemberClusters"][0])
    for _ in range(more):
        _add_node(account, group, {name: first[name] for name in OF_PEERS})
    _change_group(account, group, {})
    return {"ReplicationGroup": group}


@operation("elasticache", "DecreaseReplicaCount")
def decrease_replicas(account: AccountState, p: Parameters) -> dict[str, Any]:
    group, fewer = _resized(account, p, -1)
    if p["NewReplicaCount"] < 1 and group["AutomaticFailover"] == "enabled":
        message = "Cannot decrease replicas below 1 while automatic failover is enabled."
        raise AwsError("InvalidParameterCombination", message)
    replicas = [node for node in redis.nodes(group) if node["CurrentRole"] == "replica"]
    _remove_nodes(account, group, [node["CacheClusterId"] for node in replicas[-fewer:]])
    _change_group(account, group, {})
    return {"ReplicationGroup": group}


def _resized(account: AccountState, p: Parameters, direction: int) -> tuple[Resource, int]:
    """The group, and by how many nodes NewReplicaCount changes it in that direction."""
    group = GROUPS.get(account, p["ReplicationGroupId"])
    present = len(group["MemberClusters"]) - 1
    change = (p.get("NewReplicaCount", present) - present) * direction
    if change <= 0:
        wanted = "above" if direction > 0 else "below"
        raise AwsError("InvalidParameterValue", f"NewReplicaCount must be {wanted} the present number, {present}.")
    return group, change


@operation("elasticache", "DeleteReplicationGroup")
def delete_group(account: AccountState, p: Parameters) -> dict[str, Any]:
    group = GROUPS.get(account, p["ReplicationGroupId"])
    if p.get("RetainPrimaryCluster"):
        raise AwsError(
            "InvalidParameterValue", "the sandbox has no cache cluster outside a replication group to retain"
        )
    if final := p.get("FinalSnapshotIdentifier"):
        _snapshot(account, group, {"SnapshotName": final})
    deleted = group | {"Status": "deleting", "MemberClusters": list(group["MemberClusters"])}
    _remove_nodes(account, group, deleted["MemberClusters"])
    GROUPS.delete(account, group["ReplicationGroupId"])
    return {"ReplicationGroup": deleted}


def _remove_nodes(account: AccountState, group: Resource, names: Sequence[str]) -> None:
    for name in names:
        redis.stop(account, name)
        NODES.delete(account, name)
        group["MemberClusters"].remove(name)
    redis.nodes(group)[:] = [node for node in redis.nodes(group) if node["CacheClusterId"] not in names]
    account.after_saving["elasticache"].append(lambda: _sweep(account))


def _arrange(account: AccountState, group: Resource) -> None:
    """Bring the servers in line with the tables."""
    first = NODES.get(account, group["MemberClusters"][0])
    family = next(of for version, of in ENGINE_VERSIONS[group["Engine"]].values() if version == first["EngineVersion"])
    given = PARAMETER_GROUPS.values(account, first["CacheParameterGroup"]["CacheParameterGroupName"], family)
    defaults = {name: parameter.default for name, parameter in PARAMETERS.items()}
    redis.arrange(account, group, {name: value for name, value in (defaults | given).items() if name not in NOT_LIVE})


def _sweep(account: AccountState) -> None:
    """Remove what no row stands for any more, or yet: servers, files, addresses."""
    groups, nodes = GROUPS.table(account), NODES.table(account)
    redis.sweep(account, groups, nodes, SNAPSHOTS.table(account))
    ends = [row["NodeGroups"][0][f"{end}Endpoint"] for row in groups.values() for end in ("Primary", "Reader")]
    ends += [row["CacheNodes"][0]["Endpoint"] for row in nodes.values()]
    account.release_others("elasticache", {end["Address"] for end in ends})


def _recover(account: AccountState) -> None:
    _sweep(account)
    for group in GROUPS.table(account).values():
        _arrange(account, group)


RECOVERIES["elasticache"] = _recover


def _version(engine: str, wanted: str | None) -> tuple[str, str]:
    """The version AWS shows for the one asked for, and its family; the newest when none is asked for."""
    versions = ENGINE_VERSIONS.get(engine)
    if versions is None:
        raise AwsError("InvalidParameterValue", f"The parameter Engine must be one of: {', '.join(ENGINE_VERSIONS)}")
    version = wanted or list(versions)[-1]
    if version not in versions:
        raise AwsError(
            "InvalidParameterValue", f"Cannot find version {version} for {engine} among {', '.join(versions)}"
        )
    return versions[version]


def _with_parameters(account: AccountState, name: str) -> list[Resource]:
    rows = [
        row for row in NODES.table(account).values() if row["CacheParameterGroup"]["CacheParameterGroupName"] == name
    ]
    return [GROUPS.get(account, group) for group in {row["ReplicationGroupId"] for row in rows}]


PARAMETER_GROUPS = ParameterGroups(
    _kind("CacheParameterGroup", "CacheParameterGroupName", "parametergroup"),
    family="CacheParameterGroupFamily",
    given="ParameterNameValues",
    in_use="InvalidCacheParameterGroupStateFault",
    families=frozenset(family for versions in ENGINE_VERSIONS.values() for _, family in versions.values()),
    catalogue=lambda: PARAMETERS,
    users=_with_parameters,
    reach=_arrange,
).register()


# Snapshots


def _snapshot(account: AccountState, group: Resource, p: Parameters) -> Resource:
    SNAPSHOTS.refuse_existing(account, p["SnapshotName"])
    redis.save_copy(account, group, p["SnapshotName"].lower())
    node = _node_view(account, NODES.get(account, group["MemberClusters"][0]))
    shown = members("elasticache", "Snapshot") - {"ARN", "CacheClusterId"}
    saved = {"CacheClusterId": node["CacheClusterId"], "CacheNodeId": "0001", "SnapshotCreateTime": now()}
    row = SNAPSHOTS.create(account, p)
    row |= {name: value for name, value in (group | node).items() if name in shown} | {
        "CacheParameterGroupName": node["CacheParameterGroup"]["CacheParameterGroupName"],
        "NodeSnapshots": [saved | {"CacheNodeCreateTime": node["CacheClusterCreateTime"], "CacheSize": "1 MB"}],
        "NumNodeGroups": 1,
        "Port": node["CacheNodes"][0]["Endpoint"]["Port"],
        "ReplicationGroupDescription": group["Description"],
        "SnapshotSource": "manual",
        "SnapshotStatus": "available",
        "VpcId": SUBNET_GROUPS.get(account, node["CacheSubnetGroupName"])["VpcId"],
    }
    return row


@operation("elasticache", "CreateSnapshot")
def create_snapshot(account: AccountState, p: Parameters) -> dict[str, Any]:
    node = p.get("CacheClusterId")
    name = NODES.get(account, node)["ReplicationGroupId"] if node else p.get("ReplicationGroupId", "")
    return {"Snapshot": _snapshot(account, GROUPS.get(account, name), p) | {"SnapshotStatus": "creating"}}


@operation("elasticache", "DeleteSnapshot")
def delete_snapshot(account: AccountState, p: Parameters) -> dict[str, Any]:
    account.after_saving["elasticache"].append(lambda: _sweep(account))
    return {"Snapshot": SNAPSHOTS.delete(account, p["SnapshotName"]) | {"SnapshotStatus": "deleting"}}
