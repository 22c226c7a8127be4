"""Every rule as a function: each state of the value it is about, and the exact words."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.catalogue import RULES
from policies.rule import Doubt, ResourceRule, Terms, idle, judge
from policies.value import UNKNOWN, Secret
from tests.policy.samples import PROPERTIES, sample
from tests.policy.scenarios import SCENARIOS, STATES, Scenario

TODAY = date(2026, 11, 23)
BY_NAME = {rule.name: rule for rule in RULES}


def terms(rule, options=None, today=TODAY) -> Terms:
    return Terms(options={**rule.defaults(), **(options or {})}, today=today)


def shown(doubt: Doubt, *, with_name: bool) -> str:
    return f"{doubt.path} of {doubt.name}" if with_name else doubt.path


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_rule_says_exactly_what_is_wrong_and_how_to_mend_it(scenario: Scenario):
    rule = BY_NAME[scenario.rule]
    held = terms(rule, scenario.options)
    verdict = judge(rule, scenario.resources, held)
    assert [each.message for each in verdict.violations] == [
        f"{finding}. Fix: {rule.advice(held)}" for finding in scenario.findings
    ]
    of_a_stack = not isinstance(rule, ResourceRule)
    assert [shown(each, with_name=of_a_stack) for each in verdict.undecided] == list(scenario.undecided)


def test_every_rule_meets_every_state():
    """A rule that was never asked about an unknown, or a null, is a rule that may pass it."""
    met = {rule.name: set() for rule in RULES}
    for scenario in SCENARIOS:
        met[scenario.rule].add(scenario.state)
    # These look at no property: at a resource option, and at the type itself.
    met["data-protected"] |= set(STATES)
    met["stores-covered"] |= set(STATES)
    # Its violation depends on the day: tested by date below.
    met["engine-support-ending"] |= {"violating", "secret"}
    assert {name: set(STATES) - states for name, states in met.items() if set(STATES) - states} == {}


@pytest.mark.parametrize(
    ("today", "advice", "refusal"),
    [
        (date(2028, 8, 28), [], []),
        (
            date(2028, 8, 29),
            ['engineVersion is "16.15", whose standard support ends on 2029-02-28, in 183 days'],
            [],
        ),
        (
            date(2029, 2, 28),
            ['engineVersion is "16.15", whose standard support ends on 2029-02-28, in 0 days'],
            [],
        ),
        (
            date(2029, 3, 1),
            [],
            ['engineVersion is "16.15", whose standard support ended on 2029-02-28'],
        ),
    ],
)
def test_an_engine_near_its_end_is_advised_against_for_six_months_and_refused_after(today, advice, refusal):
    ending, supported = BY_NAME["engine-support-ending"], BY_NAME["engine-supported"]
    assert (ending.level, supported.level) == ("advisory", "mandatory")
    for rule, expected in ((ending, advice), (supported, refusal)):
        verdict = judge(rule, [sample("aws:rds/cluster:Cluster")], terms(rule, today=today))
        assert [each.message for each in verdict.violations] == [f"{each}. Fix: {rule.fix}" for each in expected]


_SHORT = "backupRetentionPeriod is 3; 14 to 35 days are asked for"
_URN = "urn:pulumi:prod::meetinity-data::aws:rds/cluster:Cluster::it"


@pytest.mark.parametrize(
    ("urn", "until", "ends"),
    [
        (_URN, "2026-11-23", None),
        (_URN, "2026-11-22", f"{_SHORT}. ops's exemption ended on 2026-11-22. Fix:"),
        (_URN + "-2", "2027-01-01", f"{_SHORT}. Fix:"),
        *(
            (_URN, until, f"{_SHORT}. ops's exemption ends on {until}, which is no day of the calendar. Fix:")
            for until in ("2026-19-39", "2099-02-30", "2099-12-01T00:00", "20991201", "2099-W01-1", "for ever", "")
        ),
    ],
)
def test_an_exemption_holds_for_its_resource_until_its_day(urn, until, ends):
    rule = BY_NAME["aurora-backup-retention"]
    exemption = {"urn": urn, "owner": "ops", "reason": "is retired next week", "until": until}
    held = terms(rule, {"exemptions": [exemption]})
    verdict = judge(rule, [sample("aws:rds/cluster:Cluster", {"backupRetentionPeriod": 3})], held)
    assert [each.message.startswith(ends) for each in verdict.violations] == ([True] if ends else [])
    said = f"{_SHORT}; exempted by ops until {until}: is retired next week"
    assert [(each.urn, each.message) for each in verdict.exempted] == ([] if ends else [(urn, said)])
    said = f"ops's exemption until {until} is not needed for {urn}: take it out"
    assert [each.message for each in idle(held, verdict.urns)] == ([said] if urn != _URN else [])


def test_an_exemption_that_nothing_needs_is_idle_but_one_for_what_is_not_known_yet_is_not():
    rule = BY_NAME["aurora-backup-retention"]
    exemption = {"urn": _URN, "owner": "ops", "reason": "is retired next week", "until": "2026-12-01"}
    held = terms(rule, {"exemptions": [exemption]})
    for value, expected in ((14, 1), (UNKNOWN, 0), (3, 0)):
        verdict = judge(rule, [sample("aws:rds/cluster:Cluster", {"backupRetentionPeriod": value})], held)
        assert len(list(idle(held, verdict.urns))) == expected


def test_of_two_exemptions_the_one_that_holds_counts():
    rule = BY_NAME["aurora-backup-retention"]
    exemption = {"urn": _URN, "owner": "ops", "reason": "is retired next week"}
    held = terms(rule, {"exemptions": [{**exemption, "until": until} for until in ("2026-01-01", "2026-12-01")]})
    verdict = judge(rule, [sample("aws:rds/cluster:Cluster", {"backupRetentionPeriod": 3})], held)
    assert verdict.violations == ()


@pytest.mark.parametrize("missing", ["owner", "reason", "until"])
def test_an_exemption_that_came_past_its_schema_lets_nothing_pass_without_a_date(missing):
    rule = BY_NAME["aurora-backup-retention"]
    whole = {"urn": _URN, "owner": "ops", "reason": "is retired next week", "until": "2026-12-01"}
    held = terms(rule, {"exemptions": [{key: value for key, value in whole.items() if key != missing}]})
    verdict = judge(rule, [sample("aws:rds/cluster:Cluster", {"backupRetentionPeriod": 3})], held)
    assert bool(verdict.violations) == (missing == "until")


_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 99)
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.just(UNKNOWN),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "value", "spec", "lifecycle", "env"]), inner, max_size=3)
        | inner.map(Secret)
    ),
    max_leaves=6,
)


def _paths(value, above=()):
    if isinstance(value, Secret):
        value = value.value
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in entries:
        yield (*above, str(key))
        yield from _paths(each, (*above, str(key)))


_PLACES = [(type_, "/".join(path)) for type_, properties in PROPERTIES.items() for path in _paths(properties)]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(_PLACES), _ANYTHING)
def test_no_value_anywhere_makes_a_rule_fail(place, value):
    """An exception in a rule stops the whole deployment with a traceback."""
    type_, path = place
    changed = sample(type_, {path: value})
    for rule in RULES:
        judge(rule, [changed], terms(rule))


def test_a_capability_that_is_not_known_yet_is_undecided_and_no_crash():
    """An exception in a rule fails the engine's Analyze call, and the preview with it."""
    from policies.value import UNKNOWN, Undecided, Value
    from policies.workloads import _capabilities

    container = Value({"securityContext": {"capabilities": {"drop": ["ALL"], "add": [UNKNOWN]}}}, "container")
    (finding,) = _capabilities(container)
    assert isinstance(finding, Undecided)
