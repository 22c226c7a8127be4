"""A preview, as `pulumi preview --json` wrote it; also one that failed.

Two forms are read. The one document (shape: pulumi/pulumi pkg/display/json.go) has neither the stack's new outputs nor
what the policies said. The engine's events, one a line, that PULUMI_ENABLE_STREAMING_JSON_PREVIEW=1 makes of the same
command (sdk/go/common/apitype/events.go) have both, and no dependencies. Of the document it has to be known that an
op `same` is only listed for the root stack and for a resource whose `protect` changes, and that its `changeSummary`
counts that one as unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ops.errors import OpsError

Keys = tuple[str | int, ...]

ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "absent", "__bool__": lambda _: False})()
"""What a path that leads nowhere holds; JSON's null is something else."""

SECRET = "[secret]"  # noqa: S105 - what the engine writes in place of one
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine writes for text that is known only after the update (sdk/go/common/resource/plugin/rpc.go)."""

STACK = "pulumi:pulumi:Stack"

# A replacement is one step unless --show-replacement-steps is given; then these are the three of it.
REPLACES = frozenset({"replace", "create-replacement", "import-replacement", "read-replacement"})
DELETES = frozenset({"delete", "discard", "delete-replaced", "discard-replaced", "remove-pending-replace"})
CREATES = frozenset({"create", "import"})
_OPS = REPLACES | DELETES | CREATES | {"same", "update", "read", "refresh", "diff", "extend-parameterize"}

_EMPTY_WORDS = re.compile(r"(preview failed|an unhandled error occurred: .*|)")
_COLOURS = re.compile(r"<\{%[^%]*%\}>|\x1b\[[0-9;]*m")
_INTERRUPTED = re.compile(
    r"Traceback \(most recent call last\):.*?^KeyboardInterrupt\b[^\n]*$", re.DOTALL | re.MULTILINE
)
_SEGMENT = re.compile(r'\.?([^.\[\]"]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]')


def segments(path: str) -> Keys:
    """`spec.rules[0]["a.b"]` as its parts."""
    return tuple(
        name or (int(index) if index else json.loads(f'"{quoted}"')) for name, index, quoted in _SEGMENT.findall(path)
    )


def first_of(path: str) -> str:
    """Its first part; all of it where it has none."""
    return str(next(iter(segments(path)), path))


def types_of(urn: str) -> str:
    """The type token behind those of its parents, `parent$own`."""
    return urn.split("::")[2]


def type_of(urn: str) -> str:
    """The type token, without those of its parents."""
    return types_of(urn).split("$")[-1]


def name_of(urn: str) -> str:
    return urn.split("::", 3)[3]


def at(document: Any, path: Keys) -> Any:
    """What stands there, or ABSENT."""
    for each in path:
        in_list = isinstance(document, list) and isinstance(each, int) and each < len(document)
        if not in_list and not (isinstance(document, Mapping) and each in document):
            return ABSENT
        document = document[each]
    return document


@dataclass(frozen=True)
class Change:
    """One property that would change."""

    path: str
    kind: str
    """`add`, `delete` or `update`."""
    replaces: bool
    """It is one of those that force the replacement."""
    before: Any
    after: Any


@dataclass(frozen=True)
class Step:
    """What would be done to one resource."""

    op: str
    urn: str
    old: Mapping[str, Any] = field(default_factory=dict)
    new: Mapping[str, Any] = field(default_factory=dict)
    detailed_diff: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    diff_reasons: Sequence[str] = ()
    replace_reasons: Sequence[str] = ()

    @property
    def type(self) -> str:
        return type_of(self.urn)

    @property
    def name(self) -> str:
        return name_of(self.urn)

    @property
    def replaces(self) -> bool:
        return self.op in REPLACES

    @property
    def deletes(self) -> bool:
        return self.op in DELETES

    @property
    def creates(self) -> bool:
        return self.op in CREATES

    @property
    def state(self) -> Mapping[str, Any]:
        """The newest one there is."""
        return self.new or self.old

    @property
    def parent(self) -> str:
        above = str(self.state.get("parent") or "")
        return above if above.count("::") >= 3 else ""

    @property
    def unprotects(self) -> bool:
        return bool(self.old.get("protect")) and bool(self.new) and not self.new.get("protect")

    @property
    def matters(self) -> bool:
        """Whether anything would be done: an unchanged resource is only told of where what keeps it changes."""
        return self.op not in ("same", "read", "refresh") or any(
            bool(self.old.get(key)) != bool(self.state.get(key)) for key in ("protect", "retainOnDelete")
        )

    @property
    def types(self) -> Sequence[str]:
        """Its type, and the one that it had where an alias gives it another."""
        return tuple(dict.fromkeys([self.type, str(self.old.get("type") or self.type)]))

    def before(self, path: str) -> Any:
        return self._value(self.old, path, inputs=True)

    def after(self, path: str) -> Any:
        return self._value(self.new, path, inputs=True)

    @staticmethod
    def _value(state: Mapping[str, Any], path: str, *, inputs: bool) -> Any:
        parts = segments(path)
        found = ABSENT
        for where in ("inputs", "outputs") if inputs else ("outputs", "inputs"):
            found = at(state.get(where) or {}, parts)
            if found is not ABSENT:
                return found
        return found

    @cached_property
    def changes(self) -> Sequence[Change]:
        """The properties that would change, those that force a replacement first.

        Without a detailed diff of the provider's, what differs between the inputs, at their first level.
        """
        if self.op not in ("update", *REPLACES):
            return ()
        return sorted(self._changes(), key=lambda each: (not each.replaces, each.path))

    def _changes(self) -> Iterator[Change]:
        reasons = {str(each) for each in self.replace_reasons}
        if self.detailed_diff:
            forced = any(str(each.get("kind", "")).endswith("-replace") for each in self.detailed_diff.values())
            for path, each in self.detailed_diff.items():
                kind = str(each.get("kind", "update"))
                own = kind.endswith("-replace") or (not forced and bool({path, first_of(path)} & reasons))
                yield self._change(path, kind.removesuffix("-replace"), own, inputs=bool(each.get("inputDiff")))
            # Providers name what forces a replacement by its path or by its first property.
            known = {first_of(path) for path in self.detailed_diff}
            named = {each for each in reasons if first_of(each) not in known}
        else:
            old, new = self.old.get("inputs") or {}, self.new.get("inputs") or {}
            differing = {key for key in (*old, *new) if old.get(key, ABSENT) != new.get(key, ABSENT)}
            named = {key for key in differing | reasons | set(self.diff_reasons) if not key.startswith("__")}
        for path in named:
            before, after = self.before(path), self.after(path)
            kind = "add" if before is ABSENT else "delete" if after is ABSENT else "update"
            yield self._change(path, kind, path in reasons, inputs=True)

    def _change(self, path: str, kind: str, replaces: bool, *, inputs: bool) -> Change:
        # What the provider compared: the new input with the recorded output, unless it says otherwise.
        before = self._value(self.old, path, inputs=inputs)
        return Change(path, kind, replaces, before, self.after(path))


@dataclass(frozen=True)
class Diagnostic:
    severity: str
    message: str
    urn: str = ""


@dataclass(frozen=True)
class PolicyResult:
    """What a policy said during the preview."""

    policy: str
    level: str
    """`mandatory` or `advisory`."""
    urn: str
    message: str


@dataclass(frozen=True)
class Preview:
    steps: Sequence[Step]
    diagnostics: Sequence[Diagnostic] = ()
    maybe_corrupt: bool = False
    policies: Sequence[PolicyResult] = ()

    @property
    def errors(self) -> Sequence[Diagnostic]:
        """What went wrong; the engine's own last word, that something did, only where nothing else was said."""
        found = [each for each in self.diagnostics if each.severity == "error"]
        return [each for each in found if not _EMPTY_WORDS.fullmatch(each.message)] or found[:1]

    @property
    def failed(self) -> bool:
        """Whether the preview broke off: what it lists may then be a part."""
        return bool(self.errors) or self.maybe_corrupt

    @property
    def root(self) -> Step | None:
        return next((each for each in self.steps if each.type == STACK), None)

    @property
    def stack(self) -> str:
        """`dev`, from any URN; empty where the preview has none."""
        return next((each.urn.split("::")[0].removeprefix("urn:pulumi:") for each in self.steps), "")

    @property
    def changed(self) -> Sequence[Step]:
        """Every step that does something; a component that only exists to group is one too."""
        return [each for each in self.steps if each.matters]

    def counts(self) -> Mapping[str, int]:
        """By op, worst first; counted here, since changeSummary does not know of a protection that goes."""
        order = ("replace", "delete", "unprotect", "update", "create", "import", "other")
        found = dict.fromkeys(order, 0)
        for each in self.changed:
            found[_counted(each)] += 1
        return {op: count for op, count in found.items() if count}


