"""The gate: what a preview would do to what holds state, and whether that may be done."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from ops.plan.preview import ABSENT, SECRET, UNKNOWN, Preview, Step, at, first_of, name_of, segments, type_of
from ops.plan.stateful import (
    EFFECTS,
    FINAL_SNAPSHOT,
    INTERRUPTIONS,
    REPLACING,
    RETENTION_SAFE,
    RETENTIONS,
    SWITCHES,
    Effect,
    Kept,
    Stateful,
    Turned,
    stateful,
)
from ops.plan.waivers import Waiver, is_component

_PROTECTED = Stateful("protected resource", "it was protected from that", safe="leave it, or lift its protection first")
_UNPROTECTED_BY = (
    "leave it protected; to retire a generation, set `retiring: true` on that one alone, in a pull request of its own"
)
_STATED = "state it as a plain value, so that it can be reviewed"

GONE: Any = type("Gone", (), {"__repr__": lambda _: "gone"})()
"""What becomes of a value whose rule is taken away."""


@dataclass(frozen=True)
class Changed:
    """A property, and what becomes of it."""

    path: str
    before: Any
    after: Any

    def asdict(self) -> dict[str, str]:
        return {"property": self.path, "before": shown(self.before), "after": shown(self.after)}

    def __str__(self) -> str:
        return f"{self.path}: {shown(self.before)} → {shown(self.after)}"


@dataclass(frozen=True)
class Finding:
    """One thing that the gate has to say about one resource."""

    kind: str
    urn: str
    at_fault: tuple[Changed, ...]
    """The properties that make it so; none where the resource simply goes."""
    effect: Effect
    loses_data: bool
    means: str
    safe: str
    parents: tuple[str, ...] = ()
    waiver: Waiver | None = None

    @property
    def type(self) -> str:
        return type_of(self.urn)

    @property
    def name(self) -> str:
        return name_of(self.urn)

    @property
    def component(self) -> str:
        """The URN of the component it stands under; empty for none."""
        return next((each for each in self.parents if is_component(each)), "")

    @property
    def decision(self) -> str:
        return "waived" if self.waiver else "refused"

    def asdict(self) -> dict[str, Any]:
        return {
            "decision": self.decision,
            "kind": self.kind,
            "urn": self.urn,
            "type": self.type,
            "name": self.name,
            "properties": [each.asdict() for each in self.at_fault],
            "effect": self.effect,
            "losesData": self.loses_data,
            "means": self.means,
            "safe": self.safe,
            "waiver": self.waiver.asdict() if self.waiver else None,
        }


@dataclass(frozen=True)
class Interruption:
    """A change in place that clients notice, or that waits."""

    urn: str
    change: Changed
    effect: Effect
    when: str
    what: str

    @property
    def name(self) -> str:
        return name_of(self.urn)

    def asdict(self) -> dict[str, Any]:
        return {
            "urn": self.urn,
            **self.change.asdict(),
            "effect": self.effect,
            "when": self.when,
            "what": self.what,
        }


@dataclass(frozen=True)
class Verdict:
    """Everything the gate decided about one preview."""

    stack: str
    failed: Sequence[str]
    """The preview's own errors: what it lists may be a part, so nothing passes."""
    findings: Sequence[Finding]
    interruptions: Sequence[Interruption]
    expired: Sequence[Waiver]
    idle: Sequence[Waiver]
    """Waivers of this stack that nothing needs."""

    @property
    def refused(self) -> Sequence[Finding]:
        return [each for each in self.findings if each.waiver is None]

    @property
    def waived(self) -> Sequence[Finding]:
        return [each for each in self.findings if each.waiver is not None]

    @property
    def passed(self) -> bool:
        return not self.refused and not self.failed

    def asdict(self) -> dict[str, Any]:
        return {
            "stack": self.stack,
            "passed": self.passed,
            "failed": list(self.failed),
            "findings": [each.asdict() for each in self.findings],
            "interruptions": [each.asdict() for each in self.interruptions],
            "waivers": {
                "expired": [each.asdict() for each in self.expired],
                "idle": [each.asdict() for each in self.idle],
            },
        }


