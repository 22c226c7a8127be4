"""A restore that is killed at each of its steps and gone on with as the runbook says: nothing lost, nothing double.

One story, told in order, in an instance of its own. Rows and keys 1 to 3 are in both stores before it begins; a
snapshot holds the first two.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox import lifecycle
from sandbox.instance import CHECKOUT
from sandbox.progress import Progress
from tests.faults.scenario import Stack, scenario
from tests.faults.secrets_search import Watch
from tests.sandbox.conftest import eventually, own
from tests.sandbox.operator import Operator

CLUSTER, INSTANCE, GROUP = "aws:rds/cluster", "aws:rds/clusterInstance", "aws:elasticache/replicationGroup"
SECRET, JOB = "kubernetes:core/v1", "kubernetes:batch/v1"


class Restoring(Stack, Operator):
    """The local stack, with an operator who is killed at work."""

    snapshots: dict[str, str]

    def ops(self, *arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
        done = super().ops(*arguments, **how)
        self.printed += [done.stdout, done.stderr]
        return done

    @contextmanager
    def begun(self, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        """`python -m ops`, killed after the block with whatever it runs, and the file with what it has said."""
        said = self.directory / "said"
        with said.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "ops", *arguments],
                cwd=self.directory,
                env={**self.environment, "PYTHONPATH": str(CHECKOUT), "PULUMI_SKIP_CONFIRMATIONS": "true"},
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with process:
            try:
                yield process, said
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        self.printed.append(said.read_text())
        self.end_session(process.pid)

    def killed_when(self, so: Callable[[], object], *arguments: str) -> None:
        """Kill a command and whatever it runs once `so` is true; it must not have ended before by itself."""
        with self.begun(*arguments) as (process, said):
            eventually(lambda: so() or process.poll() is not None, seconds=300, what=" ".join(arguments))
            assert process.poll() is None, said.read_text()

    def asked(self, *arguments: str) -> None:
        """Kill a command that asks before it writes."""
        before = self.stack_file.read_text()
        with self.begun(*arguments) as (process, said):
            eventually(lambda: said.read_text().endswith("]: ") or process.poll() is not None, seconds=120)
            assert process.poll() is None, said.read_text()
        assert self.stack_file.read_text() == before

    def written(self, *arguments: str) -> None:
        """Kill a command as soon as the stack file is another one; there is little left for it to do by then."""
        before = self.stack_file.read_text()
        with self.begun(*arguments):
            eventually(lambda: self.stack_file.read_text() != before, seconds=120, what=" ".join(arguments))

    def edited(self, *arguments: str) -> None:
        """A command that edits the stack file, killed before the edit and as soon as it is written."""
        self.asked(*arguments)
        self.written(*arguments, "--yes")

    def serving(self) -> tuple[list[int], list[str]]:
        """What an application reads that knows the Secrets alone."""
        with self.database() as database, self.cache() as cache:
            rows = [row[0] for row in database.execute("SELECT n FROM proof ORDER BY n").fetchall()]
            return rows, sorted(key.decode() for key in cache.scan_iter("key *"))

    def write(self, number: int) -> None:
        with self.database() as database, self.cache() as cache:
            database.execute("INSERT INTO proof VALUES (%s)", [number])
            cache.set(f"key {number}", number)

    def final_snapshots(self, name: str) -> int:
        found = [each["name"] for each in self.ops_json("snapshot", "list")["snapshots"]]
        return sum(each.startswith(f"{name}-final-") for each in found)


@pytest.fixture(scope="module")
def stack(watch: Watch) -> Iterator[Restoring]:
    with own("test-restores") as instance:
        tools = lifecycle.up(instance, Progress())
        stack = Restoring(instance, lifecycle.environment(instance, tools))
        stack.up()
        with stack.database() as database:
            database.execute("CREATE TABLE proof (n int PRIMARY KEY)")
        for number in (1, 2):
            stack.write(number)
        stack.snapshots = {s: stack.ops_json("snapshot", "create", s)["name"] for s in ("database", "redis")}
        stack.write(3)
        stack.world.rows, stack.world.passwords = stack.rows(), stack.passwords()
        yield stack
        stack.end_orphans()


def resumed(stack: Restoring) -> int:
    """The runbook's way on after a killed update; how many creations were taken into the state."""
    taken = stack.recover()
    brought_up(stack)
    return taken


def brought_up(stack: Restoring) -> None:
    if "Run `pulumi up` once more" in stack.up():
        stack.up()


@pytest.mark.parametrize("store", ["database", "redis"])
def test_a_restoring_update_is_killed(stack: Restoring, store: str) -> None:
    how = ("restore", "start", store, "--snapshot", stack.snapshots[store])
    stack.edited(*how)
    again = stack.ops(*how, code=1).stderr
    assert f"generation r1 of {store} is in the stack file and not deployed: run `pulumi up`" in again
    for at, kind in [("begun", CLUSTER), ("done", INSTANCE)] if store == "database" else [("begun", GROUP)]:
        assert stack.killed("up", "--yes", "--skip-preview", at=at, kind=kind, doing="create"), kind
        stack.recover()
        assert stack.serving() == ([1, 2, 3], ["key 1", "key 2", "key 3"]), "what serves has noticed nothing"


@pytest.fixture
def restored(stack: Restoring) -> Restoring:
    """With generation r1 of both stores; where the tests above did not run, made in peace."""
    written = stack.stack_file.read_text()
    if "r1:" not in written:
        for store in ("database", "redis"):
            stack.ops("restore", "start", store, "--snapshot", stack.snapshots[store], "--yes")
        brought_up(stack)
    return stack


