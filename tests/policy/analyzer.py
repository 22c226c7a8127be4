"""The pack as the engine runs it: a process of its own, spoken to over gRPC."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi.runtime.proto import analyzer_pb2_grpc

from policies.catalogue import RULES
from policies.rule import Resource
from policies.value import UNKNOWN, Secret

PACK = Path(__file__).parent.parent.parent / "policies"
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN_ON_THE_WIRE = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

LEVELS = {
    "advisory": proto.ADVISORY,
    "mandatory": proto.MANDATORY,
    "remediate": proto.REMEDIATE,
    "disabled": proto.DISABLED,
}


def on_the_wire(value: Any) -> Any:
    """As the engine marshals it, with secrets and unknowns kept."""
    if value is UNKNOWN:
        return UNKNOWN_ON_THE_WIRE
    if isinstance(value, Secret):
        return {SIGNATURE: SECRET_SIGNATURE, "value": on_the_wire(value.value)}
    if isinstance(value, dict):
        return {key: on_the_wire(each) for key, each in value.items()}
    return [on_the_wire(each) for each in value] if isinstance(value, list) else value


def struct(value: Mapping[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(on_the_wire(dict(value)))
    return message


class Analyzer:
    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def info(self) -> Any:
        return self._stub.GetAnalyzerInfo(empty_pb2.Empty())

    def configure(self, levels: Mapping[str, str], options: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """What the engine sends: every rule's level, and its options with the defaults filled in."""
        request = proto.ConfigureAnalyzerRequest()
        for rule in RULES:
            configured = request.policyConfig[rule.name]
            configured.enforcementLevel = LEVELS[levels.get(rule.name, rule.level)]
            configured.properties.update({**rule.defaults(), **(options or {}).get(rule.name, {})})
        self._stub.Configure(request)

    def only(self, name: str, level: str, options: Mapping[str, Any] | None = None) -> None:
        levels = {rule.name: level if rule.name == name else "disabled" for rule in RULES}
        self.configure(levels, {name: options or {}})

    def analyze(self, resource: Resource) -> list[Any]:
        return list(self._stub.Analyze(_request(proto.AnalyzeRequest, resource)).diagnostics)

    def remediate(self, resource: Resource) -> list[dict[str, Any]]:
        answer = self._stub.Remediate(_request(proto.AnalyzeRequest, resource))
        assert not [each.diagnostic for each in answer.remediations if each.diagnostic]
        return [json_format.MessageToDict(each.properties) for each in answer.remediations]

    def analyze_stack(self, resources: Sequence[Resource]) -> list[Any]:
        request = proto.AnalyzeStackRequest(resources=[_request(proto.AnalyzerResource, each) for each in resources])
        return list(self._stub.AnalyzeStack(request).diagnostics)


def _request(message: Any, resource: Resource) -> Any:
    request = message(
        type=resource.type,
        urn=resource.urn,
        name=resource.name,
        properties=struct(resource.properties),
        options=proto.AnalyzerResourceOptions(protect=resource.protect),
    )
    if message is proto.AnalyzerResource:
        for name, urns in resource.uses.items():
            request.propertyDependencies[name].urns.extend(sorted(urns))
    return request


@contextmanager
def running() -> Iterator[Analyzer]:
    environment = {
        **os.environ,
        "PULUMI_PROJECT": "meetinity-data",
        "PULUMI_STACK": "prod",
        "PULUMI_ORGANIZATION": "organization",
        "PULUMI_DRY_RUN": "true",
        "PULUMI_CONFIG": "{}",
    }
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:1", str(PACK)]
    process = subprocess.Popen(command, cwd=PACK, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        port = process.stdout.readline().strip()
        assert port.isdigit(), "the pack did not start"
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Analyzer(analyzer_pb2_grpc.AnalyzerStub(channel))
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=10)
        process.stdout.close()
    assert code == 0
