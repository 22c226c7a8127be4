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
