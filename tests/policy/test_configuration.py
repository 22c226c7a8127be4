"""The environments' files: strict enough, no laxer upwards, and refused whole when something is wrong in them."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from policies.catalogue import RULES
from policies.configuration import ENVIRONMENTS, ConfigurationError, for_environment, load

FLOORS = {
    "aurora-backup-retention": (7, 7, 7, 14),
    "redis-snapshot-retention": (1, 1, 7, 7),
    "performance-insights-retention": (7, 7, 7, 465),
}


EXEMPTION = {"urn": "urn:pulumi:a::b::c::d", "owner": "ops", "reason": "a good reason", "until": "2026-12-01"}


@pytest.mark.parametrize("rule", FLOORS)
def test_the_floors_are_those_that_were_agreed(rule):
    assert tuple(for_environment(each)[rule].options["floor"] for each in ENVIRONMENTS) == FLOORS[rule]


def test_no_environment_is_laxer_than_the_one_before_it():
    strictness = {"disabled": 0, "advisory": 1, "remediate": 2, "mandatory": 2}
    settings = [for_environment(each) for each in ENVIRONMENTS]
    for rule in RULES:
        for below, above in pairwise(settings):
            assert strictness[below[rule.name].level] <= strictness[above[rule.name].level], rule.name
            if "floor" in rule.options:
                assert below[rule.name].options["floor"] <= above[rule.name].options["floor"], rule.name


def test_production_is_as_strict_as_the_rules_themselves():
    """A default that were stricter than production would be loosened there by nobody's decision, and the reverse."""
    for rule in RULES:
        setting = for_environment("prod")[rule.name]
        assert setting.level == rule.level
        own = {"secrets-read-by-the-listed": {"subjects"}, "tags-complete": {"values"}}.get(rule.name, set())
        for option, value in rule.defaults().items():
            assert option in own or setting.options[option] == value, rule.name


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        *(
            ({"data-protected": {"exemptions": [{**EXEMPTION, "until": until}]}}, problem)
            for until, problem in (
                ("2026-19-39", "it must match"),
                ("2026-00-10", "it must match"),
                ("20261201", "it must match"),
                ("2026-12-01\n", "which is no day of the calendar"),
                ("2026-W49-2", "it must match"),
                ("2026-02-30", "ops's exemption ends on 2026-02-30, which is no day of the calendar"),
                ("2026-11-31", "ops's exemption ends on 2026-11-31, which is no day of the calendar"),
            )
        ),
        *(
            ({"data-protected": {"exemptions": [{**EXEMPTION, **blank}]}}, "it must match")
            for blank in ({"owner": "   "}, {"reason": "          "})
        ),
        ([], "an object of rules is asked for"),
        ({"aurora-backup-retentoin": "mandatory"}, "did you mean aurora-backup-retention?"),
        ({"aurora-backup": "mandatory"}, "there is no rule aurora-backup"),
        (
            {"aurora-backup-retention": {"flor": 7}},
            "aurora-backup-retention: there is no option flor; there are floor, ",
        ),
        ({"aurora-backup-retention": {"floor": 1}}, "aurora-backup-retention.floor is 1; 2 to 35 are allowed"),
        ({"aurora-backup-retention": {"floor": "7"}}, 'aurora-backup-retention.floor is "7"; integer is asked for'),
        ({"aurora-backup-retention": {"floor": True}}, "aurora-backup-retention.floor is true; integer is asked for"),
        ({"aurora-backup-retention": 7}, "aurora-backup-retention: a level or an object is asked for"),
        (
            {"aurora-backup-retention": "off"},
            'aurora-backup-retention.enforcementLevel is "off"; it is one of mandatory',
        ),
        (
            {"aurora-backup-retention": "remediate"},
            'aurora-backup-retention.enforcementLevel is "remediate"; it is one',
        ),
        (
            {
                "data-protected": {
                    "exemptions": [{"urn": "urn:pulumi:a::b::c::d", "owner": "ops", "until": "2026-12-01"}]
                }
            },
            "data-protected.exemptions[0] has no reason",
        ),
        (
            {
                "data-protected": {
                    "exemptions": [{"urn": "x", "owner": "ops", "reason": "a good reason", "until": "soon"}]
                }
            },
            'data-protected.exemptions[0].urn is "x"; it must match',
        ),
        (
            {"secrets-read-by-the-listed": {"subjects": [{"kind": "Robot", "name": "r"}]}},
            'secrets-read-by-the-listed.subjects[0].kind is "Robot"; it is one of Group, User, ServiceAccount',
        ),
        (
            {"secrets-read-by-the-listed": {"subjects": [{"kind": "User", "name": "r", "extra": 1}]}},
            "secrets-read-by-the-listed.subjects[0] has extra, which is not among kind, name",
        ),
    ],
)
def test_a_mistake_in_a_file_is_refused_by_name(tmp_path, given, problem):
    """The engine itself ignores a rule or an option that it does not know: a misspelt floor would be none."""
    path = tmp_path / "prod.json"
    path.write_text(json.dumps(given))
    with pytest.raises(ConfigurationError) as refused:
        load(path)
    assert problem in str(refused.value)


def test_remediation_can_be_asked_for_where_there_is_a_remedy(tmp_path):
    path = tmp_path / "dev.json"
    path.write_text(json.dumps({"tags-complete": "remediate"}))
    assert load(path)["tags-complete"].level == "remediate"


def test_an_unknown_environment_is_refused():
    with pytest.raises(ConfigurationError, match="there is no environment qa; they are local, dev, staging, prod"):
        for_environment("qa")


def test_options_of_a_rule_that_is_off_are_refused_because_they_would_do_nothing(tmp_path):
    path = tmp_path / "prod.json"
    path.write_text(json.dumps({"backup-plan-covers-stores": {"floor": 90}}))
    with pytest.raises(ConfigurationError, match="off until enforcementLevel says otherwise"):
        load(path)


def test_a_rule_that_stands_twice_is_refused(tmp_path):
    """JSON takes the last one in silence, and the reader of a diff sees the first."""
    path = tmp_path / "prod.json"
    path.write_text('{"aurora-backup-retention": {"floor": 14}, "aurora-backup-retention": {"floor": 2}}')
    with pytest.raises(ConfigurationError, match="aurora-backup-retention stands twice"):
        load(path)
