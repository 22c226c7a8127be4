from __future__ import annotations

import pytest

from components.redis import RedisReplicationGroup, RedisReplicationGroupArgs, log_types
from tests.unit.recording import Recording, is_secret, record

GROUP = "aws:elasticache/replicationGroup:ReplicationGroup"


def group(**changes) -> Recording:
    base = {
        "identifier": "dev-redis",
        "parameter_group_name": "dev-redis-redis7",
        "parameter_group_family": "redis7",
        "vpc_id": "vpc-1",
        "subnet_ids": ["subnet-a", "subnet-b"],
        "allowed_security_groups": {"eks-nodes": "sg-nodes"},
        "tags": {"Environment": "dev", "Project": "meetinity"},
    }
    return record(lambda: RedisReplicationGroup("redis", RedisReplicationGroupArgs(**{**base, **changes})) and None)


def test_the_replication_group_is_registered_with_exactly_these_inputs():
    assert group().one(GROUP).inputs == {
        "replicationGroupId": "dev-redis",
        "description": "Highly available Redis for dev-redis",
        "engine": "redis",
        "engineVersion": "7.1",
        "nodeType": "cache.r6g.large",
        "numCacheClusters": 2,
        "port": 6379,
        "parameterGroupName": "dev-redis-redis7",
        "subnetGroupName": "dev-redis-subnet",
        "securityGroupIds": ["redis-security-group-id"],
        "automaticFailoverEnabled": True,
        "multiAzEnabled": True,
        "atRestEncryptionEnabled": True,
        "transitEncryptionEnabled": True,
        "authToken": "generated-for-redis-auth-token",
        "authTokenUpdateStrategy": "ROTATE",
        "snapshotRetentionLimit": 7,
        "snapshotWindow": "03:00-04:00",
        "finalSnapshotIdentifier": "dev-redis-final-0a1b2c3d",
        "maintenanceWindow": "sun:05:00-sun:06:00",
        "autoMinorVersionUpgrade": True,
        "applyImmediately": False,
        "logDeliveryConfigurations": [
            {
                "destination": f"/aws/elasticache/dev-redis/{log}",
                "destinationType": "cloudwatch-logs",
                "logFormat": "json",
                "logType": log,
            }
            for log in ("slow-log", "engine-log")
        ],
        "tags": {"Environment": "dev", "Project": "meetinity", "Name": "dev-redis"},
    }


def test_the_argument_that_the_provider_no_longer_takes_is_not_sent():
    assert "numberCacheClusters" not in group().one(GROUP).inputs


def test_elasticache_has_no_deletion_protection_so_pulumi_protects():
    assert group().one(GROUP).protect
    assert not group(protect=False).one(GROUP).protect


def test_the_token_is_secret_generated_or_given():
    assert is_secret(group().one(GROUP).raw["authToken"])
    given = group(auth_token="a-token-of-our-own")
    assert given.all("random:index/randomPassword:RandomPassword") == []
    assert is_secret(given.one(GROUP).raw["authToken"])


def test_without_tls_there_is_no_token_because_aws_refuses_it():
    inputs = group(transit_encryption_enabled=False).one(GROUP).inputs
    assert "authToken" not in inputs
    assert "authTokenUpdateStrategy" not in inputs


def test_valkey_is_a_choice():
    inputs = group(engine="valkey", engine_version="8.1", parameter_group_family="valkey8").one(GROUP).inputs
    assert (inputs["engine"], inputs["engineVersion"]) == ("valkey", "8.1")


def test_the_cache_evicts_least_recently_used_keys_and_keeps_connections_alive():
    parameters = group().one("aws:elasticache/parameterGroup:ParameterGroup").inputs["parameters"]
    assert parameters == [
        {"name": "maxmemory-policy", "value": "allkeys-lru"},
        {"name": "tcp-keepalive", "value": "60"},
    ]


def test_a_spent_snapshot_is_ignored_because_taking_it_out_would_replace_the_group():
    registered = group(snapshot_name="s-1").one(GROUP)
    assert registered.inputs["snapshotName"] == "s-1"
    assert registered.ignore_changes == ("snapshotName",)


def test_the_final_snapshot_gets_a_new_name_exactly_when_the_group_is_replaced():
    def keepers(**changes):
        return group(**changes).one("random:index/randomId:RandomId").inputs["keepers"]

    assert keepers(node_type="cache.r6g.xlarge") == keepers()
    for change in ({"identifier": "x"}, {"port": 6380}, {"at_rest_encryption_enabled": False}, {"kms_key_id": "k"}):
        assert keepers(**change) != keepers(), change


def test_logs_have_a_retention():
    groups = group().all("aws:cloudwatch/logGroup:LogGroup")
    assert [each.inputs["retentionInDays"] for each in groups] == [30, 30]


def test_the_security_group_lets_nothing_out():
    recording = group()
    assert recording.one("aws:ec2/securityGroup:SecurityGroup").inputs["egress"] == []
    rule = recording.one("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule").inputs
    assert (rule["fromPort"], rule["toPort"], rule["referencedSecurityGroupId"]) == (6379, 6379, "sg-nodes")
    assert rule["description"] == "Redis replication group dev-redis from security group eks-nodes"


def test_a_change_of_engine_leaves_the_security_group_as_it_is():
    """Another description would replace it, and with it every rule: nobody could connect."""

    def door(**changes):
        recording = group(**changes)
        return [each.inputs for each in recording if each.type.startswith(("aws:ec2/", "aws:vpc/"))]

    assert door() == door(engine="valkey", engine_version="8.0")


@pytest.mark.parametrize(
    ("engine", "version", "logs"),
    [
        ("redis", "5.0.6", []),
        ("redis", "6.0", ["slow-log"]),
        ("redis", "6.x", ["slow-log", "engine-log"]),
        ("redis", "6.2", ["slow-log", "engine-log"]),
        ("valkey", "7.2", ["slow-log", "engine-log"]),
    ],
)
def test_only_the_logs_that_the_version_delivers_are_asked_for(engine, version, logs):
    assert log_types(engine, version) == logs


def test_what_the_group_uses_is_made_anew_before_the_old_one_goes():
    recording = group()
    for kind in (
        "elasticache/parameterGroup:ParameterGroup",
        "elasticache/subnetGroup:SubnetGroup",
        "ec2/securityGroup:SecurityGroup",
    ):
        assert recording.one(f"aws:{kind}").delete_before_replace is False
