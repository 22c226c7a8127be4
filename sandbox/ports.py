"""Whether an address and port can be listened on, and who holds it if not."""

from __future__ import annotations

import errno
import socket

import psutil

from sandbox.errors import SandboxError
from sandbox.processes import wait

# Seconds for which a process that was killed may still hold its socket.
_PATIENCE = 2.0
_ANY = ("0.0.0.0", "::")  # noqa: S104 — what listens there is in the way as well


def require_free(address: str, port: int, purpose: str) -> None:
    """Raise SandboxError naming address, port and, where it can be told, the process that listens there."""

    def free() -> bool:
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SandboxError(f"cannot listen on {address}:{port} for {purpose}: {error.strerror}") from error
            return False
        return True

    if not wait(free, _PATIENCE):
        raise SandboxError(
            f"{address}:{port} is needed for {purpose}, but {_holder(address, port)} listens there; "
            "end it, then try again"
        )


def _holder(address: str, port: int) -> str:
    wanted = {(each, port) for each in (address, *_ANY)}
    for found in psutil.net_connections("tcp"):
        if found.status == psutil.CONN_LISTEN and tuple(found.laddr) in wanted:
            return f"{psutil.Process(found.pid).name()} (process {found.pid})" if found.pid else "another process"
    return "another process"
