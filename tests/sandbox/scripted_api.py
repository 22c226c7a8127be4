"""An AWS API that answers by script and remembers what it was asked, on a port of its own."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.sax.saxutils import escape

ARN = "arn:aws:rds:eu-west-1:1:cluster:c"
READING = ("Describe", "List", "Get")


class ScriptedApi:
    """`says[operation]` is what to answer, an error as `Code 400`, or a list of answers, the last one for good."""

    def __init__(self) -> None:
        self.port = 0
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.says: dict[str, Any] = {}

    def answer(self, target: str, body: str) -> tuple[int, str]:
        """`target` names the operation of a JSON protocol; without it, it is the query protocol and XML."""
        form = json.loads(body) if target else dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
        name = target.rpartition(".")[2] or form.pop("Action")
        form.pop("Version", None)
        self.calls.append((name, form))
        said = self.says.get(name, {})
        if isinstance(said, list):
            said = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(said, str):
            code, status = said.split()
            error = f"<R><Error><Code>{code}</Code><Message>as scripted</Message></Error></R>"
            return int(status), json.dumps({"__type": code, "message": "as scripted"}) if target else error
        answer = f"<{name}Response><{name}Result>{_xml(said)}</{name}Result></{name}Response>"
        return 200, json.dumps(said) if target else answer

    def sent(self, operation: str) -> list[dict[str, Any]]:
        return [form for name, form in self.calls if name == operation]

    def writes(self) -> list[str]:
        return [name for name, _ in self.calls if not name.startswith(READING)]


def _xml(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"<{name}>{_xml(item)}</{name}>" for name, item in value.items())
    if isinstance(value, list):
        return "".join(f"<member>{_xml(item)}</member>" for item in value)
    return escape(json.dumps(value) if isinstance(value, bool) else str(value))


def cluster(**members: Any) -> dict[str, Any]:
    """An answer of DescribeDBClusters."""
    stands = {"DBClusterIdentifier": "c", "DBClusterArn": ARN, "Status": "available", "Engine": "aurora-postgresql"}
    return {"DBClusters": [{**stands, "EngineVersion": "16.8", **members}]}


@contextlib.contextmanager
def scripted_api() -> Iterator[ScriptedApi]:
    api = ScriptedApi()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, text = api.answer(self.headers.get("X-Amz-Target", ""), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        api.port = listening.server_port
        yield api
        listening.shutdown()
