"""The pack under the real engine: our own stack passes, a careless program is stopped before anything is made."""

from __future__ import annotations

import json
import shutil
import subprocess
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.catalogue import RULES
from sandbox import stack
from sandbox.instance import CHECKOUT
from tests.sandbox.platform import Platform

CLUSTER = "aws:rds/cluster:Cluster"
PACK = CHECKOUT / "policies"
LOCAL = PACK / "environments" / "local.json"
SOON = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
WITH_POLICIES = ("--policy-pack", str(PACK), "--policy-pack-config", str(LOCAL))


@pytest.fixture(scope="module")
def platform(sandbox) -> Platform:
    return Platform(sandbox.instance, sandbox.environment)


@pytest.fixture(scope="module")
def first_up(platform) -> str:
    return platform.up(*WITH_POLICIES)


def test_our_own_stack_comes_up_under_its_policies_with_everything_decided(first_up):
    assert "meetinity-data@v" in first_up, "the pack did not run"
    assert "[mandatory]" not in first_up
    assert "undecided" not in first_up


def test_what_is_deployed_is_judged_without_the_program(platform, first_up):
    output = platform.run("pulumi", "policy", "analyze", "--stack", "local", *WITH_POLICIES, "--non-interactive")
    assert "[mandatory]" not in output
    strict = ("--policy-pack", str(PACK), "--policy-pack-config", str(PACK / "environments" / "prod.json"))
    output = platform.run("pulumi", "policy", "analyze", "--stack", "local", *strict, "--non-interactive", check=False)
    assert platform.code == 1
    assert "backupRetentionPeriod is 7; 14 to 35 days are asked for" in output
    output = platform.run("pulumi", "policy", "analyze", "--stack", "local", *strict, "--json", check=False)
    assert platform.code == 1
    (refused,) = [each for each in policy_events(output) if each["policyName"] == "aurora-backup-retention"]
    assert (refused["enforcementLevel"], refused["resourceUrn"]) == ("mandatory", platform.urn(CLUSTER))
    assert "backupRetentionPeriod is 7; 14 to 35 days are asked for" in refused["message"]


