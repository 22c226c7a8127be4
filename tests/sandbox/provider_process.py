"""A provider process as the engine starts it, and the engine's side of the protocol for tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2, provider_pb2_grpc, status_pb2

from sandbox.providers import values

CHECKOUT = Path(__file__).resolve().parents[2]
SEED = bytes(range(32))
UNKNOWN = values.UNKNOWN


@dataclass
class InitFailedError(Exception):
    """What the engine makes of ErrorResourceInitFailed."""

    id: str
    properties: dict[str, Any]
    inputs: dict[str, Any]
    reasons: list[str]


@dataclass
class Engine(engine_pb2_grpc.EngineServicer):
    """Collects what a provider logs: (message, severity, status line or not)."""

    lines: list[Any] = field(default_factory=list)

    def Log(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: N802
        self.lines.append(request)
        return empty_pb2.Empty()

    def messages(self, *, status: bool = False) -> list[str]:
        return [line.message for line in self.lines if line.ephemeral == status]


@dataclass
class Client:
    """One provider, spoken to in plain Python values."""

    process: subprocess.Popen[str]
    stub: Any
    engine: Engine

    def _call(self, name: str, request: Any) -> Any:
        try:
            return getattr(self.stub, name)(request, timeout=60)
        except grpc.RpcError as error:
            for key, value in error.trailing_metadata() or ():
                if key == "grpc-status-details-bin":
                    detail = provider_pb2.ErrorResourceInitFailed()
                    status_pb2.Status.FromString(value).details[0].Unpack(detail)
                    outputs, inputs = values.decode(detail.properties), values.decode(detail.inputs)
                    raise InitFailedError(detail.id, outputs, inputs, list(detail.reasons)) from None
            raise

    def configure(self, **settings: Any) -> None:
        self._call("Configure", provider_pb2.ConfigureRequest(args=values.encode(settings), acceptSecrets=True))

    def check_config(self, **settings: Any) -> dict[str, str]:
        request = provider_pb2.CheckRequest(urn=_urn("pulumi:providers:x", "p"), news=values.encode(settings))
        answer = self._call("CheckConfig", request)
        return {each.property: each.reason for each in answer.failures}

    def diff_config(self, olds: dict[str, Any], news: dict[str, Any]) -> Any:
        urn = _urn("pulumi:providers:x", "p")
        structs = {"old_inputs": values.encode(olds), "olds": values.encode(olds), "news": values.encode(news)}
        return self._call("DiffConfig", provider_pb2.DiffRequest(urn=urn, **structs))

    def check(
        self,
        kind: str,
        news: dict[str, Any],
        olds: dict[str, Any] | None = None,
        *,
        name: str = "x",
        seed: bytes = SEED,
    ) -> dict[str, Any]:
        """The checked inputs; AssertionError with the failures when there are any."""
        inputs, failures = self.checked(kind, news, olds, name=name, seed=seed)
        assert not failures, failures
        return inputs

    def checked(
        self,
        kind: str,
        news: dict[str, Any],
        olds: dict[str, Any] | None = None,
        *,
        name: str = "x",
        seed: bytes = SEED,
    ) -> tuple[dict[str, Any], dict[str, str]]:
        request = provider_pb2.CheckRequest(
            urn=_urn(kind, name), news=values.encode(news), randomSeed=seed, name=name, type=kind
        )
        if olds is not None:
            request.olds.CopyFrom(values.encode(olds))
        answer = self._call("Check", request)
        return values.decode(answer.inputs), {each.property: each.reason for each in answer.failures}

    def diff(
        self,
        kind: str,
        id_: str,
        olds: dict[str, Any],
        news: dict[str, Any],
        ignore: tuple[str, ...] = (),
        name: str = "x",
    ) -> Any:
        request = provider_pb2.DiffRequest(
            id=id_, urn=_urn(kind, name), olds=values.encode(olds), news=values.encode(news), ignoreChanges=ignore
        )
        return self._call("Diff", request)

    def changes(self, *arguments: Any, **options: Any) -> dict[str, str]:
        """Path → kind of the detailed diff."""
        answer = self.diff(*arguments, **options)
        assert bool(answer.changes == provider_pb2.DiffResponse.DIFF_SOME) == bool(answer.detailedDiff)
        return {
            path: provider_pb2.PropertyDiff.Kind.Name(each.kind).lower().replace("_", " ")
            for path, each in answer.detailedDiff.items()
        }

    def create(
        self, kind: str, inputs: dict[str, Any], *, preview: bool = False, timeout: float = 0, name: str = "x"
    ) -> tuple[str, dict[str, Any]]:
        request = provider_pb2.CreateRequest(
            urn=_urn(kind, name), properties=values.encode(inputs), preview=preview, timeout=timeout
        )
        answer = self._call("Create", request)
        return answer.id, values.decode(answer.properties)

    def read(
        self,
        kind: str,
        id_: str,
        inputs: dict[str, Any] | None = None,
        state: dict[str, Any] | None = None,
        name: str = "x",
    ) -> Any:
        """(id, inputs, outputs), or None when the answer has no properties at all."""
        request = provider_pb2.ReadRequest(id=id_, urn=_urn(kind, name))
        if state is not None:
            request.inputs.CopyFrom(values.encode(inputs or {}))
            request.properties.CopyFrom(values.encode(state))
        answer = self._call("Read", request)
        if not answer.HasField("properties"):
            assert not answer.id
            return None
        return answer.id, values.decode(answer.inputs), values.decode(answer.properties)

    def update(
        self,
        kind: str,
        id_: str,
        olds: dict[str, Any],
        news: dict[str, Any],
        *,
        preview: bool = False,
        ignore: tuple[str, ...] = (),
        timeout: float = 0,
        name: str = "x",
    ) -> dict[str, Any]:
        request = provider_pb2.UpdateRequest(
            id=id_,
            urn=_urn(kind, name),
            olds=values.encode(olds),
            news=values.encode(news),
            preview=preview,
            ignoreChanges=ignore,
            timeout=timeout,
        )
        return values.decode(self._call("Update", request).properties)

    def delete(self, kind: str, id_: str, olds: dict[str, Any], *, timeout: float = 0, name: str = "x") -> None:
        properties = values.encode(olds)
        self._call(
            "Delete", provider_pb2.DeleteRequest(id=id_, urn=_urn(kind, name), properties=properties, timeout=timeout)
        )

    def invoke(self, token: str, **arguments: Any) -> dict[str, Any]:
        answer = self._call("Invoke", provider_pb2.InvokeRequest(tok=token, args=values.encode(arguments)))
        assert not answer.failures, list(answer.failures)
        return values.decode(getattr(answer, "return"))

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(10)


def _urn(kind: str, name: str) -> str:
    return f"urn:pulumi:test::project::{kind}::{name}"


@contextlib.contextmanager
def provider(name: str, **environment: str) -> Iterator[Client]:
    """Start `python -m sandbox.providers.<name>` with an engine's address, and end it as the engine does."""
    engine = Engine()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "KUBE", "PULUMI_"))}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", f"sandbox.providers.{name}", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**kept, "PYTHONPATH": str(CHECKOUT), **environment},
    )
    assert process.stdout
    assert process.stderr
    try:
        port = process.stdout.readline().strip()
        assert port, process.stderr.read()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Client(process, provider_pb2_grpc.ResourceProviderStub(channel), engine)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(10)
        process.stdout.close()
        process.stderr.close()
        server.stop(0).wait()
