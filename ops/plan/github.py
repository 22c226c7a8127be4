"""The one comment on a pull request: found again by its marker, and updated, whatever became of the plan.

API: docs.github.com/rest/issues/comments. A token needs `pull-requests: write` and nothing else.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.errors import OpsError
from ops.plan.comment import MARKER

_PER_PAGE = 100
_TIMEOUT_SECONDS = 30
_ATTEMPTS = 4
_PASSING = frozenset({429, 500, 502, 503, 504})
_NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')


@dataclass(frozen=True)
class PullRequest:
    """A pull request, by the API that knows it."""

    api: str
    """`https://api.github.com`, or GitHub Enterprise Server's; GITHUB_API_URL in a workflow."""
    repository: str
    """`owner/name`."""
    number: int
    token: str
    pause_seconds: float = 1.0
    """Before the second attempt, doubled before each further one."""

    def comment(self, text: str) -> str:
        """Put `text` into the marked comment, or into a new one, and return its address. Raises OpsError, one line."""
        for each in self._comments():
            if str(each.get("body", "")).startswith(MARKER):
                where = f"{self.api}/repos/{self.repository}/issues/comments/{each['id']}"
                return str(self._ask("PATCH", where, {"body": text})[0]["html_url"])
        return str(self._ask("POST", self._listed, {"body": text})[0]["html_url"])

    @property
    def _listed(self) -> str:
        return f"{self.api}/repos/{self.repository}/issues/{self.number}/comments"

    def _comments(self) -> Iterator[Mapping[str, Any]]:
        """All pages: on a busy pull request the comment is not on the first."""
        page = f"{self._listed}?per_page={_PER_PAGE}"
        while page:
            found, headers = self._ask("GET", page)
            yield from found
            following = _NEXT.search(headers.get("Link") or "")
            page = following[1] if following else ""
            if page and not page.startswith(f"{self.api}/"):
                raise OpsError(f"GitHub names a next page outside {self.api}: the token is not sent there")

    def _ask(self, method: str, url: str, body: Any = None) -> tuple[Any, Mapping[str, str]]:
        request = urllib.request.Request(  # noqa: S310 - https, or what GITHUB_API_URL says
            url,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self.token}",
                "X-GitHub-Api-Version": "2022-11-28",
                "Content-Type": "application/json",
            },
        )
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
                    return json.load(answer), dict(answer.headers)
            except urllib.error.HTTPError as error:
                if error.code not in _PASSING or attempt == _ATTEMPTS:
                    raise OpsError(self._refused(method, error)) from None
            except (urllib.error.URLError, TimeoutError, ValueError) as error:
                # A POST whose answer is lost may have been done: a second one would be a second comment.
                if attempt == _ATTEMPTS or method == "POST":
                    raise OpsError(f"GitHub at {self.api} did not answer: {getattr(error, 'reason', error)}") from None
            time.sleep(self.pause_seconds * 2 ** (attempt - 1))
        raise AssertionError

    def _refused(self, method: str, error: urllib.error.HTTPError) -> str:
        try:
            said = str(json.load(error).get("message", ""))
        except (ValueError, AttributeError, OSError):
            said = error.reason
        advice = {
            401: "; GITHUB_TOKEN is not valid",
            403: "; the token needs `pull-requests: write`, which a fork's pull request does not get",
            404: "; is there such a pull request, and may the token see it?",
        }.get(error.code, "")
        what = "write" if method != "GET" else "read"
        return (
            f"GitHub refused to {what} the comment of {self.repository}#{self.number}: {error.code} {said}{advice}"
        ).replace(self.token, "[secret]")
