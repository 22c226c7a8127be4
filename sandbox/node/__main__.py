"""`python -m sandbox.node`: register the node, bind pods to it, keep each of them going."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import control_plane
from sandbox.errors import SandboxError
from sandbox.instance import Instance
from sandbox.kube_client import Object, StatusError, UnreachableError
from sandbox.node import container as shim
from sandbox.node import kubelet
from sandbox.node.pods import NAME, Host, Pod

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEARTBEAT = 30.0  # seconds between looks at the Node object
_BUSY, _IDLE = 0.05, 1.0  # seconds between rounds, while containers run and while none does
_PAUSE = 0.5  # seconds before asking an API server again that did not answer
_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

_log = logging.getLogger("node")


class Node:
    def __init__(self, instance: Instance) -> None:
        api = control_plane.client(instance, "process-node")
        self._host = Host(instance, api, isolated=namespaces_work(instance))
        self._listed: dict[str, Object] | None = None  # every pod of the cluster by uid, once it is known
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._pods: dict[str, Pod] = {}
        self._bound: set[str] = set()

    def run(self) -> None:
        """Work until `stop`. Containers go on without the node; the next one takes them over."""
        kubelet.serve(self._host.instance, self._runs)
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        registered = -_HEARTBEAT
        while not self._stopping.is_set():
            busy = False
            try:
                if time.monotonic() - registered > _HEARTBEAT:
                    self._register()
                    registered = time.monotonic()
                busy = self._round()
            except (UnreachableError, StatusError) as error:
                _log.info("the API server does not answer: %s", error)
                self._stopping.wait(_PAUSE)
            self._changed.wait(_BUSY if busy else _IDLE)
            self._changed.clear()

    def stop(self) -> None:
        self._stopping.set()
        self._changed.set()

    def _round(self) -> bool:
        """Sync every pod of ours once; whether any of them runs something."""
        with self._lock:
            if self._listed is None:
                return False
            listed = dict(self._listed)
        busy = False
        for uid, pod in listed.items():
            try:
                if not pod["spec"].get("nodeName"):
                    self._bind(uid, pod)
                elif pod["spec"]["nodeName"] == NAME:
                    ours = self._pods.setdefault(uid, Pod(self._host, uid))
                    ours.sync(pod)
                    busy = busy or ours.running()
            except StatusError as error:
                # Mostly a pod that is gone, or has changed: the watch brings the news.
                _log.info("pod %s/%s: %s", pod["metadata"]["namespace"], pod["metadata"]["name"], error)
        for uid in {path.name for path in self._host.pods.glob("*")} - set(listed):
            Pod(self._host, uid).discard()
        self._pods = {uid: pod for uid, pod in self._pods.items() if uid in listed}
        self._bound &= set(listed)
        with contextlib.suppress(ChildProcessError):  # reap the containers that ended
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        return busy

    def _bind(self, uid: str, pod: Object) -> None:
        """Do the scheduler's work: there is one node, and it takes every pod."""
        metadata, spec = pod["metadata"], pod["spec"]
        held = spec.get("schedulingGates") or spec["schedulerName"] != "default-scheduler"
        if uid in self._bound or held or "deletionTimestamp" in metadata:
            return
        self._bound.add(uid)
        binding = {"metadata": {"name": metadata["name"], "uid": uid}, "target": {"kind": "Node", "name": NAME}}
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding"
        self._host.api.request("POST", path, {"apiVersion": "v1", "kind": "Binding", **binding})

    def _watch(self) -> None:
        """Keep `_listed` up to date for ever, whatever becomes of the API server."""
        while True:
            try:
                found = self._host.api.get("/api/v1/pods")
                version = found["metadata"]["resourceVersion"]
                self._update({pod["metadata"]["uid"]: pod for pod in found["items"]})
                while True:
                    for event in self._host.api.watch("/api/v1/pods", version):
                        pod = event["object"]
                        version = pod["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            self._update({pod["metadata"]["uid"]: pod}, event["type"])
            except (UnreachableError, StatusError) as error:  # a version that is too old (410) ends here as well
                _log.info("watching pods anew: %s", error)
                time.sleep(_PAUSE)

    def _update(self, pods: dict[str, Object], event: str = "LISTED") -> None:
        with self._lock:
            known = (
                {} if event == "LISTED" else {uid: pod for uid, pod in (self._listed or {}).items() if uid not in pods}
            )
            self._listed = known if event == "DELETED" else known | pods
        self._changed.set()

    def _runs(self, namespace: str, name: str, container: str) -> Sequence[Path]:
        """For the kubelet endpoint: the runs of a container."""
        with self._lock:
            listed = dict(self._listed or {})
        for uid, pod in listed.items():
            if (pod["metadata"]["namespace"], pod["metadata"]["name"]) == (namespace, name):
                return Pod(self._host, uid).runs(container)
        return []

    def _register(self) -> None:
        """Create the Node object if there is none, and say that it is ready."""
        api, now = self._host.api, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        labels = {"kubernetes.io/hostname": NAME, "kubernetes.io/os": "linux", "kubernetes.io/arch": _ARCHITECTURE}
        with contextlib.suppress(StatusError):  # it exists
            body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME, "labels": labels}}
            api.request("POST", "/api/v1/nodes", body)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
        resources = {"cpu": str(os.cpu_count()), "memory": f"{memory}Ki", "pods": "110"}
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "containers run " + ("in their own mount namespaces" if self._host.isolated else "unisolated"),
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        status = {
            "addresses": [{"type": "InternalIP", "address": self._host.instance.node_address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.PORT}},
            "capacity": resources,
            "allocatable": resources,
            "conditions": [condition],
            "nodeInfo": {
                "architecture": _ARCHITECTURE,
                "containerRuntimeVersion": "process://1",
                "kernelVersion": platform.release(),
                "kubeletVersion": "process-node",
                "operatingSystem": "linux",
                "osImage": platform.platform(),
            },
        }
        api.patch(f"/api/v1/nodes/{NAME}/status", {"status": status})


def namespaces_work(instance: Instance) -> bool:
    """Whether containers can have their own mounts here: tried out, since kernels and policies differ."""
    directory = Path(tempfile.mkdtemp(prefix="namespaces-", dir=instance.state))
    try:
        (directory / "message").touch()
        mount = {"path": "/dev/termination-log", "source": str(directory / "message"), "readOnly": False}
        command = ["/bin/sh", "-c", "echo yes > /dev/termination-log"]
        spec: Object = {"command": command, "environment": {}, "workdir": "/", "mounts": [mount]}
        spec |= {"uid": 1000, "gid": 1000, "grace": 1, "isolated": True}
        (directory / "spec.json").write_text(json.dumps(spec))
        subprocess.run([sys.executable, "-I", "-S", shim.__file__, directory], timeout=20, check=False)
        status = json.loads((directory / "status.json").read_text())
        if status["exitCode"]:
            _log.warning("containers run without namespaces of their own: %s", status.get("message", status))
        return bool(status["exitCode"] == 0)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    try:
        node = Node(Instance.current())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: node.stop())
        node.run()
    except SandboxError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
