"""`make policy`: a verdict from the committed stack file alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.offline import CHECKOUT, main

PROD = yaml.safe_load((CHECKOUT / "Pulumi.prod.yaml").read_text())["config"]
DATABASE = "meetinity-data:database"


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


@pytest.mark.parametrize(
    ("key", "unsafe", "rule"),
    [
        ("backupRetentionPeriod", 1, "aurora-backup-retention"),
        ("performanceInsightsEnabled", False, "performance-insights-on"),
        ("performanceInsightsRetentionPeriod", 7, "performance-insights-retention"),
    ],
)
def test_a_line_taken_out_of_the_stack_file_over_an_unsafe_default_is_refused(capsys, monkeypatch, key, unsafe, rule):
    """The stack file says nothing of it; the defaults have been made unsafe."""
    from settings import defaults

    changed = {**defaults._DIFFERENCES["prod"]["database"], "databaseInsightsMode": "standard"}
    if key == "performanceInsightsEnabled":
        changed["performanceInsightsRetentionPeriod"] = None
    changed[key] = unsafe
    monkeypatch.setitem(defaults._DIFFERENCES, "prod", {"database": changed})
    assert main(["prod", "--json"]) == 1
    assert rule in {each["rule"] for each in json.loads(capsys.readouterr().out)["findings"]}


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


@pytest.mark.parametrize("text", ["", "config:", "other: {}", "config: [", "- 1"])
def test_a_file_that_is_no_stack_file_is_said_to_be_none_and_is_no_violation(tmp_path, capsys, text):
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(text)
    assert main(["prod", "--stack-file", str(path)]) == 2
    assert "policies were not checked: " in capsys.readouterr().err
