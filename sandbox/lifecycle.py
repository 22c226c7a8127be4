"""The whole sandbox: bringing it up, taking it down, and the environment of a shell that works in it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shlex
import shutil
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import urllib3

from sandbox import account, certificates, control_plane, images, processes, toolchain
from sandbox.errors import SandboxError
from sandbox.instance import CHECKOUT, NAME_VARIABLE, REGION, Instance
from sandbox.locks import exclusive
from sandbox.node import kubelet, pods
from sandbox.ports import require_free
from sandbox.progress import duration
from sandbox.stack import backend_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# In the order they are stopped; what else runs belongs to the AWS API.
SERVERS = ("node", "aws-api", "kube-controller-manager", "kube-apiserver", "etcd")
STAND_INS = ("aws", "random")  # providers of our own
KUBERNETES_PROVIDER = "pulumi-resource-kubernetes"
# Opens the `local` stack's secrets, whose salt is committed: it protects nothing.
PASSPHRASE = "sandbox"  # noqa: S105

_AWS_PORT = 5000
# Taken out of a sandbox's environment: they would lead its programs to a real account or backend.
_FOREIGN = (
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CA_BUNDLE", "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_STACK"),
)


def up(instance: Instance, report: Callable[[str], None]) -> toolchain.Tools:
    """Bring up everything that is not up, furnish the account, and return the tools; idempotent.

    Raises SandboxError with one line when a tool, a port or a server is in the way.
    """
    with alone(instance, report):
        tools = toolchain.ensure(report)
        certificates.ensure_ca(instance)
        _link_tools(instance, tools)
        _install_providers(instance, tools)
        (instance.state / "backend").mkdir(exist_ok=True)
        images.furnish(instance, tools)
        with ThreadPoolExecutor() as pool:
            for part in [pool.submit(_up_aws, instance, report), pool.submit(_up_kubernetes, instance, tools, report)]:
                part.result()
    return tools


def down(instance: Instance, report: Callable[[str], None]) -> None:
    """Stop every process of the instance, containers and databases included; what they stored stays."""
    with alone(instance, report):
        processes.stop(instance, "node")  # or it would start containers anew
        for name in [name for name in processes.running(instance) if name.startswith(pods.PREFIX)]:
            processes.stop(instance, name, how=signal.SIGINT)
        processes.stop(instance, "aws-api")
        # Readers before their writers, which would otherwise wait for them; what has died, so that it is forgotten.
        others = [name for name in processes.recorded(instance) if not name.startswith(pods.PREFIX)]
        for name in sorted(set(others) - set(SERVERS), reverse=True):
            fast = signal.SIGINT if name.startswith("postgres-") else signal.SIGTERM
            processes.stop(instance, name, how=fast)
        control_plane.stop(instance)
        report(f"sandbox {instance.name} is down; its state stays in {instance.state}")


def reset(instance: Instance, report: Callable[[str], None]) -> None:
    """Take the sandbox down and delete its state: databases, cluster, Pulumi backend."""
    with alone(instance, report):
        down(instance, report)
        shutil.rmtree(instance.state)
    report(f"deleted {instance.state}")


def status(instance: Instance) -> Sequence[tuple[str, str, str, str]]:
    """Name, process id, age and memory of each process, for people; what should run is listed even when it died."""
    running = processes.running(instance)
    # That a container has ended is Kubernetes' to tell.
    named = [name for name in processes.recorded(instance) if name in running or not name.startswith(pods.PREFIX)]
    rows = []
    for name in dict.fromkeys([*reversed(SERVERS), *named]):
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end this moment
            if process := running.get(name):
                age = duration(time.time() - process.create_time())
                rows.append((name, str(process.pid), age, f"{process.memory_info().rss // 2**20} MB"))
            else:
                rows.append((name, "not running", "", ""))
    return rows


def require_up(instance: Instance) -> None:
    if stopped := [name for name in SERVERS if processes.find(instance, name) is None]:
        raise SandboxError(f"sandbox {instance.name} is not up ({', '.join(stopped)} not running): run `make up`")


def start_node(instance: Instance) -> None:
    """Start the process node, which needs the control plane's certificates, but not the control plane."""
    if processes.find(instance, "node") is None:
        require_free(instance.node_address, kubelet.PORT, "the process node")
    processes.start(instance, "node", _python("sandbox.node"), environment=_server_environment(instance))
    processes.wait_until_ready(instance, "node", lambda: _listens(instance.node_address, kubelet.PORT))


# Environment


def variables(instance: Instance) -> dict[str, str]:
    """What a shell of this sandbox sets."""
    path = [str(instance.binaries), str(Path(sys.prefix) / "bin")]
    inherited = [part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part not in path]
    loopback = ["127.0.0.0/8", instance.control_plane_address, instance.aws_address]
    proxied = [part for part in os.environ.get("NO_PROXY", "").split(",") if part and part not in loopback]
    return {
        "PATH": os.pathsep.join([*path, *inherited]),
        NAME_VARIABLE: instance.name,
        "PULUMI_HOME": str(instance.state / "pulumi"),
        "PULUMI_BACKEND_URL": backend_url(instance.state / "backend"),
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
        "AWS_ENDPOINT_URL": instance.aws_endpoint,
        "AWS_ACCESS_KEY_ID": account.ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": account.SECRET_ACCESS_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "KUBECONFIG": str(instance.kubeconfig),
        "PGSSLROOTCERT": str(instance.ca_certificate),
        "MEETINITY_CA_BUNDLE": str(instance.ca_certificate),
        "NO_PROXY": ",".join([*loopback, *proxied]),
    }


