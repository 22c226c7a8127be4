"""The same words from the real analyzer process, and what only it can show: levels, marks, remediation."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from pulumi.runtime.proto import analyzer_pb2 as proto

from policies import tokens
from policies.catalogue import RULES
from policies.rule import StackRule, Terms
from policies.value import UNKNOWN, Secret
from tests.policy.analyzer import PACK, SECRET_SIGNATURE, SIGNATURE
from tests.policy.samples import MISSING, sample
from tests.policy.scenarios import SCENARIOS, Scenario
from tests.policy.test_rules import BY_NAME, TODAY

SOON = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_the_analyzer_says_what_the_rule_says(analyzer, scenario: Scenario):
    rule = BY_NAME[scenario.rule]
    level = "advisory" if rule.level == "advisory" else "mandatory"
    analyzer.only(rule.name, level, scenario.options)
    if isinstance(rule, StackRule):
        diagnostics = analyzer.analyze_stack(scenario.resources)
    else:
        diagnostics = [each for resource in scenario.resources for each in analyzer.analyze(resource)]
    advice = rule.advice(Terms(options={**rule.defaults(), **scenario.options}, today=TODAY))
    expected = [f"{rule.requires}\n{finding}. Fix: {advice}" for finding in scenario.findings]
    if scenario.undecided:
        names = ", ".join(scenario.undecided)
        expected.append(f"{rule.requires}\n{rule.name} is undecided until it knows {names}")
    assert [each.message for each in diagnostics] == expected
    levels = [each.enforcementLevel for each in diagnostics[: len(scenario.findings)]]
    assert set(levels) <= {proto.ADVISORY if level == "advisory" else proto.MANDATORY}
    if scenario.undecided:
        assert diagnostics[-1].enforcementLevel == proto.ADVISORY


def test_a_stack_rule_names_the_resource_at_fault(analyzer):
    analyzer.only("aurora-members", "mandatory")
    cluster = sample(tokens.CLUSTER, name="cluster")
    assert [each.urn for each in analyzer.analyze_stack([cluster])] == [cluster.urn]


def test_no_message_ever_holds_a_secret(analyzer):
    """Every rule at once over resources whose every text is the same secret."""
    analyzer.configure({rule.name: "mandatory" for rule in RULES})
    hidden = Secret("hunter2hunter2")

    def hide(value):
        if isinstance(value, dict):
            return {key: hide(each) for key, each in value.items()}
        return [hide(each) for each in value] if isinstance(value, list) else hidden

    for type_ in (tokens.CLUSTER, tokens.INSTANCE, tokens.REPLICATION_GROUP, tokens.JOB):
        resource = sample(type_)
        changed = type(resource)(type=type_, urn=resource.urn, name="it", properties=hide(dict(resource.properties)))
        said = [each.message for each in (*analyzer.analyze(changed), *analyzer.analyze_stack([changed]))]
        assert said, type_
        assert not [each for each in said if "hunter2" in each]


def test_every_rule_is_registered_with_its_metadata(analyzer):
    info = analyzer.info()
    assert info.name == "meetinity-data"
    assert [each.name for each in info.policies] == [rule.name for rule in RULES]
    for policy, rule in zip(info.policies, RULES, strict=True):
        assert policy.description == rule.requires
        assert proto.EnforcementLevel.Name(policy.enforcementLevel) == rule.level.upper()
        assert proto.PolicySeverity.Name(policy.severity) == f"POLICY_SEVERITY_{rule.severity.upper()}"
        assert policy.remediation_steps == rule.advice()
        assert list(policy.tags) == list(rule.controls)
        assert set(policy.configSchema.properties) == {*rule.options, "exemptions"}


def test_without_being_configured_the_pack_is_as_strict_as_production(analyzer):
    """`--policy-pack` without `--policy-pack-config` is no way out. The engine then sends the defaults."""
    analyzer.configure({})
    said = [each.policyName for each in analyzer.analyze(sample(tokens.CLUSTER, {"backupRetentionPeriod": 13}))]
    assert said == ["aurora-backup-retention"]


def test_an_exemption_reaches_the_rule_through_the_configuration(analyzer):
    short = sample(tokens.CLUSTER, {"backupRetentionPeriod": 3})
    exemption = {"urn": short.urn, "owner": "ops", "reason": "is retired next week", "until": SOON}
    analyzer.only("aurora-backup-retention", "mandatory", {"exemptions": [exemption]})
    (said,) = analyzer.analyze(short)
    assert said.enforcementLevel == proto.ADVISORY
    assert said.urn == short.urn
    assert said.message.endswith(
        f"backupRetentionPeriod is 3; 14 to 35 days are asked for; exempted by ops until {SOON}: is retired next week"
    )
    analyzer.only("aurora-backup-retention", "mandatory", {"exemptions": [{**exemption, "until": "2026-01-01"}]})
    assert [each.message for each in analyzer.analyze(short)] == [
        "Aurora keeps its automated backups for the environment's floor or longer\n"
        "backupRetentionPeriod is 3; 14 to 35 days are asked for. ops's exemption ended on 2026-01-01. "
        "Fix: set backupRetentionPeriod (meetinity-data:database.backupRetentionPeriod) to 14 days or more"
    ]


def test_an_exemption_whose_date_is_none_lets_nothing_pass(analyzer):
    short = sample(tokens.CLUSTER, {"backupRetentionPeriod": 3})
    exemption = {"urn": short.urn, "owner": "ops", "reason": "is retired next week", "until": "2099-02-30"}
    analyzer.only("aurora-backup-retention", "mandatory", {"exemptions": [exemption]})
    (said,) = analyzer.analyze(short)
    assert said.enforcementLevel == proto.MANDATORY
    assert "ops's exemption ends on 2099-02-30, which is no day of the calendar" in said.message


@pytest.mark.parametrize("rule", ["aurora-backup-retention", "final-snapshot-named-apart"])
def test_an_exemption_that_nothing_needs_is_reported_when_the_whole_stack_is_known(analyzer, rule):
    """And only that one, and once: of rules about one resource as of rules about several."""
    changes = {"backupRetentionPeriod": 3, "finalSnapshotIdentifier": "constant"}
    needed, idle = sample(tokens.CLUSTER, changes, name="needed"), "urn:pulumi:prod::meetinity-data::t::gone"
    exemption = {"owner": "ops", "reason": "is retired next week", "until": SOON}
    both = [{**exemption, "urn": urn} for urn in (needed.urn, idle)]
    for _ in range(2):  # A preview, and the update after it.
        analyzer.only(rule, "mandatory", {"exemptions": both})
        analyzer.analyze(needed)
        said = analyzer.analyze_stack([needed])
        told = [each.message.split("\n")[1] for each in said if "not needed" in each.message]
        assert told == [f"ops's exemption until {SOON} is not needed for {idle}: take it out"]
        assert {each.enforcementLevel for each in said} == {proto.ADVISORY}
    said = analyzer.analyze_stack([])
    assert len([each for each in said if "not needed" in each.message]) == 2


def test_a_kind_under_another_version_is_asked_the_same_rules(analyzer):
    analyzer.only("secrets-read-by-the-listed", "mandatory")
    binding = sample(tokens.ROLE_BINDING, {"roleRef/kind": "ClusterRole", "roleRef/name": "admin"})
    old = dataclasses.replace(binding, type="kubernetes:rbac.authorization.k8s.io/v1beta1:RoleBinding")
    assert [each.policyName for each in analyzer.analyze_stack([old])] == ["secrets-read-by-the-listed"]
    analyzer.only("job-backoff", "mandatory")
    job = sample(tokens.JOB, {"spec/backoffLimit": 6})
    patch = dataclasses.replace(job, type="kubernetes:batch/v1:JobPatch")
    assert [each.policyName for each in analyzer.analyze(patch)] == ["job-backoff"]


def test_remediation_adds_tags_in_place_and_keeps_every_mark(analyzer):
    values = {"Project": "meetinity", "Environment": "prod"}
    analyzer.only("tags-complete", "remediate", {"values": values})
    (properties,) = analyzer.remediate(sample(tokens.CLUSTER, {"tags": {"Name": "it", "Project": "wrong"}}))
    assert properties["tags"] == {"Name": "it", **values}
    assert properties["masterPassword"] == {SIGNATURE: SECRET_SIGNATURE, "value": "correcthorsebatterystaple"}
    (properties,) = analyzer.remediate(sample(tokens.CLUSTER, {"tags": Secret({"Name": "it"})}))
    assert properties["tags"] == {SIGNATURE: SECRET_SIGNATURE, "value": {"Name": "it", **values}}
    (properties,) = analyzer.remediate(sample(tokens.CLUSTER, {"tags": MISSING}))
    assert properties["tags"] == values


def test_remediation_copies_tags_to_snapshots(analyzer):
    analyzer.only("aurora-snapshot-tags-copied", "remediate")
    for value in (MISSING, None, False, "yes"):
        (properties,) = analyzer.remediate(sample(tokens.CLUSTER, {"copyTagsToSnapshot": value}))
        assert properties["copyTagsToSnapshot"] is True


@pytest.mark.parametrize("rule", ["tags-complete", "aurora-snapshot-tags-copied"])
def test_remediation_leaves_alone_what_is_right_or_is_not_known(analyzer, rule):
    analyzer.only(rule, "remediate")
    assert analyzer.remediate(sample(tokens.CLUSTER)) == []
    assert analyzer.remediate(sample(tokens.JOB)) == []
    if rule == "tags-complete":
        assert analyzer.remediate(sample(tokens.CLUSTER, {"tags": UNKNOWN})) == []


@pytest.mark.parametrize("rule", ["tags-complete", "aurora-snapshot-tags-copied"])
def test_remediation_is_opt_in(analyzer, rule):
    analyzer.only(rule, "mandatory")
    assert analyzer.remediate(sample(tokens.CLUSTER, {"tags": MISSING, "copyTagsToSnapshot": MISSING})) == []


def test_the_pack_imports_neither_sdk_and_nothing_of_the_program():
    """A pack that imported the AWS SDK would start in seconds, before every preview."""
    program = (
        "import sys, policies.crossguard as c; c.policies();"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'pulumi_aws', 'pulumi_kubernetes', 'pulumi_random',"
        " 'kubernetes', 'boto3', 'botocore', 'pydantic', 'components', 'settings', 'sandbox'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PACK.parent, env={**os.environ}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
