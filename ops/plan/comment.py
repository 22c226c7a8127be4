"""The comment on a pull request: what a reviewer has to know first stands first, and what is cut is counted."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from ops.plan.check import Changed, Finding, Verdict
from ops.plan.contents import Migration, differences, line, migrations, outputs
from ops.plan.costs import costs
from ops.plan.policy_results import Policies
from ops.plan.preview import ABSENT, PolicyResult, Preview, Step
from ops.plan.redaction import Redact
from ops.plan.waivers import OF_COMPONENTS

# By it the comment is found again, and replaced (ops/pipeline/comment.py).
MARKER = "<!-- meetinity-data: the plan of this pull request -->"
# GitHub: the body of an issue comment has at most 65,536 characters; GitLab's is longer.
LIMIT = 65_536
_LONGEST_VALUE = 80
_LONGEST_ERROR = 4_000
_NOTE = 90  # how long a line is at most that counts what was cut
_WIDTH = 100  # of a code block's lines: GitHub does not wrap them, and shows about so many
_WAIVERS = "policies/plan-waivers.yaml"


@dataclass(frozen=True)
class StackPlan:
    """What is known of one stack's plan."""

    name: str
    preview: Preview | None = None
    verdict: Verdict | None = None
    """None where there is no preview to judge, or nothing to judge it by."""
    failure: str = ""
    """Why there is none, or what the preview said on stderr when it failed."""
    policies: Policies | None = None

    @property
    def failed(self) -> bool:
        return self.verdict is None or bool(self.verdict.failed)

    @property
    def violations(self) -> int:
        return self.policies.counts.get("mandatory", 0) if self.policies else 0

    @property
    def rank(self) -> int:
        """0 is worst."""
        verdict = self.verdict
        if verdict and any(each.loses_data for each in verdict.refused):
            return 0
        if self.failed or verdict is None:
            return 1
        if verdict.refused:
            return 2
        if self.violations:
            return 3
        if verdict.waived or verdict.interruptions:
            return 4
        return 5 if self.preview and self.preview.changed else 6

    @property
    def icon(self) -> str:
        return "⛔" if self.rank < 4 else "⚠️" if self.rank == 4 else "✅"


@dataclass(frozen=True)
class _Part:
    """Rows that are shown as far as there is room, whole ones only."""

    before: str
    rows: Sequence[Any]
    after: str = ""
    noun: str = "line"
    told: Callable[[Any], str] = str
    """A row as Markdown; of a large plan most are never asked for."""

    def fitted(self, room: int) -> str:
        """At most `room` characters, which is at least _NOTE."""
        left = room - len(self.before) - len(self.after) - _NOTE
        shown: list[str] = []
        for row in self.rows:
            text = self.told(row)
            left -= len(text)
            if left < 0:
                break
            shown.append(text)
        cut = len(self.rows) - len(shown)
        said = (
            f"{_many(cut, self.noun)} {'were' if cut > 1 else 'was'} cut; the job's log has them all.\n" if cut else ""
        )
        if cut and shown:
            said = said.replace(" ", " more ", 1)
        return f"{self.before}{''.join(shown)}{self.after}{said}" if shown else said


@dataclass
class _Section:
    plan: StackPlan
    must: str
    parts: list[_Part] = field(default_factory=list)


def comment(plans: Iterable[StackPlan], redact: Redact, *, run: str = "", limit: int = LIMIT) -> str:
    """Markdown of at most `limit` characters, the worst stack first.

    Every verdict and every change that the gate has found is in it, with less and less about each where there are many;
    everything else is cut where the room ends. `run` is the address of the job's log.
    """
    ordered = sorted(plans, key=lambda each: (each.rank, each.name))
    head = MARKER + redact(_head(ordered, run))  # the marker has to stand whatever is secret
    for detail in _Details:
        sections = [_section(plan, detail, redact) for plan in ordered]
        room = limit - len(head) - sum(len(each.must) for each in sections)
        if room >= _NOTE * len(sections) * max((len(each.parts) for each in sections), default=0):
            break
    else:
        return (head + "There is more to say than a comment holds: see the job's log.\n")[:limit]
    texts = []
    for number, section in enumerate(sections):
        share = room // (len(sections) - number)
        text = ""
        for place, part in enumerate(section.parts, 1):
            later = len(section.parts) - place  # each of them has its note to say at least
            text += part.fitted(share - len(text) - later * _NOTE)
        room -= len(text)
        texts.append(section.must + text)
    return head + "".join(texts)


