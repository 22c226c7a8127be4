"""The operators' commands in a sandbox of their own, as a person runs them: one story, told in order."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys

import pytest

from sandbox.instance import CHECKOUT
from tests.sandbox.operator import Operator

STORES = {"database": "local-postgres", "redis": "local-redis"}


def test_before_the_first_up_it_says_what_to_do(operator):
    said = operator.ops("status", code=1).stderr
    assert said.startswith("ops: nothing is deployed in stack local. If it never was: `pulumi up`.")
    assert len(said.splitlines()) == 1


def test_status_tells_of_both_stores_without_a_name_typed(operator):
    operator.up()
    document = operator.ops_json("status")
    assert (document["stack"], document["environment"]) == ("local", "local")
    database, redis = document["stores"]
    for store, described in (("database", database), ("redis", redis)):
        assert {
            "store": store,
            "generation": "main",
            "serving": True,
            "identifier": STORES[store],
            "state": "available",
            "retentionDays": 7,
        }.items() <= described.items()
    # Whichever instance came first writes.
    assert {each["identifier"] for each in database["members"]} == {"local-postgres-1", "local-postgres-2"}
    assert sorted(each["role"] for each in database["members"]) == ["reader", "writer"]
    assert [(each["identifier"], each["role"]) for each in redis["members"]] == [
        ("local-redis-001", "primary"),
        ("local-redis-002", "replica"),
    ]
    # Aurora's first automated backup comes with the first instance, ElastiCache's in its window.
    assert database["lastBackup"]["name"].startswith("rds:local-postgres-")
    assert redis["lastBackup"] is None
    assert database["restorable"]["from"] <= database["restorable"]["to"]
    assert database["insights"] == {"performanceInsights": True, "retentionDays": 7, "databaseInsights": "standard"}
    assert database["deletionProtection"] is True


def test_tables_go_to_stdout_whole_and_nothing_else_does(operator):
    shown = operator.ops("status")
    assert shown.stderr == ""
    assert re.search(r"database +main \(serves\) +local-postgres +aurora-postgresql 16\.15 +available", shown.stdout)
    assert "\x1b" not in shown.stdout


@pytest.mark.parametrize("store", STORES)
def test_a_snapshot_is_named_after_the_store_and_the_time_and_carries_its_tags(operator, store):
    done = operator.ops("snapshot", "create", store, "--json")
    document = json.loads(done.stdout)
    name = document["name"]
    assert re.fullmatch(rf"{STORES[store]}-\d{{8}}-\d{{6}}", name)
    assert (document["state"], document["kind"], document["expiresAt"]) == ("available", "manual", None)
    assert f"snapshot {name} of {store} generation main ({STORES[store]}) has begun" in done.stderr
    arn = f"arn:aws:rds:eu-west-1:123456789012:cluster-snapshot:{name}"
    if store == "redis":
        arn = f"arn:aws:elasticache:eu-west-1:123456789012:snapshot:{name}"
        tags = operator.aws("elasticache", "list-tags-for-resource", "--resource-name", arn)["TagList"]
    else:
        tags = operator.aws("rds", "list-tags-for-resource", "--resource-name", arn)["TagList"]
    expected = {"Environment": "local", "Project": "meetinity", "Name": name}
    assert expected.items() <= {each["Key"]: each["Value"] for each in tags}.items()


def names(operator: Operator) -> set[str]:
    return {each["name"] for each in operator.ops_json("snapshot", "list")["snapshots"]}


def test_status_and_backups_show_the_new_points(operator):
    points = {each["store"]: each for each in operator.ops_json("backups")["points"] if each["kind"] == "manual"}
    assert set(points) == set(STORES)
    for described in operator.ops_json("status")["stores"]:
        newest = points[described["store"]]
        assert described["lastBackup"] == {"name": newest["name"], "takenAt": newest["takenAt"]}


def test_no_wait_returns_and_wait_waits(operator):
    name = json.loads(operator.ops("snapshot", "create", "redis", "--no-wait", "--json").stdout)["name"]
    assert f"snapshot {name} is available after" in operator.ops("snapshot", "wait", name).stderr


def test_a_snapshot_that_is_being_made_has_no_time_yet(operator):
    """As ElastiCache tells of it; in the sandbox each is made at once."""
    name = operator.ops_json("snapshot", "create", "redis")["name"]
    taken: list[dict] = []

    def being_made(tables: dict) -> None:
        row = tables["Snapshots"][name]
        taken.extend(dict(node) for node in row["NodeSnapshots"])
        row["SnapshotStatus"] = "creating"
        for node in row["NodeSnapshots"]:
            del node["SnapshotCreateTime"]

    operator.rewrite_account("elasticache", being_made)
    try:
        operator.ops("status")
        (point,) = [each for each in operator.ops_json("backups")["points"] if each["name"] == name]
        assert (point["state"], point["takenAt"], point["age"]) == ("creating", None, None)
        refused = operator.ops("restore", "plan", "redis", "--snapshot", name, code=1).stderr
        assert refused == f"ops: snapshot {name} is creating: `python -m ops snapshot wait {name}`\n"
    finally:
        operator.rewrite_account(
            "elasticache",
            lambda tables: tables["Snapshots"][name].update(SnapshotStatus="available", NodeSnapshots=taken),
        )


@pytest.mark.parametrize("store", STORES)
def test_deleting_asks_for_the_name_of_the_store(operator, store):
    name = next(each for each in names(operator) if each.startswith(STORES[store]))
    refused = operator.ops("snapshot", "delete", name, code=1, input="meetinity\n")
    assert refused.stderr.endswith(
        f"ops: 'meetinity' is not the store that {name} was taken of ({STORES[store]}). Nothing was deleted\n"
    )
    assert name in names(operator)
    operator.ops("snapshot", "delete", name, input=f"{STORES[store]}\n")
    assert name not in names(operator)


@pytest.mark.parametrize("command", [("wait", "nope"), ("delete", "nope")])
def test_an_unknown_snapshot_is_one_line(operator, command):
    assert operator.ops("snapshot", *command, code=1).stderr == (
        "ops: stack local has no snapshot 'nope': `python -m ops backups` lists what there is\n"
    )


def test_a_generation_that_is_not_there_is_one_line(operator):
    assert operator.ops("snapshot", "create", "database", "--generation", "r9", code=1).stderr == (
        "ops: stack local has no generation 'r9' of database: it has main\n"
    )


def test_retention_below_the_policys_floor_is_a_finding(operator):
    """Changed behind the stack's back, as somebody in the console would."""
    arguments = ("--db-cluster-identifier", "local-postgres", "--apply-immediately", "--backup-retention-period")
    operator.aws("rds", "modify-db-cluster", *arguments, "3")
    try:
        found = operator.ops("backups", code=3)
        assert found.stderr == ("ops: local-postgres keeps backups for 3 days; the policy's floor is 7\n")
    finally:
        operator.aws("rds", "modify-db-cluster", *arguments, "7")


