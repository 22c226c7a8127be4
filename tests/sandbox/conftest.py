"""Real sandboxes for the tests, each in an instance of its own, brought up once and removed at the end."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sandbox import control_plane, images, lifecycle, processes, toolchain
from sandbox.instance import Instance
from sandbox.kube_client import KubeClient
from sandbox.progress import Progress
from tests.sandbox.operator import Operator

T = TypeVar("T")


def eventually(look: Callable[[], T | None], *, seconds: float = 60, what: str = "it") -> T:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)
    return answer


@dataclass(frozen=True)
class Sandbox:
    """A running instance, and the environment of a shell in it."""

    instance: Instance
    tools: dict[str, Path]
    environment: dict[str, str]

    def run(self, *command: str, check: bool = True, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, env=self.environment, cwd=directory, capture_output=True, text=True, check=False, timeout=300
        )
        assert not check or done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
        return done

    def kubectl(self, *arguments: str) -> str:
        return self.run(str(self.tools["kubectl"]), f"--kubeconfig={self.instance.kubeconfig}", *arguments).stdout


def _remove(name: str) -> None:
    """Take down and delete; whatever still runs then is an error of its own."""
    instance = Instance.named(name)
    try:
        lifecycle.down(instance, lambda _: None)
    finally:
        left = processes.running(instance)
        for record in left.values():
            os.kill(record.pid, signal.SIGKILL)
        shutil.rmtree(instance.state, ignore_errors=True)
    assert not left, f"`down` left {sorted(left)} running"


@contextlib.contextmanager
def own(name: str) -> Iterator[Instance]:
    """Claim an instance: `name`, or `name-2` and so on while other test sessions of this checkout use those.

    What a session that was killed left in it is removed before, and everything of ours after. The claim is a socket
    without a file, which the kernel takes back from whoever ends.
    """
    for number in itertools.count(1):
        instance = Instance.named(name if number == 1 else f"{name}-{number}")
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                claim.bind(f"\0{instance.state}")
            except OSError:
                continue
            _remove(instance.name)
            try:
                yield Instance.named(instance.name)
            finally:
                _remove(instance.name)
            return


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """The instance `test` with everything in it, as `python -m sandbox up` makes it."""
    with own("test") as instance:
        tools = lifecycle.up(instance, Progress())
        yield Sandbox(instance, tools, lifecycle.environment(instance, tools))


class Cluster(Sandbox):
    """Control plane and process node alone, for tests that break them."""

    @property
    def api(self) -> KubeClient:
        return control_plane.client(self.instance, "test")

    def start_node(self) -> None:
        lifecycle.start_node(self.instance)

    def apply(self, manifest: dict[str, Any]) -> None:
        path = self.instance.state / "manifest.json"
        path.write_text(json.dumps(manifest))
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(path))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with own("test-cluster") as instance:
        tools = toolchain.ensure(Progress())
        control_plane.start(instance, tools)
        images.furnish(instance, tools)
        found = Cluster(instance, tools, lifecycle.environment(instance, tools))
        found.start_node()
        yield found


@pytest.fixture(scope="session")
def operator() -> Iterator[Operator]:
    """The instance `test-ops`, whose stores the operators' tests back up, break and restore."""
    with own("test-ops") as instance:
        tools = lifecycle.up(instance, Progress())
        yield Operator(instance, lifecycle.environment(instance, tools))


@pytest.fixture
def unused() -> Iterator[Instance]:
    """An instance that was never brought up."""
    with own("test-unused") as instance:
        yield instance
