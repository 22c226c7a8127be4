"""What a reviewer asks of a plan besides its dangers: which migrations run, which outputs and which values change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.plan.check import Changed, shown
from ops.plan.preview import ABSENT, SECRET, Keys, Preview, Step, at, types_of

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
    # Any part of a Job can be secret, or known only in the update: then it is a text.
    new, old = _containers(step.new), _containers(step.old)
    labels = at(step.new, ("inputs", "metadata", "labels"))
    annotations = at(step.new, (*_TEMPLATE, "metadata", "annotations"))
    env, command = _listed(new.get("check"), "env"), _listed(new.get("migrate"), "command")
    expected = [at(each, ("value",)) for each in env if at(each, ("name",)) == "EXPECTED_REVISION"]
    return Migration(
        str(at(labels, ("app.kubernetes.io/name",)) or step.name),
        str(at(new.get("migrate"), ("image",)) or ""),
        str(at(old.get("migrate"), ("image",)) or ""),
        [str(each) for each in command],
        str((expected or [""])[0] or ""),
        str(at(annotations, ("meetinity.io/migration-target",)) or ""),
    )


_TEMPLATE = ("inputs", "spec", "template")


def _listed(holder: Any, *path: str) -> Sequence[Any]:
    found = at(holder, path)
    return found if isinstance(found, list) else []


def _containers(state: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = at(state, (*_TEMPLATE, "spec"))
    listed = [*_listed(spec, "initContainers"), *_listed(spec, "containers")]
    return {name: each for each in listed if isinstance(name := at(each, ("name",)), str)}


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


def walk(value: Any, path: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every text, number or truth in it, and what is empty, by the keys that lead there."""
    if isinstance(value, Mapping) and value:
        for key in sorted(value, key=str):
            if key not in BOOKKEEPING:
                yield from walk(value[key], (*path, str(key)))
    elif isinstance(value, list) and value:
        for index, each in enumerate(value):
            yield from walk(each, (*path, index))
    else:
        yield path, value


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The same by its path as people write it; nothing of what is empty as a whole."""
    for keys, each in walk(value):
        told = path
        for key in keys:
            told += f"[{key}]" if isinstance(key, int) else f".{key}" if told else key
        if told:
            yield told, each


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