def _counted(step: Step) -> str:
    if step.op in ("import", "update"):
        return step.op
    if step.replaces or step.deletes or step.creates:
        return "replace" if step.replaces else "delete" if step.deletes else "create"
    return "unprotect" if step.unprotects else "other"


def read(path: Path) -> Preview:
    """The preview in `path`, `-` for stdin. Raises OpsError, one line, for what is none."""
    try:
        text = _stdin() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise OpsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return parse(text, str(path))


def _stdin() -> str:
    import sys

    return sys.stdin.read()


def is_preview(text: str) -> bool:
    """Whether it looks like one, of either form; anything else may be a state."""
    if _is_events(text):
        return True
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return False
    return _is_document(document)


def _is_document(found: Any) -> bool:
    return isinstance(found, dict) and bool({"steps", "changeSummary", "diagnostics"} & found.keys())


def parse(text: str, where: str) -> Preview:
    """Raises OpsError, one line, for what is no preview."""
    how = "write it with `pulumi preview --json > FILE`"
    if not text.strip():
        # What is left where the preview could not even begin: its words are on stderr.
        raise OpsError(f"{where} is empty: the preview did not begin; {how}, and read what it said on stderr")
    if _is_events(text):
        return _of_events(text, where)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise OpsError(f"{where} is no preview: not JSON in line {error.lineno} ({error.msg}); {how}") from None
    except RecursionError:
        raise OpsError(f"{where} is no preview: it is nested without end; {how}") from None
    if not _is_document(document):
        raise OpsError(f"{where} is no preview: it has neither steps nor changeSummary nor diagnostics; {how}")
    listed, said = _typed(document, "steps", list, where), _typed(document, "diagnostics", list, where)
    steps = [_step(each, number, where) for number, each in enumerate(listed)]
    diagnostics = [_diagnostic(_object(each, "a diagnostic", where)) for each in said]
    left_out = _left_out(steps, _typed(document, "changeSummary", dict, where))
    return Preview(steps, [*diagnostics, *left_out], bool(document.get("maybeCorrupt")))


