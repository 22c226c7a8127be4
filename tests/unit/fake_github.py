"""GitHub's REST API on loopback, as much of it as the workflows' commands use; it keeps what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPOSITORY, TOKEN = "meetinity/data", "ghs_notforlogs0123456789"
ROOT = f"/repos/{REPOSITORY}"


class FakeGitHub:
    def __init__(self) -> None:
        self.issues: list[dict[str, Any]] = []
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.statuses: dict[str, list[dict[str, Any]]] = {}
        self.pulls: dict[str, list[dict[str, Any]]] = {}
        self.head = "1" * 40  # of every pull request
        self.writer = "github-actions[bot]"
        self.fail: list[int] = []  # the next requests end with these statuses
        self.requests: list[str] = []
        self.url = ""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:  # noqa: C901 - a table of routes
        self.requests.append(f"{method} {path}")
        if self.fail:
            return self.fail.pop(0), {"message": "scripted"}
        match [method, *path.removeprefix(f"{ROOT}/").split("/")]:
            case ["GET", "issues"]:
                return 200, self._page([each for each in self.issues if each["state"] == query["state"]], query)
            case ["POST", "issues"]:
                self.issues.append({**body, "number": len(self.issues) + 1, "state": "open"})
                return 201, self.issues[-1]
            case ["PATCH", "issues", number]:
                self.issues[int(number) - 1] |= body
                return 200, {}
            case ["GET", "issues", number, "comments"]:
                return 200, self._page(self.comments.get(int(number), []), query)
            case ["POST", "issues", number, "comments"]:
                each = {**body, "id": self._next(), "user": {"login": self.writer}}
                self.comments.setdefault(int(number), []).append(each)
                return 201, each
            case ["PATCH", "issues", "comments", number]:
                next(each for some in self.comments.values() for each in some if each["id"] == int(number)).update(body)
                return 200, {}
            case ["POST", "statuses", commit]:
                made = {**body, "creator": {"login": self.writer}}
                self.statuses.setdefault(commit, []).insert(0, made)
                return 201, made
            case ["GET", "commits", commit, "statuses"]:
                return 200, self._page(self.statuses.get(commit, []), query)
            case ["GET", "pulls", number]:
                return 200, {"number": int(number), "head": {"sha": self.head}}
            case ["GET", "commits", commit, "pulls"]:
                return 200, self.pulls.get(commit, [])
        return 404, {"message": "Not Found"}

    def _next(self) -> int:
        return 1 + max((each["id"] for some in self.comments.values() for each in some), default=0)

    @staticmethod
    def _page(items: list[Any], query: dict[str, str]) -> list[Any]:
        size, page = int(query["per_page"]), int(query["page"])
        return items[(page - 1) * size : page * size]


@contextmanager
def running() -> Iterator[FakeGitHub]:
    fake = FakeGitHub()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            url = urlsplit(self.path)
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                status, answer = 401, {"message": "Bad credentials"}
            else:
                query = {name: each[0] for name, each in parse_qs(url.query).items()}
                status, answer = fake.answer(self.command, url.path, query, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _serve  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
