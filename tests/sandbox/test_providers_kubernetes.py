"""The kubernetes stand-in does what the real provider was seen to do, over a real control plane."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest
import yaml
from google.protobuf import empty_pb2

from sandbox.kube_client import KubeClient, active, load
from sandbox.providers import values
from tests.sandbox.conftest import Sandbox, eventually
from tests.sandbox.provider_process import UNKNOWN, Client, InitFailedError, provider

SECRET = "kubernetes:core/v1:Secret"
JOB = "kubernetes:batch/v1:Job"
NAMESPACE = "kubernetes:core/v1:Namespace"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
ACCOUNT = "kubernetes:core/v1:ServiceAccount"
LIMITS = "kubernetes:core/v1:LimitRange"
WHERE = "prov"
UNREADY = {"pulumi.com/replaceUnready": "true"}
DEAD = {
    "current-context": "x",
    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:9"}}],
    "users": [{"name": "x", "user": {"token": "t0ken-of-the-dead"}}],
}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def kube(sandbox: Sandbox) -> Iterator[Client]:
    sandbox.kubectl("create", "namespace", WHERE)
    with provider("kubernetes", PATH=sandbox.environment["PATH"]) as client:
        mutable = {"enableSecretMutable": "true", "enableConfigMapMutable": "true"}
        client.configure(kubeconfig=sandbox.instance.kubeconfig.read_text(), **mutable)
        yield client
    sandbox.kubectl("delete", "namespace", WHERE)


@pytest.fixture(scope="module")
def unreachable() -> Iterator[Client]:
    with provider("kubernetes", HOME="/nonexistent") as client:
        client.configure(kubeconfig=json.dumps(DEAD))
        yield client


def secret(client: Client, name: str, olds: dict[str, Any] | None = None, **data: str) -> dict[str, Any]:
    news = {"metadata": {"name": name, "namespace": WHERE}, "stringData": values.secret(data)}
    return client.check(SECRET, news, olds)


def job(client: Client, script: str, olds: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "meetinity/example-service:1.0.0", "command": ["sh", "-c", script]}
    spec = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    news = {"metadata": {"namespace": WHERE, **metadata}, "spec": spec}
    return client.check(JOB, news, olds, name="migrate", seed=script.encode() * 16)


# Offline.


def test_a_missing_name_is_made_marked_kept_and_new_in_a_replacement(unreachable: Client) -> None:
    inputs = unreachable.check(ACCOUNT, {"metadata": {"namespace": WHERE}}, name="sa")
    name = inputs["metadata"]["name"]
    assert name.startswith("sa-")
    assert len(name) == 11
    assert inputs["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    again = unreachable.check(ACCOUNT, {"metadata": {"namespace": WHERE}}, inputs, name="sa", seed=b"7" * 32)
    assert again == inputs
    assert unreachable.check(ACCOUNT, {}, name="sa", seed=b"7" * 32)["metadata"]["name"] != name


def test_string_data_becomes_data_and_one_secret_even_with_unknowns(unreachable: Client) -> None:
    news = {"metadata": {"name": "s"}, "data": {"a": encoded("x")}, "stringData": {"b": "y", "c": UNKNOWN}}
    inputs = unreachable.check(SECRET, news)
    assert inputs["data"] == values.secret({"a": encoded("x"), "b": encoded("y"), "c": UNKNOWN})
    assert "stringData" not in inputs


@pytest.mark.parametrize(
    "kind", ["kubernetes:core/v1:SecretPatch", "kubernetes:core/v1:SecretList", "kubernetes:helm.sh/v3:Release"]
)
def test_kinds_the_stand_in_lacks_are_refused_by_name(unreachable: Client, kind: str) -> None:
    _, failures = unreachable.checked(kind, {"metadata": {"name": "x"}})
    assert failures[""] == f"type '{kind}' is not supported by the sandbox"


def test_generate_name_is_refused_as_under_server_side_apply(unreachable: Client) -> None:
    _, failures = unreachable.checked(ACCOUNT, {"metadata": {"generateName": "x-"}})
    assert "not supported in Server-Side Apply mode" in failures["metadata.generateName"]


def kubeconfig(server: str, token: str = "t", name: str = "x") -> str:
    config = json.loads(json.dumps(DEAD))
    config["clusters"][0]["cluster"]["server"] = server
    config["users"][0]["user"]["token"] = token
    config["contexts"].append({"name": "y", "context": {"cluster": "y", "user": "x"}})
    config["clusters"].append({"name": "y", "cluster": {"server": "https://y"}})
    return yaml.safe_dump({**config, "current-context": name})


A, B = kubeconfig("https://a"), kubeconfig("https://b")


@pytest.mark.parametrize(
    ("olds", "news", "replaces"),
    [
        ({"kubeconfig": A}, {"kubeconfig": B}, ["kubeconfig"]),
        ({"kubeconfig": A}, {"kubeconfig": kubeconfig("https://a", "other")}, []),
        ({"kubeconfig": A}, {"kubeconfig": A, "context": "y"}, ["context"]),
        ({"kubeconfig": A, "clusterIdentifier": "i"}, {"kubeconfig": B, "clusterIdentifier": "i"}, []),
        ({"kubeconfig": A}, {"kubeconfig": A, "clusterIdentifier": "i"}, []),
        (
            {"kubeconfig": A, "clusterIdentifier": "i"},
            {"kubeconfig": A, "clusterIdentifier": "j"},
            ["clusterIdentifier"],
        ),
        ({"kubeconfig": A}, {"kubeconfig": UNKNOWN}, ["kubeconfig"]),
        ({"kubeconfig": A, "clusterIdentifier": "i"}, {"kubeconfig": UNKNOWN, "clusterIdentifier": "i"}, []),
        ({"kubeconfig": A}, {"kubeconfig": A, "enableSecretMutable": "true"}, []),
    ],
)
def test_another_cluster_replaces_the_provider_and_its_identifier_decides(
    unreachable: Client, olds: dict[str, Any], news: dict[str, Any], replaces: list[str]
) -> None:
    answer = unreachable.diff_config(olds, news)
    assert list(answer.replaces) == replaces
    assert answer.changes == answer.DIFF_SOME


def test_an_unreachable_cluster_warns_once_and_previews_from_the_state(unreachable: Client) -> None:
    [warning] = unreachable.engine.messages()
    assert "configured Kubernetes cluster is unreachable" in warning
    assert 'Get "https://127.0.0.1:9/openapi/v2?timeout=32s": connection refused' in warning
    inputs = secret(unreachable, "s", url="x")
    assert unreachable.create(SECRET, inputs, preview=True) == ("", inputs)
    state = {**inputs, "__inputs": inputs}
    assert unreachable.update(SECRET, "prov/s", state, inputs, preview=True) == inputs
    assert len(unreachable.engine.messages()) == 1


def test_an_unreachable_cluster_fails_everything_else_with_the_way_out(unreachable: Client) -> None:
    inputs = secret(unreachable, "s", url="x")
    state = {**inputs, "__inputs": inputs}
    for call in (
        lambda: unreachable.create(SECRET, inputs),
        lambda: unreachable.update(SECRET, "prov/s", state, inputs),
        lambda: unreachable.read(SECRET, "prov/s", inputs, state),
        lambda: unreachable.delete(SECRET, "prov/s", state),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "unreachable" in caught.value.details()
        assert "t0ken-of-the-dead" not in caught.value.details()
    assert "PULUMI_K8S_DELETE_UNREACHABLE" in caught.value.details()


# Secrets.


def test_a_secrets_data_is_one_secret_in_inputs_outputs_and_inputs_of_the_state(kube: Client) -> None:
    inputs = secret(kube, "marked", url="postgres://x")
    id_, state = kube.create(SECRET, inputs)
    assert id_ == "prov/marked"
    data = values.secret({"url": encoded("postgres://x")})
    assert state["data"] == state["__inputs"]["data"] == inputs["data"] == data
    assert state["__initialApiVersion"] == "v1"
    assert state["__fieldManager"].startswith("pulumi-kubernetes-")
    assert state["metadata"]["managedFields"]
    assert kube.changes(SECRET, id_, state, inputs) == {}
    assert kube.read(SECRET, id_, inputs, state) == (id_, inputs, state)
    kube.delete(SECRET, id_, state)


def test_an_existing_object_is_not_adopted_and_the_error_offers_the_ways(kube: Client, sandbox: Sandbox) -> None:
    sandbox.kubectl("-n", WHERE, "create", "secret", "generic", "existing")
    inputs = secret(kube, "existing", url="x")
    assert kube.create(SECRET, inputs, preview=True) == ("", inputs)
    assert 'Retry #0; creation failed: secrets "existing" already exists' in kube.engine.messages(status=True)
    with pytest.raises(grpc.RpcError) as caught:
        kube.create(SECRET, inputs)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    message = caught.value.details()
    assert 'was not successfully created by the Kubernetes API server: secrets "existing" already exists' in message
    assert all(way in message for way in ("Patch resource", "pulumi import", "upsertExistingObjects"))


def test_mutable_data_is_updated_in_place_and_owned_by_one_manager_afterwards(kube: Client) -> None:
    inputs = secret(kube, "mutable", url="a", host="h")
    id_, state = kube.create(SECRET, inputs)
    wanted = secret(kube, "mutable", inputs, url="b")
    assert kube.changes(SECRET, id_, state, wanted) == {"data.host": "delete", "data.url": "update"}
    assert not kube.diff(SECRET, id_, state, wanted).replaces
    preview = kube.update(SECRET, id_, state, wanted, preview=True)
    assert values.plain(preview["data"]) == {"url": encoded("b"), "host": encoded("h")}
    assert values.plain(kube.read(SECRET, id_, inputs, state)[2]["data"])["url"] == encoded("a"), "a preview wrote"
    state = kube.update(SECRET, id_, state, wanted)
    assert values.plain(state["data"]) == {"url": encoded("b")}
    [entry] = state["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == (state["__fieldManager"], "Apply")
    kube.delete(SECRET, id_, state)


def test_without_the_setting_new_data_replaces_a_secret_deleting_a_fixed_name_first(unreachable: Client) -> None:
    inputs = secret(unreachable, "s", url="a")
    state = {**inputs, "__inputs": inputs}
    answer = unreachable.diff(SECRET, "prov/s", state, secret(unreachable, "s", inputs, url="b"))
    assert list(answer.replaces) == ["data"]
    assert answer.deleteBeforeReplace


def test_a_field_of_another_manager_is_a_conflict_in_preview_and_up_until_it_is_resolved(
    kube: Client, sandbox: Sandbox
) -> None:
    inputs = secret(kube, "contested", url="a")
    id_, state = kube.create(SECRET, inputs)
    state = kube.update(SECRET, id_, state, inputs)
    sandbox.kubectl(
        "-n", WHERE, "patch", "secret", "contested", "--field-manager=other", "-p", '{"stringData":{"url":"theirs"}}'
    )
    wanted = secret(kube, "contested", inputs, url="ours")
    for preview in (True, False):
        with pytest.raises(InitFailedError) as caught:
            kube.update(SECRET, id_, state, wanted, preview=preview)
        [reason] = caught.value.reasons
        assert "server-side apply field conflict detected, see https://www.pulumi.com/" in reason
        assert f'The resource managed by field manager "{state["__fieldManager"]}" had an apply conflict' in reason
        assert 'conflict with "other" using v1: .data.url' in reason
        assert kube.changes(SECRET, id_, caught.value.properties, wanted) == {"data.url": "update"}
    forced = kube.check(
        SECRET,
        {
            "metadata": {"name": "contested", "namespace": WHERE, "annotations": {"pulumi.com/patchForce": "true"}},
            "stringData": {"url": "ours"},
        },
    )
    assert values.plain(kube.update(SECRET, id_, state, forced)["data"]) == {"url": encoded("ours")}
    kube.delete(SECRET, id_, state)


def test_drift_by_kubectl_is_seen_by_read_alone_and_taken_back(kube: Client, sandbox: Sandbox) -> None:
    inputs = secret(kube, "drift", url="a")
    id_, state = kube.create(SECRET, inputs)
    sandbox.kubectl("-n", WHERE, "patch", "secret", "drift", "-p", '{"stringData":{"url":"drift","extra":"x"}}')
    assert kube.changes(SECRET, id_, state, inputs) == {}
    _, found, outputs = kube.read(SECRET, id_, inputs, state)
    assert values.plain(found["data"]) == {"url": encoded("drift")}
    assert kube.changes(SECRET, id_, outputs, inputs) == {"data.url": "update"}
    assert kube.update(SECRET, id_, outputs, inputs, preview=True)
    repaired = kube.update(SECRET, id_, outputs, inputs)
    assert values.plain(repaired["data"])["url"] == encoded("a")
    kube.delete(SECRET, id_, repaired)


def test_an_object_deleted_by_others_is_gone_for_read_and_an_error_for_update(kube: Client, sandbox: Sandbox) -> None:
    inputs = secret(kube, "lost", url="a")
    id_, state = kube.create(SECRET, inputs)
    sandbox.kubectl("-n", WHERE, "delete", "secret", "lost")
    assert kube.read(SECRET, id_, inputs, state) is None
    with pytest.raises(grpc.RpcError) as caught:
        kube.update(SECRET, id_, state, secret(kube, "lost", inputs, url="b"))
    assert 'failed: secrets "lost" not found' in caught.value.details()
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    kube.delete(SECRET, id_, state)


# Other objects.


def policy(client: Client, name: str, port: int, **more: Any) -> dict[str, Any]:
    egress = [{"ports": [{"port": port, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}]}]
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress, **more}
    return client.check(POLICY, {"metadata": {"name": name, "namespace": WHERE}, "spec": spec})


def test_an_object_is_imported_by_namespace_and_name_without_a_difference(kube: Client) -> None:
    inputs = policy(kube, "imported", 5432)
    id_, state = kube.create(POLICY, inputs)
    found = kube.read(POLICY, "prov/imported")
    assert found[0] == id_
    assert found[1] == inputs
    assert kube.changes(POLICY, id_, found[2], inputs) == {}
    assert kube.read(POLICY, "prov/no-such") is None
    kube.delete(POLICY, id_, state)


def test_a_preview_is_a_dry_run_that_the_api_server_judges(kube: Client) -> None:
    inputs = policy(kube, "judged", 5432)
    id_, state = kube.create(POLICY, inputs)
    with pytest.raises(InitFailedError) as caught:
        kube.update(POLICY, id_, state, policy(kube, "judged", 99999), preview=True)
    assert (
        "spec.egress[0].ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive"
        in caught.value.reasons[0]
    )
    with pytest.raises(grpc.RpcError) as refused:
        kube.create(POLICY, policy(kube, "judged-2", 5432, egres=[]), preview=True)
    assert 'unknown field "spec.egres"' in refused.value.details()
    kube.delete(POLICY, id_, state)


def test_a_missing_namespace_passes_the_preview_and_fails_the_up(kube: Client) -> None:
    inputs = kube.check(SECRET, {"metadata": {"name": "x", "namespace": "nope"}, "stringData": {"a": "b"}})
    assert kube.create(SECRET, inputs, preview=True) == ("", inputs)
    with pytest.raises(grpc.RpcError) as caught:
        kube.create(SECRET, inputs)
    assert (
        'was not successfully created by the Kubernetes API server: namespaces "nope" not found'
        in caught.value.details()
    )


def test_a_binding_to_another_role_and_a_move_to_another_namespace_are_replacements(unreachable: Client) -> None:
    def binding(role: str, namespace: str) -> dict[str, Any]:
        metadata = {"name": "b", "namespace": namespace}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}
        return unreachable.check(BINDING, {"metadata": metadata, "roleRef": reference, "subjects": []})

    state = {**(old := binding("a", WHERE)), "__inputs": old}
    answer = unreachable.diff(BINDING, "prov/b", state, binding("b", WHERE))
    assert list(answer.replaces) == ["roleRef"]
    assert answer.deleteBeforeReplace
    moved = unreachable.diff(BINDING, "prov/b", state, binding("a", "other"))
    assert list(moved.replaces) == ["metadata"]
    assert not moved.deleteBeforeReplace


def test_the_default_namespace_goes_without_saying(unreachable: Client) -> None:
    old = unreachable.check(ACCOUNT, {"metadata": {"name": "x"}})
    new = unreachable.check(ACCOUNT, {"metadata": {"name": "x", "namespace": "default"}})
    assert unreachable.changes(ACCOUNT, "default/x", {**old, "__inputs": old}, new) == {}


def test_what_the_api_server_spells_differently_is_no_drift(kube: Client, sandbox: Sandbox) -> None:
    limits = [{"type": "Container", "max": {"cpu": "8000m", "memory": "64Gi"}}]
    inputs = kube.check(LIMITS, {"metadata": {"name": "spelling", "namespace": WHERE}, "spec": {"limits": limits}})
    id_, state = kube.create(LIMITS, inputs)
    assert state["spec"]["limits"][0]["max"]["cpu"] == "8"
    assert kube.read(LIMITS, id_, inputs, state) == (id_, inputs, state)
    patch = '{"spec": {"limits": [{"type": "Container", "max": {"cpu": "9", "memory": "64Gi"}}]}}'
    sandbox.kubectl("-n", WHERE, "patch", "limitrange", "spelling", "-p", patch)
    _, _, found = kube.read(LIMITS, id_, inputs, state)
    assert kube.changes(LIMITS, id_, found, inputs) == {"spec.limits[0].max.cpu": "update"}
    kube.delete(LIMITS, id_, state)


def test_a_deleted_namespace_is_waited_for(kube: Client, sandbox: Sandbox) -> None:
    inputs = kube.check(NAMESPACE, {"metadata": {"name": "prov-gone"}})
    id_, state = kube.create(NAMESPACE, inputs)
    assert id_ == "prov-gone"
    kube.delete(NAMESPACE, id_, state)
    assert "prov-gone" not in sandbox.kubectl("get", "namespaces", "-o", "name")


# Jobs.


def test_a_job_is_waited_for_with_status_lines(kube: Client) -> None:
    inputs = job(kube, "sleep 0.5")
    name = inputs["metadata"]["name"]
    id_, state = kube.create(JOB, inputs, name="migrate")
    assert id_ == f"prov/{name}"
    assert state["status"]["succeeded"] == 1
    lines = [line for line in kube.engine.messages(status=True) if name in line]
    assert lines[0] == f'Waiting for Job "prov/{name}" to start'
    assert f'Waiting for Job "prov/{name}" to succeed (Active: 1 | Succeeded: 0 | Failed: 0)' in lines
    wanted = job(kube, "sleep 0.1", inputs)
    assert wanted["metadata"]["name"] == name
    answer = kube.diff(JOB, id_, state, wanted)
    assert list(answer.replaces) == ["spec"]
    assert not answer.deleteBeforeReplace, "the new Job comes first, the old one goes when it has succeeded"
    kube.delete(JOB, id_, state)
    assert kube.read(JOB, id_, inputs, state) is None


def test_a_failed_job_is_recorded_waited_on_again_and_replaced_only_when_asked(kube: Client) -> None:
    inputs = job(kube, "exit 3")
    with pytest.raises(InitFailedError) as caught:
        kube.create(JOB, inputs)
    name, failed = inputs["metadata"]["name"], caught.value
    assert failed.id == f"prov/{name}"
    assert failed.reasons == [
        f'resource "urn:pulumi:test::project::{JOB}::x" was successfully created, but the Kubernetes API server'
        " reported that it failed to fully initialize or become live:"
        f" Resource '{name}' was created but failed to initialize",
        "[BackoffLimitExceeded] Job has reached the specified backoff limit",
    ]
    with pytest.raises(InitFailedError) as again:
        kube.update(JOB, failed.id, failed.properties, inputs)
    assert again.value.reasons[1:] == failed.reasons[1:]
    with pytest.raises(InitFailedError) as read:
        kube.read(JOB, failed.id, inputs, failed.properties)
    assert read.value.reasons == [f"Resource '{name}' was created but failed to initialize", *failed.reasons[1:]]
    assert read.value.inputs == inputs
    assert not kube.diff(JOB, failed.id, failed.properties, inputs).replaces
    asking = job(kube, "exit 3", inputs, annotations=UNREADY)
    assert list(kube.diff(JOB, failed.id, failed.properties, asking).replaces) == ["metadata"]
    kube.delete(JOB, failed.id, failed.properties)


def test_a_job_that_succeeded_is_not_replaced_for_being_unready(kube: Client) -> None:
    inputs = job(kube, "true", annotations=UNREADY)
    id_, state = kube.create(JOB, inputs)
    answer = kube.diff(JOB, id_, state, inputs)
    assert (list(answer.replaces), answer.changes) == ([], answer.DIFF_NONE)
    kube.delete(JOB, id_, state)


def test_a_job_slower_than_its_timeout_is_reported_by_name(kube: Client) -> None:
    inputs = job(kube, "sleep 30", name="slow")
    with pytest.raises(InitFailedError) as caught:
        kube.create(JOB, inputs, timeout=0.3)
    assert caught.value.reasons[0].endswith("'slow' timed out waiting to be Ready")
    kube.delete(JOB, caught.value.id, caught.value.properties)


def test_a_job_told_to_skip_is_not_waited_for(kube: Client) -> None:
    inputs = job(kube, "sleep 30", name="skipped", annotations={"pulumi.com/skipAwait": "true"})
    started = time.monotonic()
    id_, state = kube.create(JOB, inputs)
    assert "completionTime" not in state.get("status", {})
    kube.delete(JOB, id_, state)
    assert time.monotonic() - started < 5


def test_cancel_ends_a_wait_at_once_and_keeps_the_job(sandbox: Sandbox, kube: Client) -> None:
    with provider("kubernetes") as client:
        client.configure(kubeconfig=str(sandbox.instance.kubeconfig))
        inputs = job(client, "sleep 30", name="cancelled")
        cancel = threading.Timer(0.5, client.stub.Cancel, [empty_pb2.Empty()])
        cancel.start()
        started = time.monotonic()
        with pytest.raises(InitFailedError) as caught:
            client.create(JOB, inputs)
        assert time.monotonic() - started < 3
        cancel.join()
    assert caught.value.reasons[0].endswith('Resource operation was cancelled for "cancelled"')
    kube.delete(JOB, caught.value.id, caught.value.properties)


# Waits and annotations.


CONFIG = "kubernetes:core/v1:ConfigMap"


def config(client: Client, name: str, data: dict[str, str] | None = None, **annotations: str) -> dict[str, Any]:
    named = {f"pulumi.com/{key}": value for key, value in annotations.items()}
    metadata = {"name": name, "namespace": WHERE, "annotations": named}
    return client.check(CONFIG, {"metadata": metadata, "data": data or {"ready": "no"}})


@pytest.mark.parametrize(
    "expression",
    [
        "jsonpath={.data.ready}=yes",
        "jsonpath={$.data.ready}=yes",
        "jsonpath={.metadata.labels}",
        '["jsonpath={.metadata.labels.a}=b", "jsonpath={.data.ready}"]',
    ],
)
def test_an_object_is_waited_for_as_its_annotation_says(kube: Client, sandbox: Sandbox, expression: str) -> None:
    inputs = config(kube, "waited", waitFor=expression)
    patch = json.dumps({"data": {"ready": "yes"}, "metadata": {"labels": {"a": "b"}}})
    change = threading.Timer(0.5, sandbox.kubectl, ["-n", WHERE, "patch", "configmap", "waited", "-p", patch])
    change.start()
    id_, state = kube.create(CONFIG, inputs)
    change.join()
    assert (state["data"], state["metadata"]["labels"]) == ({"ready": "yes"}, {"a": "b"})
    assert "Waiting" in "".join(kube.engine.messages(status=True)) or "selected nothing" in expression
    kube.delete(CONFIG, id_, state)


def test_a_condition_may_be_waited_for_in_place_of_what_the_kind_means(kube: Client) -> None:
    waits = {"pulumi.com/waitFor": "condition=suspended=True", "pulumi.com/timeoutSeconds": "9"}
    inputs = job(kube, "true", name="suspended", annotations=waits)
    inputs["spec"]["suspend"] = True
    id_, state = kube.create(JOB, inputs)
    assert [each["type"] for each in state["status"]["conditions"]] == ["Suspended"]
    kube.delete(JOB, id_, state)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("data.ready=yes", 'expected a "jsonpath=" or "condition=" prefix, got "data.ready=yes"'),
        ("jsonpath=.data.ready", "format should be {.path}=value or {.path}, got '.data.ready'"),
        ("jsonpath={.data[}", 'parsing "{.data[}": '),
    ],
)
def test_an_annotation_nobody_can_read_is_refused(kube: Client, sandbox: Sandbox, expression: str, reason: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        kube.create(CONFIG, config(kube, "unread", waitFor=expression))
    assert f"was not successfully created by the Kubernetes API server: {reason}" in caught.value.details()
    # As with the real provider, which reads the annotation after the creation.
    sandbox.kubectl("-n", WHERE, "delete", "configmap", "unread")


@pytest.mark.parametrize(
    ("annotations", "timeout", "slowest"),
    [
        ({"timeoutSeconds": "1"}, 0, 2.5),
        ({"timeoutSeconds": "60"}, 0.2, 1.5),  # customTimeouts win
    ],
)
def test_the_patience_is_the_programs_then_the_annotations(
    kube: Client, annotations: dict[str, str], timeout: float, slowest: float
) -> None:
    inputs, started = config(kube, "late", waitFor="jsonpath={.data.ready}=yes", **annotations), time.monotonic()
    with pytest.raises(InitFailedError) as caught:
        kube.create(CONFIG, inputs, timeout=timeout)
    assert time.monotonic() - started < slowest
    assert caught.value.reasons[0].endswith(
        "failed to fully initialize or become live: timed out waiting for the condition"
    )
    kube.delete(CONFIG, caught.value.id, caught.value.properties)


def test_a_job_that_failed_for_its_pod_failure_policy_is_waited_for_in_vain(kube: Client, sandbox: Sandbox) -> None:
    inputs = job(kube, "exit 3", name="policy")
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}
    inputs["spec"]["podFailurePolicy"] = {"rules": [rule]}
    with pytest.raises(InitFailedError) as caught:
        kube.create(JOB, inputs, timeout=3)
    assert caught.value.reasons[0].endswith("'policy' timed out waiting to be Ready")
    found = json.loads(sandbox.kubectl("-n", WHERE, "get", "job", "policy", "-o", "json"))["status"]["conditions"]
    assert {each["reason"] for each in found if each["type"] == "Failed"} == {"PodFailurePolicy"}
    kube.delete(JOB, caught.value.id, caught.value.properties)


@pytest.mark.parametrize("policy_", ["", "background", "orphan"])
def test_deletion_is_foreground_unless_an_annotation_says_otherwise(
    kube: Client, sandbox: Sandbox, policy_: str
) -> None:
    annotations = {"pulumi.com/deletionPropagationPolicy": policy_} if policy_ else {}
    name = f"deleted-{policy_}x"
    inputs = job(kube, "trap 'sleep 1; exit' TERM; sleep 30 & wait", name=name, annotations=annotations)
    with pytest.raises(InitFailedError) as caught:
        kube.create(JOB, inputs, timeout=1)
    kube.delete(JOB, caught.value.id, caught.value.properties)
    selector = ("-n", WHERE, "get", "pods", "-l", f"job-name={name}", "-o", "name")
    assert bool(sandbox.kubectl(*selector)) is bool(policy_), "a foreground deletion ends when the dependents have"
    if policy_ == "background":
        eventually(lambda: not sandbox.kubectl(*selector), what="the end of the pod")
    elif policy_ == "orphan":
        time.sleep(2)
        sandbox.kubectl("-n", WHERE, "delete", *sandbox.kubectl(*selector).split(), "--grace-period=0", "--force")


def test_a_deletion_that_a_finalizer_holds_up_times_out_and_keeps_the_resource(kube: Client, sandbox: Sandbox) -> None:
    inputs = config(kube, "held")
    id_, state = kube.create(CONFIG, inputs)
    finalizers = '{"metadata":{"finalizers":["meetinity.io/held"]}}'
    sandbox.kubectl("-n", WHERE, "patch", "configmap", "held", "-p", finalizers)
    with pytest.raises(InitFailedError) as caught:
        kube.delete(CONFIG, id_, state, timeout=0.3)
    assert caught.value.reasons == ["timed out waiting for the condition"]
    assert caught.value.properties["metadata"]["finalizers"] == ["meetinity.io/held"]
    sandbox.kubectl("-n", WHERE, "patch", "configmap", "held", "-p", '{"metadata":{"finalizers":null}}')
    kube.delete(CONFIG, id_, state)


def test_an_ignored_path_keeps_what_lives_and_leaves_it_to_its_owner(kube: Client, sandbox: Sandbox) -> None:
    inputs = config(kube, "ignored", {"ours": "1", "theirs": "1", "kept": "1"})
    id_, state = kube.create(CONFIG, inputs)
    sandbox.kubectl(
        "-n", WHERE, "patch", "configmap", "ignored", "--field-manager=other", "-p", '{"data":{"theirs":"2"}}'
    )
    wanted = config(kube, "ignored", {"ours": "2", "theirs": "3", "kept": "3"})
    paths = ("data.theirs", "data.kept")
    assert kube.changes(CONFIG, id_, state, wanted, ignore=paths) == {"data.ours": "update"}
    state = kube.update(CONFIG, id_, state, wanted, ignore=paths)
    assert state["data"] == {"ours": "2", "theirs": "2", "kept": "1"}
    owners = {each["manager"]: each["fieldsV1"]["f:data"] for each in state["metadata"]["managedFields"]}
    assert "f:theirs" in owners["other"]
    assert "f:theirs" not in owners[state["__fieldManager"]]
    kube.delete(CONFIG, id_, state)


class Relay:
    """An API server's address that can be watched, and taken away, without the API server noticing."""

    def __init__(self, sandbox: Sandbox) -> None:
        admin = KubeClient(*active(load(str(sandbox.instance.kubeconfig))))
        self.seen: list[tuple[str, str]] = []
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                relay.seen.append((self.command, self.path))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
                pool, _ = admin._connection()
                headers = {"Content-Type": self.headers["Content-Type"]}
                answer = pool.request(self.command, admin._server + self.path, body=body, headers=headers)
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.data)))
                self.end_headers()
                self.wfile.write(answer.data)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        for method in ("GET", "POST", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.handle_any)
        self._handler, self._port = Handler, 0
        self.back()
        config = json.loads(json.dumps(DEAD))
        config["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{self._port}"
        self.kubeconfig = json.dumps(config)

    def back(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def away(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def relay(sandbox: Sandbox, kube: Client) -> Iterator[Relay]:
    found = Relay(sandbox)
    yield found
    found.away()


def test_previews_never_write(relay: Relay, sandbox: Sandbox) -> None:
    with provider("kubernetes", PATH=sandbox.environment["PATH"]) as client:
        client.configure(kubeconfig=relay.kubeconfig, enableSecretMutable="true")
        inputs = secret(client, "dry", url="a")
        client.create(SECRET, inputs, preview=True)
        id_, state = client.create(SECRET, inputs)
        writes = [(method, path) for method, path in relay.seen if method != "GET"]
        assert [("dryRun=All" in path) for _, path in writes] == [True, False]
        relay.seen.clear()
        client.update(SECRET, id_, state, secret(client, "dry", inputs, url="b"), preview=True)
        assert {("dryRun=All" in path) for method, path in relay.seen if method != "GET"} == {True}
        client.delete(SECRET, id_, state)


def test_waits_outlast_an_api_server_that_goes_away_for_a_while(relay: Relay, kube: Client) -> None:
    with provider("kubernetes") as client:
        client.configure(kubeconfig=relay.kubeconfig)
        inputs = job(client, "sleep 1.5", name="outage")
        away, back = threading.Timer(0.5, relay.away), threading.Timer(3, relay.back)
        away.start()
        back.start()
        id_, state = client.create(JOB, inputs)
        assert state["status"]["succeeded"] == 1
        assert any("Waiting for the API server" in line for line in client.engine.messages(status=True))
    kube.delete(JOB, id_, state)


# Ways in.


def test_an_exec_plugin_is_run_once_when_first_needed(sandbox: Sandbox, tmp_path: Any) -> None:
    runs, script = tmp_path / "runs", tmp_path / "plugin"
    token = json.loads(sandbox.run("aws", "eks", "get-token", "--cluster-name", "meetinity-eks").stdout)
    script.write_text(f"#!/bin/sh\necho >> {runs}\ncat <<'END'\n{json.dumps(token)}\nEND\n")
    script.chmod(0o755)
    config = yaml.safe_load(sandbox.instance.kubeconfig.read_text())
    config["users"][0]["user"] = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": str(script)}
    }
    with provider("kubernetes") as client:
        client.configure(kubeconfig=yaml.safe_dump(config))
        inputs = client.check(ACCOUNT, {"metadata": {"name": "exec", "namespace": WHERE}})
        assert not runs.exists()
        id_, state = client.create(ACCOUNT, inputs)
        client.delete(ACCOUNT, id_, state)
        assert runs.read_text() == "\n"
        assert client.engine.messages() == []


def test_a_failing_exec_plugin_is_named_with_its_last_line(sandbox: Sandbox) -> None:
    config = yaml.safe_load(sandbox.instance.kubeconfig.read_text())
    plugin = {"command": "sh", "args": ["-c", "echo token=abc; echo no way in >&2; exit 3"]}
    config["users"][0]["user"] = {"exec": plugin}
    with provider("kubernetes") as client:
        client.configure(kubeconfig=yaml.safe_dump(config))
        inputs = client.check(ACCOUNT, {"metadata": {"name": "x"}})
        with pytest.raises(grpc.RpcError) as caught:
            client.create(ACCOUNT, inputs)
        assert client.create(ACCOUNT, inputs, preview=True) == ("", inputs)
        assert "no way in" in client.engine.messages()[0]
    assert "getting credentials: sh failed with exit code 3: no way in" in caught.value.details()
    assert "token=abc" not in caught.value.details()


def test_the_kubeconfig_may_be_named_by_the_environment(sandbox: Sandbox) -> None:
    with provider("kubernetes", KUBECONFIG=str(sandbox.instance.kubeconfig)) as client:
        client.configure()
        assert client.read(NAMESPACE, "kube-system")[0] == "kube-system"
