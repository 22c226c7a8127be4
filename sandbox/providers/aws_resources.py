"""The rows of aws_resources.yaml: what the sandbox knows of each AWS resource type and function."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jmespath
import yaml

from sandbox.providers import aws_hooks, values
from sandbox.providers.base import Invalid, invalid_names

Properties = dict[str, Any]
_VERBS = {"create": "create_{}", "read": "describe_{}s", "update": "modify_{}", "delete": "delete_{}"}


def document(value: Any) -> Any:
    """A JSON policy, whatever its spelling."""
    return json.loads(value) if isinstance(value, str) else value


def unordered(value: Any) -> Any:
    return sorted(value, key=lambda item: json.dumps(item, sort_keys=True)) if isinstance(value, list) else value


# How the spellings of a value compare (`same`).
_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "json": document,
    "lower": lambda value: value.lower() if isinstance(value, str) else value,
    "set": unordered,
    "storage": lambda value: None if value == "aurora" else value,  # the API leaves the standard type out
}


@dataclass(frozen=True, kw_only=True)
class Argument:
    flags: frozenset[str] = frozenset()
    sent: Sequence[str] = ()
    read: str = ""
    same: str = ""
    default: Any = None
    only: Any = None
    fields: Mapping[str, str] = field(default_factory=dict)
    each: Mapping[str, Any] = field(default_factory=dict)
    constant: Mapping[str, Any] = field(default_factory=dict)
    one_of: Sequence[Sequence[str]] = ()
    along: Sequence[str] = ()

    def normal(self, value: Any) -> Any:
        """The form in which two spellings of a value are equal; nothing is worth its default."""
        value = self.default if value is None else value
        if value in ([], {}, "", None, values.UNKNOWN):
            return value or None
        return _FORMS.get(self.same, lambda same: same)(value)

    def wire(self, value: Any) -> Any:
        """The value as a request holds it."""
        if isinstance(value, list):
            return [self.wire(each) for each in value]
        if self.same == "json":
            return value if isinstance(value, str) else json.dumps(value)
        if not (self.fields and isinstance(value, dict)):
            return value
        wired: Properties = {**self.constant}
        for name, path in self.fields.items():
            *outer, member = path.split(".")
            if value.get(name) is not None:
                inner = wired
                for each in outer:
                    inner = inner.setdefault(each, {})
                inner[member] = value[name]
        return wired

    def unwire(self, value: Any) -> Any:
        """The value of an answer as the program writes it."""
        if self.same == "json":
            return json.dumps(document(value))
        if isinstance(value, list):
            return self.normal([self.unwire(each) for each in value]) or []
        if not (self.fields and isinstance(value, dict)):
            return value
        found = {name: jmespath.search(path, value) for name, path in self.fields.items()}
        return {name: item for name, item in found.items() if item is not None}

    def invalid(self, name: str, value: Any) -> Iterator[Invalid]:
        if self.only is not None and value != self.only:
            yield Invalid(name, f"{name}: the sandbox supports only {self.only!r}")
            return
        for block in value if isinstance(value, list) else [value]:
            if self.fields and isinstance(block, dict):
                yield from invalid_names(f"argument of {name}", block, self.fields)
                for group in self.one_of:
                    if len([each for each in group if block.get(each)]) != 1:
                        yield Invalid(name, f"{name}: exactly one of {' and '.join(group)} must be given")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One resource type; aws_resources.yaml says what each field means."""

    service: str
    id: str
    arguments: Mapping[str, Argument]
    noun: str = ""
    operations: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    found: str = "values(@)[?type(@)=='array'][] | [0]"
    also: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outputs: Mapping[str, str | None] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    restores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    implied: Mapping[str, Any] = field(default_factory=dict)
    imported: Mapping[str, Any] = field(default_factory=dict)
    conflicts: Sequence[Sequence[str]] = ()
    recomputed: Mapping[str, str] = field(default_factory=dict)
    autonamed: int = 0
    generated: bool = False
    status: str = ""
    pending: str = ""
    timeouts: Sequence[int] = (10, 10, 10)
    hooks: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The argument that names the resource."""
        return self.id if self.id in self.arguments else "name"

    @cached_property
    def defaults(self) -> Properties:
        return {name: each.default for name, each in self.arguments.items() if each.default is not None}

    def flagged(self, *flags: str) -> set[str]:
        return {name for name, argument in self.arguments.items() if argument.flags & {*flags}}

    def operation(self, verb: str) -> str:
        return self.operations.get(verb, _VERBS[verb].format(self.noun))

    def hook(self, name: str, *given: Any) -> Any:
        """What the row's hook says, nothing if it has none."""
        return getattr(aws_hooks, self.hooks[name])(*given) if name in self.hooks else ()

    def invalid(self, token: str, inputs: Properties) -> Iterator[Invalid]:
        """Everything that is wrong with the arguments as far as they are known."""
        yield from invalid_names(f"argument of {token}", inputs, self.arguments, token)
        for name in sorted(self.flagged("required") - inputs.keys()):
            yield Invalid(name, f"missing required argument {name!r} of {token}")
        known = {name: value for name, value in values.plain(inputs).items() if value != values.UNKNOWN}
        for name in sorted(known.keys() & self.arguments.keys()):
            yield from self.arguments[name].invalid(name, known[name])
        for group in self.conflicts:
            if len(given := [name for name in group if known.get(name)]) > 1:
                yield Invalid(given[0], f"{' and '.join(given)} cannot both be given")
        yield from self.hook("invalid", known)


def _row(given: Properties) -> Row:
    """Rows share arguments, so nothing is changed in place."""
    spelled = given["arguments"] | ({} if given["service"] == "iam" else {"region": {"is": "computed replaces unsent"}})
    arguments = {}
    for name, spelling in spelled.items():
        sent = spelling.get("sent", given.get("key", "") if name == given["id"] else "")
        names = [*([sent] if isinstance(sent, str) else sent), name]
        more = {key: value for key, value in spelling.items() if key not in ("is", "sent")}
        arguments[name] = Argument(flags=frozenset(spelling.get("is", "").split()), sent=names, **more)
    return Row(**{**given, "arguments": arguments})


_FILE = Path(__file__).with_name("aws_resources.yaml")
_TABLE = yaml.load(_FILE.read_text(), yaml.CSafeLoader)  # a safe loader, in C
ROWS: Mapping[str, Row] = {token: _row(given) for token, given in _TABLE["types"].items()}
FUNCTIONS: Mapping[str, Properties] = _TABLE["functions"]
TAGGING: Mapping[str, Mapping[str, str]] = _TABLE["tagging"]
