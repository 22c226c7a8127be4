"""The stack survives what happens to it. One story, told in order: each test begins where the one before it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil
import pytest

from sandbox import faults, processes
from sandbox import stack as stacks
from sandbox.errors import SandboxError
from tests.faults.scenario import Stack, injected, scenario
from tests.sandbox.conftest import eventually

STORES = {"database": "local-postgres", "redis": "local-redis"}
# Longer than any test waits: a slow operation ends when its fault is cleared.
LONG = 600


def test_a_quarter_of_all_aws_calls_throttled(stack: Stack) -> None:
    faults.add(stack.instance, "throttle", "*:*", rate=0.25, seed=7)
    with scenario(stack, "every AWS operation throttled, 25 %", refreshed=False) as found:
        output = stack.up()
        found.times = injected(stack.instance)
        assert found.times >= 20
        assert "error:" not in output
        found.outcome = "up succeeded"
        with stack.cache() as cache:
            cache.set("written-by", "a test")


def applied(stack: Stack, tag: str) -> int:
    with stack.database() as database:
        return int(database.execute("SELECT count(*) FROM categories WHERE name = %s", [tag]).fetchone()[0])


WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.mark.parametrize("part", ["kube-apiserver", "node"])
def test_the_cluster_breaks_during_a_migration(stack: Stack, part: str) -> None:
    """It is in the middle of its transaction, because it asks for a lock that the test holds."""
    tag = "during_" + part.replace("-", "_")
    work = f"SELECT pg_advisory_xact_lock(7); INSERT INTO categories (name) VALUES ('{tag}')"
    stack.release(tag, f'op.execute("{work}")')
    with scenario(stack, f"{part} killed during a migration", refreshed=False) as found, stack.database() as holder:
        holder.execute("SELECT pg_advisory_lock(7)")
        with stack.background("up", "--yes", "--skip-preview") as up:
            eventually(lambda: holder.execute(WAITING).fetchone() == (1,), seconds=180, what="the migration")
            killed = faults.kill(stack.instance, part)
            assert any(name.startswith("pod-") for name in (*killed, *processes.running(stack.instance)))
            faults.clear(stack.instance)
            stack.start_sandbox()
            holder.execute("SELECT pg_advisory_unlock(7)")
        found.times = 1
        found.outcome = "up succeeded"
        if up.returncode:
            stack.up()
            found.outcome = "up failed, the next succeeded"
        assert applied(stack, tag) == 1


def test_a_migration_that_fails_can_be_mended(stack: Stack) -> None:
    with scenario(stack, "a migration that fails", refreshed=False) as found:
        broken = stack.release("broken", 'op.execute("INSERT INTO no_such_table VALUES (1)")')
        assert 'relation "no_such_table" does not exist' in stack.up(check=False)
        assert stack.code != 0
        broken.unlink()
        stack.release("mended", "op.execute(\"INSERT INTO categories (name) VALUES ('mended')\")")
        stack.up()
        assert applied(stack, "mended") == 1
        found.times = 1
        found.outcome = "up failed and said why, the next succeeded"


def test_the_writer_is_killed_during_an_up(stack: Stack) -> None:
    stack.change_database(backupRetentionPeriod=9, instanceCount=3)
    with scenario(stack, "PostgreSQL writer killed during an up", refreshed=False) as found:
        faults.add(stack.instance, "slow", "rds:CreateDBInstance", seconds=LONG)
        with stack.background("up", "--yes", "--skip-preview") as up:
            struck(stack)
            faults.kill(stack.instance, "writer")
            faults.clear(stack.instance)
        found.times = 1
        found.outcome = "up succeeded"
        if up.returncode:
            stack.start_sandbox()
            stack.up()
            found.outcome = "up failed, the next succeeded"


def struck(stack: Stack) -> None:
    """Wait until an AWS operation has met its fault."""
    eventually(lambda: any(each.injected for each in faults.read(stack.instance)), seconds=180, what="the fault")


def test_the_disk_is_full_during_an_up(stack: Stack) -> None:
    stack.change_database(backupRetentionPeriod=10)
    with scenario(stack, "disk full for the AWS API and the writer during an up") as found:
        for part in ("aws-api", "writer"):
            faults.fill_disk(stack.instance, part)
        output = stack.up(check=False)
        assert stack.code != 0
        assert "File too large" in output
        found.times = injected(stack.instance)
        stack.start_sandbox()
        stack.up()
        found.outcome = "up failed and said why, the next succeeded"


def test_of_two_ups_at_once_one_is_told(stack: Stack) -> None:
    stack.change_database(backupRetentionPeriod=11)
    with scenario(stack, "a second up beside the first", refreshed=False) as found:
        faults.add(stack.instance, "slow", "rds:ModifyDBCluster", seconds=LONG)
        with stack.background("up", "--yes", "--skip-preview") as up:
            struck(stack)
            second = stack.up(check=False)
            assert stack.code != 0
            assert "the stack is currently locked by 1 lock(s)" in second
            with pytest.raises(SandboxError, match=r"pulumi process \d+ updates the stack: wait for it"):
                stacks.deploy(stack.environment, stack.printed.append, stack.directory)
            faults.clear(stack.instance)
        assert up.returncode == 0, stack.printed[-1]
        found.times = 1
        found.outcome = "the second was told to wait, the first succeeded"


def test_a_lock_whose_owner_is_dead_is_released_by_make_up(stack: Stack, capfd: pytest.CaptureFixture[str]) -> None:
    stack.change_database(backupRetentionPeriod=12)
    with scenario(stack, "a .pulumi lock left behind", refreshed=False) as found:
        faults.add(stack.instance, "slow", "rds:ModifyDBCluster", seconds=LONG)
        with stack.background("up", "--yes", "--skip-preview") as process:
            struck(stack)
            stack.kill(process)
        faults.clear(stack.instance)
        found.times = 1
        lines: list[str] = []
        assert stacks.deploy(stack.environment, lines.append, stack.directory) == 0
        stack.printed.append(capfd.readouterr().out)
        (line,) = lines
        assert line.endswith("is gone and left the stack locked: `pulumi cancel --yes` releases it")
        found.outcome = "make up released it"


def test_the_whole_sandbox_is_killed_and_started(stack: Stack) -> None:
    with scenario(stack, "every process of the sandbox killed", refreshed=False) as found:
        every = processes.running(stack.instance)
        for process in every.values():
            with suppress(psutil.NoSuchProcess):  # a container ends with its node
                process.kill()
        assert processes.wait(lambda: not processes.running(stack.instance), 60)
        found.times = len(every)
        stack.start_sandbox()
        found.outcome = "as before after make up"


def test_a_create_that_was_carried_out_but_not_answered(stack: Stack) -> None:
    """boto3 repeats the call, as the real provider's SDK does, and learns that the thing exists: it is adopted."""
    stack.change_database(instanceCount=4)
    with scenario(stack, "connection cut after CreateDBInstance was carried out") as found:
        faults.add(stack.instance, "cut-after", "rds:CreateDBInstance", times=1)
        output = stack.up(check=False)
        found.times = injected(stack.instance)
        assert "DBInstanceAlreadyExists" in output
        lacking = dict(stack.existing() - stack.given - stack.recorded())
        assert list(lacking) == [("aws:rds/clusterInstance:ClusterInstance", "local-postgres-4")]
        stack.adopt(lambda creation: "local-postgres-4" if creation["name"] == "database-instance-4" else None)
        stack.up()
        found.outcome = "up failed, the instance was imported as the runbook says"