# How much is said of each finding: all; no long value; names alone; those cut, and as many as there is room for.
_FULL, _SHORT, _NAMES, _CUT = range(4)
_Details = (_FULL, _SHORT, _NAMES, _CUT)


def _head(plans: Sequence[StackPlan], run: str) -> str:
    log = f" · [log]({run})" if run else ""
    told = " · ".join(f"{each.icon} **{each.name}**" for each in plans)
    return f"\n## Plan: {told}{log}\n\n"


def _section(plan: StackPlan, detail: int, redact: Redact) -> _Section:
    must = [f"### {plan.icon} {plan.name}: {_verdict(plan)}\n\n", _counts(plan.preview)]
    parts: list[_Part] = []
    if plan.failed:
        must.append(_failure(plan, redact))
    for title, found in (("Refused", plan.verdict.refused), ("Waived", plan.verdict.waived)) if plan.verdict else ():
        if detail == _CUT:
            parts.append(_Part(f"#### {title}\n\n", found, "\n", "dangerous change", _shortest))
        else:
            must.append(_findings(title, found, detail, redact))
    parts += _violations(plan.policies, redact)
    parts += _warnings(plan.preview, redact)
    if plan.verdict:
        parts += _interruptions(plan.verdict, redact)
    if plan.preview:
        parts += _contents(plan.preview, redact)
    if plan.verdict:
        parts += _waivers(plan.verdict)
    parts += _policies(plan.policies, redact)
    if plan.preview:
        parts.append(_diff(plan.preview, redact))
    return _Section(plan, redact("".join(must)), [_redacted(each, redact) for each in parts if each.rows])


def _redacted(part: _Part, redact: Redact) -> _Part:
    return replace(part, before=redact(part.before), after=redact(part.after), told=lambda row: redact(part.told(row)))


def _shortest(finding: Finding) -> str:
    return f"- **{finding.kind}** {code(finding.name if len(finding.name) <= 60 else finding.name[:59] + '…')}\n"


def _verdict(plan: StackPlan) -> str:
    verdict = plan.verdict
    if verdict is None:
        return "not judged" if plan.preview else "there is no preview"
    told = []
    if verdict.refused:
        told.append(_refused(verdict.refused))
    if plan.failed:
        told.append("the preview failed" + ("" if verdict.refused else ", so nothing was judged whole"))
    if plan.violations:
        told.append(f"{_many(plan.violations, 'policy violation')}")
    if told:
        return "; ".join(told)
    if verdict.waived:
        told.append(f"{_many(len(verdict.waived), 'dangerous change')} waived")
    if verdict.interruptions:
        effects = {each.effect for each in verdict.interruptions}
        worst = next((each for each in ("outage", "failover") if each in effects), "")
        told.append(f"an {worst}" if worst == "outage" else f"a {worst}" if worst else "waits or acts at once")
    run = len(migrations(plan.preview)) if plan.preview else 0
    if run:
        told.append(f"{_many(run, 'migration')} will run")
    changed = bool(plan.preview and plan.preview.changed)
    return "passes, " + (", ".join(told) if told else "nothing is lost" if changed else "nothing changes")


def _refused(findings: Sequence[Finding]) -> str:
    effects = {each.effect for each in findings}
    worst = next(each for each in ("outage", "failover", "none") if each in effects)
    resources = len({each.urn for each in findings})
    data = ", **data would be lost**" if any(each.loses_data for each in findings) else ""
    effect = f", {worst}" if worst != "none" else ""
    return f"refused for {_many(resources, 'resource')}{data}{effect}"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun[:-1]}ies" if noun[-1] == "y" else f"{count} {noun}s"


