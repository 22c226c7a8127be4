"""Stand-in for the aws provider: one engine over the table in sandbox.providers.aws_resources, calling boto3."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sandbox.providers import values
from sandbox.providers.aws_functions import FUNCTIONS
from sandbox.providers.aws_resources import DECODE, ENCODE, ROWS, SAME, VERSIONS, Argument, Row, unordered
from sandbox.providers.base import (
    Asked,
    Code,
    Difference,
    Invalid,
    PartialError,
    Provider,
    RefusedError,
    invalid_names,
    root,
    serve,
    unknown,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import grpc

    from sandbox.providers.values import Properties

_NOTHING: tuple[Any, ...] = (None, [], {}, "", False)
# Failures after which a request may have been carried out all the same; every other one changed nothing.
_UNCERTAIN = ("ConnectionClosedError", "ReadTimeoutError", "ResponseParserError", "IncompleteReadError")
_FAILED = ("create-failed", "failed", "incompatible-network", "incompatible-parameters")
# service → the operations that add and take away tags, and the member that names the resource (an arn, or its id)
_TAGGING = {
    "ec2": ("create_tags", "delete_tags", "Resources"),
    "elasticache": ("add_tags_to_resource", "remove_tags_from_resource", "ResourceName"),
    "iam": ("tag_role", "untag_role", "RoleName"),
    "logs": ("tag_resource", "untag_resource", "resourceArn"),
    "rds": ("add_tags_to_resource", "remove_tags_from_resource", "ResourceName"),
}


class Aws(Provider):
    name = "aws"
    types = ROWS.keys()
    settings = """accessKey maxRetries region s3UsePathStyle secretKey skipCredentialsValidation
        skipMetadataApiCheck skipRegionValidation skipRequestingAccountId token"""
    refused_settings = """allowedAccountIds assumeRoleWithWebIdentity assumeRoles customCaBundle defaultTags
        ec2MetadataServiceEndpoint ec2MetadataServiceEndpointMode endpoints forbiddenAccountIds httpProxy httpsProxy
        ignoreTags insecure noProxy profile retryMode s3UsEast1RegionalEndpoint sharedConfigFiles sharedCredentialsFiles
        stsRegion tagPolicyCompliance tokenBucketRateLimiterCapacity useDualstackEndpoint useFipsEndpoint userAgents"""
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
                self._clients[key] = boto3.client(
                    service,
                    region_name=key[1],
                    endpoint_url=endpoint(),
                    aws_access_key_id=self.given.get("accessKey"),
                    aws_secret_access_key=self.given.get("secretKey"),
                    aws_session_token=self.given.get("token"),
                    config=Config(retries=retries, max_pool_connections=64, proxies={}, connect_timeout=5),
                )
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
        row = ROWS[asked.type]
        inputs = {name: value for name, value in asked.news.items() if name != "__defaults"}
        found = invalid_names(f"argument of {asked.type}", inputs, row.table, row.refused.split())
        for name in sorted(row.flagged("required") - inputs.keys()):
            found.append(Invalid(name, f"missing required argument {name!r} of {asked.type}"))
        for name, value in row.only.items():
            if name in inputs and values.plain(inputs[name]) not in (value, values.UNKNOWN):
                found.append(Invalid(name, f"{name} of {asked.type}: the sandbox supports only {value!r}"))
        defaults = {name: value for name, value in row.defaults.items() if name not in inputs}
        if row.autonamed and row.name not in inputs:
            kept = asked.olds.get(row.name) if row.name in asked.olds.get("__defaults", []) else None
            suffix = hashlib.sha256(asked.seed + asked.urn.encode()).hexdigest()[:7]
            named = f"{asked.name[: row.autonamed - 8]}-{suffix}"
            defaults[row.name] = kept or (named.lower() if row.service in ("elasticache", "rds") else named)
        if isinstance(parameters := inputs.get("parameters"), list):
            method = {"applyMethod": "immediate"} if row.service == "rds" else {}
            inputs["parameters"] = unordered([{**method, **each} for each in parameters if isinstance(each, dict)])
        return {**inputs, **defaults, "__defaults": sorted(defaults)}, found

    def diff(self, asked: Asked) -> Difference:
        """What the program wants against the recorded state, as the Terraform provider within the real one does."""
        row, old, new = ROWS[asked.type], values.plain(asked.olds), values.plain(asked.news)
        forced, found = row.flagged("replaces") | row.replaced(old, new), Difference()
        for name, argument in row.table.items():
            for change in _changes(row, name, argument, old.get(name), new.get(name)):
                if not values.covers(asked.ignored, change.path):
                    found.changes[change.path] = change.kind
                    found.replaces += [change.path] if name in forced else []
        # As the real provider: only a type that it would name itself is deleted first, when its name is fixed.
        fixed = row.name not in new.get("__defaults", []) and old.get(row.name) == new.get(row.name)
        found.delete_first = bool(row.autonamed and fixed)
        return found

    def create(self, asked: Asked) -> tuple[str, Properties]:
        thing = _Thing(self, asked, _given(asked.news), minutes=0)
        row, new = thing.row, thing.new
        if asked.preview:
            return "", {**dict.fromkeys((*row.paths, *row.flagged("computed")), values.UNKNOWN), **thing.foreseen()}
        if row.generated and row.id not in new:
            new[row.id] = f"tf-{datetime.datetime.now(datetime.UTC):%Y%m%d%H%M%S%f}{os.urandom(3).hex()}"
        answer, later = thing.make()
        thing.id = new[row.id] if row.id in new else row.id.format(**new) if "{" in row.id else _path(row.id, answer)
        try:
            thing.wait()
            if later:
                thing.modify(later)
            if row.settle:
                row.settle(thing.call, thing.id, {}, new)
                thing.wait()
            return thing.id, thing.outputs()
        except Exception as error:
            raise thing.partial(error) from error

    def read(self, asked: Asked) -> tuple[str, Properties, Properties] | None:
        row, importing = ROWS[asked.type], not asked.olds
        prior = {**(row.imported if importing else {}), **_given(asked.inputs), **_given(asked.olds)}
        thing = _Thing(self, asked, prior, minutes=0)
        found = thing.find()
        if found is None:
            return None
        outputs = thing.outputs(found)
        inputs: Properties = {"__defaults": asked.inputs.get("__defaults", [])}
        for name in row.table.keys() & outputs.keys():
            # What the program does not say is an input only when it differs from what AWS does anyway.
            worth = values.plain(outputs[name]) not in (*_NOTHING, 0, row.defaults.get(name)) and name != "region"
            if name in asked.inputs or (worth and (importing or name not in row.flagged("computed"))):
                inputs[name] = outputs[name]
        return asked.id, inputs, outputs

    def update(self, asked: Asked) -> Properties:
        row, old = ROWS[asked.type], _given(asked.olds)
        changed = {root(path) for path in self.diff(asked).changes}
        given = _given(asked.news)
        kept = {name: old[name] for name in row.table.keys() & old.keys() - changed}
        thing = _Thing(self, asked, {**{name: given[name] for name in changed & given.keys()}, **kept}, minutes=1)
        if asked.preview:
            gone = {*changed, "__defaults"} - thing.new.keys()
            again = {"engineVersionActual", "memberClusters"} & row.paths.keys() if changed else set()
            state = {name: value for name, value in asked.olds.items() if name not in gone}
            return {**state, **dict.fromkeys(again, values.UNKNOWN), **thing.foreseen()}
        try:
            thing.modify(changed, old)
            if row.settle:
                thing.started = True
                row.settle(thing.call, thing.id, old, thing.new)
            if "tags" in changed:
                thing.retag(old)
            thing.wait()
            return thing.outputs()
        except Exception as error:
            raise (thing.partial(error) if thing.started else error) from error

    def delete(self, asked: Asked) -> None:
        thing = _Thing(self, asked, _given(asked.olds), minutes=2)
        if thing.new.get("skipFinalSnapshot") is False and not thing.new.get("finalSnapshotIdentifier"):
            raise RefusedError(
                f"{asked.id}: finalSnapshotIdentifier is required when skipFinalSnapshot is false; set one of them, run"
                " `pulumi up`, then delete"
            )
        try:
            thing.erase()
        except Exception as error:
            if not _missing(error):
                raise
        while thing.row.status and thing.find() is not None:
            thing.patience("to be deleted")

    def invoke(self, token: str, arguments: Properties) -> Properties | list[Invalid]:
        if token not in FUNCTIONS:
            raise RefusedError(unknown("function", token, FUNCTIONS), Code.INVALID_ARGUMENT)
        service, names, function = FUNCTIONS[token]
        if found := invalid_names(f"argument of {token}", arguments, (*names.split(), "region"), ()):
            return found
        client = self.client(service, arguments.get("region"))
        return {
            "id": client.meta.region_name,
            "region": client.meta.region_name,
            **arguments,
            **function(client, arguments),
        }


class _Thing:
    """One resource while a request about it is carried out; `new` are its plain arguments."""

    def __init__(self, provider: Aws, asked: Asked, new: Properties, *, minutes: int) -> None:
        self.provider, self.asked, self.new = provider, asked, new
        self.row, self.id = ROWS[asked.type], asked.id
        self.deadline = time.monotonic() + (asked.timeout or self.row.timeouts[minutes] * 60)
        self.tags: Properties = new.get("tags") or {}
        self.started = False

    def call(self, operation: str, **members: Any) -> Properties:
        client = self.provider.client(self.row.service, self.new.get("region"))
        return dict(getattr(client, operation)(**members))

    def foreseen(self) -> Properties:
        """What a preview knows: the arguments as given, and the tags that the provider's settings add."""
        region = {"region": self.provider.region} if "region" in self.row.table else {}
        tagged = {"tagsAll": self.tags} if "tags" in self.row.table else {}
        return {**region, **tagged, **{name: self.asked.news[name] for name in self.asked.news if name != "__defaults"}}

    def make(self) -> tuple[Properties, set[str]]:
        """Create it: the answer, and the arguments that the real provider sends only afterwards."""
        row, operation, extra = self.row, self.row.operation("create"), {}
        withheld, later = set[str](), set[str]()
        for restore in row.restores:
            if restore.argument in self.new:
                operation, extra = restore.operation, restore.request(self.new[restore.argument])
                withheld, later = set(restore.withheld.split()), self.new.keys() & set(restore.afterwards.split())
        request = self.request(operation, self.new.keys() - withheld)
        if "create" in row.requests:
            request = row.requests["create"]("", self.new)
        if self.tags and row.service == "ec2":
            kind = "security-group-rule" if "Rule" in self.asked.type else "security-group"
            extra["TagSpecifications"] = [{"ResourceType": kind, **self.tag_pairs()}]
        elif self.tags:
            extra |= self.tag_pairs()
        return self.call(operation, **request, **extra), later

    def modify(self, changed: Iterable[str], old: Properties | None = None) -> None:
        """Send what changed, if the operation takes it, with what always goes along."""
        row, operation = self.row, self.row.operation("update")
        if not operation:
            return
        extra = row.modify(old, self.new) if old is not None else {"ApplyImmediately": True}
        request = {**self.request(operation, set(changed) - row.flagged("by_hand")), **extra}
        if request:
            always = self.request(operation, row.flagged("always"))
            self.call(operation, **{**self.key(), **always, **request})
            self.started = True
            self.wait()

    def erase(self) -> None:
        operation = self.row.operation("delete")
        if "delete" in self.row.requests:
            self.call(operation, **self.row.requests["delete"](self.id, self.new))
        else:
            self.call(operation, **{**self.request(operation, self.new), **self.key()})

    def key(self) -> Properties:
        return {self.row.key: [self.id] if self.row.key.endswith("Ids") else self.id}

    def request(self, operation: str, names: Iterable[str]) -> Properties:
        """The members of an operation's request that these arguments fill, by the API's own model."""
        model = self.provider.client(self.row.service).meta
        shape = model.service_model.operation_model(model.method_to_api_mapping[operation]).input_shape
        members = {name.lower(): name for name in shape.members}
        request = {}
        for name in names:
            argument, value = self.row.table.get(name), self.new.get(name, self.row.defaults.get(name))
            if argument and value is not None and "unsent" not in argument.flags and name != "tags":
                member = members.get((argument.api or name).lower())
                if member:
                    request[member] = ENCODE[name](value) if name in ENCODE else value
        return request

    def tag_pairs(self) -> Properties:
        pairs = [{"Key": key, "Value": value} for key, value in self.tags.items()]
        return {"tags": self.tags} if self.row.service == "logs" else {"Tags": pairs}

    def retag(self, old: Properties) -> None:
        add, remove, member = _TAGGING[self.row.service]
        ids = {"Resources": [self.id], "RoleName": self.id}
        resource = {member: ids.get(member, old.get("arn"))}
        gone = sorted((old.get("tagsAll") or {}).keys() - self.tags.keys())
        if gone and self.row.service == "ec2":
            self.call(remove, **resource, Tags=[{"Key": key} for key in gone])
        elif gone:
            self.call(remove, **resource, **{"tagKeys" if self.row.service == "logs" else "TagKeys": gone})
        if self.tags:
            self.call(add, **resource, **self.tag_pairs())

    def find(self) -> Properties | None:
        """The resource as the API describes it, with its tags and what only other calls know; None when it is gone."""
        row = self.row
        request = row.requests["read"](self.id, self.new) if "read" in row.requests else self.key()
        try:
            answer = self.call(row.operation("read"), **request)
        except Exception as error:
            if _missing(error):
                return None
            raise
        found = row.found(answer, self.id) if callable(row.found) else answer.get(row.found) or _first(answer)
        if not found:
            return None
        found = {**found, **(row.observe(self.call, found) if row.observe else {})}
        if row.service == "logs":
            found["Tags"] = self.call("list_tags_for_resource", resourceArn=found["logGroupArn"])["tags"]
        elif "tags" in row.table:
            pairs = found.get("Tags", [])
            if row.service in ("rds", "elasticache"):
                pairs = self.call("list_tags_for_resource", ResourceName=_path(row.paths["arn"], found))["TagList"]
            found["Tags"] = {each["Key"]: each["Value"] for each in pairs}
        return dict(found)

    def outputs(self, found: Properties | None = None) -> Properties:
        """The state: what the API says, in the program's spelling where that means the same."""
        found = found or self.find()
        if found is None:
            raise RefusedError(f"{self.id} vanished while it was being read", Code.NOT_FOUND)
        folded = {name.lower(): value for name, value in found.items()}
        outputs = {name: _value(path, folded, found, name) for name, path in self.row.paths.items()}
        for name, argument in self.row.table.items():
            before = self.new.get(name)
            if "unread" in argument.flags:
                value = before
            elif name == "region":
                value = before or self.provider.region
            else:
                value = _value(argument.read, folded, found, argument.api, name)
                value = DECODE[name](value) if name in DECODE and value is not None else value
                value = self.row.defaults.get(name) if value is None else value
                alike = _normal(self.row, name, before) == _normal(self.row, name, value)
                version = name in VERSIONS and str(value).startswith(f"{before}.")
                value = before if before is not None and (alike or version) else value
            outputs[name] = value
        if "tags" in self.row.table:
            outputs["tagsAll"] = found["Tags"]
        shown = {name: _json(value) for name, value in outputs.items() if value is not None}
        like = {**self.asked.olds, **self.asked.inputs, **self.asked.news}
        return values.wrap(shown, like, tuple(self.row.flagged("secret")))

    def wait(self) -> None:
        """Until it is available, where the API tells."""
        pause = 0.02
        while self.row.status:
            status = _first(self.call(self.row.operation("read"), **self.key()))[self.row.status]
            if status == "available":
                return
            if status in _FAILED:
                raise RefusedError(f"{self.id} is {status}")
            self.provider.log(f"{self.id} is {status}", urn=self.asked.urn, status=True)
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
        return PartialError(self.id, state, [self.provider.explain(error)[1]])


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
    return "NotFound" in code or code == "NoSuchEntity"


