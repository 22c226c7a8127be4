"""`status`: how every generation of both stores is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.console import RenderableType

from ops.aws import client, if_allowed
from ops.described import described
from ops.errors import FoundError
from ops.options import pass_stack, with_json
from ops.recovery_points import RETAINED, recovery_points, window_of
from ops.stack import DATABASE, STORES, Generation, Stack
from ops.terminal import between, moment, show, span, table

LAG_WINDOW = timedelta(minutes=10)
MISSING = "missing"


@click.command()
@with_json
@pass_stack
def status(stack: Stack, *, as_json: bool) -> None:
    """Engine, state, members, lag, last backup, restorable window, maintenance, certificates, insights.

    Exits 3 when a store is missing or not available.
    """
    document = report(stack)
    show(document, _tables(document), as_json=as_json)
    if wrong := [each for each in document["stores"] if each["state"] != "available"]:
        raise FoundError("; ".join(f"{each['store']} {each['identifier']} is {each['state']}" for each in wrong))


def report(stack: Stack) -> dict[str, Any]:
    """Everything `status` knows, for people's tables and programs' JSON alike."""
    notes: list[str] = []
    stores = []
    for store in STORES:
        newest: dict[str, Any] = {}
        for point in recovery_points(stack, store, notes):
            if point.usable and point.taken_at and point.kind != RETAINED:
                newest.setdefault(point.source, {"name": point.name, "takenAt": moment(point.taken_at)})
        for generation in stack.generations(store):
            described = _described(generation, notes)
            stores.append(
                {
                    "store": store,
                    "generation": generation.key,
                    "serving": generation.serving,
                    "identifier": generation.identifier,
                    "lastBackup": newest.get(generation.identifier),
                    **described,
                }
            )
    return {"stack": stack.name, "environment": stack.environment, "stores": stores, "notes": notes}


def _described(generation: Generation, notes: list[str]) -> dict[str, Any]:
    found = described(generation)
    if found is None:
        notes.append(f'{generation}: the stack has it and AWS does not: docs/runbook.md, "A store that was deleted"')
        return {"state": MISSING, "members": [], "pendingMaintenance": []}
    return (_database if generation.store == DATABASE else _redis)(generation, found, notes)


def _database(generation: Generation, cluster: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    rds = client("rds", generation.region)
    instances = {
        each["DBInstanceIdentifier"]: each
        for each in rds.describe_db_instances(Filters=[{"Name": "db-cluster-id", "Values": [generation.identifier]}])[
            "DBInstances"
        ]
    }
    lag = _lag(generation, "AWS/RDS", "AuroraReplicaLag", "DBInstanceIdentifier", list(instances), notes)
    members = []
    for each in cluster["DBClusterMembers"]:
        name = each["DBInstanceIdentifier"]
        instance = instances.get(name, {})
        members.append(
            {
                "identifier": name,
                "role": "writer" if each["IsClusterWriter"] else "reader",
                "class": instance.get("DBInstanceClass"),
                "state": instance.get("DBInstanceStatus", MISSING),
                "zone": instance.get("AvailabilityZone"),
                "lagMilliseconds": None if each["IsClusterWriter"] else lag.get(name),
                "certificateValidTill": moment((instance.get("CertificateDetails") or {}).get("ValidTill")),
            }
        )
    window = window_of(cluster)
    insights = {
        "performanceInsights": bool(cluster.get("PerformanceInsightsEnabled")),
        "retentionDays": cluster.get("PerformanceInsightsRetentionPeriod"),
        "databaseInsights": cluster.get("DatabaseInsightsMode"),
    }
    return {
        "engine": cluster["Engine"],
        "engineVersion": cluster["EngineVersion"],
        "state": cluster["Status"],
        "members": members,
        "retentionDays": cluster["BackupRetentionPeriod"],
        "restorable": {"from": moment(window.earliest), "to": moment(window.latest)} if window else None,
        "deletionProtection": cluster["DeletionProtection"],
        "insights": insights,
        "pendingMaintenance": _pending_database(rds, cluster, instances, notes),
    }


def _pending_database(
    rds: Any, cluster: dict[str, Any], instances: dict[str, Any], notes: list[str]
) -> list[str] | None:
    ours = {cluster["DBClusterArn"], *(each["DBInstanceArn"] for each in instances.values())}

    def ask() -> list[str]:
        pending = [
            f"{each['ResourceIdentifier'].rpartition(':')[2]}: {action['Action']}"
            + (f" not before {moment(when)}" if (when := action.get("CurrentApplyDate")) else "")
            for page in rds.get_paginator("describe_pending_maintenance_actions").paginate()
            for each in page["PendingMaintenanceActions"]
            if each["ResourceIdentifier"] in ours
            for action in each["PendingMaintenanceActionDetails"]
        ]
        return pending + _waiting(
            {
                cluster["DBClusterIdentifier"]: cluster.get("PendingModifiedValues"),
                **{name: each.get("PendingModifiedValues") for name, each in instances.items()},
            }
        )

    found: list[str] | None = if_allowed(f"pending maintenance of {cluster['DBClusterIdentifier']}", ask, notes)
    return found


def _waiting(modified: dict[str, Any]) -> list[str]:
    """Changes that wait for the maintenance window; a password's value is no part of them."""
    return [f"{name}: {key} waits for the window" for name, values in modified.items() for key in sorted(values or {})]


