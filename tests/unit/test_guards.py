"""What the guards refuse, and what they let pass. That the engine asks them in preview is shown in the sandbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from components import guards
from components.aurora import left_by_restore
from components.guards import DATABASE_CHANGES, REDIS_CHANGES, GuardError, Lost

DATABASE = {
    "identifier": "prod-postgres", "databaseName": "meetinity", "masterUsername": "meetinity_app",
    "engineVersion": "16.15", "backupRetentionPeriod": 14.0,
}  # fmt: skip
REDIS = {
    "identifier": "prod-redis", "port": 6379.0, "engine": "redis", "engineVersion": "7.1",
    "atRestEncryptionEnabled": True, "transitEncryptionEnabled": True, "snapshotRetentionLimit": 7.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("section", "change", "refused"),
    [
        ("database", {"identifier": "prod-pg"}, "database.name goes from prod-postgres to prod-pg, which replaces"),
        ("database", {"databaseName": "other"}, "database.dbName goes from meetinity to other, which replaces"),
        ("database", {"masterUsername": "root"}, "database.masterUsername goes from meetinity_app to root"),
        ("database", {"kmsKeyId": "key"}, "database.kmsKeyId goes from nothing to key, which replaces"),
        ("database", {"engineVersion": "16.14"}, "database.engineVersion goes from 16.15 to 16.14, which is refused"),
        ("database", {"engineVersion": "15.18"}, "database.engineVersion goes from 16.15 to 15.18"),
        ("database", {"engineVersion": "16"}, None),
        ("database", {"engineVersion": "17.4"}, None),
        ("database", {"backupRetentionPeriod": 35}, None),
        ("redis", {"identifier": "prod-cache"}, "redis.name goes from prod-redis to prod-cache"),
        ("redis", {"port": 6380}, "redis.port goes from 6379 to 6380, which replaces"),
        ("redis", {"atRestEncryptionEnabled": False}, "redis.atRestEncryptionEnabled goes from True to False"),
        ("redis", {"kmsKeyId": "key"}, "redis.kmsKeyId goes from nothing to key"),
        ("redis", {"transitEncryptionEnabled": False}, "redis.transitEncryptionEnabled goes from True to False"),
        ("redis", {"engineVersion": "7.0"}, "redis.engineVersion goes from 7.1 to 7.0, which replaces"),
        ("redis", {"engine": "valkey", "engineVersion": "7.2"}, None),
        ("redis", {"engine": "valkey", "engineVersion": "7.0"}, None),
    ],
)
def test_a_change_that_loses_the_store_is_refused_unless_it_is_acknowledged(section, change, refused):
    old, changes = (DATABASE, DATABASE_CHANGES) if section == "database" else (REDIS, REDIS_CHANGES)

    def found(accepted=()):
        return guards.losing_changes(section, changes, old, {**old, **change}, accepted)

    if refused is None:
        assert found() == []
        return
    (message,) = found()
    assert message.startswith(f"{old['identifier']}: {refused}")
    key = refused.split()[0].partition(".")[2]
    assert f"{{change: {section}.{key}, until: " in message
    assert found({key}) == []
    assert found({"another"}) == [message]


def test_what_an_earlier_version_did_not_record_is_no_change():
    before = {key: value for key, value in REDIS.items() if key != "transitEncryptionEnabled"}
    assert guards.losing_changes("redis", REDIS_CHANGES, before, REDIS, ()) == []


@pytest.mark.parametrize(
    ("before", "after", "allowed", "refused"),
    [
        ("16.15", "17.4", False, True),
        ("16.15", "17.4", True, False),
        ("16.14", "16.15", False, False),
        ("16.15", "15.18", False, False),  # refused as a lower version
        (None, "17.4", False, False),
    ],
)
def test_a_major_upgrade_that_nobody_allowed_is_refused_before_its_groups_are_made(before, after, allowed, refused):
    old, new = {**DATABASE, "engineVersion": before}, {**DATABASE, "engineVersion": after}
    found = guards.major_upgrade_unasked(old, new, allowed=allowed)
    assert bool(found) is refused
    assert not refused or "16.15 to 17.4, a major upgrade, which AWS refuses unless" in found[0]


def test_valkey_back_to_redis_is_refused_once_and_not_as_a_version():
    old = {**REDIS, "engine": "valkey", "engineVersion": "8.2"}
    (message,) = guards.losing_changes("redis", REDIS_CHANGES, old, REDIS, ())
    assert "redis.engine goes from valkey to redis" in message


def test_a_stack_from_before_the_guards_has_nothing_to_compare():
    assert guards.losing_changes("database", DATABASE_CHANGES, {}, DATABASE, ()) == []
    assert guards.retention_shrinks("database", "backupRetentionPeriod", {}, DATABASE, (), _never) == []
    assert guards.serving_removed({}, {"database": ["x"]}, {"database": ()}) == []


def _never(identifier: str, moment: datetime) -> list[Lost]:
    raise AssertionError("AWS was asked for nothing")


def _points(identifier: str, moment: datetime) -> list[Lost]:
    assert identifier == "prod-postgres"
    assert abs(datetime.now(UTC) - timedelta(days=7) - moment) < timedelta(minutes=1)
    return [Lost("newer", moment), Lost("older", moment - timedelta(days=1))]


@pytest.mark.parametrize(
    ("days", "accepted", "lost", "expected"),
    [
        (14.0, (), _never, []),
        (15.0, (), _never, []),
        (7.0, ("backupRetentionPeriod",), _never, []),
        (7.0, (), lambda *_: [], []),
        (
            7.0,
            (),
            _points,
            [
                "prod-postgres: database.backupRetentionPeriod goes from 14 to 7 days, and AWS would delete these "
                "recovery points:",
                "  older",
                "  newer",
            ],
        ),
    ],
)
def test_a_retention_may_shrink_only_where_nothing_is_lost(days, accepted, lost, expected):
    new = {**DATABASE, "backupRetentionPeriod": days}
    found = guards.retention_shrinks("database", "backupRetentionPeriod", DATABASE, new, accepted, lost)
    assert [line for each in found for line in each.splitlines()[:-1]] == expected


NOW = datetime.now(UTC)


class Aws:
    """Answers as RDS and ElastiCache do; `error` instead, if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def __call__(self, service: str) -> Aws:
        return self

    def describe_db_clusters(self, **_: object) -> dict[str, object]:
        if self.error:
            raise self.error
        return {"DBClusters": [{"EarliestRestorableTime": NOW - timedelta(days=14)}]}

    def get_paginator(self, operation: str) -> Aws:
        self.operation = operation
        return self

    def paginate(self, **_: object) -> list[dict[str, object]]:
        if self.error:
            raise self.error
        ages = (1, 6, 8, 13)
        if self.operation == "describe_db_cluster_snapshots":
            rows = [
                {"DBClusterSnapshotIdentifier": f"rds:{age}", "SnapshotCreateTime": NOW - timedelta(days=age)}
                for age in ages
            ]
            # The last of them is being made.
            return [{"DBClusterSnapshots": [*rows, {"DBClusterSnapshotIdentifier": "rds:0"}]}]
        groups = [
            *(("prod-redis", age, "automated") for age in ages),
            ("other", 9, "automated"),
            ("prod-redis", 30, "manual"),
        ]
        return [
            {
                "Snapshots": [
                    {
                        "SnapshotName": f"automatic.{group}-{age}",
                        "ReplicationGroupId": group,
                        "SnapshotSource": source,
                        "NodeSnapshots": [{"SnapshotCreateTime": NOW - timedelta(days=age)}],
                    }
                    for group, age, source in groups
                ]
                + [
                    {
                        "SnapshotName": "automatic.prod-redis-0",
                        "ReplicationGroupId": "prod-redis",
                        "SnapshotSource": "automated",
                        "NodeSnapshots": [{"CacheNodeId": "0001"}],
                    }
                ]
            }
        ]


