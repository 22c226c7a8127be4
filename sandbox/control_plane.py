"""The Kubernetes API: etcd, kube-apiserver and kube-controller-manager, on the instance's first address.

Every connection is TLS under the instance's CA. People and programs are who their client certificate
says (the sandbox's own tools) or who their EKS token says (the Pulumi program): tokens are reviewed by
the AWS API, whose absence stops nobody with a certificate.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import urllib3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox import certificates, processes
from sandbox.instance import Instance, write_privately
from sandbox.kube_client import KubeClient
from sandbox.ports import require_free

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ETCD_PORT = 2379
ETCD_PEER_PORT = 2380
API_PORT = 6443
SERVICE_CIDR = "10.0.0.0/24"

# What Jobs, namespaces and foreground deletion need. Node lifecycle is left out: the process node has no lease.
_CONTROLLERS = (
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "ttl-after-finished-controller",
)
_ALLOWED_AT_STARTUP = 60  # seconds; 3 are usual


def start(instance: Instance, tools: Mapping[str, Path]) -> None:
    """Start what does not run yet and wait until the API answers; idempotent.

    Raises SandboxError when a port is taken or a server does not come up.
    """
    address = instance.control_plane_address
    pki = _prepare(instance)
    if processes.find(instance, "etcd") is None:
        require_free(address, ETCD_PORT, "etcd")
        require_free(address, ETCD_PEER_PORT, "etcd's peers")
    if processes.find(instance, "kube-apiserver") is None:
        require_free(address, API_PORT, "the Kubernetes API")

    processes.start(instance, "etcd", [str(tools["etcd"]), *_etcd_flags(instance, pki)])
    etcd = _client(instance, pki / "etcd-client")
    # An API server that cannot reach etcd exits for good within seconds.
    processes.wait_until_ready(
        instance, "etcd", lambda: _answers(etcd, f"https://{address}:{ETCD_PORT}/health"), seconds=_ALLOWED_AT_STARTUP
    )
    processes.start(instance, "kube-apiserver", [str(tools["kube-apiserver"]), *_api_server_flags(instance, pki)])
    processes.start(
        instance,
        "kube-controller-manager",
        [str(tools["kube-controller-manager"]), *_controller_manager_flags(instance, pki)],
    )
    api = _client(instance, pki / "admin")
    processes.wait_until_ready(
        instance,
        "kube-apiserver",
        lambda: _answers(api, f"{instance.kubernetes_endpoint}/readyz"),
        seconds=_ALLOWED_AT_STARTUP,
    )


def stop(instance: Instance) -> None:
    """Stop all three, clients before servers."""
    # The API server lingers for open watches; nothing of it needs saving, since etcd has every answered write.
    processes.stop(instance, "kube-controller-manager", patience=5)
    processes.stop(instance, "kube-apiserver", patience=3)
    processes.stop(instance, "etcd")


def client(instance: Instance, name: str) -> KubeClient:
    """The API for one of the sandbox's own programs, which may do everything under this name."""
    certificate, key = _client_certificate(instance, name)
    return KubeClient(
        {"server": instance.kubernetes_endpoint, "certificate-authority": str(instance.ca_certificate)},
        {"client-certificate": str(certificate), "client-key": str(key)},
    )


def _client_certificate(instance: Instance, name: str) -> tuple[Path, Path]:
    return certificates.issue(
        instance, name, client=True, organizations=["system:masters"], directory=instance.state / "pki"
    )


def _prepare(instance: Instance) -> Path:
    """Certificates, keys and kubeconfigs; the directory they are in."""
    pki = instance.state / "pki"
    certificates.ensure_ca(instance)
    address = [instance.control_plane_address]

    def issue(name: str, *, client: bool) -> None:
        certificates.issue(instance, name, addresses=[] if client else address, client=client, directory=pki)

    issue("etcd", client=False)
    issue("etcd-client", client=True)
    issue("kube-apiserver", client=False)
    issue("kubelet-client", client=True)
    service_accounts = pki / "service-accounts.key"
    if not service_accounts.exists():
        certificates.write_key(service_accounts, ec.generate_private_key(ec.SECP256R1()))
    private = serialization.load_pem_private_key(service_accounts.read_bytes(), None)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_privately(pki / "service-accounts.pub", public.decode())

    _write_kubeconfig(instance, instance.kubeconfig, "admin")
    _write_kubeconfig(instance, pki / "kube-controller-manager.kubeconfig", "kube-controller-manager")
    webhook = {"name": "token-review", "cluster": {"server": f"{instance.aws_endpoint}/sandbox/token-review"}}
    write_privately(pki / "token-review.kubeconfig", _config(webhook, {"name": "kube-apiserver", "user": {}}))
    return pki


