"""A drill on the local stack: restored, verified, measured, and nothing of it left."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.instance import CHECKOUT
from tests.sandbox.conftest import eventually
from tests.sandbox.operator import Operator


@pytest.fixture(scope="module")
def deployed(operator) -> Operator:
    operator.up()
    operator.ops("snapshot", "create", "redis")
    return operator


def clusters(operator: Operator) -> set[str]:
    found = {each["DBClusterIdentifier"] for each in operator.aws("rds", "describe-db-clusters")["DBClusters"]}
    groups = operator.aws("elasticache", "describe-replication-groups")["ReplicationGroups"]
    return found | {each["ReplicationGroupId"] for each in groups}


def snapshots(operator: Operator) -> set[str]:
    """Every recovery point: automated ones of a deleted cluster are kept, unless somebody sees to them."""
    return {each["name"] for each in operator.ops_json("backups")["points"]}


def test_a_drill_measures_a_restore_and_leaves_nothing(deployed, tmp_path):
    before = (deployed.stack_file.read_text(), clusters(deployed), snapshots(deployed))
    report = tmp_path / "drill.json"
    document = json.loads(deployed.ops("drill", "--yes", "--json", "--report", str(report), timeout=600).stdout)
    assert json.loads(report.read_text()) == document
    for each, store in zip(document["drills"], ("database", "redis"), strict=True):
        assert (each["store"], each["outcome"], each["wrong"]) == (store, "restored", [])
        assert each["recoveryTimeSeconds"] > 1
        assert each["recoveryPointSeconds"] >= 0
    assert (deployed.stack_file.read_text(), clusters(deployed), snapshots(deployed)) == before
    deployed.pulumi("preview", "--expect-no-changes")
    metrics = deployed.aws("cloudwatch", "list-metrics", "--namespace", "Meetinity/Data")["Metrics"]
    assert {(each["MetricName"], each["Dimensions"][1]["Value"]) for each in metrics} == {
        (name, store)
        for name in ("DrillRecoveryTime", "DrillRecoveryPoint", "DrillSucceeded")
        for store in ("database", "redis")
    }


def test_a_generation_that_no_drill_made_is_left_alone_and_the_other_store_drilled(deployed, tmp_path):
    """A drill that fails has a report and a figure, too."""
    before, report = deployed.stack_file.read_text(), tmp_path / "drill.json"

    def with_ours(config: dict[str, Any]) -> None:
        config.setdefault("redis", {}).setdefault("generations", {"main": {}})["drill"] = {}

    deployed.configure(with_ours)
    ours = deployed.stack_file.read_text()
    try:
        failed = deployed.ops("drill", "redis", "database", "--yes", "--report", str(report), code=1, timeout=600)
        assert deployed.stack_file.read_text() == ours
    finally:
        deployed.stack_file.write_text(before)
    assert "ops: the drill failed: redis: generation drill of redis was not made by a drill" in failed.stderr
    assert [(each["store"], each["outcome"]) for each in json.loads(report.read_text())["drills"]] == [
        ("redis", "failed"),
        ("database", "restored"),
    ]
    dimensions = ("--dimensions", "Name=Environment,Value=local", "Name=Store,Value=redis")
    now = datetime.now(UTC)
    figures = deployed.aws(
        *("cloudwatch", "get-metric-statistics", "--namespace", "Meetinity/Data", "--metric-name", "DrillSucceeded"),
        *(*dimensions, "--period", "3600", "--statistics", "Minimum"),
        *("--start-time", (now - timedelta(hours=2)).isoformat(), "--end-time", (now + timedelta(hours=1)).isoformat()),
    )
    assert min(each["Minimum"] for each in figures["Datapoints"]) == 0


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_restored(deployed):
    refused = deployed.ops("drill", "--yes", "--report", "nowhere/drill.json", code=1).stderr
    assert refused == "ops: --report nowhere/drill.json: there is no directory nowhere\n"


def test_of_two_drills_at_once_the_second_is_told(deployed):
    directory = os.open(deployed.directory, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    try:
        refused = deployed.ops("drill", "--yes", code=1).stderr
    finally:
        os.close(directory)
    assert refused == "ops: another drill of this checkout is at work: wait for it to end\n"


def test_an_interrupted_drill_lets_pulumi_end_and_leaves_nothing(deployed):
    """The terminal interrupts whatever runs on it. Killed by its parent, pulumi would leave the stack locked."""
    before = (deployed.stack_file.read_text(), clusters(deployed))
    with subprocess.Popen(
        [sys.executable, "-m", "ops", "drill", "database", "--yes", "--no-metrics"],
        cwd=deployed.directory,
        env={**deployed.environment, "PYTHONPATH": str(CHECKOUT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        eventually(lambda: "local-postgres-drill" in clusters(deployed), seconds=120, what="the drill's cluster")
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=600)[1]
    assert process.returncode == 130, said
    assert "interrupted: waiting for pulumi to end what it has begun\n" in said
    assert said.endswith("ops: the drill was interrupted: the next one takes down what is left of it\n")
    assert (deployed.stack_file.read_text(), clusters(deployed)) == before
    deployed.pulumi("preview", "--expect-no-changes")


def test_what_a_killed_drill_left_is_taken_down_by_the_next(deployed):
    """Its generation is in the state, and (as in a fresh checkout) not in the stack file."""
    before = deployed.stack_file.read_text()

    def with_remains(config: dict[str, Any]) -> None:
        config.setdefault("redis", {}).setdefault("generations", {"main": {}})["drill"] = {"retiring": True}

    deployed.configure(with_remains)
    deployed.up()
    deployed.stack_file.write_text(before)
    assert "local-redis-drill" in clusters(deployed)
    said = deployed.ops("drill", "redis", "--yes", "--no-metrics", timeout=600).stdout
    assert re.search(r"^redis +restored", said, re.MULTILINE)
    assert "local-redis-drill" not in clusters(deployed)
    deployed.pulumi("preview", "--expect-no-changes")
