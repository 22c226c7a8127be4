"""The file of each environment: which rules hold there, and to what floor.

It is what `--policy-pack-config` takes: for each rule a level, or options with an optional `enforcementLevel`.
A rule or an option that it leaves out is as strict as the rule says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from policies.catalogue import RULES
from policies.rule import Level, ResourceRule, Rule, Terms

DIRECTORY = Path(__file__).parent / "environments"
ENVIRONMENTS = ("local", "dev", "staging", "prod")
LEVEL = "enforcementLevel"


class ConfigurationError(Exception):
    """Something in an environment's file is wrong; the message names all of it."""


@dataclass(frozen=True)
class Setting:
    level: Level
    options: Mapping[str, Any]

    def terms(self, today: date) -> Terms:
        return Terms(options=self.options, today=today)


def load(path: Path) -> dict[str, Setting]:
    """The setting of every rule. Raises ConfigurationError with everything that is wrong in the file."""
    try:
        given = json.loads(path.read_text(), object_pairs_hook=_once_each)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    problems = list(_problems(given))
    if problems:
        raise ConfigurationError("\n".join(f"{path}: {problem}" for problem in problems))
    settings = {rule.name: _setting(rule, given.get(rule.name, {})) for rule in RULES}
    problems = [
        f"{name}.exemptions: {each.refused(date.min)}"
        for name, setting in settings.items()
        for each in Terms(options=setting.options, today=date.min).exemptions
        if each.last_day is None
    ]
    if problems:
        raise ConfigurationError("\n".join(f"{path}: {problem}" for problem in problems))
    return settings


def for_environment(environment: str) -> dict[str, Setting]:
    if environment not in ENVIRONMENTS:
        raise ConfigurationError(f"there is no environment {environment}; they are {', '.join(ENVIRONMENTS)}")
    return load(DIRECTORY / f"{environment}.json")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a key that stands twice: the reader of a diff sees one of them, and JSON takes the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = sorted(key for key in found if sum(each == key for each, _ in pairs) > 1)
        raise ValueError(f"{', '.join(twice)} stands twice in one object")
    return found


def _setting(rule: Rule, given: Any) -> Setting:
    if isinstance(given, str):
        return Setting(given, rule.defaults())  # type: ignore[arg-type]
    options = {**rule.defaults(), **{key: value for key, value in given.items() if key != LEVEL}}
    return Setting(given.get(LEVEL, rule.level), options)


def _problems(given: Any) -> Iterator[str]:
    """What the engine would refuse, and what it would take and ignore: misspelt rules and options."""
    if not isinstance(given, dict):
        yield "an object of rules is asked for"
        return
    known = {rule.name: rule for rule in RULES}
    for name, value in given.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            yield f"there is no rule {name}" + (
                f"; did you mean {near[0]}?" if near else "; docs/policies.md lists them"
            )
            continue
        rule = known[name]
        options = {LEVEL: value} if isinstance(value, str) else value
        if not isinstance(options, dict):
            yield f"{name}: a level or an object is asked for"
            continue
        if rule.level == "disabled" and options and LEVEL not in options:
            yield f"{name}: it is off until {LEVEL} says otherwise, so its options would do nothing"
        levels = [each for each in get_args(Level) if each != "remediate" or _remediable(rule)]
        schema = {**rule.schema(), LEVEL: {"enum": levels}}
        for option, content in options.items():
            if option not in schema:
                yield f"{name}: there is no option {option}; there are {', '.join(schema)}"
            else:
                yield from (f"{name}.{option}{problem}" for problem in _mismatches(content, schema[option]))


def _remediable(rule: Rule) -> bool:
    return isinstance(rule, ResourceRule) and rule.remedy is not None


_TYPES: Mapping[str, Any] = {"integer": int, "string": str, "array": list, "object": dict}


def _mismatches(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    """The part of JSON schema that our options use."""
    if "enum" in schema:
        if value not in schema["enum"]:
            yield f" is {json.dumps(value)}; it is one of {', '.join(schema['enum'])}"
        return
    if not isinstance(value, _TYPES[schema["type"]]) or isinstance(value, bool):
        yield f" is {json.dumps(value)}; {schema['type']} is asked for"
        return
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f" is {value}; {schema.get('minimum', '')} to {schema.get('maximum', '')} are allowed"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f" is {json.dumps(value)}; it must match {schema['pattern']}"
    for number, entry in enumerate(value if isinstance(value, list) else ()):
        yield from (f"[{number}]{problem}" for problem in _mismatches(entry, schema["items"]))
    if isinstance(value, dict):
        yield from _object_mismatches(value, schema)


def _object_mismatches(value: dict[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    for missing in set(schema.get("required", ())) - value.keys():
        yield f" has no {missing}"
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    for key, entry in value.items():
        below = properties.get(key, others)
        if not below:
            yield f" has {key}, which is not among {', '.join(properties)}"
        else:
            yield from (f".{key}{problem}" for problem in _mismatches(entry, below))
