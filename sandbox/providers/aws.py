"""Stand-in for the aws provider: one engine over the table aws_resources.yaml, calling boto3."""

from __future__ import annotations

import datetime
import functools
import hashlib
import ipaddress
import json
import os
import re
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sandbox.providers import aws_hooks, values
from sandbox.providers.base import Asked, Code, Invalid, PartialError, RefusedError, invalid_names, root, serve, unknown
from sandbox.providers.table import Argument, Row, Tabled, document, load, unordered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import grpc

    from sandbox.providers.values import Properties

_TABLE = load("aws_resources.yaml")
ROWS: Mapping[str, Row] = _TABLE["types"]
FUNCTIONS: Mapping[str, Properties] = _TABLE["functions"]
_NOTHING: tuple[Any, ...] = (None, [], {}, "", False, 0)
# What takes an argument away that the program no longer gives, by the API's type of its member.
_NO_MORE = {"boolean": False, "integer": 0, "list": [], "string": ""}
# Failures after which a request may have been carried out all the same; every other one changed nothing.
_UNCERTAIN = ("ConnectionClosedError", "ReadTimeoutError", "ResponseParserError", "IncompleteReadError")
_FAILED = ("create-failed", "failed", "incompatible-network", "incompatible-parameters")


class Aws(Tabled):
    name = "aws"
    rows = ROWS
    types = ROWS.keys()
    settings = """accessKey maxRetries region s3UsePathStyle secretKey skipCredentialsValidation
        skipMetadataApiCheck skipRegionValidation skipRequestingAccountId token"""
    replacing_settings = "region"

    def __init__(self) -> None:
        super().__init__()
        self.given: Properties = {}
        self.region = ""
        self._clients: dict[tuple[str, str], Any] = {}
        self._making = threading.Lock()

    def configure(self, given: Properties) -> None:
        endpoint()
        self.given = given
        self.region = given.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
        if not self.region:
            raise RefusedError("no AWS region: set aws:region or AWS_REGION", Code.INVALID_ARGUMENT)

    def client(self, service: str, region: str | None = None) -> Any:
        """boto3's client of a service; loaded when first needed, for boto3 takes longer than all else here."""
        import boto3
        from botocore.config import Config

        key = (service, region or self.region)
        with self._making:
            if key not in self._clients:
                retries = {"mode": "standard", "total_max_attempts": int(self.given.get("maxRetries", 7)) + 1}
                config = Config(retries=retries, max_pool_connections=64, proxies={}, connect_timeout=5)
                credentials = [self.given.get(name) for name in ("accessKey", "secretKey", "token")]
                session = boto3.Session(*credentials, key[1])
                self._clients[key] = session.client(service, endpoint_url=endpoint(), config=config)
            return self._clients[key]

    def explain(self, error: Exception) -> tuple[grpc.StatusCode, str]:
        answer = getattr(error, "response", None)
        if isinstance(answer, dict):  # botocore's ClientError
            code, status = answer["Error"]["Code"], answer["ResponseMetadata"].get("HTTPStatusCode", 400)
            message = f"{getattr(error, 'operation_name', '')}: {code}: {answer['Error'].get('Message', '')}"
            return (Code.INTERNAL if status >= 500 else Code.FAILED_PRECONDITION), message
        if type(error).__module__.startswith("botocore"):
            uncertain = type(error).__name__ in _UNCERTAIN
            return (Code.INTERNAL if uncertain else Code.INVALID_ARGUMENT), f"{type(error).__name__}: {error}"
        return super().explain(error)

    def check(self, asked: Asked) -> tuple[Properties, list[Invalid]]:
        row, (inputs, found) = ROWS[asked.type], super().check(asked)
        found += _hook(row, "invalid", values.plain(inputs))
        for name in inputs.keys() & row.arguments.keys():
            each = row.arguments[name].each
            if row.arguments[name].fields and isinstance(inputs[name], list):
                inputs[name] = unordered(
                    [{**each, **item} if isinstance(item, dict) else item for item in inputs[name]]
                )
        defaults = {name: value for name, value in row.defaults.items() if name not in inputs}
        if row.autonamed and row.name not in inputs:
            kept = asked.olds.get(row.name) if row.name in asked.olds.get("__defaults", []) else None
            suffix = hashlib.sha256(asked.seed + asked.urn.encode()).hexdigest()[:7]
            named = f"{asked.name[: row.autonamed - 8]}-{suffix}"
            defaults[row.name] = kept or (named.lower() if row.service in ("elasticache", "rds") else named)
        return {**inputs, **defaults, "__defaults": sorted(defaults)}, found

    def replaced(self, row: Row, old: Properties, new: Properties) -> set[str]:
        return {*_hook(row, "replaced", old, new)}

    def create(self, asked: Asked) -> tuple[str, Properties]:
        thing = Thing(self, asked, _given(asked.news), verb=0)
        row, new = thing.row, thing.new
        if asked.preview:
            return "", {**dict.fromkeys((*row.outputs, *row.flagged("computed")), values.UNKNOWN), **thing.foreseen()}
        if row.generated and row.id not in new:
            new[row.id] = f"tf-{datetime.datetime.now(datetime.UTC):%Y%m%d%H%M%S%f}{os.urandom(3).hex()}"
        later = thing.make()
        try:
            thing.wait()
            thing.modify(later, {}, ApplyImmediately=True)
            _hook(row, "after", thing, {})
            return thing.id, thing.outputs()
        except Exception as error:
            raise thing.partial(error) from error

    def read(self, asked: Asked) -> tuple[str, Properties, Properties] | None:
        row, importing = ROWS[asked.type], not asked.olds
        prior = {**(row.imported if importing else {}), **_given(asked.inputs), **_given(asked.olds)}
        plan, _, id_ = asked.id.rpartition("|")  # PLAN|SELECTION, as the real provider imports a backup selection
        thing = Thing(self, asked, {**prior, **({"planId": plan} if plan else {})}, verb=0)
        thing.id = id_
        found = thing.look()
        if found is None:
            return None
        outputs = thing.outputs(found)
        inputs: Properties = {"__defaults": asked.inputs.get("__defaults", [])}
        for name in row.arguments.keys() & outputs.keys():
            # What the program does not say is an input only when it differs from what AWS does anyway.
            worth = values.plain(outputs[name]) not in (*_NOTHING, row.defaults.get(name)) and name != "region"
            if name in asked.inputs or (worth and (importing or name not in row.flagged("computed"))):
                inputs[name] = outputs[name]
        return id_, inputs, outputs

    def update(self, asked: Asked) -> Properties:
        row, old, given = ROWS[asked.type], _given(asked.olds), _given(asked.news)
        changed = {root(path) for path in self.diff(asked).changes}
        kept = {name: old[name] for name in row.arguments.keys() & old.keys() - changed}
        thing = Thing(self, asked, {**{name: given[name] for name in changed & given.keys()}, **kept}, verb=1)
        if asked.preview:
            gone = {*changed, "__defaults"} - thing.new.keys()
            again = {name: values.UNKNOWN for name, cause in row.recomputed.items() if cause in changed}
            return {
                **{name: each for name, each in asked.olds.items() if name not in gone},
                **again,
                **thing.foreseen(),
            }
        try:
            _hook(row, "before", thing, old)
            thing.modify(changed, old)
            _hook(row, "after", thing, old)
            if "tags" in changed:
                thing.retag(old)
            return thing.outputs()
        except Exception as error:
            raise (thing.partial(error) if thing.started else error) from error

    def delete(self, asked: Asked) -> None:
        thing = Thing(self, asked, _given(asked.olds), verb=2)
        if thing.new.get("skipFinalSnapshot"):
            thing.new.pop("finalSnapshotIdentifier", None)
        elif "skipFinalSnapshot" in thing.new and not thing.new.get("finalSnapshotIdentifier"):
            raise RefusedError(
                f"{asked.id}: finalSnapshotIdentifier is required when skipFinalSnapshot is false; set one of them, run"
                " `pulumi up`, then delete"
            )
        operation = thing.row.operation("delete")
        try:
            thing.call(operation, **thing.request(operation, thing.row.flagged("always", "unread") | thing.path.keys()))
        except Exception as error:
            if not _missing(error):
                raise
        while thing.row.status and thing.look() is not None:
            thing.patience("to be deleted")

    def invoke(self, token: str, arguments: Properties) -> Properties | list[Invalid]:
        if token not in FUNCTIONS:
            raise RefusedError(unknown("function", token, FUNCTIONS), Code.INVALID_ARGUMENT)
        function, known, request = FUNCTIONS[token], FUNCTIONS[token]["arguments"], dict[str, Any]()
        if found := invalid_names(f"argument of {token}", arguments, (*known, "region")):
            return found
        client = self.client(function["service"], arguments.get("region"))
        for name in known.keys() & arguments.keys():
            if member := known[name]:
                request[member] = [arguments[name]] if member.endswith("Ids") else arguments[name]
        if "filters" in known:
            wanted = {each["name"]: each["values"] for each in arguments.get("filters") or []}
            wanted |= {f"tag:{key}": [value] for key, value in (arguments.get("tags") or {}).items()}
            request["Filters"] = [{"Name": name, "Values": each} for name, each in wanted.items()]
        try:
            if client.can_paginate(function["operation"]):
                answer = client.get_paginator(function["operation"]).paginate(**request).build_full_result()
            else:
                answer = getattr(client, function["operation"])(**request)
        except client.exceptions.ClientError as error:
            code = Code.NOT_FOUND if _missing(error) else self.explain(error)[0]
            raise RefusedError(f"{token.rpartition(':')[2]}: {self.explain(error)[1]}", code) from error
        if "one" in function and (count := len(answer[function["one"]])) != 1:
            what = f"{count} match; say more" if count else "none matches"
            raise RefusedError(f"{token} wants exactly one of {function['one']}: {what}", Code.NOT_FOUND)
        outputs = {name: _json(_search(path, answer)) for name, path in function["outputs"].items()}
        tags = {"tags": _tags(outputs["tags"])} if "tags" in outputs else {}
        region = client.meta.region_name
        return {"id": region, "region": region, **arguments, **outputs, **tags}


