"""What a reviewer asks of a plan besides its dangers: which migrations run, which outputs and which values change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.plan.check import Changed, shown
from ops.plan.preview import ABSENT, SECRET, Preview, Step, types_of

# What the bridge, the Kubernetes provider and the engine keep among the properties; others' keys may begin so too.
BOOKKEEPING = frozenset({"__defaults", "__meta", "__autonamed", "__inputs", "__initialApiVersion", "__fieldManager"})

_JOB = "kubernetes:batch/v1:Job"
_MIGRATION = f"meetinity:data:MigrationJob${_JOB}"


@dataclass(frozen=True)
class Migration:
    """A schema migration that the update would run."""

    service: str
    image: str
    was: str
    """The image of the last one; empty for the first."""
    command: Sequence[str]
    revision: str
    target: str


def migrations(preview: Preview) -> Sequence[Migration]:
    """One for each Job that a `MigrationJob` would create: a new name is a new run."""
    return [
        _migration(step)
        for step in preview.changed
        if types_of(step.urn).endswith(_MIGRATION) and (step.creates or step.replaces)
    ]


def _migration(step: Step) -> Migration:
    new, old = _containers(step.new), _containers(step.old)
    labels = ((step.new.get("inputs") or {}).get("metadata") or {}).get("labels") or {}
    template = _template(step.new)
    expected = [each for each in new.get("check", {}).get("env") or [] if each.get("name") == "EXPECTED_REVISION"]
    return Migration(
        str(labels.get("app.kubernetes.io/name") or step.name),
        str(new.get("migrate", {}).get("image", "")),
        str(old.get("migrate", {}).get("image", "")),
        [str(each) for each in new.get("migrate", {}).get("command") or []],
        str(expected[0].get("value") or "") if expected else "",
        str(((template.get("metadata") or {}).get("annotations") or {}).get("meetinity.io/migration-target", "")),
    )


def _template(state: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = (state.get("inputs") or {}).get("spec")
    template = spec.get("template") if isinstance(spec, Mapping) else None
    return template if isinstance(template, Mapping) else {}


def _containers(state: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    spec = _template(state).get("spec") or {}
    listed = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return {each["name"]: each for each in listed if isinstance(each, Mapping) and "name" in each}


def outputs(preview: Preview) -> Sequence[Changed]:
    """The stack's outputs that change, leaf by leaf; none where the preview does not tell (the one document)."""
    root = preview.root
    if root is None or not root.new.get("outputs"):
        return []
    before, after = dict(leaves(root.old.get("outputs") or {})), dict(leaves(root.new["outputs"]))
    return [
        Changed(path, before.get(path, ABSENT), after.get(path, ABSENT))
        for path in sorted(before.keys() | after.keys())
        if before.get(path, ABSENT) != after.get(path, ABSENT)
    ]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every text, number or truth in it, by its path; nothing of what is empty as a whole."""
    if isinstance(value, Mapping) and value:
        for key in sorted(value, key=str):
            if key not in BOOKKEEPING:
                yield from leaves(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for index, each in enumerate(value):
            yield from leaves(each, f"{path}[{index}]")
    elif path:
        yield path, value


def differences(step: Step) -> Sequence[Changed]:
    """What a step changes, leaf by leaf: of something new all its inputs, of something that goes nothing."""
    if step.creates:
        return [Changed(path, ABSENT, value) for path, value in leaves(step.new.get("inputs") or {})]
    if step.deletes:
        return []
    found: list[Changed] = []
    if bool(step.old.get("protect")) != bool(step.new.get("protect")):
        found.append(Changed("protect", bool(step.old.get("protect")), bool(step.new.get("protect"))))
    for change in step.changes:
        before, after = dict(_below(change.path, change.before)), dict(_below(change.path, change.after))
        for path in sorted(before.keys() | after.keys()):
            was, will_be = before.get(path, ABSENT), after.get(path, ABSENT)
            # A secret is the same text on both sides: that it changes is all there is to say.
            if was != will_be or was == SECRET or len(before) == len(after) == 1:
                found.append(Changed(path, was, will_be))
    return found


def _below(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    return leaves(value, path) if isinstance(value, (Mapping, list)) else iter([(path, value)])


def line(value: Any, longest: int, redact: Callable[[str], str]) -> str:
    """A value on one line, cut: a secret that was folded or cut before it is taken out would not be known again."""
    text = " ".join(redact(shown(value)).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
