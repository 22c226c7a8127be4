"""Connections: the Secrets that carry credentials, who may read them, and where credentials must not be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.rule import Finding, Resource, ResourceRule, Rule, StackRule, Terms
from policies.tokens import (
    CLUSTER,
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    RANDOM_PASSWORD,
    REPLICATION_GROUP,
    ROLE,
    ROLE_BINDING,
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

# Roles of every cluster that read all Secrets of a namespace.
_BROAD_ROLES = ("cluster-admin", "admin", "edit")

_CREDENTIAL = re.compile(
    r"passw(or)?d|passphrase|token|secret|credential|api_?key|private_?key|access_?key|database_?url|redis_?url|dsn$",
    re.IGNORECASE,
)
# A name or a place of a secret is none.
_HARMLESS = re.compile(r"(_file|_path|_dir|_name|name|names|keys|id|_arn)$", re.IGNORECASE)
_URL_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@", re.IGNORECASE)
_SHORTEST_SECRET = 8


def _name(resource: Resource) -> Value:
    return resource["metadata.name"]


def _connection_keys(resource: Resource, _: Terms) -> Iterator[Finding]:
    name = _name(resource).text
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
    paths = {CLUSTER: ("masterPassword",), REPLICATION_GROUP: ("authToken",), SECRET: ("stringData", "data")}
    for path in paths[resource.type]:
        value = resource[path]
        if value.raw is None or value.secret:
            continue
        entries = [value.key(key) for key in value.named()] if isinstance(value.raw, Mapping) else []
        if not entries or not all(each.secret for each in entries):
            yield f"{path} is not marked secret; the state would hold it in clear"


def _read_by_name(resource: Resource, _: Terms) -> Iterator[Finding]:
    for rule in resource["rules"].each():
        if not _concerns_secrets(rule):
            continue
        for part in ("apiGroups", "resources", "verbs"):
            for entry in rule.at(part).each():
                if entry.known == "*":
                    yield f"{entry.path} is a wildcard; each is named"
        for verb in rule.at("verbs").each():
            if verb.known not in ("get", "*"):
                yield f"{verb.path} is {verb.shown}; Secrets are read by get alone"
        if not list(rule.at("resourceNames").each()):
            yield f"{rule.path}.resourceNames is not set; the Secrets are named"


def _concerns_secrets(rule: Value) -> bool:
    groups = [each.known for each in rule.at("apiGroups").each()]
    resources = [each.known for each in rule.at("resources").each()]
    return ("" in groups or "*" in groups) and any(each in ("secrets", "*") for each in resources)


def _read_by_the_listed(resources: Sequence[Resource], terms: Terms) -> Iterator[tuple[Resource | None, Finding]]:
    readers = {_name(each).text for each in resources if each.type in (ROLE, CLUSTER_ROLE) and _reads_secrets(each)}
    allowed = [(each["kind"], each["name"]) for each in terms["subjects"]]
    for binding in resources:
        if binding.type not in (ROLE_BINDING, CLUSTER_ROLE_BINDING):
            continue
        role = binding["roleRef.name"]
        if role.unknown:
            yield binding, Undecided(role.path)
        elif role.text in _BROAD_ROLES:
            yield binding, f"roleRef.name is {role.shown}, which reads every Secret"
        elif role.text in readers:
            if binding.type == CLUSTER_ROLE_BINDING:
                yield binding, "it gives the Secrets of every namespace; a RoleBinding gives one's"
            yield from ((binding, finding) for finding in _subjects(binding, allowed))


def _reads_secrets(role: Resource) -> bool:
    return any(_concerns_secrets(rule) for rule in role["rules"].each())


def _subjects(binding: Resource, allowed: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    for subject in binding["subjects"].each():
        kind, name = subject.at("kind"), subject.at("name")
        if kind.unknown or name.unknown:
            yield Undecided(name.path)
        elif (kind.known, name.known) not in allowed:
            yield f"{subject.path} is {kind.bare} {name.bare}, who is not among the subjects listed"


def _no_credential_in_env(resource: Resource, _: Terms) -> Iterator[Finding]:
    for container in containers(pod(resource)):
        for variable in container.at("env").each():
            name, value = variable.at("name"), variable.at("value")
            called = str(name.known)
            if value.raw in (None, ""):
                continue
            if value.secret or (_CREDENTIAL.search(called) and not _HARMLESS.search(called)):
                yield f"{variable.path} {name.bare} holds its value in clear; valueFrom.secretKeyRef is asked for"
            elif value.unknown:
                yield Undecided(f"{value.path} of {name.bare}")
            elif _URL_WITH_PASSWORD.search(str(value.known)):
                yield f"{variable.path} {name.bare} holds a URL with a password; valueFrom.secretKeyRef is asked for"
        for part in ("command", "args"):
            for word in container.at(part).each():
                if word.secret or (not word.unknown and _URL_WITH_PASSWORD.search(str(word.known))):
                    yield f"{word.path} holds a credential, which every process list shows"


def _no_credential_in_outputs(resources: Sequence[Resource], _: Terms) -> Iterator[tuple[Resource | None, Finding]]:
    secrets = {text for each in resources for text in _marked_texts(each.properties)}
    for stack in (each for each in resources if each.type == STACK):
        for path, value in _plain(stack.properties, ""):
            if value is UNKNOWN:
                if _names_credential(path):
                    yield stack, Undecided(path)
            elif isinstance(value, str) and (
                (_names_credential(path) and value) or value in secrets or _URL_WITH_PASSWORD.search(value)
            ):
                yield stack, f"output {path} holds a credential in clear"


def _names_credential(path: str) -> bool:
    *above, last = path.split(".")
    # A table of key names, like helm_values', holds no value.
    return not any(_HARMLESS.search(each) for each in (*above, last)) and bool(_CREDENTIAL.search(last))


def _plain(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What is not marked secret, and where."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _plain(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _plain(each, f"{path}[{number}]")
    elif not isinstance(value, Marked):
        yield path, value


def _marked_texts(value: Any, *, marked: bool = False) -> Iterator[str]:
    """Texts marked secret, as far as they are long enough to be one."""
    if isinstance(value, Marked):
        yield from _marked_texts(value.value, marked=True)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _marked_texts(each, marked=marked)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _marked_texts(each, marked=marked)
    elif marked and isinstance(value, str) and len(value) >= _SHORTEST_SECRET:
        yield value


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
        types=(CLUSTER, REPLICATION_GROUP, SECRET),
        check=_marked_secret,
    ),
    ResourceRule(
        name="secrets-read-by-name",
        requires="A role reads Secrets by name and get, with no wildcard, no list and no watch",
        why="list shows the content of every Secret of the namespace.",
        fix="name the Secrets in resourceNames, with verbs [get]",
        severity="high",
        controls=("CKV_K8S_49", "CKV2_K8S_5"),
        types=(ROLE, CLUSTER_ROLE),
        check=_read_by_name,
    ),
    StackRule(
        name="secrets-read-by-the-listed",
        requires="Nobody but the listed subjects may read the Secrets",
        why="Who may read production's password is a decision that a reviewer sees.",
        fix="take the subject out of meetinity-data:access.readers, or list it in policies/environments",
        severity="critical",
        options={
            "subjects": {
                "description": "who may", "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"kind": {"enum": ["Group", "User", "ServiceAccount"]}, "name": {"type": "string"}},
                    "required": ["kind", "name"], "additionalProperties": False,
                },
                "default": [],
            }
        },
        types=(ROLE, CLUSTER_ROLE, ROLE_BINDING, CLUSTER_ROLE_BINDING),
        check=_read_by_the_listed,
    ),
    ResourceRule(
        name="no-credential-in-env",
        requires="No container holds a credential in clear, in its environment or its command",
        why="Whoever may look at the pod, or at Pulumi's state, reads it.",
        fix="use valueFrom.secretKeyRef",
        severity="critical",
        types=WORKLOADS,
        check=_no_credential_in_env,
    ),
    StackRule(
        name="no-credential-in-outputs",
        requires="No stack output holds a credential in clear",
        why="`pulumi stack output` prints it, and every stack that refers to this one copies it.",
        fix="export pulumi.Output.secret of it, or do not export it",
        severity="critical",
        types=(STACK, CLUSTER, REPLICATION_GROUP, SECRET, RANDOM_PASSWORD),
        check=_no_credential_in_outputs,
    ),
)  # fmt: skip
