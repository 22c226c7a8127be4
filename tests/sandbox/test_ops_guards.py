"""What the guards stop, asked of the real engine: in preview, before anything was changed, and again in `up`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.sandbox.operator import Operator

KEY = "arn:aws:kms:eu-west-1:123456789012:key/00000000-aaaa-4bbb-8ccc-dddddddddddd"
Config = dict[str, Any]


@pytest.fixture(scope="module")
def deployed(operator) -> Operator:
    operator.up()
    return operator


@pytest.fixture
def edited(deployed) -> Iterator[Callable[[Config], None]]:
    """Sections of the stack file for one test."""
    before = deployed.stack_file.read_text()
    yield lambda sections: deployed.configure(lambda config: config.update(sections))
    deployed.stack_file.write_text(before)


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"database": {"name": "pg"}}, "database.name goes from local-postgres to local-pg, which replaces the store"),
        ({"database": {"dbName": "other"}}, "database.dbName goes from meetinity to other, which replaces the store"),
        ({"database": {"engineVersion": "16.14"}}, "database.engineVersion goes from 16.15 to 16.14, which is refused"),
        ({"database": {"kmsKeyId": KEY}}, "database.kmsKeyId goes from nothing to arn:aws:kms"),
        # Lifting the protection in the same update is the way round Pulumi's own.
        ({"database": {"deletionProtection": False, "name": "pg"}}, "database.name goes from local-postgres"),
        ({"redis": {"name": "cache"}}, "redis.name goes from local-redis to local-cache, which replaces the store"),
        ({"redis": {"engineVersion": "7.0"}}, "redis.engineVersion goes from 7.1 to 7.0, which replaces the store"),
        (
            {"database": {"deletionProtection": False, "serving": "new", "generations": {"new": {}}}},
            "local-postgres serves until this update, and this update would delete it",
        ),
        (
            {"redis": {"serving": "new", "generations": {"new": {}}}},
            "local-redis serves until this update, and this update would delete it",
        ),
        ({"database": {"generations": {"new": {}}}}, "meetinity-data:database.serving: received"),
    ],
)
def test_losing_a_store_is_refused_in_preview(deployed, edited, sections, says):
    edited(sections)
    assert says in deployed.pulumi("preview", check=False)
    assert deployed.code != 0


def test_and_refused_in_up_with_nothing_changed(deployed, edited):
    before = deployed.aws("rds", "describe-db-clusters")
    edited({"database": {"deletionProtection": False, "name": "pg"}})
    assert "database.name goes from local-postgres to local-pg" in deployed.up(check=False)
    after = deployed.aws("rds", "describe-db-clusters")
    for clusters in (before, after):
        for each in clusters["DBClusters"]:
            del each["LatestRestorableTime"]
    assert before == after


def aged(row: dict[str, Any], days: int) -> str:
    """The row's time of creation, that many days earlier."""
    row["SnapshotCreateTime"] = (datetime.fromisoformat(row["SnapshotCreateTime"]) - timedelta(days=days)).isoformat()
    return str(row["SnapshotCreateTime"])


def test_a_retention_may_not_shrink_below_what_there_is(deployed, edited):
    """From 14 to 7 days with a recovery point between: it is shown, and the update refused until it is meant."""
    edited({"database": {"backupRetentionPeriod": 14}, "redis": {"snapshotRetentionLimit": 14}})
    deployed.up()
    redis = deployed.ops_json("snapshot", "create", "redis")["name"]

    def ten_days_ago(tables: dict[str, Any]) -> None:
        for row in tables["DBClusterSnapshots"].values():
            if row["DBClusterIdentifier"] == "local-postgres":
                aged(row, 10)

    def as_automatic(tables: dict[str, Any]) -> None:
        row = tables["Snapshots"][redis]
        row["SnapshotSource"] = "automated"
        for node in row["NodeSnapshots"]:
            aged(node, 10)

    deployed.rewrite_account("rds", ten_days_ago)
    deployed.rewrite_account("elasticache", as_automatic)
    points = [
        each
        for each in deployed.ops_json("backups")["points"]
        if each["kind"] == "automated" and each["generation"] == "main"
    ]
    assert {each["store"] for each in points} == {"database", "redis"}

    shorter = {"database": {"backupRetentionPeriod": 7}, "redis": {"snapshotRetentionLimit": 7}}
    for section in shorter:
        edited({section: shorter[section]})
        refused = deployed.pulumi("preview", check=False)
        (setting,) = shorter[section]
        assert f"{section}.{setting} goes from 14 to 7 days, and AWS would delete these recovery points:" in refused
        for each in points:
            assert (f"snapshot {each['name']} of {each['takenAt']}" in refused) == (each["store"] == section)
        assert ("every moment from" in refused) == (section == "database")
        edited({section: {setting: 11}})
        deployed.pulumi("preview")  # nothing is older than that

    edited(
        {
            **shorter,
            "acknowledged": [
                {"change": "database.backupRetentionPeriod", "until": soon(), "reason": "a test"},
                {"change": "redis.snapshotRetentionLimit", "until": soon(), "reason": "a test"},
            ],
        }
    )
    deployed.up()
    assert [each["retentionDays"] for each in deployed.ops_json("status")["stores"]] == [7, 7]


def test_an_acknowledged_change_is_only_protections_to_refuse(deployed, edited):
    edited(
        {
            "redis": {"name": "cache"},
            "acknowledged": [{"change": "redis.name", "until": "2026-11-01", "reason": "a test"}],
        }
    )
    assert "redis.name goes from local-redis to local-cache" in deployed.pulumi("preview", check=False)
    deployed.configure(lambda config: config["acknowledged"][0].update(until=soon()))
    refused = deployed.pulumi("preview", check=False)
    assert "redis.name goes" not in refused
    assert "marked for protection" in refused or "protected" in refused
    assert deployed.code != 0


def soon() -> str:
    return (datetime.now(UTC).date() + timedelta(days=2)).isoformat()


def test_a_stack_that_changes_nothing_asks_aws_for_nothing_and_passes(deployed):
    deployed.pulumi("preview", "--expect-no-changes")
