"""What a drill does when it is in the way of itself."""

from types import SimpleNamespace

import pytest

from ops import drill
from ops.errors import OpsError


class Remains:
    """A stack with a drill's generation in its state, whose update fails so many times."""

    resources = ({"urn": "urn:pulumi:prod::meetinity-data::aws:rds/cluster:Cluster::database-drill-cluster"},)

    def __init__(self, fails: int) -> None:
        self.fails, self.updates = fails, 0

    def base_name(self, _store: str) -> str:
        return "prod-postgres"

    def pulumi(self, *_arguments: str) -> str:
        self.updates += 1
        if self.updates <= self.fails:
            raise OpsError("DeleteDBCluster: InvalidDBClusterStateFault: it still contains DB instances")
        return ""


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch):
    monkeypatch.setattr(drill, "_check_made_by_a_drill", lambda *_: None)
    monkeypatch.setattr(drill, "StackFile", lambda _: SimpleNamespace(generations=lambda _: {}))
    monkeypatch.setattr(drill, "_delete_automated_backups", lambda *_: None)
    monkeypatch.setattr(drill, "recovery_points", lambda *_: [])


def test_remains_whose_order_the_state_does_not_know_go_in_a_second_update():
    stack = Remains(fails=1)
    drill._take_down(stack, "database")
    assert stack.updates == 2


def test_remains_that_do_not_go_are_told_of():
    stack = Remains(fails=2)
    with pytest.raises(OpsError, match=r"InvalidDBClusterStateFault.*run the drill again"):
        drill._take_down(stack, "database")
    assert stack.updates == 2
