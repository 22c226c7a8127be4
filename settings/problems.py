"""What a refused configuration looks like to the person who wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PROJECT = "meetinity-data"
LONGEST_VALUE_SHOWN = 100

Location = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.\[\]-]+")


@dataclass(frozen=True)
class Problem:
    """One refused value: where it stands, what was received, what is allowed, what to do."""

    path: str
    received: str
    allowed: str
    do: str

    def __str__(self) -> str:
        return f"{self.path}: received {self.received}. Allowed: {self.allowed}. {self.do}."


class SettingsError(ValueError):
    """Everything that is wrong with a stack's configuration, one line each. Holds no secret."""

    def __init__(self, stack: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        count = "1 error" if len(self.problems) == 1 else f"{len(self.problems)} errors"
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        message = f"the configuration of stack {stack!r} has {count}; nothing was changed:\n{lines}"
        # JSON may hold lone surrogates, which no terminal and no engine takes.
        super().__init__(message.encode("utf-8", "backslashreplace").decode())


def path_of(location: Location) -> str:
    """`meetinity-data:database.generations.r1`, list indexes as `[0]`, odd keys as `["a.b"]`."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            path += f".{part}" if path else part
        else:
            path += f"[{json.dumps(part, ensure_ascii=False)}]"
    return f"{PROJECT}:{path}"


def beginning_of(key: str) -> str:
    """An unknown key as far as it is a plain word: `{masterPassword:x}` is one key to YAML, password and all."""
    plain = _PLAIN_PATH.match(key)
    beginning = plain.group() if plain else ""
    return beginning if beginning == key else f"{beginning}…"


def shown(value: Any) -> str:
    """A received value on one line. What holds other values is named, not printed."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= LONGEST_VALUE_SHOWN:
        return text
    return f"{text[:LONGEST_VALUE_SHOWN]}… ({len(str(value))} characters)"
