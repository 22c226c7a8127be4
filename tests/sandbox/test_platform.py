"""The main job, end to end: real engine, real Kubernetes API, real PostgreSQL and Redis.

One story, told in order: each test begins where the one before it ended.
"""

from __future__ import annotations

import ipaddress
import re
import shutil
from pathlib import Path

import psycopg
import pytest
import redis

from sandbox import images, stack
from sandbox.instance import CHECKOUT
from tests.sandbox.platform import NAMESPACE, Platform

EXAMPLE = CHECKOUT / "sandbox" / "example_service"
CLUSTER = "aws:rds/cluster:Cluster"
GROUP = "aws:elasticache/replicationGroup:ReplicationGroup"


@pytest.fixture(scope="module")
def platform(sandbox) -> Platform:
    return Platform(sandbox.instance, sandbox.environment)


@pytest.fixture(scope="module")
def first_up(platform) -> str:
    return platform.up()


def connect(url: str, platform: Platform) -> psycopg.Connection:
    """As a service would, and stricter: the certificate and the name in it are verified."""
    verified = url.replace("sslmode=require", "sslmode=verify-full")
    return psycopg.connect(verified, sslrootcert=str(platform.instance.ca_certificate), connect_timeout=10)


def select(platform: Platform, statement: str) -> list[tuple]:
    with connect(platform.secret("platform-database")["DATABASE_URL"], platform) as connection:
        return connection.execute(statement).fetchall()


def revision(platform: Platform) -> str:
    return select(platform, "SELECT version_num FROM alembic_version")[0][0]


class Service:
    """The example service, release after release: each has the revisions of the ones before it."""

    def __init__(self, platform: Platform, content: Path) -> None:
        self._platform = platform
        self._content = content
        shutil.copytree(EXAMPLE, content, ignore=shutil.ignore_patterns("__pycache__"))

    def release(self, tag: str, upgrade: str) -> str:
        """Register an image with one revision more and put it into the stack file; returns its reference."""
        name = tag.replace(".", "_")
        (self._content / "versions" / f"{name}_test.py").write_text(
            f'"""Made by a test."""\nfrom alembic import op\n\nrevision = "test_{name}"\n'
            f'down_revision = "{revision(self._platform)}"\nbranch_labels = None\ndepends_on = None\n\n\n'
            f"def upgrade():\n    {upgrade}\n\n\ndef downgrade():\n    pass\n"
        )
        reference = f"meetinity/example-service:{tag}"
        images.add(self._platform.instance, reference, self._content)
        self._platform.configure(lambda config: config["migrations"][0].update(image=reference))
        return reference

    def withdraw(self, tag: str) -> None:
        (self._content / "versions" / f"{tag.replace('.', '_')}_test.py").unlink()


@pytest.fixture(scope="module")
def service(platform, tmp_path_factory) -> Service:
    return Service(platform, tmp_path_factory.mktemp("service") / "content")


def test_up_migrates_and_names_the_revision_it_proved(platform, first_up):
    assert re.search(
        rf"migration example-service: the database is at revision {revision(platform)} "
        rf"\(Job {NAMESPACE}/example-service-migration-[0-9a-f]{{8}}\)",
        first_up,
    ), first_up


def test_the_readmes_commands_reach_the_database_and_put_no_password_into_an_argument(platform, first_up):
    commands = (CHECKOUT / "README.md").read_text().partition("\nkubectl get jobs\n")[2].partition("```")[0]
    output = platform.run("bash", "-xeuc", commands)
    # What is compared is never shown: bash traces the assignment of the password as well.
    answered = re.search(rf"^ *{revision(platform)}$", output, re.MULTILINE) is not None
    calls = [
        platform.secret("platform-database")["password"] in line for line in output.split("\n+ ") if line[:4] == "psql"
    ]
    assert (answered, calls) == (True, [False])


def test_the_job_is_complete_and_left_the_revision_as_its_termination_message(platform):
    (job,) = platform.kubernetes("jobs")["items"]
    assert {"type": "Complete", "status": "True"}.items() <= job["status"]["conditions"][-1].items()
    (pod,) = platform.kubernetes("pods", "--selector", f"batch.kubernetes.io/job-name={job['metadata']['name']}")[
        "items"
    ]
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == revision(platform)


