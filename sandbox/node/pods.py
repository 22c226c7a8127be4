"""One pod on the node: what to do next, and what to report, worked out from the files that its containers left.

Nothing of importance is kept in memory, so a restarted node goes on where the last one stopped.
<state>/pods/<uid>/<container>/<attempt>/ holds one run of one container, see sandbox.node.container.

Without namespaces (sandbox.node.container) a container runs as the sandbox's user and can write where that user
can; its mount paths are replaced in its command and environment instead. Not enforced in either case: resources,
NetworkPolicies, probes (a container is ready when it runs), node selectors, affinity and taints. Not there:
exec, port-forward, sidecars, lifecycle hooks.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import control_plane, images, processes
from sandbox.errors import SandboxError
from sandbox.instance import Instance, write_privately
from sandbox.node import container as shim
from sandbox.node import inputs
from sandbox.node.api import Api, Object, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "process-node"
PREFIX = "pod-"  # of the containers' process names, in sandbox.processes
FINISHED = ("Succeeded", "Failed")

_MESSAGE_BYTES = 4096  # a kubelet's limits for termination messages, and for those taken from the log
_LOG_MESSAGE_BYTES, _LOG_MESSAGE_LINES = 2048, 80
_RETRY = 1.0  # seconds between attempts to start a container whose inputs are missing
_BACK_OFF, _LONGEST_BACK_OFF = 1.0, 300.0  # a kubelet starts at 10 s; people wait for a sandbox

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Host:
    """What a pod needs to know of the node it runs on."""

    instance: Instance
    api: Api
    isolated: bool

    @property
    def pods(self) -> Path:
        return self.instance.state / "pods"


class Pod:
    def __init__(self, host: Host, uid: str) -> None:
        self._host = host
        self._uid = uid
        self._directory = host.pods / uid
        self._waiting: dict[str, tuple[str, str]] = {}  # container → reason and message
        self._retry_at: dict[str, float] = {}
        self._sent: Object | None = None
        self._grace: int | None = None
        self._gone = False

    # Doing

    def sync(self, pod: Object) -> None:
        """Take the next steps that are possible now, and report."""
        metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
        if self._gone or (status.get("phase") in FINISHED and "deletionTimestamp" not in metadata):
            return
        if "deletionTimestamp" in metadata:
            self._delete(pod)
            return
        deadline = spec.get("activeDeadlineSeconds")
        if deadline and status.get("startTime") and _age(status["startTime"]) > deadline:
            self._stop(pod, spec.get("terminationGracePeriodSeconds", 30))
            if not self.running():
                message = "Pod was active on the node longer than the specified deadline"
                self._report(pod, ending={"reason": "DeadlineExceeded", "message": message})
            return
        policy = spec.get("restartPolicy", "Always")
        for container in spec.get("initContainers", []):
            if not _succeeded(self._state(container["name"])):
                self._run(pod, container, "Never" if policy == "Never" else "OnFailure")
                break
        else:
            for container in spec["containers"]:
                self._run(pod, container, policy)
        self._report(pod)

    def running(self) -> bool:
        return any("running" in (self._state(name) or {}) for name in self._names())

    def discard(self) -> None:
        """End and forget everything of a pod that the API no longer has."""
        for name in self._names():
            for attempt in self.attempts(name):
                processes.stop(self._host.instance, self._process(attempt), how=signal.SIGINT)
        shutil.rmtree(self._directory, ignore_errors=True)

    def attempts(self, container: str) -> Sequence[Path]:
        """Every run of a container, in order."""
        found = (self._directory / container).glob("[0-9]*")
        return sorted(found, key=lambda directory: int(directory.name))

    def _delete(self, pod: Object) -> None:
        metadata = pod["metadata"]
        if self.running():
            self._stop(pod, metadata.get("deletionGracePeriodSeconds", 30))
            return
        if pod["status"].get("phase") not in FINISHED:
            self._report(pod, ending={})
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self._uid}}
        self._host.api.request("DELETE", _path(pod), body)
        self._gone = True

    def _stop(self, pod: Object, grace: int) -> None:
        """Ask every running container to end; again only when the patience has changed."""
        if self._grace == grace:
            return
        self._grace = grace
        for name in self._names():
            attempts = self.attempts(name)
            record = attempts and processes.find(self._host.instance, self._process(attempts[-1]))
            if record:
                (attempts[-1] / "grace").write_text(str(grace))
                os.kill(record.pid, signal.SIGTERM)
                self._event(pod, "Killing", f"Stopping container {name}", container=name)

    def _run(self, pod: Object, container: Object, policy: str) -> None:
        name = container["name"]
        state = self._state(name)
        if state is not None and not _restarts(state, policy):
            return
        now = time.monotonic()
        if state is not None and name not in self._retry_at:
            failures = len(self.attempts(name)) - 1
            self._retry_at[name] = now + min(_BACK_OFF * 2**failures, _LONGEST_BACK_OFF)
            self._wait(pod, container, "CrashLoopBackOff", f"back-off restarting failed container {name}", "BackOff")
        if now < self._retry_at.get(name, 0):
            return
        self._retry_at[name] = now + _RETRY
        try:
            self._start(pod, container)
        except inputs.ConfigError as error:
            again = isinstance(error, inputs.ImageError) and str(error) == self._waiting.get(name, ("", ""))[1]
            self._wait(pod, container, "ImagePullBackOff" if again else error.reason, str(error), error.event)
        else:
            self._retry_at.pop(name)
            self._waiting.pop(name, None)

    def _wait(self, pod: Object, container: Object, reason: str, message: str, event: str) -> None:
        name = container["name"]
        if self._waiting.get(name, ("", ""))[1] != message:
            self._event(pod, event, message, container=name, warning=True)
        self._waiting[name] = (reason, message)

    def _start(self, pod: Object, container: Object) -> None:
        name, reference = container["name"], container["image"]
        try:
            image = images.find(self._host.instance, reference)
        except SandboxError as error:
            raise inputs.ConfigError(str(error)) from error
        if image is None:
            advice = f"`python -m sandbox image add {reference} DIRECTORY` puts it there"
            raise inputs.ImageError(f"image {reference} is not in the sandbox: {advice}")
        sources = inputs.Sources(self._host.api, pod["metadata"]["namespace"])
        attempt = self._directory / name / str(len(self.attempts(name)))
        spec = self._spec(pod, container, image, sources, attempt)
        write_privately(attempt / "spec.json", json.dumps(spec))
        started = {"startedAt": _now(), "policy": container.get("terminationMessagePolicy", "File")}
        write_privately(attempt / "started.json", json.dumps(started))
        self._event(pod, "Pulled", f'Container image "{reference}" already present on machine', container=name)
        processes.start(
            self._host.instance,
            self._process(attempt),
            [sys.executable, "-I", "-S", str(Path(shim.__file__)), str(attempt)],
            environment={},
        )
        self._event(pod, "Started", f"Container {name} started", container=name)

    def _spec(
        self, pod: Object, container: Object, image: images.Image, sources: inputs.Sources, attempt: Path
    ) -> Object:
        """What sandbox.node.container is told."""
        security = {**pod["spec"].get("securityContext", {}), **container.get("securityContext", {})}
        uid = security.get("runAsUser", 0)
        if security.get("runAsNonRoot") and uid == 0:
            raise inputs.ConfigError("container has runAsNonRoot and image will run as root")
        base = {
            "PATH": ":".join(image.path),
            "HOME": "/",
            "HOSTNAME": pod["metadata"]["name"],
            "KUBERNETES_SERVICE_HOST": self._host.instance.control_plane_address,
            "KUBERNETES_SERVICE_PORT": str(control_plane.API_PORT),
            **image.env,
        }
        values = inputs.environment(container, pod, sources, base)
        command = inputs.command_line(container, image.command, values)
        if not command:
            raise inputs.ConfigError(f"no command specified, and image {container['image']} has none")
        volumes = inputs.write_volumes(pod, sources, self._directory / "volumes")
        mounts = inputs.mounts(container, volumes, values)

        attempt.mkdir(parents=True, exist_ok=True)
        termination_log = attempt / "termination-log"
        termination_log.touch()
        path = container.get("terminationMessagePath", "/dev/termination-log")
        mounts.append({"path": path, "source": str(termination_log), "readOnly": False})
        if not security.get("readOnlyRootFilesystem") and all(mount["path"] != "/tmp" for mount in mounts):  # noqa: S108
            (attempt / "tmp").mkdir(exist_ok=True)
            mounts.append({"path": "/tmp", "source": str(attempt / "tmp"), "readOnly": False})  # noqa: S108
        for directory in (*image.host, str(image.directory)):
            if any(directory.startswith(mount["path"] + "/") for mount in mounts):
                mounts.append({"path": directory, "source": directory, "readOnly": True})
        spec = {
            "command": command,
            "environment": values,
            "workdir": container.get("workingDir") or image.working_directory,
            "mounts": mounts,
            "uid": uid,
            "gid": security.get("runAsGroup", 0),
            "grace": pod["spec"].get("terminationGracePeriodSeconds", 30),
            "isolated": self._host.isolated,
        }
        return spec if self._host.isolated else without_namespaces(spec)

    # Knowing

    def _names(self) -> Sequence[str]:
        return [path.name for path in self._directory.glob("*") if path.name != "volumes" and path.is_dir()]

    def _process(self, attempt: Path) -> str:
        return f"{PREFIX}{self._uid}-{attempt.parent.name}-{attempt.name}"

    def _state(self, container: str) -> Object | None:
        """Describe the last run as `containerStatuses[].state` does; None when there was none."""
        attempts = self.attempts(container)
        return self._attempt_state(attempts[-1]) if attempts else None

    def _attempt_state(self, attempt: Path) -> Object:
        # In this order: the status is written before the process ends.
        alive = processes.find(self._host.instance, self._process(attempt))
        started = _read(attempt / "started.json")
        status = _read(attempt / "status.json")
        since = {"startedAt": started["startedAt"]} if started else {}
        if not status and alive:
            return {"running": since}
        if not status:
            message = "The container could not be located: it ended while the node was not there to see it"
            status = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": message, "finishedAt": _now()}
            write_privately(attempt / "status.json", json.dumps(status))
        if not alive and processes.log_path(self._host.instance, self._process(attempt)).exists():
            processes.stop(self._host.instance, self._process(attempt))  # only forgets it
            processes.log_path(self._host.instance, self._process(attempt)).unlink()
        reason = "Completed" if status["exitCode"] == 0 else "Error"
        message = self._message(attempt, started.get("policy"), status["exitCode"])
        described = {"message": message} if message else {}
        return {"terminated": {"reason": reason, **since, **described, **status}}

    def _message(self, attempt: Path, policy: str | None, code: int) -> str:
        text = _tail(attempt / "termination-log", _MESSAGE_BYTES, from_start=True)
        if not text and policy == "FallbackToLogsOnError" and code:
            lines = _tail(attempt / "log", _LOG_MESSAGE_BYTES).splitlines(keepends=True)
            text = "".join(lines[-_LOG_MESSAGE_LINES:])
        return text

    # Reporting

    def _report(self, pod: Object, *, ending: Object | None = None) -> None:
        """Patch the pod's status when it has changed. `ending` closes the pod: nothing is started again."""
        spec, before = pod["spec"], pod.get("status", {})
        policy = "Never" if ending is not None else spec.get("restartPolicy", "Always")
        once = "Never" if policy == "Never" else "OnFailure"
        initial = [self._container_status(c, once, "PodInitializing") for c in spec.get("initContainers", [])]
        ready_to_start = all(_succeeded(entry["state"]) for entry in initial)
        pending = "ContainerCreating" if ready_to_start else "PodInitializing"
        main = [self._container_status(c, policy, pending) for c in spec["containers"]]
        phase = _phase(initial, main)
        if ending is not None and phase not in FINISHED:
            phase = "Failed"
        ready = phase == "Running" and all(entry["ready"] for entry in main)
        finished = {"reason": "PodCompleted"} if phase == "Succeeded" else {"reason": "PodFailed"}
        unready = finished if phase in FINISHED else {"reason": "ContainersNotReady"}
        conditions = [
            _condition(before, "PodReadyToStartContainers", phase == "Running"),
            _condition(
                before, "Initialized", ready_to_start, {} if ready_to_start else {"reason": "ContainersNotInitialized"}
            ),
            _condition(before, "ContainersReady", ready, {} if ready else unready),
            _condition(before, "Ready", ready, {} if ready else unready),
        ]
        address = self._host.instance.node_address
        status = {
            "phase": phase,
            "conditions": conditions,
            "hostIP": address,
            "hostIPs": [{"ip": address}],
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": before.get("startTime") or _now(),
            "containerStatuses": main,
            **({"initContainerStatuses": initial} if initial else {}),
            **(ending or {}),
        }
        # The first report fixes the start time, until the watch brings it back.
        if self._sent and not before.get("startTime"):
            status["startTime"] = self._sent["startTime"]
        if status != self._sent:
            self._host.api.patch(_path(pod) + "/status", {"metadata": {"uid": self._uid}, "status": status})
            self._sent = status

    def _container_status(self, container: Object, policy: str, pending: str) -> Object:
        name = container["name"]
        attempts = self.attempts(name)
        states = [self._attempt_state(attempt) for attempt in attempts[-2:]]
        reason, message = self._waiting.get(name, (pending, ""))
        waiting = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        state = states[-1] if states else waiting
        last: Object = states[0] if len(states) == 2 else {}
        if states and _restarts(state, policy):
            state, last = waiting, state
        identity = f"process://{self._uid}/{name}/{len(attempts) - 1}" if attempts else ""
        running = "running" in state
        return {
            "name": name,
            "image": container["image"],
            "imageID": f"sandbox://{container['image']}" if attempts else "",
            "containerID": identity,
            "restartCount": max(0, len(attempts) - 1),
            "started": running,
            "ready": running or (pending == "PodInitializing" and _succeeded(state)),
            "state": state,
            "lastState": last,
        }

    def _event(self, pod: Object, reason: str, message: str, *, container: str, warning: bool = False) -> None:
        """Tell `kubectl describe pod`. An event is never worth failing for."""
        metadata, now = pod["metadata"], _now()
        initial = any(entry["name"] == container for entry in pod["spec"].get("initContainers", []))
        body = {
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": self._uid,
                "fieldPath": f"spec.{'initContainers' if initial else 'containers'}{{{container}}}",
            },
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": NAME},
            "reportingComponent": "kubelet",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._host.api.request("POST", f"/api/v1/namespaces/{metadata['namespace']}/events", body)
        except RefusedError as error:
            _log.info("event %s of pod %s not recorded: %s", reason, metadata["name"], error)


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _phase(initial: Sequence[Object], main: Sequence[Object]) -> str:
    def ended(entry: Object) -> bool:
        return "terminated" in entry["state"]

    if any(ended(entry) and not _succeeded(entry["state"]) for entry in initial):
        return "Failed"
    if not all(_succeeded(entry["state"]) for entry in initial):
        return "Pending"
    if all(ended(entry) for entry in main):
        return "Succeeded" if all(_succeeded(entry["state"]) for entry in main) else "Failed"
    return "Running" if any(entry["containerID"] for entry in main) else "Pending"


