"""One pod on the node: what to do next, and what to report, worked out from the files that its containers left.

Nothing of importance is kept in memory, so a restarted node goes on where the last one stopped.
<state>/pods/<uid>/<container>/<number>/ holds one run of one container, see sandbox.node.container: it is prepared,
then begun, once and for all, then over with an exit code.

Without namespaces (sandbox.node.container) a container runs as the sandbox's user and can write where that user
can; its mount paths are replaced in its command and environment instead. Not enforced in either case: resources,
NetworkPolicies, probes (a container is ready when it runs), node selectors, affinity and taints. Not there:
exec, port-forward and what `_UNSUPPORTED` names.
"""

from __future__ import annotations

import contextlib
import json
import logging
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
from sandbox.kube_client import KubeClient, Object, StatusError
from sandbox.node import container as shim
from sandbox.node import inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "process-node"
PREFIX = "pod-"  # of the containers' process names, in sandbox.processes
FINISHED = ("Succeeded", "Failed")

# Fields that change what a pod does and that this node would ignore: it refuses the pod instead.
_UNSUPPORTED = {"ephemeralContainers", "lifecycle", "restartPolicy", "stdin", "subPathExpr", "tty", "volumeDevices"}
_MESSAGE_BYTES = 4096  # a kubelet's limits for termination messages, and for those taken from the log
_LOG_MESSAGE_BYTES, _LOG_MESSAGE_LINES = 2048, 80
_RETRY = 1.0  # seconds between attempts to start a container whose inputs are missing
_BACK_OFF, _LONGEST_BACK_OFF = 1.0, 300.0  # a kubelet starts at 10 s; people wait for a sandbox

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Host:
    """What a pod needs to know of the node it runs on."""

    instance: Instance
    api: KubeClient
    isolated: bool

    @property
    def pods(self) -> Path:
        return self.instance.state / "pods"


