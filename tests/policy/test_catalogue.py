"""The pack as a whole: its names, its documentation, what it covers."""

from __future__ import annotations

import re
from pathlib import Path

import pulumi_aws
import pytest

from policies import tokens
from policies.catalogue import RULES
from policies.configuration import ENVIRONMENTS, for_environment
from policies.coverage import CONTROLS, PULUMI_PACKS, REASONS, covering
from policies.page import page
from policies.rule import ResourceRule, StackRule
from policies.stores import NO_DATA, PACKAGES, REFUSED, RULED
from policies.tokens import KEYS

PAGE = Path(__file__).parent.parent.parent / "docs" / "policies.md"
NAMES = [rule.name for rule in RULES]
BY_NAME = {rule.name: rule for rule in RULES}


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


def test_every_control_is_answered_in_production_or_the_reason_stands_there():
    """What a rule that is off would answer is not answered."""
    named = {control for rule in RULES for control in rule.controls}
    assert named - CONTROLS.keys() == set(), "controls that nobody has explained"
    answered = {control for control in CONTROLS if covering(control)}
    assert CONTROLS.keys() - answered == REASONS.keys()
    on = {rule.name for rule in RULES if for_environment("prod")[rule.name].level != "disabled"}
    assert {name for control in CONTROLS for name in covering(control)} <= on


def test_the_page_claims_no_more_than_that():
    rows = re.findall(r"^\| ((?:CKV|RDS|ElastiCache)\S*) \| [^|]+ \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert [control for control, _ in rows] == list(CONTROLS)
    levels = {name: setting.level for name, setting in for_environment("prod").items()}
    for control, said in rows:
        if said.startswith("not covered: "):
            assert control in REASONS
            continue
        claimed = dict(re.findall(r"`([a-z-]+)`(?: \(([a-z]+)\))?", said))
        assert claimed, control
        for name, level in claimed.items():
            assert levels[name] == (level or "mandatory"), control
            assert control in BY_NAME[name].controls


@pytest.mark.parametrize("control", ["CKV_AWS_327", "CKV_AWS_354", "CKV_AWS_191", "CKV2_AWS_8"])
def test_a_rule_that_is_off_everywhere_covers_nothing(control):
    (rule,) = (rule for rule in RULES if control in rule.controls)
    assert {for_environment(each)[rule.name].level for each in ENVIRONMENTS} == {"disabled"}
    assert covering(control) == {}
    assert f"`{rule.name}` is there, off" in REASONS[control]


def test_every_kind_of_resource_near_data_has_rules_or_is_refused_or_holds_none():
    """A kind that a new SDK brings is decided about before it can pass unseen."""
    sdk = Path(pulumi_aws.__file__).parent
    kinds = {
        token
        for package in PACKAGES
        for file in (sdk / package).glob("*.py")
        for token in re.findall(rf"'(aws:{package}/(?!get)\w+:\w+)'", file.read_text())
    }
    assert len(kinds) > 60
    classified = [*RULED, *REFUSED, *NO_DATA]
    assert len(classified) == len(set(classified))
    assert kinds - set(classified) == set()
    ours = {each for each in classified if each.split("/")[0].removeprefix("aws:") in PACKAGES}
    assert ours - kinds == set(), "no such kind"
    asked = {type_ for rule in RULES for type_ in rule.types if rule.name not in ("tags-complete", "data-protected")}
    asked |= {type_ for rule in RULES if isinstance(rule, StackRule) for type_ in rule.sees} | {*KEYS}
    assert set(RULED) <= asked


def test_every_refused_kind_of_the_sdk_exists():
    """A misspelt kind would refuse nothing."""
    sdk = Path(pulumi_aws.__file__).parent
    for token in (each for each in REFUSED if each.startswith("aws:")):
        package = token.split(":")[1].split("/")[0]
        assert any(f"'{token}'" in file.read_text() for file in (sdk / package).glob("*.py")), token


@pytest.mark.parametrize(
    ("type_", "known"),
    [
        ("kubernetes:rbac.authorization.k8s.io/v1beta1:RoleBinding", tokens.ROLE_BINDING),
        ("kubernetes:rbac.authorization.k8s.io/v1:RoleBindingPatch", tokens.ROLE_BINDING),
        ("kubernetes:core/v1:SecretPatch", tokens.SECRET),
        ("kubernetes:batch/v2alpha1:CronJob", tokens.CRON_JOB),
        ("kubernetes:extensions/v1beta1:Deployment", "kubernetes:apps/v1:Deployment"),
        ("kubernetes:apps/v1beta2:StatefulSetPatch", "kubernetes:apps/v1:StatefulSet"),
        (tokens.CLUSTER, tokens.CLUSTER),
        (tokens.STACK, tokens.STACK),
    ],
)
def test_a_kind_under_another_version_is_the_kind_that_rules_know(type_, known):
    assert tokens.canonical(type_) == known


def test_every_type_that_a_rule_looks_at_is_its_own_canonical_one():
    for rule in RULES:
        for type_ in (*rule.types, *(rule.sees if isinstance(rule, StackRule) else ())):
            assert tokens.canonical(type_) == type_


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
