"""ElastiCache as a Redis or Valkey replication group without shards uses it.

Defaults: `catalogue.yaml`; what is refused: `rules.yaml`; the servers: `redis`. What all nodes of a
group have in common is in the group's row, and a node shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.aws import redis
from sandbox.aws.account_state import SWEEPS, AccountState
from sandbox.aws.groups import Parameter, ParameterGroups, subnet_group_operations
from sandbox.aws.operations import MAINTENANCE, RECOVERIES, Parameters, Resource, members, operation
from sandbox.aws.resources import CATALOGUE, Kind, now

OFFER = CATALOGUE["elasticache"]
PARAMETERS = {name: Parameter(**row) for name, row in OFFER["parameters"].items()}


def _group_view(_account: AccountState, group: Resource) -> Resource:
    return group | {"SnapshottingClusterId": group["MemberClusters"][-1] if group["SnapshotRetentionLimit"] else None}


def _group_base(_account: AccountState, p: Parameters) -> Resource:
    engine, encrypted = p.get("Engine", "redis"), p.get("TransitEncryptionEnabled")
    mode = {"TransitEncryptionMode": "required"} if encrypted else {}
    return {
        "AtRestEncryptionEnabled": engine == "valkey",
        "EngineVersion": _version(engine, p.get("EngineVersion")),
    } | mode


def _node_view(account: AccountState, node: Resource) -> Resource:
    group = GROUPS.get(account, node["ReplicationGroupId"])
    parameters = {"CacheParameterGroupName": group["CacheParameterGroup"], "CacheNodeIdsToReboot": []}
    return {
        **node,
        **{name: group[name] for name in GROUPS.words("inherited") if name in group},
        "CacheParameterGroup": parameters | {"ParameterApplyStatus": "in-sync"},
        "PendingModifiedValues": GROUPS.pending(group),
    }


def _kind(shape: str, identifier: str, arn: str, **more: Any) -> Kind:
    return Kind("elasticache", shape, identifier, arn, shape, **more).register()


GROUPS = _kind("ReplicationGroup", "ReplicationGroupId", "replicationgroup", view=_group_view, base=_group_base)
NODES = _kind("CacheCluster", "CacheClusterId", "cluster", view=_node_view)
SUBNET_GROUPS = _kind("CacheSubnetGroup", "CacheSubnetGroupName", "subnetgroup")
SNAPSHOTS = _kind("Snapshot", "SnapshotName", "snapshot")
subnet_group_operations(SUBNET_GROUPS)


# Replication groups


@operation("elasticache", "CreateReplicationGroup")
def create_group(account: AccountState, p: Parameters) -> dict[str, Any]:
    name, port = p["ReplicationGroupId"].lower(), p.get("Port", GROUPS.settings("defaults")["Port"])
    ends = {
        f"{end}Endpoint": {"Address": account.address(f"elasticache/group/{name}/{end}"), "Port": port}
        for end in ("Primary", "Reader")
    }
    group = GROUPS.create(
        account,
        p,
        CacheParameterGroup=f"default.{_family(p.get('Engine', 'redis'), p.get('EngineVersion'))}",
        NodeGroups=[{"NodeGroupId": "0001", "Status": "available", **ends, "NodeGroupMembers": []}],
        ReplicationGroupCreateTime=now(),
    )
    GROUPS.carry(group, p)
    redis.create(account, group, p.get("AuthToken"))
    for _ in range(p.get("NumCacheClusters") or 1 + p.get("ReplicasPerNodeGroup", 0)):
        _add_node(account, group)
    if snapshot := p.get("SnapshotName"):
        redis.restore(account, group, snapshot.lower())
    _change_group(account, group, p)
    return {"ReplicationGroup": _group_view(account, group) | {"Status": "creating"}}


def _add_node(account: AccountState, group: Resource) -> None:
    peers = redis.nodes(group)
    numbered = (f"{group['ReplicationGroupId']}-{number:03}" for number in range(1, len(peers) + 2))
    name = next(candidate for candidate in numbered if candidate not in group["MemberClusters"])
    subnets = SUBNET_GROUPS.get(account, group["CacheSubnetGroupName"])["Subnets"]
    zone = subnets[len(peers) % len(subnets)]["SubnetAvailabilityZone"]["Name"]
    endpoint = {"Address": account.address(f"elasticache/{name}"), "Port": group["Port"]}
    node = {"CacheNodeId": "0001", "CacheNodeStatus": "available", "CacheNodeCreateTime": now(), "Endpoint": endpoint}
    NODES.create(
        account,
        {"CacheClusterId": name},
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


def _change_group(account: AccountState, group: Resource, p: Parameters) -> None:
    """What creating and modifying have in common: on the group, then on the servers."""
    GROUPS.carry(group, p)
    if "EngineVersion" in p:
        group["EngineVersion"] = _version(group["Engine"], p["EngineVersion"])
    for name in ("CacheParameterGroup", "PreferredMaintenanceWindow", "SnapshotWindow", "CacheSubnetGroupName"):
        group[name] = group[name].lower()
    if group["CacheParameterGroup"].startswith("default."):
        group["CacheParameterGroup"] = f"default.{_family(group['Engine'], group['EngineVersion'])}"
    if "AuthToken" in p:
        group |= {"AuthTokenEnabled": True, "AuthTokenLastModifiedDate": now()}
    deliveries = {delivery["LogType"]: delivery for delivery in group["LogDeliveryConfigurations"]}
    for given in p.get("LogDeliveryConfigurations", []):
        deliveries[given["LogType"]] = given | {"Status": "active"}
    group["LogDeliveryConfigurations"] = [given for given in deliveries.values() if given.get("Enabled", True)]
    if "SecurityGroupIds" in p:
        group["SecurityGroups"] = [{"SecurityGroupId": sg, "Status": "active"} for sg in p["SecurityGroupIds"]]
    _arrange(account, group)


@operation("elasticache", "ModifyReplicationGroup")
def modify_group(account: AccountState, p: Parameters) -> dict[str, Any]:
    group = GROUPS.get(account, p["ReplicationGroupId"])
    if "EngineVersion" in p:
        p["EngineVersion"] = _version(str(p.get("Engine", group["Engine"])), p["EngineVersion"])
    _change_group(account, group, GROUPS.due(group, p))
    if "AuthToken" in p:
        group["_rotating"] = p.get("AuthTokenUpdateStrategy", "ROTATE") == "ROTATE"
        redis.set_token(account, group, p["AuthToken"], keep=group["_rotating"])
    return {"ReplicationGroup": _group_view(account, group)}


@operation("elasticache", "IncreaseReplicaCount")
def increase_replicas(account: AccountState, p: Parameters) -> dict[str, Any]:
    group = GROUPS.get(account, p["ReplicationGroupId"])
    while len(group["MemberClusters"]) <= p["NewReplicaCount"]:
        _add_node(account, group)
    _arrange(account, group)
    return {"ReplicationGroup": _group_view(account, group)}


@operation("elasticache", "DecreaseReplicaCount")
def decrease_replicas(account: AccountState, p: Parameters) -> dict[str, Any]:
    group = GROUPS.get(account, p["ReplicationGroupId"])
    replicas = [node["CacheClusterId"] for node in redis.nodes(group) if node["CurrentRole"] == "replica"]
    _remove_nodes(account, group, replicas[p["NewReplicaCount"] :])
    _arrange(account, group)
    return {"ReplicationGroup": _group_view(account, group)}


@operation("elasticache", "TestFailover")
def test_failover(account: AccountState, p: Parameters) -> dict[str, Any]:
    group = GROUPS.get(account, p["ReplicationGroupId"])
    _fail_over(account, group)
    return {"ReplicationGroup": _group_view(account, group)}


def _fail_over(account: AccountState, group: Resource) -> None:
    redis.hand_over(account, group)
    _arrange(account, group)
    redis.hang_up(account, group)


@operation("elasticache", "DeleteReplicationGroup")
def delete_group(account: AccountState, p: Parameters) -> dict[str, Any]:
    group = GROUPS.get(account, p["ReplicationGroupId"])
    if final := p.get("FinalSnapshotIdentifier"):
        _snapshot(account, group, {"SnapshotName": final})
    deleted = _group_view(account, group) | {"Status": "deleting", "MemberClusters": list(group["MemberClusters"])}
    _remove_nodes(account, group, deleted["MemberClusters"])
    for row in _automated(account, group):
        SNAPSHOTS.delete(account, row["SnapshotName"])
    GROUPS.delete(account, group["ReplicationGroupId"])
    return {"ReplicationGroup": deleted}


def _remove_nodes(account: AccountState, group: Resource, names: Sequence[str]) -> None:
    for name in names:
        redis.stop(account, name)
        NODES.delete(account, name)
        group["MemberClusters"].remove(name)
    redis.nodes(group)[:] = [node for node in redis.nodes(group) if node["CacheClusterId"] not in names]


def _arrange(account: AccountState, group: Resource) -> None:
    """Bring the servers in line with the tables."""
    defaults = {name: parameter.default for name, parameter in PARAMETERS.items()}
    settings = defaults | PARAMETER_GROUPS.values(account, group["CacheParameterGroup"])
    redis.arrange(account, group, {name: value for name, value in settings.items() if name not in OFFER["not live"]})


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
        if group["AutomaticFailover"] == "enabled" and redis.primary_is_lost(account, group):
            _fail_over(account, group)
        _arrange(account, group)


def _maintain(account: AccountState) -> None:
    """The backup and maintenance windows of every group come."""
    for name, group in GROUPS.table(account).items():
        modify_group(account, {"ReplicationGroupId": name, "ApplyImmediately": True})
        _back_up(account, group)


SWEEPS["elasticache"] = _sweep
RECOVERIES["elasticache"] = _recover
MAINTENANCE["elasticache"] = _maintain


def _offered(engine: str, wanted: str | None) -> Sequence[str]:
    """The version AWS shows for the one asked for, and its family; the newest when none is asked for."""
    versions = OFFER["versions"].get(engine, {})
    shown = {row[0]: row for row in versions.values()}
    newest = list(versions.values() or [("", "")])[-1]
    found: Sequence[str] = (versions | shown).get(wanted, newest)
    return found


def _version(engine: str, wanted: str | None) -> str:
    return _offered(engine, wanted)[0]


def _family(engine: str, wanted: str | None) -> str:
    return _offered(engine, wanted)[1]


def _with_parameters(account: AccountState, name: str) -> list[Resource]:
    return [row for row in GROUPS.table(account).values() if row["CacheParameterGroup"] == name]


PARAMETER_GROUPS = ParameterGroups(
    _kind("CacheParameterGroup", "CacheParameterGroupName", "parametergroup"),
    family="CacheParameterGroupFamily",
    given="ParameterNameValues",
    catalogue=lambda: PARAMETERS,
    users=_with_parameters,
    reach=_arrange,
).register()


@operation("elasticache", "DescribeServiceUpdates")
def describe_service_updates(_account: AccountState, _p: Parameters) -> dict[str, Any]:
    return {"ServiceUpdates": []}  # AWS has no update of its own for what runs here


# Snapshots


def _snapshot(account: AccountState, group: Resource, p: Parameters, source: str = "manual") -> Resource:
    SNAPSHOTS.refuse_existing(account, p["SnapshotName"])
    redis.save_copy(account, group, p["SnapshotName"].lower())
    node = _node_view(account, NODES.get(account, group["MemberClusters"][0]))
    shown = members("elasticache", "Snapshot") - {"ARN", "CacheClusterId"}
    saved = {"CacheClusterId": node["CacheClusterId"], "CacheNodeId": "0001", "SnapshotCreateTime": now()}
    told = {name: value for name, value in (group | node).items() if name in shown} | {
        "CacheClusterId": p.get("CacheClusterId"),
        "CacheParameterGroupName": group["CacheParameterGroup"],
        "NodeSnapshots": [saved | {"CacheNodeCreateTime": node["CacheClusterCreateTime"], "CacheSize": "1 MB"}],
        "NumNodeGroups": 1,
        "Port": group["Port"],
        "ReplicationGroupDescription": group["Description"],
        "SnapshotSource": source,
        "SnapshotStatus": "available",
        "VpcId": SUBNET_GROUPS.get(account, group["CacheSubnetGroupName"])["VpcId"],
        "_created": now(),
    }
    return SNAPSHOTS.create(account, p, **told)


def _automated(account: AccountState, group: Resource) -> list[Resource]:
    """A group's automated snapshots."""
    rows = SNAPSHOTS.table(account).values()
    named = group["ReplicationGroupId"]
    return [row for row in rows if row["SnapshotSource"] == "automated" and row["ReplicationGroupId"] == named]


