"""Which key a restore gets that is given none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ops import restore
from ops.stack import Stack


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
