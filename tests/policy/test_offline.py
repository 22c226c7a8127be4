"""`make policy`: a verdict from the committed stack file alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.configuration import DIRECTORY, for_environment
from policies.offline import CHECKOUT, main, report, resources
from settings import defaults

PROD = yaml.safe_load((CHECKOUT / "Pulumi.prod.yaml").read_text())["config"]
DATABASE = "meetinity-data:database"
TODAY = datetime.now(UTC).date()
SOON = (TODAY + timedelta(days=30)).isoformat()


def stack_file(directory: Path, changes: Mapping[str, Any]) -> Path:
    path = directory / "Pulumi.prod.yaml"
    path.write_text(yaml.safe_dump({"config": {**PROD, **changes}}))
    return path


def test_make_policy_needs_neither_credentials_nor_network():
    bare = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-m", "policies.offline", "prod"], cwd=CHECKOUT, env=bare,
        capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "prod passes the policies of prod: " in done.stdout
    assert ", 0 violations, " in done.stdout


@pytest.mark.parametrize("stack", ["local", "dev", "staging", "prod"])
def test_every_committed_stack_passes(stack):
    assert main([stack]) == 0


def test_three_days_of_backups_in_production_are_refused_by_rule_resource_value_floor_and_fix(tmp_path, capsys):
    changed = stack_file(tmp_path, {DATABASE: {"backupRetentionPeriod": 3}})
    assert main(["prod", "--stack-file", str(changed)]) == 1
    said = capsys.readouterr().out
    assert "aurora-backup-retention (critical)  database-cluster" in said
    assert "backupRetentionPeriod is 3; 14 to 35 days are asked for. Fix: set backupRetentionPeriod" in said
    assert "prod is refused by the policies of prod" in said


def test_performance_insights_off_is_refused_on_the_cluster_and_on_every_instance(tmp_path, capsys):
    changed = stack_file(tmp_path, {DATABASE: {"performanceInsightsEnabled": False}})
    assert main(["prod", "--json", "--stack-file", str(changed)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] is False
    assert {each["name"] for each in report["findings"] if each["rule"] == "performance-insights-on"} == {
        "database-cluster", "database-instance-1", "database-instance-2",
    }  # fmt: skip
    assert main(["prod", "--stack-file", str(changed)]) == 1
    said = capsys.readouterr().out
    assert "performance-insights-on (high)  database-cluster" in said
    assert "performanceInsightsEnabled is false; it must be true. Fix: set performanceInsightsEnabled" in said


# A default made unsafe, with what the settings require beside it.
UNSAFE = [
    (
        {"backupRetentionPeriod": 3},
        "aurora-backup-retention",
        {"database-cluster"},
        "backupRetentionPeriod is 3; 14 to 35 days are asked for. Fix: set backupRetentionPeriod "
        "(meetinity-data:database.backupRetentionPeriod) to 14 days or more",
    ),
    (
        {"performanceInsightsEnabled": False},
        "performance-insights-on",
        {"database-cluster", "database-instance-1", "database-instance-2"},
        "performanceInsightsEnabled is false; it must be true. Fix: set performanceInsightsEnabled "
        "(meetinity-data:database.performanceInsightsEnabled) to true",
    ),
    (
        {"performanceInsightsRetentionPeriod": 7, "databaseInsightsMode": "standard"},
        "performance-insights-retention",
        {"database-cluster", "database-instance-1", "database-instance-2"},
        "performanceInsightsRetentionPeriod is 7; at least 465 days are asked for, as 7, a multiple of 31 up to 713, "
        "or 731. Fix: set performanceInsightsRetentionPeriod "
        "(meetinity-data:database.performanceInsightsRetentionPeriod) to 465 days or more",
    ),
]


@pytest.mark.parametrize(("unsafe", "rule", "names", "message"), UNSAFE, ids=[each[1] for each in UNSAFE])
@pytest.mark.parametrize("line", ["deleted", "there"])
def test_an_unsafe_default_is_refused_once_the_line_that_covered_it_is_gone(
    tmp_path, capsys, monkeypatch, line, unsafe, rule, names, message
):
    """With the line in the stack file the unsafe default does no harm; without it rule, resource, value, floor and fix
    are named."""
    safe = dict(defaults._DIFFERENCES["prod"]["database"])
    monkeypatch.setitem(defaults._DIFFERENCES, "prod", {"database": {**safe, **unsafe}})
    lines = {**safe, "performanceInsightsEnabled": True} if line == "there" else {}
    changed = stack_file(tmp_path, {DATABASE: lines})
    assert main(["prod", "--json", "--stack-file", str(changed)]) == (0 if line == "there" else 1)
    found = json.loads(capsys.readouterr().out)["findings"]
    refused = [each for each in found if each["rule"] == rule and each["outcome"] == "mandatory"]
    told = {(each["name"], each["message"]) for each in refused}
    assert told == ({(name, message) for name in names} if line == "deleted" else set())
    if line == "deleted":
        assert main(["prod", "--stack-file", str(changed)]) == 1
        table = " ".join(capsys.readouterr().out.split())
        assert f"{rule} (" in table
        assert all(f") {name} {message}" in table for name in names)


def test_a_default_that_the_settings_themselves_refuse_is_no_pass(capsys, monkeypatch):
    """Advanced without the days that it takes: no program runs, so no rule is asked."""
    safe = defaults._DIFFERENCES["prod"]["database"]
    changed = {**safe, "performanceInsightsRetentionPeriod": 7}
    monkeypatch.setitem(defaults._DIFFERENCES, "prod", {"database": changed})
    assert main(["prod"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "policies were not checked: " in told.err
    assert "meetinity-data:database.performanceInsightsRetentionPeriod" in told.err


EXEMPTION = {"owner": "platform team", "reason": "rehearsal of a restore", "until": SOON}
URN = "urn:pulumi:prod::meetinity-data::meetinity:data:AuroraCluster$aws:rds/cluster:Cluster::{}"


def exempting(directory: Path, *names: str, **changes: str) -> Path:
    path = directory / "policies.json"
    given = json.loads((DIRECTORY / "prod.json").read_text())
    exemptions = [{"urn": URN.format(name), **EXEMPTION, **changes} for name in names]
    given["aurora-backup-retention"] = {**given["aurora-backup-retention"], "exemptions": exemptions}
    path.write_text(json.dumps(given))
    return path


def test_an_exemption_lets_pass_and_says_who_answers_for_it(tmp_path, capsys):
    changed = stack_file(tmp_path, {DATABASE: {"backupRetentionPeriod": 3}})
    arguments = ["prod", "--stack-file", str(changed), "--policies", str(exempting(tmp_path, "database-cluster"))]
    assert main(arguments) == 0
    table = capsys.readouterr().out
    assert "exempted:\n  aurora-backup-retention (critical)  database-cluster\n" in table
    said = (
        "backupRetentionPeriod is 3; 14 to 35 days are asked for; "
        f"exempted by platform team until {SOON}: rehearsal of a restore"
    )
    assert said in " ".join(table.split())
    assert ", 1 exempted, " in table
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [(each["rule"], each["name"], each["message"]) for each in found if each["outcome"] == "exempted"] == [
        ("aurora-backup-retention", "database-cluster", said)
    ]


def test_an_exemption_that_nothing_needs_is_reported(tmp_path, capsys):
    policies = exempting(tmp_path, "database-cluster", "of-another-time")
    assert main(["prod", "--policies", str(policies)]) == 0
    table = " ".join(capsys.readouterr().out.split())
    for name in ("database-cluster", "of-another-time"):
        assert f"platform team's exemption until {SOON} is not needed for {URN.format(name)}: take it out" in table
    assert main(["prod", "--policies", str(policies), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [each["urn"] for each in found if each["outcome"] == "idle"] == [
        URN.format("database-cluster"), URN.format("of-another-time"),
    ]  # fmt: skip


@pytest.mark.parametrize("until", ["2026-19-39", "2099-02-30"])
def test_an_exemption_without_a_real_day_is_no_pass(tmp_path, capsys, until):
    policies = exempting(tmp_path, "database-cluster", until=until)
    assert main(["prod", "--policies", str(policies)]) == 2
    assert until in capsys.readouterr().err


def test_a_secret_that_is_sealed_in_the_stack_file_needs_no_key(tmp_path, capsys):
    sealed = {"secure": "v1:AAAA:BBBB"}
    changes = {DATABASE: {"masterPassword": sealed}, "meetinity-data:redis": {"authToken": sealed}}
    assert main(["prod", "--json", "--stack-file", str(stack_file(tmp_path, changes))]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "redis-authenticated" not in {each["rule"] for each in report["findings"]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["qa"], "Pulumi.qa.yaml"),
        (["prod", "--policies", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_cannot_be_checked_is_no_pass(capsys, arguments, said):
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err


def test_a_configuration_that_the_program_refuses_is_no_pass(tmp_path, capsys):
    assert main(["prod", "--stack-file", str(stack_file(tmp_path, {DATABASE: {"port": 1}}))]) == 2
    assert "meetinity-data:database.port" in capsys.readouterr().err


def test_a_stack_cannot_choose_a_weaker_environments_policies(tmp_path, capsys):
    changed = stack_file(tmp_path, {"meetinity-data:environment": "dev"})
    assert main(["prod", "--stack-file", str(changed)]) == 2
    assert "says that it is dev: a stack named like an environment is held to it" in capsys.readouterr().err


def test_configuration_that_nobody_can_see_here_is_no_pass(tmp_path, capsys):
    """Pulumi ESC could set any key at `up`."""
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(yaml.safe_dump({"environment": ["prod-overrides"], "config": PROD}))
    assert main(["prod", "--stack-file", str(path)]) == 2
    assert "Pulumi.prod.yaml takes configuration from an `environment`" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["meetinity-data:database", "database"])
@pytest.mark.parametrize(
    ("declared", "code", "said"),
    [
        ({"value": {"backupRetentionPeriod": 3}}, 1, "backupRetentionPeriod is 3; 14 to 35 days"),
        ({"type": "object", "default": {"backupRetentionPeriod": 3}}, 1, "backupRetentionPeriod is 3; 14 to 35 days"),
        ({"type": "object"}, 0, "prod passes"),
        ({"backupRetentionPeriod": 3}, 2, "has backupRetentionPeriod"),
    ],
)
def test_what_the_project_says_for_every_stack_counts(tmp_path, capsys, monkeypatch, key, declared, code, said):
    """The engine puts it under the stack file's own keys."""
    project = tmp_path / "Pulumi.yaml"
    project.write_text(yaml.safe_dump({"name": "meetinity-data", "config": {key: declared}}))
    monkeypatch.setattr("policies.offline.PROJECT_FILE", project)
    assert main(["prod"]) == code
    told = capsys.readouterr()
    assert said in told.out + told.err


