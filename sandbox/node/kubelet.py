"""The kubelet's HTTPS endpoint, as far as `kubectl logs` needs it; only the API server may ask."""

from __future__ import annotations

import logging
import ssl
import sys
import threading
import time
from collections import deque
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from sandbox import certificates
from sandbox.ports import require_free

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sandbox.instance import Instance

PORT = 10250


_log = logging.getLogger(__name__)
_KNOWN = {"follow", "previous", "tailLines", "limitBytes"}


def serve(instance: Instance, find: Callable[[str, str, str], Sequence[Path] | None]) -> None:
    """Listen in the background. `find` gives the runs of (namespace, pod, container)."""
    address = instance.node_address
    require_free(address, PORT, "the process node")
    certificate, key = certificates.issue(instance, "kubelet", addresses=[address], directory=instance.state / "pki")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(instance.ca_certificate))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    handler = type("Handler", (_Handler,), {"find": staticmethod(find)})
    server = _Server((address, PORT), handler)
    # The handshake belongs into the connection's thread: a silent client must not hold up the others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, name="kubelet", daemon=True).start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Log a line instead of a traceback: mostly a client that left, or may not ask."""
        _log.info("kubelet: %s", sys.exc_info()[1])


class _Handler(BaseHTTPRequestHandler):
    find: Callable[[str, str, str], Sequence[Path] | None]
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        match url.path.strip("/").split("/"):
            case ["containerLogs", namespace, pod, container] if self._from_api_server():
                self._logs(self.find(namespace, pod, container), query)
            case _:
                self._refuse(HTTPStatus.NOT_FOUND, "the process node serves logs, and nothing else")

    def do_POST(self) -> None:  # exec, attach and port-forward
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Stay silent: the API server has its own audit."""

    def _from_api_server(self) -> bool:
        subject = self.connection.getpeercert()["subject"]
        return (("commonName", "kubelet-client"),) in subject

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(message.encode())))
        self.end_headers()
        self.wfile.write(message.encode())

    def _logs(self, attempts: Sequence[Path] | None, query: dict[str, str]) -> None:
        if unknown := sorted(set(query) - _KNOWN):
            self._refuse(HTTPStatus.BAD_REQUEST, f"the process node keeps logs without times: no {', '.join(unknown)}")
            return
        wanted = -2 if query.get("previous") == "true" else -1
        if not attempts or len(attempts) < -wanted:
            self._refuse(HTTPStatus.BAD_REQUEST, "there is no such run of the container")
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Connection", "close")  # so that the end of the log is the end of the answer
        self.end_headers()
        self.close_connection = True
        self._copy(attempts[wanted], query)

    def _copy(self, attempt: Path, query: dict[str, str]) -> None:
        left = int(query.get("limitBytes", -1))
        ended = False
        while not (attempt / "log").exists() and not _ended(attempt):
            time.sleep(0.05)
        if not (attempt / "log").exists():
            return
        with (attempt / "log").open("rb") as log:
            if "tailLines" in query:
                position = sum(map(len, log)) - sum(map(len, _last(attempt / "log", int(query["tailLines"]))))
                log.seek(position)
            while True:
                # Asked before reading: what was written before the end is then read for certain.
                ended = query.get("follow") != "true" or _ended(attempt)
                while data := log.read(left if 0 <= left < 1 << 16 else 1 << 16):
                    self.wfile.write(data)
                    left -= len(data) if left > 0 else 0
                if ended or left == 0:
                    return
                self.wfile.flush()
                time.sleep(0.1)


def _ended(attempt: Path) -> bool:
    return (attempt / "status.json").exists() or not attempt.exists()


def _last(path: Path, lines: int) -> Sequence[bytes]:
    with path.open("rb") as file:
        return deque(file, maxlen=lines)
