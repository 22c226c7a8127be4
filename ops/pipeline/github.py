"""GitHub's REST API, as the workflow's token may use it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import urllib3

from ops.errors import OpsError

BOT = "github-actions[bot]"
_PAGE = 100  # the most that GitHub gives at once
# A request that may have been carried out is sent again only where that changes nothing.
_RETRIES = urllib3.Retry(
    total=4,
    backoff_factor=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=("GET", "PATCH"),
    raise_on_status=False,
)


class GitHub:
    """One repository. Every method raises OpsError with GitHub's own words; the token is in none of them."""

    def __init__(self, repository: str, token: str, api: str = "https://api.github.com") -> None:
        self.repository = repository
        self._root = f"{api}/repos/{repository}"
        self._pool = urllib3.PoolManager(
            retries=_RETRIES,
            timeout=30,
            headers={"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"},
        )

    @classmethod
    def of_this_run(cls) -> GitHub:
        """From the variables that GitHub sets for a step, and GITHUB_TOKEN, which the workflow passes on."""
        needed = ("GITHUB_REPOSITORY", "GITHUB_TOKEN")
        if missing := [name for name in needed if not os.environ.get(name)]:
            raise OpsError(f"{' and '.join(missing)} not set: this is for a workflow's step, with GITHUB_TOKEN in env")
        repository, token = (os.environ[name] for name in needed)
        return cls(repository, token, os.environ.get("GITHUB_API_URL", "https://api.github.com"))

    def get(self, path: str, **query: str) -> Any:
        return self._send("GET", path, query=query)

    def every(self, path: str, **query: str) -> Iterator[Any]:
        """All items of a list, page by page."""
        page = 1
        while True:
            items = self.get(path, **query, per_page=str(_PAGE), page=str(page))
            yield from items
            if len(items) < _PAGE:
                return
            page += 1

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._send("POST", path, body=body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._send("PATCH", path, body=body)

    def _send(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            if body is None:
                answer = self._pool.request(method, self._root + path, fields=query)
            else:
                answer = self._pool.request(method, self._root + path, json=body)
        except urllib3.exceptions.HTTPError as error:
            raise OpsError(f"GitHub was not reached for {method} {path}: {type(error).__name__}") from error
        if answer.status >= 400:
            raise OpsError(f"GitHub refused {method} {path} ({answer.status}): {_reason(answer)}")
        return answer.json() if answer.data else None


def _reason(answer: urllib3.BaseHTTPResponse) -> str:
    try:
        said = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = "without a message"
    if answer.status in (401, 403, 404):
        said += "; does the job have the permission? (`permissions:` of the workflow)"
    return said


def run_url() -> str:
    """The page of this workflow run; empty outside one."""
    server, repository, run = (
        os.environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    )
    return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""