class Thing:
    """One resource while a request about it is carried out; `new` are its plain arguments."""

    def __init__(self, provider: Aws, asked: Asked, new: Properties, *, verb: int) -> None:
        self.provider, self.asked, self.new = provider, asked, new
        self.row, self.id = ROWS[asked.type], asked.id
        self.deadline = time.monotonic() + (asked.timeout or self.row.timeouts[verb] * 60)
        self.tags: Properties = new.get("tags") or {}
        self.started = False
        told = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>.+?)", self.row.id), self.id) if "{" in self.row.id else None
        self.new = {**(told.groupdict() if told else {}), **new}

    @property
    def path(self) -> Properties:
        """The arguments that make the id (`{role}/{policyArn}`)."""
        return {name: self.new[name] for name in re.findall(r"\{(\w+)\}", self.row.id) if name in self.new}

    def call(self, operation: str, **members: Any) -> Properties:
        client = self.provider.client(self.row.service, self.new.get("region"))
        answer = dict(getattr(client, operation)(**members))
        self.started = self.started or not operation.startswith(("describe", "get", "list"))
        return answer

    def members(self, operation: str) -> Mapping[str, Any]:
        """The shapes of an operation's request members, by the API's own model."""
        meta = self.provider.client(self.row.service, self.new.get("region")).meta
        return dict(meta.service_model.operation_model(meta.method_to_api_mapping[operation]).input_shape.members)

    def key(self, operation: str) -> Properties:
        """The member that names the resource to an operation."""
        ways = {self.row.key: self.id, f"{self.row.key}s": [self.id], f"{self.row.key}Prefix": self.id}
        return next(({name: ways[name]} for name in ways.keys() & self.members(operation).keys()), {})

    def wire(self, name: str, value: Any) -> Any:
        return _wire(self.row.arguments[name], value)

    def request(self, operation: str, names: Iterable[str], gone: Iterable[str] = ()) -> Properties:
        """The members of a request that these arguments fill, and those that end the ones that are `gone`."""
        shapes = self.members(operation)
        folded = {name.lower(): name for name in shapes}
        request = self.key(operation) if self.id else {}
        for name in {*names, *gone} & self.row.arguments.keys() - {"tags"}:
            argument, value = self.row.arguments[name], self.new.get(name, self.row.defaults.get(name))
            member = next((folded[each.lower()] for each in argument.sent if each.lower() in folded), None)
            if value is not None and "spread" in argument.flags:
                request |= {field: item for field, item in _wire(argument, value).items() if field in shapes}
            elif member is None or "unsent" in argument.flags:
                continue
            elif value is not None:
                request[member] = _wire(argument, value)
            elif name in gone and shapes[member].type_name in _NO_MORE:
                request[member] = _NO_MORE[shapes[member].type_name]
        return request

    def foreseen(self) -> Properties:
        """What a preview knows: the arguments as given, and the tags."""
        region = {"region": self.provider.region} if "region" in self.row.arguments else {}
        tagged = {"tagsAll": self.tags} if "tags" in self.row.arguments else {}
        return {**region, **tagged, **{name: self.asked.news[name] for name in self.asked.news if name != "__defaults"}}

    def make(self) -> set[str]:
        """Create it; the answer is the arguments that are sent only afterwards."""
        row, operation, kept_back, later = self.row, self.row.operation("create"), set[str](), set[str]()
        for argument, restore in row.restores.items():
            if self.new.get(argument):
                operation, kept_back, later = restore["operation"], {*restore["withheld"]}, {*restore["afterwards"]}
        self.new = {**row.implied, **self.new}
        given = {name for name in self.new if self.new[name] not in ([], {}, "")}
        request = self.request(operation, given - kept_back - later)
        answer = self.call(
            operation, **request, **dict(_hook(row, "created", self.new)), **self.tagging(operation, self.tags)
        )
        told = row.id.format(**self.new) if "{" in row.id else _search(row.id, answer)
        self.id = self.new.get(row.id) or told
        taken = {name.lower() for name in self.members(operation)}
        own = {name for name in row.own if not taken & {each.lower() for each in row.arguments[name].sent}}
        return {name for name in later | own if self.new.get(name) not in _NOTHING}

    def set_own(self, names: Iterable[str]) -> None:
        """Call the operations that some arguments have of their own."""
        for name in sorted({*names} & self.row.own.keys()):
            given = self.new.get(name) not in _NOTHING
            if operation := self.row.own[name].get("set" if given else "unset"):
                self.call(operation, **self.request(operation, [name] if given else []))

    def modify(self, changed: set[str], old: Properties, **extra: Any) -> None:
        """Send what changed, if the operation takes it, with what always goes along."""
        row, operation = self.row, self.row.operation("update")
        sent = {name for name in changed if name in row.arguments} - row.flagged("initial") - row.own.keys()
        along = {each for name in sent for each in row.arguments[name].along}
        if operation and sent:
            bare = self.key(operation)
            request = self.request(operation, sent | along, gone=sent - self.new.keys())
            more = dict(_hook(row, "changed", self.id, old, self.new)) if old and sent != {"tags"} else {}
            for member, value in more.items():
                request[member] = [*request.get(member, []), *value] if isinstance(value, list) else value
            if request != bare:
                always = self.request(operation, row.flagged("always") if old else [])
                self.call(operation, **{**always, **request, **extra})
                self.wait(applied=bool(extra.get("ApplyImmediately", self.new.get("applyImmediately"))))
        self.set_own(changed)

    def tagging(self, operation: str, tags: Properties) -> Properties:
        """The member of a request that carries tags, in the shape that the API's model gives it."""
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        for name, shape in self.members(operation).items() if tags else ():
            if name == "TagSpecifications" and "Tags" not in self.members(operation):
                return {name: [{"ResourceType": self.row.noun.replace("_", "-"), "Tags": pairs}]}
            if re.fullmatch("([A-Z][a-z]+)*Tags|tags|[Tt]agKeys|TagKeyList", name):
                names = shape.type_name == "list" and shape.member.type_name == "string"
                return {name: sorted(tags) if names else tags if shape.type_name == "map" else pairs}
        return {}

    def retag(self, old: Properties) -> None:
        how, before = _TABLE["tagging"][self.row.service], old.get("tagsAll") or {}
        id_ = self.id if how["names"] == "id" else old.get(how["names"])
        named = {how["member"]: [id_] if how["member"] == "Resources" else id_}
        for operation, tags in (
            (how["untag"], {key: value for key, value in before.items() if key not in self.tags}),
            (how["tag"], self.tags),
        ):
            if tags:
                self.call(operation, **named, **self.tagging(operation, tags))

    def look(self) -> Properties | None:
        """The resource as the API describes it; None when it is gone."""
        operation = self.row.operation("read")
        try:
            answer = self.call(operation, **self.request(operation, {*self.path, *self.row.flagged("always")}))
        except Exception as error:
            if _missing(error):
                return None
            raise
        return dict(_search(self.row.found.format(id=self.id, **self.path), answer) or {}) or None

    def outputs(self, found: Properties | None = None) -> Properties:
        """The state: what the API says, in the program's spelling where that means the same."""
        row, found = self.row, found or self.look()
        if found is None:
            raise RefusedError(f"{self.id} vanished while it was being read", Code.NOT_FOUND)
        for name, also in row.also.items():
            request = {member: _search(path, found) for member, path in also["request"].items()}
            found[name] = _search(also["path"], self.call(also["operation"], **request))
        folded = {name.lower(): value for name, value in found.items()}
        outputs = {name: _value(path, folded, found, name) for name, path in row.outputs.items()}
        told = {**self.path, "region": self.new.get("region") or self.provider.region}
        for name, argument in row.arguments.items():
            before, value = self.new.get(name), _value(argument.read, folded, found, *argument.sent)
            value = argument.default if value is None else _unwire(argument, value)
            pending = (found.get("PendingModifiedValues") or {}).get("EngineVersion")
            value = _version(before, value, pending) if argument.same == "version" else value
            same = before is not None and argument.normal(before) == argument.normal(value)
            outputs[name] = before if same or "unread" in argument.flags else told.get(name, value)
        if "tags" in row.arguments:
            how = _TABLE["tagging"][row.service]
            answer = self.call(how["read"], **{how["member"]: outputs[how["names"]]}) if "read" in how else found
            tags = _tags(answer.get("TagList") or answer.get("Tags") or answer.get("tags"))
            outputs |= {"tags": tags or self.new.get("tags"), "tagsAll": tags}
        shown = {name: _json(value) for name, value in outputs.items() if value is not None}
        like = {**self.asked.olds, **self.asked.inputs, **self.asked.news}
        return values.wrap(shown, like, tuple(row.flagged("secret")))

    def wait(self, *, applied: bool = False) -> None:
        """Until it is available, where the API tells; `applied`: and nothing waits for the maintenance window."""
        pause = 0.02
        while self.row.status:
            found = self.look() or {}
            status = found.get(self.row.status, "gone")
            if status == "available" and not (applied and found.get(self.row.pending)):
                return
            if status in _FAILED or not found:
                raise RefusedError(f"{self.id} is {status}")
            self.provider.tell(f"{self.id} is {status}", self.asked.urn)
            self.patience(f"to be available; it is {status}", pause)
            pause = min(pause * 1.5, 1)

    def patience(self, what: str, pause: float = 0.1) -> None:
        if time.monotonic() > self.deadline:
            raise RefusedError(f"timeout while waiting for {self.id} {what}", Code.DEADLINE_EXCEEDED)
        self.provider.pause(pause)

    def partial(self, error: Exception) -> PartialError:
        """It exists but is not as asked; its state is read, so that the next update sees what is left to do."""
        state = {**self.asked.olds, **self.asked.news}
        with suppress(Exception):
            state = self.outputs()
        return PartialError(self.id, state, self.provider.explain(error)[1])


def endpoint() -> str:
    """The API to call. This is a stand-in: anywhere but on this machine it must not work."""
    urls = {name: url for name, url in os.environ.items() if name.startswith("AWS_ENDPOINT_URL") and url}
    for name, url in {"AWS_ENDPOINT_URL": "", **urls}.items():
        host, local = urlsplit(url).hostname or "", False
        with suppress(ValueError):
            local = host == "localhost" or ipaddress.ip_address(host).is_loopback
        if not local:
            raise RefusedError(
                f"{name} is {url or 'not set'}: the sandbox's aws provider calls nothing but a loopback address; run"
                " `source sandbox/activate`, or leave the sandbox's PULUMI_HOME to use AWS"
            )
    return urls["AWS_ENDPOINT_URL"]


def _given(properties: Properties) -> Properties:
    """Plain arguments, without nulls and bookkeeping."""
    return {name: values.plain(each) for name, each in properties.items() if name != "__defaults" and each is not None}


def _missing(error: Exception) -> bool:
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    return "NotFound" in code or code.startswith("NoSuch")


def _hook(row: Row, name: str, *given: Any) -> Any:
    """What the row's hook says; nothing if it has none."""
    return getattr(aws_hooks, row.hooks[name])(*given) if name in row.hooks else ()


def _wire(argument: Argument, value: Any) -> Any:
    """The value as a request holds it."""
    if isinstance(value, list):
        return [_wire(argument, each) for each in value]
    if argument.same == "json":
        return value if isinstance(value, str) else json.dumps(value)
    if not (argument.fields and isinstance(value, dict)):
        return value
    wired: Properties = {**argument.constant}
    for name, path in argument.fields.items():
        *outer, member = path.split(".")
        if value.get(name) is not None:
            functools.reduce(lambda inner, each: inner.setdefault(each, {}), outer, wired)[member] = value[name]
    return wired


def _unwire(argument: Argument, value: Any) -> Any:
    """The value of an answer as the program writes it."""
    if argument.same == "json":
        return json.dumps(document(value))
    if isinstance(value, list):
        return argument.normal([_unwire(argument, each) for each in value]) or []
    if not (argument.fields and isinstance(value, dict)):
        return _json(value)
    found = {name: _search(path, value) for name, path in argument.fields.items()}
    return {name: item for name, item in found.items() if item is not None}


def _search(path: str, answer: Any) -> Any:
    import jmespath

    return jmespath.search(path, answer)


def _value(path: str | None, folded: Properties, found: Properties, *names: str) -> Any:
    if path:
        return _search(path, found)
    return next((folded[name.lower()] for name in names if name.lower() in folded), None)


def _version(before: Any, actual: Any, pending: Any) -> Any:
    """As it is set: `16` stands for the 16.8 that AWS reports, and what waits for the window is no difference."""
    if before is not None and (before == pending or f"{actual}.".startswith(f"{before.removesuffix('.x')}.")):
        return before
    parts = str(actual or 0).split(".")  # Redis and Valkey are set as major.minor from 6 on
    return actual if int(parts[0]) < 6 else ".".join(parts[:2])


def _tags(found: Any) -> Properties:
    return {each["Key"]: each["Value"] for each in found} if isinstance(found, list) else found or {}


def _json(value: Any) -> Any:
    """A part of an API's answer as a property value: times as text, nothing for null."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, dict):
        return {name: _json(item) for name, item in value.items() if item is not None}
    return [_json(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    serve(Aws())
