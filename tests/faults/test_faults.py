"""`python -m sandbox fault`: each fault is real, counted, and gone when it is cleared."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import redis
from botocore.exceptions import ClientError, ConnectionClosedError
from click.testing import CliRunner, Result

from sandbox import faults, lifecycle, processes
from sandbox.__main__ import main
from sandbox.faults import Fault
from sandbox.instance import NAME_VARIABLE
from tests.sandbox.aws.conftest import PASSWORD
from tests.sandbox.aws.conftest import Api as Aws
from tests.sandbox.conftest import Sandbox, eventually


@pytest.fixture
def aws(sandbox: Sandbox) -> Iterator[Aws]:
    """Clients that try once."""
    yield Aws(sandbox.instance)
    faults.clear(sandbox.instance)


@pytest.fixture
def command(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(NAME_VARIABLE, sandbox.instance.name)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    return run


CALLS = {
    "rds": lambda aws: aws.client("rds").describe_db_clusters(),
    "ec2": lambda aws: aws.client("ec2").describe_vpcs(),
    "eks": lambda aws: aws.client("eks").list_clusters(),
    "logs": lambda aws: aws.client("logs").describe_log_groups(),
    "iam": lambda aws: aws.client("iam").list_roles(),
    "elasticache": lambda aws: aws.client("elasticache").describe_replication_groups(),
}


@pytest.mark.parametrize(
    ("service", "kind", "code", "status"),
    [
        # "Common errors" of each API reference; EC2: "Request throttling for the Amazon EC2 API".
        ("rds", "throttle", "Throttling", 400),
        ("elasticache", "throttle", "Throttling", 400),
        ("iam", "throttle", "Throttling", 400),
        ("ec2", "throttle", "RequestLimitExceeded", 503),
        ("eks", "throttle", "ThrottlingException", 400),
        ("logs", "throttle", "ThrottlingException", 400),
        ("rds", "error", "InternalFailure", 500),
        ("eks", "error", "InternalFailure", 500),
    ],
)
def test_a_refusal_is_the_services_own(aws, sandbox, command, service, kind, code, status):
    assert command("fault", kind, f"{service}:*", "--times", "1").exit_code == 0
    with pytest.raises(ClientError) as refused:
        CALLS[service](aws)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    CALLS[service](aws)
    (fault,) = faults.read(sandbox.instance)
    assert (fault.seen, fault.injected, fault.spent()) == (1, 1, True)


def test_a_slow_answer_is_right_and_late(aws, sandbox, command):
    command("fault", "slow", "rds:Describe*", "--seconds", "0.7", "--times", "1")
    started = time.monotonic()
    CALLS["rds"](aws)
    assert time.monotonic() - started >= 0.7
    CALLS["rds"](aws)
    assert [(each.seen, each.injected) for each in faults.read(sandbox.instance)] == [(1, 1)]


def test_a_slow_answer_is_given_when_its_fault_is_cleared(aws, sandbox, command):
    command("fault", "slow", "rds:Describe*", "--seconds", "50")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(CALLS["rds"], aws)
        eventually(lambda: faults.read(sandbox.instance)[0].injected)
        assert not answer.done()
        command("fault", "clear")
        assert answer.result(timeout=25)["DBClusters"] == []


@pytest.mark.parametrize(("kind", "carried_out"), [("cut", False), ("cut-after", True)])
def test_a_cut_connection_leaves_nothing_or_everything(aws, command, kind, carried_out):
    command("fault", kind, "logs:CreateLogGroup", "--times", "1")
    with pytest.raises(ConnectionClosedError):
        aws.client("logs").create_log_group(logGroupName=f"of-{kind}")
    found = aws.client("logs").describe_log_groups(logGroupNamePrefix=f"of-{kind}")["logGroups"]
    assert bool(found) == carried_out
    for group in found:
        aws.client("logs").delete_log_group(logGroupName=group["logGroupName"])


@pytest.mark.parametrize(
    "refused",
    [
        lambda aws: aws.client("rds").delete_db_cluster(DBClusterIdentifier="nobody", SkipFinalSnapshot=True),
        lambda aws: aws.client("logs").delete_log_group(logGroupName="of-nobody"),
    ],
    ids=["rds", "logs"],
)
def test_no_refusal_comes_through_a_connection_that_is_cut_after_it(aws, sandbox, command, refused):
    command("fault", "cut-after", "*:Delete*", "--times", "1")
    with pytest.raises(ConnectionClosedError):
        refused(aws)
    with pytest.raises(ClientError):
        refused(aws)
    assert faults.read(sandbox.instance)[0].injected == 1


def test_a_rate_hits_the_same_requests_for_the_same_seed_and_others_for_another():
    def hits(seed: int) -> list[bool]:
        fault = Fault(1, "throttle", "*:*", rate=0.25, seed=seed)
        return [fault.strikes() for _ in range(400)]

    assert hits(1) == hits(1) != hits(2)
    assert 70 < sum(hits(1)) < 130


def test_faults_outlive_the_aws_api_and_are_counted_on(aws, sandbox, command):
    command("fault", "throttle", "rds:DescribeDBClusters", "--times", "2")
    with pytest.raises(ClientError):
        CALLS["rds"](aws)
    faults.kill(sandbox.instance, "aws-api")
    lifecycle.up(sandbox.instance, lambda _: None)
    with pytest.raises(ClientError):
        CALLS["rds"](aws)
    CALLS["rds"](aws)
    listed = command("fault", "list").stdout.splitlines()
    assert [line.split()[:4] for line in listed[1:]] == [
        ["1", "throttle", "rds:DescribeDBClusters", "2"],
        ["2", "kill", "aws-api", "1"],
    ]
    assert all(line.endswith("over") for line in listed[1:])


def test_status_shows_faults_that_are_at_work_and_clear_ends_one_or_all(command):
    for pattern in ("rds:Create*", "ec2:*", "*:Delete*"):
        command("fault", "error", pattern)
    assert "faults at work: 3" in command("status").stdout
    assert command("fault", "clear", "2").stderr == "faults cleared: 1\n"
    assert [line.split()[2] for line in command("fault", "list").stdout.splitlines()[1:]] == [
        "rds:Create*",
        "*:Delete*",
    ]
    assert command("fault", "clear").stderr == "faults cleared: 2\n"
    assert "faults at work" not in command("status").stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("throttle rds", "'rds' is no operation: expected SERVICE:OPERATION, as rds:CreateDBCluster or *:Create*"),
        ("throttle rsd:*", "AWS has no service 'rsd': expected its name in the AWS CLI, as rds or elasticache"),
        ("cut rds:CreateCluster", "rds has no operation 'CreateCluster'; names are the API's, as CreateDBCluster"),
        (
            "kill nobody",
            "there is no nobody in sandbox NAME; there could be: writer, reader, primary, replica, aws-api, ",
        ),
        ("disk writer", "there is no writer in sandbox NAME; there could be: "),
        ("clear 7", "there is no fault 7; `python -m sandbox fault list` shows which there are"),
    ],
)
def test_what_cannot_be_meant_is_one_line(sandbox, command, arguments, line):
    done = command("fault", *arguments.split())
    assert done.exit_code == 1
    assert done.stderr.startswith(f"sandbox: {line.replace('NAME', sandbox.instance.name)}")
    assert len(done.stderr.splitlines()) == 1
    assert faults.read(sandbox.instance) == []


@pytest.fixture(scope="module")
def stores(sandbox: Sandbox) -> Iterator[dict[str, Any]]:
    """A writer with a reader, a primary with a replica, and how to connect."""
    aws = Aws(sandbox.instance)
    rds, cache = aws.client("rds"), aws.client("elasticache")
    private = [{"Name": "tag:Tier", "Values": ["private"]}]
    subnets = [each["SubnetId"] for each in aws.client("ec2").describe_subnets(Filters=private)["Subnets"]]
    rds.create_db_subnet_group(DBSubnetGroupName="broken", DBSubnetGroupDescription="d", SubnetIds=subnets)
    cache.create_cache_subnet_group(CacheSubnetGroupName="broken", CacheSubnetGroupDescription="d", SubnetIds=subnets)
    cluster = rds.create_db_cluster(
        DBClusterIdentifier="broken",
        Engine="aurora-postgresql",
        MasterUsername="master",
        MasterUserPassword=PASSWORD,
        DBSubnetGroupName="broken",
    )["DBCluster"]
    instance = {"DBClusterIdentifier": "broken", "Engine": "aurora-postgresql", "DBInstanceClass": "db.r6g.large"}
    for number in (1, 2):
        rds.create_db_instance(DBInstanceIdentifier=f"broken-{number}", **instance)
    group = cache.create_replication_group(
        ReplicationGroupId="broken",
        ReplicationGroupDescription="d",
        Engine="redis",
        CacheSubnetGroupName="broken",
        NumCacheClusters=2,
        AutomaticFailoverEnabled=True,
    )["ReplicationGroup"]
    host, port = group["NodeGroups"][0]["PrimaryEndpoint"].values()
    login = f"host={cluster['Endpoint']} user=master password={PASSWORD} dbname=postgres connect_timeout=5"
    yield {"database": lambda: psycopg.connect(login, autocommit=True), "cache": redis.Redis(host, port)}
    for number in (2, 1):
        rds.delete_db_instance(DBInstanceIdentifier=f"broken-{number}")
    rds.delete_db_cluster(DBClusterIdentifier="broken", SkipFinalSnapshot=True)
    rds.delete_db_subnet_group(DBSubnetGroupName="broken")
    cache.delete_replication_group(ReplicationGroupId="broken")
    cache.delete_cache_subnet_group(CacheSubnetGroupName="broken")


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("writer", {"postgres-broken-1"}),
        ("reader", {"postgres-broken-2"}),
        ("replica", {"redis-broken-002"}),
        ("primary", {"redis-broken-001"}),  # the last of them: a replica takes over
        ("etcd", {"etcd"}),
        ("kube-apiserver", {"kube-apiserver"}),
        ("node", {"node"}),
    ],
)
def test_a_part_is_killed_by_its_role_and_clear_brings_it_back(stores, aws, sandbox, command, part, names):
    before = processes.running(sandbox.instance)
    assert command("fault", "kill", part).stderr == f"killed {', '.join(names)}\n"
    assert names.isdisjoint(processes.running(sandbox.instance))
    again = command("fault", "kill", part)
    assert (again.exit_code, again.stderr) == (1, f"sandbox: {part} does not run: nothing was killed\n")
    assert [(each.target, each.injected) for each in faults.read(sandbox.instance)] == [(*names, 1)]
    assert "faults at work: 1" in command("status").stdout
    assert command("fault", "clear").exit_code == 0
    after = processes.running(sandbox.instance)
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in names)
    assert faults.read(sandbox.instance) == []


def test_a_role_that_several_have_is_not_guessed(stores, aws, command):
    rds = aws.client("rds")
    rds.create_db_instance(
        DBInstanceIdentifier="broken-3",
        DBClusterIdentifier="broken",
        Engine="aurora-postgresql",
        DBInstanceClass="db.r6g.large",
    )
    done = command("fault", "kill", "reader")
    rds.delete_db_instance(DBInstanceIdentifier="broken-3")
    assert done.stderr == "sandbox: there is more than one reader: say which of postgres-broken-2, postgres-broken-3\n"


def _set(cache: redis.Redis) -> bool:
    """Redis refuses writes until its next try to save, a second later, has worked."""
    try:
        return bool(cache.set("a", "d"))
    except redis.ResponseError as refused:
        if not str(refused).startswith("MISCONF"):
            raise
        return False


def test_a_full_disk_refuses_writes_keeps_what_there_was_and_is_lifted(stores, aws, sandbox, command):
    with stores["database"]() as database:
        database.execute("CREATE TABLE kept (n int)")
        database.execute("INSERT INTO kept VALUES (1)")
        for part in ("writer", "primary", "aws-api"):
            assert command("fault", "disk", part).exit_code == 0
        with pytest.raises(psycopg.Error):
            database.execute("INSERT INTO kept SELECT generate_series(1, 100000)")
    stores["cache"].get("a")
    stores["cache"].set("a", "b")
    with pytest.raises(redis.ResponseError, match="MISCONF Errors writing to the AOF file: File too large"):
        eventually(lambda: stores["cache"].set("a", "c") and None, seconds=60)
    with pytest.raises(ClientError, match="File too large"):
        aws.client("rds").modify_db_cluster(DBClusterIdentifier="broken", BackupRetentionPeriod=9)
    # Whatever is started in its place is no better off.
    eventually(lambda: processes.find(sandbox.instance, "postgres-broken-1") is None, seconds=60)
    with pytest.raises(lifecycle.SandboxError):
        lifecycle.up(sandbox.instance, lambda _: None)

    assert command("fault", "clear").exit_code == 0
    with stores["database"]() as database:
        assert database.execute("SELECT n FROM kept").fetchall() == [(1,)]
        database.execute("INSERT INTO kept VALUES (2)")
    eventually(lambda: _set(stores["cache"]))
    assert aws.client("rds").modify_db_cluster(DBClusterIdentifier="broken", BackupRetentionPeriod=9)