def _counts(preview: Preview | None) -> str:
    if preview is None:
        return ""
    counts = preview.counts()
    if not counts:
        return "No resource changes.\n\n" if not preview.failed else ""
    head = " | ".join(counts)
    return f"| {head} |\n|{' --: |' * len(counts)}\n| {' | '.join(map(str, counts.values()))} |\n\n"


def _failure(plan: StackPlan, redact: Redact) -> str:
    said = [*plan.verdict.failed] if plan.verdict else []
    if plan.failure and not said:
        said.append(plan.failure.strip())
    text = redact("\n\n".join(said))  # before it is cut or broken: half a secret is not known again
    if len(text) > _LONGEST_ERROR:
        half = _LONGEST_ERROR // 2
        text = f"{text[:half]}\n… {len(text) - _LONGEST_ERROR} characters …\n{text[-half:]}"
    listed = " What it lists below may be a part." if plan.preview and plan.preview.changed else ""
    what = "The preview failed" if plan.verdict or not plan.preview else "The gate cannot judge it"
    return f"**{what}.**{listed}\n\n{_fenced(_wrapped(text) or 'It gave no reason.')}\n"


def _wrapped(text: str) -> str:
    """Long lines broken between words; a traceback's, and the others, as they are."""
    lines: list[str] = []
    for each in text.splitlines():
        indent = len(each) - len(each.lstrip())
        if len(each) <= _WIDTH or indent >= 4 or each.lstrip().startswith('File "'):
            lines.append(each)
        else:
            below = " " * (indent + 2)
            lines += textwrap.wrap(
                each, _WIDTH, break_long_words=False, break_on_hyphens=False, subsequent_indent=below
            )
    return "\n".join(lines)


def _fenced(text: str, language: str = "text") -> str:
    fence = _fence(text)
    return f"{fence}{language}\n{text}\n{fence}\n"


def _fence(text: str) -> str:
    longest = max((len(each) for each in re.findall("`+", text)), default=0)
    return "`" * max(3, longest + 1)


def code(text: str) -> str:
    """In one code span, whatever it holds: a table cell would end at `|`."""
    flat = _flat(text).replace("`", "'").replace("|", "\\|")
    return f"`{flat}`" if flat else "` `"


def _text(text: str) -> str:
    """Words that somebody else wrote: no markup but code spans, no image, and nobody is called."""
    parts = re.split(r"(`[^`]*`)", _flat(text))
    for index in range(0, len(parts), 2):
        plain = parts[index].replace("<", "&lt;").replace("](", "]\\(").replace("|", "\\|")
        parts[index] = re.sub(r"(?<!\w)@(?=\w)(?!sha256:)", "@<!-- -->", plain)
    return "".join(parts)


def _change(change: Changed, longest: int, redact: Redact) -> str:
    before, after = (code(line(each, longest, redact)) for each in (change.before, change.after))
    return f"{code(change.path)}: {before} → {after}"


# What the gate found: always there


def _findings(title: str, findings: Sequence[Finding], detail: int, redact: Redact) -> str:
    if not findings:
        return ""
    text = f"#### {title}\n\n"
    for _, same in groupby(findings, key=lambda each: (each.kind, each.means, each.safe, each.effect, each.waiver)):
        text += _alike(list(same), detail, redact)
    return text + "\n"


def _alike(findings: Sequence[Finding], detail: int, redact: Redact) -> str:
    first = findings[0]
    effect = {"outage": "**outage**", "failover": "**failover**", "none": "no outage"}[first.effect]
    lost = " · **data lost**" if first.loses_data else ""
    names = ", ".join(code(each.name) for each in findings)
    head = f"- **{first.kind}** {names}" if detail == _NAMES or len(findings) == 1 else f"- **{first.kind}**"
    text = f"{head} · {effect}{lost}\n"
    if detail == _NAMES:
        return text
    for each in findings:
        longest = _LONGEST_VALUE if detail == _FULL else 20
        changes = ", ".join(_change(change, longest, redact) for change in each.at_fault)
        if len(findings) > 1:
            text += f"  - {code(each.name)}{': ' if changes else ''}{changes}\n"
        elif changes:
            text += f"  - because of {changes}\n"
    text += f"  - {_text(first.means)}\n"
    if first.waiver:
        waiver = first.waiver
        reason = _text(line(waiver.reason, 200, redact))
        return text + f"  - waived by {_text(waiver.owner)} until {waiver.until}: {reason}\n"
    return text + f"  - **instead:** {first.safe}\n"