def _normal(row: Row, name: str, value: Any) -> Any:
    """The form in which two spellings of an argument's value are equal."""
    value = row.defaults.get(name) if value is None else value
    value = None if value in ([], {}, "") else value
    return SAME[name](value) if name in SAME and value not in (None, values.UNKNOWN) else value


def _changes(row: Row, name: str, argument: Argument, old: Any, new: Any) -> list[values.Change]:
    before, after = _normal(row, name, old), _normal(row, name, new)
    if before == after or (new is None and ("computed" in argument.flags or before in _NOTHING)):
        return []
    if name in SAME and name != "parameters":
        return [values.Change(name, "add" if before is None else "delete" if after is None else "update")]
    if isinstance(before or after, dict):
        before, after = before or {}, after or {}
    return list(values.changes(before, after, name))


def _first(answer: Properties) -> Any:
    """The first item of the first list in an answer."""
    return next((items[0] for items in answer.values() if isinstance(items, list) and items), None)


def _path(path: str, answer: Mapping[str, Any]) -> Any:
    import jmespath

    return jmespath.search(path, answer)


def _value(path: str, folded: Properties, found: Properties, *names: str) -> Any:
    if path:
        return _path(path, found)
    return next((folded[name.lower()] for name in names if name.lower() in folded), None)


def _json(value: Any) -> Any:
    """A part of an API's answer as a property value: camelCase names, times as text."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, dict):
        return {name: _json(item) for name, item in value.items()}
    return [_json(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    serve(Aws())
