"""One sandbox and one deployed stack for the whole suite, and the table it ends with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox import lifecycle
from sandbox.progress import Progress
from tests.faults.scenario import ROWS, Stack
from tests.faults.secrets_search import Watch
from tests.sandbox.conftest import Sandbox, own


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with own("test-faults") as instance:
        tools = lifecycle.up(instance, Progress())
        yield Sandbox(instance, tools, lifecycle.environment(instance, tools))


@pytest.fixture(scope="session")
def watch() -> Iterator[Watch]:
    """Everything that ran while the stack was worked on."""
    watch = Watch()
    watch.start()
    yield watch
    watch.end()


@pytest.fixture(scope="session")
def stack(sandbox: Sandbox, watch: Watch) -> Iterator[Stack]:
    stack = Stack(sandbox.instance, sandbox.environment)
    yield stack
    stack.end_orphans()


@pytest.fixture(autouse=True)
def mended(request: pytest.FixtureRequest) -> Iterator[None]:
    """A failed test must not make the next one fail."""
    stack = request.getfixturevalue("stack") if "stack" in request.fixturenames else None
    yield
    if stack:
        stack.mend()


def pytest_configure(config: pytest.Config) -> None:
    config.option.tbstyle = "short"  # a long traceback shows what functions were called with, passwords among it


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if len(ROWS) > 1:
        widths = [max(len(row[column]) for row in ROWS) for column in range(len(ROWS[0]))]
        terminalreporter.section("faults")
        for row in ROWS:
            line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            terminalreporter.write_line(line.rstrip())
