"""Both serving stores deleted behind the stack's back: they come back from their snapshots, under code control."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import redis

from sandbox import lifecycle
from sandbox.progress import Progress
from tests.sandbox.conftest import own
from tests.sandbox.operator import Operator

STORES = {"database": "local-postgres", "redis": "local-redis"}


@pytest.fixture(scope="module")
def lost() -> Iterator[Operator]:
    with own("test-lost-store") as instance:
        operator = Operator(instance, lifecycle.environment(instance, lifecycle.up(instance, Progress())))
        operator.up()
        with psycopg.connect(operator.secret("platform-database")["DATABASE_URL"]) as connection:
            connection.execute("CREATE TABLE proof (n int)")
            connection.execute("INSERT INTO proof VALUES (1)")
        cache(operator).set("key", 1)
        for store in STORES:
            operator.ops("snapshot", "create", store)
        delete(operator)
        yield operator


def delete(operator: Operator) -> None:
    """Both stores, as somebody with too many rights would."""
    operator.aws("rds", "modify-db-cluster", "--db-cluster-identifier", "local-postgres", "--no-deletion-protection")
    for number in (1, 2):
        operator.aws("rds", "delete-db-instance", "--db-instance-identifier", f"local-postgres-{number}")
    deletion = ("--skip-final-snapshot", "--no-delete-automated-backups")
    operator.aws("rds", "delete-db-cluster", "--db-cluster-identifier", "local-postgres", *deletion)
    operator.aws("elasticache", "delete-replication-group", "--replication-group-id", "local-redis")


def cache(operator: Operator) -> redis.Redis:
    url = operator.secret("platform-redis")["REDIS_URL"]
    return redis.Redis.from_url(url, ssl_ca_certs=str(operator.instance.ca_certificate))


def test_backups_say_that_they_are_missing_and_what_there_is_of_them(lost):
    document = lost.ops_json("backups", code=3)
    assert [each["gaps"] for each in document["stores"]] == [[f"{name} is missing in AWS"] for name in STORES.values()]
    kinds = {(each["store"], each["kind"]): each for each in document["points"]}
    assert {*kinds} == {*(("database", kind) for kind in ("manual", "automated", "retained")), ("redis", "manual")}
    assert kinds["database", "automated"]["expiresAt"], "an automated snapshot outlives its cluster, for a time"


@pytest.mark.parametrize("how", [("--latest",), ("--clone",), ("--at", "2026-11-24T08:00:00Z")])
def test_what_is_gone_is_no_source(lost, how):
    assert lost.ops("restore", "start", "database", *how, code=1).stderr == (
        "ops: AWS has no local-postgres: restore from a snapshot (`python -m ops backups` lists them)\n"
    )


def test_they_are_restored_from_their_snapshots_and_serve(lost):
    for store, name in STORES.items():
        (point,) = [each["name"] for each in lost.ops_json("snapshot", "list", "--store", store)["snapshots"]]
        document = lost.ops_json("restore", "start", store, "--snapshot", point, "--yes")
        assert document["notes"] == [
            f"AWS has no {name}: the snapshot is held against what the stack has recorded of it"
        ]
    lost.up()
    lost.up()
    for store, name in STORES.items():
        document = lost.ops_json("restore", "promote", store, "r1", "--yes")
        assert document["next"].startswith(f"pulumi up --refresh, which makes {name} anew and empty, roll the services")
    lost.up("--refresh")
    with psycopg.connect(lost.secret("platform-database")["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT n FROM proof").fetchall() == [(1,)]
    assert cache(lost).get("key") == b"1"


def test_and_what_was_made_anew_is_retired_like_any_other(lost):
    for _ in range(2):
        for store, name in STORES.items():
            lost.ops("restore", "retire", store, "main", "--confirm", name)
        lost.up()
    lost.pulumi("preview", "--expect-no-changes")
    assert {each["generation"] for each in lost.ops_json("status")["stores"]} == {"r1"}
