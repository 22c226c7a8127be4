"""What the stand-in providers have in common: the process, the protocol, secrets, unknowns and errors.

Written on the bare servicer: the SDK's own provider server loses unknowns, imports missing resources and turns every
error into "state unknown". A subclass gets and returns plain Python values (sandbox.providers.values).
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import os
import re
import signal
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from sandbox.providers import values
from sandbox.providers.values import Properties

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

Code = grpc.StatusCode
_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
_PropertyDiff = provider_pb2.PropertyDiff
_DiffResponse = provider_pb2.DiffResponse


class RefusedError(Exception):
    """A request that changed nothing. Codes INTERNAL and UNKNOWN would tell the engine that the state is unknown."""

    def __init__(self, message: str, code: grpc.StatusCode = Code.FAILED_PRECONDITION) -> None:
        super().__init__(message)
        self.code = code


class PartialError(Exception):
    """A resource that exists but did not become what was asked for; recorded, and tried again by the next update."""

    def __init__(self, id_: str, outputs: Properties, reason: str) -> None:
        super().__init__(reason)
        self.id, self.outputs, self.reason = id_, outputs, reason


class Invalid(NamedTuple):
    """One argument that Check refuses."""

    property: str
    reason: str


@dataclass
class Asked:
    """A request about one resource; what its RPC does not carry is empty. Secrets are still wrapped."""

    urn: str
    type: str
    name: str
    id: str
    olds: Properties  # the recorded outputs (inputs, in a Check)
    news: Properties  # the inputs wanted
    inputs: Properties  # the recorded inputs
    ignored: Sequence[str]
    preview: bool
    timeout: float
    seed: bytes


@dataclass
class Difference:
    """What a Diff found: property path → add, delete or update, and the paths that need a new resource."""

    changes: dict[str, str] = field(default_factory=dict)
    replaces: list[str] = field(default_factory=list)
    delete_first: bool = False

    def message(self) -> provider_pb2.DiffResponse:
        names = {path: kind.upper() + "_REPLACE" * (path in self.replaces) for path, kind in self.changes.items()}
        details = {path: _PropertyDiff(kind=_PropertyDiff.Kind.Value(name)) for path, name in names.items()}
        return _DiffResponse(
            changes=_DiffResponse.DIFF_SOME if self.changes or self.replaces else _DiffResponse.DIFF_NONE,
            diffs=sorted({root(path) for path in self.changes}),
            replaces=sorted({root(path) for path in self.replaces}),
            deleteBeforeReplace=self.delete_first and bool(self.replaces),
            detailedDiff=details,
            hasDetailedDiff=True,
        )


def root(path: str) -> str:
    """The top-level property of a property path."""
    return re.split(r"[.\[]", path)[0]


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence that refuses a name nobody knows, with the nearest one that is known."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f"unknown {what} {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")


def sdk_names(token: str) -> set[str]:
    """Every argument that the SDK has for a type, or for a provider (`pulumi:providers:aws`). Slow."""
    package, module, name = token.split(":")
    if module == "providers":
        package, module, name = name, "", "Provider"
    sdk = importlib.import_module(f"pulumi_{package}.{module.partition('/')[0]}".removesuffix(".index").rstrip("."))
    # The SDK says Init where a block of another type has the resource's name.
    arguments = vars(getattr(sdk, f"{name}InitArgs", None) or getattr(sdk, f"{name}Args")).items()
    return {getattr(each.fget, "_pulumi_name", key) for key, each in arguments if isinstance(each, property)}


def invalid_names(what: str, given: Iterable[str], known: Collection[str], token: str = "") -> list[Invalid]:
    """A refusal for each given name that is not known: the nearest one, or that the SDK has it and we do not."""
    strange = [name for name in given if name not in known]
    real = sdk_names(token) if strange and token else set()
    unsupported = f"{what} %r is not supported by the sandbox"
    return [
        Invalid(name, unsupported % name if name in real else unknown(what, name, {*known, *real})) for name in strange
    ]


class Provider:
    """One provider process. A subclass names itself and says what each request means for plain values."""

    name: ClassVar[str]
    types: ClassVar[Collection[str]] = ()  # the type tokens it knows
    settings: ClassVar[str] = ""
    replacing_settings: ClassVar[str] = ""

    def __init__(self) -> None:
        self.configuration: Properties = {}
        self.cancelled = threading.Event()
        engine = sys.argv[1:]  # its address, for what is to be said to people
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine[0], _OPTIONS)) if engine else None

    # What a subclass says.

    def configure(self, given: Properties) -> None:
        """Take note of the settings; nothing slow, every command of the engine does it."""

    def check(self, asked: Asked) -> tuple[Properties, list[Invalid]]:
        raise NotImplementedError

    def diff(self, asked: Asked) -> Difference:
        raise NotImplementedError

    def create(self, asked: Asked) -> tuple[str, Properties]:
        """Id and outputs."""
        raise NotImplementedError

    def read(self, asked: Asked) -> tuple[str, Properties, Properties] | None:
        """Id, inputs and outputs as they stand, or None when it is gone; without recorded outputs: an import."""
        raise NotImplementedError

    def update(self, asked: Asked) -> Properties:
        """Outputs."""
        raise NotImplementedError

    def delete(self, asked: Asked) -> None:
        raise NotImplementedError

    def invoke(self, token: str, arguments: Properties) -> Properties | list[Invalid]:  # noqa: ARG002
        raise RefusedError(f"unknown function {token!r}", Code.INVALID_ARGUMENT)

    def explain(self, error: Exception) -> tuple[grpc.StatusCode, str]:
        """Status code and message of an error; what nobody expected is named by its place, for the next developer."""
        if isinstance(error, RefusedError):
            return error.code, str(error)
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return Code.INTERNAL, f"{self.name} provider of the sandbox: {type(error).__name__}: {error} ({where})"

    # What a subclass uses.

    def tell(self, status: str, urn: str) -> None:
        """A line about a resource for the person at the terminal, shown while it lasts and then forgotten."""
        if self._engine:
            request = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=status, urn=urn, ephemeral=True)
            with contextlib.suppress(grpc.RpcError):
                self._engine.Log(request, timeout=5)

    def pause(self, seconds: float) -> None:
        """Wait between two looks at something; Cancel ends the wait."""
        if self.cancelled.wait(seconds):
            raise RefusedError("the operation was cancelled", Code.CANCELLED)

    def clean(self, message: str, request: Any) -> str:
        """`message` without the secrets of the request and of the provider's settings."""
        structs = [content for kind, content in request.ListFields() if kind.message_type is _STRUCT]
        return values.without_secrets(message, self.configuration, *(values.decode(each) for each in structs))

    # The protocol: on_<name of the RPC>.

    def on_handshake(self, _request: Any) -> provider_pb2.ProviderHandshakeResponse:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def on_get_plugin_info(self, _request: Any) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=metadata.version(f"pulumi-{self.name}"))

    def on_get_schema(self, _request: Any) -> provider_pb2.GetSchemaResponse:
        raise RefusedError("the sandbox's providers carry no schema: use --generate-code=false", Code.UNIMPLEMENTED)

    def on_check_config(self, request: Any) -> provider_pb2.CheckResponse:
        known = {*self.settings.split(), "version", "pluginDownloadURL"}
        token = f"pulumi:providers:{self.name}"
        return _checked(request.news, invalid_names(f"{self.name} setting", request.news.fields, known, token))

    def on_diff_config(self, request: Any) -> provider_pb2.DiffResponse:
        olds, news = (values.plain(values.decode(side)) for side in (request.old_inputs or request.olds, request.news))
        found = Difference({change.path: change.kind for change in values.changes(olds, news)})
        found.replaces = [path for path in found.changes if root(path) in self.replacing_settings.split()]
        return found.message()

    def on_configure(self, request: Any) -> provider_pb2.ConfigureResponse:
        self.configuration = values.decode(request.args)
        self.configure({name: value for name, value in values.plain(self.configuration).items() if value is not None})
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def on_check(self, request: Any) -> provider_pb2.CheckResponse:
        asked = _asked(request)
        if asked.type not in self.types:
            known = f"the sandbox knows {', '.join(sorted(self.types))}"
            return _checked(request.news, [Invalid("", f"{unknown('type', asked.type, self.types)}; {known}")])
        asked.news = {name: value for name, value in asked.news.items() if value is not None}
        inputs, failures = self.check(asked)
        return _checked(values.encode(inputs), failures)

    def on_diff(self, request: Any) -> provider_pb2.DiffResponse:
        return self.diff(_asked(request)).message()

    def on_create(self, request: Any) -> provider_pb2.CreateResponse:
        id_, outputs = self.create(_asked(request, news="properties"))
        return provider_pb2.CreateResponse(id=id_, properties=values.encode(outputs))

    def on_read(self, request: Any) -> provider_pb2.ReadResponse:
        found = self.read(_asked(request, olds="properties", inputs="inputs"))
        if found is None:
            # Unset properties are what makes the import of something missing an error.
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found[0], inputs=values.encode(found[1]), properties=values.encode(found[2])
        )

    def on_update(self, request: Any) -> provider_pb2.UpdateResponse:
        return provider_pb2.UpdateResponse(properties=values.encode(self.update(_asked(request))))

    def on_delete(self, request: Any) -> empty_pb2.Empty:
        self.delete(_asked(request, olds="properties"))
        return empty_pb2.Empty()

    def on_invoke(self, request: Any) -> provider_pb2.InvokeResponse:
        arguments = values.plain(values.decode(request.args))
        found = self.invoke(request.tok, {name: value for name, value in arguments.items() if value is not None})
        if isinstance(found, list):
            return provider_pb2.InvokeResponse(failures=_checked(None, found).failures)
        return provider_pb2.InvokeResponse(**{"return": values.encode(found)})

    def on_cancel(self, _request: Any) -> empty_pb2.Empty:
        self.cancelled.set()
        return empty_pb2.Empty()


