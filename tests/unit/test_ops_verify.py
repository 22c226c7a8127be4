"""What a verification calls different, and what of it is wrong."""

from __future__ import annotations

import pytest

from ops.verify import SAMPLED_KEYS, Report, common_sample, parse

SOURCE = {
    ("revision", "public.alembic_version"): "0003",
    ("extension", "plpgsql"): "1.0",
    ("role", "reporting"): "login",
    ("table", "public.users"): "3 rows, checksum 7",
    ("keys", "all"): "2",
    ("key", "a"): "string 1",
}


@pytest.mark.parametrize(
    ("change", "wrong", "wrong_if_exact"),
    [
        ({}, 0, 0),
        ({("table", "public.users"): "2 rows, checksum 5"}, 0, 1),
        ({("keys", "all"): "1", ("key", "a"): None}, 0, 2),
        ({("table", "public.users"): None}, 1, 1),
        ({("table", "public.more"): "0 rows, checksum 0"}, 1, 1),
        ({("revision", "public.alembic_version"): "0002"}, 1, 1),
        ({("extension", "plpgsql"): None}, 1, 1),
        ({("role", "reporting"): "group"}, 1, 1),
    ],
)
def test_structure_must_be_the_same_and_content_may_have_lived_on(change, wrong, wrong_if_exact):
    facts = {key: value for key, value in {**SOURCE, **change}.items() if value is not None}
    report = Report("r1", "main", facts, SOURCE)
    assert (len(report.wrong(exact=False)), len(report.wrong(exact=True))) == (wrong, wrong_if_exact)
    assert report.as_document()["same"] == (not wrong_if_exact)
    assert report.as_document()["structureAsExpected"] == (not wrong)


MIGRATED = {("revision", "public.alembic_version"): "0003", ("table", "public.alembic_version"): "1 rows, checksum 3"}


@pytest.mark.parametrize(
    ("common", "name", "restored", "source", "empty"),
    [
        ({}, ("keys", "all"), "0", "2", True),
        ({}, ("keys", "all"), "1", "2", False),
        ({}, ("keys", "all"), "0", "0", False),
        # The revision is a row as well, and the only one of a store that was migrated and not restored.
        (MIGRATED, ("table", "public.users"), "0 rows, checksum 0", "3 rows, checksum 7", True),
        (MIGRATED, ("table", "public.users"), "2 rows, checksum 5", "3 rows, checksum 7", False),
    ],
)
def test_a_restore_that_brought_nothing_back_is_wrong(common, name, restored, source, empty):
    report = Report("r1", "main", {**common, name: restored}, {**common, name: source})
    assert report.wrong(exact=False) == (["it holds nothing, and main does"] if empty else [])


def test_the_difference_is_told_in_words():
    report = Report("r1", "main", {**SOURCE, ("role", "reporting"): "group"}, SOURCE)
    assert report.wrong(exact=False) == ["role reporting: group instead of login"]
    missing = Report("r1", "main", {}, {("table", "public.users"): "3 rows, checksum 7"})
    assert missing.wrong(exact=False) == ["table public.users: missing instead of 3 rows, checksum 7"]


def test_lines_are_read_and_noise_is_not():
    text = "psql: warning|x\ntable|public.a|b|1 rows, checksum 2\nkeys|all|7\nsomething else\n"
    assert parse(text) == {("table", "public.a|b"): "1 rows, checksum 2", ("keys", "all"): "7"}


def test_keys_past_the_end_of_a_full_sample_are_not_compared():
    full = {("key", f"k{number:04}"): "string 1" for number in range(SAMPLED_KEYS)}
    longer = {("key", "a"): "string 1", ("key", "k9999"): "string 1", ("keys", "all"): "9"}
    assert common_sample(longer, full) == {("key", "a"): "string 1", ("keys", "all"): "9"}
    assert common_sample(longer, {("key", "a"): "string 1"}) == longer