# The rest, while there is room


def _violations(policies: Policies | None, redact: Redact) -> Iterator[_Part]:
    rows = [_result(each, redact) for each in policies.results if each.level == "mandatory"] if policies else []
    yield _Part("#### Policies that refuse it\n\n", rows, "\n", "violation")


def _policies(policies: Policies | None, redact: Redact) -> Iterator[_Part]:
    """What stops nothing stands folded: most of it is there on every pull request."""
    if policies is None:
        return
    rows = [_result(each, redact) for each in policies.results if each.level != "mandatory"]
    told = ", ".join(f"{count} {level}" for level, count in policies.counts.items()) or "nothing to say"
    undecided = f", {_many(policies.undecided, 'rule')} undecided until the update" if policies.undecided else ""
    if rows:
        head = f"<details><summary>Policies: {told}{undecided}</summary>\n\n"
        yield _Part(head, rows, "\n</details>\n\n", "result")
    else:
        yield _Part("", [f"Policies: {told}{undecided}.\n\n"])


def _result(each: PolicyResult, redact: Redact) -> str:
    return f"- {each.level} **{each.policy}**{_named(each.urn)}: {_text(line(each.message, 600, redact))}\n"


def _warnings(preview: Preview | None, redact: Redact) -> Iterator[_Part]:
    warned = [each for each in preview.diagnostics if each.severity == "warning"] if preview else []
    rows = [f"- ⚠️{_named(each.urn)} {code(line(each.message, 400, redact))}\n" for each in warned if each.message]
    yield _Part("#### Warnings\n\n", rows, "\n", "warning")


def _named(urn: str) -> str:
    return f" {code(urn.split('::', 3)[-1])}" if urn else ""


def _interruptions(verdict: Verdict, redact: Redact) -> Iterator[_Part]:
    rows = [
        f"| {code(each.name)} | {_change(each.change, 40, redact)} | {each.effect} | {_text(each.when)} "
        f"| {each.what} |\n"
        for each in verdict.interruptions
    ]
    yield _Part(
        "#### Interrupts or waits\n\n| resource | change | effect | when | what |\n|---|---|---|---|---|\n", rows, "\n"
    )


def _contents(preview: Preview, redact: Redact) -> Iterator[_Part]:
    yield _Part("#### Migrations that will run\n\n", [_migration(each, redact) for each in migrations(preview)], "\n")
    units = [
        f"- {code(redact(f'{amount:+g} {unit if abs(amount) == 1 else _plural(unit)}'))}\n"
        for unit, amount in costs(preview).items()
    ]
    yield _Part("#### Units that cost money\n\n", units, "\n")
    changes = [
        f"| {code(each.path)} | {_cell(each.before, redact)} | {_cell(each.after, redact)} |\n"
        for each in outputs(preview)
    ]
    yield _Part("#### Outputs that change\n\n| output | before | after |\n|---|---|---|\n", changes, "\n", "output")


def _cell(value: object, redact: Redact) -> str:
    return code(line(value, _LONGEST_VALUE, redact))


def _plural(unit: str) -> str:
    first, *rest = unit.split(" ")
    if first == "day":
        return " ".join(["days", *rest])
    if unit.startswith("Aurora cluster"):
        return unit.replace("cluster", "clusters", 1)
    return unit.replace("unit (ACU)", "units (ACU)") if "(ACU)" in unit else f"{unit}s"


