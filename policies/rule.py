"""What a rule is, and how one is asked: pure, without Pulumi."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any, Literal

from policies.value import Malformed, Undecided, Value

Level = Literal["mandatory", "advisory", "remediate", "disabled"]
Severity = Literal["low", "medium", "high", "critical"]
Finding = str | Undecided
"""What is wrong, in words; or what has to be known before it can be said."""

EXEMPTIONS = "exemptions"
# Long enough for anything that is planned; a standing exemption would be a hole in the rule.
LONGEST_EXEMPTION = timedelta(days=366)
_DAY = re.compile("20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")
EXEMPTIONS_SCHEMA: Mapping[str, Any] = {
    "description": "Resources that this rule lets pass for a while",
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "urn": {"type": "string", "pattern": "^urn:pulumi:.+::.+::.+::.+$"},
            "owner": {"type": "string", "pattern": r"\S.+\S"},
            "reason": {"type": "string", "pattern": r"\S.{8,}\S"},
            # As far as a pattern can tell a day; one that the calendar does not have exempts from nothing.
            "until": {"type": "string", "pattern": f"^{_DAY.pattern}$"},
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

    def __getitem__(self, path: str) -> Value:
        return Value(self.properties).at(path)

    def chosen(self, name: str) -> Value:
        """The property, absent where it is unknown and comes from nothing.

        Before an update a stack rule sees outputs, and what nobody chose is unknown until the provider fills it in.
        """
        value = self[name]
        return Value(None, name) if value.unknown and not self.uses.get(name) else value


@dataclass(frozen=True, kw_only=True)
class Exemption:
    """What lets one resource pass one rule for a while."""

    urn: str
    owner: str
    reason: str
    until: str
    """The last day that it holds, as the file says it."""

    @property
    def last_day(self) -> date | None:
        """None where `until` is no day of the calendar: such an exemption never holds."""
        try:
            return date.fromisoformat(self.until) if _DAY.fullmatch(self.until) else None
        except ValueError:
            return None

    def holds(self, today: date) -> bool:
        return self.last_day is not None and today <= self.last_day <= today + LONGEST_EXEMPTION

    def refused(self, today: date) -> str:
        """Why it does not hold."""
        if self.last_day is None:
            return f"{self.owner}'s exemption ends on {self.until}, which is no day of the calendar"
        if self.last_day > today:
            longest = f"at most {LONGEST_EXEMPTION.days} days ahead are allowed"
            return f"{self.owner}'s exemption ends on {self.until}; {longest}"
        return f"{self.owner}'s exemption ended on {self.until}"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a rule is held to: its configuration in the environment, and today's date."""

    options: Mapping[str, Any] = field(default_factory=dict)
    today: date

    def __getitem__(self, option: str) -> Any:
        value = self.options[option]
        # The engine hands every number over as a float.
        return int(value) if isinstance(value, float) and value.is_integer() else value

    @property
    def exemptions(self) -> list[Exemption]:
        given = self.options.get(EXEMPTIONS) or ()
        return [Exemption(**{key: str(each.get(key, "")) for key in Exemption.__annotations__}) for each in given]

    def exemption(self, urn: str) -> Exemption | None:
        """The resource's own; of several one that holds."""
        own = [each for each in self.exemptions if each.urn == urn]
        return next((each for each in own if each.holds(self.today)), own[0] if own else None)


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
    """Asked of one resource, before it is touched."""

    types: tuple[str, ...]
    check: Callable[[Resource, Terms], Iterable[Finding]]
    remedy: Callable[[Any, Terms], bool] | None = None
    """Puts the properties right in place, and tells whether there was anything to do."""


@dataclass(frozen=True, kw_only=True)
class StackRule(_Rule):
    """Asked of each resource with the others beside it: by a preview before, by an update after all is made."""

    types: tuple[str, ...]
    sees: tuple[str, ...]
    """The types of the others that it gets to see, beside its own."""
    check: Callable[[Resource, Sequence[Resource], Terms], Iterable[Finding]]


Rule = ResourceRule | StackRule


@dataclass(frozen=True)
class Violation:
    urn: str
    message: str


@dataclass(frozen=True)
class Exempted:
    """What would be a violation, had nobody answered for it."""

    urn: str
    message: str


@dataclass(frozen=True)
class Doubt:
    """A property that a rule must know and that is not known before the update."""

    urn: str
    name: str
    """The resource's."""
    path: str


@dataclass(frozen=True)
class Verdict:
    violations: tuple[Violation, ...] = ()
    undecided: tuple[Doubt, ...] = ()
    exempted: tuple[Exempted, ...] = ()

    @property
    def urns(self) -> frozenset[str]:
        """The resources that there was something to say about: their exemptions are not idle."""
        said: tuple[Violation | Doubt | Exempted, ...] = (*self.violations, *self.undecided, *self.exempted)
        return frozenset(each.urn for each in said)


def judge(rule: Rule, resources: Sequence[Resource], terms: Terms) -> Verdict:
    """What `rule` says of those of `resources` that are of its types."""
    violations: list[Violation] = []
    undecided: list[Doubt] = []
    exempted: list[Exempted] = []
    for resource, finding in _findings(rule, resources, terms):
        urn = resource.urn
        if isinstance(finding, Undecided):
            undecided.append(Doubt(urn, resource.name, finding.path))
        elif (exemption := terms.exemption(urn)) is None:
            violations.append(Violation(urn, f"{finding}. Fix: {rule.advice(terms)}"))
        elif exemption.holds(terms.today):
            until = f"exempted by {exemption.owner} until {exemption.until}: {exemption.reason}"
            exempted.append(Exempted(urn, f"{finding}; {until}"))
        else:
            violations.append(Violation(urn, f"{finding}. {exemption.refused(terms.today)}. Fix: {rule.advice(terms)}"))
    return Verdict(tuple(violations), tuple(dict.fromkeys(undecided)), tuple(exempted))


def idle(terms: Terms, urns: frozenset[str]) -> Iterator[Exempted]:
    """The exemptions that nothing needed, where `urns` are the resources that the rule had something to say about."""
    for each in terms.exemptions:
        if each.urn not in urns:
            yield Exempted(
                each.urn, f"{each.owner}'s exemption until {each.until} is not needed for {each.urn}: take it out"
            )


def _findings(rule: Rule, resources: Sequence[Resource], terms: Terms) -> Iterator[tuple[Resource, Finding]]:
    others = rule.sees if isinstance(rule, StackRule) else ()
    seen = [each for each in resources if each.type in rule.types or each.type in others]
    for resource in (each for each in seen if each.type in rule.types):
        if isinstance(rule, StackRule):
            findings = _caught(partial(rule.check, resource, seen, terms))
        else:
            findings = _caught(partial(rule.check, resource, terms))
        for finding in findings:
            yield resource, finding


def _caught(findings: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """A value that a rule had to know and could not, or could not make sense of, is a finding too."""
    try:
        yield from findings()
    except Undecided as undecided:
        yield undecided
    except Malformed as malformed:
        yield str(malformed)
