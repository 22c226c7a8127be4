"""Waivers: what the gate lets pass, by whom, why and until when: a file of the repository that code owners approve."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ops.errors import OpsError
from ops.plan.preview import type_of
from ops.plan.stateful import KINDS

FILE = Path("policies/plan-waivers.yaml")
# Long enough for a review and a maintenance window; a standing waiver would be no gate.
LONGEST = timedelta(days=31)
_KEYS = ("urn", "kind", "owner", "reason", "until")
_URN = re.compile(r"urn:pulumi:[^:]+::[^:]+::\S+::\S+")
_COMPONENT = "meetinity:data:"
OF_COMPONENTS = frozenset({"delete", "unprotect", "deletion-protection-off", "insights-off", "retention-shrinks"})
"""What a component's URN may waive: one decision over all that stands under it. A replacement never is."""


@dataclass(frozen=True)
class Waiver:
    """What lets one resource pass, or whatever stands under one component."""

    urn: str
    kinds: frozenset[str]
    owner: str
    reason: str
    until: date
    """The last day (UTC) on which it holds."""

    def covers(self, urn: str, parents: Collection[str], kind: str) -> bool:
        return kind in self.kinds and (urn == self.urn or (is_component(self.urn) and self.urn in parents))

    def expired(self, today: date) -> bool:
        return today > self.until

    @property
    def stack(self) -> str:
        return self.urn.removeprefix("urn:pulumi:").split("::")[0]

    def asdict(self) -> dict[str, Any]:
        return {
            "urn": self.urn,
            "kind": sorted(self.kinds),
            "owner": self.owner,
            "reason": self.reason,
            "until": self.until.isoformat(),
        }


def is_component(urn: str) -> bool:
    """Whether it is one of this program's own."""
    return type_of(urn).startswith(_COMPONENT)


def load(path: Path, today: date) -> Sequence[Waiver]:
    """Raises OpsError with every mistake in the file at once; a file that is not there holds none."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise OpsError(f"{path} cannot be read: {error}") from None
    try:
        document = YAML(typ="safe").load(text) or {}
    except YAMLError as error:
        raise OpsError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    entries = document.get("waivers") if isinstance(document, dict) else None
    if not isinstance(document, dict) or set(document) - {"waivers"} or not isinstance(entries or [], list):
        raise OpsError(f"{path}: one key is allowed, `waivers`, a list of entries with {', '.join(_KEYS)}")
    found: list[Waiver] = []
    wrong: list[str] = []
    for number, entry in enumerate(entries or [], 1):
        mistakes = [f"{path}: waiver {number}: {each}" for each in _mistakes(entry, today)]
        wrong += mistakes
        if not mistakes:
            kinds = entry["kind"] if isinstance(entry["kind"], list) else [entry["kind"]]
            found.append(Waiver(entry["urn"], frozenset(kinds), entry["owner"], entry["reason"], _day(entry["until"])))
    if wrong:
        raise OpsError("\n".join(wrong))
    return found


def _mistakes(entry: Any, today: date) -> Sequence[str]:
    if not isinstance(entry, Mapping):
        return [f"it is no mapping with {', '.join(_KEYS)}"]
    found = [f"`{key}` is missing" for key in _KEYS if entry.get(key) in (None, "", [])]
    found += [f"`{key}` is not known; known are {', '.join(_KEYS)}" for key in entry if key not in _KEYS]
    given = {key: value for key, value in entry.items() if value not in (None, "", [])}
    if "urn" in given and not _URN.fullmatch(str(given["urn"])):
        found.append(f"`urn` {given['urn']!r} is no URN: copy it from the refusal")
    kinds = given.get("kind", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if not isinstance(kind, str) or kind not in KINDS:
            found.append(f"`kind` {kind!r} is not known; known are {', '.join(KINDS)}")
    if not found and is_component(str(given["urn"])):
        each_alone = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind not in OF_COMPONENTS]
        found += [f"`kind` {kind} is waived for one resource, not for all of a component's" for kind in each_alone]
    for key, shortest in (("owner", 2), ("reason", 10)):
        if key in given and (not isinstance(given[key], str) or len(given[key].strip()) < shortest):
            found.append(f"`{key}` is a text of at least {shortest} characters")
    return [*found, *(_not_a_last_day(given["until"], today) if "until" in given else ())]


def _not_a_last_day(given: Any, today: date) -> Sequence[str]:
    try:
        until = _day(given)
    except (TypeError, ValueError):
        return [f"`until` {given!r} is no day like 2026-11-30"]
    return [f"`until` {until} is too far ahead: {today + LONGEST} at the most"] * (until > today + LONGEST)


def _day(value: Any) -> date:
    if isinstance(value, datetime):
        raise ValueError(value)
    return value if isinstance(value, date) else date.fromisoformat(value)
