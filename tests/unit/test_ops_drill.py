"""What a drill does when it is in the way of itself."""

from types import SimpleNamespace

import pytest

from ops import drill
from ops.errors import OpsError


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
