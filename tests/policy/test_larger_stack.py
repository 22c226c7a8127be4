"""What a careful team would add to this stack passes: a pack that cries wolf is turned off."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

import yaml

from policies import tokens
from policies.configuration import for_environment
from policies.offline import CHECKOUT, report, resources
from policies.rule import Resource
from policies.value import UNKNOWN, Secret
from tests.policy.samples import CONTAINER, POD, TAGS, bare, sample

TODAY = date(2026, 11, 23)
DEPLOYMENT = "kubernetes:apps/v1:Deployment"


def careful() -> list[Resource]:
    config = yaml.safe_load((CHECKOUT / "Pulumi.prod.yaml").read_text())["config"]
    database = {"serving": "main", "generations": {"main": {}, "r1": {}, "r2": {}}, "instanceCount": 3}
    redis = {"engine": "valkey", "serving": "main", "generations": {"main": {}, "r1": {}}}
    changed = {**config, "meetinity-data:database": database, "meetinity-data:redis": redis}
    offices = sample(tokens.PREFIX_LIST, {"id": UNKNOWN}, name="offices")
    from_offices = dataclasses.replace(
        bare(tokens.INGRESS_RULE, prefixListId=UNKNOWN, description="from the offices", tags=TAGS),
        uses={"prefixListId": frozenset({offices.urn})},
    )
    exporter = {
        **CONTAINER,
        "args": ["--web.listen-address=:9187", "--auto-discover", "-p", "9187", "--token-ttl", "60"],
        "env": [
            {"name": "DATA_SOURCE_PASS_FILE", "value": "/run/secrets/password"},
            {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "platform-database", "key": "password"}}},
            {"name": "URI", "value": "postgresql://exporter:$(DB_PASSWORD)@writer.example/meetinity"},
            {"name": "AUTH_ENABLED", "value": "true"},
            {"name": "TOKEN_ISSUER", "value": "https://login.example"},
        ],
    }
    deployment = {"template": {"spec": {**POD, "containers": [exporter]}}}
    metadata = {"name": "exporter", "namespace": "meetinity-prod"}
    view: dict[str, Any] = {"roleRef/kind": "ClusterRole", "roleRef/name": "view"}
    role = sample(tokens.ROLE, {"rules/0": {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]}})
    return [
        *resources("prod", changed),
        bare(DEPLOYMENT, metadata=metadata, spec=deployment),
        sample(tokens.CONFIG_MAP),
        sample(tokens.SECRET, {"metadata/name": "grafana", "stringData": Secret({"admin-password": "x"})}),
        dataclasses.replace(role, name="deployer"),
        sample(tokens.ROLE_BINDING, {"subjects": [{"kind": "Group", "name": "anybody"}]}, name="deployers"),
        sample(tokens.ROLE_BINDING, {**view, "subjects": [{"kind": "Group", "name": "anybody"}]}, name="viewers"),
        offices,
        from_offices,
        sample(tokens.PREFIX_LIST_ENTRY),
        sample(tokens.DEFAULT_SECURITY_GROUP),
        sample(tokens.PROXY),
        sample(tokens.REDIS_USER),
        sample(tokens.BACKUP_VAULT),
        sample(tokens.BACKUP_PLAN),
        sample(tokens.CLUSTER_SNAPSHOT),
        sample(tokens.KEY, protect=True),
        bare("aws:s3/bucket:Bucket"),
        bare("aws:elasticache/userGroup:UserGroup"),
        bare("kubernetes:helm.sh/v3:Release"),
    ]


def test_a_careful_larger_stack_passes_production():
    found = careful()
    assert len(found) > 100
    lines = report(found, for_environment("prod"), TODAY)
    assert [each for each in lines if each.outcome == "mandatory"] == []
