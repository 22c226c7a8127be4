"""Providers whose resource types are rows of a YAML table: what a row says, and what follows from it alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import yaml

from sandbox.providers import values
from sandbox.providers.base import Asked, Difference, Invalid, Provider, invalid_names
from sandbox.providers.values import Properties

_NOTHING: tuple[Any, ...] = (None, [], {}, "", False, 0)


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


class Argument(SimpleNamespace):
    """One argument of a resource type; rows.yaml says what it can say."""

    def normal(self, value: Any) -> Any:
        """The form in which two spellings of a value are equal; nothing is worth its default."""
        value = self.default if value is None else value
        if value in ([], {}, "", None, values.UNKNOWN):
            return value or None
        return _FORMS.get(self.same, lambda same: same)(value)

    def changes(self, name: str, old: Any, new: Any) -> Iterator[values.Change]:
        """What differs; not if the program says nothing and nothing stands, or AWS chose."""
        before, after = self.normal(old), self.normal(new)
        unsaid = new is None and self.default is None
        if before == after or (unsaid and ("computed" in self.flags or before in _NOTHING)):
            return
        if self.same and not self.fields:
            yield values.Change(name, "add" if before is None else "delete" if after is None else "update")
        else:
            empty: Any = {} if isinstance(before or after, dict) else None
            yield from values.changes(empty if before is None else before, empty if after is None else after, name)

    def invalid(self, name: str, value: Any) -> Iterator[Invalid]:
        if self.only is not None and value != self.only:
            yield Invalid(name, f"{name}: the sandbox supports only {self.only!r}")
        for block in value if isinstance(value, list) else [value]:
            if self.fields and isinstance(block, dict):
                yield from invalid_names(f"argument of {name}", block, self.fields)
                for group in self.one_of:
                    if len([each for each in group if block.get(each)]) != 1:
                        yield Invalid(name, f"{name}: exactly one of {' and '.join(group)} must be given")


class Row(SimpleNamespace):
    """One resource type; rows.yaml says what it can say."""

    arguments: Mapping[str, Argument]

    @property
    def name(self) -> str:
        """The argument that names the resource."""
        return str(self.id) if self.id in self.arguments else "name"

    @property
    def defaults(self) -> Properties:
        return {name: each.default for name, each in self.arguments.items() if each.default is not None}

    def flagged(self, *flags: str) -> set[str]:
        return {name for name, argument in self.arguments.items() if argument.flags & {*flags}}

    def operation(self, verb: str) -> str:
        verbs = {"create": "create_{}", "read": "describe_{}s", "update": "modify_{}", "delete": "delete_{}"}
        return str(self.operations.get(verb, verbs[verb].format(self.noun)))


def _read(name: str) -> Any:
    return yaml.load((Path(__file__).parent / name).read_text(), yaml.CSafeLoader)  # a safe loader, in C


def load(name: str) -> Properties:
    """A table beside this file, its `types` as rows; TypeError for a word that rows.yaml does not know."""
    known, table = _read("rows.yaml"), _read(name)
    for token, given in table["types"].items():
        arguments = {}
        for argument, spelled in given["arguments"].items():
            said = {**known["argument"], **spelled}
            sent = said["sent"] or (given.get("key", "") if argument == given.get("id") else "")
            names = [*([sent] if isinstance(sent, str) else sent), argument]
            arguments[argument] = Argument(**{**said, "flags": {*said["is"].split()}, "sent": names})
            _refuse(spelled.keys() - known["argument"].keys(), argument)
        table["types"][token] = Row(**{**known["type"], **given, "arguments": arguments})
        _refuse(given.keys() - known["type"].keys(), token)
    return dict(table)


def _refuse(words: set[str], where: str) -> None:
    if words:
        raise TypeError(f"{where}: rows.yaml does not know {', '.join(sorted(words))}")


class Tabled(Provider):
    """A provider that knows its types by their rows."""

    rows: ClassVar[Mapping[str, Row]]

    def check(self, asked: Asked) -> tuple[Properties, list[Invalid]]:
        row, kind = self.rows[asked.type], asked.type
        inputs = {name: value for name, value in asked.news.items() if name != "__defaults"}
        found = invalid_names(f"argument of {kind}", inputs, row.arguments, kind)
        for name in sorted(row.flagged("required") - inputs.keys()):
            found.append(Invalid(name, f"missing required argument {name!r} of {kind}"))
        known = {name: value for name, value in values.plain(inputs).items() if value != values.UNKNOWN}
        for name in known.keys() & row.arguments.keys():
            found += row.arguments[name].invalid(name, known[name])
        for group in row.conflicts:
            if len(given := [name for name in group if known.get(name)]) > 1:
                found.append(Invalid(given[0], f"{' and '.join(given)} cannot both be given"))
        return inputs, found

    def diff(self, asked: Asked) -> Difference:
        """What the program wants against the recorded state, as the Terraform provider within the real one does."""
        row, old, new = self.rows[asked.type], values.plain(asked.olds), values.plain(asked.news)
        forced, found = row.flagged("replaces") | self.replaced(row, old, new), Difference()
        for name, argument in row.arguments.items():
            for change in argument.changes(name, old.get(name), new.get(name)):
                if not values.covers(asked.ignored, change.path):
                    found.changes[change.path] = change.kind
                    found.replaces += [change.path] if name in forced else []
        # As the real provider: what it would name itself, and does not, is deleted first; whatever the new name is.
        found.delete_first = bool(row.autonamed) and row.name not in new.get("__defaults", [])
        return found

    def replaced(self, _row: Row, _old: Properties, _new: Properties) -> set[str]:
        """Arguments that force replacement only sometimes."""
        return set()
