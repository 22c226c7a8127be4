"""The kubelet's HTTPS endpoint, as far as `kubectl logs` needs it; only the API server may ask."""

from __future__ import annotations

import logging
import ssl
import sys
import threading
import time
from collections import deque
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

_KNOWN = {"follow", "previous", "tailLines", "limitBytes"}
_CHUNK = 1 << 16

_log = logging.getLogger(__name__)


def serve(instance: Instance, find: Callable[[str, str, str], Sequence[Path]]) -> None:
    """Listen in the background. `find` gives the runs of (namespace, pod, container)."""
    address = instance.node_address
    require_free(address, PORT, "the process node")
    certificate, key = certificates.issue(instance, "kubelet", addresses=[address], directory=instance.state / "pki")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(instance.ca_certificate))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    server = _Server((address, PORT), type("Handler", (_Handler,), {"find": staticmethod(find)}))
    # The handshake belongs into the connection's thread: a silent client must not hold up the others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, name="kubelet", daemon=True).start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Log a line instead of a traceback: mostly a client that left, or may not ask."""
        _log.info("kubelet: %s", sys.exc_info()[1])


class _Handler(BaseHTTPRequestHandler):
    find: Callable[[str, str, str], Sequence[Path]]
    timeout = 60

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        asks = (("commonName", "kubelet-client"),) in self.connection.getpeercert()["subject"]
        match url.path.strip("/").split("/"):
            case ["containerLogs", namespace, pod, container] if asks:
                runs = self.find(namespace, pod, container)[: -1 if query.get("previous") == "true" else None]
                if unknown := sorted(set(query) - _KNOWN):
                    self._answer(400, f"the process node keeps logs without times: no {', '.join(unknown)}")
                elif not runs:
                    self._answer(400, f'container "{container}" in pod "{pod}" has no such run')
                else:
                    self._answer(200)
                    self._copy(runs[-1], query)
            case _:
                self._answer(404, "the process node serves logs, and nothing else")

    def do_POST(self) -> None:  # exec, attach and port-forward
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Stay silent: the API server has its own audit."""

    def _answer(self, status: int, message: str = "") -> None:
        """Begin an answer that ends with the connection, as HTTP/1.0 has it."""
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(message.encode())

    def _copy(self, run: Path, query: dict[str, str]) -> None:
        left, follow = int(query.get("limitBytes", sys.maxsize)), query.get("follow") == "true"
        while not (run / "log").exists():
            if _ended(run):
                return
            time.sleep(0.05)
        with (run / "log").open("rb") as log:
            if "tailLines" in query:
                last = deque((log.tell() for _ in iter(log.readline, b"")), maxlen=int(query["tailLines"]) + 1)
                log.seek(last[0] if len(last) > int(query["tailLines"]) else 0)
            while left:
                # Asked before reading: what was written before the end is then read for certain.
                last_time = not follow or _ended(run)
                while left and (data := log.read(min(left, _CHUNK))):
                    self.wfile.write(data)
                    left -= len(data)
                if last_time:
                    return
                time.sleep(0.1)


def _ended(run: Path) -> bool:
    return (run / "status.json").exists() or not run.exists()
