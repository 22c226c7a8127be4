"""Connections: the Secrets that carry credentials, and where credentials must not be."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from policies.credentials import (
    is_about,
    is_literal,
    lines_with_credential,
    names_credential,
    tells_credential,
    words_with_credential,
)
from policies.rule import Finding, Resource, ResourceRule, Rule, StackRule, Terms
from policies.tokens import (
    CLUSTER,
    CONFIG_MAP,
    RANDOM_PASSWORD,
    REDIS_USER,
    REPLICATION_GROUP,
    SECRET,
    STACK,
    WORKLOADS,
)
from policies.value import UNKNOWN, Undecided, Value
from policies.value import Secret as Marked
from policies.workloads import containers, pod

_SHARED = ("host", "reader_host", "port", "username", "password", "url", "reader_url")
KEYS: Mapping[str, tuple[str, ...]] = {
    "platform-database": (*_SHARED, "database", "DATABASE_URL", "DATABASE_READER_URL"),
    "platform-redis": (*_SHARED, "REDIS_URL", "REDIS_READER_URL"),
}
# What is called secretKeys or secrets may say these: the names of the contract.
_CONTRACT = frozenset((*KEYS, *(key for keys in KEYS.values() for key in keys)))

# Where each type keeps what must be marked.
_MARKED: Mapping[str, tuple[str, ...]] = {
    CLUSTER: ("masterPassword",),
    REPLICATION_GROUP: ("authToken",),
    REDIS_USER: ("passwords", "authenticationMode.passwords"),
    SECRET: ("stringData", "data"),
}
_SHORTEST_SECRET = 8
_COMMANDS = (
    "command",
    "args",
    *(f"{probe}.exec.command" for probe in ("livenessProbe", "readinessProbe", "startupProbe")),
    *(f"lifecycle.{moment}.exec.command" for moment in ("postStart", "preStop")),
)


def _connection_keys(resource: Resource, _: Terms) -> Iterator[Finding]:
    name = resource["metadata.name"].text
    if name is None or name not in KEYS:
        return
    kind = resource["type"]
    if kind.unknown:
        yield Undecided(kind.path)
    elif kind.known != "Opaque":
        yield f"type is {kind.shown if kind.known is not None else 'not set'}; Opaque is asked for"
    found: set[str] = set()
    for holder in ("stringData", "data"):
        value = resource[holder]
        if value.unknown:
            yield Undecided(holder)
            return
        for key in value.named():
            found.add(key)
            content = value.key(key)
            if not content.unknown and not isinstance(content.known, str):
                yield f"{holder}.{key} is not a text"
    if missing := [key for key in KEYS[name] if key not in found]:
        yield f"{name} has no {', '.join(missing)}; services read them by these names"
    if more := sorted(found - set(KEYS[name])):
        yield f"{name} has {', '.join(more)} too, which is in no contract"


def _marked_secret(resource: Resource, _: Terms) -> Iterator[Finding]:
    for path in _MARKED[resource.type]:
        value = resource[path]
        if value.raw is None or value.secret:
            continue
        entries = [value.key(key) for key in value.named()] if isinstance(value.raw, Mapping) else []
        entries = list(value.each()) if isinstance(value.raw, list) else entries
        if not entries or not all(each.secret for each in entries):
            yield f"{path} is not marked secret; the state would hold it in clear"


def _no_credential_in_env(resource: Resource, _: Terms) -> Iterator[Finding]:
    if resource.type == CONFIG_MAP:
        yield from _in_config_map(resource)
        return
    for container in containers(pod(resource)):
        for variable in container.at("env").each():
            yield from _in_variable(variable)
        for part in _COMMANDS:
            words = list(container.at(part).each())
            told = set(words_with_credential([None if each.unknown else each.known for each in words]))
            for number, word in enumerate(words):
                if word.secret or number in told:
                    yield f"{word.path} holds a credential, which every process list shows"


def _in_variable(variable: Value) -> Iterator[Finding]:
    name, value = variable.at("name"), variable.at("value")
    if value.absent:
        return
    if value.secret or (names_credential(str(name.known)) and (value.unknown or is_literal(value.known))):
        yield f"{variable.path} {name.bare} holds its value in clear; valueFrom.secretKeyRef is asked for"
    elif value.unknown:
        yield Undecided(f"{value.path} of {name.bare}")
    elif tells_credential(str(value.known)):
        yield f"{variable.path} {name.bare} holds a credential in its text; valueFrom.secretKeyRef is asked for"


def _in_config_map(resource: Resource) -> Iterator[Finding]:
    data = resource["data"]
    for key in data.named():
        value = data.key(key)
        if value.unknown:
            yield Undecided(value.path)
        elif value.secret or _told(key, value.known) or lines_with_credential(str(value.known)):
            yield f"{value.path} holds a credential, and a ConfigMap is read by everybody; a Secret is asked for"


def _told(name: str, value: Any) -> bool:
    return names_credential(name) and is_literal(value)


def _no_credential_in_outputs(stack: Resource, resources: Sequence[Resource], _: Terms) -> Iterator[Finding]:
    secrets = {form for each in resources for text in _secret_texts(each) for form in _forms(text)}
    for path, named, value in _plain(stack.properties, "", named=False):
        if value is UNKNOWN:
            if named:
                yield Undecided(path)
        elif (named and is_literal(value) and value not in _CONTRACT) or (
            isinstance(value, str) and (tells_credential(value) or any(each in value for each in secrets))
        ):
            yield f"output {path} holds a credential in clear"


def _plain(value: Any, path: str, *, named: bool) -> Iterator[tuple[str, bool, Any]]:
    """What is not marked secret: where, whether it or what it stands in is called a credential, and the value."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _plain(
                each,
                f"{path}.{key}" if path else key,
                named=(named and not is_about(str(key))) or names_credential(str(key)),
            )
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _plain(each, f"{path}[{number}]", named=named)
    elif not isinstance(value, Marked):
        yield path, named, value