def environment(instance: Instance, tools: Mapping[str, Path]) -> dict[str, str]:
    """The whole environment for a program that is to work in the sandbox: this process's, and ours over it."""
    _link_tools(instance, tools)
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    return {**kept, **variables(instance)}


def shell_lines(instance: Instance, *, restore: bool = False) -> Sequence[str]:
    """Commands for a POSIX shell that set up the sandbox's environment, or that bring back today's."""
    ours = variables(instance)
    wanted = (
        {name: os.environ.get(name) for name in (*ours, *_FOREIGN)} if restore else {**dict.fromkeys(_FOREIGN), **ours}
    )
    return [
        f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}" for name, value in wanted.items()
    ]


# Parts


def alone(instance: Instance, report: Callable[[str], None]) -> contextlib.AbstractContextManager[None]:
    """One `up` or `down` of an instance at a time: a second one says whom it waits for.

    Whoever holds it may take it again, so that `up` and what follows it can be held together.
    """
    told = "sandbox {}: process {} is at work on it; waiting for it to finish"
    return exclusive(instance.state / "lock", lambda holder: report(told.format(instance.name, holder)))


def _up_aws(instance: Instance, report: Callable[[str], None]) -> None:
    started = time.monotonic()
    new = processes.find(instance, "aws-api") is None
    if new:
        require_free(instance.aws_address, _AWS_PORT, "the AWS API")
    processes.start(instance, "aws-api", _python("sandbox.aws"), environment=_server_environment(instance))
    processes.wait_until_ready(instance, "aws-api", lambda: _healthy(f"{instance.aws_endpoint}/sandbox/health"))
    if not new:  # a new one has done it
        _recover(instance)
    account.furnish_aws(instance)
    report(_done("AWS API", instance.aws_endpoint, new=new, since=started))


def _recover(instance: Instance) -> None:
    """Let the AWS API start the databases and caches that have died; it answers when they take connections."""
    try:
        answer = urllib3.request("POST", f"{instance.aws_endpoint}/sandbox/recover", retries=False, timeout=300)
    except urllib3.exceptions.HTTPError as error:
        log = processes.log_path(instance, "aws-api")
        raise SandboxError(f"the AWS API does not say whether its servers run: {error} (log: {log})") from error
    if answer.status != 200:
        raise SandboxError(f"the AWS API cannot start its servers: {answer.data.decode().strip()}")


def _up_kubernetes(instance: Instance, tools: Mapping[str, Path], report: Callable[[str], None]) -> None:
    started = time.monotonic()
    new = processes.find(instance, "kube-apiserver") is None
    control_plane.start(instance, tools)
    account.furnish_kubernetes(instance)
    start_node(instance)
    report(_done("Kubernetes", instance.kubernetes_endpoint, new=new, since=started))


def _done(what: str, endpoint: str, *, new: bool, since: float) -> str:
    state = f"started in {time.monotonic() - since:.1f} s" if new else "was up"
    return f"{what} {state}: {endpoint}"


def _python(module: str) -> Sequence[str]:
    return [sys.executable, "-P", "-m", module]


def _server_environment(instance: Instance) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), NAME_VARIABLE: instance.name}


def _healthy(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def _link_tools(instance: Instance, tools: Mapping[str, Path]) -> None:
    """Point <state>/bin at the tools in use; links, so that the CLI still finds what lies beside it.

    redis-cli is a script instead: nothing in its environment tells it of the instance's CA. A provider on PATH would be
    taken with a warning: it goes where plugins are.
    """
    instance.binaries.mkdir(exist_ok=True)
    linked = {name: path for name, path in tools.items() if name != KUBERNETES_PROVIDER}
    for name, path in {**linked, "aws": Path(sys.prefix) / "bin" / "aws"}.items():
        link, temporary = instance.binaries / name, instance.binaries / f".{name}.{os.getpid()}"
        if name == "redis-cli":
            _write_script(link, [str(path), "--cacert", str(instance.ca_certificate)])
        else:
            temporary.symlink_to(path)
            temporary.replace(link)


def _install_providers(instance: Instance, tools: Mapping[str, Path]) -> None:
    """Put a launcher of each provider where the engine looks for the version that the program's SDK asks for."""
    launchers = {name: ["env", f"PYTHONPATH={CHECKOUT}", *_python(f"sandbox.providers.{name}")] for name in STAND_INS}
    for name, command in {**launchers, "kubernetes": [str(tools[KUBERNETES_PROVIDER])]}.items():
        version = importlib.metadata.version(f"pulumi-{name}")
        directory = instance.state / "pulumi" / "plugins" / f"resource-{name}-v{version}"
        directory.mkdir(parents=True, exist_ok=True)
        _write_script(directory / f"pulumi-resource-{name}", command)


def _write_script(path: Path, command: Sequence[str]) -> None:
    """Write it whole: an engine that updates a stack meanwhile may be starting it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    temporary.chmod(0o755)
    temporary.replace(path)
