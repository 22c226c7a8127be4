"""Aurora's data plane: what a client sees over the network."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from sandbox import ports, processes
from tests.sandbox.aws.conftest import PASSWORD, Api
from tests.sandbox.conftest import eventually

CLUSTER = "orders"


@pytest.fixture(scope="module")
def orders(aws, subnet_group):
    """A cluster with a writer and a reader, TLS forced by its parameter group."""
    rds = aws.client("rds")
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="forced", DBParameterGroupFamily="aurora-postgresql16", Description="d"
    )
    force(aws, "1")
    rds.create_db_cluster(
        DBClusterIdentifier=CLUSTER,
        Engine="aurora-postgresql",
        EngineVersion="16.11",
        MasterUsername="meetinity_app",
        MasterUserPassword=PASSWORD,
        DatabaseName="meetinity",
        DBSubnetGroupName=subnet_group,
        DBClusterParameterGroupName="forced",
    )
    for number in (1, 2):
        rds.create_db_instance(
            DBInstanceIdentifier=f"{CLUSTER}-{number}",
            DBClusterIdentifier=CLUSTER,
            Engine="aurora-postgresql",
            DBInstanceClass="db.r6g.large",
        )
    return lambda: describe(aws)


def describe(aws: Api, name: str = CLUSTER) -> dict[str, Any]:
    return aws.client("rds").describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]


def force(aws: Api, value: str) -> None:
    parameter = {"ParameterName": "rds.force_ssl", "ParameterValue": value, "ApplyMethod": "immediate"}
    aws.client("rds").modify_db_cluster_parameter_group(DBClusterParameterGroupName="forced", Parameters=[parameter])


def connect(aws: Api, host: str, **changes: Any) -> psycopg.Connection[Any]:
    arguments = {
        "host": host,
        "user": "meetinity_app",
        "password": PASSWORD,
        "dbname": "meetinity",
        "sslmode": "verify-full",
        "sslrootcert": str(aws.instance.ca_certificate),
        "connect_timeout": 5,
    }
    return psycopg.connect(**{**arguments, **changes}, autocommit=True)


def query(aws: Api, host: str, statement: str, **changes: Any) -> list[Any]:
    with connect(aws, host, **changes) as connection:
        cursor = connection.execute(statement)
        return [row[0] for row in cursor.fetchall()] if cursor.description else []


def test_rows_written_on_the_writer_are_read_on_the_reader_over_verified_tls(aws, orders):
    cluster = orders()
    query(aws, cluster["Endpoint"], "CREATE TABLE written AS SELECT 42 AS n")
    reader = cluster["ReaderEndpoint"]
    eventually(lambda: query(aws, reader, "SELECT to_regclass('written')")[0])
    assert query(aws, reader, "SELECT n FROM written") == [42]
    assert query(aws, reader, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [True]
    for instance in aws.client("rds").describe_db_instances()["DBInstances"]:
        assert query(aws, instance["Endpoint"]["Address"], "SELECT n FROM written") == [42]


def test_the_reader_endpoint_refuses_writes(aws, orders):
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        query(aws, orders()["ReaderEndpoint"], "CREATE TABLE nope (n int)")


def test_a_wrong_password_and_the_hidden_superuser_are_refused(aws, orders):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(aws, orders()["Endpoint"], password="wrong")
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
        connect(aws, orders()["Endpoint"], user="rdsadmin")


def test_plain_text_is_refused_while_tls_is_forced_and_taken_when_it_is_not(aws, orders):
    host = orders()["Endpoint"]
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry.*no encryption"):
        connect(aws, host, sslmode="disable")
    connection = connect(aws, host)
    force(aws, "0")
    assert eventually(lambda: query(aws, host, "SELECT 1", sslmode="disable")) == [1]
    force(aws, "1")
    assert connection.execute("SELECT 1").fetchone() == (1,), "reloading must not cut connections"
    connection.close()


def test_the_master_user_is_auroras_and_owns_the_database(aws, orders):
    host = orders()["Endpoint"]
    flags = "rolsuper, rolcreatedb, rolcreaterole, pg_has_role('rds_superuser', 'member')"
    with connect(aws, host) as connection:
        assert connection.execute(f"SELECT {flags} FROM pg_roles WHERE rolname = current_user").fetchone() == (
            *(False, True, True),
            True,
        )
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'meetinity'"
        assert connection.execute(owner).fetchone() == ("meetinity_app",)
        connection.execute("CREATE ROLE another LOGIN PASSWORD 'another-password-1'")
    assert query(aws, host, "SELECT 1", user="another", password="another-password-1") == [1]


def test_parameters_reach_the_servers_at_once_or_after_a_reboot(aws, orders):
    rds, cluster = aws.client("rds"), orders()
    parameters = [
        ("log_min_duration_statement", "250", "immediate"),
        ("track_activity_query_size", "2048", "pending-reboot"),
    ]
    rds.modify_db_cluster_parameter_group(
        DBClusterParameterGroupName="forced",
        Parameters=[{"ParameterName": n, "ParameterValue": v, "ApplyMethod": m} for n, v, m in parameters],
    )
    for host in (cluster["Endpoint"], cluster["ReaderEndpoint"]):
        assert eventually(lambda host=host: query(aws, host, "SHOW log_min_duration_statement") == ["250ms"])
        assert query(aws, host, "SHOW track_activity_query_size") == ["1kB"]
    assert {member["DBClusterParameterGroupStatus"] for member in orders()["DBClusterMembers"]} == {"pending-reboot"}
    rds.reboot_db_instance(DBInstanceIdentifier=f"{CLUSTER}-1")
    assert query(aws, cluster["Endpoint"], "SHOW track_activity_query_size") == ["2kB"]
    states = {m["DBInstanceIdentifier"]: m["DBClusterParameterGroupStatus"] for m in orders()["DBClusterMembers"]}
    assert states == {f"{CLUSTER}-1": "in-sync", f"{CLUSTER}-2": "pending-reboot"}
    rds.reboot_db_instance(DBInstanceIdentifier=f"{CLUSTER}-2")


def test_a_changed_master_password_replaces_the_old_one_and_stays_out_of_the_log(aws, orders):
    rds, host = aws.client("rds"), orders()["Endpoint"]
    statements = [{"ParameterName": "log_statement", "ParameterValue": "all", "ApplyMethod": "immediate"}]
    rds.modify_db_cluster_parameter_group(DBClusterParameterGroupName="forced", Parameters=statements)
    eventually(lambda: query(aws, host, "SHOW log_statement") == ["all"])
    rds.modify_db_cluster(DBClusterIdentifier=CLUSTER, MasterUserPassword="another-horse-1", ApplyImmediately=True)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(aws, host)
    assert query(aws, host, "SELECT 7", password="another-horse-1") == [7]
    log = processes.log_path(aws.instance, f"postgres-{CLUSTER}-1").read_text()
    assert "SELECT 7" in log
    assert "another-horse-1" not in log
    assert "SCRAM" not in log
    rds.modify_db_cluster(DBClusterIdentifier=CLUSTER, MasterUserPassword=PASSWORD, ApplyImmediately=True)


def test_rows_descriptions_and_connections_survive_the_api_and_rows_the_servers(aws, orders):
    before = orders()
    with connect(aws, before["Endpoint"]) as connection:
        connection.execute("CREATE TABLE survives AS SELECT 1 AS n")
        aws.end(signal.SIGTERM)
        assert connection.execute("SELECT n FROM survives").fetchone() == (1,), "the API's end is not the database's"
        aws.start()
        assert connection.execute("SELECT n FROM survives").fetchone() == (1,)
    aws.end(signal.SIGKILL)
    for number in (1, 2):
        processes.stop(aws.instance, f"postgres-{CLUSTER}-{number}", how=signal.SIGKILL)
    aws.start()
    after = orders()
    assert {**after, "LatestRestorableTime": 0} == {**before, "LatestRestorableTime": 0}
    eventually(lambda: query(aws, after["ReaderEndpoint"], "SELECT to_regclass('survives')")[0])
    for host in (after["Endpoint"], after["ReaderEndpoint"]):
        assert query(aws, host, "SELECT n FROM survives") == [1]


def test_an_address_that_somebody_took_is_named_with_its_holder(aws, orders):
    endpoint = orders()["Endpoint"]
    processes.stop(aws.instance, f"postgres-{CLUSTER}-1", how=signal.SIGKILL)
    ports.require_free(endpoint, 5432, "the test")
    with socket.create_server((endpoint, 5432)):
        status, line = aws.recover()
    assert (status, line.count("\n")) == (500, 1)
    assert f"{endpoint}:5432 is needed for the database {CLUSTER}-1, but " in line
    assert f"(process {os.getpid()}) listens there" in line
    assert aws.recover()[0] == 200
    assert query(aws, endpoint, "SELECT 1") == [1]


def test_failing_over_swaps_writer_and_reader_under_the_same_endpoints(aws, orders):
    before = orders()
    query(aws, before["Endpoint"], "CREATE TABLE moved AS SELECT 5 AS n")
    aws.client("rds").failover_db_cluster(DBClusterIdentifier=CLUSTER)
    after = orders()
    writers = [m["DBInstanceIdentifier"] for m in after["DBClusterMembers"] if m["IsClusterWriter"]]
    assert writers == [f"{CLUSTER}-2"]
    assert (after["Endpoint"], after["ReaderEndpoint"]) == (before["Endpoint"], before["ReaderEndpoint"])
    query(aws, after["Endpoint"], "INSERT INTO moved VALUES (6)")
    assert eventually(lambda: query(aws, after["ReaderEndpoint"], "SELECT n FROM moved ORDER BY n") == [5, 6])
    assert query(aws, after["Endpoint"], "SHOW cluster_name") == [f"{CLUSTER}-2"]


def test_when_the_writer_is_deleted_a_reader_takes_over_with_every_row(aws, orders):
    query(aws, orders()["Endpoint"], "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    writer = next(m["DBInstanceIdentifier"] for m in orders()["DBClusterMembers"] if m["IsClusterWriter"])
    aws.client("rds").delete_db_instance(DBInstanceIdentifier=writer)
    cluster = orders()
    assert [member["IsClusterWriter"] for member in cluster["DBClusterMembers"]] == [True]
    assert query(aws, cluster["Endpoint"], "SELECT count(*) FROM kept") == [1000]
    assert query(aws, cluster["ReaderEndpoint"], "SHOW transaction_read_only") == ["off"], (
        "no reader: the writer serves"
    )
    query(aws, cluster["Endpoint"], "INSERT INTO kept VALUES (0)")


def test_a_cluster_is_deleted_only_with_a_decision_on_its_last_snapshot(aws, cluster_arguments, instance_of):
    rds = aws.client("rds")
    rds.create_db_cluster(
        DBClusterIdentifier="brief", DeletionProtection=True, CopyTagsToSnapshot=True, **cluster_arguments
    )
    rds.add_tags_to_resource(
        ResourceName=describe(aws, "brief")["DBClusterArn"], Tags=[{"Key": "Name", "Value": "brief"}]
    )
    address = instance_of("brief", 1)["Endpoint"]["Address"]
    query(aws, describe(aws, "brief")["Endpoint"], "CREATE TABLE remembered AS SELECT 9 AS n")
    rds.create_db_cluster_snapshot(DBClusterIdentifier="brief", DBClusterSnapshotIdentifier="Taken")
    rds.delete_db_instance(DBInstanceIdentifier="brief-1")
    final = {"DBClusterIdentifier": "brief", "FinalDBSnapshotIdentifier": "brief-final"}
    with pytest.raises(ClientError, match="Cannot delete protected Cluster"):
        rds.delete_db_cluster(**final)
    rds.modify_db_cluster(DBClusterIdentifier="brief", DeletionProtection=False)
    for arguments, code in (
        ({"DBClusterIdentifier": "brief"}, "InvalidParameterCombination"),
        ({**final, "SkipFinalSnapshot": True}, "InvalidParameterCombination"),
        ({**final, "FinalDBSnapshotIdentifier": "taken"}, "DBClusterSnapshotAlreadyExistsFault"),
    ):
        with pytest.raises(ClientError, match=code):
            rds.delete_db_cluster(**arguments)
    rds.delete_db_cluster(**final)
    snapshots = rds.describe_db_cluster_snapshots(DBClusterIdentifier="brief")["DBClusterSnapshots"]
    assert {(s["DBClusterSnapshotIdentifier"], s["SnapshotType"], s["Status"]) for s in snapshots} == {
        ("taken", "manual", "available"),
        ("brief-final", "manual", "available"),
    }
    assert snapshots[-1]["TagList"] == [{"Key": "Name", "Value": "brief"}]
    for name in ("taken", "brief-final"):
        assert (aws.instance.state / "database-snapshots" / name / "PG_VERSION").exists()
    assert not (aws.instance.state / "databases" / "brief").exists()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect(aws, address)
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="taken")
    assert not (aws.instance.state / "database-snapshots" / "taken").exists()


def test_a_major_upgrade_is_asked_for_by_name_and_takes_the_members_along(aws, orders):
    rds = aws.client("rds")
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="next", DBParameterGroupFamily="aurora-postgresql17", Description="d"
    )
    upgrade = {"DBClusterIdentifier": CLUSTER, "EngineVersion": "17.7", "DBClusterParameterGroupName": "next"}
    with pytest.raises(ClientError, match="AllowMajorVersionUpgrade"):
        rds.modify_db_cluster(**upgrade)
    rds.modify_db_cluster(**upgrade, AllowMajorVersionUpgrade=True, ApplyImmediately=True)
    assert orders()["EngineVersion"] == "17.7"
    instance = rds.describe_db_instances(DBInstanceIdentifier=orders()["DBClusterMembers"][0]["DBInstanceIdentifier"])
    assert instance["DBInstances"][0]["DBParameterGroups"][0]["DBParameterGroupName"] == "default.aurora-postgresql17"
    with pytest.raises(psycopg.OperationalError, match="no encryption"):  # 17 forces TLS unless told otherwise
        eventually(lambda: not query(aws, orders()["Endpoint"], "SELECT 1", sslmode="disable"))


def test_a_creation_cut_off_by_a_kill_leaves_nothing_behind(aws, cluster_arguments):
    (aws.instance.state / "databases" / "orphan").mkdir()
    aws.end(signal.SIGKILL)
    aws.start()
    assert not (aws.instance.state / "databases" / "orphan").exists()
    aws.client("rds").create_db_cluster(DBClusterIdentifier="orphan", **cluster_arguments)
    aws.client("rds").delete_db_cluster(DBClusterIdentifier="orphan", SkipFinalSnapshot=True)
