"""What the real engine and today's Kubernetes provider were seen to do, row by row, under the real CLI.

The provider here is an older release, built from its module (docs/decisions/0009). Where it does or words things
differently, a comment says so, and the row "release of the `kubernetes` provider" of docs/sandbox.md.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.plan.preview import parse
from sandbox.instance import CHECKOUT
from tests.sandbox.conftest import Sandbox, eventually

WHERE = "observed"
RUNS_ON = "while :; do sleep 0.1; done"
SECRET, JOB = "kubernetes:core/v1:Secret", "kubernetes:batch/v1:Job"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
_numbers = itertools.count()


class Stack:
    """A stack of a small program whose resources a test sets, run by the CLI."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self._sandbox, self.directory = sandbox, directory
        self.name = f"s{next(_numbers)}"
        self.environment = {
            **sandbox.environment,
            "PULUMI_BACKEND_URL": f"file://{directory}",
            "PULUMI_STACK": self.name,
            "OBSERVED": str(directory),
        }
        self.provider = {"kubeconfig": sandbox.instance.kubeconfig.read_text(), "enableSecretMutable": "true"}
        self.hooks: dict[str, Any] = {}
        self.interrupted = False
        self.resources: dict[str, Any] = {}
        self.run("stack", "init", self.name)

    def set(self, type_: str, name: str = "x", *, options: dict[str, Any] | None = None, **properties: Any) -> None:
        """Declare a resource; its metadata gets the tests' namespace."""
        properties["metadata"] = {"namespace": WHERE, **properties.get("metadata", {})}
        self.resources[name] = {"type": type_, "properties": properties, "options": options or {}}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        program = {name: getattr(self, name) for name in ("provider", "hooks", "resources", "interrupted")}
        (self.directory / "program.json").write_text(json.dumps(program))
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive", "--color=never"],
            executable=shutil.which("pulumi", path=self.environment["PATH"]),
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, fails: bool = False) -> str:
        process = self.start(*arguments)
        output = process.communicate(timeout=120)[0]
        assert (process.returncode != 0) is fails, output
        return output

    def up(self, *arguments: str, fails: bool = False) -> str:
        return self.run("up", "--yes", "--skip-preview", *arguments, fails=fails)

    def preview(self, *arguments: str, fails: bool = False) -> str:
        return self.run("preview", *arguments, fails=fails)

    def steps(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """Name → step of `preview --json`, without the stack and what stays the same."""
        text = self.preview("--json", *arguments)
        found = json.loads(text[text.index("{") :])["steps"]
        return {each["urn"].rpartition("::")[2]: each for each in found if each["op"] != "same"}

    def state(self, name: str = "x") -> dict[str, Any]:
        exported = json.loads(self.run("stack", "export"))["deployment"].get("resources", [])
        return next(each for each in exported if each["urn"].endswith(f"::{name}"))

    def hook_calls(self) -> list[dict[str, Any]]:
        """What the hooks were given since the last call."""
        file = self.directory / "hooks.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def get(self, kind: str, *arguments: str) -> Any:
        return json.loads(self._sandbox.kubectl("-n", WHERE, "get", kind, *arguments, "-o", "json"))

    def kubectl(self, *arguments: str) -> str:
        return self._sandbox.kubectl("-n", WHERE, *arguments)


@pytest.fixture(scope="module")
def project(sandbox: Sandbox) -> Iterator[Path]:
    directory = sandbox.instance.state / "observed"
    directory.mkdir()
    program = Path(__file__).with_name("observed")
    options = {"toolchain": "pip", "virtualenv": str(CHECKOUT / ".venv")}
    settings = {"name": "observed", "main": str(program), "runtime": {"name": "python", "options": options}}
    (directory / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
    sandbox.kubectl("create", "namespace", WHERE)
    yield directory
    sandbox.kubectl("delete", "namespace", WHERE)


@pytest.fixture
def stack(sandbox: Sandbox, project: Path) -> Iterator[Stack]:
    found = Stack(sandbox, project)
    yield found
    found.hook_calls()


def secret(stack: Stack, name: str, *, options: dict[str, Any] | None = None, **data: str) -> None:
    stack.set(SECRET, metadata={"name": name}, stringData=data, options=options)


def job(stack: Stack, script: str, *, options: dict[str, Any] | None = None, **metadata: Any) -> None:
    container = {"name": "c", "image": "meetinity/example-service:1.0.0", "command": ["sh", "-c", script]}
    spec = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    stack.set(JOB, "j", metadata=metadata, spec=spec, options=options)


def policy(stack: Stack, port: int, *, options: dict[str, Any] | None = None, name: str = "policy") -> None:
    egress = [{"ports": [{"port": port, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}]}]
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress}
    stack.set(POLICY, metadata={"name": name}, spec=spec, options=options)


def value(stack: Stack, name: str, key: str = "url") -> str:
    return base64.b64decode(stack.get("secret", name)["data"][key]).decode()


# Secrets


def test_secret_created_where_the_object_exists(stack: Stack) -> None:
    stack.kubectl("create", "secret", "generic", "exists", "--from-literal=url=theirs")
    before = stack.get("secret", "exists")
    secret(stack, "exists", url="x")
    output = stack.up(fails=True)
    assert stack.get("secret", "exists") == before
    assert 'secrets "exists" already exists' in output
    assert all(way in output for way in ("Patch resource", "`pulumi import`")), output


def test_mutable_secret_is_updated_in_place(stack: Stack) -> None:
    secret(stack, "mutable", url="a")
    stack.up()
    uid = stack.get("secret", "mutable")["metadata"]["uid"]
    secret(stack, "mutable", url="b")
    assert re.search(r"~ +kubernetes:core/v1:Secret +x +update +\[diff: ~data\]", stack.preview())
    step = stack.steps()["x"]
    assert step["op"] == "update"
    assert step["detailedDiff"] == {"data.url": {"kind": "update", "inputDiff": False}}
    assert step["oldState"]["inputs"]["data"] == step["newState"]["inputs"]["data"] == "[secret]"
    assert step.get("diffReasons") is None
    stack.up()
    assert (stack.get("secret", "mutable")["metadata"]["uid"], value(stack, "mutable")) == (uid, "b")


def test_secret_without_enable_secret_mutable_is_replaced(stack: Stack) -> None:
    del stack.provider["enableSecretMutable"]
    secret(stack, "replaced", url="a")
    stack.up()
    uid = stack.get("secret", "replaced")["metadata"]["uid"]
    secret(stack, "replaced", url="b")
    assert "kubernetes:core/v1:Secret: (replace)" in stack.preview("--diff")
    # Unlike today's provider, which creates first; this one deletes first, as both do with Jobs.
    output = stack.up()
    assert output.index("deleted original") < output.index("creating replacement")
    assert stack.get("secret", "replaced")["metadata"]["uid"] != uid
    assert value(stack, "replaced") == "b"


def test_secret_field_of_another_manager_fails_preview_and_up_until_it_is_forced(stack: Stack) -> None:
    secret(stack, "contested", url="a")
    stack.up()
    secret(stack, "contested", url="b")
    stack.up()
    patch = ("patch", "secret", "contested", "-p", '{"stringData":{"url":"theirs"}}')
    stack.kubectl(*patch, "--field-manager=other")
    secret(stack, "contested", url="ours")
    stack.set(SECRET, "other", metadata={"name": "held-up"}, stringData={"url": "x"})
    manager = stack.state()["outputs"]["__fieldManager"]
    for output in (stack.preview(fails=True), stack.run("up", "--yes", fails=True)):
        # Today's provider: "server-side apply field conflict detected, see https://www.pulumi.com/".
        assert "Server-Side Apply field conflict detected. See https://www.pulumi.com/" in output
        conflict = (
            f'The resource managed by field manager "{manager}" had an apply conflict: Apply failed with 1 conflict'
        )
        assert f'{conflict}: conflict with "other" using v1: .data.url' in output, output
    assert not stack.kubectl("get", "secret", "held-up", "--ignore-not-found")
    stack.resources["x"]["properties"]["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}
    stack.up()
    assert value(stack, "contested") == "ours"


def test_secret_changed_with_kubectl_fails_the_preview_and_not_the_up(stack: Stack) -> None:
    """Unlike today's provider, where both fail: this one takes kubectl's fields over before it applies.

    A dry run cannot.
    """
    secret(stack, "kubectl", url="a")
    stack.up()
    secret(stack, "kubectl", url="b")
    stack.up()
    stack.kubectl("patch", "secret", "kubectl", "-p", '{"stringData":{"url":"theirs"}}')
    secret(stack, "kubectl", url="ours")
    assert 'conflict with "kubectl-patch" using v1: .data.url' in stack.preview(fails=True)
    stack.up()
    assert value(stack, "kubectl") == "ours"


def test_secret_deleted_outside(stack: Stack) -> None:
    secret(stack, "deleted", url="a")
    stack.up()
    stack.kubectl("delete", "secret", "deleted")
    stack.up("--expect-no-changes")
    secret(stack, "deleted", url="b")
    output = stack.up(fails=True)
    urn = stack.state()["urn"]
    assert f'update of resource "{urn}" failed: secrets "deleted" not found' in output
    stack.up("--refresh")
    assert value(stack, "deleted") == "b"


def test_secret_in_the_state(stack: Stack) -> None:
    secret(stack, "state", url="postgres://in-clear", other="y")
    stack.up()
    state = stack.state()
    maps = [state["inputs"]["data"], state["outputs"]["data"], state["outputs"]["__inputs"]["data"]]
    assert all(set(each) == {"4dabf18193072939515e22adb298388d", "ciphertext"} for each in maps), maps
    assert "stringData" not in {**state["inputs"], **state["outputs"], **state["outputs"]["__inputs"]}
    assert {"__fieldManager", "__initialApiVersion"} <= set(state["outputs"])
    assert state["outputs"]["metadata"]["managedFields"]
    assert "in-clear" not in json.dumps(state)
    assert base64.b64encode(b"postgres://in-clear").decode() not in json.dumps(state)


# Jobs


def jobs(stack: Stack) -> dict[str, str]:
    """Name → its condition, of the jobs that stand; tests begin and end without any."""
    return {
        each["metadata"]["name"]: next((c["type"] for c in each["status"].get("conditions", [])[-1:]), "")
        for each in stack.get("jobs")["items"]
    }


@pytest.fixture
def no_jobs(stack: Stack) -> Iterator[None]:
    yield
    stack.kubectl("delete", "jobs", "--all", "--cascade=foreground")


@pytest.mark.usefixtures("no_jobs")
def test_job_awaited_replaced_and_failed(stack: Stack) -> None:
    job(stack, "sleep 0.5")
    output = stack.up()
    [first] = jobs(stack)
    assert re.fullmatch("j-[0-9a-f]{8}", first)
    assert f'Waiting for Job "{WHERE}/{first}" to start' in output
    assert f'Waiting for Job "{WHERE}/{first}" to succeed (Active: 1 | Succeeded: 0 | Failed: 0)' in output
    assert jobs(stack) == {first: "Complete"}

    # A change of the template: the old one goes only after the new one has succeeded.
    job(stack, "sleep 0.6")
    output = stack.up()
    [second] = jobs(stack)
    assert second != first
    assert output.index("created replacement") < output.index("deleting original")

    # The new one fails: the error names neither pod nor cause, and both stay.
    job(stack, "echo the cause; exit 3")
    failure = re.escape("[BackoffLimitExceeded] Job has reached the specified backoff limit")
    for output in (stack.up(fails=True), stack.up(fails=True)):
        assert re.search("Resource 'j-[0-9a-f]{8}' was created but failed to initialize", output)
        assert re.search(failure, output), output
        assert "the cause" not in output
    third = next(name for name in jobs(stack) if name != second)
    assert jobs(stack) == {second: "Complete", third: "Failed"}
    # The next `up` of the same program waits on the same Job and fails at once.
    assert f'"{WHERE}/{third}" failed to fully initialize or become live' in output

    # Deleted outside, and its image changed: fine.
    stack.kubectl("delete", "job", third)
    job(stack, "true")
    stack.up()
    assert set(jobs(stack).values()) == {"Complete"}
    assert len(jobs(stack)) == 1


@pytest.mark.usefixtures("no_jobs")
def test_failed_job_that_did_not_change_is_an_update_without_a_difference(stack: Stack) -> None:
    job(stack, "exit 3")
    output = stack.up(fails=True)
    name = next(iter(jobs(stack)))
    urn = re.escape(stack.state("j")["urn"])
    assert re.search(
        f'resource "{urn}" was successfully created, but the Kubernetes API server reported that it failed to fully '
        f"initialize or become live: Resource '{name}' was created but failed to initialize",
        output,
    )
    step = stack.steps()["j"]
    assert (step["op"], step.get("detailedDiff") or {}) == ("update", {})

    # replaceUnready, added after the failure, replaces it; while the new ones fail, the failed ones pile up.
    unready = {"annotations": {"pulumi.com/replaceUnready": "true"}}
    job(stack, "exit 3", **unready)
    assert stack.steps()["j"]["op"] in ("replace", "create-replacement")
    for count in (2, 3):
        stack.up(fails=True)
        assert list(jobs(stack).values()) == ["Failed"] * count
    job(stack, "true", **unready)
    stack.up()
    assert list(jobs(stack).values()) == ["Complete"]
    stack.up("--expect-no-changes")


@pytest.mark.usefixtures("no_jobs")
def test_job_of_a_fixed_name(stack: Stack) -> None:
    job(stack, "true", name="fixed")
    stack.up()
    job(stack, "exit 0", name="fixed")
    output = stack.up()
    assert output.index("deleted original") < output.index("creating replacement")
    # Slower than its custom timeout.
    job(stack, "sleep 30", name="fixed", options={"custom_timeouts": {"create": "1s"}})
    assert "'fixed' timed out waiting to be Ready" in stack.up(fails=True)
    # Deleted outside: nothing is noticed without a refresh, and with one it runs again.
    job(stack, "exit 0", name="fixed")
    stack.up()
    stack.kubectl("delete", "job", "fixed")
    stack.up("--expect-no-changes")
    assert not jobs(stack)
    assert re.search(r"\+ +kubernetes:batch/v1:Job j created", stack.up("--refresh"))
    assert jobs(stack) == {"fixed": "Complete"}


@pytest.mark.usefixtures("no_jobs")
def test_cancelled_wait_leaves_a_partial_state_and_the_next_up_goes_on(stack: Stack, sandbox: Sandbox) -> None:
    go = stack.directory / "go"
    job(stack, f"until test -e {go}; do sleep 0.1; done", name="cancelled")
    with stack.start("up", "--yes", "--skip-preview") as process:
        eventually(lambda: "cancelled" in jobs(stack))
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=120)[0]
    assert process.returncode
    assert 'Resource operation was cancelled for "cancelled"' in output
    assert stack.state("j")["initErrors"]
    uid = stack.get("job", "cancelled")["metadata"]["uid"]
    go.touch()
    stack.up()
    assert stack.get("job", "cancelled")["metadata"]["uid"] == uid
    assert "initErrors" not in stack.state("j")


# How long is waited, and for what


@pytest.mark.usefixtures("no_jobs")
def test_skip_await_does_not_wait_for_a_job(stack: Stack) -> None:
    job(stack, RUNS_ON, annotations={"pulumi.com/skipAwait": "true"})
    assert "Waiting for Job" not in stack.up()
    assert list(jobs(stack).values()) == [""]


@pytest.mark.usefixtures("no_jobs")
def test_wait_for_another_condition_and_deletion_in_the_foreground(stack: Stack) -> None:
    reluctant = f"trap 'sleep 2; exit' TERM; {RUNS_ON}"
    job(stack, reluctant, annotations={"pulumi.com/waitFor": "jsonpath={.status.ready}=1"})
    stack.up()
    [pod] = stack.get("pods")["items"]
    assert pod["status"]["phase"] == "Running"
    stack.run("destroy", "--yes", "--skip-preview")
    assert not stack.get("pods")["items"]
    assert not jobs(stack)


@pytest.mark.usefixtures("no_jobs")
def test_timeouts_by_annotation_and_by_option(stack: Stack) -> None:
    job(stack, RUNS_ON, name="slow", annotations={"pulumi.com/timeoutSeconds": "1"})
    assert "'slow' timed out waiting to be Ready" in stack.up(fails=True)
    job(stack, RUNS_ON, name="slow", options={"custom_timeouts": {"update": "1s"}})
    assert re.search(r"~ +kubernetes:batch/v1:Job j .*updating failed", output := stack.up(fails=True)), output
    assert "'slow' timed out waiting to be Ready" in output

    stack.resources.clear()
    stack.set(
        SECRET,
        metadata={"name": "held", "finalizers": ["example.com/hold"]},
        stringData={"url": "a"},
        options={"custom_timeouts": {"delete": "1s"}},
    )
    stack.up()
    output = stack.run("destroy", "--yes", "--skip-preview", fails=True)
    stack.kubectl("patch", "secret", "held", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
    assert "timed out waiting for the condition" in output
    assert "finalizers might be preventing deletion (example.com/hold)" in output


# Provider and cluster


def test_cluster_identity_decides_whether_everything_is_replaced(stack: Stack) -> None:
    config = json.loads(stack.provider["kubeconfig"])
    [main], [context], [user] = config["clusters"], config["contexts"], config["users"]
    other = {"name": "other", "cluster": dict(main["cluster"])}
    config["clusters"].append(other)
    config["contexts"].append({"name": "other", "context": {**context["context"], "cluster": "other"}})
    stack.set(SECRET, metadata={"labels": {"of": "identity"}}, stringData={"url": "a"})  # no name: two can stand
    everything, provider_alone = {"provider": "replace", "x": "replace"}, {"provider": "update"}

    def changes(**settings: str) -> dict[str, str]:
        """Name → op of what is planned and then done."""
        stack.provider |= {"kubeconfig": json.dumps(config), **settings}
        planned = {name: step["op"] for name, step in stack.steps().items()}
        before = stack.state()["outputs"]["metadata"]["uid"]
        stack.up()
        after = stack.state()["outputs"]["metadata"]
        assert (after["uid"] != before) is ("x" in planned)
        assert [each["metadata"]["uid"] for each in stack.get("secrets", "-l=of=identity")["items"]] == [after["uid"]]
        return planned

    stack.provider["kubeconfig"] = json.dumps(config)
    stack.up()
    main["cluster"]["server"] += "/"  # another server to the provider, and the same to us
    assert changes() == everything
    assert changes(context="other") == everything
    user["user"]["token"] = "another"
    assert changes() == provider_alone
    assert changes(clusterIdentifier="arn") == provider_alone
    assert changes(clusterIdentifier="another-arn") == everything
    other["cluster"]["server"] += "/"
    assert changes() == provider_alone
    assert changes(context=context["name"]) == provider_alone


def test_unreachable_cluster(stack: Stack) -> None:
    secret(stack, "far", url="a")
    stack.provider["clusterIdentifier"] = "arn"
    stack.up()
    server = json.loads(stack.provider["kubeconfig"])["clusters"][0]["cluster"]["server"]
    near, far = stack.provider["kubeconfig"], stack.provider["kubeconfig"].replace(server, "https://127.0.0.1:9")
    stack.provider["kubeconfig"] = far
    secret(stack, "far", url="b")
    unreachable = "configured Kubernetes cluster is unreachable: unable to load schema information from the API server"
    seen = stack.preview()
    assert re.search(r"Secret +x +update", seen)
    assert f"warning: {unreachable}" in seen
    assert re.search(r"Stack +observed-\w+ +1 warning\n", seen), seen
    output = stack.up(fails=True)
    assert re.search(re.escape(f'error: {unreachable}: Get "https://127.0.0.1:9/') + ".*connection refused", output)
    assert "PULUMI_K8S_DELETE_UNREACHABLE" in stack.run("refresh", "--yes", fails=True)
    stack.provider["kubeconfig"] = near
    stack.up()
    assert value(stack, "far") == "b"


def test_namespace_missing_passes_the_preview(stack: Stack) -> None:
    stack.set(SECRET, metadata={"name": "x", "namespace": "nope"}, stringData={"a": "b"})
    stack.preview()
    message = 'was not successfully created by the Kubernetes API server: namespaces "nope" not found'
    assert message in stack.up(fails=True)


def test_invalid_manifest_of_an_existing_object_fails_the_preview(stack: Stack) -> None:
    policy(stack, 5432)
    stack.up()
    policy(stack, 99999)
    message = "spec.egress[0].ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive"
    assert message in stack.preview(fails=True)


def test_drift_by_kubectl_is_seen_with_refresh_alone_and_taken_back(stack: Stack) -> None:
    policy(stack, 5432, name="drift")
    stack.up()
    stack.kubectl("patch", "networkpolicy", "drift", "-p", '{"spec":{"policyTypes":["Egress","Ingress"]}}')
    stack.kubectl("patch", "networkpolicy", "drift", "--type=json", "-p", PORT_6000)
    stack.up("--expect-no-changes")
    output = stack.up("--refresh", "--diff")
    assert re.search(r"port *: 5432(\.0)? => 6000", output) or re.search(r"port *: 6000 => 5432", output), output
    spec = stack.get("networkpolicy", "drift")["spec"]
    assert spec["egress"][0]["ports"][0]["port"] == 5432
    assert spec["policyTypes"] == ["Egress"]
    stack.up("--refresh", "--expect-no-changes")


PORT_6000 = '[{"op":"replace","path":"/spec/egress/0/ports/0/port","value":6000}]'


def test_destroy_takes_seconds(stack: Stack) -> None:
    secret(stack, "gone", url="a")
    stack.set(POLICY, "p", metadata={"name": "gone"}, spec={"podSelector": {}})
    stack.up()
    output = stack.run("destroy", "--yes", "--skip-preview")
    assert not stack.kubectl("get", "secret/gone", "networkpolicy/gone", "--ignore-not-found")
    assert int(re.search(r"Duration: (\d+)s", output)[1]) <= 15, output


# Hooks and protection


def test_before_update_hook_that_raises_fails_preview_and_up(stack: Stack) -> None:
    stack.hooks = {"retention-guard": {}}
    policy(stack, 5432, name="guarded", options={"hooks": {"before_update": "retention-guard"}})
    stack.up()
    stack.hooks = {"retention-guard": {"fails": "not on my watch"}}
    policy(stack, 5433, name="guarded", options={"hooks": {"before_update": "retention-guard"}})
    output = stack.preview(fails=True)
    assert re.search('Preview failed: before hook "retention-guard" failed: .*not on my watch', output), output
    assert 'before hook "retention-guard" failed' in stack.up(fails=True)
    assert stack.get("networkpolicy", "guarded")["spec"]["egress"][0]["ports"][0]["port"] == 5432
    call = stack.hook_calls()[0]
    old, new = call["old_inputs"]["spec"], call["new_inputs"]["spec"]
    assert old["podSelector"] == {}
    port = new["egress"][0]["ports"][0]["port"]
    assert (port, type(port)) == (5433, float)


def test_traceback_of_an_interrupted_program_is_in_the_json_and_in_nothing_that_we_report(stack: Stack) -> None:
    """The official language host interrupts the program of a failed run; ours kills it: this one interrupts itself."""
    stack.interrupted = True
    document = stack.preview("--json", fails=True)
    document = document[document.index("{") :]
    said = "".join(each["message"] for each in json.loads(document)["diagnostics"])
    assert re.search(r"Traceback \(most recent call last\):.*^KeyboardInterrupt", said, re.DOTALL | re.MULTILINE), said
    told = [each.message for each in parse(document, "the preview").errors]
    assert told
    assert not [each for each in told if "Traceback" in each or "KeyboardInterrupt" in each], told


def test_before_delete_hook_fires_when_the_resource_leaves_the_program(stack: Stack) -> None:
    stack.hooks = {"farewell": {}}
    secret(stack, "left", url="a", options={"hooks": {"before_delete": "farewell"}})
    stack.up()
    assert "must run with the `--run-program` flag to use delete hooks during destroy" in stack.run(
        "destroy", "--yes", "--skip-preview", fails=True
    )
    stack.resources.clear()
    stack.preview()
    assert [each["hook"] for each in stack.hook_calls()] == ["farewell"]
    # Without a hook of that name in the program the resource stays.
    stack.hooks.clear()
    for output in (stack.preview(fails=True), stack.up(fails=True)):
        assert 'hook "farewell" was not registered' in output
    assert value(stack, "left") == "a"
    stack.hooks = {"farewell": {}}
    stack.up()
    assert [each["hook"] for each in stack.hook_calls()] == ["farewell"]
    assert not stack.kubectl("get", "secret", "left", "--ignore-not-found")


def test_protect_alone_is_the_same_in_preview_json(stack: Stack) -> None:
    secret(stack, "protected", url="a", options={"protect": True})
    stack.up()
    secret(stack, "protected", url="a", options={"protect": False})
    text = stack.preview("--json")
    answer = json.loads(text[text.index("{") :])
    [step] = [each for each in answer["steps"] if each["urn"].endswith("::x")]
    assert (step["op"], step["oldState"]["protect"]) == ("same", True)
    assert "protect" not in step["newState"]
    assert answer["changeSummary"] == {"same": 3}


@pytest.mark.usefixtures("no_jobs")
def test_hooks_of_a_job(stack: Stack) -> None:
    stack.hooks = {"report": {}, "explain": {"on_error": True}}
    options = {"hooks": {"after_create": "report", "on_error": "explain"}}

    def fails(script: str) -> None:
        job(stack, script, options=options)
        output = stack.up(fails=True)
        [call] = stack.hook_calls()
        assert call["hook"] == "explain", output
        assert not call["id"]
        assert call["new_inputs"]["metadata"]["name"] in jobs(stack)
        assert "[BackoffLimitExceeded] Job has reached the specified backoff limit" in str(call["errors"])

    fails("exit 4")  # at its creation
    fails("exit 5")  # as a replacement of one that failed
    job(stack, "true", options=options)
    stack.up()
    [report] = stack.hook_calls()
    assert report["hook"] == "report"
    assert report["new_outputs"]["status"]["succeeded"] == 1
    assert report["new_outputs"]["status"]["completionTime"]
    fails("exit 6")  # as a replacement of one that succeeded


def test_on_error_hook_asks_for_another_try(stack: Stack) -> None:
    stack.kubectl("create", "secret", "generic", "tried")
    stack.hooks = {"again": {"on_error": True, "retries": 1}}
    secret(stack, "tried", url="a", options={"hooks": {"on_error": "again"}})
    assert "warning: retrying create due to on-error hook request (1/100)" in stack.up(fails=True)
    assert [len(each["errors"]) for each in stack.hook_calls()] == [1, 2]
