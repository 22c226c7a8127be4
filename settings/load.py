"""From the engine's raw configuration to `Settings`, or to everything that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from settings.base import Model
from settings.checks import Check
from settings.defaults import ENVIRONMENTS, with_defaults
from settings.problems import PROJECT, Location, Problem, SettingsError, beginning_of, path_of, shown
from settings.siblings import sibling_clashes
from settings.stack import Settings

# Nested secrets make their whole top-level key secret, so only these keys can say whether one was in clear.
SECRETS = (("database", "masterPassword"), ("redis", "authToken"), ("kubernetes", "kubeconfig"))

_SECTIONS = {str(field.alias) for field in Settings.model_fields.values()}


def load_settings(
    config: Mapping[str, str], secret_keys: Collection[str], stack: str, *, now: datetime | None = None
) -> Settings:
    """Check a stack's configuration whole.

    `config` is the configuration as the engine hands it over: full keys (`meetinity-data:database`), objects as
    JSON text. `secret_keys` are those that Pulumi holds as secrets. `now` bounds times to restore to.

    Raises SettingsError with every problem there is.
    """
    return _Loading(config, secret_keys, stack, now or datetime.now(UTC)).settings()


class _Loading:
    def __init__(self, config: Mapping[str, str], secret_keys: Collection[str], stack: str, now: datetime) -> None:
        self.stack = stack
        self.now = now
        self.secret = {key.removeprefix(f"{PROJECT}:") for key in secret_keys if key.startswith(f"{PROJECT}:")}
        self.problems: list[Problem] = []
        self.given = dict(self._read(config))

    def settings(self) -> Settings:
        environment = self._environment()
        values = with_defaults(environment or "dev", self.given)
        settings = None
        try:
            settings = Settings.model_validate(values, context={"now": self.now})
        except ValidationError as error:
            for details in error.errors(include_url=False):
                self._refuse(details)
        self._secrets_in_clear()
        for clash in sibling_clashes(values, environment=environment):
            self._add(clash.location, clash.value, clash.allowed, clash.do)
        if self.problems or settings is None:
            raise SettingsError(self.stack, self.problems)
        return settings

    def _read(self, config: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
        for full_key, value in config.items():
            namespace, _, key = full_key.partition(":")
            if namespace != PROJECT:
                # Other namespaces belong to providers, but a slip in ours would lose what it says.
                if get_close_matches(namespace, [PROJECT], cutoff=0.75):
                    path = f"{beginning_of(namespace)}:{beginning_of(key)}"
                    self.problems.append(
                        Problem(path, "a value", f"the namespace {PROJECT}", f"Write {PROJECT}: in front of the key")
                    )
            elif key not in _SECTIONS:
                self._unknown((key,), Settings)
            elif value not in ("", "null"):  # what a top-level null arrives as, today and in a future engine
                yield key, value if key == "environment" else _parsed(value)

    def _environment(self) -> str | None:
        if "environment" in self.given:
            environment = self.given["environment"]
            return environment if environment in ENVIRONMENTS else None
        if self.stack in ENVIRONMENTS:
            return self.stack
        self.problems.append(
            Problem(
                path_of(("environment",)),
                f"nothing, and the stack is called {shown(self.stack)}",
                f"one of {', '.join(ENVIRONMENTS)}",
                f"Say which it is: pulumi config set {PROJECT}:environment dev",
            )
        )
        return None

    def _refuse(self, error: ErrorDetails) -> None:
        location: Location = tuple(part for part in error["loc"] if part != "[key]")
        if error["type"] == "refused":
            advice = error["ctx"]
            if advice["above"]:
                location = location[:-1]
                value = self._lookup(location)
            else:
                value = error["input"]
            self._add(location, value, **{key: advice[key] for key in ("allowed", "do", "instead", "hidden")})
        elif error["type"] == "extra_forbidden":
            self._unknown(location, _model_at(location[:-1]))
        elif error["type"] == "missing":
            self._missing(location)
        else:  # a mapping was expected: pydantic's own word for everything that is not one
            model = _model_at(location)
            keys = f" with the keys {', '.join(_keys(model))}" if model else " of texts"
            do = "Write {} for an empty one" if error["input"] is None else "Write its keys below it, indented"
            # Text in the place of a mapping may hold a password: never shown.
            self._add(location, error["input"], f"a mapping{keys}", do, hidden=isinstance(error["input"], str))

    def _add(
        self, location: Location, value: Any, allowed: str, do: str, *, instead: str | None = None, hidden: bool = False
    ) -> None:
        top = location[0] if location else ""
        if value is None and self._lookup(location) is None:
            received = "nothing" if not self._stands(location) else "null"
        elif top in self.secret:
            received, instead = f"a value that is not shown, because {PROJECT}:{top} holds a secret", None
        elif hidden:
            received, instead = "a value that is not shown", None
        else:
            received = shown(value)
            if not self._stands(location):
                received += " (the default)"
        advice = f"{do}: {shown(instead)}" if instead is not None else do
        self.problems.append(Problem(path_of(location), received, allowed, advice))

    def _unknown(self, location: Location, model: type[Model] | None) -> None:
        known = _keys(model)
        key = str(location[-1])
        likely = _most_like(key, known)
        if "." in key or "[" in key:
            do = "If it is a path, set it with: pulumi config set --path"
        elif likely:
            do = f"Did you mean {likely}? If not, take it out"
        else:
            do = "Take it out"
        path = f"{path_of(location[:-1])}{'.' if location[:-1] else ''}{beginning_of(key)}"
        self.problems.append(Problem(path, "an unknown key", ", ".join(known), do))

    def _missing(self, location: Location) -> None:
        field = _field(_model_at(location[:-1]), location[-1])
        checks = [check.allowed for check in field.metadata if isinstance(check, Check)] if field else []
        self._add(location, None, "; ".join(checks) or "a value", "Add it")

    def _secrets_in_clear(self) -> None:
        for section, key in SECRETS:
            values = self.given.get(section)
            if section not in self.secret and isinstance(values, dict) and values.get(key) is not None:
                path = path_of((section, key))
                self.problems.append(
                    Problem(
                        path,
                        "a value in clear, which is not shown",
                        "a Pulumi secret",
                        f"Set it with: pulumi config set --secret --path {path}; and change it if others could read it",
                    )
                )

    def _lookup(self, location: Location) -> Any:
        value: Any = self.given
        for part in location:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def _stands(self, location: Location) -> bool:
        """Whether the stack says anything there, be it null."""
        above = self._lookup(location[:-1]) if location else None
        if isinstance(above, list):
            return True
        return isinstance(above, dict) and location[-1] in above


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value  # plain text: no section is, so the models refuse it


def _most_like(key: str, known: list[str]) -> str | None:
    plain = {name.lower(): name for name in known}
    found = get_close_matches(key.lower().replace("_", "").replace("-", ""), list(plain), n=1)
    return plain[found[0]] if found else None


def _keys(model: type[Model] | None) -> list[str]:
    return [str(field.alias) for field in model.model_fields.values()] if model else []


def _field(model: type[Model] | None, key: str | int) -> FieldInfo | None:
    return next((field for field in model.model_fields.values() if field.alias == key), None) if model else None


def _model_at(location: Location) -> type[Model] | None:
    """The model that describes what stands at a location, if one does."""
    annotation: Any = Settings
    for part in location:
        if isinstance(annotation, type) and issubclass(annotation, Model):
            field = _field(annotation, part)
            annotation = field.annotation if field else None
        else:
            # The entry of a list (`tuple[X, ...]`) or of a map (`Mapping[str, X]`).
            annotation = get_args(annotation)[0 if get_origin(annotation) is tuple else -1]
        annotation = _without_wrapping(annotation)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Model) else None


def _without_wrapping(annotation: Any) -> Any:
    """`X` of `X | None` and of `Annotated[X, …]`."""
    while True:
        options = [option for option in get_args(annotation) if option is not NoneType]
        if hasattr(annotation, "__metadata__") or (NoneType in get_args(annotation) and len(options) == 1):
            annotation = options[0]
        else:
            return annotation
