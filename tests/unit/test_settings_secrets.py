"""No secret reaches a message, wherever it was put by mistake."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from settings import Settings, SettingsError
from settings.base import Model
from settings.load import SECRETS
from tests.unit.stack_config import load, refusal

# Letters that no message of ours holds, so that finding one is finding a password.
MARK = "ÄЖ"
passwords = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(lambda text: MARK + text)
digits = st.integers(10**11, 10**12)
keys = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30)
SECTIONS = sorted(str(field.alias) for field in Settings.model_fields.values())
quickly = settings(max_examples=150, deadline=None)


def message(config: dict[str, Any], *secret: str) -> str:
    """What a person would read; empty if nothing is refused."""
    try:
        load(config, secret=secret)
    except SettingsError as error:
        return f"{error}{error!r}{error.problems}{error.__cause__}{error.__context__}"
    return ""


def anywhere(below: Any) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.just(below),
        st.just([below]),
        keys.map(lambda key: {key: below}),
        keys.map(lambda key: {"generations": {key: {"restore": {"snapshot": below}}}}),
    )


@quickly
@given(section=st.sampled_from(SECTIONS), key=keys, data=st.data())
def test_under_a_secret_section_no_value_is_ever_shown(section: str, key: str, data: st.DataObject) -> None:
    hidden = data.draw(passwords | digits)
    value = data.draw(anywhere(hidden))

    assert str(hidden) not in message({section: {key: value}}, section)
    assert str(hidden) not in message({section: value}, section)


@quickly
@given(section=st.sampled_from(SECTIONS), hidden=passwords, data=st.data())
def test_under_a_secret_section_known_keys_are_as_silent(section: str, hidden: str, data: st.DataObject) -> None:
    annotation: Any = Settings.model_fields[section].annotation
    if not (isinstance(annotation, type) and issubclass(annotation, Model)):
        return
    key = data.draw(st.sampled_from([str(field.alias) for field in annotation.model_fields.values()]))

    text = message({section: {key: data.draw(anywhere(hidden))}}, section)

    assert MARK not in text


@quickly
@given(section=st.sampled_from(["database", "redis", "kubernetes", "chache"]), key=keys, hidden=passwords)
def test_under_a_misspelt_key_it_is_not_shown_even_in_clear(section: str, key: str, hidden: str) -> None:
    assert MARK not in message({section: {f"x{key}": hidden}})
    assert MARK not in message({f"x{section}": {"masterPassword": hidden}})
    assert MARK not in message({section: hidden})


@quickly
@given(where=st.sampled_from(SECRETS), hidden=passwords, secret=st.booleans())
def test_the_fields_for_secrets_never_show_theirs(where: tuple[str, str], hidden: str, secret: bool) -> None:
    section, key = where
    for value in (hidden, [hidden], {"value": hidden}):
        assert MARK not in message({section: {key: value}}, *([section] if secret else []))


def test_a_password_glued_to_its_key_is_cut_off() -> None:
    error = refusal({"database": {"masterPassword:hunter2": None}})

    assert [problem.path for problem in error.problems] == ["meetinity-data:database.masterPassword…"]
    assert "hunter2" not in str(error)


def test_a_right_spelling_made_from_a_secret_is_not_offered() -> None:
    error = refusal({"database": {"name": "Hunter_2"}}, secret=["database"])

    assert "hunter-2" not in str(error)


@pytest.mark.parametrize(("section", "key"), SECRETS)
def test_a_secret_in_clear_is_refused_though_it_is_well_formed(section: str, key: str) -> None:
    network = {"vpcId": "vpc-0a1b2c3d", "privateSubnetIds": ["subnet-0a1b2c3d", "subnet-0a1b2c3e"]}
    config = {"network": network, section: {key: "abcdefghijklmnopqrst"}}

    (problem,) = refusal(config).problems

    assert problem.received == "a value in clear, which is not shown"
    assert load(config, secret=[section])


def test_what_is_accepted_hides_in_the_model_as_well() -> None:
    accepted = load({"database": {"masterPassword": "hunter2hunter2"}}, secret=["database"])

    assert "hunter2" not in repr(accepted)
    assert "hunter2" not in accepted.model_dump_json()
    assert accepted.database.master_password is not None
    assert accepted.database.master_password.get_secret_value() == "hunter2hunter2"


def test_the_list_of_secret_fields_is_that_of_the_models() -> None:
    found = {
        (str(section.alias), str(field.alias))
        for section in Settings.model_fields.values()
        if isinstance(section.annotation, type) and issubclass(section.annotation, Model)
        for field in section.annotation.model_fields.values()
        if "SecretStr" in str(field.annotation) or SecretStr in get_args(field.annotation)
    }

    assert found == set(SECRETS)
