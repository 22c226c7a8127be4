"""Backups, restores and failovers of both stores: exactly the data of a moment comes back, and no write is lost."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import urllib3
from botocore.exceptions import ClientError

from sandbox import account, processes
from sandbox.instance import REGION
from tests.sandbox.aws import test_postgres, test_redis_servers
from tests.sandbox.aws.conftest import PASSWORD, Api
from tests.sandbox.aws.test_postgres import query
from tests.sandbox.conftest import eventually

NEW_PASSWORD = "after-the-restore-1"


def cluster(aws: Api, name: str = "origin") -> dict[str, Any]:
    return test_postgres.describe(aws, name)


def numbers(aws: Api, name: str, **login: Any) -> list[int]:
    return query(aws, cluster(aws, name)["Endpoint"], "SELECT n FROM numbers ORDER BY n", **login)


def insert(aws: Api, number: int) -> datetime.datetime:
    """Commit a row and return a moment at which it is there and nothing later."""
    query(aws, cluster(aws)["Endpoint"], f"INSERT INTO numbers VALUES ({number})")
    time.sleep(0.02)
    moment = datetime.datetime.now(datetime.UTC)
    time.sleep(0.02)
    return moment


def remove(aws: Api, name: str, **decision: Any) -> None:
    rds = aws.client("rds")
    for member in cluster(aws, name)["DBClusterMembers"]:
        rds.delete_db_instance(DBInstanceIdentifier=member["DBInstanceIdentifier"])
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True, **decision)


def maintain(aws: Api) -> None:
    answer = urllib3.request("POST", f"{aws.instance.aws_endpoint}/sandbox/maintenance", retries=False, timeout=60)
    assert answer.status == 200, answer.data


def automated(aws: Api, name: str = "origin") -> list[dict[str, Any]]:
    wanted = {"DBClusterIdentifier": name, "SnapshotType": "automated"}
    return aws.client("rds").describe_db_cluster_snapshots(**wanted)["DBClusterSnapshots"]


@pytest.fixture(scope="module")
def origin(aws, subnet_group, security_group):
    """The moments after rows 1, 2 and 3 of a cluster with a first backup and a second user."""
    aws.client("rds").create_db_cluster(
        DBClusterIdentifier="origin",
        Engine="aurora-postgresql",
        EngineVersion="16.11",
        MasterUsername="meetinity_app",
        MasterUserPassword=PASSWORD,
        DatabaseName="meetinity",
        DBSubnetGroupName=subnet_group,
        VpcSecurityGroupIds=[security_group],
        BackupRetentionPeriod=9,
        EnableIAMDatabaseAuthentication=True,
        EnablePerformanceInsights=True,
        StorageEncrypted=True,
    )
    assert "EarliestRestorableTime" not in cluster(aws)
    with pytest.raises(ClientError, match="no automated backup yet"):
        restore(aws, "too-early", UseLatestRestorableTime=True)
    start(aws, "origin")
    host = cluster(aws)["Endpoint"]
    query(aws, host, "CREATE ROLE reporting LOGIN PASSWORD 'reporting-password-1'")
    query(aws, host, "CREATE TABLE numbers (n int)")
    query(aws, host, "GRANT SELECT ON numbers TO reporting")
    return [insert(aws, number) for number in (1, 2, 3)]


def start(aws: Api, name: str) -> None:
    names = {"DBInstanceIdentifier": f"{name}-1", "DBClusterIdentifier": name}
    aws.client("rds").create_db_instance(**names, Engine="aurora-postgresql", DBInstanceClass="db.r6g.large")


def restore(aws: Api, name: str, **arguments: Any) -> dict[str, Any]:
    """Restore `origin` beside itself and start an instance over it."""
    rds = aws.client("rds")
    network = {"DBClusterIdentifier": name, "DBSubnetGroupName": "private"}
    if "SnapshotIdentifier" in arguments:
        rds.restore_db_cluster_from_snapshot(**network, Engine="aurora-postgresql", **arguments)
    else:
        source = {} if "SourceDbClusterResourceId" in arguments else {"SourceDBClusterIdentifier": "origin"}
        rds.restore_db_cluster_to_point_in_time(**network, **source, **arguments)
    assert cluster(aws, name)["DBClusterMembers"] == []
    start(aws, name)
    return cluster(aws, name)


def test_a_restore_holds_exactly_the_rows_of_its_moment(aws, origin):
    for name, moment, expected in (("first", origin[0], [1]), ("second", origin[1], [1, 2])):
        restore(aws, name, RestoreToTime=moment)
        assert numbers(aws, name) == expected
        remove(aws, name)
    assert numbers(aws, "origin") == [1, 2, 3]


def test_a_restore_to_a_moment_after_the_last_commit_holds_every_row(aws, origin):
    restore(aws, "last", RestoreToTime=datetime.datetime.now(datetime.UTC))
    assert numbers(aws, "last") == [1, 2, 3]
    remove(aws, "last")


def test_a_restored_cluster_has_the_sources_users_the_new_password_and_a_life_of_its_own(aws, origin):
    restored = restore(aws, "latest", UseLatestRestorableTime=True)
    assert numbers(aws, "latest", user="reporting", password="reporting-password-1") == [1, 2, 3]
    aws.client("rds").modify_db_cluster(DBClusterIdentifier="latest", MasterUserPassword=NEW_PASSWORD)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        numbers(aws, "latest")
    query(aws, restored["Endpoint"], "INSERT INTO numbers VALUES (99)", password=NEW_PASSWORD)
    assert numbers(aws, "latest", password=NEW_PASSWORD) == [1, 2, 3, 99]
    assert numbers(aws, "origin") == [1, 2, 3]
    carried = (
        "EngineVersion",
        "BackupRetentionPeriod",
        "MasterUsername",
        "DatabaseName",
        "StorageEncrypted",
        "KmsKeyId",
    )
    assert {name: restored[name] for name in carried} == {name: cluster(aws)[name] for name in carried}
    assert restored["Endpoint"] != cluster(aws)["Endpoint"]
    assert restored["DBClusterParameterGroup"] == "default.aurora-postgresql16"
    assert (restored["VpcSecurityGroups"], restored["IAMDatabaseAuthenticationEnabled"]) == ([], False)
    assert restored["PerformanceInsightsEnabled"] is False
    # It has backups of its own, which reach back to its own beginning only.
    restore_of_restore = {"SourceDBClusterIdentifier": "latest", "DBSubnetGroupName": "private"}
    with pytest.raises(ClientError, match="not in its restorable window"):
        aws.client("rds").restore_db_cluster_to_point_in_time(
            DBClusterIdentifier="again", RestoreToTime=origin[2], **restore_of_restore
        )
    remove(aws, "latest")


def test_a_clone_is_a_restore_to_now(aws, origin):
    restore(aws, "clone", RestoreType="copy-on-write", UseLatestRestorableTime=True)
    assert numbers(aws, "clone") == [1, 2, 3]
    remove(aws, "clone")


def test_the_restorable_window_is_from_the_first_backup_to_now(aws, origin):
    asked = datetime.datetime.now(datetime.UTC) - datetime.timedelta(milliseconds=1)  # it tells no less
    window = cluster(aws)
    assert asked <= window["LatestRestorableTime"] <= datetime.datetime.now(datetime.UTC)
    (first,) = automated(aws)[:1]
    assert first["DBClusterSnapshotIdentifier"].startswith("rds:origin-20")
    assert window["EarliestRestorableTime"] == first["SnapshotCreateTime"] < origin[0]
    (backup,) = aws.client("rds").describe_db_cluster_automated_backups(DBClusterIdentifier="origin")[
        "DBClusterAutomatedBackups"
    ]
    assert (backup["Status"], backup["RestoreWindow"]["EarliestTime"]) == ("active", first["SnapshotCreateTime"])


def test_the_maintenance_window_takes_a_snapshot_and_lets_go_of_old_ones_and_their_log(aws, origin):
    aws.client("rds").describe_db_clusters()
    held = len(automated(aws))
    _age_snapshots(aws, minutes=-2)  # names tell minutes
    maintain(aws)
    assert len(automated(aws)) == held + 1
    log = aws.instance.state / "database-log" / cluster(aws)["DbClusterResourceId"]
    query(aws, cluster(aws)["Endpoint"], "INSERT INTO numbers SELECT -g FROM generate_series(1, 200000) AS g")
    query(aws, cluster(aws)["Endpoint"], "DELETE FROM numbers WHERE n < 0")
    before = {path.name for path in eventually(lambda: sorted(log.glob("[0-9A-F]*"))[1:])}
    _age_snapshots(aws, minutes=-60 * 24 * 10)
    maintain(aws)
    assert len(automated(aws)) == 2, "the newest of the old ones is the base of the oldest moment"
    assert before - {path.name for path in log.iterdir()}, "no log was let go of"
    restore(aws, "pruned", UseLatestRestorableTime=True)
    assert numbers(aws, "pruned") == [1, 2, 3]
    remove(aws, "pruned")


def _age_snapshots(aws: Api, *, minutes: int) -> None:
    """Let the automated snapshots be older than they are."""
    aws.end(signal.SIGTERM)
    path = aws.instance.state / "aws" / "rds.json"
    tables = json.loads(path.read_text())
    snapshots = tables["DBClusterSnapshots"]
    for name, row in list(snapshots.items()):
        if row["SnapshotType"] == "automated" and row["DBClusterIdentifier"] == "origin":
            older = datetime.datetime.fromisoformat(row["SnapshotCreateTime"]) + datetime.timedelta(minutes=minutes)
            row["SnapshotCreateTime"] = older.isoformat()
            new = row["DBClusterSnapshotIdentifier"] = f"{name}{-minutes}"
            copies = aws.instance.state / "database-snapshots"
            (copies / name).rename(copies / new)
            snapshots[new] = snapshots.pop(name)
    path.write_text(json.dumps(tables))
    aws.start()


def test_a_snapshot_is_restored_by_name_or_arn_and_so_is_its_copy(aws, origin):
    rds = aws.client("rds")
    made = rds.create_db_cluster_snapshot(DBClusterIdentifier="origin", DBClusterSnapshotIdentifier="Kept")
    insert(aws, 4)
    rds.copy_db_cluster_snapshot(
        SourceDBClusterSnapshotIdentifier="kept",
        TargetDBClusterSnapshotIdentifier="copied",
        Tags=[{"Key": "of", "Value": "kept"}],
    )
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="kept")
    (copy,) = rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier="copied")["DBClusterSnapshots"]
    assert copy["SourceDBClusterSnapshotArn"] == made["DBClusterSnapshot"]["DBClusterSnapshotArn"]
    assert copy["TagList"] == [{"Key": "of", "Value": "kept"}]
    for name, identifier in (("by-name", "copied"), ("by-arn", copy["DBClusterSnapshotArn"])):
        restored = restore(aws, name, SnapshotIdentifier=identifier, EngineVersion="16.15", DatabaseName="ignored")
        assert numbers(aws, name) == [1, 2, 3]
        assert (restored["EngineVersion"], restored["DatabaseName"]) == ("16.15", "meetinity")
        remove(aws, name)
    # A version that is not given is the region's default.
    network = {"Engine": "aurora-postgresql", "DBSubnetGroupName": "private"}
    rds.restore_db_cluster_from_snapshot(DBClusterIdentifier="newer", SnapshotIdentifier="copied", **network)
    assert cluster(aws, "newer")["EngineVersion"] == "17.11"
    remove(aws, "newer")
    query(aws, cluster(aws)["Endpoint"], "DELETE FROM numbers WHERE n = 4")


def test_an_automated_snapshot_is_restored_and_cannot_be_deleted_by_hand(aws, origin):
    (name, *_) = [each["DBClusterSnapshotIdentifier"] for each in automated(aws)]
    with pytest.raises(ClientError, match=r"InvalidDBClusterSnapshotState.*Only manual"):
        aws.client("rds").delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    with pytest.raises(ClientError, match="does not implement rds:ModifyDBClusterSnapshotAttribute"):
        aws.client("rds").modify_db_cluster_snapshot_attribute(
            DBClusterSnapshotIdentifier=name, AttributeName="restore", ValuesToAdd=["all"]
        )
    restored = restore(aws, "from-automated", SnapshotIdentifier=name, EngineVersion="16.11")
    assert query(aws, restored["Endpoint"], "SELECT current_database()") == ["meetinity"]
    remove(aws, "from-automated")


def test_a_restore_survives_a_kill_and_a_source_whose_server_was_killed(aws, origin):
    processes.stop(aws.instance, "postgres-origin-1", how=signal.SIGKILL)
    restore(aws, "survivor", UseLatestRestorableTime=True)
    aws.end(signal.SIGKILL)
    processes.stop(aws.instance, "postgres-survivor-1", how=signal.SIGKILL)
    aws.start()
    assert numbers(aws, "survivor") == numbers(aws, "origin") == [1, 2, 3]
    remove(aws, "survivor")


def test_backups_that_are_retained_outlive_their_cluster_and_go_by_hand(aws, origin):
    rds, resource = aws.client("rds"), cluster(aws)["DbClusterResourceId"]
    moment = insert(aws, 4)
    insert(aws, 5)
    remove(aws, "origin", DeleteAutomatedBackups=False)
    (backup,) = rds.describe_db_cluster_automated_backups(DbClusterResourceId=resource)["DBClusterAutomatedBackups"]
    assert (backup["Status"], backup["DBClusterIdentifier"]) == ("retained", "origin")
    restore(aws, "returned", SourceDbClusterResourceId=resource, RestoreToTime=moment)
    assert numbers(aws, "returned") == [1, 2, 3, 4]
    remove(aws, "returned")
    late = datetime.datetime.now(datetime.UTC)
    with pytest.raises(ClientError, match="not in its restorable window"):
        restore(aws, "late", SourceDbClusterResourceId=resource, RestoreToTime=late)
    rds.delete_db_cluster_automated_backup(DbClusterResourceId=resource)
    for directory in ("database-log", "database-snapshots"):
        assert not [path for path in (aws.instance.state / directory).iterdir() if "origin" in path.name]
    assert not (aws.instance.state / "database-log" / resource).exists()
    with pytest.raises(ClientError, match="DBClusterAutomatedBackupNotFound"):
        restore(aws, "gone", SourceDbClusterResourceId=resource, UseLatestRestorableTime=True)


# Failovers


class Client(threading.Thread):
    """Writes numbers, one after the other, through one address; connects again whenever it is cut off."""

    def __init__(self, connect: Any, write: Any) -> None:
        super().__init__()
        self.connect, self.write, self.confirmed, self.reconnected = connect, write, [], 0
        self.ending = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.ending.is_set():
            with contextlib.suppress(psycopg.Error, redis.RedisError), self.connect() as connection:
                self.reconnected += 1
                while not self.ending.is_set():
                    self.write(connection, number)
                    self.confirmed.append(number)
                    number += 1
            number += 1  # whether the last one was written nobody said
            time.sleep(0.05)

    @contextlib.contextmanager
    def around(self, *, reconnected: int) -> Iterator[None]:
        """Write before, during and after what happens inside."""
        self.start()
        try:
            eventually(lambda: len(self.confirmed) > 5)
            yield
            eventually(lambda: self.reconnected > reconnected)
            held = len(self.confirmed)
            eventually(lambda: len(self.confirmed) > held + 5)
        finally:
            self.ending.set()
            self.join()


def test_a_client_of_the_writer_endpoint_comes_through_a_failover_with_every_row(aws, cluster_arguments, instance_of):
    rds = aws.client("rds")
    rds.create_db_cluster(DBClusterIdentifier="swap", **cluster_arguments)
    for number in (1, 2):
        instance_of("swap", number)
    host = cluster(aws, "swap")["Endpoint"]
    query(aws, host, "CREATE TABLE numbers (n int)")
    client = Client(
        lambda: test_postgres.connect(aws, host),
        lambda connection, number: connection.execute("INSERT INTO numbers VALUES (%s)", [number]),
    )
    with client.around(reconnected=1):
        rds.failover_db_cluster(DBClusterIdentifier="swap", TargetDBInstanceIdentifier="swap-2")
    assert query(aws, host, "SHOW cluster_name") == ["swap-2"]
    assert set(client.confirmed) <= set(numbers(aws, "swap"))
    # What is archived goes on where it was: a restore has the rows of both writers.
    restore_to_now = {"SourceDBClusterIdentifier": "swap", "UseLatestRestorableTime": True}
    rds.restore_db_cluster_to_point_in_time(
        DBClusterIdentifier="swapped", DBSubnetGroupName="private", **restore_to_now
    )
    start(aws, "swapped")
    assert numbers(aws, "swapped") == numbers(aws, "swap")
    remove(aws, "swapped")
    remove(aws, "swap")


@pytest.fixture
def cache(aws, group_arguments) -> Iterator[Any]:
    """A group of two nodes that fails over; its client."""
    client = aws.client("elasticache")
    client.create_replication_group(
        **group_arguments, ReplicationGroupId="kept", NumCacheClusters=2, AutomaticFailoverEnabled=True
    )
    yield client
    client.delete_replication_group(ReplicationGroupId="kept")


def node_roles(aws: Api) -> dict[str, str]:
    members = test_redis_servers.describe(aws, "kept")["NodeGroups"][0]["NodeGroupMembers"]
    return {member["CacheClusterId"]: member["CurrentRole"] for member in members}


def test_a_client_of_the_primary_endpoint_comes_through_failovers_with_every_key(aws, cache):
    before = test_redis_servers.describe(aws, "kept")["NodeGroups"][0]
    client = Client(
        lambda: contextlib.closing(test_redis_servers.connect(aws, "PrimaryEndpoint", "kept")),
        lambda connection, number: connection.set(f"key-{number}", number),
    )
    with client.around(reconnected=1):
        cache.test_failover(ReplicationGroupId="kept", NodeGroupId="0001")
    assert node_roles(aws) == {"kept-001": "replica", "kept-002": "primary"}
    after = test_redis_servers.describe(aws, "kept")["NodeGroups"][0]
    assert {end: after[end] for end in ("PrimaryEndpoint", "ReaderEndpoint")} == {
        end: before[end] for end in ("PrimaryEndpoint", "ReaderEndpoint")
    }
    assert test_redis_servers.connect(aws, "ReaderEndpoint", "kept").info("replication")["role"] == "slave"
    reader = test_redis_servers.connect(aws, "ReaderEndpoint", "kept")
    eventually(lambda: reader.exists(f"key-{client.confirmed[-1]}"))  # what was not copied yet would be lost
    processes.stop(aws.instance, "redis-kept-002", how=signal.SIGKILL)
    assert aws.recover()[0] == 200
    assert node_roles(aws) == {"kept-001": "primary", "kept-002": "replica"}
    primary = test_redis_servers.connect(aws, "PrimaryEndpoint", "kept")
    assert [number for number in client.confirmed if not primary.exists(f"key-{number}")] == []
    primary.set("after", 1)
    assert eventually(lambda: test_redis_servers.connect(aws, "ReaderEndpoint", "kept").get("after")) == "1"


# ElastiCache's snapshots


def test_a_snapshot_restores_its_keys_to_a_group_with_another_token(aws, cache, group_arguments):
    primary = test_redis_servers.connect(aws, "PrimaryEndpoint", "kept")
    primary.mset({f"key-{number}": number for number in range(100)})
    primary.set("brief", 1, ex=3600)
    cache.create_snapshot(SnapshotName="Hundred", ReplicationGroupId="kept")
    primary.flushall()
    cache.copy_snapshot(SourceSnapshotName="hundred", TargetSnapshotName="copied")
    cache.delete_snapshot(SnapshotName="hundred")
    token = "another-token-of-16-characters"
    restored = {**group_arguments, "AuthToken": token, "SnapshotName": "copied", "ReplicationGroupId": "restored"}
    cache.create_replication_group(**restored, NumCacheClusters=2)
    for end in ("PrimaryEndpoint", "ReaderEndpoint"):
        client = test_redis_servers.connect(aws, end, "restored", password=token)
        assert (client.dbsize(), client.get("key-99"), client.ttl("brief") > 3000) == (101, "99", True)
    test_redis_servers.connect(aws, "PrimaryEndpoint", "restored", password=token).set("new", 1)
    for name in ("redis-restored-001", "redis-restored-002"):
        processes.stop(aws.instance, name, how=signal.SIGKILL)
    assert aws.recover()[0] == 200
    assert test_redis_servers.connect(aws, "PrimaryEndpoint", "restored", password=token).dbsize() == 102
    cache.delete_replication_group(ReplicationGroupId="restored")
    with pytest.raises(ClientError, match="sandbox does not know what SnapshotArns does"):
        cache.create_replication_group(
            **group_arguments, ReplicationGroupId="by-arn", SnapshotArns=["arn:aws:s3:::bucket/dump.rdb"]
        )


def test_automated_snapshots_come_with_the_window_and_go_with_the_limit_and_the_group(aws, cache, group_arguments):
    def taken(by: str = "system") -> list[str]:
        found = cache.describe_snapshots(ReplicationGroupId="brief-backups", SnapshotSource=by)["Snapshots"]
        return [snapshot["SnapshotName"] for snapshot in found]

    cache.create_replication_group(**group_arguments, ReplicationGroupId="brief-backups", NumCacheClusters=1)
    maintain(aws)
    assert taken() == [], "no backups by default"
    cache.modify_replication_group(ReplicationGroupId="brief-backups", SnapshotRetentionLimit=1, ApplyImmediately=True)
    maintain(aws)
    (name,) = taken()
    assert name.startswith("automatic.brief-backups-001-20")
    assert taken(by="user") == []
    cache.modify_replication_group(ReplicationGroupId="brief-backups", SnapshotRetentionLimit=0, ApplyImmediately=True)
    maintain(aws)
    assert taken() == []
    cache.modify_replication_group(ReplicationGroupId="brief-backups", SnapshotRetentionLimit=2, ApplyImmediately=True)
    maintain(aws)
    cache.delete_replication_group(ReplicationGroupId="brief-backups")
    assert taken() == []


# What waits for the maintenance window


def test_a_change_of_cluster_and_instance_waits_for_the_window(aws, cluster_arguments, instance_of):
    rds = aws.client("rds")
    rds.create_db_cluster(DBClusterIdentifier="patient", BackupRetentionPeriod=3, **cluster_arguments)
    instance_of("patient", 1)
    named = {"DBClusterIdentifier": "patient"}

    def instance() -> dict[str, Any]:
        return rds.describe_db_instances(DBInstanceIdentifier="patient-1")["DBInstances"][0]

    rds.modify_db_cluster(
        **named,
        EngineVersion="16.15",
        BackupRetentionPeriod=9,
        DeletionProtection=True,
        MasterUserPassword=NEW_PASSWORD,
    )
    rds.modify_db_instance(DBInstanceIdentifier="patient-1", DBInstanceClass="db.r6g.xlarge", PromotionTier=3)
    after = cluster(aws, "patient")
    # At once, whatever ApplyImmediately says.
    assert (after["BackupRetentionPeriod"], after["DeletionProtection"]) == (9, True)
    assert query(aws, after["Endpoint"], "SELECT 1", password=NEW_PASSWORD) == [1]
    assert instance()["PromotionTier"] == 3
    assert (after["EngineVersion"], after["PendingModifiedValues"]) == ("16.11", {"EngineVersion": "16.15"})
    assert (instance()["DBInstanceClass"], instance()["PendingModifiedValues"]) == (
        "db.r6g.large",
        {"DBInstanceClass": "db.r6g.xlarge"},
    )
    # Taken back by asking for what is.
    rds.modify_db_cluster(**named, EngineVersion="16.11")
    assert "PendingModifiedValues" not in cluster(aws, "patient")
    rds.modify_db_cluster(**named, EngineVersion="17.7", AllowMajorVersionUpgrade=True)
    maintain(aws)
    after = cluster(aws, "patient")
    assert (after["EngineVersion"], after["DBClusterParameterGroup"]) == ("17.7", "default.aurora-postgresql17")
    assert "PendingModifiedValues" not in after
    assert (instance()["DBInstanceClass"], instance()["PendingModifiedValues"]) == ("db.r6g.xlarge", {})
    assert rds.describe_pending_maintenance_actions()["PendingMaintenanceActions"] == []
    rds.modify_db_cluster(**named, EnableIAMDatabaseAuthentication=True)
    rds.modify_db_cluster(**named, DeletionProtection=False, ApplyImmediately=True)  # takes along what waits
    assert cluster(aws, "patient")["IAMDatabaseAuthenticationEnabled"] is True
    remove(aws, "patient")


def test_a_change_of_nodes_waits_for_the_window(aws, cache):
    cache.modify_replication_group(
        ReplicationGroupId="kept", CacheNodeType="cache.r6g.large", Engine="valkey", EngineVersion="8.0"
    )

    def node() -> tuple[str, str, str]:
        found = cache.describe_cache_clusters(CacheClusterId="kept-002")["CacheClusters"][0]
        return found["CacheNodeType"], found["EngineVersion"], found["PendingModifiedValues"].get("EngineVersion", "")

    assert node() == ("cache.t4g.micro", "7.1.0", "8.0.1")
    maintain(aws)
    assert node() == ("cache.r6g.large", "8.0.1", "")
    assert test_redis_servers.describe(aws, "kept")["Engine"] == "valkey"
    assert cache.describe_service_updates()["ServiceUpdates"] == []


# Real tools


def test_the_aws_command_line_backs_up_both_stores(aws, cache, cluster_arguments):
    aws.client("rds").create_db_cluster(DBClusterIdentifier="by-cli", **cluster_arguments)
    environment = {
        "PATH": os.defpath,
        "AWS_ACCESS_KEY_ID": account.ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": account.SECRET_ACCESS_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": aws.instance.aws_endpoint,
    }

    def cli(*words: str) -> dict[str, Any]:
        command = [sys.executable, str(Path(sys.executable).parent / "aws"), *words, "--output", "json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    described = cli("rds", "describe-db-clusters", "--db-cluster-identifier", "by-cli")["DBClusters"]
    assert [(each["DBClusterIdentifier"], each["Status"]) for each in described] == [("by-cli", "available")]
    names = ("--db-cluster-identifier", "by-cli", "--db-cluster-snapshot-identifier", "cli-made")
    assert cli("rds", "create-db-cluster-snapshot", *names)["DBClusterSnapshot"]["Status"] == "creating"
    taken = cli("elasticache", "create-snapshot", "--replication-group-id", "kept", "--snapshot-name", "cli-made")
    assert taken["Snapshot"]["SnapshotSource"] == "manual"
    certificates = cli("rds", "describe-certificates")["Certificates"]
    assert "rds-ca-rsa2048-g1" in {certificate["CertificateIdentifier"] for certificate in certificates}
    aws.client("rds").delete_db_cluster(DBClusterIdentifier="by-cli", SkipFinalSnapshot=True)
