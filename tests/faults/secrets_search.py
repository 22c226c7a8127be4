"""Looking for secrets where they must not be: in files, in what was printed, in argv and environment of processes."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import psutil

# Below a sandbox's state, what belongs to the servers themselves: data of PostgreSQL, Redis and etcd.
SERVERS_OWN = ("databases", "database-snapshots", "caches", "cache-snapshots", "etcd")
_LOOKS = 40  # at each process, over its first second and more
# Made anew for every connection, and therefore known by its shape.
_EKS_TOKEN = re.compile(rb"k8s-aws-v1\.[\w-]{100}")


def forms(secret: str) -> Collection[bytes]:
    """A secret as it may be written: plain, percent-encoded, in base64 of anything that has it in it."""
    found = {secret.encode(), urllib.parse.quote(secret, safe="").encode()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            # The characters that it shares with what stands before and after are left out.
            text = encode(b"\0" * before + secret.encode())
            found.add(text[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6])
    return found


class Sought:
    """The true values, by a name that may be shown; EKS tokens besides."""

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        self._named = {form: name for name, secret in secrets for form in forms(secret)}
        assert self._named, "there is nothing to look for"
        assert all(len(form) >= 12 for form in self._named), "too short to be told from chance"

    def __call__(self, content: bytes) -> set[str]:
        """Names of the secrets found."""
        found = {name for form, name in self._named.items() if form in content}
        return found | ({"an EKS token"} if _EKS_TOKEN.search(content) else set())

    def in_files(self, root: Path, wanted: Callable[[str], bool] = lambda _: True) -> Iterator[tuple[str, Path]]:
        """Files below `root` that hold one; of the directories in it, the `wanted` ones."""
        for directory, inner, files in os.walk(root):
            if Path(directory) == root:
                inner[:] = filter(wanted, inner)
            for path in (Path(directory, file) for file in files):
                with contextlib.suppress(OSError):  # it may be gone by now
                    if path.is_file() and not path.is_symlink():
                        yield from ((name, path) for name in self(path.read_bytes()))


class Watch(threading.Thread):
    """Reads argv and environment of every process that starts, several times: they change when it runs a program.

    The environment of two kinds is left out, which are told by it what they have to know: containers, by their pod's
    own words, and the redis-cli of the AWS API.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: dict[tuple[int, bytes], bytes] = {}
        self._looks: Counter[int] = Counter()
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.wait(0.03):
            self.look()

    def look(self) -> None:
        running = set(psutil.pids())
        for pid in self._looks.keys() - running:
            del self._looks[pid]
        for pid in running:
            self._looks[pid] += 1
            if self._looks[pid] <= _LOOKS:
                with contextlib.suppress(OSError):
                    arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
                    if (pid, arguments) not in self.seen:
                        environ = Path(f"/proc/{pid}/environ").read_bytes()
                        client = arguments.split(b"\0")[0].endswith(b"/redis-cli")
                        told = client or b"KUBERNETES_SERVICE_HOST=" in environ
                        self.seen[pid, arguments] = b"" if told else environ

    def end(self) -> None:
        self._ending.set()
        self.join()
