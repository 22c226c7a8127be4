"""The workflows' own steps, in order: a pull request is previewed and commented on, merged, deployed, watched, drilled.

Real are the commands, the stacks, the state in S3 and the keys; stood in for are GitHub (loopback), Helm, and the
actions that prepare a machine or carry files between jobs.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import boto3
import pytest
import urllib3
import yaml

from bootstrap import permissions
from ops.plan.comment import MARKER
from sandbox import images, lifecycle
from sandbox.instance import ACCOUNT_ID, CHECKOUT
from sandbox.processes import log_path
from sandbox.progress import Progress
from tests.sandbox.bootstrap import BUCKET, Bootstrap
from tests.sandbox.conftest import Sandbox, own
from tests.sandbox.workflow_runner import Expression, Runner, filled, holds
from tests.unit import fake_github

WORKFLOWS = CHECKOUT / ".github/workflows"
HEAD, MERGED = "1" * 40, "2" * 40
STACKS = ("dev", "staging", "prod")
CHART = {"SERVICES_CHART": "oci://registry.example/meetinity", "SERVICES_VERSION": "1.2.3", "PROMOTE_BY_HAND": "true"}
# Word for word, so that a change of it is looked at.
INSTALL = (
    "python -m venv .venv\n.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes"
    " --requirement requirements.txt"
)
# What the log of the sandbox's AWS API calls otherwise than IAM does.
ACTIONS = {
    "s3:ListObjectsV2": "s3:ListBucket", "s3:HeadObject": "s3:GetObject", "s3:CopyObject": "s3:PutObject",
    "s3:DeleteObjects": "s3:DeleteObject",
}  # fmt: skip


class Flow:
    """A repository whose workflows run, in a sandbox of its own."""

    def __init__(self, sandbox: Sandbox, github: fake_github.FakeGitHub, directory: Path) -> None:
        self.sandbox, self.github, self.directory = sandbox, github, directory
        (directory / "bootstrap").mkdir()
        self.account = Bootstrap(sandbox, directory / "bootstrap")
        self.source, self.artifacts = directory / "source", directory / "artifacts"
        self.artifacts.mkdir()
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=CHECKOUT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for name in filter(None, listed.split("\0")):
            if (CHECKOUT / name).is_file():
                (self.source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(CHECKOUT / name, self.source / name)
        (self.source / ".venv").symlink_to(CHECKOUT / ".venv")
        self._number = itertools.count(1)
        helm = sandbox.instance.binaries / "helm"
        helm.write_text(f'#!/bin/sh\necho "$@" >> {directory}/helm\n'
                        f'while [ $# -gt 1 ]; do [ "$1" = --values ] && cat "$2" >> {directory}/values; shift; done\n'
                        'exit 0\n')  # fmt: skip
        helm.chmod(0o755)
        # No passphrase: what opens the secrets is the stack's key.
        kept = {name: each for name, each in sandbox.environment.items() if name != "PULUMI_CONFIG_PASSPHRASE"}
        self.environment = {
            **{name: each for name, each in kept.items() if not name.startswith(("GITHUB_", "PULUMI_BACKEND"))},
            "GITHUB_REPOSITORY": fake_github.REPOSITORY,
            "GITHUB_API_URL": github.url,
        }

    def pulumi(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self.sandbox.tools["pulumi"], *arguments],
            cwd=self.source,
            env={**self.environment, "PULUMI_BACKEND_URL": self.account.s3_backend},
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def _workspace(self) -> Path:
        made = self.directory / f"job-{next(self._number)}"
        shutil.copytree(self.source, made, symlinks=True)
        return made

    def _upload(self, workspace: Path, given: dict) -> None:
        found = workspace / given["path"]
        if found.is_dir():
            shutil.copytree(found, self.artifacts / given["name"], dirs_exist_ok=True)
        elif found.exists():
            (self.artifacts / given["name"]).mkdir()
            shutil.copy(found, self.artifacts / given["name"])

    def _download(self, workspace: Path, given: dict) -> None:
        for each in self.artifacts.glob(given["pattern"]):
            shutil.copytree(each, workspace / given["path"], dirs_exist_ok=True)

    def runner(self, event: dict | None = None, ref: str = "refs/heads/main", **variables: str) -> Runner:
        def nothing(_workspace, _given):
            pass

        def credentials(_workspace, given):
            assert re.fullmatch(r"arn:aws:iam::\d{12}:role/\S+", given["role-to-assume"])
            assert int(given["role-duration-seconds"]) <= 14400

        github = {
            "token": fake_github.TOKEN, "repository": fake_github.REPOSITORY, "server_url": "https://github.example",
            "run_id": "77", "ref": ref, "sha": MERGED, "event": event or {},
        }  # fmt: skip
        told = {
            "PULUMI_BACKEND_URL": self.account.s3_backend, "AWS_REGION": "eu-west-1",
            "AWS_ROLE": f"arn:aws:iam::{ACCOUNT_ID}:role/meetinity-data-any",
        }  # fmt: skip
        return Runner(
            self._workspace,
            self.environment,
            {"github": github, "vars": {**told, **variables}},
            {
                "actions/checkout": nothing,
                "actions/setup-python": nothing,
                "pulumi/actions": nothing,
                "aws-actions/configure-aws-credentials": credentials,
                "actions/upload-artifact": self._upload,
                "actions/download-artifact": self._download,
            },
            frozenset({INSTALL}),
        )

    def calls_since(self, offset: int) -> set[str]:
        """What was asked of AWS, as IAM's actions."""
        text = log_path(self.sandbox.instance, "aws-api").read_text()[offset:]
        found = {f"{service}:{operation}" for service, operation in re.findall(r" (\w+) ([A-Z]\w+) \d{3} ", text)}
        return {ACTIONS.get(each, each) for each in found}

    @property
    def log_end(self) -> int:
        return len(log_path(self.sandbox.instance, "aws-api").read_text())


