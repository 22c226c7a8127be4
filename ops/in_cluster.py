"""A short-lived Job next to the stores: what it is told comes in a Secret, what it says is read from its logs.

Both go when the command ends, however it ends. Should it be killed, the Job's own deadline and time to live see to the
Job, which takes the Secret along: that is the Job's from its first moment, so none is ever left alone. The Kubernetes
client is imported where it is used: it takes longer than all the rest of a command.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ops.errors import OpsError
from ops.stack import Stack
from ops.terminal import wait_until

if TYPE_CHECKING:
    from kubernetes import client

FILES = "/run/ops"
LABELS = {"app.kubernetes.io/part-of": "meetinity-data", "app.kubernetes.io/managed-by": "ops"}
DEADLINE_SECONDS = 3600
KEPT_SECONDS = 600
# Inside the LimitRange of every environment: prod asks for at least 150m/256Mi, dev allows at most 2/2Gi.
RESOURCES = {"requests": {"cpu": "200m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


@dataclass(frozen=True)
class Container:
    name: str
    image: str
    script: str
    environment: Mapping[str, str]
    """Reaches the container through a Secret, password and all."""
    files: Mapping[str, str] = field(default_factory=dict)
    """By name, under FILES."""

    @property
    def secret_data(self) -> dict[str, str]:
        return {f"{self.name}.{key}": value for key, value in {**self.environment, **self.files}.items()}


@contextlib.contextmanager
def _cluster(stack: Stack) -> Iterator[tuple[client.ApiClient, str]]:
    import yaml
    from kubernetes import client, config
    from urllib3.exceptions import HTTPError

    way = stack.secret_outputs.get("kubernetes")
    if way is None:
        raise OpsError(f"stack {stack.name} has no output `kubernetes`: run `pulumi up` once with this version")
    try:
        api = (
            config.new_client_from_config_dict(yaml.safe_load(way["kubeconfig"]))
            if way.get("kubeconfig")
            else config.new_client_from_config(context=way.get("context"))
        )
        with api:
            yield api, way["namespace"]
    except client.ApiException as error:
        raise OpsError(f"Kubernetes refused: {error.reason} ({error.status})") from error
    except (config.ConfigException, HTTPError, OSError) as error:
        raise OpsError(f"the cluster was not reached: {error}") from error


def run(stack: Stack, purpose: str, containers: Sequence[Container]) -> dict[str, str]:
    """Run the containers side by side to their end, and return what each wrote.

    Raises OpsError with the last line of the first that failed.
    """
    from kubernetes import client

    with _cluster(stack) as (api, namespace):
        core, batch = client.CoreV1Api(api), client.BatchV1Api(api)
        name = f"ops-{purpose}-{secrets.token_hex(4)}"
        try:
            job = batch.create_namespaced_job(namespace, _job(name, containers))
            owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job.metadata.uid}
            core.create_namespaced_secret(
                namespace,
                {
                    "metadata": {"name": name, "labels": LABELS, "ownerReferences": [owner]},
                    "stringData": {key: value for each in containers for key, value in each.secret_data.items()},
                },
            )

            def look() -> tuple[str, bool]:
                status = batch.read_namespaced_job(name, namespace).status
                ended = {each.type for each in status.conditions or [] if each.status == "True"}
                state = "running" if status.ready else "starting"
                return ("ended" if ended & {"Complete", "Failed"} else state), bool(ended & {"Complete", "Failed"})

            wait_until(f"Job {namespace}/{name}", look, then=_ENDED, timeout=_TIMEOUT, every=2)
            return _logs(core, namespace, name, containers)
        finally:
            with contextlib.suppress(client.ApiException):
                batch.delete_namespaced_job(name, namespace, propagation_policy="Background")
            with contextlib.suppress(client.ApiException):
                core.delete_namespaced_secret(name, namespace)


_ENDED = "It is taken away, and has changed nothing: run the same command again"
_TIMEOUT = timedelta(seconds=DEADLINE_SECONDS + 120)


def _logs(core: client.CoreV1Api, namespace: str, job: str, containers: Sequence[Container]) -> dict[str, str]:
    pods = core.list_namespaced_pod(namespace, label_selector=f"batch.kubernetes.io/job-name={job}").items
    if not pods:
        raise OpsError(f"the pod of Job {namespace}/{job} is gone: it ran into its deadline, or somebody deleted it")
    pod = pods[0]
    found = {}
    for each in containers:
        # Undecoded: the client's own decoding of plain text gives the repr of bytes.
        text = core.read_namespaced_pod_log(
            pod.metadata.name, namespace, container=each.name, _preload_content=False
        ).data.decode(errors="replace")
        ended = next(
            (status.state.terminated for status in pod.status.container_statuses or [] if status.name == each.name),
            None,
        )
        if ended is None or ended.exit_code != 0:
            last = (text.strip().splitlines() or ["nothing"])[-1]
            for value in each.environment.values():
                last = last.replace(value, "[hidden]") if len(value) >= 8 else last
            raise OpsError(f"{each.name} in Job {namespace}/{job} failed; it said: {last}")
        found[each.name] = text
    return found


def _job(name: str, containers: Sequence[Container]) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": LABELS},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 10001,
                        "runAsGroup": 10001,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [_container(name, each) for each in containers],
                    "volumes": [
                        {
                            "name": f"files-{each.name}",
                            "secret": {
                                "secretName": name,
                                "items": [{"key": f"{each.name}.{file}", "path": file} for file in each.files],
                            },
                        }
                        for each in containers
                        if each.files
                    ],
                },
            },
        },
    }


def _container(secret: str, described: Container) -> dict[str, Any]:
    return {
        "name": described.name,
        "image": described.image,
        "command": ["/bin/sh", "-euc", described.script],
        "env": [
            {"name": key, "valueFrom": {"secretKeyRef": {"name": secret, "key": f"{described.name}.{key}"}}}
            for key in described.environment
        ],
        "volumeMounts": [{"name": f"files-{described.name}", "mountPath": FILES, "readOnly": True}]
        if described.files
        else [],
        "resources": RESOURCES,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
