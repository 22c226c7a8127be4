"""The aws and random stand-ins under the real engine: plans, imports, refreshes and what comes after a failure.

One small program, whose resources are a JSON file: each test writes what it wants of them and runs the CLI.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from sandbox.instance import CHECKOUT, REGION
from sandbox.processes import log_path
from tests.sandbox.conftest import Sandbox, eventually
from tests.sandbox.scripted_api import READING, cluster, scripted_api

PROGRAM = """
import json
import pulumi
import pulumi_aws, pulumi_random

sdks = {"aws": pulumi_aws, "random": pulumi_random}
for name, (kind, arguments, options) in json.load(open("resources.json")).items():
    found = sdks
    for part in kind.split("."):
        found = found[part] if found is sdks else getattr(found, part)
    if "custom_timeouts" in options:
        options["custom_timeouts"] = pulumi.CustomTimeouts(**options["custom_timeouts"])
    if "aliases" in options:
        options["aliases"] = [pulumi.Alias(**each) for each in options["aliases"]]
    found(name, **arguments, opts=pulumi.ResourceOptions(**options))
"""
PROJECT = "name: plans\nruntime:\n  name: python\n  options:\n    virtualenv: %s\n"
Resource = tuple[str, dict[str, Any], dict[str, Any]]


class Program:
    """A project in a directory of its own, with its own backend, in the sandbox's environment."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.sandbox, self.directory = sandbox, directory
        (directory / "backend").mkdir()
        (directory / "__main__.py").write_text(PROGRAM)
        (directory / "Pulumi.yaml").write_text(PROJECT % (CHECKOUT / ".venv"))
        backend = f"file://{directory / 'backend'}"
        self.environment = {**sandbox.environment, "PULUMI_BACKEND_URL": backend, "PULUMI_CONFIG_PASSPHRASE": "x"}
        self.code = 0
        self.says({})
        self.run("stack", "init", "s")

    def says(self, resources: dict[str, Resource]) -> None:
        (self.directory / "resources.json").write_text(json.dumps(resources))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        pulumi = shutil.which("pulumi", path=self.environment["PATH"])
        assert pulumi
        return subprocess.Popen(
            [pulumi, *arguments, "--non-interactive"],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, check: bool = True) -> str:
        with self.start(*arguments) as process:
            output = process.communicate(timeout=120)[0]
        self.code = process.returncode
        assert not check or self.code == 0, f"pulumi {' '.join(arguments)} exited {self.code}:\n{output}"
        return output

    def up(self, *arguments: str, check: bool = True) -> str:
        return self.run("up", "--yes", "--skip-preview", *arguments, check=check)

    def plan(self, *arguments: str) -> dict[str, tuple[str, list[str], dict[str, str]]]:
        """Name → operation, what replaces, and the detailed diff's path → kind, of every resource that changes."""
        steps = json.loads(self.run("preview", "--json", *arguments))["steps"]
        replacing = ("create-replacement", "delete-replaced")
        return {
            step["urn"].rpartition("::")[2]: (
                "replace" if step["op"] in replacing else step["op"],
                sorted(step.get("replaceReasons") or []),
                {path: each["kind"] for path, each in (step.get("detailedDiff") or {}).items()},
            )
            for step in steps
            if step["op"] not in ("same", "read") and "pulumi:" not in step["urn"].split("::")[2]
        }

    def state(self) -> dict[str, dict[str, Any]]:
        resources = json.loads(self.run("stack", "export"))["deployment"].get("resources", [])
        return {each["urn"].rpartition("::")[2]: each for each in resources}

    def calls(self) -> int:
        return log_path(self.sandbox.instance, "aws-api").stat().st_size

    def written_since(self, mark: int) -> list[str]:
        """The operations since then that may have changed something: `12:00:00,123 rds ModifyDBCluster 200 …`."""
        with log_path(self.sandbox.instance, "aws-api").open() as log:
            log.seek(mark)
            operations = [line.split()[3] for line in log if len(line.split()) == 7]
        return [each for each in operations if not each.startswith(READING)]


