"""A resource's properties as rules read them: by path, never mistaking what is absent, unknown or secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()
"""In place of a value that is not known before the update."""


@dataclass(frozen=True)
class Secret:
    """In place of a value that the stack marks as secret."""

    value: Any

    def __repr__(self) -> str:
        return "Secret()"


class Undecided(Exception):  # noqa: N818 - not an error: the answer comes at `up`
    """A rule needs a value that is not known yet."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is not known yet")
        self.path = path


class Malformed(Exception):  # noqa: N818
    """A value has a shape that the rule cannot look into, so it cannot pass."""


@dataclass(frozen=True)
class Value:
    """A value and its path. Reading below something unknown raises Undecided, below something shapeless Malformed."""

    raw: Any
    path: str = ""
    secret: bool = False

    def at(self, path: str) -> Value:
        """The value under the dotted `path`; one of `None` where there is none."""
        here = self.opened()
        for key in path.split("."):
            here = here.under(key)
        return here

    def key(self, key: str) -> Value:
        """The value under a key that may itself hold dots."""
        return self.opened().under(key).opened()

    def named(self) -> list[str]:
        """The keys of a mapping; none where it is absent."""
        mapping = self.opened().known
        if mapping is None:
            return []
        if not isinstance(mapping, Mapping):
            raise Malformed(f"{self.label} is {self.shown}, where a mapping belongs")
        return list(mapping)

    def each(self) -> Iterator[Value]:
        """The entries of a list; none where it is absent."""
        here = self.opened()
        if here.known is None:
            return
        if not isinstance(here.known, list | tuple):
            raise Malformed(f"{here.label} is {here.shown}, where a list belongs")
        for number, entry in enumerate(here.known):
            yield Value(entry, f"{here.path}[{number}]", here.secret).opened()

    @property
    def known(self) -> Any:
        """The bare value. Raises Undecided where there is none yet."""
        here = self.opened()
        if here.raw is UNKNOWN:
            raise Undecided(here.label)
        return here.raw

    @property
    def unknown(self) -> bool:
        return self.opened().raw is UNKNOWN

    @property
    def shown(self) -> str:
        """The value for a message; never a secret one, nor a large one."""
        here = self.opened()
        if here.secret:
            return "a secret"
        if isinstance(here.raw, Mapping):
            return "a mapping"
        if isinstance(here.raw, list | tuple):
            return json.dumps(list(here.raw)) if all(isinstance(each, str) for each in here.raw) else "a list"
        value = here.raw
        return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)

    @property
    def label(self) -> str:
        return self.path or "the resource"

    def opened(self) -> Value:
        return Value(self.raw.value, self.path, True).opened() if isinstance(self.raw, Secret) else self

    def under(self, key: str) -> Value:
        here = self.opened()
        path = f"{here.path}.{key}" if here.path else key
        if here.raw is UNKNOWN:
            return Value(UNKNOWN, path, here.secret)
        if here.raw is None:
            return Value(None, path, here.secret)
        if not isinstance(here.raw, Mapping):
            raise Malformed(f"{here.label} is {here.shown}, where a mapping belongs")
        return Value(here.raw.get(key), path, here.secret)


def require(value: Value, holds: Callable[[Any], bool], wanted: str) -> Iterator[str | Undecided]:
    """One finding unless `value` is there and `holds`; absent and null are never fine."""
    value = value.opened()
    if value.unknown:
        yield Undecided(value.path)
    elif value.raw is None:
        yield f"{value.path} is not set; {wanted}"
    elif not holds(value.raw):
        yield f"{value.path} is {value.shown}; {wanted}"


def is_true(value: Value) -> Iterator[str | Undecided]:
    return require(value, lambda given: given is True, "it must be true")


def is_false(value: Value) -> Iterator[str | Undecided]:
    return require(value, lambda given: given is False, "it must be false")


def is_text(value: Value, wanted: str) -> Iterator[str | Undecided]:
    return require(value, lambda given: isinstance(given, str) and bool(given.strip()), wanted)


def is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def at_least(value: Value, floor: float, unit: str) -> Iterator[str | Undecided]:
    return require(value, lambda given: is_number(given) and given >= floor, f"at least {floor} {unit} are asked for")