def test_pulumi_is_killed_at_ten_points_of_an_up(stack: Stack) -> None:
    """One after the other, so that what is killed is the creation of the resource named, or the one right after it."""
    for store in STORES:
        generations(stack, store, {"main": {}, "r1": {}})
    with scenario(stack, "pulumi killed with SIGKILL during an up") as found:
        taken, points = 0, list[str]()
        while found.times < 10:
            at = ("begun", "done")[found.times % 2]
            up = ("up", "--yes", "--skip-preview", "--parallel", "1")
            # A resource may be begun again after a kill, but is no second point.
            point = stack.killed(*up, at=at, doing="create", kind="aws", but=points)
            assert point, f"the update was over after {points}"
            points.append(point)
            found.times += 1
            taken += stack.recover()
        stack.up()
        found.outcome = f"cancel, refresh, import, up: {taken} creations adopted"


def generations(stack: Stack, store: str, every: Mapping[str, Any]) -> None:
    stack.configure(lambda config: config.setdefault(store, {}).update(generations=every))


def test_pulumi_is_killed_at_ten_points_of_a_destroy(stack: Stack) -> None:
    """Spread over all of it; then the stack is brought back, its serving stores from their final snapshots."""
    stack.change_database(deletionProtection=False)
    stack.up()
    stack.run("pulumi", "state", "unprotect", "--all", "--yes")
    with scenario(stack, "pulumi killed with SIGKILL during a destroy") as found:
        found.gone = stack.world.passwords.keys()
        points = list[str]()
        while found.times < 10:
            at = ("begun", "done")[found.times % 2]
            share = max(1, stack.recorded().total() // (11 - found.times))
            destroy = ("destroy", "--yes", "--skip-preview", "--parallel", "1")
            point = stack.killed(*destroy, at=at, count=share, doing="delete", kind="aws|kubernetes", but=points)
            assert point, f"the destruction was over after {points}"
            points.append(point)
            found.times += 1
            stack.documented("pulumi cancel --yes")
        stack.documented("pulumi refresh --yes --skip-preview")
        stack.change_database(applyImmediately=True)
        for store, name in STORES.items():
            generations(stack, store, {"main": {"restore": {"snapshot": final_snapshot(stack, name)}}})
        names = tuple(f"{store}-final-snapshot" for store in STORES)
        left = [each["urn"] for each in stack.resources() if each["urn"].split("::")[-1] in names]
        if "Run `pulumi up` once more" in stack.up(*(f"--replace={urn}" for urn in left)):
            stack.up()
        found.outcome = "cancel, refresh, up from the final snapshots"


def final_snapshot(stack: Stack, name: str) -> str:
    databases = json.loads(stack.documented("aws rds describe-db-cluster-snapshots --snapshot-type manual"))
    caches = json.loads(stack.documented("aws elasticache describe-snapshots"))
    names = [each["DBClusterSnapshotIdentifier"] for each in databases["DBClusterSnapshots"]]
    names += [each["SnapshotName"] for each in caches["Snapshots"]]
    (found,) = [each for each in names if each.startswith(f"{name}-final-")]
    return found


def test_a_destroy_that_nothing_disturbs_leaves_final_snapshots_alone(stack: Stack) -> None:
    stack.run("pulumi", "state", "unprotect", "--all", "--yes")
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert stack.recorded() == {}
    assert stack.existing() == stack.given