@pytest.fixture(scope="module")
def flow(tmp_path_factory) -> Iterator[Flow]:
    with own("test-workflows") as instance, fake_github.running() as github:
        tools = lifecycle.up(instance, Progress())
        sandbox = Sandbox(instance, tools, lifecycle.environment(instance, tools))
        made = Flow(sandbox, github, tmp_path_factory.mktemp("flow"))
        made.account.pulumi("stack", "init", backend=made.account.file_backend)
        made.account.pulumi("up", "--yes", "--skip-preview", backend=made.account.file_backend)
        image = yaml.safe_load((CHECKOUT / "Pulumi.dev.yaml").read_text())["config"]["meetinity-data:migrations"][0]
        images.add(instance, image["image"], CHECKOUT / "sandbox/example_service")
        for stack in STACKS:
            key = f"awskms://alias/meetinity-data-{stack}?region=eu-west-1"
            made.pulumi("stack", "init", stack, "--secrets-provider", key)
        yield made


def pull_request(repository: str = fake_github.REPOSITORY) -> dict:
    return {"pull_request": {"number": 7, "head": {"sha": HEAD, "repo": {"full_name": repository}}}}


def failures(runner: Runner) -> list[str]:
    return [f"{each.job}: {each.name}\n{each.output}" for each in runner.done if each.code]


@pytest.fixture(scope="module")
def previewed(flow) -> tuple[Runner, set[str]]:
    since, runner = flow.log_end, flow.runner(pull_request())
    ended = runner.run("preview.yml", only=("preview", "comment"))
    assert failures(runner) == []
    assert ended == {"preview": True, "comment": True}
    return runner, flow.calls_since(since)


@pytest.fixture(scope="module")
def deployed(flow, previewed) -> tuple[Runner, set[str]]:
    flow.github.pulls[MERGED] = [{"number": 7, "merged_at": "2026-11-24T10:00:00Z", "head": {"sha": HEAD}}]
    since, runner = flow.log_end, flow.runner(**CHART)
    ended = runner.run("deploy.yml")
    assert failures(runner) == []
    assert ended == {"dev": True, "staging": True}, "prod is promoted by hand here"
    return runner, flow.calls_since(since)


