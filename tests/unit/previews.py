"""Builds previews in code, in the shape that `pulumi preview --json` writes."""

from __future__ import annotations

import json
from typing import Any

from ops.plan.preview import Preview, parse

CLUSTER = "aws:rds/cluster:Cluster"
INSTANCE = "aws:rds/clusterInstance:ClusterInstance"
GROUP = "aws:elasticache/replicationGroup:ReplicationGroup"
SECRET = "kubernetes:core/v1:Secret"
JOB = "kubernetes:batch/v1:Job"
DATABASE = "meetinity:data:AuroraCluster"
REDIS = "meetinity:data:RedisReplicationGroup"
STACK = "pulumi:pulumi:Stack"

STORES = {
    "stores": {
        "database": {"serving": "main", "generations": {"main": {"identifier": "prod-postgres"}}},
        "redis": {"serving": "main", "generations": {"main": {"identifier": "prod-redis"}}},
    }
}


def urn(type_: str, name: str, parent: str = DATABASE, stack: str = "prod") -> str:
    return f"urn:pulumi:{stack}::meetinity-data::{parent + '$' if parent else ''}{type_}::{name}"


def step(
    op: str,
    type_: str = CLUSTER,
    name: str = "database-cluster",
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    forced_by: tuple[str, ...] = (),
    *,
    protect: tuple[bool, bool] = (False, False),
    outputs: dict[str, Any] | None = None,
    parent: str = DATABASE,
    detailed: bool = True,
    stack: str = "prod",
    **state: Any,
) -> dict[str, Any]:
    """One step: its detailed diff is what differs between the old and the new inputs."""
    old, new = old or {}, new or {}
    its = urn(type_, name, parent, stack)
    above = f"urn:pulumi:{stack}::meetinity-data::{parent}::{name.split('-')[0]}" if parent else None
    made: dict[str, Any] = {"op": op, "urn": its}
    if op != "create":
        made["oldState"] = {
            "urn": its,
            "type": type_,
            "inputs": old,
            "outputs": {**old, **(outputs or {})},
            "parent": above,
            **({"protect": True} if protect[0] else {}),
            **state,
        }
    if op not in ("delete", "discard"):
        made["newState"] = {"urn": its, "type": type_, "inputs": new, "parent": above}
        if protect[1]:
            made["newState"]["protect"] = True
    if op in ("update", "replace") and detailed:
        paths = {key for key in {*old, *new} if old.get(key) != new.get(key)} | set(forced_by)
        kinds = {key: "update" if key in old and key in new else "add" if key in new else "delete" for key in paths}
        made["detailedDiff"] = {
            key: {"kind": kind + ("-replace" if key in forced_by else ""), "inputDiff": False}
            for key, kind in kinds.items()
        }
    if op == "replace":
        made["replaceReasons"] = list(forced_by)
    return made


def root(outputs: dict[str, Any] | None = None, stack: str = "prod") -> dict[str, Any]:
    return step("same", STACK, f"meetinity-data-{stack}", outputs=outputs or STORES, parent="", stack=stack)


def document(*steps: dict[str, Any], diagnostics: tuple[tuple[str, str], ...] = ()) -> str:
    return json.dumps(
        {
            "steps": [root(), *steps] if not any(STACK in each["urn"] for each in steps) else list(steps),
            "diagnostics": [{"severity": severity, "message": message} for severity, message in diagnostics],
            "changeSummary": {},
        }
    )


def preview(*steps: dict[str, Any], diagnostics: tuple[tuple[str, str], ...] = ()) -> Preview:
    return parse(document(*steps, diagnostics=diagnostics), "preview.json")