class Pod:
    def __init__(self, host: Host, uid: str) -> None:
        self._host, self._uid = host, uid
        self._directory = host.pods / uid
        self._waiting: dict[str, Object] = {}  # container → reason and message of what keeps it from starting
        self._retry_at: dict[str, float] = {}
        self._sent: Object = {}
        self._gone = False

    def sync(self, pod: Object) -> bool:
        """Take the next steps that are possible now, and report; whether something runs."""
        metadata, spec, status = pod["metadata"], pod["spec"], pod["status"]
        deleted, finished = "deletionTimestamp" in metadata, status["phase"] in FINISHED
        if self._gone or (finished and not deleted):
            return False
        since = status.get("startTime") or self._sent.get("startTime") or _now()
        ending: Object | None = None
        if deleted:
            ending = {}
        elif unsupported := sorted(_unsupported(spec)):
            ending = {"reason": "Unsupported", "message": f"the process node does not do {', '.join(unsupported)}"}
        elif _age(since) > spec.get("activeDeadlineSeconds", sys.maxsize):
            message = "Pod was active on the node longer than the specified deadline"
            ending = {"reason": "DeadlineExceeded", "message": message}
        if ending is None:
            self._start_what_is_due(pod)
        elif self.running():
            self._stop(pod, metadata.get("deletionGracePeriodSeconds", spec["terminationGracePeriodSeconds"]))
            return True
        if not finished:
            self._report(pod, since, ending)
        if deleted:
            body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self._uid}}
            self._host.api.request("DELETE", _path(pod), body)
            self._gone = True
        return self.running()

    def running(self) -> bool:
        return any(shim.holder(run) for run in self._directory.glob("*/[0-9]*"))

    def discard(self) -> None:
        """End and forget everything of a pod that the API no longer has."""
        for run in self._directory.glob("*/[0-9]*"):
            if process := shim.holder(run):
                shim.send(process, signal.SIGINT)
            else:
                self._forget(run)
        if not self.running():
            shutil.rmtree(self._directory, ignore_errors=True)

    def runs(self, container: str) -> Sequence[Path]:
        """Every run of a container that was begun, in order."""
        found = (run for run in (self._directory / container).glob("[0-9]*") if shim.begun(run))
        return sorted(found, key=lambda run: int(run.name))

    # Doing

    def _start_what_is_due(self, pod: Object) -> None:
        policy = pod["spec"]["restartPolicy"]
        for container in pod["spec"].get("initContainers", []):
            if not _succeeded(self._state(container["name"])):
                self._start_if_due(pod, container, _until_success(policy))
                return
        for container in pod["spec"]["containers"]:
            self._start_if_due(pod, container, policy)

    def _start_if_due(self, pod: Object, container: Object, policy: str) -> None:
        name, now = container["name"], time.monotonic()
        state = self._state(name)
        if state is not None and not _restarts(state, policy):
            return
        if state is not None and name not in self._retry_at:
            failures = len(self.runs(name)) - 1
            self._retry_at[name] = now + min(_BACK_OFF * 2**failures, _LONGEST_BACK_OFF)
            message = f"back-off restarting failed container {name}"
            self._wait(pod, container, inputs.ConfigError(message, "CrashLoopBackOff", "BackOff"))
        if now < self._retry_at.get(name, 0):
            return
        self._retry_at[name] = now + _RETRY
        try:
            self._start(pod, container)
        except inputs.ConfigError as error:
            self._wait(pod, container, error)
        else:
            del self._retry_at[name]
            self._waiting.pop(name, None)

    def _wait(self, pod: Object, container: Object, error: inputs.ConfigError) -> None:
        name, reason = container["name"], error.reason
        if self._waiting.get(name, {}).get("message") != str(error):
            self._event(pod, container, error.event, str(error), warning=True)
        elif reason == "ErrImagePull":
            reason = "ImagePullBackOff"
        self._waiting[name] = {"reason": reason, "message": str(error)}

    def _start(self, pod: Object, container: Object) -> None:
        run = self._directory / container["name"] / str(len(self.runs(container["name"])))
        spec = self._spec(pod, container, run)
        started = {"startedAt": _now(), "policy": container["terminationMessagePolicy"]}
        write_privately(run / "started.json", json.dumps(started))
        write_privately(run / "spec.json", json.dumps(spec))
        message = f'Container image "{container["image"]}" already present on machine'
        self._event(pod, container, "Pulled", message)
        command = [sys.executable, "-I", "-S", str(Path(shim.__file__)), str(run)]
        try:
            processes.start(self._host.instance, self._process(run), command, environment={})
            processes.wait_until_ready(self._host.instance, self._process(run), lambda: shim.begun(run), seconds=10)
        except SandboxError as error:
            if not shim.begun(run):  # what was begun may be over before anybody looked
                raise inputs.ConfigError(str(error), "RunContainerError") from error
        self._event(pod, container, "Started", f"Container {container['name']} started")

    def _spec(self, pod: Object, container: Object, run: Path) -> Object:
        """What sandbox.node.container is told."""
        image = self._image(container["image"])
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
        sources = inputs.Sources(self._host.api, pod)
        values = inputs.environment(container, sources, base)
        command = inputs.command_line(container, image.command, values)
        if not command:
            raise inputs.ConfigError(f"no command specified, and image {container['image']} has none")
        mounts = inputs.mounts(container, inputs.write_volumes(pod, sources, self._directory / "volumes"))

        def mount(path: str, source: Path, *, read_only: bool = False) -> None:
            mounts.append({"path": path, "source": str(source), "readOnly": read_only})

        run.mkdir(parents=True, exist_ok=True)
        (run / "termination-log").touch()
        mount(container["terminationMessagePath"], run / "termination-log")
        if not security.get("readOnlyRootFilesystem") and all(each["path"] != "/tmp" for each in mounts):  # noqa: S108
            (run / "tmp").mkdir(exist_ok=True)
            mount("/tmp", run / "tmp")  # noqa: S108
        for directory in (*image.host, str(image.directory)):
            if any(directory.startswith(each["path"] + "/") for each in mounts):
                mount(directory, Path(directory), read_only=True)
        spec = {
            "command": command,
            "environment": values,
            "workdir": container.get("workingDir") or image.working_directory,
            "mounts": mounts,
            "uid": uid,
            "gid": security.get("runAsGroup", 0),
            "grace": pod["spec"]["terminationGracePeriodSeconds"],
            "isolated": self._host.isolated,
        }
        return spec if self._host.isolated else without_namespaces(spec)

    def _image(self, reference: str) -> images.Image:
        try:
            image = images.find(self._host.instance, reference)
        except SandboxError as error:
            raise inputs.ConfigError(str(error), "InvalidImageName") from error
        if image is None:
            advice = f"`python -m sandbox image add {reference} DIRECTORY` puts it there"
            raise inputs.ConfigError(f"image {reference} is not in the sandbox: {advice}", "ErrImagePull")
        return image

    def _stop(self, pod: Object, grace: int) -> None:
        """Ask every running container to end; again only when the patience has changed."""
        for container in _containers(pod["spec"]):
            for run in self.runs(container["name"])[-1:]:
                asked = run / "grace"
                if (process := shim.holder(run)) and not (asked.exists() and asked.read_text() == str(grace)):
                    asked.write_text(str(grace))
                    shim.send(process, signal.SIGTERM)
                    self._event(pod, container, "Killing", f"Stopping container {container['name']}")

    # Knowing

    def _process(self, run: Path) -> str:
        return f"{PREFIX}{self._uid}-{run.parent.name}-{run.name}"

    def _forget(self, run: Path) -> None:
        """Take a run that is over out of what is known to have been started."""
        if (log := processes.log_path(self._host.instance, self._process(run))).exists():
            processes.stop(self._host.instance, self._process(run))
            log.unlink()

    def _state(self, container: str) -> Object | None:
        """Describe the last run as `containerStatuses[].state` does; None when there was none."""
        runs = self.runs(container)
        return self._state_of(runs[-1]) if runs else None

    def _state_of(self, run: Path) -> Object:
        # In this order: the status is written before the process ends.
        alive = shim.holder(run)
        started, status = _read(run / "started.json"), _read(run / "status.json")
        since = {"startedAt": started["startedAt"]}
        if not status and alive:
            return {"running": since}
        if not status:
            shim.end_orphans(run)
            message = "The container could not be located: the process that watched it was killed, and it with that one"
            status = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": message, "finishedAt": _now()}
            write_privately(run / "status.json", json.dumps(status))
        if not alive:
            self._forget(run)
        reason = "Completed" if status["exitCode"] == 0 else "Error"
        message = _tail(run / "termination-log", _MESSAGE_BYTES, from_start=True)
        if not message and started["policy"] == "FallbackToLogsOnError" and status["exitCode"]:
            lines = _tail(run / "log", _LOG_MESSAGE_BYTES).splitlines(keepends=True)
            message = "".join(lines[-_LOG_MESSAGE_LINES:])
        return {"terminated": {"reason": reason, **since, **({"message": message} if message else {}), **status}}

    # Reporting

    def _report(self, pod: Object, since: str, ending: Object | None) -> None:
        """Patch the pod's status when it has changed. `ending` closes the pod: nothing is started again."""
        spec, before = pod["spec"], {each["type"]: each for each in pod["status"].get("conditions", [])}
        policy = "Never" if ending is not None else spec["restartPolicy"]
        initial = [
            self._container_status(each, _until_success(policy), "PodInitializing", initial=True)
            for each in spec.get("initContainers", [])
        ]
        initialized = all(_succeeded(each["state"]) for each in initial)
        pending = "ContainerCreating" if initialized else "PodInitializing"
        main = [self._container_status(each, policy, pending) for each in spec["containers"]]
        phase = _phase(initial, main)
        phase = "Failed" if ending is not None and phase not in FINISHED else phase
        ready = phase == "Running" and all(each["ready"] for each in main)
        unready = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "ContainersNotReady")
        address = self._host.instance.node_address
        status = {
            "phase": phase,
            "conditions": [
                _condition(before, "PodReadyToStartContainers", phase == "Running", None),
                _condition(before, "Initialized", initialized, "ContainersNotInitialized"),
                _condition(before, "ContainersReady", ready, unready),
                _condition(before, "Ready", ready, unready),
            ],
            "hostIP": address,
            "podIP": address,
            "startTime": since,
            "containerStatuses": main,
            **({"initContainerStatuses": initial} if initial else {}),
            **(ending or {}),
        }
        if status != self._sent:
            self._host.api.patch(_path(pod) + "/status", {"metadata": {"uid": self._uid}, "status": status})
            self._sent = status

    def _container_status(self, container: Object, policy: str, pending: str, *, initial: bool = False) -> Object:
        name, runs = container["name"], self.runs(container["name"])
        states = [self._state_of(run) for run in runs[-2:]]
        waiting = {"waiting": self._waiting.get(name, {"reason": pending})}
        if not states or _restarts(states[-1], policy):
            states.append(waiting)
        state, running = states[-1], "running" in states[-1]
        return {
            "name": name,
            "image": container["image"],
            "imageID": f"sandbox://{container['image']}" if runs else "",
            "containerID": f"process://{self._uid}/{name}/{runs[-1].name}" if runs else "",
            "restartCount": max(0, len(runs) - 1),
            "started": running,
            "ready": running or (initial and _succeeded(state)),
            "state": state,
            "lastState": states[-2] if len(states) > 1 else {},
        }

    def _event(self, pod: Object, container: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """Tell `kubectl describe pod`. An event is never worth failing for."""
        metadata, now = pod["metadata"], _now()
        kind = "containers" if container in pod["spec"]["containers"] else "initContainers"
        identity = {key: metadata[key] for key in ("namespace", "name", "uid")}
        path = f"spec.{kind}{{{container['name']}}}"
        body = {
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", **identity, "fieldPath": path},
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
        except StatusError as error:
            _log.info("event %s of pod %s not recorded: %s", reason, metadata["name"], error)


def _containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def _unsupported(spec: Object) -> set[str]:
    """What the pod asks for, by name, that would be ignored."""
    mounts = [mount for each in _containers(spec) for mount in each.get("volumeMounts", [])]
    asked = {f"{field} in a container" for each in [*_containers(spec), *mounts] for field in _UNSUPPORTED & set(each)}
    return asked | (_UNSUPPORTED - {"restartPolicy"}) & set(spec)


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _phase(initial: Sequence[Object], main: Sequence[Object]) -> str:
    ended = [["terminated" in each["state"] for each in group] for group in (initial, main)]
    succeeded = [[_succeeded(each["state"]) for each in group] for group in (initial, main)]
    if any(over and not good for over, good in zip(ended[0], succeeded[0], strict=True)):
        return "Failed"
    if not all(succeeded[0]):
        return "Pending"
    if all(ended[1]):
        return "Succeeded" if all(succeeded[1]) else "Failed"
    return "Running" if any(each["containerID"] for each in main) else "Pending"


def _until_success(policy: str) -> str:
    """The restart policy of init containers."""
    return "Never" if policy == "Never" else "OnFailure"


def _succeeded(state: Object | None) -> bool:
    return state is not None and state.get("terminated", {}).get("exitCode") == 0


def _restarts(state: Object, policy: str) -> bool:
    return "terminated" in state and (policy == "Always" or (policy == "OnFailure" and not _succeeded(state)))


def _condition(before: Object, kind: str, value: bool, reason: str | None) -> Object:
    """Build a condition that keeps its transition time while its value stays."""
    known = before.get(kind, {})
    since = known["lastTransitionTime"] if known.get("status") == str(value) else _now()
    # None takes away the reason of an earlier value, which a merge would keep.
    return {"type": kind, "status": str(value), "lastTransitionTime": since, "reason": None if value else reason}


def without_namespaces(spec: Object) -> Object:
    """Without namespaces: name the real place of each mount in command and environment, where they are alone."""
    places = {mount["path"]: mount["source"] for mount in spec["mounts"] if mount["path"] != "/tmp"}  # noqa: S108
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
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(path.read_text()))
    return {}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _age(timestamp: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
