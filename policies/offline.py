"""`python -m policies.offline STACK`: the program of a committed stack file against its environment's policies.

Nothing is asked and nothing is needed: no engine, no provider, no credentials, no network. The program runs over a
monitor that knows what the program says and nothing else, so whatever AWS or a provider would answer is unknown, and a
rule that needs it is undecided until the update.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import json
import os
import runpy
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf import json_format
from pulumi.runtime import mocks
from pulumi.runtime.config import set_all_config
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import get_root_resource, set_root_resource

from policies.catalogue import RULES
from policies.configuration import ENVIRONMENTS, ConfigurationError, Setting, for_environment, load
from policies.rule import Resource, idle, judge
from policies.stack_file import CHECKOUT, StackFileError, read
from policies.tokens import canonical
from policies.wire import plain

PROJECT = "meetinity-data"
PROJECT_FILE = CHECKOUT / "Pulumi.yaml"
# pulumi: sdk/go/common/workspace/project.json, configItemsType.
_DECLARATION = frozenset(("default", "description", "items", "secret", "type", "value"))
_STAND_IN = "sealed0in0the0stack0file"
OUTCOMES = ("mandatory", "advisory", "exempted", "idle", "undecided")


class _Nothing(mocks.Mocks):
    """Gives every resource its own inputs and no more: no id, nothing computed."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        return "", args.inputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise NotImplementedError(args.token)


class _Monitor(mocks.MockMonitor):
    def __init__(self) -> None:
        super().__init__(_Nothing())
        self.seen: list[Resource] = []

    def Invoke(self, request: Any) -> Any:  # noqa: ARG002, N802 - the engine's name
        return resource_pb2.ResourceInvokeResponse(unknown=True)

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        self.seen.append(
            Resource(
                type=canonical(request.type),
                properties=plain(json_format.MessageToDict(request.object)),
                urn=answer.urn,
                name=request.name,
                # The SDK has looked at the parent already.
                protect=request.protect,
                uses={name: frozenset(each.urns) for name, each in request.propertyDependencies.items()},
            )
        )
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        for number, each in enumerate(self.seen):
            if each.urn == request.urn:
                outputs = plain(json_format.MessageToDict(request.outputs))
                self.seen[number] = Resource(type=each.type, properties=outputs, urn=each.urn, name=each.name)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One for all runs: the SDK keeps what it has made with it."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


def resources(stack: str, configuration: Mapping[str, Any], program: Path = CHECKOUT / "__main__.py") -> list[Resource]:
    """What `program` registers with `configuration`, the `config` of a stack file. Raises what the program raises."""
    texts = {key: _text(key, value) for key, value in configuration.items()}
    secret = [key for key, value in configuration.items() if _opened(value) != value]
    monitor = _Monitor()
    sys.path.insert(0, str(program.parent))
    asyncio.set_event_loop(_loop())

    def run() -> None:
        set_all_config(texts, secret)
        runpy.run_path(str(program))
        # The root stack was made, and its outputs registered, before the program ran.
        root: Any = get_root_resource()
        root.register_outputs(root.outputs)

    try:
        set_root_resource(None)  # type: ignore[arg-type] # a stack of an earlier run has that run's outputs
        pulumi.runtime.set_mocks(monitor.mocks, project=PROJECT, stack=stack, preview=True, monitor=monitor)
        pulumi.runtime.test(run)()  # type: ignore[no-untyped-call]
    finally:
        sys.path.remove(str(program.parent))
    # The order of registration varies from run to run.
    return sorted(monitor.seen, key=lambda each: each.urn)


def _text(key: Any, value: Any) -> str:
    """The value as the engine hands it over. Raises ConfigurationError for what a stack file cannot say."""
    if not isinstance(key, str):
        raise ConfigurationError(f"the key {key!r} is no text: write it in quotes, as {PROJECT}:KEY")
    try:
        return value if isinstance(value, str) else json.dumps(_opened(value))
    except TypeError as error:
        raise ConfigurationError(f"{key} holds what is no text, number, list or object; write it in quotes") from error


