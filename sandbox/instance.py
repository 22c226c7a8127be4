"""Where one sandbox lives: its state directory and its own /24 of the loopback range.

Linux answers on every address of 127.0.0.0/8 without configuration, so each instance owns a
whole 127.x.y.0/24 and every server listens on the port it has in production. Two checkouts, or
the `make up` and the `make test` sandbox of one checkout, therefore never collide.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError

CHECKOUT = Path(__file__).resolve().parent.parent
NAME_VARIABLE = "MEETINITY_SANDBOX"
REGION = "eu-west-1"
ACCOUNT_ID = "123456789012"


def state_home() -> Path:
    """PostgreSQL refuses root, and another user cannot enter root's home or a private checkout."""
    if os.geteuid() == 0:
        return Path("/var/lib/meetinity-data")
    return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "meetinity-data"


class NoSandboxError(SandboxError):
    """There is no sandbox of that name, and none was to be created."""


@dataclass(frozen=True)
class Instance:
    """One sandbox. `network` is the first three octets of its loopback addresses."""

    name: str
    state: Path
    network: str

    @classmethod
    def current(cls, *, create: bool = True) -> Instance:
        """The instance of this checkout that MEETINITY_SANDBOX names (`default` if unset); see `named`."""
        return cls.named(os.environ.get(NAME_VARIABLE, "default"), create=create)

    @classmethod
    def named(cls, name: str, *, create: bool = True) -> Instance:
        """The instance of that name, its state directory made if need be; NoSandboxError if that is not to be.

        Raises SandboxError for a name that is none: it becomes part of a path.
        """
        if not re.fullmatch("[a-z0-9][a-z0-9-]{0,30}", name):
            raise SandboxError(
                f"{NAME_VARIABLE}={name!r} names no sandbox: 1 to 31 of a-z, 0-9 and `-` are allowed, no `-` in front"
            )
        digest = hashlib.sha256(f"{CHECKOUT}\0{name}".encode())
        state = state_home() / f"{name}-{digest.hexdigest()[:8]}"
        # 48,640 networks, from 127.64 on: below, people have put things of their own.
        instance = cls(name, state, f"127.{digest.digest()[-1] % 190 + 64}.{digest.digest()[-2]}")
        if not state.exists():
            if not create:
                raise NoSandboxError(f"sandbox {name} does not exist: run `make up` to create it")
            instance.make()
        return instance

    def make(self) -> None:
        """Make the state directory; other users (PostgreSQL's) may pass through it, but not list it."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o711)

    def address(self, host: int) -> str:
        return f"{self.network}.{host}"

    # The fixed members of the /24; from .10 on, the AWS API hands addresses to databases and caches.
    @property
    def control_plane_address(self) -> str:
        return self.address(1)

    @property
    def aws_address(self) -> str:
        return self.address(2)

    @property
    def node_address(self) -> str:
        return self.address(3)

    @property
    def aws_endpoint(self) -> str:
        return f"http://{self.aws_address}:5000"

    @property
    def kubernetes_endpoint(self) -> str:
        return f"https://{self.control_plane_address}:6443"

    @property
    def ca_certificate(self) -> Path:
        return self.state / "pki" / "ca.crt"

    @property
    def ca_key(self) -> Path:
        return self.state / "pki" / "ca.key"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for kubectl and the sandbox itself; never for the program."""
        return self.state / "kubeconfig"

    @property
    def binaries(self) -> Path:
        """First on the PATH of the sandbox's shells: links to the tools in use."""
        return self.state / "bin"

    @property
    def images(self) -> Path:
        """What the process node can run: <repository>/<tag>/ directories."""
        return self.state / "images"


def write_privately(path: Path, text: str) -> None:
    """Write a file only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
