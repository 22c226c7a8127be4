"""A Kubernetes API server as a kubeconfig describes it. Plain REST: the official client takes 1.5 s to load."""

from __future__ import annotations

import base64
import datetime
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
import yaml

Object = dict[str, Any]


class UnreachableError(Exception):
    """No answer from the API server, or no way to it."""


class StatusError(Exception):
    """The API server's own refusal: `code` is its HTTP status, `reason` its one word for it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


def load(kubeconfig: Any = None) -> Object:
    """A kubeconfig given as text, as the path of a file, or not at all (then KUBECONFIG, or the user's own)."""
    text = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    loaded = yaml.safe_load(text)
    if not isinstance(loaded, dict):
        try:
            loaded = yaml.safe_load(Path(text).expanduser().read_text())
        except OSError as error:
            raise UnreachableError(f"unable to load the kubeconfig: {error.strerror}: {text}") from error
    return loaded if isinstance(loaded, dict) else {}


def active(kubeconfig: Object, context: str = "", cluster: str = "") -> tuple[Object, Object]:
    """The cluster and the user that a kubeconfig points to, or empty ones."""

    def named(kind: str, name: str) -> Object:
        found: list[Object] = [each for each in kubeconfig.get(f"{kind}s") or [] if each.get("name") == name]
        return dict(found[0].get(kind) or {}) if found else {}

    chosen = named("context", context or kubeconfig.get("current-context", ""))
    return named("cluster", cluster or chosen.get("cluster", "")), named("user", chosen.get("user", ""))


class KubeClient:
    """Requests to one API server; an exec plugin runs once, when first needed, and again when its token has expired.

    Every method raises UnreachableError when nobody answers, StatusError when the API server refuses.
    """

    def __init__(self, cluster: Object, user: Object) -> None:
        self._server = str(cluster.get("server", "")).rstrip("/")
        if not self._server:
            raise UnreachableError("unable to load the kubeconfig: no server in its current context")
        self._cluster, self._user = cluster, user
        self._pool: urllib3.PoolManager | None = None
        self._token, self._expires = "", ""
        self._resources: dict[str, dict[str, Object]] = {}
        self._lock = threading.Lock()

    def probe(self) -> None:
        """Raise unless somebody listens."""
        parts = urlsplit(self._server)
        try:
            socket.create_connection((parts.hostname or "", parts.port or 443), timeout=3).close()
        except OSError as error:
            raise self._unreachable("/openapi/v2?timeout=32s", error) from error

    def path(self, api_version: str, kind: str, namespace: str, name: str = "") -> str:
        """The URL path of an object or, without a name, of its collection."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        if kind not in self._resources.get(api_version, {}):
            found = self.request("GET", root)["resources"]
            self._resources[api_version] = {each["kind"]: each for each in found if "/" not in each["name"]}
        resource = self._resources[api_version].get(kind)
        if resource is None:
            raise StatusError(404, "NoMatch", f"no matches for kind {kind!r} in version {api_version!r}")
        within = f"/namespaces/{namespace or 'default'}" if resource["namespaced"] else ""
        return f"{root}{within}/{resource['name']}" + (f"/{name}" if name else "")

    def get(self, path: str) -> Object:
        return self.request("GET", path)

    def patch(self, path: str, body: Object) -> Object:
        """Merge `body` into an object the way its type says (strategic merge)."""
        return self.request("PATCH", path, body, "application/strategic-merge-patch+json")

    def request(
        self, method: str, path: str, body: Any = None, content: str = "application/json", **query: str
    ) -> Object:
        """Send one request and return the object that answers it."""
        url = path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body)
        try:
            pool, authorization = self._connection()
            headers = {**authorization, "Content-Type": content, "Accept": "application/json"}
            answer = pool.request(method, self._server + url, body=data, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(url, error) from error
        try:
            found: Object = json.loads(answer.data)
        except ValueError as error:
            if answer.status < 400:  # half an answer, from a server that is going down
                raise self._unreachable(url, error) from error
            found = {"message": answer.data.decode(errors="replace")[:300]}
        if answer.status >= 400:
            reason = found.get("reason", "")
            message = found.get("message") or reason or f"HTTP {answer.status}"
            raise StatusError(answer.status, reason, message)
        return found

    def _unreachable(self, url: str, error: Exception) -> UnreachableError:
        said = str(getattr(error, "reason", None) or error)
        return UnreachableError(f'Get "{self._server}{url}": {"connection refused" if "refused" in said else said}')

    def _connection(self) -> tuple[urllib3.PoolManager, dict[str, str]]:
        with self._lock:
            if self._pool is None:
                timeout = urllib3.Timeout(connect=5, read=60)
                self._pool = urllib3.PoolManager(
                    maxsize=64, retries=False, timeout=timeout, ssl_context=self._ssl_context()
                )
            now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            if "exec" in self._user and (not self._token or (self._expires and self._expires <= now)):
                self._token, self._expires = _run_plugin(self._user["exec"])
        token = self._token or self._user.get("token") or _content(self._user, "tokenFile")
        return self._pool, {"Authorization": f"Bearer {token}"} if token else {}

    def _ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=_content(self._cluster, "certificate-authority") or None)
        if certificate := _content(self._user, "client-certificate"):
            # OpenSSL reads them from a file only; this one is ours alone, and gone at once.
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
                file.write(f"{certificate}\n{_content(self._user, 'client-key')}\n")
                file.flush()
                context.load_cert_chain(file.name)
        return context


def _run_plugin(plugin: Object) -> tuple[str, str]:
    """The token of an exec plugin (`aws eks get-token`) and when it expires."""
    version = plugin.get("apiVersion", "client.authentication.k8s.io/v1")
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    given = {each["name"]: each["value"] for each in plugin.get("env") or []}
    environment = {**os.environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(info)}
    command = [plugin["command"], *(plugin.get("args") or [])]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        status = json.loads(done.stdout)["status"]
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or ["it wrote nothing"]
        reason = f"getting credentials: {command[0]} failed with exit code {error.returncode}: {said[-1]}"
        raise UnreachableError(reason) from error
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
        raise UnreachableError(f"getting credentials: {command[0]}: {type(error).__name__}") from error
    return status["token"], status.get("expirationTimestamp") or ""


def _content(entry: Object, name: str) -> str:
    """What `<name>-data` holds in base64, or the file `<name>`."""
    if data := entry.get(f"{name}-data"):
        return base64.b64decode(data).decode()
    return Path(entry[name]).read_text() if entry.get(name) else ""