@pytest.fixture(scope="module")
def project(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(sandbox, tmp_path_factory.mktemp("plans"))


@pytest.fixture
def program(project: Program) -> Iterator[Program]:
    yield project
    if any(each.get("protect") for each in project.state().values()):
        project.run("state", "unprotect", "--all", "--yes")
    project.says({})
    project.up()


@pytest.fixture(scope="module")
def api(sandbox: Sandbox) -> Any:
    environment = sandbox.environment

    def client(service: str) -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    return client


GROUP, CLUSTER_GROUP, ROLE = "aws.cloudwatch.LogGroup", "aws.rds.ClusterParameterGroup", "aws.iam.Role"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def log_group(name: str = "/plans/a", options: dict[str, Any] | None = None, **arguments: Any) -> Resource:
    return GROUP, {"name": name, "retention_in_days": 7, **arguments}, options or {}


def parameters(options: dict[str, Any] | None = None, **arguments: Any) -> Resource:
    given = {
        "name": "plans",
        "family": "aurora-postgresql16",
        "parameters": [{"name": "log_statement", "value": "ddl"}],
    }
    return CLUSTER_GROUP, {**given, **arguments}, options or {}


def password(length: int = 20, options: dict[str, Any] | None = None) -> Resource:
    return "random.RandomPassword", {"length": length}, options or {}


def test_the_plan_says_what_changes_in_place_and_what_is_replaced_and_how_and_writes_nothing(program: Program) -> None:
    mark = program.calls()
    program.says({"logs": log_group(tags={"a": "1"}), "group": parameters(), "password": password()})
    assert {name: op for name, (op, _, _) in program.plan().items()} == dict.fromkeys(
        ("logs", "group", "password"), "create"
    )
    assert program.written_since(mark) == []
    program.up()
    assert program.plan() == {}
    mark = program.calls()
    program.says(
        {
            "logs": log_group("/plans/b", retention_in_days=14, tags={"a": "2", "b": "3"}),
            "group": parameters(parameters=[{"name": "log_statement", "value": "all"}]),
            "password": password(21),
        }
    )
    plan = program.plan()
    assert plan["logs"] == (
        "replace",
        ["name"],
        {"name": "update-replace", "retentionInDays": "update", "tags.a": "update", "tags.b": "add"},
    )
    assert plan["group"] == ("update", [], {"parameters[0].value": "update"})
    assert plan["password"][:2] == ("replace", ["length"])
    program.run("preview", "--refresh")
    assert program.written_since(mark) == []
    program.up("--expect-no-changes", check=False)
    assert program.code != 0, "the changes above were not made"
    assert program.plan() == {}


def test_a_fixed_name_is_deleted_first_and_the_options_of_the_engine_are_heard(program: Program) -> None:
    program.says({"group": parameters(), "logs": log_group("/plans/dbr"), "other": log_group("/plans/other")})
    program.up()
    program.says({
        "group": parameters(description="new"),
        "logs": log_group("/plans/dbr", retention_in_days=14, options={"replace_on_changes": ["retentionInDays"],
                                                         "delete_before_replace": True}),
        "other": log_group("/plans/other2", options={"ignore_changes": ["name", "retentionInDays", "tags.b"]},
                           tags={"b": "x"}, retention_in_days=30),
    })  # fmt: skip
    mark = program.calls()
    plan = program.plan()
    assert "other" not in plan, "an ignored change must not replace"
    assert plan["group"][1] == ["description"]
    assert plan["logs"][1] == ["retentionInDays"]
    program.up()
    order = program.written_since(mark)
    assert order.index("DeleteDBClusterParameterGroup") < order.index("CreateDBClusterParameterGroup")
    assert order.index("DeleteLogGroup") < order.index("CreateLogGroup")
    assert program.state()["other"]["outputs"]["name"] == "/plans/other"
    assert program.plan() == {}


def test_import_refresh_and_what_vanished(program: Program, api: Any) -> None:
    logs = api("logs")
    logs.create_log_group(logGroupName="/plans/old", tags={"a": "1"})
    logs.put_retention_policy(logGroupName="/plans/old", retentionInDays=7)
    program.says({"logs": log_group("/plans/wrong", options={"import_": "/plans/wrong"})})
    assert "does not exist" in program.up(check=False)
    assert program.code != 0
    program.says({"logs": log_group("/plans/old", options={"import_": "/plans/old"}, tags={"a": "1"})})
    mark = program.calls()
    assert program.plan()["logs"][0] == "import"
    program.up()
    assert program.written_since(mark) == []
    assert program.plan() == {}
    # Drift is shown by a refresh, and repaired by the update after it.
    logs.put_retention_policy(logGroupName="/plans/old", retentionInDays=3)
    assert program.plan() == {}
    program.run("refresh", "--yes", "--skip-preview")
    assert program.plan()["logs"] == ("update", [], {"retentionInDays": "update"})
    program.up()
    (found,) = logs.describe_log_groups(logGroupNamePrefix="/plans/old")["logGroups"]
    assert found["retentionInDays"] == 7
    # What vanished is made anew.
    logs.delete_log_group(logGroupName="/plans/old")
    assert "logs" in program.state()
    program.says({"logs": log_group("/plans/old", tags={"a": "1"})})
    program.up("--refresh")
    (found,) = logs.describe_log_groups(logGroupNamePrefix="/plans/old")["logGroups"]
    assert program.plan() == {}


def test_targets_aliases_and_protection(program: Program) -> None:
    program.says({"one": log_group("/plans/1"), "two": log_group("/plans/2", options={"protect": True})})
    program.up()
    urn = program.state()["one"]["urn"]
    program.says({"one": log_group("/plans/1", retention_in_days=14),
                  "two": log_group("/plans/2", retention_in_days=14, options={"protect": True})})  # fmt: skip
    mark = program.calls()
    program.up("--target", urn)
    assert program.written_since(mark) == ["PutRetentionPolicy"]
    assert list(program.plan()) == ["two"]
    program.up()
    # A new name in the program is the same resource; a protected one is neither replaced nor deleted.
    program.says({"first": log_group("/plans/1", retention_in_days=14, options={"aliases": [{"name": "one"}]}),
                  "two": log_group("/plans/3", options={"protect": True})})  # fmt: skip
    mark = program.calls()
    output = program.up(check=False)
    assert program.code != 0
    assert "marked for protection" in output
    assert program.written_since(mark) == []
    program.says({"first": log_group("/plans/1", retention_in_days=14, options={"aliases": [{"name": "one"}]}),
                  "two": log_group("/plans/2", retention_in_days=14, options={"protect": True})})  # fmt: skip
    program.up()
    assert {"first", "two"} <= program.state().keys()
    assert "one" not in program.state()
    assert program.written_since(mark) == []


def test_what_came_to_be_in_part_stays_in_the_state_and_the_next_up_goes_on(program: Program) -> None:
    program.says({"group": parameters(parameters=[{"name": "no_such", "value": "1"}])})
    output = program.up(check=False)
    assert program.code != 0
    assert "no_such" in output
    recorded = program.state()["group"]
    assert (recorded["id"], bool(recorded["initErrors"])) == ("plans", True)
    program.says({"group": parameters()})
    mark = program.calls()
    program.up()
    assert "CreateDBClusterParameterGroup" not in program.written_since(mark)
    assert "initErrors" not in program.state()["group"]
    assert program.plan() == {}


def test_an_api_that_fails_drops_nothing_from_the_state(program: Program) -> None:
    program.says({"logs": log_group("/plans/fails")})
    program.up()
    before = program.state()
    good = program.environment["AWS_ENDPOINT_URL"]
    program.environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    program.run("config", "set", "aws:maxRetries", "1")
    program.run("refresh", "--yes", "--skip-preview", check=False)
    assert program.code != 0
    program.environment["AWS_ENDPOINT_URL"] = good
    assert program.state()["logs"]["outputs"] == before["logs"]["outputs"]
    assert program.plan() == {}


def test_interrupted_in_a_wait_the_cluster_stays_in_the_state_and_the_next_up_goes_on(program: Program) -> None:
    wanted = {"cluster_identifier": "c", "engine": "aurora-postgresql", "skip_final_snapshot": True}
    program.says({"cluster": ("aws.rds.Cluster", wanted, {})})
    good = program.environment["AWS_ENDPOINT_URL"]
    with scripted_api() as scripted:
        program.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{scripted.port}"
        scripted.says = {"DescribeDBClusters": cluster(Status="creating")}
        with program.start("up", "--yes", "--skip-preview") as running:
            eventually(lambda: len(scripted.sent("DescribeDBClusters")) > 3, seconds=60, what="the wait")
            running.send_signal(signal.SIGINT)
            output = running.communicate(timeout=60)[0]
        assert running.returncode != 0
        assert "the operation was cancelled" in output
        recorded = program.state()["cluster"]
        assert (recorded["id"], bool(recorded["initErrors"])) == ("c", True)
        scripted.says = {"DescribeDBClusters": cluster()}
        program.up()
        assert "initErrors" not in program.state()["cluster"]
        assert scripted.writes() == ["CreateDBCluster"]
        scripted.says = {"DescribeDBClusters": [cluster(), "DBClusterNotFoundFault 404"]}
        program.says({})
        program.up()
        assert scripted.writes() == ["CreateDBCluster", "DeleteDBCluster"]
    program.environment["AWS_ENDPOINT_URL"] = good


def test_a_mistake_in_an_argument_stops_the_preview_with_its_name(program: Program) -> None:
    program.says({"group": parameters(name_prefix="x")})
    output = program.run("preview", check=False)
    assert program.code != 0
    assert "namePrefix" in output
    assert "is not supported by the sandbox" in output
