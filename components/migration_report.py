"""What a person learns of a migration: the revision it reached, or the pod, exit code and last lines.

The Kubernetes provider's error says only that a backoff limit was reached. These functions run in
the Job's resource hooks, after the Job has ended; that is why the Kubernetes client, slow to import,
is imported inside. They only report: a cluster that does not answer them is a warning, never a
second failure on top of the first.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

if TYPE_CHECKING:
    from kubernetes import client

LAST_LINES = 20

# Credentials inside a URL, wherever a program prints one.
_URL_CREDENTIALS = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@]+@", re.IGNORECASE)

# Keys of the connection Secret that a log line may show.
_HARMLESS_KEYS = frozenset({"host", "reader_host", "port", "database", "username"})


@dataclass(frozen=True)
class Cluster:
    """Whom to ask: a kubeconfig, or a context of the machine's own one."""

    kubeconfig: str | None
    context: str | None


async def report_success(job: Mapping[str, Any], service: str, cluster: Cluster) -> None:
    """Say which revision the Job of these outputs proved."""
    namespace, name = _identity(job)

    def revision(core: client.CoreV1Api) -> str:
        for pod in _pods(core, namespace, name):
            for status in pod.status.container_statuses or []:
                if status.name == "check" and status.state.terminated and status.state.terminated.exit_code == 0:
                    return str(status.state.terminated.message).strip()
        return "unknown (its pod is gone)"

    found = await _ask(cluster, revision)
    if found is not None:
        pulumi.log.info(f"migration {service}: the database is at revision {found} (Job {namespace}/{name})")


async def report_failure(job: Mapping[str, Any], service: str, secret_name: str, cluster: Cluster) -> None:
    """Say which pod of the Job of these inputs failed, how, and what it wrote last; no secret is repeated."""
    namespace, name = _identity(job)
    text = await _ask(cluster, lambda core: _explain(core, namespace, name, service, secret_name))
    if text is not None:
        pulumi.log.error(text)


def _identity(job: Mapping[str, Any]) -> tuple[str, str]:
    metadata = job.get("metadata") or {}
    return str(metadata.get("namespace", "default")), str(metadata.get("name", ""))


async def _ask(cluster: Cluster, question: Callable[[client.CoreV1Api], str]) -> str | None:
    import yaml
    from kubernetes import client, config
    from urllib3.exceptions import HTTPError

    def ask() -> str:
        api = (
            config.new_client_from_config_dict(yaml.safe_load(cluster.kubeconfig))
            if cluster.kubeconfig is not None
            else config.new_client_from_config(context=cluster.context)
        )
        with api:
            return question(client.CoreV1Api(api))

    try:
        return await asyncio.to_thread(ask)
    except (client.ApiException, config.ConfigException, HTTPError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        pulumi.log.warn(f"the cluster did not say how the migration ended ({reason}); ask it with kubectl logs")
        return None


def _pods(core: client.CoreV1Api, namespace: str, job: str) -> list[Any]:
    pods = core.list_namespaced_pod(namespace, label_selector=f"batch.kubernetes.io/job-name={job}").items
    return sorted(pods, key=lambda pod: pod.metadata.creation_timestamp, reverse=True)


def _explain(core: client.CoreV1Api, namespace: str, job: str, service: str, secret_name: str) -> str:
    head = f"migration {service} failed (Job {namespace}/{job})"
    for pod in _pods(core, namespace, job):
        pod_name = pod.metadata.name
        for status in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
            ended, waiting = status.state.terminated, status.state.waiting
            if ended and ended.exit_code != 0:
                # Undecoded: the client's own decoding of plain text gives the repr of bytes.
                log = core.read_namespaced_pod_log(
                    pod_name, namespace, container=status.name, tail_lines=LAST_LINES, _preload_content=False
                ).data.decode(errors="replace")
                lines = redact(log, _secret_values(core, namespace, secret_name)).rstrip().splitlines()
                written = "\n".join(f"  | {line}" for line in lines) or "  | (it wrote nothing)"
                return (
                    f"{head}: container {status.name} of pod {pod_name} ended with exit code {ended.exit_code}. "
                    f"Its last lines:\n{written}\n"
                    f"All of it: kubectl logs --namespace {namespace} {pod_name} --container {status.name}\n"
                    "Mend it and run `pulumi up` again: until then the failed Job stays, with its logs."
                )
            if waiting and waiting.reason not in {"PodInitializing", "ContainerCreating"}:
                reason = f"{waiting.reason}: {waiting.message}"
                return f"{head}: container {status.name} of pod {pod_name} never started: {reason}"
    # Past its deadline the Job's pods are deleted; what they met is left in the events.
    warnings = [
        f"{event.reason}: {event.message}"
        for event in core.list_namespaced_event(namespace).items
        if event.type == "Warning" and event.involved_object.name.startswith(job)
    ]
    return f"{head}: " + ("; ".join(dict.fromkeys(warnings)) or "it left neither a pod nor an event behind")


def _secret_values(core: client.CoreV1Api, namespace: str, secret_name: str) -> list[str]:
    data = core.read_namespaced_secret(secret_name, namespace).data or {}
    return [base64.b64decode(value).decode() for key, value in data.items() if key not in _HARMLESS_KEYS and value]


def redact(text: str, secrets: list[str]) -> str:
    """`text` without the given values, and without credentials in any URL."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return _URL_CREDENTIALS.sub(r"\g<scheme>[secret]@", text)