def _opened(value: Any) -> Any:
    """`value` with a stand-in for whatever is sealed: the stack's key is not here, and no rule looks at the content."""
    if isinstance(value, dict):
        return _STAND_IN if set(value) == {"secure"} else {key: _opened(each) for key, each in value.items()}
    return [_opened(each) for each in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Line:
    """One line of the report."""

    outcome: str
    """`mandatory` or `advisory` for a violation; `exempted` for one that somebody answers for; `idle` for an exemption
    that nothing needs; `undecided` where a value is not known before the update."""
    rule: str
    severity: str
    urn: str
    name: str
    message: str


def report(found: Sequence[Resource], settings: Mapping[str, Setting], today: date) -> list[Line]:
    lines: list[Line] = []
    names = {each.urn: each.name for each in found}
    for rule in RULES:
        setting = settings[rule.name]
        if setting.level == "disabled":
            continue
        terms = setting.terms(today)
        verdict = judge(rule, found, terms)
        # What would be put right by the engine is not put right here, so it counts.
        level = "advisory" if setting.level == "advisory" else "mandatory"
        told = (
            *((level, each.urn, each.message) for each in verdict.violations),
            *(("exempted", each.urn, each.message) for each in verdict.exempted),
            *(("idle", each.urn, each.message) for each in idle(terms, verdict.urns)),
            *(("undecided", each.urn, f"{each.path} is not known before the update") for each in verdict.undecided),
        )
        # Once each: several doors of one security group can be told in the same words.
        lines += [
            Line(outcome, rule.name, rule.severity, urn, names.get(urn, ""), message)
            for outcome, urn, message in dict.fromkeys(told)
        ]
    return lines


def _table(stack: str, environment: str, found: Sequence[Resource], lines: Sequence[Line]) -> Iterable[str]:
    for outcome in OUTCOMES:
        some = [each for each in lines if each.outcome == outcome]
        if some:
            yield f"{outcome}:"
        for each in some:
            yield f"  {each.rule} ({each.severity}){'  ' + each.name if each.name else ''}"
            yield textwrap.indent(textwrap.fill(each.message, 112, break_on_hyphens=False), "      ")
    counts = {outcome: sum(each.outcome == outcome for each in lines) for outcome in OUTCOMES}
    rules = len({each.rule for each in lines if each.outcome == "undecided"})
    verdict = "is refused by" if counts["mandatory"] else "passes"
    violations = "1 violation" if counts["mandatory"] == 1 else f"{counts['mandatory']} violations"
    yield (
        f"{stack} {verdict} the policies of {environment}: {len(found)} resources, {len(RULES)} rules, "
        f"{violations}, {counts['advisory']} advisory, {counts['exempted']} exempted, "
        f"{rules} rules undecided until the update"
    )


def _configuration(stack_file: Path) -> dict[str, Any]:
    """What the stack file says, over what Pulumi.yaml says for every stack."""
    said = read(stack_file)
    if "environment" in said:
        # Pulumi ESC: it can set any key, and only Pulumi's service knows to what.
        raise ConfigurationError(f"{stack_file.name} takes configuration from an `environment`, unseen from here")
    configuration = said.get("config")
    if not isinstance(configuration, dict):
        raise ConfigurationError(f"{stack_file.name} is no stack file with a `config`")
    return {**_of_the_project(), **configuration}


def _of_the_project() -> dict[str, Any]:
    """Each key is a value, or a declaration with a `value` or a `default`, or with neither."""
    found = {}
    for key, given in (read(PROJECT_FILE).get("config") or {}).items():
        declared = given if isinstance(given, dict) else {"value": given}
        if unknown := declared.keys() - _DECLARATION:
            raise ConfigurationError(f"{PROJECT_FILE.name}: config.{key} has {', '.join(sorted(unknown))}")
        value = declared.get("value", declared.get("default"))
        if value is not None:
            found[key if ":" in key else f"{PROJECT}:{key}"] = value
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 where a mandatory rule is broken, 2 where the check could not be made."""
    parser = argparse.ArgumentParser(prog="python -m policies.offline", description=__doc__.splitlines()[0])
    parser.add_argument("stack", help="its committed file Pulumi.STACK.yaml is read")
    parser.add_argument("--stack-file", type=Path, help="another file in its place")
    parser.add_argument("--policies", type=Path, help="another file in place of policies/environments/ENVIRONMENT.json")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    given = parser.parse_args(arguments)
    stack_file = given.stack_file or CHECKOUT / f"Pulumi.{given.stack}.yaml"
    try:
        configuration = _configuration(stack_file)
        environment = configuration.get(f"{PROJECT}:environment", given.stack)
        if given.stack in ENVIRONMENTS and environment != given.stack:
            # Or one line of a stack file would exchange production's policies for a weaker environment's.
            raise ConfigurationError(
                f"{stack_file.name} says that it is {environment}: a stack named like an environment is held to it"
            )
        settings = load(given.policies) if given.policies else for_environment(environment)
        found = resources(given.stack, configuration)
    except (OSError, ConfigurationError, StackFileError, pulumi.RunError) as error:
        print(f"policies were not checked: {error}", file=sys.stderr)
        return 2
    lines = report(found, settings, datetime.now(UTC).date())
    passed = not any(each.outcome == "mandatory" for each in lines)
    if given.json:
        result = {"stack": given.stack, "environment": environment, "passed": passed, "resources": len(found)}
        print(json.dumps({**result, "findings": [asdict(each) for each in lines]}, indent=2))
    else:
        print("\n".join(_table(given.stack, environment, found, lines)))
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)
