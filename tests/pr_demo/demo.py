"""Runs the scenarios in a sandbox: real previews of an edited stack, and of each the comment and the exit code."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from sandbox import faults, lifecycle, stack
from sandbox.instance import CHECKOUT
from tests.pr_demo.scenarios import AWAY, DEPLOYED, FIRST, RESTORED, SECOND, Edit, Scenario, section
from tests.sandbox.operator import Operator

STREAMING = {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "1"}

# What differs from sandbox to sandbox and from day to day.
_NOISE = (
    (re.compile(r"\b127\.\d{1,3}\.\d{1,3}\.\d{1,3}\b"), "<address>"),
    (re.compile(r"\b(sg|sgr|vpc|subnet|vpce|rtb)-[0-9a-f]{8,17}\b"), r"\1-<id>"),
    (re.compile(r"\b(db|cluster)-[A-Z0-9]{26}\b"), r"\1-<id>"),
    (re.compile(r"\bfinal-[0-9a-f]{8}\b"), "final-<8 hex>"),
    (re.compile(r"\bmigration-[0-9a-f]{8}\b"), "migration-<8 hex>"),
    (re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\b"), "<moment>"),
    (re.compile(r"\b20\d\d-\d\d-\d\d\b"), "<day>"),
    (re.compile(r"(?<![0-9a-z])[0-9a-f]{32,64}(?![0-9a-z])"), "<hex>"),
    (re.compile(r"(?<=[ \"'(])/[\w./-]*/(?=[\w.-]+\.py\b)"), ".../"),
)


def without_noise(text: str) -> str:
    for pattern, stands in _NOISE:
        text = pattern.sub(stands, text)
    return text


@dataclass(frozen=True)
class Outcome:
    """What a pull request got."""

    code: int
    """Of `plan check`."""
    policies: int
    """Of `make policy`."""
    comment: str
    raw: str
    """The comment as it would be posted, noise and all."""


class Demo:
    def __init__(self, operator: Operator, scratch: Path) -> None:
        self.operator, self.scratch = operator, scratch
        self.secrets: dict[str, str] = {}
        """Those that the scenarios made, by scenario."""

    def run(self, report: Callable[[str], None]) -> Iterator[tuple[str, Outcome]]:
        """Every scenario with its outcome, in order."""
        self._deploy(DEPLOYED)
        report("deployed")
        yield from self._all(FIRST)
        self._deploy(section("database", generations=RESTORED))
        report("deployed the restored generation")
        yield from self._all(SECOND)
        faults.kill(self.operator.instance, "kube-apiserver")
        try:
            yield from self._all(AWAY)
        finally:
            lifecycle.up(self.operator.instance, report)

    def _deploy(self, edit: Edit) -> None:
        self.operator.configure(edit)
        self.operator.up()

    def _all(self, scenarios: Mapping[str, Scenario]) -> Iterator[tuple[str, Outcome]]:
        # A preview takes no lock, so two can run at once.
        with ThreadPoolExecutor(2) as pool:
            yield from zip(scenarios, pool.map(lambda item: self._one(*item), scenarios.items()), strict=True)

    def _one(self, name: str, scenario: Scenario) -> Outcome:
        project = self._project(name, scenario)
        where = project / "local.json"
        with where.open("w") as output, where.with_suffix(".stderr").open("w") as errors:
            subprocess.run(
                [
                    stack.program(self.operator.environment),
                    "preview",
                    "--json",
                    "--non-interactive",
                    "--stack",
                    "local",
                ],
                cwd=project,
                env={**self.operator.environment, **STREAMING, **scenario.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                check=False,
                timeout=300,
            )
        policies = self._policies(project, where.with_suffix(".policies.json"))
        waivers = project / "waivers.yaml"
        until = (datetime.now(UTC) + timedelta(days=7)).date().isoformat()
        waivers.write_text(json.dumps({"waivers": [{**each, "until": until} for each in scenario.waivers]}))
        checked = _ops(project, "check", str(where), "--waivers", str(waivers))
        told = _ops(project, "comment", str(where), "--waivers", str(waivers))
        assert told.returncode == 0, told.stderr
        return Outcome(checked.returncode, policies, without_noise(told.stdout), told.stdout)

    def _project(self, name: str, scenario: Scenario) -> Path:
        """The operator's own project, copied: its backend is named by the environment."""
        project = self.scratch / name
        project.mkdir()
        described = yaml.safe_load((self.operator.directory / "Pulumi.yaml").read_text())
        if scenario.program:
            (project / "program").mkdir()
            (project / "program" / "__main__.py").write_text(scenario.program)
            described["main"] = str(project / "program")
        (project / "Pulumi.yaml").write_text(yaml.safe_dump(described))
        file = project / self.operator.stack_file.name
        shutil.copy(self.operator.stack_file, file)
        edited = _Edited(file)
        edited.configure(scenario.edit)
        if scenario.secret:
            self.secrets[name] = secrets.token_hex(16)
            subprocess.run(
                [
                    *(
                        stack.program(self.operator.environment),
                        "config",
                        "set",
                        "--secret",
                        "--path",
                        "--stack",
                        "local",
                    ),
                    f"meetinity-data:{scenario.secret}",
                ],
                cwd=project,
                env=self.operator.environment,
                input=self.secrets[name],
                text=True,
                check=True,
                capture_output=True,
            )
        return project

    @staticmethod
    def _policies(project: Path, into: Path) -> int:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "policies.offline",
                "local",
                "--json",
                "--stack-file",
                project / "Pulumi.local.yaml",
            ],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
        # 2: the configuration itself is refused, and the preview says why.
        assert done.returncode in (0, 1, 2), done.stderr
        if done.returncode < 2:
            into.write_text(done.stdout)
        return done.returncode


class _Edited:
    """A stack file that is edited as an operator's is."""

    def __init__(self, stack_file: Path) -> None:
        self.stack_file = stack_file

    def configure(self, change: Edit) -> None:
        document = yaml.safe_load(self.stack_file.read_text())
        config = {key.removeprefix("meetinity-data:"): value for key, value in document["config"].items()}
        config["tomorrow"] = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
        change(config)
        del config["tomorrow"]
        document["config"] = {key if ":" in key else f"meetinity-data:{key}": value for key, value in config.items()}
        self.stack_file.write_text(yaml.safe_dump(document))


def _ops(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops", "plan", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )


def true_secrets(operator: Operator) -> Iterator[tuple[str, str]]:
    """The stack's real ones, by a name that may be shown."""
    outputs = json.loads(operator.run("pulumi", "stack", "output", "--json", "--show-secrets"))
    yield from ((name, outputs[name]) for name in ("database_password", "redis_auth_token"))
    for secret in ("platform-database", "platform-redis"):
        held = operator.secret(secret)
        yield from ((f"{secret}.{key}", held[key]) for key in ("password", "url") if held.get(key))
    with contextlib.suppress(KeyError):
        yield "the r1 generation's password", outputs["stores"]["database"]["generations"]["r1"]["password"]
