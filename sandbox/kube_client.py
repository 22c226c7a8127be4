"""The sandbox's API server, for the sandbox's own programs. Plain REST: the official client takes 1.5 s to load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

Object = dict[str, Any]


class UnreachableError(Exception):
    """No answer from the API server."""


class StatusError(Exception):
    """The API server's own refusal: `code` is its HTTP status, `reason` its one word for it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


class KubeClient:
    """Requests by the holder of a client certificate.

    Every method raises UnreachableError when nobody answers, StatusError when the API server refuses.
    """

    def __init__(self, server: str, authority: Path, certificate: Path, key: Path) -> None:
        self._server = server
        self._pool = urllib3.PoolManager(
            maxsize=64,
            retries=False,
            timeout=urllib3.Timeout(connect=5, read=60),
            ca_certs=str(authority),
            cert_file=str(certificate),
            key_file=str(key),
        )

    def get(self, path: str) -> Object:
        return self.request("GET", path)

    def patch(self, path: str, body: Object) -> Object:
        """Merge `body` into an object the way its type says (strategic merge)."""
        return self.request("PATCH", path, body, "application/strategic-merge-patch+json")

    def request(
        self, method: str, path: str, body: Any = None, content: str = "application/json", **query: str
    ) -> Object:
        """Send one request and return the object that answers it."""
        url = self._server + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content, "Accept": "application/json"}
        try:
            answer = self._pool.request(method, url, body=data, headers=headers)
            found: Object = json.loads(answer.data)
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(f"{method} {url}: {error}") from error
        except ValueError as error:
            if answer.status < 400:  # half an answer, from a server that is going down
                raise UnreachableError(f"{method} {url}: {error}") from error
            found = {"message": answer.data.decode(errors="replace")[:300]}
        if answer.status >= 400:
            reason = found.get("reason", "")
            raise StatusError(answer.status, reason, found.get("message") or reason or f"HTTP {answer.status}")
        return found
