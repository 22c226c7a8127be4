"""The process node against a real control plane: pods as real processes."""

from __future__ import annotations

import base64
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sandbox import certificates, control_plane, images, lifecycle, processes
from sandbox.instance import Instance
from sandbox.kube_client import StatusError, UnreachableError
from sandbox.node import container as shim
from sandbox.node import inputs, kubelet, pods
from sandbox.node.__main__ import Node
from tests.sandbox.conftest import Cluster, eventually

SERVICE, POSTGRESQL = images.EXAMPLE_SERVICE, images.POSTGRESQL_CLIENT
NAMESPACE = "default"
_numbers = itertools.count()

Status = dict[str, Any]


def sh(script: str, **more: Any) -> dict[str, Any]:
    return {"name": "main", "image": POSTGRESQL, "command": ["/bin/sh", "-euc", script], **more}


def create(cluster: Cluster, *containers: dict[str, Any], **spec: Any) -> str:
    name = f"pod-{next(_numbers)}"
    body = {
        "metadata": {"name": name, "labels": {"app": "x"}},
        "spec": {"restartPolicy": "Never", "containers": list(containers), "terminationGracePeriodSeconds": 2, **spec},
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    # The default ServiceAccount comes a moment after its namespace.
    account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
    eventually(lambda: _exists(cluster, account), what="the default ServiceAccount")
    cluster.api.request("POST", path, body)
    return name


def _exists(cluster: Cluster, path: str) -> bool:
    try:
        return bool(cluster.api.get(path))
    except StatusError as error:
        if error.code != 404:
            raise
        return False


def pod_path(name: str) -> str:
    return f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"


def status(cluster: Cluster, name: str) -> Status:
    found: Status = cluster.api.get(pod_path(name)).get("status", {})
    return found


def finish(cluster: Cluster, *containers: dict[str, Any], **spec: Any) -> Status:
    """Create a pod and wait for its end."""
    return finished(cluster, create(cluster, *containers, **spec))


def finished(cluster: Cluster, name: str) -> Status:
    def ended() -> Status | None:
        found = status(cluster, name)
        return found if found.get("phase") in pods.FINISHED else None

    return eventually(ended, what=f"the end of {name}")


def terminated(found: Status, index: int = 0, kind: str = "containerStatuses") -> dict[str, Any]:
    ended: dict[str, Any] = found[kind][index]["state"]["terminated"]
    return ended


def waiting(cluster: Cluster, name: str, reason: str) -> str:
    """Wait for a container to wait for `reason`; its message."""

    def look() -> str | None:
        for entry in status(cluster, name).get("containerStatuses", []):
            if entry["state"].get("waiting", {}).get("reason") == reason:
                return str(entry["state"]["waiting"].get("message", "no message"))
        return None

    return eventually(look, what=reason)


def version(cluster: Cluster) -> str:
    """The moment now, as a watch begins from it."""
    found: str = cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["metadata"]["resourceVersion"]
    return found


def waited(cluster: Cluster, name: str, since: str) -> list[str]:
    """Every reason, in order, that a pod's container has waited for; some last too short to be seen by asking."""
    watch = f"fieldSelector=metadata.name%3D{name}&resourceVersion={since}&timeoutSeconds=1"
    found = cluster.kubectl("get", f"--raw=/api/v1/namespaces/{NAMESPACE}/pods?watch=true&{watch}")
    statuses = [json.loads(line)["object"]["status"] for line in found.splitlines()]
    states = [each["state"] for known in statuses for each in known.get("containerStatuses", [])]
    return [
        reason for reason, _ in itertools.groupby(state["waiting"]["reason"] for state in states if "waiting" in state)
    ]


def runs(cluster: Cluster, name: str, line: str) -> None:
    """Wait until the pod has written `line`."""
    eventually(lambda: line in _log(cluster, name), what=f"{line!r} in the log of {name}")


def _log(cluster: Cluster, name: str, *arguments: str) -> str:
    return cluster.run(
        str(cluster.tools["kubectl"]),
        f"--kubeconfig={cluster.instance.kubeconfig}",
        f"--namespace={NAMESPACE}",
        "logs",
        name,
        *arguments,
        check=False,
    ).stdout


def commands(needle: str) -> list[int]:
    """Processes whose command line contains `needle`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if needle in (process / "cmdline").read_text() and int(process.name) != os.getpid():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_init_containers_run_in_order_before_the_container(cluster: Cluster) -> None:
    volume = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    first = sh("sleep 0.5; echo first >> /shared/order", **volume) | {"name": "first"}
    second = sh("echo second >> /shared/order", **volume) | {"name": "second"}
    found = finish(
        cluster,
        sh("cat /shared/order > /dev/termination-log", **volume),
        initContainers=[first, second],
        volumes=[{"name": "shared", "emptyDir": {}}],
    )
    assert found["phase"] == "Succeeded"
    assert terminated(found)["message"] == "first\nsecond\n"
    assert [entry["state"]["terminated"]["reason"] for entry in found["initContainerStatuses"]] == ["Completed"] * 2
    conditions = {entry["type"]: (entry["status"], entry.get("reason")) for entry in found["conditions"]}
    assert conditions["Initialized"] == ("True", None)
    assert conditions["Ready"] == ("False", "PodCompleted")
    assert found["podIP"] == cluster.instance.node_address
    assert found["startTime"]


def test_a_failing_init_container_fails_the_pod_with_its_last_lines(cluster: Cluster) -> None:
    bad = sh("echo before; echo the cause >&2; exit 3", terminationMessagePolicy="FallbackToLogsOnError")
    found = finish(cluster, sh("echo never"), initContainers=[bad | {"name": "bad"}])
    assert found["phase"] == "Failed"
    ended = terminated(found, kind="initContainerStatuses")
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "before\nthe cause\n")
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_signal_shows_as_128_and_its_number(cluster: Cluster) -> None:
    assert terminated(finish(cluster, sh("kill -KILL $$")))["exitCode"] == 137


def test_a_command_that_is_not_there_cannot_run(cluster: Cluster) -> None:
    ended = terminated(finish(cluster, {"name": "main", "image": SERVICE, "command": ["no-such-program"]}))
    assert (ended["exitCode"], ended["reason"]) == (127, "ContainerCannotRun")
    assert "no-such-program" in ended["message"]


def test_the_environment_is_the_pods_alone_and_resolved_as_a_kubelet_does(cluster: Cluster) -> None:
    data = {"URL": base64.b64encode(b"postgresql://u:p%40@h").decode(), "other": base64.b64encode(b"o").decode()}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": NAMESPACE}, "data": data}
    )
    plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": NAMESPACE}}
    cluster.apply(plain | {"data": {"level": "info", "URL": "from the map"}})
    container = sh(
        "env > /dev/termination-log",
        envFrom=[
            {"configMapRef": {"name": "c"}},
            {"secretRef": {"name": "s"}, "prefix": "S_"},
            {"secretRef": {"name": "none", "optional": True}},
        ],
        env=[
            {"name": "URL", "valueFrom": {"secretKeyRef": {"name": "s", "key": "URL"}}},
            {"name": "ABSENT", "valueFrom": {"secretKeyRef": {"name": "s", "key": "none", "optional": True}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "EXPANDED", "value": "$(POD) $(NOBODY) $$(POD) $(level)"},
        ],
    )
    name = create(cluster, container)
    lines = dict(line.split("=", 1) for line in terminated(finished(cluster, name))["message"].splitlines())
    assert lines["URL"] == "postgresql://u:p%40@h"
    assert (lines["level"], lines["S_other"], lines["APP"]) == ("info", "o", "x")
    assert lines["EXPANDED"] == f"{name} $(NOBODY) $(POD) info"
    assert lines["HOSTNAME"] == name
    known = {"URL", "level", "S_URL", "S_other", "POD", "APP", "EXPANDED", "HOSTNAME", "PATH", "HOME", "PWD"}
    assert {key for key in lines if not key.startswith("KUBERNETES_SERVICE")} == known


def test_a_missing_secret_keeps_the_container_waiting_until_it_is_there(cluster: Cluster) -> None:
    reference = {"secretKeyRef": {"name": "late", "key": "k"}}
    name = create(cluster, sh('test "$V" = v', env=[{"name": "V", "valueFrom": reference}]))
    assert waiting(cluster, name, "CreateContainerConfigError") == 'secret "late" not found'
    late = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late", "namespace": NAMESPACE}}
    cluster.apply(late | {"stringData": {"other": "v"}})
    eventually(
        lambda: "couldn't find key k in Secret default/late" in waiting(cluster, name, "CreateContainerConfigError")
    )
    cluster.apply(late | {"stringData": {"k": "v"}})
    assert finished(cluster, name)["phase"] == "Succeeded"


def test_an_unknown_image_is_pulled_in_vain_until_it_is_added(cluster: Cluster, tmp_path: Path) -> None:
    reference = "meetinity/late:1.0.0"
    since = version(cluster)
    name = create(cluster, {"name": "main", "image": reference, "command": ["cat", "content.txt"]})
    assert reference in waiting(cluster, name, "ImagePullBackOff")
    eventually(lambda: waited(cluster, name, since) == ["ErrImagePull", "ImagePullBackOff"])
    (tmp_path / "content.txt").write_text("here it is")
    images.add(cluster.instance, reference, tmp_path)
    assert finished(cluster, name)["phase"] == "Succeeded"
    assert _log(cluster, name) == "here it is"
    assert "Failed" in cluster.kubectl(
        "get", "events", f"--namespace={NAMESPACE}", f"--field-selector=involvedObject.name={name}"
    )


def test_a_pod_sees_its_volumes_and_cannot_write_elsewhere(cluster: Cluster) -> None:
    meta = {"name": "files", "namespace": NAMESPACE}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "A", "b": "B"}})
    cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"key": "secret value"}})
    script = """
    cat /config/a /etc/deep/below/renamed /var/run/secrets/kubernetes.io/serviceaccount/namespace /info/name
    test ! -e /etc/deep/below/a
    test -s /var/run/secrets/kubernetes.io/serviceaccount/token
    touch /tmp/writable
    for path in /etc /config /usr /root /var/tmp; do if touch $path/x 2>/dev/null; then echo $path is writable; fi; done
    id -u; id -g
    """
    mounts = [("config", "/config"), ("secret", "/etc/deep/below"), ("info", "/info"), ("tmp", "/tmp")]
    found = finish(
        cluster,
        sh(
            script,
            volumeMounts=[{"name": name, "mountPath": path, "readOnly": name != "tmp"} for name, path in mounts],
            securityContext={"readOnlyRootFilesystem": True},
        ),
        securityContext={"runAsUser": 10001, "runAsGroup": 10002, "runAsNonRoot": True},
        volumes=[
            {"name": "config", "configMap": {"name": "files"}},
            {"name": "secret", "secret": {"secretName": "files", "items": [{"key": "key", "path": "renamed"}]}},
            {
                "name": "info",
                "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.namespace"}}]},
            },
            {"name": "tmp", "emptyDir": {}},
        ],
        restartPolicy="Never",
    )
    name = f"pod-{next(_numbers) - 1}"
    assert found["phase"] == "Succeeded", _log(cluster, name)
    assert _log(cluster, name) == "Asecret valuedefaultdefault10001\n10002\n"


def test_a_root_container_is_refused_where_non_root_was_asked_for(cluster: Cluster) -> None:
    name = create(cluster, sh("true"), securityContext={"runAsNonRoot": True})
    assert "runAsNonRoot" in waiting(cluster, name, "CreateContainerConfigError")


def test_a_failing_container_is_restarted_on_failure_and_its_last_log_kept(cluster: Cluster) -> None:
    volume = {"volumeMounts": [{"name": "count", "mountPath": "/count"}]}
    script = "echo run >> /count/runs; echo this is run $(wc -l < /count/runs); test $(wc -l < /count/runs) = 2"
    since = version(cluster)
    name = create(cluster, sh(script, **volume), restartPolicy="OnFailure", volumes=[{"name": "count", "emptyDir": {}}])
    found = finished(cluster, name)
    eventually(lambda: waited(cluster, name, since)[-1:] == ["CrashLoopBackOff"])
    assert (found["phase"], found["containerStatuses"][0]["restartCount"]) == ("Succeeded", 1)
    assert _log(cluster, name) == "this is run 2\n"
    assert _log(cluster, name, "--previous") == "this is run 1\n"


def test_a_container_that_is_over_before_anybody_looks_was_started_like_any_other(
    cluster: Cluster, unused: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Recorder:
        reasons: ClassVar[list[str]] = []

        def request(self, _: str, path: str, body: Status) -> None:
            assert path.endswith("/events")
            self.reasons.append(body["reason"])

    def late(*arguments: Any, **more: Any) -> None:
        eventually(lambda: processes.find(unused, arguments[1]) is None)
        wait_until_ready(*arguments, **more)

    wait_until_ready = processes.wait_until_ready
    monkeypatch.setattr(processes, "wait_until_ready", late)
    body = {"metadata": {"namespace": NAMESPACE, "name": "quick", "uid": "quick"}}
    container = sh("exit 3", terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    body["spec"] = {"restartPolicy": "OnFailure", "containers": [container], "terminationGracePeriodSeconds": 2}
    images.furnish(unused, cluster.tools)
    pod = pods.Pod(pods.Host(unused, Recorder(), isolated=False), "quick")  # type: ignore[arg-type]
    pod._start_what_is_due(body)
    pod._start_what_is_due(body)
    assert Recorder.reasons == ["Pulled", "Started", "BackOff"]


def test_a_pod_past_its_deadline_is_ended_and_says_so(cluster: Cluster) -> None:
    found = finish(cluster, sh("exec sleep 4711"), activeDeadlineSeconds=1)
    assert (found["phase"], found["reason"]) == ("Failed", "DeadlineExceeded")
    assert terminated(found)["exitCode"] == 143
    assert not commands("sleep\0004711")


def test_deleting_a_pod_asks_it_to_end_and_takes_everything_it_started(cluster: Cluster) -> None:
    script = "trap 'echo asked; exit 0' TERM; setsid sleep 4712 & echo ready; wait"
    name = create(cluster, sh(script), terminationGracePeriodSeconds=30)
    runs(cluster, name, "ready")
    log = subprocess.Popen(
        [cluster.tools["kubectl"], f"--kubeconfig={cluster.instance.kubeconfig}", "-n", NAMESPACE, "logs", "-f", name],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert log.stdout
    assert log.stdout.readline() == "ready\n"
    cluster.api.request("DELETE", pod_path(name))
    eventually(lambda: not _exists(cluster, pod_path(name)), what="the pod's end")
    assert log.communicate(timeout=10)[0] == "asked\n"
    assert not commands("sleep\0004712")


def test_a_pod_that_does_not_want_to_end_is_killed_after_its_grace_period(cluster: Cluster) -> None:
    name = create(
        cluster, sh("trap '' TERM; echo ready; while :; do sleep 0.1; done"), terminationGracePeriodSeconds=30
    )
    runs(cluster, name, "ready")
    cluster.api.request("DELETE", pod_path(name), {"gracePeriodSeconds": 1})
    eventually(lambda: not _exists(cluster, pod_path(name)), seconds=20, what="the pod's end")


def test_a_restarted_node_takes_over_what_runs_and_what_ended(cluster: Cluster) -> None:
    volumes: dict[str, Any] = {"volumes": [{"name": "go", "emptyDir": {}}]}
    mount = {"volumeMounts": [{"name": "go", "mountPath": "/go"}]}
    running = create(cluster, sh("echo ready; until test -e /go/on; do sleep 0.05; done; exit 5", **mount), **volumes)
    ending = create(cluster, sh("echo ready; until test -e /go/on; do sleep 0.05; done; exit 6", **mount), **volumes)
    lost = create(cluster, sh("echo ready; sleep 4713; echo never"))  # what the shell started is to end, too
    for name in (running, ending, lost):
        runs(cluster, name, "ready")
    uids = {name: cluster.api.get(pod_path(name))["metadata"]["uid"] for name in (running, ending, lost)}
    node = processes.find(cluster.instance, "node")
    assert node
    os.kill(node.pid, signal.SIGKILL)
    eventually(lambda: processes.find(cluster.instance, "node") is None)
    go_on = [cluster.instance.state / "pods" / uids[name] / "volumes" / "go" / "on" for name in (running, ending)]
    go_on[1].touch()
    ended = cluster.instance.state / "pods" / uids[ending] / "main" / "0" / "status.json"
    eventually(ended.exists, what="the container's end without a node")
    shim_process = processes.find(cluster.instance, f"{pods.PREFIX}{uids[lost]}-main-0")
    assert shim_process
    os.kill(shim_process.pid, signal.SIGKILL)
    cluster.start_node()
    assert terminated(finished(cluster, ending))["exitCode"] == 6
    assert terminated(finished(cluster, lost))["reason"] == "ContainerStatusUnknown"
    assert not commands("sleep\0004713")
    assert status(cluster, running)["phase"] == "Running"
    go_on[0].touch()
    assert terminated(finished(cluster, running))["exitCode"] == 5


def kill(cluster: Cluster, *names: str) -> None:
    for name in names:
        record = processes.find(cluster.instance, name)
        assert record, f"{name} does not run"
        os.kill(record.pid, signal.SIGKILL)
        eventually(lambda name=name: processes.find(cluster.instance, name) is None)


def test_no_container_runs_twice_however_often_the_node_is_killed(cluster: Cluster) -> None:
    names = [create(cluster, sh("echo ran; sleep 0.2; exit 5"), restartPolicy="Never") for _ in range(8)]
    # After each restart the node is killed at another moment of starting what it has not begun.
    for moment in range(7):
        kill(cluster, "node")
        lifecycle.start_node(cluster.instance)
        time.sleep(0.15 + moment * 0.07)
    for name in names:
        found = finished(cluster, name)
        assert (terminated(found)["exitCode"], terminated(found)["reason"]) == (5, "Error")
        assert _log(cluster, name) == "ran\n"


def test_a_container_is_begun_once_by_whoever_comes_first(tmp_path: Path) -> None:
    spec = {"command": ["/bin/sh", "-c", "echo ran; sleep 0.3"], "environment": {"PATH": "/usr/bin:/bin"}}
    spec |= {"workdir": "/", "mounts": [], "uid": 0, "gid": 0, "grace": 1, "isolated": False}
    for _ in range(2):  # at the same time, then again when it is over
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        started = [subprocess.Popen([sys.executable, "-I", "-S", shim.__file__, tmp_path]) for _ in range(3)]
        assert [process.wait(10) for process in started] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "ran\n"
    assert shim.begun(tmp_path)
    assert shim.holder(tmp_path) is None


@pytest.mark.parametrize("servers", [["kube-apiserver"], ["etcd", "kube-apiserver"], ["etcd"]], ids="+".join)
def test_a_job_runs_on_once_while_the_control_plane_restarts(cluster: Cluster, servers: list[str]) -> None:
    name = "outage-" + "-".join(server[:4] for server in servers)
    container = sh(
        "echo ran; until test -e /go/on; do sleep 0.05; done", volumeMounts=[{"name": "go", "mountPath": "/go"}]
    )
    template = {"spec": {"restartPolicy": "Never", "containers": [container], "volumes": [{"name": "go"}]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": NAMESPACE}}
    cluster.apply(job | {"spec": {"backoffLimit": 3, "template": template}})
    selector = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=job-name%3D{name}"
    [pod] = eventually(
        lambda: [pod for pod in cluster.api.get(selector)["items"] if pod["status"]["phase"] == "Running"]
    )
    kill(cluster, *servers)
    (cluster.instance.state / "pods" / pod["metadata"]["uid"] / "volumes" / "go" / "on").touch()
    control_plane.start(cluster.instance, cluster.tools)
    cluster.kubectl("wait", "--for=condition=complete", f"job/{name}", f"--namespace={NAMESPACE}", "--timeout=60s")
    [pod] = cluster.api.get(selector)["items"]
    assert _log(cluster, pod["metadata"]["name"]) == "ran\n"
    status = cluster.api.get(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{name}")["status"]
    assert (status["succeeded"], status.get("failed", 0)) == (1, 0)
    assert finish(cluster, sh("true"))["phase"] == "Succeeded"


def test_a_deployment_keeps_its_pod_going(cluster: Cluster) -> None:
    labels = {"app": "kept"}
    container = sh("echo up; until test -e /go/on; do sleep 0.05; done; rm /go/on; exit 1")
    container["volumeMounts"] = [{"name": "go", "mountPath": "/go"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": [{"name": "go"}]}}
    template["spec"]["terminationGracePeriodSeconds"] = 1
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "kept", "namespace": NAMESPACE}}
    cluster.apply(deployment | {"spec": {"selector": {"matchLabels": labels}, "template": template}})
    here = f"--namespace={NAMESPACE}"
    cluster.kubectl("rollout", "status", "deployment/kept", here, "--timeout=60s")
    [pod] = cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3Dkept")["items"]
    (cluster.instance.state / "pods" / pod["metadata"]["uid"] / "volumes" / "go" / "on").touch()
    name = pod["metadata"]["name"]
    eventually(lambda: status(cluster, name)["containerStatuses"][0]["restartCount"] == 1, what="the restart")
    cluster.kubectl("wait", "--for=condition=ready", f"pod/{name}", here, "--timeout=60s")
    assert _log(cluster, name, "--previous") == "up\n"
    cluster.kubectl("delete", "deployment/kept", here, "--cascade=foreground", "--timeout=60s")
    assert not _exists(cluster, pod_path(name))


@pytest.mark.parametrize(
    ("container", "spec", "named"),
    [
        ({"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}, {}, "lifecycle in a container"),
        ({"stdin": True, "tty": True}, {}, "stdin in a container, tty in a container"),
        ({}, {"initContainers": [sh("true", name="side", restartPolicy="Always")]}, "restartPolicy in a container"),
    ],
)
def test_what_a_pod_asks_for_in_vain_is_refused_by_name(
    cluster: Cluster, container: dict[str, Any], spec: dict[str, Any], named: str
) -> None:
    found = finish(cluster, sh("true", **container), **spec)
    assert (found["phase"], found["reason"]) == ("Failed", "Unsupported")
    assert found["message"] == f"the process node does not do {named}"


def test_a_volume_of_another_kind_is_refused_by_name(cluster: Cluster) -> None:
    name = create(cluster, sh("true"), volumes=[{"name": "host", "hostPath": {"path": "/etc"}}])
    assert "the process node has no volumes of kind hostPath" in waiting(cluster, name, "ContainerCreating")


def test_kubectl_tells_what_a_pod_did_and_who_may_what(cluster: Cluster) -> None:
    name = create(cluster, sh("true"))
    finished(cluster, name)
    description = cluster.kubectl("describe", "pod", name, f"--namespace={NAMESPACE}")
    assert all(reason in description for reason in ("Pulled", "Started", "Completed", "process-node")), description
    assert cluster.kubectl("auth", "can-i", "get", "pods/log").strip() == "yes"
    nobody = ("auth", "can-i", "get", "secrets", "--as=nobody")
    assert cluster.run(str(cluster.tools["kubectl"]), f"--kubeconfig={cluster.instance.kubeconfig}", *nobody,
                       check=False).stdout.strip() == "no"  # fmt: skip


def test_a_job_completes_and_its_foreground_deletion_leaves_nothing(cluster: Cluster) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [sh("true")]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job", "namespace": NAMESPACE}}
    cluster.apply(job | {"spec": {"template": template}})
    cluster.kubectl("wait", "--for=condition=complete", "job/job", f"--namespace={NAMESPACE}", "--timeout=60s")
    cluster.kubectl("delete", "job/job", f"--namespace={NAMESPACE}", "--cascade=foreground", "--timeout=60s")
    selector = "labelSelector=job-name%3Djob"
    assert cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods?{selector}")["items"] == []


def test_logs_can_be_cut_and_unknown_wishes_are_refused(cluster: Cluster) -> None:
    name = create(cluster, sh("for i in 1 2 3 4 5; do echo $i; done"))
    finished(cluster, name)
    assert _log(cluster, name, "--tail=2") == "4\n5\n"
    assert _log(cluster, name, "--limit-bytes=3") == "1\n2"
    with pytest.raises(AssertionError, match="sinceSeconds"):
        cluster.kubectl("logs", name, f"--namespace={NAMESPACE}", "--since=1h")


def test_container_logs_are_private_and_secrets_do_not_stay_on_disk(cluster: Cluster) -> None:
    name = create(cluster, sh("echo hello", env=[{"name": "TOKEN", "value": "very-secret-value"}]))
    finished(cluster, name)
    uid = cluster.api.get(pod_path(name))["metadata"]["uid"]
    directory = cluster.instance.state / "pods" / uid / "main" / "0"
    assert (directory / "log").stat().st_mode & 0o777 == 0o600
    # Secrets and tokens in volumes are as readable as in a real pod: what keeps other users out is above them all.
    assert (cluster.instance.state / "pods").stat().st_mode & 0o777 == 0o700
    for path in (*directory.rglob("*"), processes.log_path(cluster.instance, "node")):
        assert not path.is_file() or "very-secret-value" not in path.read_text(), path


def test_only_the_api_server_may_read_logs_from_the_node(cluster: Cluster) -> None:
    pki = cluster.instance.state / "pki"

    def ask(certificate: tuple[Path, Path]) -> bytes:
        context = ssl.create_default_context(cafile=str(cluster.instance.ca_certificate))
        context.load_cert_chain(*certificate)
        address = cluster.instance.node_address
        with (
            socket.create_connection((address, kubelet.PORT), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=address) as connection,
        ):
            connection.sendall(b"GET /containerLogs/a/b/c HTTP/1.0\r\n\r\n")
            return connection.recv(100)

    stranger = certificates.issue(cluster.instance, "stranger", client=True, directory=pki)
    assert b" 404 " in ask(stranger)
    assert b" 400 " in ask((pki / "kubelet-client.crt", pki / "kubelet-client.key"))


def test_a_pod_is_bound_again_when_the_first_request_was_lost(
    unused: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Api:
        def __init__(self) -> None:
            spec = {"schedulerName": "default-scheduler"}
            self.pod: Status = {"metadata": {"namespace": NAMESPACE, "name": "p", "uid": "u"}, "spec": spec}
            self.asked = 0

        def get(self, _: str) -> Status:
            return {"items": [self.pod]}

        def request(self, _: str, path: str, body: Status) -> None:
            self.asked += 1
            if self.asked == 1:
                raise UnreachableError("no answer")
            assert path.endswith("/p/binding")
            self.pod["spec"]["nodeName"] = body["target"]["name"] + "-of-the-test"  # so that it is not started

    api = Api()
    monkeypatch.setattr(control_plane, "client", lambda *_: api)
    node = Node(unused)
    with pytest.raises(UnreachableError):
        node._round()
    node._round()
    node._round()
    assert api.asked == 2


def test_a_volume_s_files_are_replaced_whole_because_another_container_may_read_them(tmp_path: Path) -> None:
    volume = {"name": "v", "downwardAPI": {"items": [{"path": "f", "fieldRef": {"fieldPath": "metadata.name"}}]}}
    for name in ("first", "second"):
        pod = {"metadata": {"namespace": NAMESPACE, "name": name}, "spec": {"volumes": [volume]}}
        inputs.write_volumes(pod, inputs.Sources(None, pod), tmp_path)  # type: ignore[arg-type]
        if name == "first":
            reader = (tmp_path / "v" / "f").open()
    with reader:
        assert reader.read() == "first"
    assert (tmp_path / "v" / "f").read_text() == "second"


def test_a_container_asked_to_end_as_soon_as_it_is_begun_says_how_it_ended(tmp_path: Path) -> None:
    """Its spec is a pipe, so that it waits where it has said that it is begun, and not started anything."""
    os.mkfifo(tmp_path / "spec.json")
    process = subprocess.Popen([sys.executable, "-I", "-S", shim.__file__, tmp_path])
    eventually(lambda: shim.begun(tmp_path))
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert process.poll() is None, "it ended without a word"
    spec = {"command": ["/bin/sleep", "60"], "environment": {}, "workdir": "/", "mounts": [], "uid": 0, "gid": 0}
    (tmp_path / "spec.json").write_text(json.dumps(spec | {"grace": 5, "isolated": False}))
    assert process.wait(60) == 0
    assert json.loads((tmp_path / "status.json").read_text())["exitCode"] == 143


def test_without_namespaces_the_termination_log_is_reached_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "log-of-termination").touch()
    spec = {
        "command": [
            "/bin/sh",
            "-c",
            'echo $WHERE; printf done > /dev/termination-log; echo "$0" >&2',
            "/dev/termination-logs",
        ],
        "environment": {"PATH": "/usr/bin:/bin", "WHERE": "in /dev/termination-log"},
        "workdir": "/",
        "mounts": [{"path": "/dev/termination-log", "source": str(tmp_path / "log-of-termination"), "readOnly": False}],
        "uid": 0,
        "gid": 0,
        "grace": 1,
        "isolated": False,
    }
    (tmp_path / "spec.json").write_text(json.dumps(pods.without_namespaces(spec)))
    subprocess.run([sys.executable, "-I", "-S", shim.__file__, tmp_path], check=True, timeout=10)
    assert json.loads((tmp_path / "status.json").read_text())["exitCode"] == 0
    assert (tmp_path / "log-of-termination").read_text() == "done"
    assert (tmp_path / "log").read_text() == f"in {tmp_path}/log-of-termination\n/dev/termination-logs\n"
