"""The Kubernetes API: etcd, kube-apiserver and kube-controller-manager, on the instance's first address.

Every connection is TLS under the instance's CA. People and programs are who their client certificate
says (the sandbox's own tools) or who their EKS token says (the Pulumi program): tokens are reviewed by
the AWS API, whose absence stops nobody with a certificate. Ports and flags are in control_plane.yaml.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox import certificates, processes
from sandbox.instance import Instance, write_privately
from sandbox.kube_client import KubeClient
from sandbox.ports import require_free

if TYPE_CHECKING:
    from collections.abc import Mapping

API_PORT = 6443
_ALLOWED_AT_STARTUP = 60  # seconds; 3 are usual


def start(instance: Instance, tools: Mapping[str, Path]) -> None:
    """Start what does not run yet and wait until the API answers; idempotent.

    Raises SandboxError when a port is taken or a server does not come up.
    """
    address, pki = instance.control_plane_address, _prepare(instance)
    servers: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    for name, server in servers.items():
        if processes.find(instance, name) is None:
            for port, purpose in server["ports"].items():
                require_free(address, port, purpose)
    places = {"address": address, "state": instance.state, "pki": pki, "ca": instance.ca_certificate}

    def launch(name: str) -> None:
        flags = [f"--{flag}={_flag(value).format(**places)}" for flag, value in servers[name]["flags"].items()]
        processes.start(instance, name, [str(tools[name]), *flags])

    def wait(name: str, client: str, url: str) -> None:
        pool = urllib3.PoolManager(
            ca_certs=str(instance.ca_certificate),
            cert_file=f"{pki / client}.crt",
            key_file=f"{pki / client}.key",
            retries=False,
            timeout=2,
        )
        processes.wait_until_ready(instance, name, lambda: _answers(pool, url), seconds=_ALLOWED_AT_STARTUP)

    launch("etcd")
    # An API server that cannot reach etcd exits for good within seconds.
    wait("etcd", "etcd-client", f"https://{address}:2379/health")
    launch("kube-apiserver")
    wait("kube-apiserver", "admin", f"{instance.kubernetes_endpoint}/readyz")
    launch("kube-controller-manager")  # it, too, exits for good: when the API does not answer within 10 s


def stop(instance: Instance) -> None:
    """Stop all three, clients before servers."""
    # The API server lingers for open watches; nothing of it needs saving, since etcd has every answered write.
    processes.stop(instance, "kube-controller-manager", patience=5)
    processes.stop(instance, "kube-apiserver", patience=3)
    processes.stop(instance, "etcd")


def client(instance: Instance, name: str) -> KubeClient:
    """The API for one of the sandbox's own programs, which may do everything under this name."""
    return KubeClient(instance.kubernetes_endpoint, instance.ca_certificate, *_client_certificate(instance, name))


def _client_certificate(instance: Instance, name: str) -> tuple[Path, Path]:
    return certificates.issue(
        instance, name, client=True, organization="system:masters", directory=instance.state / "pki"
    )


def _prepare(instance: Instance) -> Path:
    """Certificates, keys and kubeconfigs; the directory they are in."""
    pki = instance.state / "pki"
    certificates.ensure_ca(instance)
    for server in ("etcd", "kube-apiserver"):
        certificates.issue(instance, server, addresses=[instance.control_plane_address], directory=pki)
    for name in ("etcd-client", "kubelet-client"):
        certificates.issue(instance, name, client=True, directory=pki)
    service_accounts = pki / "service-accounts.key"
    if not service_accounts.exists():
        certificates.write_key(service_accounts, ec.generate_private_key(ec.SECP256R1()))
    private = serialization.load_pem_private_key(service_accounts.read_bytes(), None)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_privately(pki / "service-accounts.pub", public.decode())

    cluster = {
        "server": instance.kubernetes_endpoint,
        "certificate-authority-data": _encoded(instance.ca_certificate),
    }
    for name, path in (
        ("admin", instance.kubeconfig),
        ("kube-controller-manager", pki / "kube-controller-manager.kubeconfig"),
    ):
        certificate, key = _client_certificate(instance, name)
        user = {"client-certificate-data": _encoded(certificate), "client-key-data": _encoded(key)}
        _write_kubeconfig(path, f"meetinity-data-{instance.name}", cluster, name, user)
    review = {"server": f"{instance.aws_endpoint}/sandbox/token-review"}
    _write_kubeconfig(pki / "token-review.kubeconfig", "token-review", review, "kube-apiserver", {})
    return pki


def _write_kubeconfig(
    path: Path, name: str, cluster: Mapping[str, Any], user_name: str, user: Mapping[str, Any]
) -> None:
    """Write out a kubeconfig of one cluster and one user. JSON is YAML, and needs no library."""
    # The namespace of the `local` stack, so that kubectl needs no --namespace for what people look at most.
    context = {"cluster": name, "user": user_name, "namespace": "meetinity-local"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user_name, "user": user}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    write_privately(path, json.dumps(config, indent=2))


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _flag(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _answers(pool: urllib3.PoolManager, url: str) -> bool:
    try:
        return pool.request("GET", url).status == 200
    except urllib3.exceptions.HTTPError:
        return False
