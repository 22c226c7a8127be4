"""What a rule is, and how one is asked: pure, without Pulumi."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, Literal

from policies.value import Malformed, Undecided, Value

Level = Literal["mandatory", "advisory", "remediate", "disabled"]
Severity = Literal["low", "medium", "high", "critical"]
Finding = str | Undecided
"""What is wrong, in words; or what has to be known before it can be said."""

EXEMPTIONS = "exemptions"
EXEMPTIONS_SCHEMA: Mapping[str, Any] = {
    "description": "Resources that this rule lets pass for a while",
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "urn": {"type": "string", "pattern": "^urn:pulumi:.+::.+::.+::.+$"},
            "owner": {"type": "string", "minLength": 3},
            "reason": {"type": "string", "minLength": 10},
            "until": {"type": "string", "pattern": "^20[0-9]{2}-[01][0-9]-[0-3][0-9]$"},
        },
        "required": ["urn", "owner", "reason", "until"],
        "additionalProperties": False,
    },
}


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What a rule sees of a resource: inputs before it is created; in a stack rule after an update, outputs."""

    type: str
    properties: Mapping[str, Any]
    urn: str = ""
    name: str = ""
    protect: bool = False
    uses: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """For each property, the URNs of the resources its value comes from."""
    parent: str = ""

    def __getitem__(self, path: str) -> Value:
        return Value(self.properties).at(path)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a rule is held to: its configuration in the environment, and today's date."""

    options: Mapping[str, Any] = field(default_factory=dict)
    today: date

    def __getitem__(self, option: str) -> Any:
        value = self.options[option]
        # The engine hands every number over as a float.
        return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True, kw_only=True)
class _Rule:
    name: str
    requires: str
    """The requirement, one sentence: what the engine prints first."""
    why: str
    fix: str
    """What to do; `{option}` stands for the value that the environment asks for."""
    severity: Severity
    level: Level = "mandatory"
    controls: tuple[str, ...] = ()
    """The controls it answers: Security Hub (RDS.7), checkov (CKV_AWS_133)."""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """JSON schema of each option, with a default as strict as production: no configuration is never a way out."""

    def schema(self) -> dict[str, Any]:
        return {**self.options, EXEMPTIONS: EXEMPTIONS_SCHEMA}

    def defaults(self) -> dict[str, Any]:
        return {option: schema["default"] for option, schema in self.options.items()}

    def advice(self, terms: Terms | None = None) -> str:
        """What to do; without terms, `<option>` stands where the environment's value would."""
        return self.fix.format_map({option: terms[option] if terms else f"<{option}>" for option in self.options})


@dataclass(frozen=True, kw_only=True)
class ResourceRule(_Rule):
    types: tuple[str, ...]
    check: Callable[[Resource, Terms], Iterable[Finding]]
    remedy: Callable[[Any, Terms], bool] | None = None
    """Puts the properties right in place, and tells whether there was anything to do."""


@dataclass(frozen=True, kw_only=True)
class StackRule(_Rule):
    types: tuple[str, ...]
    """All that it gets to see."""
    check: Callable[[Sequence[Resource], Terms], Iterable[tuple[Resource | None, Finding]]]


Rule = ResourceRule | StackRule


@dataclass(frozen=True)
class Violation:
    urn: str
    """Empty where the stack as a whole is at fault."""
    message: str


@dataclass(frozen=True)
class Doubt:
    """A property that a rule must know and that is not known before the update."""

    name: str
    """The resource's; empty for the stack as a whole."""
    path: str


@dataclass(frozen=True)
class Verdict:
    violations: tuple[Violation, ...] = ()
    undecided: tuple[Doubt, ...] = ()


def judge(rule: Rule, resources: Sequence[Resource], terms: Terms) -> Verdict:
    """What `rule` says of `resources`: a resource rule of each of its types, a stack rule of all together."""
    violations: list[Violation] = []
    undecided: list[Doubt] = []
    for resource, finding in _findings(rule, resources, terms):
        urn = resource.urn if resource else ""
        if isinstance(finding, Undecided):
            undecided.append(Doubt(resource.name if resource else "", finding.path))
        elif (exemption := _exemption(urn, terms)) is None:
            violations.append(Violation(urn, f"{finding}. Fix: {rule.advice(terms)}"))
        elif terms.today.isoformat() > exemption["until"]:
            violations.append(
                Violation(
                    urn,
                    f"{finding}. {exemption['owner']}'s exemption ended on {exemption['until']}. "
                    f"Fix: {rule.advice(terms)}",
                )
            )
    return Verdict(tuple(violations), tuple(dict.fromkeys(undecided)))


def _findings(rule: Rule, resources: Sequence[Resource], terms: Terms) -> Iterator[tuple[Resource | None, Finding]]:
    seen = [each for each in resources if each.type in rule.types]
    if isinstance(rule, StackRule):
        yield from _caught(None, partial(rule.check, seen, terms))
        return
    for resource in seen:
        yield from _caught(resource, partial(_of, resource, rule, terms))


def _of(resource: Resource, rule: ResourceRule, terms: Terms) -> Iterator[tuple[Resource | None, Finding]]:
    for finding in rule.check(resource, terms):
        yield resource, finding


def _caught(
    resource: Resource | None, findings: Callable[[], Iterable[tuple[Resource | None, Finding]]]
) -> Iterator[tuple[Resource | None, Finding]]:
    """A value that a rule had to know and could not, or could not make sense of, is a finding too."""
    try:
        yield from findings()
    except Undecided as undecided:
        yield resource, undecided
    except Malformed as malformed:
        yield resource, str(malformed)


def _exemption(urn: str, terms: Terms) -> Mapping[str, str] | None:
    exemptions: Sequence[Mapping[str, str]] = terms.options.get(EXEMPTIONS) or ()
    return next((each for each in exemptions if each["urn"] == urn), None)