def _succeeded(state: Object | None) -> bool:
    return state is not None and state.get("terminated", {}).get("exitCode") == 0


def _restarts(state: Object, policy: str) -> bool:
    return "terminated" in state and (policy == "Always" or (policy == "OnFailure" and not _succeeded(state)))


def _condition(before: Object, kind: str, value: bool, more: Object | None = None) -> Object:
    """Build a condition that keeps its transition time while its value stays."""
    status = str(value)
    known = next((entry for entry in before.get("conditions", []) if entry["type"] == kind), None)
    since = known["lastTransitionTime"] if known and known["status"] == status else _now()
    # None takes away the reason of an earlier value, which a merge would keep.
    return {"type": kind, "status": status, "lastTransitionTime": since, "reason": None, **(more or {})}


def without_namespaces(spec: Object) -> Object:
    """Without namespaces: name the real place of each mount in command and environment, where they are alone."""
    places = {mount["path"]: mount["source"] for mount in spec["mounts"] if mount["path"] != "/tmp"}  # noqa: S108
    if not places:
        return spec
    pattern = re.compile(rf"(?<![\w./-])({'|'.join(map(re.escape, places))})(?![\w.-])")

    def translate(text: str) -> str:
        return pattern.sub(lambda match: places[match[0]], text)

    environment = {name: translate(value) for name, value in spec["environment"].items()}
    return {**spec, "command": [translate(part) for part in spec["command"]], "environment": environment}


def _tail(path: Path, limit: int, *, from_start: bool = False) -> str:
    try:
        data = path.read_bytes()
    except OSError:
        return ""
    return (data[:limit] if from_start else data[-limit:]).decode(errors="replace")


def _read(path: Path) -> Object:
    try:
        found: Object = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _age(timestamp: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
