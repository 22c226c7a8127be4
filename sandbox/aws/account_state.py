"""What the AWS account holds, kept on disk: it survives a restart and a SIGKILL.

RDS and ElastiCache are tables of resources in the API's own shape, one JSON file per service. A
moto service is its backend, pickled. Each file is written whole after the request that changed it,
before the answer leaves. Passwords and tokens are not in here: the servers keep them, hashed.
"""

from __future__ import annotations

import json
import pickle
import threading
from collections import defaultdict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from moto import backends

from sandbox.errors import SandboxError
from sandbox.instance import ACCOUNT_ID, REGION, Instance, write_privately

# Services whose every operation is the sandbox's own.
OWN_SERVICES = ("rds", "elasticache")
# Per service: removes the servers and files that no row stands for, once a change is on disk.
SWEEPS: dict[str, Callable[[AccountState], None]] = {}
# Of the rows in the tables; rows of another shape cannot be read.
FORMAT = 2
# The name moto has for the region of services like IAM.
GLOBAL = "aws"
# Addresses .10 to .250 of the instance's /24 are handed to databases and caches.
ADDRESSES = range(10, 251)


class AccountState:
    """The one account of a sandbox. `locks` serialise the requests of a service."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.directory = instance.state / "aws"
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.locks: dict[str, threading.RLock] = defaultdict(threading.RLock)
        self._addresses: dict[str, str] = self._read("addresses")
        self.tables: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
        self._check_format()
        for service in OWN_SERVICES:
            self.restore(service)
        for path in self.directory.glob("*.pickle"):
            self._restore_moto(path)

    def _check_format(self) -> None:
        path = self.directory / "format.json"
        found = self._read("format") if path.exists() else 1
        if found != FORMAT and any((self.directory / f"{service}.json").exists() for service in OWN_SERVICES):
            raise SandboxError(
                f"{self.directory} was written by another version of the sandbox; "
                "run `python -m sandbox reset`, then `make up`"
            )
        write_privately(path, json.dumps(FORMAT))

    def _read(self, name: str) -> Any:
        path = self.directory / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def restore(self, service: str) -> None:
        """Go back to what was last saved of a service's tables: a request that failed has changed nothing."""
        if service in OWN_SERVICES:
            self.tables[service] = self._read(service)

    def _restore_moto(self, path: Path) -> None:
        try:
            regions = pickle.loads(path.read_bytes())  # noqa: S301 — our own file, nobody else can write it
        except Exception as error:
            message = f"{path} cannot be read by this version of moto; run `python -m sandbox reset`, then `make up`"
            raise SandboxError(message) from error
        for region, backend in regions.items():
            backends.get_backend(path.stem)[ACCOUNT_ID][region] = backend  # type: ignore[call-overload]

    def save(self, service: str) -> None:
        """Write one service's state; the caller holds its lock."""
        if service in OWN_SERVICES:
            write_privately(self.directory / f"{service}.json", json.dumps(self.tables[service], default=str))
            SWEEPS[service](self)
        else:
            every = backends.get_backend(service)[ACCOUNT_ID]  # type: ignore[call-overload]
            regions = {region: every[region] for region in (REGION, GLOBAL) if region in every.keys()}  # noqa: SIM118
            path = self.directory / f"{service}.pickle"
            temporary = path.with_suffix(".new")
            temporary.touch(mode=0o600)
            temporary.write_bytes(pickle.dumps(regions, pickle.HIGHEST_PROTOCOL))
            temporary.replace(path)

    def moto(self, service: str, region: str = REGION) -> Any:
        """The backend of one of moto's services (`aws` is the region of the global ones)."""
        return backends.get_backend(service)[ACCOUNT_ID][region]  # type: ignore[call-overload]

    def address(self, owner: str) -> str:
        """The loopback address of `owner`, the lowest free one the first time it asks."""
        with self.locks["addresses"]:
            if owner not in self._addresses:
                every = (self.instance.address(host) for host in ADDRESSES)
                free = next((address for address in every if address not in self._addresses.values()), None)
                if free is None:
                    raise SandboxError(f"all {len(ADDRESSES)} addresses of this sandbox are taken; delete a database")
                self._addresses[owner] = free
                self._save_addresses()
            return self._addresses[owner]

    def release_others(self, service: str, used: Collection[str]) -> None:
        """Take back the addresses of a service's owners that are none of `used`."""
        with self.locks["addresses"]:
            for owner, address in list(self._addresses.items()):
                if owner.startswith(f"{service}/") and address not in used:
                    del self._addresses[owner]
            self._save_addresses()

    def _save_addresses(self) -> None:
        write_privately(self.directory / "addresses.json", json.dumps(self._addresses))