def test_the_restore_is_whole_after_that(stack: Restoring) -> None:
    with scenario(stack, "restoring update killed three times") as found:
        found.times = 3
        resumed(stack)
        found.outcome = "cancel, refresh, import, up"
    for store, name, restored in (("database", "public.proof", "2 rows"), ("redis", "all", None)):
        document = stack.ops_json("restore", "verify", store, "r1")
        assert document["structureAsExpected"] is True
        (difference,) = [each for each in document["differences"] if each["name"] == name]
        assert difference["restored"].startswith(restored or str(int(difference["source"]) - 1))


def test_a_verification_is_killed(stack: Restoring) -> None:
    """What it leaves belongs to its Job, which ends by itself; the next one neither sees it nor needs it gone."""

    def ours(kind: str) -> list[str]:
        return [each["metadata"]["name"] for each in stack.kubernetes(kind, "-l", LABEL)["items"]]

    stack.killed_when(lambda: ours("secrets"), "restore", "verify", "database", "r1")
    left = ours("jobs")
    assert stack.ops_json("restore", "verify", "database", "r1")["structureAsExpected"] is True
    assert ours("jobs") == left, "it took its own away, and nobody else's"
    for name in left:
        stack.run("kubectl", "--namespace", "meetinity-local", "delete", "job", name)
    eventually(lambda: not ours("secrets"), what="the Secret to go with its Job")


LABEL = "app.kubernetes.io/managed-by=ops"


def test_a_promoting_update_is_killed(restored: Restoring) -> None:
    stack = restored
    for store in ("database", "redis"):
        stack.edited("restore", "promote", store, "r1")
    assert stack.serving() == ([1, 2, 3], ["key 1", "key 2", "key 3"]), "an edit moves nothing"
    for kind, doing in ((SECRET, "update"), (JOB, "create-replacement")):
        assert stack.killed("up", "--yes", "--skip-preview", at="begun", kind=kind, doing=doing), kind
        stack.recover()
        rows, keys = stack.serving()
        assert rows in ([1, 2], [1, 2, 3]), "there is no moment without a Secret that works"
        assert keys in (["key 1", "key 2"], ["key 1", "key 2", "key 3"])
    stack.world.rows -= Counter([("proof", "(3)"), ("redis", "key 3 = b'3'")])  # younger than the snapshot
    with scenario(stack, "promoting update killed twice", refreshed=False) as found:
        found.times, found.outcome = 2, "cancel, refresh, delete the Job, up"
        resumed(stack)
    assert stack.serving() == ([1, 2], ["key 1", "key 2"])
    assert "serves already" in stack.ops("restore", "promote", "database", "r1", code=1).stderr


def test_the_retirement_is_killed_at_both_steps(stack: Restoring) -> None:
    with scenario(stack, "retiring updates killed", refreshed=False) as found:
        found.gone = ("database-master-password", "redis-auth-token")
        for store, name in (("database", "local-postgres"), ("redis", "local-redis")):
            stack.asked("restore", "retire", store, "main")
            stack.written("restore", "retire", store, "main", "--confirm", name)
            assert "retiring: true" in stack.stack_file.read_text()
        assert stack.killed("up", "--yes", "--skip-preview", at="begun", kind=CLUSTER, doing="update")
        resumed(stack)
        for store, name in (("database", "local-postgres"), ("redis", "local-redis")):
            stack.ops("restore", "retire", store, "main", "--confirm", name)
        assert stack.killed("up", "--yes", "--skip-preview", at="begun", kind=CLUSTER, doing="delete")
        resumed(stack)
        found.times, found.outcome = 2, "cancel, up"
    assert stack.serving() == ([1, 2], ["key 1", "key 2"])
    assert (stack.final_snapshots("local-postgres"), stack.final_snapshots("local-redis")) == (1, 1)
    stack.pulumi("preview", "--refresh", "--expect-no-changes")


def test_what_was_retired_is_in_its_final_snapshot(stack: Restoring) -> None:
    """Row and key 3, which only the retired stores had."""
    for store, name in (("database", "local-postgres"), ("redis", "local-redis")):
        points = [each["name"] for each in stack.ops_json("snapshot", "list", "--store", store)["snapshots"]]
        (final,) = [each for each in points if each.startswith(f"{name}-final-")]
        stack.ops("restore", "start", store, "--snapshot", final, "--as", "back", "--yes")
    brought_up(stack)
    for store in ("database", "redis"):
        stack.ops("restore", "promote", store, "back", "--yes")
    stack.up()
    assert stack.serving() == ([1, 2, 3], ["key 1", "key 2", "key 3"])


def test_a_drill_is_killed_and_the_next_one_takes_it_down(stack: Restoring) -> None:
    stood = stack.existing()
    with scenario(stack, "drill killed as its cluster is created", refreshed=False) as found:
        stack.killed_when(
            lambda: ("aws:rds/cluster:Cluster", "local-postgres-drill") in stack.existing(),
            *("drill", "database", "--yes", "--no-metrics"),
        )
        stack.recover()
        report = stack.ops("drill", "database", "--yes", "--no-metrics", "--json", timeout=600).stdout
        assert '"outcome": "restored"' in report
        found.times, found.outcome = 1, "cancel, refresh, import, drill"
    assert "drill" not in stack.stack_file.read_text()
    assert stack.existing() == stood
    stack.pulumi("preview", "--expect-no-changes")