def check(preview: Preview, waivers: Sequence[Waiver], today: date) -> Verdict:
    """Judge the preview; `today` (UTC) is the day that waivers are held against."""
    parents = _parents(preview)
    serving = _serving(preview)
    findings = [
        replace(finding, parents=parents.get(finding.urn, ()))
        for step in preview.changed
        for finding in _of_step(step, serving)
    ]
    stack = preview.stack
    own = [each for each in waivers if each.stack == stack]
    live = [each for each in own if not each.expired(today)]
    findings = [
        replace(
            finding,
            waiver=next((each for each in live if each.covers(finding.urn, finding.parents, finding.kind)), None),
        )
        for finding in findings
    ]
    used = {each.waiver for each in findings if each.waiver}
    return Verdict(
        stack,
        [each.message for each in preview.errors] or (["the engine says it may be corrupt"] * preview.maybe_corrupt),
        sorted(findings, key=_worst_first),
        sorted(_interruptions(preview), key=lambda each: (EFFECTS.index(each.effect), each.urn, each.change.path)),
        [each for each in own if each.expired(today)],
        [each for each in live if each not in used],
    )


def _worst_first(finding: Finding) -> tuple[Any, ...]:
    kinds = ("serving-removed", "delete", "replace")
    order = kinds.index(finding.kind) if finding.kind in kinds else len(kinds)
    return (
        finding.waiver is not None,
        not finding.loses_data,
        order,
        EFFECTS.index(finding.effect),
        finding.urn,
    )


def _parents(preview: Preview) -> Mapping[str, tuple[str, ...]]:
    """Every URN above each, as far as the preview shows them: its own type says how many there are."""
    parent = {each.urn: each.parent for each in preview.steps if each.parent}
    found = {}
    for urn in parent:
        chain: list[str] = []
        above = parent[urn]
        while above and above not in chain:
            chain.append(above)
            above = parent.get(above, "")
        found[urn] = tuple(chain)
    return found


def _serving(preview: Preview) -> Mapping[str, str]:
    """Physical name of each store's serving generation before the update, and what it is."""
    root = preview.root
    stores = ((root.old.get("outputs") or {}).get("stores") if root else None) or {}
    found = {}
    for store, each in stores.items() if isinstance(stores, Mapping) else ():
        serving = at(each, ("serving",))
        if isinstance(serving, str) and isinstance(name := at(each, ("generations", serving, "identifier")), str):
            found[name] = f"{store} generation {serving}"
    return found


# One step


def _of_step(step: Step, serving: Mapping[str, str]) -> Iterator[Finding]:
    if step.deletes or step.replaces:
        yield from _gone(step, serving)
    if step.op == "remove-pending-replace":
        return  # it has been gone since the update that replaced it
    yield from _unprotected(step)
    if step.old and step.new:
        for switch in SWITCHES:
            if switch.types.intersection(step.types):
                yield from _turned(step, switch)
        yield from _without_final_snapshot(step)
        yield from _retentions(step)
        yield from _versions(step)


def _finding(
    step: Step,
    kind: str,
    at_fault: Sequence[Changed],
    means: str,
    safe: str,
    *,
    effect: Effect = "none",
    loses_data: bool = False,
) -> Finding:
    return Finding(kind, step.urn, tuple(at_fault), effect, loses_data, means, safe)


def _stateful(step: Step) -> Stateful | None:
    held = (stateful(each) for each in reversed(step.types))  # what goes is of the type that it had
    return next((each for each in held if each), _PROTECTED if step.old.get("protect") else None)


def _gone(step: Step, serving: Mapping[str, str]) -> Iterator[Finding]:
    held = _stateful(step)
    if held is None or step.op == "remove-pending-replace":
        return
    stays = bool(step.old.get("retainOnDelete"))
    loses, kept = held.loses_data and not stays, ". The old one stays at the provider (retainOnDelete)" * stays
    identifiers = {str(each) for key in ("clusterIdentifier", "replicationGroupId") if (each := step.before(key))}
    serves = next((serving[each] for each in sorted(identifiers & serving.keys())), None)
    if serves and held.loses_data:
        yield _finding(
            step,
            "serving-removed",
            (),
            f"{serves} serves until this update, and the services lose it in it{kept}",
            "let the other generation serve first (`python -m ops restore promote`), `pulumi up`, "
            "and retire this one in an update of its own",
            effect="outage",
            loses_data=loses,
        )
    if step.deletes:
        means = held.deleted or (f"it goes{', and its data with it' if held.loses_data else ''}")
        yield _finding(
            step,
            "delete",
            (),
            f"{held.noun}: {means}{kept}",
            _safe_delete(held),
            effect=held.effect,
            loses_data=loses,
        )
        return
    forcing = [Changed(each.path, each.before, each.after) for each in step.changes if each.replaces]
    unnamed = "; the preview names no property, so a parent, a provider or a target forces it" * (not forcing)
    known = (REPLACING.get((step.type, first_of(each.path))) for each in forcing)
    yield _finding(
        step,
        "replace",
        forcing,
        f"{held.noun}: {held.replaced}{unnamed}{kept}",
        next((each for each in known if each), held.safe),
        effect=held.effect,
        loses_data=loses,
    )