def test_an_exported_state_is_judged_with_no_backend_passphrase_or_cloud(platform, first_up, tmp_path):
    exported = tmp_path / "state.json"
    platform.run("pulumi", "stack", "export", "--file", str(exported))
    secretive = ("AWS_", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_BACKEND_URL", "KUBECONFIG")
    bare = {key: value for key, value in platform.environment.items() if not key.startswith(secretive)}
    elsewhere = Program(tmp_path, bare)
    output = elsewhere.pulumi("policy", "analyze", "--file", str(exported), *WITH_POLICIES)
    assert elsewhere.code == 0, output
    assert "analyzing with secret values redacted" in output
    # What is sealed is not taken for what it says; that it is sealed can be seen.
    assert "connection-secret-keys is undecided until it knows data" in output
    assert "redis-authenticated is undecided until it knows authToken" in output
    assert "credentials-marked-secret" not in output


def policy_events(output: str) -> list[dict[str, Any]]:
    """What the policies said among the engine's events, one a line; fails where those have no end."""
    events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert any("summaryEvent" in each for each in events), output
    assert all({"sequence", "timestamp"} <= set(each) for each in events)
    return [each["policyEvent"] for each in events if "policyEvent" in each]


@dataclass
class Program:
    """A program of its own, with a stack and a backend of its own."""

    directory: Path
    environment: dict[str, str]
    code: int = 0

    def pulumi(self, *arguments: str) -> str:
        program = stack.program(self.environment)
        done = subprocess.run(
            [str(program), *arguments, "--non-interactive"],
            cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
        )  # fmt: skip
        self.code = done.returncode
        return done.stdout


@pytest.fixture
def program(sandbox, tmp_path):
    def make(source: str) -> Program:
        (tmp_path / "backend").mkdir()
        project = {
            "name": "careless",
            "runtime": {"name": "python", "options": {"virtualenv": str(CHECKOUT / ".venv")}},
        }
        (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        (tmp_path / "Pulumi.local.yaml").write_text(yaml.safe_dump({"config": {"aws:region": "eu-west-1"}}))
        (tmp_path / "__main__.py").write_text(textwrap.dedent(source))
        made = Program(tmp_path, {**sandbox.environment, "PULUMI_BACKEND_URL": f"file://{tmp_path / 'backend'}"})
        output = made.pulumi("stack", "init", "local")
        assert made.code == 0, output
        return made

    return make


def clusters(sandbox) -> list[str]:
    found = json.loads(sandbox.run("aws", "rds", "describe-db-clusters", "--output", "json").stdout)["DBClusters"]
    return [each["DBClusterIdentifier"] for each in found]


def test_a_raw_cluster_with_no_retention_is_refused_and_not_made(sandbox, program):
    careless = program("""
        import pulumi_aws as aws

        aws.rds.Cluster(
            "raw", cluster_identifier="raw", engine="aurora-postgresql", engine_version="16.15",
            master_username="somebody", master_password="correcthorsebatterystaple",
        )
    """)
    output = careless.pulumi("up", "--yes", "--skip-preview", *WITH_POLICIES)
    assert careless.code != 0
    assert "❌ meetinity-data@v0.1.0 (local: " in output
    assert "[mandatory] [severity: critical]  aurora-backup-retention  (aws:rds:Cluster: raw)" in output
    assert "backupRetentionPeriod is not set; 7 to 35 days are asked for. Fix: set backupRetentionPeriod" in output
    assert "correcthorse" not in output
    assert "raw" not in clusters(sandbox)
    # The one document of a preview tells that it failed, and neither which policy refused it nor why. Its events do.
    output = careless.pulumi("preview", "--json", *WITH_POLICIES)
    assert careless.code != 0
    said = [each["message"] for each in json.loads(output)["diagnostics"]]
    assert "error: preview failed" in "".join(said), output
    assert not [word for word in ("aurora-backup-retention", "backupRetentionPeriod") if word in "".join(said)], output
    careless.environment["PULUMI_ENABLE_STREAMING_JSON_PREVIEW"] = "1"
    output = careless.pulumi("preview", "--json", *WITH_POLICIES)
    assert careless.code != 0
    assert "aurora-backup-retention" in [each["policyName"] for each in policy_events(output)]


def test_a_value_that_only_the_update_knows_is_undecided_at_preview_and_refused_at_up(sandbox, program):
    late = program("""
        import pulumi_aws as aws
        import pulumi_random as random

        days = random.RandomId("days", byte_length=1).hex.apply(lambda _: 0)
        aws.elasticache.ReplicationGroup(
            "late", replication_group_id="late", description="late", snapshot_retention_limit=days
        )
    """)
    only = {rule.name: "disabled" for rule in RULES} | {"redis-snapshot-retention": {"floor": 1}}
    configuration = late.directory / "policies.json"
    configuration.write_text(json.dumps(only))
    policies = ("--policy-pack", str(PACK), "--policy-pack-config", str(configuration))
    output = late.pulumi("preview", *policies)
    assert late.code == 0, output
    assert "redis-snapshot-retention is undecided until it knows snapshotRetentionLimit" in output
    output = late.pulumi("up", "--yes", "--skip-preview", *policies)
    assert late.code != 0
    assert "snapshotRetentionLimit is 0; 1 to 35 days are asked for" in output
    found = json.loads(sandbox.run("aws", "elasticache", "describe-replication-groups", "--output", "json").stdout)
    assert "late" not in [each["ReplicationGroupId"] for each in found["ReplicationGroups"]]


def test_the_engine_skips_a_stack_rule_whole_that_reads_what_only_the_update_knows(program):
    """Why ours read with care: where one is undecided about one resource, the others are judged all the same."""
    late = program("""
        import pulumi_random as random

        random.RandomId("short", byte_length=1)
        random.RandomId("late", byte_length=random.RandomId("before", byte_length=4).hex.apply(len))
    """)
    naive = late.directory / "naive"
    naive.mkdir()
    shutil.copy(late.directory / "Pulumi.yaml", naive / "PulumiPolicy.yaml")
    (naive / "__main__.py").write_text(
        textwrap.dedent("""
        from pulumi_policy import EnforcementLevel, PolicyPack, StackValidationPolicy

        def validate(args, report):
            for urn in [each.urn for each in args.resources if each.props.get("byteLength") == 1]:
                report("too short", urn)

        rule = StackValidationPolicy("long-enough", "ids are long", validate, EnforcementLevel.MANDATORY)
        PolicyPack("naive", [rule])
        """)
    )
    output = late.pulumi("preview", "--policy-pack", str(naive))
    assert late.code == 0, output
    assert "[advisory]  long-enough" in output
    assert "can't run policy 'long-enough' from policy pack 'naive" in output
    assert "too short" not in output
    output = late.pulumi("up", "--yes", "--skip-preview", "--policy-pack", str(naive))
    assert late.code != 0
    assert "too short" in output


def only(directory: Path, **rules: object) -> tuple[str, ...]:
    """The pack with these rules alone."""
    configuration = directory / "policies.json"
    named = {name.replace("_", "-"): options for name, options in rules.items()}
    configuration.write_text(json.dumps({rule.name: "disabled" for rule in RULES} | named))
    return ("--policy-pack", str(PACK), "--policy-pack-config", str(configuration))


def test_a_final_snapshots_name_must_come_from_what_varies_whatever_it_looks_like(program):
    """Known before the update: the engine says where a value comes from."""
    named = program("""
        import pulumi_aws as aws
        import pulumi_random as random

        suffix = random.RandomId("suffix", byte_length=4, keepers={"of": "apart"})
        for name, last in (("apart", suffix.hex.apply(lambda it: f"apart-{it}")), ("dated", "dated-final-20240101")):
            aws.rds.Cluster(
                name, cluster_identifier=name, engine="aurora-postgresql", engine_version="16.15",
                master_username="somebody", master_password="correcthorsebatterystaple",
                final_snapshot_identifier=last,
            )
    """)
    output = named.pulumi("preview", *only(named.directory, final_snapshot_named_apart="mandatory"))
    assert named.code != 0
    assert output.count("[mandatory]") == 1, output
    assert 'finalSnapshotIdentifier is "dated-final-20240101", which comes from no random resource' in output


def test_an_exemption_is_shown_reported_once_idle_and_refused_without_a_real_day(program):
    empty = program("""
        import pulumi_aws as aws

        aws.elasticache.ReplicationGroup("late", replication_group_id="late", description="late")
    """)
    urn = "urn:pulumi:local::careless::aws:elasticache/replicationGroup:ReplicationGroup::{}"
    exemption = {"owner": "ops", "reason": "is retired next week", "until": SOON}

    def preview(*names: str, **changes: str) -> str:
        exemptions = [{"urn": urn.format(name), **exemption, **changes} for name in names]
        rule = {"enforcementLevel": "mandatory", "floor": 1, "exemptions": exemptions}
        return empty.pulumi("preview", *only(empty.directory, redis_snapshot_retention=rule))

    output = preview("late", "gone")
    assert empty.code == 0, output
    assert f"exempted by ops until {SOON}: is retired next week" in output
    assert f"ops's exemption until {SOON} is not needed for {urn.format('gone')}: take it out" in output
    output = preview("late", until="2026-19-39")
    assert empty.code != 0
    assert "redis-snapshot-retention: exemptions.0.until: Does not match pattern" in output
    output = preview("late", until="2099-02-30")
    assert empty.code != 0
    assert "ops's exemption ends on 2099-02-30, which is no day of the calendar" in output


def test_a_password_among_the_outputs_is_refused_in_clear_and_allowed_as_a_secret(program):
    careless = program("""
        import pulumi
        import pulumi_random as random

        password = random.RandomPassword("password", length=20, special=False)
        pulumi.export("marked", password.result)
        pulumi.export("endpoint", pulumi.Output.unsecret(password.result))
    """)
    output = careless.pulumi("up", "--yes", "--skip-preview", *WITH_POLICIES)
    assert careless.code != 0
    assert "output endpoint holds a credential in clear" in output
    assert "output marked" not in output


def test_tags_are_put_right_where_the_environment_asks_for_it(sandbox, program, tmp_path):
    untagged = program("""
        import pulumi_aws as aws

        aws.cloudwatch.LogGroup("logs", name="/test/policies", retention_in_days=7, tags={"Name": "logs"})
    """)
    configuration = tmp_path / "policies.json"
    tags = {"Environment": "local", "Project": "meetinity"}
    configuration.write_text(json.dumps({"tags-complete": {"enforcementLevel": "remediate", "values": tags}}))
    policies = ("--policy-pack", str(PACK), "--policy-pack-config", str(configuration))
    output = untagged.pulumi("up", "--yes", "--skip-preview", *policies)
    assert untagged.code == 0, output
    found = sandbox.run("aws", "logs", "list-tags-log-group", "--log-group-name", "/test/policies", "--output", "json")
    assert json.loads(found.stdout)["tags"] == {"Name": "logs", **tags}


def test_a_configuration_out_of_its_schema_is_refused_before_anything_runs(program, tmp_path):
    anything = program("open('ran', 'w')\n")
    configuration = tmp_path / "policies.json"
    configuration.write_text(json.dumps({"aurora-backup-retention": {"floor": 99}}))
    output = anything.pulumi("preview", "--policy-pack", str(PACK), "--policy-pack-config", str(configuration))
    assert anything.code != 0
    assert "aurora-backup-retention: floor: Must be less than or equal to 35" in output
    assert not (anything.directory / "ran").exists()
