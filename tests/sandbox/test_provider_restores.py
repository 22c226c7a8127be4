"""Restores as the program asks for them: the aws stand-in against the sandbox's API, with real rows and keys."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import boto3
import psycopg
import pytest
import redis

from sandbox.instance import REGION
from sandbox.providers import values
from tests.sandbox.conftest import Sandbox, eventually
from tests.sandbox.provider_process import Client, provider

CLUSTER = "aws:rds/cluster:Cluster"
INSTANCE = "aws:rds/clusterInstance:ClusterInstance"
CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"
SUBNETS = "aws:rds/subnetGroup:SubnetGroup"
CACHE_SUBNETS = "aws:elasticache/subnetGroup:SubnetGroup"
PASSWORD, NEW_PASSWORD, TOKEN = "Zq8vTrlm0PassWord", "Zq8vTrlm1PassWord", "Kq7wXsmn1AuthToken"


class Store:
    """Makes things through the provider, and takes them away again in the opposite order."""

    def __init__(self, client: Client, sandbox: Sandbox) -> None:
        self.client, self.sandbox = client, sandbox
        self.made: list[tuple[str, str, dict[str, Any]]] = []

    def make(self, kind: str, **given: Any) -> dict[str, Any]:
        inputs = self.client.check(kind, given, name=f"restore-{len(self.made)}")
        id_, state = self.client.create(kind, inputs)
        self.made.append((kind, id_, state))
        return {**state, "inputs": inputs}

    def cluster(self, name: str, subnets: str, password: str = PASSWORD, **restore: Any) -> dict[str, Any]:
        told = {} if restore else {"databaseName": "d", "masterUsername": "meetinity"}
        made = self.make(
            CLUSTER, clusterIdentifier=name, engine="aurora-postgresql", masterPassword=values.secret(password),
            dbSubnetGroupName=subnets, backupRetentionPeriod=3, skipFinalSnapshot=True, applyImmediately=True,
            **told, **restore,
        )  # fmt: skip
        self.make(
            INSTANCE, identifier=f"{name}-1", clusterIdentifier=name, engine="aurora-postgresql",
            instanceClass="db.r6g.large",
        )  # fmt: skip
        return made

    def rows(self, cluster: dict[str, Any], statement: str, password: str = PASSWORD) -> list[Any]:
        with psycopg.connect(
            host=cluster["endpoint"], port=cluster["port"], dbname="d", user="meetinity", password=password,
            sslmode="verify-full", sslrootcert=str(self.sandbox.instance.ca_certificate), connect_timeout=10,
        ) as connection:  # fmt: skip
            answer = connection.execute(statement)
            return answer.fetchall() if answer.description else []


@pytest.fixture(scope="module")
def api(sandbox: Sandbox) -> Any:
    environment = sandbox.environment
    session = boto3.Session(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], None, REGION)
    return lambda service: session.client(service, endpoint_url=environment["AWS_ENDPOINT_URL"])


@pytest.fixture
def store(sandbox: Sandbox) -> Iterator[Store]:
    environment = {name: value for name, value in sandbox.environment.items() if name.startswith("AWS_")}
    with provider("aws", **environment) as client:
        client.configure(region=REGION)
        found = Store(client, sandbox)
        yield found
        for kind, id_, state in reversed(found.made):
            client.delete(kind, id_, state)


def _private(api: Any) -> list[str]:
    subnets = api("ec2").describe_subnets(Filters=[{"Name": "tag:Tier", "Values": ["private"]}])["Subnets"]
    return [each["SubnetId"] for each in subnets]


def test_a_cluster_is_restored_from_a_snapshot_to_a_moment_and_as_a_clone(store: Store, api: Any) -> None:
    subnets = store.make(SUBNETS, name="restores", subnetIds=_private(api))["name"]
    source = store.cluster("source", subnets)
    store.rows(source, "CREATE TABLE t (n int)")
    store.rows(source, "INSERT INTO t VALUES (1)")
    rds = api("rds")
    rds.create_db_cluster_snapshot(DBClusterIdentifier="source", DBClusterSnapshotIdentifier="one-row")
    rds.get_waiter("db_cluster_snapshot_available").wait(DBClusterSnapshotIdentifier="one-row")
    store.rows(source, "INSERT INTO t VALUES (2)")
    moment = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(seconds=1)
    eventually(lambda: datetime.datetime.now(datetime.UTC) > moment + datetime.timedelta(seconds=1))
    store.rows(source, "INSERT INTO t VALUES (3)")

    restored = store.cluster("restored", subnets, NEW_PASSWORD, snapshotIdentifier="one-row")
    assert store.rows(restored, "SELECT n FROM t", NEW_PASSWORD) == [(1,)]
    assert restored["masterUsername"] == "meetinity"
    assert restored["backupRetentionPeriod"] == 3
    assert store.client.changes(CLUSTER, "restored", restored, restored["inputs"]) == {}
    with pytest.raises(psycopg.OperationalError):
        store.rows(restored, "SELECT 1", PASSWORD)

    clone = store.cluster(
        "clone", subnets, NEW_PASSWORD,
        restoreToPointInTime={
            "sourceClusterIdentifier": "source", "useLatestRestorableTime": True, "restoreType": "copy-on-write",
        },
    )  # fmt: skip
    assert store.rows(clone, "SELECT n FROM t ORDER BY n", NEW_PASSWORD) == [(1,), (2,), (3,)]
    latest = lambda: rds.describe_db_clusters(DBClusterIdentifier="source")["DBClusters"][0]["LatestRestorableTime"]  # noqa: E731
    eventually(lambda: latest() >= moment, seconds=60, what="the archiving of that moment")
    then = {"sourceClusterIdentifier": "source", "restoreToTime": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
    past = store.cluster("past", subnets, NEW_PASSWORD, restoreToPointInTime=then)
    assert store.rows(past, "SELECT n FROM t ORDER BY n", NEW_PASSWORD) == [(1,), (2,)]
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="one-row")


def test_a_replication_group_is_restored_from_a_snapshot(store: Store, api: Any, sandbox: Sandbox) -> None:
    subnets = store.make(CACHE_SUBNETS, name="restores", subnetIds=_private(api))["name"]

    def group(name: str, **restore: Any) -> redis.Redis:
        made = store.make(
            CACHE, replicationGroupId=name, description="restores", engine="redis", engineVersion="7.1",
            nodeType="cache.t4g.small", numCacheClusters=1, port=6379, subnetGroupName=subnets,
            transitEncryptionEnabled=True, authToken=values.secret(TOKEN), applyImmediately=True, **restore,
        )  # fmt: skip
        return redis.Redis(
            made["primaryEndpointAddress"], made["port"], password=TOKEN, ssl=True, socket_timeout=10,
            ssl_ca_certs=str(sandbox.instance.ca_certificate),
        )  # fmt: skip

    with group("cache-source") as source:
        source.set("kept", "yes")
    cache = api("elasticache")
    cache.create_snapshot(ReplicationGroupId="cache-source", SnapshotName="keys")
    with group("cache-restored", snapshotName="keys") as restored:
        assert restored.get("kept") == b"yes"
    cache.delete_snapshot(SnapshotName="keys")
