"""The stack survives what happens to it. One story, told in order: each test begins where the one before it ended."""

from __future__ import annotations

import pytest

from sandbox import faults, lifecycle, processes
from sandbox import stack as stacks
from sandbox.errors import SandboxError
from tests.faults.scenario import Stack, injected, meanwhile, scenario
from tests.sandbox.conftest import eventually

GENERATION = {"generations": {"main": {}, "r1": {}}}


def quiet(_: str) -> None:
    pass


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


def run_of(stack: Stack, tag: str) -> str:
    """Wait until the migration's own container runs; the pod's name."""

    def look() -> str | None:
        for pod in stack.kubernetes("pods")["items"]:
            statuses = pod["status"].get("containerStatuses", []) + pod["status"].get("initContainerStatuses", [])
            for status in statuses:
                if status["image"].endswith(tag) and "running" in status["state"]:
                    return str(pod["metadata"]["name"])
        return None

    return eventually(look, seconds=60, what="the migration")


def slow_migration(stack: Stack, tag: str) -> None:
    stack.release(tag, f"op.execute(\"SELECT pg_sleep(4); INSERT INTO categories (name) VALUES ('{tag}')\")")


def applied(stack: Stack, tag: str) -> int:
    with stack.database() as database:
        return int(database.execute("SELECT count(*) FROM categories WHERE name = %s", [tag]).fetchone()[0])


@pytest.mark.parametrize("part", ["kube-apiserver", "node"])
def test_the_cluster_breaks_during_a_migration(stack: Stack, part: str) -> None:
    tag = "during_" + part.replace("-", "_")
    slow_migration(stack, tag)
    with scenario(stack, f"{part} killed during a migration", refreshed=False) as found:
        with meanwhile(stack, "up", "--yes", "--skip-preview") as said:
            run_of(stack, tag)
            faults.kill(stack.instance, part)
            faults.clear(stack.instance)
            lifecycle.up(stack.instance, quiet)
        found.times = 1
        found.outcome = "up succeeded"
        if "error:" in said[0]:
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
        faults.add(stack.instance, "slow", "rds:CreateDBInstance", seconds=2)
        with meanwhile(stack, "up", "--yes", "--skip-preview") as said:
            struck(stack)
            faults.kill(stack.instance, "writer")
        found.times = 1
        faults.clear(stack.instance)
        found.outcome = "up succeeded"
        if "error:" in said[0]:
            lifecycle.up(stack.instance, quiet)
            stack.up()
            found.outcome = "up failed, the next succeeded"


def struck(stack: Stack) -> None:
    """Wait until an AWS operation has met its fault."""
    eventually(lambda: any(each.injected for each in faults.read(stack.instance)), seconds=60, what="the fault")


def test_the_disk_is_full_during_an_up(stack: Stack) -> None:
    stack.change_database(backupRetentionPeriod=10)
    with scenario(stack, "disk full for the AWS API and the writer during an up") as found:
        for part in ("aws-api", "writer"):
            faults.fill_disk(stack.instance, part)
        output = stack.up(check=False)
        assert stack.code != 0
        assert "File too large" in output
        found.times = injected(stack.instance)
        lifecycle.up(stack.instance, quiet)
        stack.up()
        found.outcome = "up failed and said why, the next succeeded"


def test_of_two_ups_at_once_one_is_told(stack: Stack) -> None:
    stack.change_database(backupRetentionPeriod=11)
    with scenario(stack, "a second up beside the first", refreshed=False) as found:
        faults.add(stack.instance, "slow", "rds:ModifyDBCluster", seconds=6)
        with meanwhile(stack, "up", "--yes", "--skip-preview") as said:
            struck(stack)
            second = stack.up(check=False)
            assert stack.code != 0
            assert "the stack is currently locked by 1 lock(s)" in second
            with pytest.raises(SandboxError, match=r"pulumi process \d+ updates the stack: wait for it"):
                stacks.deploy(stack.environment, quiet, stack.directory)
        assert "error:" not in said[0]
        found.times = 1
        faults.clear(stack.instance)
        found.outcome = "the second was told to wait, the first succeeded"


def test_a_lock_whose_owner_is_dead_is_released_by_make_up(stack: Stack) -> None:
    stack.change_database(backupRetentionPeriod=12)
    with scenario(stack, "a .pulumi lock left behind", refreshed=False) as found:
        faults.add(stack.instance, "slow", "rds:ModifyDBCluster", seconds=3)
        with stack.background("up", "--yes", "--skip-preview") as process:
            struck(stack)
            stack.kill(process)
        faults.clear(stack.instance)
        found.times = 1
        lines: list[str] = []
        assert stacks.deploy(stack.environment, lines.append, stack.directory) == 0
        (line,) = lines
        assert line.endswith("is gone and left the stack locked: `pulumi cancel --yes` releases it")
        found.outcome = "make up released it"


def test_the_whole_sandbox_is_killed_and_started(stack: Stack) -> None:
    with scenario(stack, "every process of the sandbox killed", refreshed=False) as found:
        every = processes.running(stack.instance)
        for process in every.values():
            process.kill()
        found.times = len(every)
        lifecycle.up(stack.instance, quiet)
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
    for store in ("database", "redis"):
        stack.configure(lambda config, store=store: config.setdefault(store, {}).update(GENERATION))
    with scenario(stack, "pulumi killed with SIGKILL during an up") as found:
        taken, points = 0, []
        while found.times < 10:
            point = stack.killed("up", "--yes", "--skip-preview", at=("begun", "done")[found.times % 2])
            assert point, f"the update was over after {points}"
            points.append(point)
            found.times += 1
            taken += stack.recover()
        stack.up()
        found.outcome = f"cancel, refresh, import, up: {taken} creations adopted"


def test_pulumi_is_killed_at_ten_points_of_a_destroy(stack: Stack) -> None:
    stack.change_database(deletionProtection=False)
    stack.up()
    stack.run("pulumi", "state", "unprotect", "--all", "--yes")
    with scenario(stack, "pulumi killed with SIGKILL during a destroy") as found:
        found.loses_everything = True
        points = []
        while found.times < 10:
            point = stack.killed("destroy", "--yes", "--skip-preview", at="done", count=2)
            assert point, f"the destruction was over after {points}"
            points.append(point)
            found.times += 1
            stack.documented("pulumi cancel --yes")
        stack.pulumi("destroy", "--yes", "--skip-preview")
        assert stack.recorded() == {}
        snapshots = stack.client("rds").describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"]
        assert len(snapshots) == 2
        found.outcome = "cancel, destroy: nothing left but final snapshots"
