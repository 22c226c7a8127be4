"""Which key a restore gets that is given none, and what a retirement refuses."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from ops import restore
from ops.errors import OpsError
from ops.stack import Generation, Stack
from settings import names


@pytest.mark.parametrize(
    ("deployed", "points_of", "key"),
    [
        (["main"], [], "r1"),
        (["main", "r1"], ["prod-redis", "prod-redis-r1"], "r2"),
        # r1 was retired: what is left of it must not pass for a recovery point of its successor.
        (["r2"], ["prod-redis", "prod-redis-r1", "prod-redis-r2"], "r3"),
    ],
)
def test_a_key_is_given_once(deployed, points_of, key, monkeypatch):
    generations = {
        each: {"identifier": f"prod-redis{'' if each == 'main' else f'-{each}'}", "arn": "arn"} for each in deployed
    }
    stack = Stack(Path())
    stack.__dict__["outputs"] = {
        "stores": {"redis": {"name": "prod-redis", "serving": deployed[0], "generations": generations}}
    }
    monkeypatch.setattr(restore, "recovery_points", lambda *_: [SimpleNamespace(source=each) for each in points_of])
    assert restore._unused(stack, "redis") == key


def test_a_generation_has_the_name_that_the_settings_give_it():
    stack = Stack(Path())
    stack.__dict__["outputs"] = {"stores": {"redis": {"name": "prod-redis"}}}
    for key in ("main", "r1"):
        assert stack.store_name("redis", key) == names.store_name("prod", "redis", key)


STACK_FILE = """\
config:
  meetinity-data:database:
    serving: r2
    generations:
      main: {retiring: true}
      r2: {}
      r3: {restore: {generation: main, pointInTime: latest}}
"""


@pytest.mark.parametrize(
    ("key", "confirm", "protected", "says"),
    [
        ("main", "prod-postgres", False, "generation r3 of database is restored from database generation main"),
        ("main", "prod-postgres", True, "is retiring in the stack file: run `pulumi up`, then this once more"),
        ("main", "prod-postgres-r2", True, "'prod-postgres-r2' is not prod-postgres. Nothing was written"),
        ("r2", "prod-postgres-r2", True, "(prod-postgres-r2) serves: promote another generation first"),
        ("r3", "prod-postgres", False, "'prod-postgres' is not prod-postgres-r3. Nothing was written"),
        ("r3", "prod-postgres-r3", False, None),
    ],
)
def test_what_a_retirement_refuses(key, confirm, protected, says, tmp_path, monkeypatch):
    """r3 is written and not deployed: taking its source out would make it an empty cluster."""
    (tmp_path / "Pulumi.yaml").write_text("name: meetinity-data\n")
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text(STACK_FILE)
    generations = {
        "main": {"identifier": "prod-postgres", "arn": "arn"},
        "r2": {"identifier": "prod-postgres-r2", "arn": "arn"},
    }
    stack = Stack(tmp_path, "prod")
    stack.__dict__["outputs"] = {
        "stores": {"database": {"name": "prod-postgres", "serving": "r2", "generations": generations}}
    }
    monkeypatch.setattr(restore, "is_protected", lambda *_: protected)
    arguments = ["database", key, "--confirm", confirm]
    if says is None:
        restore.retire.main(arguments, obj=stack, standalone_mode=False)
        assert "r3" not in file.read_text()
        return
    with pytest.raises(OpsError) as refused:
        restore.retire.main(arguments, obj=stack, standalone_mode=False)
    assert says in str(refused.value)
    assert file.read_text() == STACK_FILE


AT = "2026-11-20T08:00:00Z"
OF_MAIN = {"sourceClusterIdentifier": "prod-postgres", "restoreType": "full-copy"}


@pytest.mark.parametrize(
    ("written", "recorded", "refused"),
    [
        ({"snapshot": "a"}, {"snapshotIdentifier": "a"}, False),
        ({"snapshot": "b"}, {"snapshotIdentifier": "a"}, True),
        ({"generation": "main", "pointInTime": AT}, {"restoreToPointInTime": {**OF_MAIN, "restoreToTime": AT}}, False),
        (
            {"generation": "main", "pointInTime": "2026-11-20T07:00:00Z"},
            {"restoreToPointInTime": {**OF_MAIN, "restoreToTime": AT}},
            True,
        ),
        (
            {"generation": "main", "pointInTime": "latest"},
            {"restoreToPointInTime": {**OF_MAIN, "useLatestRestorableTime": True}},
            False,
        ),
        ({"snapshot": "a"}, {"restoreToPointInTime": {**OF_MAIN, "restoreToTime": AT}}, True),
        (
            {"generation": "main", "clone": True},
            {"restoreToPointInTime": {**OF_MAIN, "restoreType": "copy-on-write", "useLatestRestorableTime": True}},
            False,
        ),
        ({"snapshot": "a"}, {}, False),  # it was imported
        (None, {"snapshotIdentifier": "a"}, False),  # spent, and taken out
    ],
)
def test_an_edited_restore_point_is_not_what_a_generation_holds(written, recorded, refused, monkeypatch):
    """The edit is ignored, as it must be: the wrong rows would be verified, and served."""
    stack = Stack(Path(), "prod")
    stack.__dict__["outputs"] = {"stores": {"database": {"name": "prod-postgres"}}}
    monkeypatch.setattr(restore, "_recorded", lambda *_: {"inputs": recorded})
    file = SimpleNamespace(generations=lambda _: {"r1": {"restore": written}}, path=Path("Pulumi.prod.yaml"))
    generation = Generation("database", "r1", "prod-postgres-r1", "arn", serving=False)
    with pytest.raises(OpsError, match="was not restored from what") if refused else contextlib.nullcontext():
        restore._check_restored_as_written(stack, file, generation)
