"""Edits of a stack file: what changes, and that nothing else does."""

from __future__ import annotations

import pytest

from ops.errors import OpsError
from ops.stack import Stack
from ops.stack_file import StackFile

BARE = """\
# Holds only what differs.
encryptionsalt: v1:abc=
config:
  aws:region: eu-west-1   # home
  meetinity-data:migrations:
    - name: example-service
      command: [alembic, upgrade, head]
"""
FULL = """\
config:
  meetinity-data:database:
    # bigger since June
    instanceClass: "db.r6g.xlarge"
    masterPassword:
      secure: v1:secret=
    serving: main
    generations:
      main: {}
      r1:
        restore: {generation: main, pointInTime: "2026-11-20T08:00:00Z"}
"""


@pytest.fixture
def edit(tmp_path):
    (tmp_path / "Pulumi.yaml").write_text("name: meetinity-data\n")
    (tmp_path / "below").mkdir()

    def open_(text: str) -> StackFile:
        (tmp_path / "Pulumi.dev.yaml").write_text(text)
        return StackFile(Stack(tmp_path / "below", "dev"))

    return open_


def changed(file: StackFile) -> list[str]:
    """The diff's own lines, without its heads."""
    return [line for line in file.diff().splitlines()[2:] if line[0] in "+-"]


def test_nothing_changed_is_no_diff(edit):
    assert edit(BARE).diff() == edit(FULL).diff() == ""


def test_a_first_generation_is_added_beside_the_ones_that_stand_by_default(edit):
    file = edit(BARE)
    file.add_generation("redis", "r1", {"restore": {"snapshot": "dev-redis-1"}}, ["main"])
    assert changed(file) == [
        "+  meetinity-data:redis:",
        "+    generations:",
        "+      main: {}",
        "+      r1: {restore: {snapshot: dev-redis-1}}",
    ]
    file.write()
    assert file.path.read_text().startswith(BARE)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda file: file.serve("database", "r1"), ["-    serving: main", "+    serving: r1"]),
        (
            lambda file: file.add_generation("database", "r2", {"restore": {"generation": "r1", "clone": True}}, []),
            ["+      r2: {restore: {generation: r1, clone: true}}"],
        ),
        (
            lambda file: file.retire("database", "main", []),
            ["-      main: {}", "+      main:", "+        retiring: true"],
        ),
        # The spent restore that names it would be refused, so it goes along.
        (
            lambda file: file.remove_generation("database", "main", []),
            [
                "-      main: {}",
                "-      r1:",
                '-        restore: {generation: main, pointInTime: "2026-11-20T08:00:00Z"}',
                "+      r1: {}",
            ],
        ),
    ],
)
def test_an_edit_changes_its_lines_and_no_other(edit, change, expected):
    file = edit(FULL)
    change(file)
    assert changed(file) == expected


def test_writing_is_whole_and_keeps_the_rights(edit):
    file = edit(FULL)
    file.path.chmod(0o600)
    file.serve("database", "r1")
    file.write()
    assert file.path.read_text() == FULL.replace("serving: main", "serving: r1")
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.path.parent.iterdir() if each.name.startswith(".")] == []


def test_of_two_who_edit_at_once_the_second_is_told_and_nothing_is_lost(edit):
    first = edit(BARE)
    second = StackFile(Stack(first.path.parent, "dev"))
    first.add_generation("redis", "r1", {"restore": {"snapshot": "s"}}, ["main"])
    first.write()
    second.add_generation("database", "r1", {"restore": {"snapshot": "s"}}, ["main"])
    with pytest.raises(OpsError, match="was changed by somebody else meanwhile: run the command again"):
        second.write()
    assert first.path.read_text() == first._text()


def test_undoing_puts_back_what_stood_there_but_not_over_another_hand(edit):
    file = edit(BARE)
    file.add_generation("redis", "drill", {"retiring": True}, ["main"])
    file.write()
    file.undo()
    assert file.path.read_text() == BARE
    file.write()
    file.path.write_text(FULL)
    file.undo()
    assert file.path.read_text() == FULL


def test_no_project_and_no_stack_file_are_one_line(tmp_path):
    with pytest.raises(OpsError, match=r"there is no Pulumi\.yaml in .* or above"):
        StackFile(Stack(tmp_path, "dev"))
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    with pytest.raises(OpsError, match=r"stack dev has no Pulumi\.dev\.yaml"):
        StackFile(Stack(tmp_path, "dev"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n", "the file is no mapping"),
        ("config: [a]\n", "config is no mapping"),
        ("config:\n  meetinity-data:database: foo\n", "meetinity-data:database is no mapping"),
        ("config:\n  meetinity-data:redis: {generations: [r1]}\n", "meetinity-data:redis.generations is no mapping"),
        ("config:\n  meetinity-data:redis: {generations: {r1: x}}\n", "redis.generations.r1 is no mapping"),
        (
            "config:\n  meetinity-data:redis: {generations: {r1: {restore: x}}}\n",
            "r1.restore is no mapping",
        ),
        ("config:\n  a: hunter2\n  a: hunter3\n", 'found duplicate key "a", line 3'),
        ("config:\n  a: [\n", "expected the node content"),
        ("config:\n  a: 2026-13-01\n", "what looks like a date or a number is none"),
        ("config:\n  a: !!int hunter2\n", "what looks like a date or a number is none"),
    ],
)
def test_what_no_edit_can_be_made_in_is_one_line(edit, text, says):
    with pytest.raises(OpsError) as refused:
        edit(text)
    assert str(refused.value).startswith("Pulumi.dev.yaml")
    assert says in str(refused.value)
    assert "hunter" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
