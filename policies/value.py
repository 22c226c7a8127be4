"""A resource's properties as rules read them: by path, never mistaking what is absent, unknown or secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class _Unknown(Enum):
    """An enumeration, so that a copy of it is still it."""

    UNKNOWN = "unknown"


UNKNOWN = _Unknown.UNKNOWN
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
    """UNKNOWN where it is not known yet, None where there is none; never a Secret itself."""
    path: str = ""
    secret: bool = False

    def at(self, path: str) -> Value:
        """The value under the dotted `path`; one of None where there is none."""
        here = self
        for key in path.split("."):
            here = here.key(key)
        return here

    def key(self, key: str) -> Value:
        """The value under one key, dots and all."""
        path = f"{self.path}.{key}" if self.path else key
        if self.raw is None or self.raw is UNKNOWN:
            return Value(self.raw, path, self.secret)
        if not isinstance(self.raw, Mapping):
            raise Malformed(f"{self.label} is {self.shown}, where a mapping belongs")
        return _opened(self.raw.get(key), path, secret=self.secret)

    def named(self) -> list[str]:
        """The keys of a mapping; none where it is absent."""
        if self.known is None:
            return []
        if not isinstance(self.known, Mapping):
            raise Malformed(f"{self.label} is {self.shown}, where a mapping belongs")
        return list(self.known)

    def each(self) -> Iterator[Value]:
        """The entries of a list; none where it is absent."""
        if self.known is None:
            return
        if not isinstance(self.known, list | tuple):
            raise Malformed(f"{self.label} is {self.shown}, where a list belongs")
        for number, entry in enumerate(self.known):
            yield _opened(entry, f"{self.path}[{number}]", secret=self.secret)

    @property
    def known(self) -> Any:
        """The bare value. Raises Undecided where there is none yet."""
        if self.raw is UNKNOWN:
            raise Undecided(self.label)
        return self.raw

    @property
    def text(self) -> str | None:
        """The text; None where it is absent. Raises Malformed for anything else."""
        if not isinstance(self.known, str | None):
            raise Malformed(f"{self.label} is {self.shown}, where a text belongs")
        return self.known

    @property
    def unknown(self) -> bool:
        return self.raw is UNKNOWN

    @property
    def absent(self) -> bool:
        return self.raw is None

    @property
    def shown(self) -> str:
        """The value for a message; never a secret one, nor a large one."""
        if self.secret:
            return "a secret"
        if self.unknown:
            return "not known yet"
        if isinstance(self.raw, Mapping):
            return "a mapping"
        if isinstance(self.raw, list | tuple):
            return json.dumps(list(self.raw)) if all(isinstance(each, str) for each in self.raw) else "a list"
        return json.dumps(int(self.raw) if isinstance(self.raw, float) and self.raw.is_integer() else self.raw)

    @property
    def bare(self) -> str:
        """`shown` without the quotes, for the middle of a sentence."""
        return self.raw if isinstance(self.raw, str) and not self.secret else self.shown

    @property
    def label(self) -> str:
        return self.path or "the resource"


def _opened(raw: Any, path: str, *, secret: bool) -> Value:
    while isinstance(raw, Secret):
        raw, secret = raw.value, True
    return Value(raw, path, secret)


def require(value: Value, holds: Callable[[Any], bool], wanted: str) -> Iterator[str | Undecided]:
    """One finding unless `value` is there and `holds`; absent and null are never fine."""
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


def is_whole(given: Any) -> bool:
    return is_number(given) and (isinstance(given, int) or given.is_integer())


def at_least(value: Value, floor: float, unit: str) -> Iterator[str | Undecided]:
    return require(value, lambda given: is_whole(given) and given >= floor, f"at least {floor} {unit} are asked for")


def between(value: Value, least: int, most: int, unit: str) -> Iterator[str | Undecided]:
    return require(
        value, lambda given: is_whole(given) and least <= given <= most, f"{least} to {most} {unit} are asked for"
    )


def is_given(value: Value, wanted: str) -> Iterator[str | Undecided]:
    """The name of something of ours, which AWS's `default` is not."""
    return require(value, lambda given: isinstance(given, str) and given.strip() not in ("", "default"), wanted)
