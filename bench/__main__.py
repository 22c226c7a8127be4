"""`make bench`: what a preview costs beside a bare program, what a further database costs, what the policies add.

And where the time goes. Everything runs in a sandbox of its own (`bench`), which is removed at the end.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from bench.measure import Measured, run
from sandbox import lifecycle, stack
from sandbox.instance import CHECKOUT, NAME_VARIABLE, Instance
from sandbox.progress import Progress

ROUNDS = 9
SLOPE_ROUNDS = 3
DATABASES = (1, 5, 20)
POLICY_DATABASES = (1, 7, 14)
BARE = CHECKOUT / "bench" / "bare"

Environment = Mapping[str, str]


def _say(text: str = "") -> None:
    print(text, flush=True)


def _median(measured: list[Measured]) -> Measured:
    return Measured(
        statistics.median(each.seconds for each in measured),
        statistics.median(each.program_megabytes for each in measured),
    )


class Program:
    """One of the two programs, with its stack and its backend."""

    def __init__(
        self,
        name: str,
        directory: Path,
        environment: Environment,
        configure: Callable[[int], dict[str, Any]],
    ) -> None:
        self.name = name
        self._directory = directory
        self._environment = environment
        self._configure = configure
        stack.select(stack.LOCAL, environment, directory)

    def _pulumi(self, *arguments: str) -> Measured:
        program = str(stack.program(self._environment))
        command = [program, *arguments, "--stack", stack.LOCAL, "--non-interactive"]
        return run(command, environment=self._environment, directory=self._directory)

    def use(self, databases: int) -> None:
        (self._directory / f"Pulumi.{stack.LOCAL}.yaml").write_text(yaml.safe_dump(self._configure(databases)))

    def up(self) -> None:
        self._pulumi("up", "--yes", "--skip-preview")

    def preview(self, *arguments: str) -> Measured:
        return self._pulumi("preview", *arguments)

    def resources(self) -> int:
        """How many resources a preview from the present state registers."""
        program = str(stack.program(self._environment))
        output = subprocess.run(
            [program, "preview", "--json", "--stack", stack.LOCAL, "--non-interactive"],
            cwd=self._directory, env=dict(self._environment), capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        return int(sum(json.loads(output)["changeSummary"].values()))


def _programs(instance: Instance, environment: Environment) -> tuple[Program, Program]:
    directory, scratch = stack.scratch_project(instance, stack.LOCAL, dict(environment))
    committed = yaml.safe_load((directory / f"Pulumi.{stack.LOCAL}.yaml").read_text())

    def ours(databases: int) -> dict[str, Any]:
        generations: dict[str, Any] = {"main": {}, **{f"g{number}": {} for number in range(2, databases + 1)}}
        database = {"serving": "main", "generations": generations}
        return {**committed, "config": {**committed["config"], "meetinity-data:database": database}}

    bare_directory = instance.state / "scratch" / "bare"
    (bare_directory / "backend").mkdir(parents=True, exist_ok=True)
    project = yaml.safe_load((BARE / "Pulumi.yaml").read_text())
    project["main"] = str(BARE)
    project["runtime"]["options"]["virtualenv"] = str(CHECKOUT / ".venv")
    (bare_directory / "Pulumi.yaml").write_text(yaml.safe_dump(project))

    def bare(databases: int) -> dict[str, Any]:
        return {
            "encryptionsalt": committed["encryptionsalt"],
            "config": {"aws:region": "eu-west-1", "bare:clusters": str(databases)},
        }

    (bare_directory / f"Pulumi.{stack.LOCAL}.yaml").write_text(yaml.safe_dump(bare(1)))
    bare_environment = {**environment, "PULUMI_BACKEND_URL": f"file://{bare_directory / 'backend'}"}
    return (
        Program("this program", directory, scratch, ours),
        Program("bare program", bare_directory, bare_environment, bare),
    )


def _no_change(ours: Program, bare: Program) -> None:
    for program in (ours, bare):
        program.use(1)
        program.up()
        program.preview("--expect-no-changes")
    rounds = [(ours.preview(), bare.preview()) for _ in range(ROUNDS)]
    us, them = _median([pair[0] for pair in rounds]), _median([pair[1] for pair in rounds])
    _say(f"no-change preview, medians of {ROUNDS} alternating rounds")
    for program, median in ((ours, us), (bare, them)):
        _say(
            f"  {program.name:13} {median.seconds:6.2f} s   {program.resources()} resources   "
            f"peak memory of the program {median.program_megabytes:.0f} MB"
        )
    _say(f"preview / bare program: {us.seconds / them.seconds:.2f} x")
    _say()


def _slope(ours: Program, bare: Program) -> None:
    _say(f"previews that create further databases, medians of {SLOPE_ROUNDS}")
    for program in (ours, bare):
        points = []
        for databases in DATABASES:
            program.use(databases)
            count = program.resources()
            seconds = _median([program.preview() for _ in range(SLOPE_ROUNDS)]).seconds
            points.append((count, seconds))
            _say(f"  {program.name:13} {databases:3} databases  {count:4} resources  {seconds:6.2f} s")
        slope = statistics.linear_regression([count for count, _ in points], [seconds for _, seconds in points]).slope
        _say(f"  {program.name:13} {slope * 1000:.1f} ms per resource")
        program.use(1)
    _say()


def _policies(ours: Program) -> None:
    """What the pack adds to a preview; a slope that grew with the stack would be a rule that is quadratic."""
    pack = CHECKOUT / "policies"
    policies = ("--policy-pack", str(pack), "--policy-pack-config", str(pack / "environments" / f"{stack.LOCAL}.json"))
    _say(f"previews with the policy pack, medians of {SLOPE_ROUNDS} alternating rounds")
    points = []
    for databases in POLICY_DATABASES:
        ours.use(databases)
        count = ours.resources()
        rounds = [(ours.preview(), ours.preview(*policies)) for _ in range(SLOPE_ROUNDS)]
        bare, held = (_median([pair[side] for pair in rounds]).seconds for side in (0, 1))
        points.append((count, held - bare))
        _say(
            f"  {count:4} resources  {bare:6.2f} s without  {held:6.2f} s with  "
            f"+{(held - bare) / bare:.0%}  {(held - bare) / count * 1000:.1f} ms per resource"
        )
    ours.use(1)
    for (less, cheap), (more, dear) in itertools.pairwise(points):
        _say(f"  from {less} to {more} resources {(dear - cheap) / (more - less) * 1000:.1f} ms for each further one")
    _say()


def _seconds(command: list[str], environment: Environment, directory: Path = CHECKOUT) -> float:
    return statistics.median(run(command, environment=environment, directory=directory).seconds for _ in range(5))


def _where(instance: Instance, environment: Environment, whole: Callable[[], float]) -> None:
    python = sys.executable
    here = {**environment, "PYTHONPATH": str(CHECKOUT)}
    interpreter = _seconds([python, "-c", "pass"], here)

    def costs(statement: str) -> float:
        return _seconds([python, "-c", statement], here) - interpreter

    sdks = costs(
        "import pulumi, pulumi_aws as a, pulumi_kubernetes as k, pulumi_random\n"
        "a.rds.Cluster, a.elasticache.ReplicationGroup, a.ec2.SecurityGroup, a.vpc.SecurityGroupIngressRule\n"
        "a.iam.Role, a.cloudwatch.LogGroup, a.eks.get_cluster_output\n"
        "k.core.v1.Secret, k.rbac.v1.Role, k.networking.v1.NetworkPolicy, k.batch.v1.Job"
    )
    configuration = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in yaml.safe_load((CHECKOUT / f"Pulumi.{stack.LOCAL}.yaml").read_text())["config"].items()
    }
    imported = costs("import settings")
    loaded = costs(f"import settings; settings.load_settings({configuration!r}, (), 'local')")
    empty = instance.state / "scratch" / "empty"
    (empty / "backend").mkdir(parents=True, exist_ok=True)
    project = {
        "name": "empty",
        "runtime": {"name": "python", "options": {"virtualenv": str(CHECKOUT / ".venv")}},
    }
    (empty / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    (empty / "__main__.py").write_text("import pulumi\n")
    scratch = {**environment, "PULUMI_BACKEND_URL": f"file://{empty / 'backend'}"}
    stack.select(stack.LOCAL, scratch, empty)
    pulumi = str(stack.program(environment))
    engine = _seconds([pulumi, "preview", "--stack", stack.LOCAL, "--non-interactive"], scratch, empty)
    _say("where the time of a no-change preview goes, medians of 5")
    _say(f"  engine, language host, an empty program     {engine:5.2f} s")
    _say(f"  importing the SDKs that are used            {sdks:5.2f} s")
    _say(f"  importing settings (pydantic)               {imported:5.2f} s")
    _say(f"  checking the configuration                  {loaded - imported:5.2f} s")
    total = whole()
    rest = total - engine - sdks - loaded
    _say(f"  registration, invokes, providers (the rest) {rest:5.2f} s")
    _say(f"  the whole preview                           {total:5.2f} s")
    _say()


def _make_up(instance: Instance, report: Progress) -> None:
    """`make up` with the tools in the cache: from nothing, with everything stopped, with everything running."""
    lifecycle.reset(instance, report)
    for state in ("no state", "stopped", "running"):
        if state == "stopped":
            lifecycle.down(instance, report)
        start = time.monotonic()
        subprocess.run(["make", "up"], cwd=CHECKOUT, check=True, capture_output=True)
        _say(f"make up, warm, {state}: {time.monotonic() - start:.1f} s")


def main() -> None:
    os.environ[NAME_VARIABLE] = "bench"
    instance = Instance.current()
    report = Progress()
    lifecycle.reset(instance, report)
    instance = Instance.current()
    try:
        environment = lifecycle.environment(instance, lifecycle.up(instance, report))
        ours, bare = _programs(instance, environment)
        _no_change(ours, bare)
        _where(instance, environment, lambda: _median([ours.preview() for _ in range(5)]).seconds)
        _slope(ours, bare)
        _policies(ours)
        _make_up(instance, report)
    finally:
        lifecycle.reset(instance, report)


if __name__ == "__main__":
    main()