def test_a_pull_request_gets_one_comment_and_a_status_for_each_stack(flow, previewed):
    (comment,) = flow.github.comments[7]
    assert comment["body"].startswith(MARKER)
    assert "https://github.example/meetinity/data/actions/runs/77" in comment["body"]
    statuses = {each["context"]: (each["state"], each["description"]) for each in flow.github.statuses[HEAD]}
    assert statuses.keys() == {"plan/dev", "plan/staging", "plan/prod"}
    for stack in STACKS:
        state, description = statuses[f"plan/{stack}"]
        assert state == "success", description
        assert re.fullmatch(r"\d\d changes, sha256:[0-9a-f]{64}", description)
        assert stack in comment["body"]


def test_previews_asked_nothing_that_their_role_may_not(previewed):
    role = permissions.look(permissions.Stack("dev", ACCOUNT_ID, BUCKET), "key")
    patterns = [pattern for each in role["Statement"] for pattern in each["Action"]]
    asked = previewed[1] - {"sts:GetCallerIdentity"}
    assert {"kms:Decrypt", "s3:GetObject"} <= asked
    assert [each for each in asked if not any(fnmatchcase(each, pattern) for pattern in patterns)] == []


def test_what_was_reviewed_was_deployed_and_the_services_released_with_its_values(flow, deployed):
    runner, _ = deployed
    jobs = [each.name for each in runner.done]
    assert jobs == ["Deploy the reviewed plan", "Show the plan", "Release the services"] * 2
    for stack, done in zip(("dev", "staging"), runner.done[::3], strict=True):
        assert f"{stack}: the plan is the one that was reviewed in pull request #7" in done.output
        outputs = json.loads(flow.pulumi("stack", "output", "--json", "--stack", stack).stdout)
        assert outputs["helm_values"]["global"]["environment"] == stack
    asked = (flow.directory / "helm").read_text().splitlines()
    assert [re.search(r"--namespace (\S+)", each)[1] for each in asked] == ["meetinity-dev", "meetinity-staging"]
    assert all("upgrade --install meetinity oci://registry.example/meetinity --version 1.2.3" in each for each in asked)
    assert '"secretName": "platform-database"' in (flow.directory / "values").read_text()


def test_deployments_asked_nothing_that_their_role_may_not(deployed):
    stack = permissions.Stack("dev", ACCOUNT_ID, BUCKET)
    documents = permissions.look(stack, "key"), permissions.change_stores(stack), permissions.change_around(stack)
    patterns = [pattern for document in documents for each in document["Statement"] for pattern in each["Action"]]
    asked = deployed[1] - {"sts:GetCallerIdentity"}
    assert {"rds:CreateDBCluster", "s3:PutObject", "kms:Decrypt", "iam:CreateRole"} <= asked
    assert [each for each in asked if not any(fnmatchcase(each, pattern) for pattern in patterns)] == []


def test_a_preview_that_fails_replaces_the_comment_and_takes_the_review_away(flow, deployed):
    stack_file = flow.source / "Pulumi.dev.yaml"
    good = stack_file.read_text()
    changed = yaml.safe_load(good)
    changed["config"]["meetinity-data:databse"] = {}
    stack_file.write_text(yaml.safe_dump(changed))
    try:
        runner = flow.runner(pull_request())
        runner.stacks = ("dev",)
        shutil.rmtree(flow.artifacts / "plan-dev")  # they are a run's own
        assert runner.run("preview.yml", only=("preview", "comment")) == {"preview": False, "comment": True}
    finally:
        stack_file.write_text(good)
    (comment,) = flow.github.comments[7]
    assert "databse" in comment["body"], comment["body"]
    newest = next(each for each in flow.github.statuses[HEAD] if each["context"] == "plan/dev")
    assert (newest["state"], newest["description"]) == ("failure", "the preview failed")