def _write_kubeconfig(instance: Instance, path: Path, client: str) -> None:
    certificate, key = _client_certificate(instance, client)
    cluster = {
        "name": f"meetinity-data-{instance.name}",
        "cluster": {
            "server": instance.kubernetes_endpoint,
            "certificate-authority-data": base64.b64encode(instance.ca_certificate.read_bytes()).decode(),
        },
    }
    user = {
        "name": client,
        "user": {
            "client-certificate-data": base64.b64encode(certificate.read_bytes()).decode(),
            "client-key-data": base64.b64encode(key.read_bytes()).decode(),
        },
    }
    write_privately(path, _config(cluster, user))


def _config(cluster: Mapping[str, object], user: Mapping[str, object]) -> str:
    """Write out a kubeconfig of one cluster and one user. JSON is YAML, and needs no library."""
    # The namespace of the `local` stack, so that kubectl needs no --namespace for what people look at most.
    members = {"cluster": cluster["name"], "user": user["name"], "namespace": "meetinity-local"}
    context = {"name": cluster["name"], "context": members}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "users": [user],
            "contexts": [context],
            "current-context": cluster["name"],
        },
        indent=2,
    )


def _flags(values: Mapping[str, object]) -> Sequence[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def _etcd_flags(instance: Instance, pki: Path) -> Sequence[str]:
    client = f"https://{instance.control_plane_address}:{ETCD_PORT}"
    peer = f"https://{instance.control_plane_address}:{ETCD_PEER_PORT}"
    tls = {"cert-file": pki / "etcd.crt", "key-file": pki / "etcd.key", "client-cert-auth": "true"}
    return _flags(
        {
            "name": "sandbox",
            "data-dir": instance.state / "etcd",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"sandbox={peer}",
            "trusted-ca-file": instance.ca_certificate,
            "peer-trusted-ca-file": instance.ca_certificate,
            **tls,
            **{f"peer-{name}": value for name, value in tls.items()},
            # The gateway would present the server's certificate as a client's.
            "enable-grpc-gateway": "false",
            # A killed etcd loses nothing by this; only a power cut could, and a sandbox can be made anew.
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }
    )


def _api_server_flags(instance: Instance, pki: Path) -> Sequence[str]:
    return _flags(
        {
            "bind-address": instance.control_plane_address,
            "secure-port": API_PORT,
            "tls-cert-file": pki / "kube-apiserver.crt",
            "tls-private-key-file": pki / "kube-apiserver.key",
            "etcd-servers": f"https://{instance.control_plane_address}:{ETCD_PORT}",
            "etcd-cafile": instance.ca_certificate,
            "etcd-certfile": pki / "etcd-client.crt",
            "etcd-keyfile": pki / "etcd-client.key",
            "client-ca-file": instance.ca_certificate,
            "anonymous-auth": "false",
            "authorization-mode": "RBAC",
            "authentication-token-webhook-config-file": pki / "token-review.kubeconfig",
            "authentication-token-webhook-version": "v1",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": pki / "service-accounts.pub",
            "service-account-signing-key-file": pki / "service-accounts.key",
            "service-cluster-ip-range": SERVICE_CIDR,
            "kubelet-certificate-authority": instance.ca_certificate,
            "kubelet-client-certificate": pki / "kubelet-client.crt",
            "kubelet-client-key": pki / "kubelet-client.key",
            "kubelet-preferred-address-types": "InternalIP",
            # A loopback address is not a valid endpoint, and nothing here goes through the `kubernetes` Service.
            "endpoint-reconciler-type": "none",
            "profiling": "false",
        }
    )


def _controller_manager_flags(instance: Instance, pki: Path) -> Sequence[str]:
    return _flags(
        {
            "kubeconfig": pki / "kube-controller-manager.kubeconfig",
            "controllers": ",".join(_CONTROLLERS),
            "root-ca-file": instance.ca_certificate,
            "leader-elect": "false",
            "secure-port": 0,
            "profiling": "false",
        }
    )


def _client(instance: Instance, pair: Path) -> urllib3.PoolManager:
    return urllib3.PoolManager(
        ca_certs=str(instance.ca_certificate), cert_file=f"{pair}.crt", key_file=f"{pair}.key", retries=False, timeout=2
    )


def _answers(client: urllib3.PoolManager, url: str) -> bool:
    try:
        return client.request("GET", url).status == 200
    except urllib3.exceptions.HTTPError:
        return False
