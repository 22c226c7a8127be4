"""`python -m sandbox.node`: register the node, bind pods to it, keep each of them going."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from sandbox import control_plane
from sandbox.errors import SandboxError
from sandbox.instance import Instance
from sandbox.kube_client import Object, StatusError, UnreachableError
from sandbox.node import kubelet
from sandbox.node.pods import NAME, Host, Pod

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_HEARTBEAT = 30.0  # seconds between looks at the Node object
_BUSY, _IDLE = 0.05, 0.2  # seconds between rounds, while containers run and while none does
_PAUSE = 0.5  # seconds before asking an API server again that did not answer
_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

_log = logging.getLogger("node")


class Node:
    def __init__(self, instance: Instance) -> None:
        self._host = Host(instance, control_plane.client(instance, "process-node"), isolated=namespaces_work())
        self._host.pods.mkdir(exist_ok=True)
        self._host.pods.chmod(0o700)  # the volumes in it hold Secrets and tokens, readable by all as in a real pod
        self._listed: dict[str, Object] = {}  # every pod of the cluster, by uid
        self._pods: dict[str, Pod] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until `stop`. Containers go on without the node; the next one takes them over."""
        kubelet.serve(self._host.instance, self._runs)
        registered = -_HEARTBEAT
        while not self._stopping.is_set():
            pause = _PAUSE
            try:
                if time.monotonic() - registered > _HEARTBEAT:
                    self._register()
                    registered = time.monotonic()
                pause = self._round()
            except (UnreachableError, StatusError) as error:
                _log.info("the API server does not answer: %s", error)
            self._stopping.wait(pause)

    def stop(self) -> None:
        self._stopping.set()

    def _round(self) -> float:
        """Bring every pod of ours as far as it can go; the seconds until it is worth looking again.

        The cluster is small and the API server near: asking is cheap, and needs no state that could go stale.
        """
        listed = {pod["metadata"]["uid"]: pod for pod in self._host.api.get("/api/v1/pods")["items"]}
        busy, self._listed = False, listed
        for uid, pod in listed.items():
            try:
                if not pod["spec"].get("nodeName"):
                    busy = self._bind(uid, pod) or busy
                elif pod["spec"]["nodeName"] == NAME:
                    ours = self._pods.setdefault(uid, Pod(self._host, uid))
                    busy = ours.sync(pod) or busy
            except StatusError as error:  # mostly a pod that is gone, or has changed: the next round knows
                _log.info("pod %s/%s: %s", pod["metadata"]["namespace"], pod["metadata"]["name"], error)
        for uid in {path.name for path in self._host.pods.glob("*")} - set(listed):
            Pod(self._host, uid).discard()
        self._pods = {uid: pod for uid, pod in self._pods.items() if uid in listed}
        with contextlib.suppress(ChildProcessError):  # reap the containers that ended
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        return _BUSY if busy else _IDLE

    def _bind(self, uid: str, pod: Object) -> bool:
        """Do the scheduler's work: there is one node, and it takes every pod."""
        metadata, spec = pod["metadata"], pod["spec"]
        held = spec.get("schedulingGates") or spec["schedulerName"] != "default-scheduler"
        if held or "deletionTimestamp" in metadata:
            return False
        binding = {"metadata": {"name": metadata["name"], "uid": uid}, "target": {"kind": "Node", "name": NAME}}
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding"
        self._host.api.request("POST", path, {"apiVersion": "v1", "kind": "Binding", **binding})
        return True

    def _runs(self, namespace: str, name: str, container: str) -> Sequence[Path]:
        """For the kubelet endpoint: the runs of a container."""
        for uid, pod in self._listed.items():
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
                "kubeletVersion": "process-node",
                "operatingSystem": "linux",
                "osImage": platform.platform(),
            },
        }
        api.patch(f"/api/v1/nodes/{NAME}/status", {"status": status})


def namespaces_work() -> bool:
    """Whether containers can have their own mounts here: tried out, since kernels and policies differ."""
    recent = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2]) >= (5, 12)
    tried = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode or not recent:
        _log.warning("containers run without namespaces of their own: %s", tried.stderr or platform.release())
    return recent and tried.returncode == 0


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
