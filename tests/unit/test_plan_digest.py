"""The digest: stable over what does not matter, another for whatever would be done otherwise."""

from __future__ import annotations

import copy
import json

import pytest
from click.testing import CliRunner

from ops.__main__ import main
from ops.errors import OpsError
from ops.plan.digest import digest
from ops.plan.preview import UNKNOWN, parse
from tests.unit.previews import CLUSTER, SECRET, document, preview, step

STEPS = [
    step("update", old={"backupRetentionPeriod": 7, "tags": {"a": "1"}}, new={"backupRetentionPeriod": 14, "tags": {}}),
    step("create", SECRET, "connections-redis", new={"metadata": {"name": "platform-redis"}, "data": "[secret]"}),
    step("delete", SECRET, "connections-old", old={"metadata": {"name": "old"}}),
    step("replace", name="other", old={"kmsKeyId": "a"}, new={"kmsKeyId": "b"}, forced_by=("kmsKeyId",)),
]


def with_change(path, value):
    steps = copy.deepcopy(STEPS)
    at = steps
    for each in path[:-1]:
        at = at[each]
    at[path[-1]] = value
    return digest(preview(*steps))


@pytest.mark.parametrize(
    "path",
    [
        (0, "oldState", "created"),
        (0, "newState", "sourcePosition"),
        (1, "newState", "stackTrace"),
        (0, "oldState", "outputs", "latestRestorableTime"),
        (0, "oldState", "inputs", "__defaults"),
        (0, "diffReasons"),
    ],
)
def test_what_does_not_matter(path):
    assert with_change(path, ["2026-11-24T08:00:00Z"]) == digest(preview(*STEPS))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": "1"}),
        ({"a": True}, {"a": "true"}),
        ({"a": {"b.c": 1}}, {"a": {"b": {"c": 1}}}),
        ({"a": {"__x": "1"}}, {"a": {"__x": "2"}}),
        ({"a": UNKNOWN}, {"a": "known only during the update"}),
    ],
)
def test_what_looks_alike_is_not(one, other):
    for op, old in (("create", None), ("update", {"q": 1})):
        assert digest(preview(step(op, old=old, new=one))) != digest(preview(step(op, old=old, new=other)))


def test_a_number_is_the_same_however_it_is_written():
    assert with_change((0, "oldState", "inputs", "backupRetentionPeriod"), 7.0) == digest(preview(*STEPS))


def test_a_provider_that_is_made_anew_is_the_same_one():
    made = [copy.deepcopy(STEPS[0]) for _ in range(2)]
    for number, each in enumerate(made):
        each["newState"]["provider"] = f"urn:pulumi:prod::meetinity-data::pulumi:providers:aws::eu::{number}"
    assert digest(preview(made[0])) == digest(preview(made[1]))


def test_order_and_the_untouched_do_not_matter():
    more = step("same", SECRET, "unchanged", old={"a": 1}, new={"a": 1})
    assert digest(preview(*reversed(STEPS), more)) == digest(preview(*STEPS))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((0, "op"), "replace"),
        ((0, "newState", "inputs", "backupRetentionPeriod"), 15),
        ((0, "oldState", "inputs", "backupRetentionPeriod"), 8),
        ((0, "newState", "inputs", "unlisted"), "in no detailed diff"),
        ((0, "newState", "protect"), True),
        ((0, "newState", "retainOnDelete"), True),
        ((1, "newState", "inputs", "metadata", "name"), "platform-cache"),
        ((1, "urn"), STEPS[1]["urn"].replace("connections-redis", "connections-cache")),
        ((3, "replaceReasons"), ["kmsKeyId", "provider"]),
        ((2, "oldState", "id"), "another"),
        ((3, "oldState", "id"), "another"),
        ((1, "newState", "provider"), "urn:pulumi:prod::meetinity-data::pulumi:providers:kubernetes::other::1"),
        ((1, "newState", "inputs", "data"), {"__x": "1"}),
        ((1, "newState", "inputs", "metadata"), {"name.": "platform-redis"}),
        ((0, "newState", "inputs", "tags"), {"a": "not set"}),
    ],
)
def test_what_would_be_done_otherwise(path, value):
    assert with_change(path, value) != digest(preview(*STEPS))


def test_one_step_less_or_another_stack():
    assert digest(preview(*STEPS[1:])) != digest(preview(*STEPS))
    assert digest(parse(document(*STEPS).replace("urn:pulumi:prod", "urn:pulumi:dev"), "")) != digest(preview(*STEPS))
    assert digest(preview(step("same", CLUSTER, protect=(True, False)))) != digest(preview())


def test_a_failed_preview_has_none():
    with pytest.raises(OpsError, match="nothing whole to approve"):
        digest(preview(*STEPS, diagnostics=(("error", "error: no such cluster"),)))


def test_an_update_is_held_to_what_was_reviewed(tmp_path):
    path = tmp_path / "preview.json"
    path.write_text(document(*STEPS))
    run = CliRunner().invoke
    found = run(main, ["plan", "digest", str(path)]).output.strip()
    assert run(main, ["plan", "digest", str(path), "--expect", found]).exit_code == 0
    other = run(main, ["plan", "digest", str(path), "--expect", "sha256:0", "--json"])
    assert other.exit_code == 3
    assert "not the one that was reviewed" in other.output
    assert json.loads(other.output.partition("ops:")[0])["same"] is False
