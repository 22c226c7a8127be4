"""Looking for secrets where they must not be: in files, in what was printed, in argv and environment of processes."""

from __future__ import annotations

import base64
import contextlib
import re
import threading
import urllib.parse
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import psutil

# Below a sandbox's state, what belongs to the servers themselves: data of PostgreSQL, Redis and etcd.
SERVERS_OWN = ("databases", "database-snapshots", "caches", "cache-snapshots", "etcd")
# A container is given what its pod says; it is the one kind of process that has to know.
_CONTAINER = "sandbox/node/container.py"
_LOOKS = 40  # at each process, over its first second and more


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
    """The true values, by a name that may be shown."""

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        named = {form: name for name, secret in secrets for form in forms(secret)}
        assert named, "there is nothing to look for"
        assert all(len(form) >= 12 for form in named), "too short to be told from chance"
        self._named = named
        self._pattern = re.compile(b"|".join(re.escape(form) for form in named))

    def __call__(self, content: bytes) -> set[str]:
        """Names of the secrets found."""
        return {self._named[each] for each in self._pattern.findall(content)}

    def in_files(self, root: Path, without: Collection[str] = ()) -> Iterator[tuple[str, Path]]:
        for path in root.rglob("*"):
            if path.relative_to(root).parts[0] not in without and path.is_file() and not path.is_symlink():
                with contextlib.suppress(FileNotFoundError):
                    yield from ((name, path) for name in self(path.read_bytes()))


class Watch(threading.Thread):
    """Reads argv and environment of every process that starts, several times: they change when it runs a program."""

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
                with contextlib.suppress(OSError, psutil.Error):
                    arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
                    if (pid, arguments) not in self.seen and not self._has_to_know(pid):
                        self.seen[pid, arguments] = Path(f"/proc/{pid}/environ").read_bytes()

    def end(self) -> None:
        self._ending.set()
        self.join()

    @staticmethod
    def _has_to_know(pid: int) -> bool:
        parents = psutil.Process(pid).parents()
        return any(_CONTAINER in " ".join(each.cmdline()) for each in parents)