def test_a_store_that_was_deleted_by_hand_is_missing(operator):
    operator.aws("elasticache", "delete-replication-group", "--replication-group-id", "local-redis")
    assert operator.ops("status", code=3).stderr == "ops: redis local-redis is missing\n"
    operator.up("--refresh")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "ops: AWS was not reached: Could not connect to the endpoint URL"),
        ({"PATH": "/nowhere"}, "ops: there is no `pulumi` on the PATH: install it, or `source sandbox/activate`"),
        ({"PULUMI_STACK": "nope"}, "ops: `pulumi stack --show-name` failed: no stack "),
    ],
)
def test_what_is_in_the_way_is_one_line(operator, changed, says, monkeypatch):
    monkeypatch.setattr(operator, "environment", {**operator.environment, **changed})
    said = operator.ops("status", code=1).stderr
    assert said.startswith(says)
    assert said.count("\n") == 1


def test_an_interrupt_says_so_and_leaves_aws_alone(operator):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(
            [sys.executable, "-m", "ops", "status"],
            cwd=operator.directory,
            env={**operator.environment, "PYTHONPATH": str(CHECKOUT), "AWS_ENDPOINT_URL": endpoint},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        ) as process:
            silent.settimeout(60)
            connection, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == "ops: interrupted; nothing that AWS has begun was undone\n"
            connection.close()
    assert process.returncode == 130