def _migration(each: Migration, redact: Redact) -> str:
    was = f" (was {code(redact(each.was))})" if each.was and each.was != each.image else ""
    to = f", up to revision {code(redact(each.revision))}" if each.revision else ""
    where = f" on {code(redact(each.target))}" if each.target else ""
    command, image = code(redact(" ".join(each.command))), code(redact(each.image))
    return f"- **{_text(each.service)}**{where}: {image}{was} runs {command}{to}\n"


def _waivers(verdict: Verdict) -> Iterator[_Part]:
    stale = [
        f"- {word}: {', '.join(sorted(each.kinds))} for {code(each.urn)} ({_text(each.owner)}, until {each.until})\n"
        for word, some in (("over", verdict.expired), ("not needed", verdict.idle))
        for each in some
    ]
    yield _Part(f"#### Waivers to take out of `{_WAIVERS}`\n\n", stale, "\n")
    entries = [
        f"  - urn: {_scalar(urn)}\n    kind: [{', '.join(kinds)}]\n    owner:\n    reason:\n    until:\n"
        for urn, kinds in _to_waive(verdict.refused).items()
    ]
    fence = _fence("".join(entries))
    yield _Part(
        f"<details><summary>If it is meant: entries for <code>{_WAIVERS}</code></summary>\n\n{fence}yaml\nwaivers:\n",
        entries,
        f"{fence}\n\n</details>\n\n",
        "entry",
    )


def _scalar(urn: str) -> str:
    """As YAML: plain where it can be."""
    return urn if re.fullmatch(r"[\w:$/.-]+", urn) else json.dumps(urn)


def _to_waive(findings: Sequence[Finding]) -> Mapping[str, Sequence[str]]:
    """Kinds by URN: the component's, where several of its resources are refused for what it may waive as a whole."""
    together = [each for each in findings if each.component and each.kind in OF_COMPONENTS]
    under = Counter(component for component, _ in {(each.component, each.urn) for each in together})
    found: dict[str, dict[str, None]] = {}
    for each in findings:
        whole = each in together and under[each.component] > 1
        found.setdefault(each.component if whole else each.urn, {})[each.kind] = None
    return {urn: list(kinds) for urn, kinds in found.items()}


_ORDER = {"replace": 0, "delete": 1, "update": 3, "create": 4}
_SIGNS: Mapping[str, str] = {"replace": "!", "delete": "-", "create": "+"}


def _diff(preview: Preview, redact: Redact) -> _Part:
    steps = sorted(preview.changed, key=lambda each: (_order(each), each.urn))
    count = _many(len(steps), "resource")
    # Longer than any run of backticks that a value could bring.
    fence = "`" * 6
    return _Part(
        f"<details><summary>Every change: {count}</summary>\n\n{fence}diff\n",
        steps,
        f"{fence}\n\n</details>\n\n",
        "resource",
        lambda step: _resource(step, redact),
    )


def _order(step: Step) -> int:
    return 2 if step.unprotects and step.op in ("same", "update") else _ORDER.get(_op(step), 5)


def _op(step: Step) -> str:
    return "replace" if step.replaces else "delete" if step.deletes else "create" if step.creates else step.op


def _resource(step: Step, redact: Redact) -> str:
    op = _op(step)
    sign = _SIGNS.get(op, "!")
    text = f"{sign} {op if op != 'same' else 'protection'} {_flat(step.type)} {_flat(step.name)}\n"
    forced = {each.path for each in step.changes if each.replaces}
    for each in differences(step):
        mark = "   # forces the replacement" if _first_of(each.path, forced) else ""
        if each.before is not ABSENT:
            text += f"-     {_flat(each.path)}: {line(each.before, 120, redact)}{mark}\n"
        if each.after is not ABSENT:
            after = line(each.after, 120, redact)
            text += f"+     {_flat(each.path)}: {after}{mark if each.before is ABSENT else ''}\n"
    return text.replace("``````", "`` ````")


def _flat(text: str) -> str:
    return " ".join(text.split())


def _first_of(path: str, forced: set[str]) -> bool:
    return any(path == each or path.startswith((f"{each}.", f"{each}[")) for each in forced)