def test_what_would_be_lost_is_what_is_older_than_the_new_retention(monkeypatch):
    monkeypatch.setattr(guards, "_aws", Aws())
    moment = NOW - timedelta(days=7)
    assert [each.what.split()[:2] for each in guards.lost_of_cluster("prod-postgres", moment)] == [
        ["snapshot", "rds:8"],
        ["snapshot", "rds:13"],
        ["every", "moment"],
    ]
    assert [each.what.split()[1] for each in guards.lost_of_group("prod-redis", moment)] == [
        "automatic.prod-redis-8",
        "automatic.prod-redis-13",
    ]


@pytest.mark.parametrize("ask", [guards.lost_of_cluster, guards.lost_of_group])
def test_where_aws_does_not_answer_the_change_is_refused(monkeypatch, ask):
    from botocore.exceptions import NoCredentialsError

    monkeypatch.setattr(guards, "_aws", Aws(NoCredentialsError()))
    with pytest.raises(GuardError, match="AWS did not say which recovery points that would delete"):
        ask("prod-postgres", NOW)


@pytest.mark.parametrize(
    ("standing", "accepted", "refused"),
    [
        (["prod-postgres", "prod-postgres-r1"], (), False),
        (["prod-postgres-r1"], (), True),
        (["prod-postgres-r1"], ("serving",), False),
        (["prod-pg"], ("name",), False),  # the cluster's own guard has spoken
    ],
)
def test_what_serves_until_this_update_may_not_go_in_it(standing, accepted, refused):
    found = guards.serving_removed(
        {"serving": {"database": "prod-postgres", "redis": "prod-redis"}},
        {"database": standing, "redis": ["prod-redis"]},
        {"database": accepted, "redis": ()},
    )
    assert [each.split(",")[0] for each in found] == ["prod-postgres serves until this update"] * refused


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ({"iamDatabaseAuthenticationEnabled": True, "databaseInsightsMode": "standard"}, []),
        (
            {"iamDatabaseAuthenticationEnabled": False, "databaseInsightsMode": "standard"},
            ["iamDatabaseAuthenticationEnabled"],
        ),
        ({}, ["iamDatabaseAuthenticationEnabled", "databaseInsightsMode"]),
    ],
)
def test_what_a_restore_left_is_named(found, left):
    wanted = {"iamDatabaseAuthenticationEnabled": True, "databaseInsightsMode": "standard", "port": 5432}
    assert left_by_restore(wanted, found) == left