def _typed(holder: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    """What `key` holds, empty for nothing. Raises OpsError where it is of another kind."""
    value = holder.get(key)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise OpsError(f"{where} is no preview: `{key}` is no {'list' if kind is list else 'object'}")
    return value


def _object(value: Any, what: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise OpsError(f"{where} is no preview: {what} is no object")
    return value


def _left_out(steps: Sequence[Step], counted: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """What the engine counted and does not stand here: a file that was cut must not pass for a harmless plan."""
    for op in ("delete", "replace"):
        listed, count = sum(each.op == op for each in steps), counted.get(op)
        if isinstance(count, int) and count > listed:
            yield Diagnostic("error", f"the preview counts {count} x {op} and lists {listed}: a part of it is missing")


def _diagnostic(given: Mapping[str, Any]) -> Diagnostic:
    severity, text = str(given.get("severity", "")), _COLOURS.sub("", str(given.get("message", ""))).strip()
    # The interrupted program's traceback tells a reader nothing: what interrupted it is an error of its own.
    text = _INTERRUPTED.sub("", text).strip()
    return Diagnostic(severity, text.removeprefix(f"{severity}: "), str(given.get("urn") or ""))


def _step(given: Any, number: int, where: str) -> Step:
    if not isinstance(given, dict) or str(given.get("urn", "")).count("::") < 3:
        raise OpsError(f"{where} is no preview: step {number} has no URN")
    if not isinstance(given.get("op"), str) or given["op"] not in _OPS:
        # A gate that does not know what would be done must not pass it.
        known = ", ".join(sorted(_OPS))
        raise OpsError(f"{where}: step {number} ({given['urn']}) has the op {given.get('op')!r}; known are {known}")
    its = f"{where}: step {number} ({given['urn']})"
    old, new = (_typed(given, key, dict, its) for key in ("oldState", "newState"))
    for state in (old, new):
        for part in ("inputs", "outputs"):
            _typed(state, part, dict, its)
    diff = _typed(given, "detailedDiff", dict, its)
    for path, each in diff.items():
        _object(each, f"the difference of {path!r}", its)
    reasons, replacing = (tuple(map(str, _typed(given, key, list, its))) for key in ("diffReasons", "replaceReasons"))
    return Step(given["op"], str(given["urn"]), old, new, diff, reasons, replacing)


# The engine's events


def _is_events(text: str) -> bool:
    try:
        first = json.loads(text.partition("\n")[0])
    except (json.JSONDecodeError, RecursionError):
        return False
    return isinstance(first, dict) and "sequence" in first


def _of_events(text: str, where: str) -> Preview:
    steps: dict[tuple[str, str], Step] = {}
    diagnostics: list[Diagnostic] = []
    policies: list[PolicyResult] = []
    ended, corrupt, counted = False, False, {}
    for number, event in enumerate(_events(text, where), 1):
        # The root's outputs come in its last event; the first one shows it as it was.
        for kind in event.keys() & {"resourcePreEvent", "resOutputsEvent"}:
            its = _typed(_object(event[kind], f"event {number}", where), "metadata", dict, where)
            step = _step(_as_document(its, where), number, where)
            before = steps.get((step.urn, step.op))
            steps[step.urn, step.op] = replace(step, old=step.old or before.old) if before else step
        diagnostics += _told(event, where)
        if said := _typed(event, "policyEvent", dict, where):
            policies.append(_policy(said))
        if summary := _typed(event, "summaryEvent", dict, where):
            ended, corrupt = True, corrupt or bool(summary.get("maybeCorrupt"))
            counted = _typed(summary, "resourceChanges", dict, where)
            if summary.get("result") == "failed" and not any(each.severity == "error" for each in diagnostics):
                diagnostics.append(Diagnostic("error", "preview failed"))
    if not ended:
        diagnostics.append(Diagnostic("error", "the preview broke off: its events have no end"))
    replaced = {urn for urn, op in steps if op in REPLACES}
    parts = {"create-replacement", "delete-replaced", "import-replacement", "discard-replaced"}
    whole = [
        step for (urn, op), step in steps.items() if not (op in parts and urn in replaced and (urn, "replace") in steps)
    ]
    diagnostics += [*_left_out(whole, counted), *_violated(policies, diagnostics)]
    return Preview(whole, diagnostics, corrupt, policies)


def _events(text: str, where: str) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):  # a value may hold what splitlines takes for an end
        try:
            yield _object(json.loads(line.strip() or "{}"), f"event {number}", where)
        except (json.JSONDecodeError, RecursionError) as error:
            raise OpsError(f"{where} is no preview: event {number} is no JSON ({error})") from None


def _told(event: Mapping[str, Any], where: str) -> Iterator[Diagnostic]:
    said = _typed(event, "diagnosticEvent", dict, where)
    if said.get("severity") in ("error", "warning") and not said.get("ephemeral"):
        yield _diagnostic(said)
    if failed := _typed(event, "errorEvent", dict, where):
        yield Diagnostic("error", str(failed.get("error") or "the engine failed"))


def _violated(policies: Sequence[PolicyResult], told: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """A policy that must hold and does not fails the preview, whatever its summary says."""
    names = sorted({each.policy for each in policies if each.level == "mandatory"})
    if names and not any(each.severity == "error" for each in told):
        yield Diagnostic("error", f"policies refuse it: {', '.join(names)}")


def _as_document(event: Mapping[str, Any], where: str) -> dict[str, Any]:
    diff = {
        path: {**_object(each, f"the difference of {path!r}", where), "kind": each.get("diffKind", "update")}
        for path, each in _typed(event, "detailedDiff", dict, where).items()
    }
    return {
        "op": event.get("op"),
        "urn": event.get("urn", ""),
        "oldState": _blinded(event.get("old")),
        "newState": _blinded(event.get("new")),
        "detailedDiff": diff,
        "diffReasons": event.get("diffs"),
        "replaceReasons": event.get("keys"),
    }


# The engine's mark of a secret value (sdk/go/common/resource/sig/sig.go).
_MARK = "4dabf18193072939515e22adb298388d"


def _blinded(value: Any) -> Any:
    """`value` as the one document has it: a secret is `[secret]`, and no cipher text."""
    if isinstance(value, Mapping):
        if _MARK in value and "ciphertext" in value:
            return SECRET
        return {key: _blinded(each) for key, each in value.items()}
    return [_blinded(each) for each in value] if isinstance(value, list) else value


def _policy(event: Mapping[str, Any]) -> PolicyResult:
    return PolicyResult(
        str(event.get("policyName", "")),
        str(event.get("enforcementLevel", "")),
        str(event.get("resourceUrn") or ""),
        " ".join(str(event.get("message", "")).split()),
    )
