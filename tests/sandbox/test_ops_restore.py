"""A restore from beginning to end, with real rows and keys, as the runbook tells it: one story, told in order.

Rows 1 to 3 and keys of the same names are written one by one: a snapshot is taken after the first, a moment kept
after the second.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import redis
import trustme

from tests.sandbox.operator import Operator
from tests.sandbox.platform import NAMESPACE


@dataclass
class Story:
    operator: Operator
    snapshots: dict[str, str] = field(default_factory=dict)
    moment: str = ""
    before: dict[str, dict[str, str]] = field(default_factory=dict)

    def execute(self, statement: str) -> list[tuple]:
        """As a service that knows nothing but the Secret."""
        url = self.operator.secret("platform-database")["DATABASE_URL"]
        with psycopg.connect(url.replace("sslmode=require", "sslmode=verify-full"), sslrootcert=self.ca) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def cache(self) -> redis.Redis:
        return redis.Redis.from_url(self.operator.secret("platform-redis")["REDIS_URL"], ssl_ca_certs=self.ca)

    @property
    def ca(self) -> str:
        return str(self.operator.instance.ca_certificate)

    def rows(self) -> list[int]:
        return [row[0] for row in self.execute("SELECT n FROM proof ORDER BY n")]

    def keys(self) -> list[str]:
        return sorted(key.decode() for key in self.cache().scan_iter())

    def write(self, number: int) -> None:
        self.execute(f"INSERT INTO proof VALUES ({number})")
        self.cache().set(f"key {number}", number)


@pytest.fixture(scope="module")
def story(operator) -> Story:
    operator.up()
    story = Story(operator)
    story.execute("DROP TABLE IF EXISTS proof")
    story.execute("CREATE TABLE proof (n int PRIMARY KEY)")
    story.cache().flushall()
    story.write(1)
    for store in ("database", "redis"):
        story.snapshots[store] = operator.ops_json("snapshot", "create", store)["name"]
    story.write(2)
    time.sleep(1.1)  # a moment to restore to has whole seconds
    story.moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    time.sleep(1.1)
    story.write(3)
    story.before = {name: operator.kubernetes("secret", name) for name in ("platform-database", "platform-redis")}
    return story


def future() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("database",), "say exactly one of --snapshot NAME, --at TIME, --latest and --clone"),
        (("database", "--snapshot", "nope"), "stack local has no snapshot 'nope'"),
        (("database", "--snapshot", "REDIS"), "snapshot REDIS is of redis, not of database"),
        (("database", "--at", "2026-01-01T00:00:00Z"), "2026-01-01T00:00:00Z is outside what local-postgres can be"),
        (("database", "--at", future()), "is outside what local-postgres can be restored to: "),
        (("database", "--at", "yesterday"), "'yesterday' is no time: write it like 20"),
        (("database", "--at", "2026-11-24T08:00:00"), "'2026-11-24T08:00:00' has no zone"),
        (("database", "--latest", "--as", "main"), "the name is taken: database has a generation main already"),
        (("database", "--latest", "--as", "Much_Too_Long"), "'Much_Too_Long' is no key"),
        (("database", "--latest", "--as", "drill"), "'drill' is a name that `ops drill` takes, and takes down"),
        (("database", "--latest", "--as", "drill-2"), "'drill-2' is a name that `ops drill` takes, and takes down"),
        (("database", "--latest", "--from", "r9"), "stack local has no generation 'r9' of database: it has main"),
        (("redis", "--at", "2026-11-24T08:00:00Z"), "Redis is restored from snapshots alone"),
        (("redis", "--clone"), "Redis is restored from snapshots alone"),
    ],
)
def test_what_cannot_be_restored_is_one_line_and_nothing_is_written(story, arguments, says):
    filled = [each.replace("REDIS", story.snapshots["redis"]) for each in arguments]
    before = story.operator.stack_file.read_text()
    said = story.operator.ops("restore", "start", *filled, code=1).stderr
    assert said.startswith("ops: ")
    assert says.replace("REDIS", story.snapshots["redis"]) in said
    assert said.count("\n") == 1
    assert story.operator.stack_file.read_text() == before


def test_a_snapshot_of_a_newer_engine_is_refused(story):
    name, operator = story.snapshots["database"], story.operator
    operator.rewrite_account("rds", lambda tables: tables["DBClusterSnapshots"][name].update(EngineVersion="17.4"))
    try:
        assert operator.ops("restore", "start", "database", "--snapshot", name, code=1).stderr == (
            f"ops: snapshot {name} is of version 17.4, newer than the stack's 16.15: AWS never lowers a version; "
            "raise database.engineVersion first\n"
        )
    finally:
        operator.rewrite_account("rds", lambda tables: tables["DBClusterSnapshots"][name].update(EngineVersion="16.15"))


def test_a_name_that_aws_has_and_the_stack_does_not_is_taken(story):
    operator = story.operator
    operator.aws(
        *("elasticache", "create-replication-group", "--replication-group-id", "local-redis-r1"),
        *("--replication-group-description", "somebody's", "--engine", "redis", "--cache-node-type", "cache.t4g.micro"),
        *("--cache-subnet-group-name", "local-redis-subnet", "--num-cache-clusters", "1"),
    )
    assert "the name is taken: AWS has a local-redis-r1 that this stack does not know" in (
        operator.ops("restore", "start", "redis", "--latest", code=1).stderr
    )
    operator.aws("elasticache", "delete-replication-group", "--replication-group-id", "local-redis-r1")


def test_the_windows_ends_as_shown_can_be_restored_to(story):
    window = story.operator.ops_json("status")["stores"][0]["restorable"]
    for end in window.values():
        assert story.operator.ops_json("restore", "plan", "database", "--at", end)["entry"]["restore"] == {
            "generation": "main",
            "pointInTime": end,
        }


def test_plan_shows_the_edit_and_writes_nothing(story):
    before = story.operator.stack_file.read_text()
    document = story.operator.ops_json("restore", "plan", "database", "--snapshot", story.snapshots["database"])
    assert (document["generation"], document["identifier"]) == ("r1", "local-postgres-r1")
    assert f"+      r1: {{restore: {{snapshot: {story.snapshots['database']}}}}}" in document["diff"].splitlines()
    assert story.operator.stack_file.read_text() == before


def test_start_asks_and_no_is_no(story):
    before = story.operator.stack_file.read_text()
    said = story.operator.ops("restore", "start", "redis", "--latest", code=1, input="n\n").stderr
    assert "+      r1: {restore: {snapshot: " in said
    assert said.endswith(f"ops: {story.operator.stack_file.name} is as it was\n")
    assert story.operator.stack_file.read_text() == before


def test_a_snapshot_and_a_moment_are_restored_beside_the_live_stores(story):
    operator = story.operator
    operator.ops("restore", "start", "database", "--snapshot", story.snapshots["database"], "--yes")
    # The command again, as after an interrupt, is no second restore.
    assert "generation r1 of database is in the stack file and not deployed: run `pulumi up`" in (
        operator.ops("restore", "start", "database", "--snapshot", story.snapshots["database"], code=1).stderr
    )
    operator.ops("restore", "start", "database", "--at", story.moment, "--as", "r2", "--yes")
    operator.ops("restore", "start", "redis", "--snapshot", story.snapshots["redis"], "--yes")
    restored = operator.up()
    # The provider cannot send these with a restore: the program says so, and the next update does it.
    assert re.search(
        r"local-postgres-r1 is restored, with these settings still as they were in its source: .*iamDatabase", restored
    )
    assert "(local-postgres-r1) still has of its source iamDatabaseAuthenticationEnabled" in (
        operator.ops("restore", "promote", "database", "r1", code=1).stderr
    )
    operator.up()
    operator.pulumi("preview", "--expect-no-changes")
    assert story.rows() == [1, 2, 3]
    assert story.keys() == ["key 1", "key 2", "key 3"]
    now = {name: operator.kubernetes("secret", name) for name in story.before}
    assert now == story.before, "a restore beside the live store touches nobody"


@pytest.mark.parametrize(
    ("store", "key", "name", "source", "restored"),
    [
        ("database", "r1", "public.proof", "3 rows", "1 rows"),
        ("database", "r2", "public.proof", "3 rows", "2 rows"),
        ("redis", "r1", "all", "3", "1"),
    ],
)
def test_verify_looks_from_inside_the_cluster_and_tells_what_differs(story, store, key, name, source, restored):
    document = story.operator.ops_json("restore", "verify", store, key)
    assert document["structureAsExpected"] is True
    (difference,) = [each for each in document["differences"] if each["name"] == name]
    assert difference["source"].startswith(source)
    assert difference["restored"].startswith(restored)
    exact = story.operator.ops("restore", "verify", store, key, "--exact", code=3)
    assert f" is not as local-{'postgres' if store == 'database' else 'redis'}: " in exact.stderr


def test_verify_leaves_neither_job_nor_secret_behind(story):
    left = [
        each["metadata"]["name"] for kind in ("jobs", "secrets") for each in story.operator.kubernetes(kind)["items"]
    ]
    assert [name for name in left if name.startswith("ops-")] == []


@pytest.mark.parametrize("store", ["database", "redis"])
def test_a_server_that_another_authority_vouches_for_is_not_asked(story, store, tmp_path, monkeypatch):
    other = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setitem(story.operator.environment, "MEETINITY_CA_BUNDLE", str(other))
    said = story.operator.ops("restore", "verify", store, "r1", code=1).stderr
    assert "certificate verify failed" in said


def test_a_missing_table_is_a_finding(story):
    story.execute("CREATE TABLE written_since (n int)")
    said = story.operator.ops("restore", "verify", "database", "r2", code=3).stderr
    assert "table public.written_since: missing instead of 0 rows, checksum 0" in said
    story.execute("DROP TABLE written_since")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("promote", "database", "main"), "database generation main (local-postgres) serves already"),
        (("promote", "database", "r9"), "has no generation 'r9' of database: it has main, r1, r2"),
        (("retire", "database", "main"), "database generation main (local-postgres) serves: promote another"),
        (("verify", "database", "main"), "database generation main (local-postgres) would be compared with itself"),
    ],
)
def test_steps_out_of_order_are_refused(story, command, says):
    assert says in story.operator.ops("restore", *command, code=1).stderr


def test_promotion_moves_the_secret_in_place_and_migrates_the_new_one(story):
    operator = story.operator
    jobs = {job["metadata"]["name"] for job in operator.kubernetes("jobs")["items"]}
    operator.ops("restore", "promote", "database", "r2", "--yes")
    assert "(local-postgres-r2) serves after the next `pulumi up`" in (
        operator.ops("restore", "retire", "database", "r2", code=1).stderr
    )
    output = operator.up()
    assert story.rows() == [1, 2], "an application that only knows the Secret reads the rows of that moment"
    now = {name: operator.kubernetes("secret", name) for name in story.before}
    before = story.before["platform-database"]["metadata"]
    moved = now["platform-database"]["metadata"]
    assert moved["uid"] == before["uid"], "there was no moment without a Secret"
    assert moved["annotations"]["meetinity.io/checksum"] != before["annotations"]["meetinity.io/checksum"]
    assert now["platform-redis"]["metadata"]["annotations"] == story.before["platform-redis"]["metadata"]["annotations"]
    values = json.loads(operator.run("pulumi", "stack", "output", "--json", "helm_values"))["global"]
    assert values["database"]["secretChecksum"] == moved["annotations"]["meetinity.io/checksum"]
    migrated = {job["metadata"]["name"] for job in operator.kubernetes("jobs")["items"]} - jobs
    assert len(migrated) == 1
    assert "migration example-service: the database is at revision" in output
    assert f"Job {NAMESPACE}/{migrated.pop()}" in output
    operator.pulumi("preview", "--expect-no-changes")


def test_the_spent_restore_can_be_taken_out_with_no_diff(story):
    operator = story.operator
    before = operator.stack_file.read_text()
    without = re.sub(r"( r[12]:) \{restore: .*\}$", r"\1 {}", before, flags=re.MULTILINE)
    assert without.count("{}") > before.count("{}")
    operator.stack_file.write_text(without)
    operator.pulumi("preview", "--expect-no-changes")


def test_retiring_takes_two_updates_and_leaves_a_final_snapshot(story):
    operator = story.operator
    before = operator.stack_file.read_text()
    mistaken = operator.ops("restore", "retire", "database", "main", "--confirm", "local-postgres-r1", code=1).stderr
    assert mistaken == "ops: 'local-postgres-r1' is not local-postgres. Nothing was written\n"
    assert operator.stack_file.read_text() == before
    document = operator.ops_json("restore", "retire", "database", "main", "--confirm", "local-postgres")
    assert (document["identifier"], document["becomes"]) == ("local-postgres", "unprotected")
    assert "is retiring in the stack file: run `pulumi up`, then this once more" in (
        operator.ops("restore", "retire", "database", "main", "--confirm", "local-postgres", code=1).stderr
    )
    operator.up()
    # A restore that has yet to happen needs it: without it the new generation would be an empty cluster.
    operator.ops("restore", "start", "database", "--latest", "--from", "main", "--as", "r3", "--yes")
    awaited = operator.ops("restore", "retire", "database", "main", "--confirm", "local-postgres", code=1).stderr
    assert "generation r3 of database is restored from database generation main (local-postgres) by the next" in awaited
    operator.ops("restore", "retire", "database", "r3", "--confirm", "local-postgres-r3")
    refused = operator.ops("restore", "retire", "database", "main", code=1, input="local-postgres-r2\n").stderr
    assert refused.endswith("ops: 'local-postgres-r2' is not local-postgres. Nothing was written\n")
    operator.ops("restore", "retire", "database", "main", input="local-postgres\n")
    for step in (("promote", "database", "main"), ("retire", "database", "main", "--confirm", "local-postgres")):
        assert "is taken out of the stack file" in operator.ops("restore", *step, code=1).stderr
    operator.up()
    standing = {each["identifier"] for each in operator.ops_json("status")["stores"] if each["store"] == "database"}
    assert standing == {"local-postgres-r1", "local-postgres-r2"}
    snapshots = {each["name"]: each for each in operator.ops_json("snapshot", "list")["snapshots"]}
    (final,) = [name for name in snapshots if name.startswith("local-postgres-final-")]
    assert snapshots[final]["generation"] == "retired"
    assert story.rows() == [1, 2]
    operator.pulumi("preview", "--expect-no-changes")


def test_redis_goes_the_same_way_with_keys_for_rows(story):
    operator = story.operator
    document = operator.ops_json("restore", "promote", "redis", "r1", "--yes")
    assert (document["generation"], document["replaces"]) == ("r1", "main")
    operator.up()
    assert story.keys() == ["key 1"]
    for _ in range(2):
        operator.ops("restore", "retire", "redis", "main", "--confirm", "local-redis")
        operator.up()
    assert story.keys() == ["key 1"]
    assert any(
        each["name"].startswith("local-redis-final-") for each in operator.ops_json("snapshot", "list")["snapshots"]
    )
    operator.pulumi("preview", "--expect-no-changes")


def test_the_final_snapshot_brings_back_what_was_retired(story):
    """The row and key that only the retired stores had: nothing is lost at any step."""
    operator = story.operator
    snapshots = [each["name"] for each in operator.ops_json("snapshot", "list")["snapshots"]]
    for store in ("database", "redis"):
        final = next(
            name for name in snapshots if name.startswith(f"local-{'postgres' if store == 'database' else store}-final")
        )
        operator.ops("restore", "start", store, "--snapshot", final, "--as", "back", "--yes")
    assert "Run `pulumi up` once more" in operator.up()
    operator.up()
    for store in ("database", "redis"):
        operator.ops("restore", "promote", store, "back", "--yes")
    operator.up()
    assert story.rows() == [1, 2, 3]
    assert story.keys() == ["key 1", "key 2", "key 3"]