def test_the_migration_really_wrote_tables_and_data(platform):
    tables = {row[0] for row in select(platform, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert "alembic_version" in tables
    assert len(tables) >= 3
    counts = [
        select(platform, f'SELECT count(*) FROM "{table}"')[0][0] for table in sorted(tables - {"alembic_version"})
    ]
    assert any(counts), "one revision is of data, and left none"


def test_writer_and_reader_answer_over_verified_tls_with_nothing_but_the_secret(platform):
    secret = platform.secret("platform-database")
    with connect(secret["DATABASE_URL"], platform) as writer:
        assert writer.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        assert writer.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
        writer.execute("CREATE TABLE written_by_a_test (n int)")
        writer.execute("INSERT INTO written_by_a_test VALUES (7)")
        writer.commit()  # what is asked for next is then behind it
        position = writer.execute("SELECT pg_current_wal_lsn()::text").fetchone()[0]
    with connect(secret["DATABASE_READER_URL"], platform) as reader:
        assert reader.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
        for _ in range(100):
            if reader.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (position,)).fetchone() == (True,):
                break
            reader.execute("SELECT pg_sleep(0.1)")
            reader.rollback()
        assert reader.execute("SELECT n FROM written_by_a_test").fetchall() == [(7,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute("INSERT INTO written_by_a_test VALUES (8)")


def test_plain_text_connections_to_postgresql_are_refused(platform):
    url = platform.secret("platform-database")["DATABASE_URL"].replace("sslmode=require", "sslmode=disable")
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(url, connect_timeout=10)


def test_redis_answers_over_verified_tls_as_primary_and_as_replica(platform):
    secret = platform.secret("platform-redis")
    trusted = {"ssl_ca_certs": str(platform.instance.ca_certificate), "socket_timeout": 10}
    with redis.Redis.from_url(secret["REDIS_URL"], **trusted) as primary:
        primary.set("written-by", "a test")
        assert primary.info("replication")["role"] == "master"
        assert primary.wait(1, 5000) == 1, "the replica did not acknowledge the write"
    with redis.Redis.from_url(secret["REDIS_READER_URL"], **trusted) as replica:
        assert replica.info("replication")["role"] == "slave"
        assert replica.get("written-by") == b"a test"


def test_redis_refuses_whoever_has_no_token(platform):
    url = re.sub(r"//default:[^@]+@", "//", platform.secret("platform-redis")["REDIS_URL"])
    client = redis.Redis.from_url(url, ssl_ca_certs=str(platform.instance.ca_certificate))
    with client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_a_second_up_changes_nothing(platform):
    platform.pulumi("preview", "--expect-no-changes")
    assert "unchanged" in platform.up("--expect-no-changes")


def test_no_password_stands_in_clear_in_the_state_or_in_what_was_printed(platform, first_up):
    state = platform.run("pulumi", "stack", "export")
    passwords = {name: platform.secret(name)["password"] for name in ("platform-database", "platform-redis")}
    assert {name: len(password) for name, password in passwords.items()} == dict.fromkeys(passwords, 32)
    shown = [name for name, password in passwords.items() if password in state + first_up]  # not in pytest's words
    assert shown == []


def test_pods_may_reach_the_stores_which_the_namespace_alone_would_block(platform):
    def allowed(policies, address: str, port: int) -> bool:
        """What the union of the namespace's egress policies lets every pod do (Kubernetes API: NetworkPolicy)."""
        for policy in policies:
            for rule in policy["spec"].get("egress", []):
                blocks = [peer["ipBlock"]["cidr"] for peer in rule.get("to", []) if "ipBlock" in peer]
                ports = {each.get("port") for each in rule.get("ports", [])}
                inside = any(ipaddress.ip_address(address) in ipaddress.ip_network(block) for block in blocks)
                if inside and (not ports or port in ports):
                    return True
        return False

    policies = platform.kubernetes("networkpolicies")["items"]
    before = [each for each in policies if each["metadata"]["name"] != "platform-data-egress"]
    subnets = platform.aws("ec2", "describe-subnets", "--filters", "Name=tag:Tier,Values=private")["Subnets"]
    assert before, "the namespace's own default policy is missing"
    for subnet in subnets:
        address = str(ipaddress.ip_network(subnet["CidrBlock"])[10])
        for port in (5432, 6379):
            assert not allowed(before, address, port), "the old policy did not block: this test proves nothing"
            assert allowed(policies, address, port)
    assert not allowed(policies, "10.0.1.10", 22)


@pytest.mark.parametrize(
    ("verb", "subject", "answer"),
    [
        ("get", ("--as", "ana", "--as-group", "data-ops"), "yes"),
        ("list", ("--as", "ana", "--as-group", "data-ops"), "no"),
        ("watch", ("--as", "ana", "--as-group", "data-ops"), "no"),
        ("update", ("--as", "ana", "--as-group", "data-ops"), "no"),
        ("get", ("--as", "ana"), "no"),
        ("get", ("--as", f"system:serviceaccount:{NAMESPACE}:example-service"), "yes"),
        ("get", ("--as", f"system:serviceaccount:{NAMESPACE}:default"), "no"),
    ],
)
def test_only_listed_subjects_read_the_database_secret(platform, verb, subject, answer):
    question = ("kubectl", "-n", NAMESPACE, "auth", "can-i", verb, "secret/platform-database", *subject)
    assert platform.run(*question, check=False).split()[-1] == answer


def test_a_bad_configuration_is_refused_whole_before_anything_is_touched(platform):
    good = platform.stack_file.read_text()
    platform.configure(lambda config: config.update(database={"backupRetentionPeriod": 36, "instanceCount": "2"}))
    output = platform.pulumi("preview", check=False)
    platform.stack_file.write_text(good)
    assert platform.code != 0
    assert "meetinity-data:database.backupRetentionPeriod" in output
    assert "meetinity-data:database.instanceCount" in output
    assert "Traceback" not in output
    assert not re.search(r"\b(create|update|delete|replace)\b.*aws:", output)


def test_a_new_migration_runs_exactly_once(platform, service):
    image = service.release("1.1.0", 'op.execute("INSERT INTO written_by_a_test VALUES (11)")')
    assert "the database is at revision test_1_1_0" in platform.up()
    platform.up("--expect-no-changes")
    assert select(platform, "SELECT count(*) FROM written_by_a_test WHERE n = 11") == [(1,)]
    (job,) = platform.kubernetes("jobs")["items"]
    assert job["spec"]["template"]["spec"]["initContainers"][1]["image"] == image


def test_a_failing_migration_fails_the_update_and_says_why(platform, service):
    service.release("1.2.0", 'op.execute("INSERT INTO no_such_table VALUES (1)")')
    output = platform.up(check=False)
    assert platform.code != 0
    assert re.search(
        r"migration example-service failed \(Job meetinity-local/example-service-migration-[0-9a-f]{8}\): "
        r"container migrate of pod example-service-migration-\w+-\w+ ended with exit code 1",
        output,
    ), output
    assert re.search(r'^ +\| .*relation "no_such_table" does not exist', output, re.MULTILINE), output
    shown = platform.secret("platform-database")["password"] in output
    assert not shown
    assert revision(platform) == "test_1_1_0"


def test_the_same_failure_fails_again_and_does_not_pile_up(platform):
    """Run twice without a change: the failed Job is replaced, not waited on for ever, and not multiplied."""
    before = {each["metadata"]["uid"] for each in platform.kubernetes("jobs")["items"]}
    output = platform.up(check=False)
    assert platform.code != 0
    assert "migration example-service failed" in output
    after = {each["metadata"]["uid"] for each in platform.kubernetes("jobs")["items"]}
    assert len(after) == len(before) == 2
    assert len(after - before) == 1


def test_the_failed_job_keeps_its_logs_until_the_next_good_one_replaces_it(platform, service):
    failed = [each for each in platform.kubernetes("jobs")["items"] if each["status"].get("failed")]
    assert len(failed) == 1
    logs = platform.run("kubectl", "logs", f"job/{failed[0]['metadata']['name']}", "--container", "migrate")
    assert "no_such_table" in logs
    service.withdraw("1.2.0")
    service.release("1.2.1", 'op.execute("INSERT INTO written_by_a_test VALUES (12)")')
    platform.up()
    assert revision(platform) == "test_1_2_1"
    (job,) = platform.kubernetes("jobs")["items"]
    assert job["status"]["succeeded"] == 1


def test_drift_made_with_the_aws_cli_is_seen_and_repaired(platform):
    platform.run("aws", "rds", "modify-db-cluster", "--db-cluster-identifier", "local-postgres",
                 "--backup-retention-period", "3", "--apply-immediately")  # fmt: skip
    platform.pulumi("preview", "--expect-no-changes")
    output = platform.pulumi("preview", "--refresh", "--diff", check=False)
    assert re.search(r"backupRetentionPeriod\s*:\s*3 => \d+", output), output
    platform.up("--refresh")
    (cluster,) = platform.aws("rds", "describe-db-clusters")["DBClusters"]
    assert cluster["BackupRetentionPeriod"] > 3
    platform.pulumi("preview", "--refresh", "--expect-no-changes")


def test_a_major_upgrade_takes_the_instances_and_the_data_along(platform):
    (before,) = platform.aws("rds", "describe-db-clusters")["DBClusters"]
    assert before["EngineVersion"].startswith("16.")
    upgrade = {"engineVersion": "17.7", "allowMajorVersionUpgrade": True, "applyImmediately": True}
    platform.configure(lambda config: config.setdefault("database", {}).update(upgrade))
    output = platform.up()
    assert "aws:rds:Cluster database-cluster updated" in output
    (after,) = platform.aws("rds", "describe-db-clusters")["DBClusters"]
    assert (after["EngineVersion"], after["DbClusterResourceId"]) == ("17.7", before["DbClusterResourceId"])
    groups = platform.aws("rds", "describe-db-instances", "--query", "DBInstances[].DBParameterGroups[]")
    assert {each["DBParameterGroupName"] for each in groups} == {"local-postgres-aurora-postgresql17-instance"}
    assert "aurora-postgresql16" not in platform.run("aws", "rds", "describe-db-parameter-groups")
    assert select(platform, "SELECT count(*) FROM written_by_a_test WHERE n = 7") == [(1,)]
    platform.configure(lambda config: config["database"].update(allowMajorVersionUpgrade=False))
    platform.up()
    platform.pulumi("preview", "--refresh", "--expect-no-changes")


def test_destroy_respects_protection_and_touches_nothing(platform):
    before = platform.resources()
    output = platform.pulumi("destroy", "--yes", check=False)
    assert platform.code != 0
    assert "protect" in output
    assert platform.resources() == before
    assert select(platform, "SELECT count(*) FROM written_by_a_test WHERE n = 7") == [(1,)]


def test_once_lifted_destroy_leaves_final_snapshots_and_no_server(platform):
    platform.configure(lambda config: config.setdefault("database", {}).update(deletionProtection=False))
    platform.up()
    platform.run("pulumi", "state", "unprotect", "--yes", platform.urn(GROUP))
    platform.pulumi("destroy", "--yes")
    assert platform.resources() == []
    (snapshot,) = platform.aws("rds", "describe-db-cluster-snapshots", "--snapshot-type", "manual")[
        "DBClusterSnapshots"
    ]
    assert re.fullmatch(r"local-postgres-final-[0-9a-f]{8}", snapshot["DBClusterSnapshotIdentifier"])
    (cached,) = platform.aws("elasticache", "describe-snapshots")["Snapshots"]
    assert re.fullmatch(r"local-redis-final-[0-9a-f]{8}", cached["SnapshotName"])
    from sandbox import processes

    assert not [name for name in processes.running(platform.instance) if name.startswith(("postgres", "redis"))]


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_other_stacks_preview_offline_from_their_committed_files(sandbox, name, capfd):
    assert stack.preview(sandbox.instance, name, sandbox.environment) == 0
    output = capfd.readouterr().out
    assert re.search(r"\d+ to create", output), output
    assert "warning" not in output
