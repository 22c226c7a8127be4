"""The Kubernetes API in plain JSON: what a kubelet needs of it, at a third of the generated client's size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import urllib3

from sandbox import control_plane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.instance import Instance

Object = dict[str, Any]

_WATCH_SECONDS = 300


class UnreachableError(Exception):
    """The API server does not answer, for now."""


class RefusedError(Exception):
    """The API server answered with an error; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    def __init__(self, instance: Instance) -> None:
        certificate, key = control_plane.client_certificate(instance, "process-node")
        self._endpoint = instance.kubernetes_endpoint
        self._pool = urllib3.PoolManager(
            ca_certs=str(instance.ca_certificate), cert_file=str(certificate), key_file=str(key), retries=False
        )

    def get(self, path: str) -> Object:
        return self.request("GET", path)

    def request(self, method: str, path: str, body: Object | None = None, *, kind: str = "application/json") -> Object:
        """Send one request and return the object that answers it."""
        try:
            response = self._pool.request(
                method,
                self._endpoint + path,
                body=None if body is None else json.dumps(body),
                headers={"Content-Type": kind},
                timeout=10,
            )
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(str(error)) from error
        answer: Object = _parse(response.data)
        if response.status >= 400:
            raise RefusedError(response.status, answer.get("message", f"HTTP {response.status}"))
        return answer

    def patch(self, path: str, body: Object) -> Object:
        """Merge `body` into an object the way its type says (strategic merge)."""
        return self.request("PATCH", path, body, kind="application/strategic-merge-patch+json")

    def watch(self, path: str, version: str) -> Iterator[Object]:
        """Every event after `version`, until the server ends the watch, which it does every few minutes."""
        query = f"?watch=1&allowWatchBookmarks=true&timeoutSeconds={_WATCH_SECONDS}&resourceVersion={version}"
        timeout = urllib3.Timeout(connect=10, read=_WATCH_SECONDS + 30)
        try:
            response = self._pool.request("GET", self._endpoint + path + query, preload_content=False, timeout=timeout)
            pending = b""
            for chunk in response.stream(1 << 16):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    event = _parse(line)
                    if event.get("type") == "ERROR" or event.get("kind") == "Status":
                        failure = event.get("object", event)
                        raise RefusedError(failure.get("code", 500), failure.get("message", "the watch failed"))
                    yield event
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(str(error)) from error


def _parse(text: bytes) -> Object:
    try:
        parsed: Object = json.loads(text)
    except ValueError as error:  # half an answer, from a server that is going down
        raise UnreachableError(f"not JSON: {text[:100]!r}") from error
    return parsed
