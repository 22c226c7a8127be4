"""The pack as a whole: its names, its documentation, what it covers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policies import tokens
from policies.catalogue import RULES
from policies.configuration import ENVIRONMENTS, for_environment
from policies.coverage import CONTROLS, PULUMI_PACKS, REASONS
from policies.page import page
from policies.rule import ResourceRule

PAGE = Path(__file__).parent.parent.parent / "docs" / "policies.md"
NAMES = [rule.name for rule in RULES]


def test_the_page_is_what_the_rules_say():
    assert PAGE.read_text() == page(), "the rules have changed: run `make docs`"


def test_every_rule_is_documented():
    text = PAGE.read_text()
    for rule in RULES:
        assert f"| `{rule.name}`" in text
        assert rule.why in text


def test_names_are_kebab_case_and_never_shared():
    assert len(NAMES) == len(set(NAMES))
    assert [name for name in NAMES if not re.fullmatch(r"[a-z]+(-[a-z]+)+", name)] == []


def test_every_rule_is_mandatory_unless_it_says_why_not():
    """Advice is for what is not wrong yet; disabled is what an environment has to ask for."""
    assert {rule.name: rule.level for rule in RULES if rule.level != "mandatory"} == {
        "aurora-own-key": "disabled",
        "backup-plan-covers-stores": "disabled",
        "engine-support-ending": "advisory",
        "image-by-digest": "advisory",
        "performance-insights-own-key": "disabled",
        "redis-own-key": "disabled",
    }


def test_every_control_is_answered_or_the_reason_stands_there():
    answered = {control for rule in RULES for control in rule.controls}
    assert answered - CONTROLS.keys() == set(), "controls that nobody has explained"
    assert CONTROLS.keys() - answered == REASONS.keys()


def test_every_policy_of_pulumis_own_packs_has_a_rule_here():
    assert {name for _, _, _, ours in PULUMI_PACKS for name in ours} <= set(NAMES)
    assert all(ours for _, _, _, ours in PULUMI_PACKS)


def test_remediation_exists_for_tags_alone():
    remedied = {rule.name for rule in RULES if isinstance(rule, ResourceRule) and rule.remedy}
    assert remedied == {"tags-complete", "aurora-snapshot-tags-copied"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_store_that_the_program_makes_is_looked_at_in_every_environment(environment):
    settings = for_environment(environment)
    for type_ in (tokens.CLUSTER, tokens.INSTANCE, tokens.REPLICATION_GROUP):
        looking = [rule for rule in RULES if type_ in rule.types and settings[rule.name].level == "mandatory"]
        assert len(looking) > 5
