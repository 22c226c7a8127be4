"""ElastiCache's data plane: what a client sees over the network."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from redis.backoff import NoBackoff
from redis.retry import Retry

from sandbox import lifecycle, ports, processes, toolchain
from tests.sandbox.aws.conftest import TOKEN, Api
from tests.sandbox.conftest import eventually

GROUP = "sessions"


def describe(aws: Api, name: str = GROUP) -> dict[str, Any]:
    return aws.client("elasticache").describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]


def connect(aws: Api, endpoint: str, name: str = GROUP, **changes: Any) -> redis.Redis:
    host = describe(aws, name)["NodeGroups"][0][endpoint]["Address"]
    verified = {"ssl": True, "ssl_ca_certs": str(aws.instance.ca_certificate), "ssl_check_hostname": True}
    once = Retry(NoBackoff(), 0)
    return redis.Redis(host=host, **{"password": TOKEN, "decode_responses": True, "retry": once, **verified, **changes})


@pytest.fixture(scope="module")
def sessions(aws, subnet_group):
    cache = aws.client("elasticache")
    cache.create_cache_parameter_group(
        CacheParameterGroupName="sessions", CacheParameterGroupFamily="redis7", Description="d"
    )
    set_parameter(aws, "maxmemory-policy", "allkeys-lru")
    cache.create_replication_group(
        ReplicationGroupId="Sessions",
        ReplicationGroupDescription="of the test",
        Engine="redis",
        EngineVersion="7.1",
        CacheNodeType="cache.t4g.micro",
        NumCacheClusters=2,
        CacheSubnetGroupName=subnet_group,
        CacheParameterGroupName="sessions",
        TransitEncryptionEnabled=True,
        AutomaticFailoverEnabled=True,
        MultiAZEnabled=True,
        AuthToken=TOKEN,
        LogDeliveryConfigurations=[delivery("slow-log")],
    )
    return lambda: describe(aws)


def delivery(kind: str, **more: Any) -> dict[str, Any]:
    details = {"CloudWatchLogsDetails": {"LogGroup": "redis"}}
    return {
        "LogType": kind,
        "DestinationType": "cloudwatch-logs",
        "DestinationDetails": details,
        "LogFormat": "json",
        **more,
    }


def set_parameter(aws: Api, name: str, value: str) -> None:
    aws.client("elasticache").modify_cache_parameter_group(
        CacheParameterGroupName="sessions", ParameterNameValues=[{"ParameterName": name, "ParameterValue": value}]
    )


def test_the_group_and_its_nodes_are_described_as_created(aws, sessions):
    group = sessions()
    assert (group["AutomaticFailover"], group["MultiAZ"], group["AuthTokenEnabled"]) == ("enabled", "enabled", True)
    assert (group["MemberClusters"], group["ClusterEnabled"]) == (["sessions-001", "sessions-002"], False)
    assert [d["LogType"] for d in group["LogDeliveryConfigurations"]] == ["slow-log"]
    nodes = aws.client("elasticache").describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
    assert [node["CacheClusterId"] for node in nodes] == ["sessions-001", "sessions-002"]
    assert {node["ReplicationGroupId"] for node in nodes} == {"sessions"}
    assert {node["EngineVersion"] for node in nodes} == {"7.1.0"}
    assert nodes[0]["CacheParameterGroup"]["CacheParameterGroupName"] == "sessions"
    assert nodes[0]["PreferredAvailabilityZone"] != nodes[1]["PreferredAvailabilityZone"]


@pytest.mark.usefixtures("sessions")
def test_keys_set_on_the_primary_are_read_on_the_replica_over_verified_tls(aws):
    connect(aws, "PrimaryEndpoint").set("k", "v")
    reader = connect(aws, "ReaderEndpoint")
    assert eventually(lambda: reader.get("k")) == "v"
    with pytest.raises(redis.exceptions.ReadOnlyError):
        reader.set("k", "w")


@pytest.mark.usefixtures("sessions")
def test_plain_text_no_token_and_a_wrong_token_are_refused(aws):
    with pytest.raises(redis.exceptions.ConnectionError):
        connect(aws, "PrimaryEndpoint", ssl=False).ping()
    with pytest.raises(redis.exceptions.AuthenticationError):
        connect(aws, "PrimaryEndpoint", password=None).ping()
    with pytest.raises(redis.exceptions.AuthenticationError):
        connect(aws, "PrimaryEndpoint", password="wrong").ping()


@pytest.mark.usefixtures("sessions")
def test_commands_that_elasticache_restricts_are_refused(aws):
    with pytest.raises(redis.exceptions.NoPermissionError):
        connect(aws, "PrimaryEndpoint").config_get("*")


@pytest.mark.usefixtures("sessions")
def test_a_changed_parameter_reaches_every_server_and_an_unknown_one_is_refused(aws):
    assert {policy(connect(aws, end)) for end in ("PrimaryEndpoint", "ReaderEndpoint")} == {"allkeys-lru"}
    set_parameter(aws, "maxmemory-policy", "volatile-ttl")
    assert {policy(connect(aws, end)) for end in ("PrimaryEndpoint", "ReaderEndpoint")} == {"volatile-ttl"}
    cache = aws.client("elasticache")
    shown = cache.describe_cache_parameters(CacheParameterGroupName="sessions", Source="user")["Parameters"]
    assert [(row["ParameterName"], row["ParameterValue"]) for row in shown] == [("maxmemory-policy", "volatile-ttl")]
    for name, value in (("maxmemory-policy", "random"), ("no-such", "1"), ("timeout", "soon")):
        with pytest.raises(ClientError, match="InvalidParameterValue"):
            set_parameter(aws, name, value)
    cache.reset_cache_parameter_group(
        CacheParameterGroupName="sessions", ParameterNameValues=[{"ParameterName": "maxmemory-policy"}]
    )
    assert policy(connect(aws, "PrimaryEndpoint")) == "volatile-lru"


def policy(client: redis.Redis) -> str:
    return client.info("memory")["maxmemory_policy"]


@pytest.mark.usefixtures("sessions")
def test_tokens_rotate_beside_the_old_one_and_set_ends_it(aws):
    cache = aws.client("elasticache")
    new = "another-token-of-16-characters"
    cache.modify_replication_group(ReplicationGroupId=GROUP, AuthToken=new, AuthTokenUpdateStrategy="ROTATE")
    assert [connect(aws, "PrimaryEndpoint", password=token).ping() for token in (TOKEN, new)] == [True, True]
    cache.modify_replication_group(ReplicationGroupId=GROUP, AuthToken=new, AuthTokenUpdateStrategy="SET")
    assert connect(aws, "ReaderEndpoint", password=new).ping()
    with pytest.raises(redis.exceptions.AuthenticationError):
        connect(aws, "PrimaryEndpoint").ping()
    with pytest.raises(ClientError, match="only after ROTATE"):
        cache.modify_replication_group(ReplicationGroupId=GROUP, AuthToken=TOKEN, AuthTokenUpdateStrategy="SET")
    for strategy in ("ROTATE", "SET"):
        cache.modify_replication_group(ReplicationGroupId=GROUP, AuthToken=TOKEN, AuthTokenUpdateStrategy=strategy)


def test_modifying_a_group_changes_what_is_named(aws, sessions, security_group):
    aws.client("elasticache").modify_replication_group(
        ReplicationGroupId=GROUP,
        ReplicationGroupDescription="changed",
        SnapshotWindow="01:00-02:00",
        SnapshotRetentionLimit=3,
        PreferredMaintenanceWindow="MON:05:00-MON:06:00",
        SecurityGroupIds=[security_group],
        LogDeliveryConfigurations=[{"LogType": "slow-log", "Enabled": False}, delivery("engine-log", Enabled=True)],
    )
    group = sessions()
    assert (group["Description"], group["SnapshotWindow"], group["SnapshotRetentionLimit"]) == (
        "changed",
        "01:00-02:00",
        3,
    )
    assert [d["LogType"] for d in group["LogDeliveryConfigurations"]] == ["engine-log"]
    node = aws.client("elasticache").describe_cache_clusters(CacheClusterId="sessions-002")["CacheClusters"][0]
    assert (node["PreferredMaintenanceWindow"], node["SnapshotWindow"]) == ("mon:05:00-mon:06:00", "01:00-02:00")
    assert node["SecurityGroups"] == [{"SecurityGroupId": security_group, "Status": "active"}]


def test_keys_and_descriptions_survive_a_kill_of_everything(aws, sessions):
    before = sessions()
    connect(aws, "PrimaryEndpoint").set("survives", "1")
    aws.end(signal.SIGKILL)
    for name in ("redis-sessions-001", "redis-sessions-002"):
        processes.stop(aws.instance, name, how=signal.SIGKILL)
    aws.start()
    assert sessions() == before
    assert connect(aws, "PrimaryEndpoint").get("survives") == "1"
    assert eventually(lambda: connect(aws, "ReaderEndpoint").get("survives")) == "1"


def test_an_address_that_somebody_took_is_named_with_its_holder(aws, sessions):
    address = sessions()["NodeGroups"][0]["PrimaryEndpoint"]["Address"]
    for name in ("redis-sessions-001", "redis-sessions-002"):
        processes.stop(aws.instance, name, how=signal.SIGKILL)
    ports.require_free(address, 6379, "the test")
    with socket.create_server((address, 6379)):
        status, line = aws.recover()
    assert (status, line.count("\n")) == (500, 1)
    assert f"{address}:6379 is needed for the cache node sessions-001, but " in line
    assert f"(process {os.getpid()}) listens there" in line
    assert aws.recover()[0] == 200
    assert connect(aws, "PrimaryEndpoint").ping()


def redis_cli(aws: Api, url: str) -> str:
    """What the redis-cli of the sandbox's shells says to PING."""
    environment = lifecycle.environment(aws.instance, toolchain.tools())
    command = [str(aws.instance.binaries / "redis-cli"), "--no-auth-warning", "-u", url, "PING"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_redis_cli_of_the_sandboxs_shells_trusts_its_certificates(aws, sessions):
    address = sessions()["NodeGroups"][0]["PrimaryEndpoint"]["Address"]
    assert redis_cli(aws, f"rediss://default:{TOKEN}@{address}:6379/0") == "PONG\n"


def test_replicas_come_and_go_and_the_last_one_gone_leaves_the_reader_endpoint_to_the_primary(aws, sessions):
    cache = aws.client("elasticache")
    connect(aws, "PrimaryEndpoint").set("resized", "1")
    with pytest.raises(ClientError, match="automatic failover"):
        cache.decrease_replica_count(ReplicationGroupId=GROUP, NewReplicaCount=0, ApplyImmediately=True)
    cache.modify_replication_group(ReplicationGroupId=GROUP, AutomaticFailoverEnabled=False, MultiAZEnabled=False)
    cache.decrease_replica_count(ReplicationGroupId=GROUP, NewReplicaCount=0, ApplyImmediately=True)
    assert sessions()["MemberClusters"] == ["sessions-001"]
    assert processes.find(aws.instance, "redis-sessions-002") is None
    assert connect(aws, "ReaderEndpoint").info("replication")["role"] == "master"
    cache.increase_replica_count(ReplicationGroupId=GROUP, NewReplicaCount=2, ApplyImmediately=True)
    assert sessions()["MemberClusters"] == ["sessions-001", "sessions-002", "sessions-003"]
    assert connect(aws, "ReaderEndpoint").info("replication")["role"] == "slave"
    assert connect(aws, "ReaderEndpoint").get("resized") == "1"


def test_deleting_a_group_keeps_its_final_snapshot_and_nothing_else(aws, group_arguments):
    cache = aws.client("elasticache")
    cache.create_replication_group(**group_arguments, ReplicationGroupId="brief", NumCacheClusters=1)
    connect(aws, "PrimaryEndpoint", "brief").set("remembered", "value")
    cache.create_snapshot(SnapshotName="Taken", ReplicationGroupId="brief")
    with pytest.raises(ClientError, match="SnapshotAlreadyExistsFault"):
        cache.delete_replication_group(ReplicationGroupId="brief", FinalSnapshotIdentifier="taken")
    cache.delete_replication_group(ReplicationGroupId="brief", FinalSnapshotIdentifier="brief-final")
    with pytest.raises(ClientError, match="ReplicationGroupNotFoundFault"):
        describe(aws, "brief")
    (snapshot,) = cache.describe_snapshots(SnapshotName="brief-final")["Snapshots"]
    assert (snapshot["ReplicationGroupId"], snapshot["SnapshotStatus"]) == ("brief", "available")
    assert b"remembered" in (aws.instance.state / "cache-snapshots" / "brief-final").read_bytes()
    assert not (aws.instance.state / "caches" / "brief").exists()
    assert processes.find(aws.instance, "redis-brief-001") is None


def test_a_group_without_tls_and_token_is_as_open_as_on_aws(aws, subnet_group):
    cache = aws.client("elasticache")
    cache.create_replication_group(
        ReplicationGroupId="open",
        ReplicationGroupDescription="d",
        Engine="valkey",
        EngineVersion="8.0",
        CacheSubnetGroupName=subnet_group,
        Port=6380,
    )
    assert describe(aws, "open")["AtRestEncryptionEnabled"] is True
    client = connect(aws, "PrimaryEndpoint", "open", ssl=False, password=None, port=6380)
    assert client.ping()
    host = describe(aws, "open")["NodeGroups"][0]["PrimaryEndpoint"]["Address"]
    assert redis_cli(aws, f"redis://{host}:6380") == "PONG\n"
    with pytest.raises(ClientError, match="sandbox does not know what UserGroupIdsToAdd does"):
        cache.modify_replication_group(ReplicationGroupId="open", UserGroupIdsToAdd=["x"])
    cache.delete_replication_group(ReplicationGroupId="open")