def _safe_delete(held: Stateful) -> str:
    if held.loses_data:
        return (
            "leave it in the program; if it has to go: another one serves, a snapshot is kept, its protection is "
            "lifted in an update of its own, and a waiver names this URN"
        )
    return held.safe


def _unprotected(step: Step) -> Iterator[Finding]:
    if step.unprotects:
        means = "the next update may delete or replace it" + (
            "; this one replaces it" if step.replaces else "; the preview calls this no change" * (step.op == "same")
        )
        yield _finding(step, "unprotect", [Changed("protect", True, False)], means, _UNPROTECTED_BY)
    if step.old.get("retainOnDelete") and step.new and not step.new.get("retainOnDelete"):
        yield _finding(
            step,
            "unprotect",
            [Changed("retainOnDelete", True, False)],
            "what is taken out of the program is then deleted at the provider as well",
            _UNPROTECTED_BY,
        )


def _pairs(step: Step, property_: str) -> Iterator[tuple[str, Any, Any]]:
    """Path, before and after of a property: as the program had it, and as the provider recorded it."""
    if "[]" in property_:
        yield from _pairs_in_list(step, property_)
        return
    recorded, after = step.old.get("inputs") or {}, step.after(property_)
    yield property_, recorded.get(property_, ABSENT), after
    for change in step.changes:
        if change.path == property_:
            # After a refresh, what somebody set by hand is what is lost.
            yield property_, change.before, after


def _pairs_in_list(step: Step, property_: str) -> Iterator[tuple[str, Any, Any]]:
    listed, _, rest = property_.partition("[].")
    before, after = step.before(listed), step.after(listed)
    if isinstance(before, list) and not isinstance(after, (list, type(ABSENT), type(None))):
        yield listed, before, after
        return
    for index, was in enumerate(before if isinstance(before, list) else ()):
        path = f"{listed}[{index}].{rest}"
        will_be = _same_rule(was, index, after or [])
        yield path, at(was, segments(rest)), GONE if will_be is ABSENT else at(will_be, segments(rest))


def _same_rule(rule: Any, index: int, rules: Sequence[Any]) -> Any:
    """What it becomes: the one of its name, wherever that stands now; ABSENT where there is none."""
    name = at(rule, ("ruleName",))
    if name is ABSENT:
        return rules[index] if index < len(rules) else ABSENT
    return next((each for each in rules if at(each, ("ruleName",)) == name), ABSENT)


def _turned(step: Step, switch: Turned) -> Iterator[Finding]:
    for path, before, after in _pairs(step, switch.property):
        if after is GONE or ("[]" in switch.property and "[" not in path):
            continue  # told of as what is kept
        was, will_be = (switch.absent if each in (ABSENT, None) else _truth(each) for each in (before, after))
        # What it held may be hidden, or told by the update alone: then it may have been on.
        if (was is switch.on or not isinstance(was, bool)) and will_be is not switch.on and before != after:
            yield _finding(step, switch.kind, [Changed(path, before, after)], switch.means, switch.safe)
            return