_STRUCT = provider_pb2.CheckRequest.DESCRIPTOR.fields_by_name["news"].message_type


def _asked(request: Any, olds: str = "olds", news: str = "news", inputs: str = "old_inputs") -> Asked:
    def properties(name: str) -> Properties:
        return values.decode(getattr(request, name)) if hasattr(request, name) else {}

    # Older engines send the URN alone: urn:pulumi:<stack>::<project>::<parent types>$<type>::<name>
    parts = request.urn.split("::", 3)
    return Asked(
        request.urn,
        request.type or parts[2].rpartition("$")[2],
        request.name or parts[3],
        getattr(request, "id", ""),
        properties(olds),
        properties(news),
        properties(inputs),
        ignored=getattr(request, "ignoreChanges", ()),
        preview=getattr(request, "preview", False),
        timeout=getattr(request, "timeout", 0),
        seed=getattr(request, "randomSeed", b"") or os.urandom(32),
    )


def _checked(inputs: Any, found: Sequence[Invalid]) -> provider_pb2.CheckResponse:
    failures = [provider_pb2.CheckFailure(property=each.property, reason=each.reason) for each in found]
    return provider_pb2.CheckResponse(inputs=inputs, failures=failures)


def _answer(provider: Provider, method: Callable[[Any], Any], request: Any, context: grpc.ServicerContext) -> Any:
    """Call a handler; turn what it raises into a code the engine understands, without any secret of the request."""
    try:
        return method(request)
    except PartialError as error:
        code, message, detail = Code.UNKNOWN, provider.clean(error.reason, request), any_pb2.Any()
        outputs = values.encode(error.outputs)
        detail.Pack(provider_pb2.ErrorResourceInitFailed(id=error.id, properties=outputs, reasons=[message]))
        status = status_pb2.Status(code=code.value[0], message=message, details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    except Exception as error:
        code, message = provider.explain(error)
        message = provider.clean(message, request)
    return context.abort(code, message)


def serve(provider: Provider) -> None:
    """Serve on a free loopback port, the first line on stdout, until the engine ends this process or itself."""
    server = grpc.server(ThreadPoolExecutor(64), options=_OPTIONS)
    servicer = provider_pb2_grpc.ResourceProviderServicer()
    for name in dir(provider):
        if name.startswith("on_"):
            rpc = name.removeprefix("on_").title().replace("_", "")
            setattr(servicer, rpc, functools.partial(_answer, provider, getattr(provider, name)))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    ending = threading.Event()
    # The engine calls Cancel, then sends SIGINT, then waits: end quietly, as soon as no request is under way.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    engine = os.getppid()
    server.start()
    print(port, flush=True)
    # An engine killed outright says nothing; its children are handed to another parent.
    while not ending.wait(1) and os.getppid() == engine:
        pass
    provider.cancelled.set()
    server.stop(grace=5).wait()
    os._exit(0)
