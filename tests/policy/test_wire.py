"""Properties on the wire made plain: what must never be mistaken for a value."""

from __future__ import annotations

import pytest
from pulumi_policy import proxy

from policies.value import UNKNOWN, Secret
from policies.wire import plain
from tests.policy.analyzer import SECRET_SIGNATURE, SIGNATURE

UNKNOWNS = [value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_")]


def mark(value):
    return {SIGNATURE: SECRET_SIGNATURE, "value": value}


@pytest.mark.parametrize("unknown", UNKNOWNS)
def test_every_kind_of_unknown_is_unknown(unknown):
    assert len(UNKNOWNS) == 7
    assert plain({"a": [unknown]}) == {"a": [UNKNOWN]}


def test_what_is_secret_stays_marked_wherever_it_stands():
    given = {"a": mark("x"), "b": [mark({"c": 1.0})], "d": {"e": mark([1.0])}}
    assert plain(given) == {"a": Secret("x"), "b": [Secret({"c": 1.0})], "d": {"e": Secret([1.0])}}


def test_a_secret_that_nobody_can_open_is_an_unknown_secret():
    assert plain({"a": mark("[secret]")}) == {"a": Secret(UNKNOWN)}
    assert plain({"a": {SIGNATURE: SECRET_SIGNATURE, "ciphertext": "v1:x"}}) == {"a": Secret(UNKNOWN)}
    assert plain({"a": "[secret]"}) == {"a": "[secret]"}