def test_another_plan_than_the_reviewed_one_is_not_deployed_and_is_shown(flow, deployed):
    runner = flow.runner(**CHART)
    assert runner.run("deploy-stack.yml", {"stack": "prod", "digest": "sha256:" + "0" * 64}) == {"deploy": False}
    refused, shown = runner.done
    assert refused.code == 3
    assert "prod was not changed: its plan is not the one that was reviewed in --digest" in refused.output
    assert shown.code == 0, shown.output
    exported = json.loads(flow.pulumi("stack", "export", "--stack", "prod").stdout)
    assert not exported["deployment"].get("resources")


def test_drift_opens_an_issue_and_its_end_closes_it(flow, deployed):
    rds = boto3.client(
        "rds", "eu-west-1", endpoint_url=flow.sandbox.instance.aws_endpoint,
        aws_access_key_id=flow.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=flow.environment["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip

    def drift(days: int) -> list[dict]:
        rds.modify_db_cluster(DBClusterIdentifier="dev-postgres", BackupRetentionPeriod=days, ApplyImmediately=True)
        since, runner = flow.log_end, flow.runner()
        runner.stacks = ("dev",)
        runner.run("drift.yml")
        assert failures(runner) == []
        assert not [each for each in flow.calls_since(since) if re.match(r"\w+:(Create|Modify|Delete|Put)", each)]
        return [each for each in flow.github.issues if "Stack dev" in each["title"]]

    usual = rds.describe_db_clusters(DBClusterIdentifier="dev-postgres")["DBClusters"][0]["BackupRetentionPeriod"]
    assert drift(usual) == []
    (opened,) = drift(usual + 3)
    assert opened["state"] == "open"
    assert "database-cluster` | `backupRetentionPeriod` |" in opened["body"]
    (closed,) = drift(usual)
    assert closed["state"] == "closed"


def test_the_drill_restores_staging_beside_itself(flow, deployed):
    # ElastiCache has no backup before its window comes.
    assert (
        urllib3.request("POST", f"{flow.sandbox.instance.aws_endpoint}/sandbox/maintenance", timeout=300).status == 200
    )
    since, runner = flow.log_end, flow.runner()
    runner.run("drill.yml")
    assert failures(runner) == []
    report = json.loads((flow.artifacts / "drill/drill.json").read_text())
    assert [(each["store"], each["outcome"]) for each in report["drills"]] == [
        ("database", "restored"), ("redis", "restored"),
    ]  # fmt: skip
    stack = permissions.Stack("staging", ACCOUNT_ID, BUCKET)
    documents = permissions.look(stack, "key"), permissions.change_stores(stack), permissions.change_around(stack)
    patterns = [pattern for document in documents for each in document["Statement"] for pattern in each["Action"]]
    asked = flow.calls_since(since) - {"sts:GetCallerIdentity"}
    assert [each for each in asked if not any(fnmatchcase(each, pattern) for pattern in patterns)] == []


def test_gitlabs_example_does_the_same_with_a_digest_by_hand(flow, deployed):
    document = yaml.safe_load((CHECKOUT / "docs/gitlab-ci.example.yml").read_text())
    workspace, told = flow.runner().workspace(), {"PULUMI_BACKEND_URL": flow.account.s3_backend, "STACK": "dev"}
    told |= {"AWS_TOKEN": "token", **CHART}

    def script(job: str, part: str, **more: str) -> str:
        lines = "\n".join(document[job][part])
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", lines],
            cwd=workspace, env={**flow.environment, **told, **more}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    script("preview", "script")
    digest = script("preview", "after_script").splitlines()[-1]
    assert (workspace / "plans/dev.md").read_text().startswith(MARKER)
    script("deploy", "script", DIGEST=digest)


# Without a sandbox


def test_the_offline_part_is_what_ci_runs_and_all_that_a_fork_gets():
    document = yaml.safe_load((WORKFLOWS / "preview.yml").read_text())
    steps = [step["run"] for job in ("offline", "sandbox") for step in document["jobs"][job]["steps"] if "run" in step]
    assert steps == ["make lint", "make policies", "make test-offline", 'make "$SUITE"']
    suites = document["jobs"]["sandbox"]["strategy"]["matrix"]["suite"]
    assert suites == ["test-sandbox", "test-faults", "pr-demo"], "what `.ci/run` does one after the other"
    run = (CHECKOUT / ".ci/run").read_text()
    assert re.search(r"^make lint\nmake policies\nmake test\nmake test-faults\nmake pr-demo$", run, re.MULTILINE)
    assert re.search(r"^test: test-offline test-sandbox ", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    fork = {"github": {"repository": fake_github.REPOSITORY, "event": pull_request("somebody/data")}, "matrix": {}}
    left = [name for name, job in document["jobs"].items() if holds(job.get("if"), fork, succeeded=True)]
    assert left == ["offline", "sandbox"]
    for name in left:
        assert document["jobs"][name]["permissions"] == {"contents": "read"}


def jobs() -> Iterator[tuple[str, dict]]:
    for path in sorted(WORKFLOWS.glob("*.yml")):
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            yield f"{path.stem}.{name}", job


def test_nothing_runs_without_a_limit_or_with_more_rights_than_it_names():
    for path in WORKFLOWS.glob("*.yml"):
        assert yaml.safe_load(path.read_text())["permissions"] == {}, path.name
    for name, job in jobs():
        if "uses" in job:
            continue
        assert job["timeout-minutes"] <= 240, name
        rights = job["permissions"]
        cloud = [step for step in job["steps"] if step.get("uses") == "./.github/actions/setup"]
        assert (rights.get("id-token") == "write") == bool(cloud), name
        # A role of AWS's belongs to an environment, which GitHub's token then names.
        assert ("environment" in job) == bool(cloud), name
        # Whoever holds it on a pull request's own code writes nothing at GitHub.
        if name.startswith("preview.") and cloud:
            assert set(rights) == {"contents", "id-token"}, name


def test_an_update_is_never_cancelled_and_two_never_meet():
    groups = {name: job.get("concurrency") for name, job in jobs()}
    assert groups["deploy-stack.deploy"] == {"group": "stack-${{ inputs.stack }}", "cancel-in-progress": False}
    assert groups["drill.drill"] == {"group": "stack-staging", "cancel-in-progress": False}
    assert filled(groups["deploy-stack.deploy"]["group"], {"inputs": {"stack": "staging"}}) == "stack-staging"
    assert groups["preview.preview"]["cancel-in-progress"] is True
    order = yaml.safe_load((WORKFLOWS / "deploy.yml").read_text())["jobs"]
    assert {name: job.get("needs") for name, job in order.items()} == {
        "dev": None, "staging": ["dev"], "prod": ["staging"],
    }  # fmt: skip


def test_one_action_has_one_version_everywhere_by_its_commit():
    files = [*WORKFLOWS.glob("*.yml"), *(CHECKOUT / ".github/actions").glob("*/action.yml")]
    uses = {each for path in files for each in re.findall(r"\buses: ([^.\s].*)", path.read_text())}
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in uses), uses
    assert len(uses) == len({each.partition("@")[0] for each in uses})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("vars.RUNNER || 'ubuntu'", "ubuntu"),
        ("inputs.digest && format('--digest={0}', inputs.digest) || format('--commit={0}', github.sha)", "--commit=2"),
        ("!cancelled() && github.sha == '2'", True),
        ("(github.sha != '2') || vars.X == 'it''s'", True),
    ],
)
def test_the_runner_works_out_what_the_workflows_say(text, value):
    contexts = {"vars": {"X": "it's"}, "inputs": {}, "github": {"sha": "2"}}
    assert Expression(text, contexts).value() == value


@pytest.mark.parametrize("text", ["secrets.TOKEN", "hashFiles('x')", "github.sha > 1", "github.sha github.sha"])
def test_the_runner_refuses_what_it_does_not_know(text):
    with pytest.raises(ValueError, match="the runner does not know"):
        Expression(text, {"github": {"sha": "2"}}).value()
