"""`python -m settings` writes docs/configuration.md: every key, what it takes, its default."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args

from settings.base import Model
from settings.checks import Check
from settings.defaults import ENTRIES, ENVIRONMENTS, defaults
from settings.stack import Settings

HEADER = """\
# Configuration

Every key of a stack file, under `meetinity-data:`. A stack file holds only what differs from the defaults. Keys are
the old Terraform variables' names in camelCase. A mistake is refused before anything is registered, all of them at
once; nothing is corrected in silence. `null` is the same as leaving an optional key out.

Set a secret with `pulumi config set --secret --path meetinity-data:database.masterPassword`; one in clear is refused.

This page is generated from the models: `make docs`.
"""


def page() -> str:
    return "\n".join([HEADER, *(line for row in _sections() for line in row)])


def _sections() -> Iterator[list[str]]:
    top = [(key, allowed, default) for key, allowed, default, model in _rows(Settings, ()) if model is None]
    yield _table("Top level", top)
    for key, _, _, model in _rows(Settings, ()):
        if model is not None:
            yield _table(f"`{key}`", list(_deep(model, (key,))))


def _table(title: str, rows: list[tuple[str, str, str]]) -> list[str]:
    lines = [f"## {title}", "", "| key | takes | default |", "|---|---|---|"]
    return [*lines, *(f"| `{key}` | {_cell(allowed)} | {default} |" for key, allowed, default in rows), ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _deep(model: type[Model], path: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for key, allowed, default, below in _rows(model, path):
        label = ".".join((*path[1:], key))
        yield label, allowed, default
        if below is not None:
            yield from _deep(below, (*path, key))


def _rows(model: type[Model], path: tuple[str, ...]) -> Iterator[tuple[str, str, str, type[Model] | None]]:
    for field in model.model_fields.values():
        key, below = str(field.alias), _model_in(field.annotation)
        checks = [each.allowed for each in field.metadata if isinstance(each, Check)]
        checks += [each.allowed for each in _metadata_in(field.annotation)] if not checks else []
        allowed = checks[0] if checks else "a mapping"
        yield key, allowed, _default((*path, key)), below


def _metadata_in(annotation: Any) -> list[Check]:
    found = [each for each in getattr(annotation, "__metadata__", ()) if isinstance(each, Check)]
    return found or [check for part in get_args(annotation) for check in _metadata_in(part)]


def _model_in(annotation: Any) -> type[Model] | None:
    """The model that a field holds, alone, in a list or under keys."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next((found for part in get_args(annotation) if part is not NoneType and (found := _model_in(part))), None)


def _default(path: tuple[str, ...]) -> str:
    """One value where all environments agree, otherwise each environment's."""
    for above, entry in ENTRIES.items():
        if path[: len(above)] == above and len(path) > len(above):
            return _value(entry, path[len(above) :])
    values = {environment: _value(defaults(environment), path) for environment in ENVIRONMENTS}
    if len(set(values.values())) == 1:
        return values[ENVIRONMENTS[0]]
    named = {value.replace(environment, "ENV") for environment, value in values.items()}
    if len(named) == 1:
        return named.pop()
    return ", ".join(f"{environment}: {value}" for environment, value in values.items())


def _value(known: Any, path: tuple[str, ...]) -> str:
    for part in path:
        if not isinstance(known, dict) or part not in known:
            return ""
        known = known[part]
    return f"`{json.dumps(known)}`" if not isinstance(known, str) else f"`{known}`"


if __name__ == "__main__":
    print(page(), end="")