def _redis(generation: Generation, group: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    elasticache = client("elasticache", generation.region)
    nodes = {
        name: elasticache.describe_cache_clusters(CacheClusterId=name)["CacheClusters"][0]
        for name in group["MemberClusters"]
    }
    roles = {
        member["CacheClusterId"]: member.get("CurrentRole")
        for shard in group["NodeGroups"]
        for member in shard["NodeGroupMembers"]
    }
    lag = _lag(generation, "AWS/ElastiCache", "ReplicationLag", "CacheClusterId", list(nodes), notes)
    members = [
        {
            "identifier": name,
            "role": roles.get(name),
            "class": node["CacheNodeType"],
            "state": node["CacheClusterStatus"],
            "zone": node.get("PreferredAvailabilityZone"),
            # CloudWatch has seconds here, and milliseconds for Aurora.
            "lagMilliseconds": lag[name] * 1000 if roles.get(name) == "replica" and name in lag else None,
            "certificateValidTill": None,
        }
        for name, node in nodes.items()
    ]

    def updates() -> list[str]:
        return [
            f"{each['ServiceUpdateName']}: {each['UpdateActionStatus']}"
            for page in elasticache.get_paginator("describe_update_actions").paginate(
                ReplicationGroupIds=[generation.identifier], UpdateActionStatus=["not-applied", "scheduled"]
            )
            for each in page["UpdateActions"]
        ]

    pending = if_allowed(f"service updates of {generation.identifier}", updates, notes)
    first: dict[str, Any] = next(iter(nodes.values()), {})
    return {
        "engine": first.get("Engine"),
        "engineVersion": first.get("EngineVersion"),
        "state": group["Status"],
        "members": members,
        "retentionDays": group["SnapshotRetentionLimit"],
        "restorable": None,
        "deletionProtection": None,
        "insights": None,
        "pendingMaintenance": None
        if pending is None
        else pending + _waiting({generation.identifier: group.get("PendingModifiedValues")}),
    }


def _lag(
    generation: Generation, namespace: str, metric: str, dimension: str, members: Sequence[str], notes: list[str]
) -> dict[str, float]:
    """The newest figure of each member, in the metric's own unit."""
    now = datetime.now(UTC)
    queries = [
        {
            "Id": f"m{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": namespace,
                    "MetricName": metric,
                    "Dimensions": [{"Name": dimension, "Value": member}],
                },
                "Period": 60,
                "Stat": "Maximum",
            },
        }
        for number, member in enumerate(members)
    ]
    if not queries:
        return {}
    answer = if_allowed(
        f"lag of {generation.identifier}",
        lambda: client("cloudwatch", generation.region).get_metric_data(
            MetricDataQueries=queries, StartTime=now - LAG_WINDOW, EndTime=now, ScanBy="TimestampDescending"
        ),
        notes,
    )
    results = {each["Id"]: each["Values"] for each in (answer or {}).get("MetricDataResults", [])}
    return {member: results[f"m{number}"][0] for number, member in enumerate(members) if results.get(f"m{number}")}


def _tables(document: dict[str, Any]) -> Iterator[RenderableType]:
    now = datetime.now(UTC)
    yield table(
        f"Stores of stack {document['stack']} ({document['environment']})",
        ("store", "generation", "name", "engine", "state", "last backup", "restorable", "protected", "insights"),
        (
            (
                each["store"],
                f"{each['generation']}{' (serves)' if each['serving'] else ''}",
                each["identifier"],
                f"{each.get('engine')} {each.get('engineVersion')}" if each.get("engine") else None,
                each["state"],
                _age(each["lastBackup"]["takenAt"], now) if each["lastBackup"] else "none",
                between(each.get("restorable")),
                {True: "yes", False: "no"}.get(each.get("deletionProtection")),
                _insights(each.get("insights")),
            )
            for each in document["stores"]
        ),
    )
    yield table(
        "\nMembers",
        ("name", "role", "class", "state", "zone", "lag", "certificate until"),
        (
            (
                member["identifier"],
                member["role"],
                member["class"],
                member["state"],
                member["zone"],
                None if member["lagMilliseconds"] is None else f"{member['lagMilliseconds']:g} ms",
                member["certificateValidTill"],
            )
            for each in document["stores"]
            for member in each["members"]
        ),
    )
    if pending := [line for each in document["stores"] for line in each["pendingMaintenance"] or []]:
        yield table("\nPending maintenance", ("what",), [(line,) for line in pending])
    if document["notes"]:
        yield table("\nNot known", ("what",), [(note,) for note in document["notes"]])


def _age(taken_at: str, now: datetime) -> str:
    return f"{span(now - datetime.fromisoformat(taken_at))} ago"


def _insights(insights: dict[str, Any] | None) -> str | None:
    if insights is None:
        return None
    kept = f"kept {insights['retentionDays']} days" if insights["performanceInsights"] else "off"
    return f"{insights['databaseInsights']}, {kept}"