@pytest.mark.parametrize("text", ["", "config:", "other: {}", "config: [", "- 1"])
def test_a_file_that_is_no_stack_file_is_said_to_be_none_and_is_no_violation(tmp_path, capsys, text):
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(text)
    assert main(["prod", "--stack-file", str(path)]) == 2
    assert "policies were not checked: " in capsys.readouterr().err


def findings(tmp_path: Path, program: str, rule: str) -> list[str]:
    path = tmp_path / "__main__.py"
    path.write_text(program)
    lines = report(resources("prod", {}, program=path), for_environment("prod"), TODAY)
    return [each.name for each in lines if each.rule == rule and each.outcome == "mandatory"]


def test_outputs_are_looked_at_in_every_run(tmp_path):
    """The root stack is registered, and finished, before a program run over mocks begins."""
    told = 'import pulumi\npulumi.export("database_password", "hunter2hunter2")'
    kept = 'import pulumi\npulumi.export("database_password", pulumi.Output.secret("hunter2hunter2"))'
    for program, names in ((told, ["meetinity-data-prod"]), (kept, []), (told, ["meetinity-data-prod"])):
        assert findings(tmp_path, program, "no-credential-in-outputs") == names


def test_a_kind_of_the_core_group_is_the_same_as_a_custom_resource(tmp_path):
    program = """
from pulumi_kubernetes.apiextensions import CustomResource
spec = {"containers": [{"name": "a", "image": "a:1", "env": [{"name": "DB_PASSWORD", "value": "hunter2"}]}]}
CustomResource("a", api_version="v1", kind="Pod", metadata={"namespace": "n"}, spec=spec)
"""
    assert findings(tmp_path, program, "no-credential-in-env") == ["a"]


