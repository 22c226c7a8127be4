"""What a drill does when it is in the way of itself."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from ops import drill
from ops.errors import OpsError, StoppedWaitingError
from ops.stack import Generation


class Remains:
    """A stack with a drill's generation in its state, whose update fails so many times."""

    resources = tuple(
        {"urn": f"urn:pulumi:prod::p::t::database-{each}"}
        for each in ("drill-cluster", "drill-instance-1", "drill-instance-parameters")
    )

    def __init__(self, fails: int) -> None:
        self.fails = fails
        self.updates: list[list[str]] = []

    def store_name(self, _store: str, key: str) -> str:
        return f"prod-postgres-{key}"

    def pulumi(self, *arguments: str, doing: str) -> str:
        self.updates.append([each.removeprefix("--target=**::") for each in arguments if "target" in each])
        if len(self.updates) <= self.fails:
            raise OpsError("DeleteDBCluster: InvalidDBClusterStateFault: it still contains DB instances")
        return ""


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch):
    monkeypatch.setattr(drill, "_check_made_by_a_drill", lambda *_: None)
    monkeypatch.setattr(drill, "StackFile", lambda _: SimpleNamespace(generations=lambda _: {}))
    monkeypatch.setattr(drill, "_delete_automated_backups", lambda *_: None)
    monkeypatch.setattr(drill, "recovery_points", lambda *_: [])


EVERYTHING = ["database-drill", "database-drill-*"]


def test_remains_whose_order_the_state_does_not_know_go_in_the_one_that_aws_accepts():
    stack = Remains(fails=1)
    drill._take_down(stack, "database")
    assert stack.updates == [EVERYTHING, ["database-drill-instance-1"], ["database-drill-cluster"], EVERYTHING]


def test_remains_go_in_one_update_where_the_state_knows():
    stack = Remains(fails=0)
    drill._take_down(stack, "database")
    assert stack.updates == [EVERYTHING]


def test_remains_that_do_not_go_are_told_of():
    with pytest.raises(OpsError, match=r"InvalidDBClusterStateFault.*run the drill again"):
        drill._take_down(Remains(fails=2), "database")


def test_what_a_drill_left_that_was_killed_after_its_deletion_goes_all_the_same(monkeypatch):
    gone = []
    stack = Remains(fails=0)
    stack.resources = ()
    monkeypatch.setattr(drill, "_delete_automated_backups", lambda _, identifier: gone.append(identifier))
    monkeypatch.setattr(drill, "recovery_points", lambda *_: [SimpleNamespace(name="prod-postgres-drill-final-0a")])
    monkeypatch.setattr(drill, "_delete_snapshot", lambda _stack, _store, name: gone.append(name))
    drill._take_down(stack, "database")
    assert (stack.updates, gone) == ([], ["prod-postgres-drill", "prod-postgres-drill-final-0a"])


def test_an_interrupt_while_it_waits_for_the_cluster_ends_the_drill(monkeypatch):
    """Not only this store's: the next one's restore would begin."""

    def stopped(*_):
        raise StoppedWaitingError("stopped waiting for the Job")

    monkeypatch.setattr(drill, "_drill", stopped)
    with pytest.raises(StoppedWaitingError):
        drill._attempt(SimpleNamespace(), "database")


@pytest.mark.parametrize(
    ("serving", "written", "refused"),
    [
        ("r1", {"main": {}, "r1": {}}, False),
        ("r1", {"main": {}, "r1": {}, "drill": {}}, False),  # what a killed drill left
        ("main", {"main": {}, "r1": {}}, True),
        (None, {"main": {}, "r1": {}}, True),  # the default is main
        ("r1", {"r1": {}}, True),
        ("r1", {}, True),
    ],
)
def test_a_drill_waits_for_what_the_stack_file_has_and_the_stack_has_not(serving, written, refused, monkeypatch):
    """Of the other store, too: its outputs would be published all the same."""

    def of(store, ours, default):
        return ours if store == "redis" else default

    file = SimpleNamespace(
        serving=lambda store: of(store, serving, None),
        generations=lambda store: of(store, written, {}),
        path=Path("Pulumi.prod.yaml"),
    )
    monkeypatch.setattr(drill, "StackFile", lambda _: file)
    main = Generation("x", "main", "prod-x", "arn", serving=True)
    redis = [Generation("redis", key, f"prod-redis-{key}", "arn", serving=key == "r1") for key in ("main", "r1")]
    stack = SimpleNamespace(generations=lambda store: of(store, redis, [main]))
    with (
        pytest.raises(OpsError, match="changes of redis that are not deployed") if refused else contextlib.nullcontext()
    ):
        drill._check_deployed(stack)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, StoppedWaitingError])
def test_an_interrupt_is_not_lost_where_the_remains_do_not_go(interrupt, monkeypatch, capsys):
    failures = iter([None, OpsError("the stack is locked")])

    def take_down(*_):
        if failure := next(failures):
            raise failure

    def up(*_):
        raise interrupt

    source = Generation("redis", "main", "prod-redis", "arn", serving=True)
    stack = SimpleNamespace(generation=lambda *_: source, generations=lambda _: [source])
    stack.again = lambda: stack
    file = SimpleNamespace(**dict.fromkeys(("add_generation", "write", "undo"), lambda *_: None))
    for name, stand_in in {
        "StackFile": lambda _: file, "_check_deployed": lambda _: None, "_take_down": take_down, "_up": up,
        "make_plan": lambda *_, **__: SimpleNamespace(entry={}), "_newest_point": lambda *_: datetime.now(UTC),
    }.items():  # fmt: skip
        monkeypatch.setattr(drill, name, stand_in)
    with pytest.raises(interrupt):
        drill._attempt(stack, "redis")
    assert "the stack is locked" in capsys.readouterr().err
