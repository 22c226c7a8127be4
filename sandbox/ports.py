"""Whether an address and port can be listened on, and who holds it if not."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
import time
from pathlib import Path

from sandbox.errors import SandboxError

# Seconds for which a process that was killed may still hold its socket.
_PATIENCE = 2.0


def require_free(address: str, port: int, purpose: str) -> None:
    """Raise SandboxError naming address, port and, where it can be told, the process that listens there."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SandboxError(f"cannot listen on {address}:{port} for {purpose}: {error.strerror}") from error
            if time.monotonic() > deadline:
                holder = _holder(address, port) or "another process"
                raise SandboxError(
                    f"{address}:{port} is needed for {purpose}, but {holder} listens there; end it, then try again"
                ) from error
        time.sleep(0.05)


def _holder(address: str, port: int) -> str | None:
    # The kernel prints addresses as hexadecimal words in host byte order; all zeros is every address.
    wanted = {f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}", "0" * 8, "0" * 32}
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                host, _, number = fields[1].partition(":")
                if fields[3] == "0A" and host in wanted and int(number, 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        # Other users' descriptors cannot be read, and processes come and go.
        with contextlib.suppress(OSError):
            if any(str(descriptor.readlink()) in sockets for descriptor in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return None