def _truth(value: Any) -> Any:
    """Providers take `"true"` for true."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _without_final_snapshot(step: Step) -> Iterator[Finding]:
    name = "finalSnapshotIdentifier"
    if FINAL_SNAPSHOT.intersection(step.types) and step.before(name) and not ((step.new.get("inputs") or {}).get(name)):
        yield _finding(
            step,
            "final-snapshot-off",
            [Changed(name, step.before(name), ABSENT)],
            "a deletion would leave no last snapshot",
            "leave the name in; a store that may go without one is retired by hand",
        )


def _retentions(step: Step) -> Iterator[Finding]:
    """Each once: where a list is unknown as a whole, so is everything in it."""
    told = set()
    for kept in RETENTIONS:
        for finding in _shorter(step, kept) if kept.types.intersection(step.types) else ():
            its = (finding.kind, finding.at_fault[0].path)
            if its not in told:
                told.add(its)
                yield finding


def _shorter(step: Step, kept: Kept) -> Iterator[Finding]:
    if kept.property == "performanceInsightsRetentionPeriod" and step.after("performanceInsightsEnabled") is False:
        return  # turned off as a whole, which is told of as such
    for path, before, after in _pairs(step, kept.property):
        was = kept.absent if before in (ABSENT, None) else kept.length(before)
        will_be = kept.absent if after in (ABSENT, None) else kept.length(after)
        if after is GONE and before is ABSENT and kept.absent == 0:
            continue  # it had none
        if after is GONE:
            gone = Changed(path, _days(before, was, kept.unit) if was is not None else before, GONE)
            yield _finding(step, "retention-shrinks", [gone], kept.loses, RETENTION_SAFE, loses_data=True)
            return
        if (was is None or will_be is None) and before != after:
            yield _finding(
                step,
                "undecided",
                [Changed(path, before, after)],
                f"whether {path} shrinks is known only in the update",
                _STATED,
            )
            return
        if was is not None and will_be is not None and will_be < was:
            said = (_days(before, was, kept.unit), _days(after, will_be, kept.unit))
            yield _finding(
                step,
                "retention-shrinks",
                [Changed(path, *said)],
                kept.loses,
                RETENTION_SAFE,
                loses_data=True,
            )
            return


def _days(value: Any, length: float, unit: str) -> str:
    said = "for ever" if math.isinf(length) else f"{length:g} {unit}".strip()
    return f"{said} (by default)" if value in (ABSENT, None) else said


def _version(value: Any) -> list[int]:
    return [int(each) for each in re.findall("[0-9]+", str(value))] if isinstance(value, str) else []


def _versions(step: Step) -> Iterator[Finding]:
    if "engineVersion" not in (step.new.get("inputs") or {}) and "engineVersion" not in (step.old.get("inputs") or {}):
        return
    if not any(stateful(each) for each in step.types) or step.op == "same":
        return
    before, after = step.before("engineVersion"), step.after("engineVersion")
    if after in (UNKNOWN, SECRET):
        if before != after:
            yield _finding(
                step,
                "undecided",
                [Changed("engineVersion", before, after)],
                "which version the engine gets is known only in the update: it can be another major",
                _STATED,
                effect="outage",
            )
        return
    old, new = _version(before), _version(after)
    if old and new and old[0] != new[0]:
        yield _finding(
            step,
            "major-upgrade",
            [Changed("engineVersion", before, after)],
            "every node is down while AWS upgrades, minutes to hours, and there is no way back but a restore; an "
            "update that waits longer than its timeout fails half-way (pulumi #11026)",
            "rehearse it in another stack with a restore of this one's data, take a snapshot, choose the hour, and see "
            "that no job's timeout ends the update before AWS is done; the runbook has the steps",
            effect="outage",
        )
        return
    # pulumi-aws #5756: AWS had upgraded a minor by itself, and a change of the window carried the old one.
    actual = (step.old.get("outputs") or {}).get("engineVersionActual")
    running = _version(actual)
    shared = min(len(running), len(new))
    touched = any(first_of(each.path) == "engineVersion" for each in step.changes)
    if running and new and not touched and running[:shared] != new[:shared]:
        yield _finding(
            step,
            "unseen-upgrade",
            [Changed("engineVersion", actual, after)],
            "the cluster runs another version than the program names, and any modification carries the program's "
            "along: AWS upgrades, or refuses to go back (pulumi-aws #5756)",
            "set engineVersion to what runs, in a pull request of its own, before anything else is changed",
            effect="outage",
        )


# What clients notice


def _interruptions(preview: Preview) -> Iterator[Interruption]:
    for step in preview.changed:
        if step.op != "update":
            continue
        for change in step.changes:
            for each in INTERRUPTIONS:
                if step.type in each.types and first_of(change.path) in each.properties:
                    when = _when(step, windowed=each.windowed)
                    for part in _parts(Changed(change.path, change.before, change.after)):
                        yield Interruption(step.urn, part, each.effect, when, each.what)


def _parts(change: Changed) -> Iterator[Changed]:
    """A map by those of its keys that change, anything else as it is."""
    if not isinstance(change.before, Mapping) or not isinstance(change.after, Mapping):
        yield change
        return
    for key in sorted(change.before.keys() | change.after.keys()):
        was, will_be = change.before.get(key, ABSENT), change.after.get(key, ABSENT)
        if was != will_be:
            yield Changed(f"{change.path}.{key}", was, will_be)


def _when(step: Step, *, windowed: bool) -> str:
    if not windowed or step.after("applyImmediately") is True:
        return "at once"
    window = step.after("preferredMaintenanceWindow") or step.after("maintenanceWindow")
    return f"in the maintenance window, {window} UTC" if isinstance(window, str) else "in the maintenance window"


def shown(value: Any) -> str:
    """A value in a few characters; never one that the engine knows to be secret."""
    if value is ABSENT or value is None:
        return "not set"
    if value is GONE:
        return "its rule is gone"
    if value == UNKNOWN:
        return "known only during the update"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