def test_what_another_aws_provider_makes_is_refused(tmp_path):
    program = """
import pulumi
pulumi.CustomResource("aws-native:redshift:Cluster", "a", {}, None)
pulumi.CustomResource("pulumi-python:dynamic:Resource", "b", {}, None)
"""
    assert findings(tmp_path, program, "stores-covered") == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"config: {1: 2}", "the key 1 is no text"),
        (b"config: {null: 2}", "the key None is no text"),
        (b"config: {'aws:region': hunter2, 'aws:region': hunter3}", 'found duplicate key "aws:region", line 1'),
        (b"config: [a]", "`config` is no mapping"),
        (b"config: {a: 2026-13-01}", "what looks like a date or a number is none"),
        (b"config: {a: !!int hunter2}", "what looks like a date or a number is none"),
        (b"config: {'meetinity-data:tags': 2026-01-01}", "meetinity-data:tags holds what is no text"),
        (b"config: {'meetinity-data:tags': '\xff'}", "Pulumi.prod.yaml is no YAML file"),
    ],
)
def test_a_stack_file_that_cannot_be_read_is_said_in_one_line(tmp_path, capsys, content, said):
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_bytes(content)
    assert main(["prod", "--stack-file", str(path)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("policies were not checked: ")
    assert said in line
    assert "hunter" not in line


def test_a_reader_that_has_seen_enough_gets_no_traceback():
    with subprocess.Popen(
        [sys.executable, "-m", "policies.offline", "prod"], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_stack_without_a_file_is_told_which_there_are(capsys):
    assert main(["qa"]) == 2
    assert "there is no Pulumi.qa.yaml; the stacks are dev, local, prod, staging" in capsys.readouterr().err


def test_an_exemption_far_ahead_is_no_pass(tmp_path, capsys):
    ahead = (TODAY + timedelta(days=367)).isoformat()
    policies = exempting(tmp_path, "database-cluster", until=ahead)
    changed = stack_file(tmp_path, {DATABASE: {"backupRetentionPeriod": 3}})
    assert main(["prod", "--stack-file", str(changed), "--policies", str(policies)]) == 1
    assert f"exemption ends on {ahead}; at most 366 days ahead" in " ".join(capsys.readouterr().out.split())