def _back_up(account: AccountState, group: Resource) -> None:
    """Take a group's automated snapshot, if it is to have any, and let go of those past its retention."""
    kept_since = (datetime.now(UTC) - timedelta(days=group["SnapshotRetentionLimit"])).isoformat()
    name = f"automatic.{group['MemberClusters'][-1]}-{datetime.now(UTC):%Y-%m-%d-%H-%M}"
    if group["SnapshotRetentionLimit"] and not SNAPSHOTS.find(account, name):  # AWS's names tell minutes
        _snapshot(account, group, {"SnapshotName": name}, "automated")
    for row in _automated(account, group):
        if row["_created"] < kept_since:
            SNAPSHOTS.delete(account, row["SnapshotName"])


@operation("elasticache", "CreateSnapshot")
def create_snapshot(account: AccountState, p: Parameters) -> dict[str, Any]:
    node = p.get("CacheClusterId")
    name = NODES.get(account, node)["ReplicationGroupId"] if node else p.get("ReplicationGroupId", "")
    return {"Snapshot": _snapshot(account, GROUPS.get(account, name), p) | {"SnapshotStatus": "creating"}}


@operation("elasticache", "DescribeSnapshots")
def describe_snapshots(account: AccountState, p: Parameters) -> dict[str, Any]:
    """A request says `system` and `user` for what the answer calls `automated` and `manual`."""
    said = {"system": "automated", "user": "manual"}
    source = {"SnapshotSource": said.get(p["SnapshotSource"])} if "SnapshotSource" in p else {}
    return SNAPSHOTS.describe(account, p | source)


@operation("elasticache", "CopySnapshot")
def copy_snapshot(account: AccountState, p: Parameters) -> dict[str, Any]:
    original, name = SNAPSHOTS.get(account, p["SourceSnapshotName"]), p["TargetSnapshotName"]
    SNAPSHOTS.refuse_existing(account, name)
    redis.copy_copy(account, original["SnapshotName"], name.lower())
    kept = {key: value for key, value in original.items() if key not in ("SnapshotName", "ARN")}
    changed = {"SnapshotSource": "manual", "TagList": p.get("Tags", []), "_created": now()}
    copy = SNAPSHOTS.create(account, {"SnapshotName": name}, **(kept | changed))
    return {"Snapshot": copy | {"SnapshotStatus": "copying"}}


@operation("elasticache", "DeleteSnapshot")
def delete_snapshot(account: AccountState, p: Parameters) -> dict[str, Any]:
    return {"Snapshot": SNAPSHOTS.delete(account, p["SnapshotName"]) | {"SnapshotStatus": "deleting"}}