def _secret_texts(resource: Resource) -> Iterator[str]:
    """What the stack itself marks secret, and is one: a Secret's host name is not."""
    if resource.type == STACK:
        return
    if resource.type == SECRET:
        for key, text in _texts(resource["stringData"]):
            if names_credential(key) or tells_credential(text):
                yield text
        for key, text in _texts(resource["data"]):
            if names_credential(key):
                yield _decoded(text)
        return
    for path in ("masterPassword", "authToken", "result"):
        value = resource[path].raw
        if isinstance(value, str):
            yield value


def _texts(holder: Value) -> Iterator[tuple[str, str]]:
    if isinstance(holder.raw, Mapping):
        for key in holder.named():
            if isinstance(text := holder.key(key).raw, str):
                yield key, text


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""


def _forms(text: str) -> Iterator[str]:
    """A secret as it is, and as a Secret's `data` holds it. A short one stands in too much by chance."""
    if len(text) >= _SHORTEST_SECRET:
        yield text
        yield base64.b64encode(text.encode()).decode()


RULES: tuple[Rule, ...] = (
    ResourceRule(
        name="connection-secret-keys",
        requires="The connection Secrets have the keys and the type of the contract",
        why="A service that misses a key starts with an empty value, or not at all.",
        fix="give it the keys of ConnectionSecrets, each a text, and type Opaque",
        severity="high",
        types=(SECRET,),
        check=_connection_keys,
    ),
    ResourceRule(
        name="credentials-marked-secret",
        requires="Passwords, tokens and the content of Secrets are marked secret",
        why="Pulumi encrypts in the state, and hides in its output, only what is marked.",
        fix="wrap the value in pulumi.Output.secret",
        severity="critical",
        types=tuple(_MARKED),
        check=_marked_secret,
    ),
    ResourceRule(
        name="no-credential-in-env",
        requires="No container and no ConfigMap holds a credential in clear, in its environment or its command",
        why="Whoever may look at the pod, or at Pulumi's state, reads it.",
        fix="use valueFrom.secretKeyRef",
        severity="critical",
        types=(*WORKLOADS, CONFIG_MAP),
        check=_no_credential_in_env,
    ),
    StackRule(
        name="no-credential-in-outputs",
        requires="No stack output holds a credential in clear",
        why="`pulumi stack output` prints it, and every stack that refers to this one copies it.",
        fix="export pulumi.Output.secret of it, or do not export it",
        severity="critical",
        types=(STACK,),
        sees=(CLUSTER, REPLICATION_GROUP, SECRET, RANDOM_PASSWORD),
        check=_no_credential_in_outputs,
    ),
)
