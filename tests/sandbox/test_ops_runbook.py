"""docs/runbook.md, run as it stands: each console block of the backup and restore parts, in order, on the local stack.

Beneath a `$` command stand, in order, lines of what it shows, with `…` for what varies and any run of blanks for one.
A line that ends in a question's answer is typed. What the text says to replace is replaced: the stack's name, and the
moment to go back to.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from sandbox import lifecycle
from sandbox.instance import CHECKOUT
from sandbox.progress import Progress
from tests.sandbox.conftest import own
from tests.sandbox.operator import Operator

RUN_ELSEWHERE = ("A deployment stopped",)  # the workflows' own commands: test_workflows
PARTS = ("Look at the stores and their backups", "Take a snapshot by hand", "Restore a store")
MOMENT = "2026-11-24T08:00:00Z"
QUESTION = re.compile(r"(?P<asks>.+(\?|name) \[.*\]:) (?P<answer>\S+)")


@dataclass
class Step:
    part: str
    command: str
    shows: list[str] = field(default_factory=list)
    types: str = ""


def steps() -> list[Step]:
    found: list[Step] = []
    runbook = (CHECKOUT / "docs" / "runbook.md").read_text()
    for part in re.split(r"^## ", runbook, flags=re.MULTILINE):
        title = part.partition("\n")[0]
        if title in RUN_ELSEWHERE:
            continue
        for block in re.findall(r"^```console\n(.*?)^```", part, flags=re.MULTILINE | re.DOTALL):
            assert title in PARTS, f"a console block under {title!r} that nobody runs"
            for line in block.splitlines():
                if line.startswith("$ "):
                    found.append(Step(title, line.removeprefix("$ ")))
                elif asked := QUESTION.fullmatch(line):
                    found[-1].shows.append(asked["asks"])
                    found[-1].types += asked["answer"] + "\n"
                else:
                    found[-1].shows.append(line)
    assert {step.part for step in found} == set(PARTS)
    return found


STEPS = steps()


@dataclass
class Reader:
    """Somebody who follows the runbook on the local stack."""

    operator: Operator
    moment: str

    def local(self, text: str) -> str:
        return re.sub(r"\bprod\b", "local", text).replace(MOMENT, self.moment)

    def follow(self, step: Step) -> str:
        words = shlex.split(self.local(step.command))
        program = [sys.executable] if words[0] == "python" else [words[0]]
        done = subprocess.run(
            [*program, *words[1:]],
            cwd=self.operator.directory,
            # Pulumi asks on a terminal only, and here there is none.
            env={**self.operator.environment, "PYTHONPATH": str(CHECKOUT), "PULUMI_SKIP_CONFIRMATIONS": "true"},
            input=self.local(step.types),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=1200,
        )
        assert done.returncode == 0, f"{step.command} exited {done.returncode}:\n{done.stdout}"
        return done.stdout

    def shown(self, line: str) -> re.Pattern[str]:
        words = [r"\s+".join(map(re.escape, part.split())) for part in self.local(line).split("…")]
        return re.compile(r"[^\n]*?".join(words).replace(r"\s+", r"[^\S\n]+"))


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with own("test-runbook") as instance:
        tools = lifecycle.up(instance, Progress())
        operator = Operator(instance, lifecycle.environment(instance, tools))
        operator.up()
        time.sleep(2.1)  # a moment has whole seconds
        yield Reader(operator, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def test_every_part_has_its_commands():
    assert {step.part for step in STEPS} == set(PARTS)
    assert sum(step.command == "pulumi up" for step in STEPS) == 9
    assert [step.command for step in STEPS if not step.shows and not step.command.startswith("pulumi")] == []


@pytest.mark.parametrize("step", STEPS, ids=[step.command for step in STEPS])
def test_the_runbook_does_what_it_says(reader: Reader, step: Step) -> None:
    output, position = reader.follow(step), 0
    for line in step.shows:
        found = reader.shown(line).search(output, position)
        assert found, f"after `{step.command}` the runbook shows\n{line}\nand there is\n{output[position:]}"
        position = found.end()
