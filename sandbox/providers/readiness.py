"""What pulumi-kubernetes waits for after a create or an update, and what it says meanwhile."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.kube_client import Object

SKIP_AWAIT, WAIT_FOR = "pulumi.com/skipAwait", "pulumi.com/waitFor"


class Verdict(NamedTuple):
    ready: bool
    waiting_for: str
    errors: list[str]  # why it never will be ready


class Wait(NamedTuple):
    """How to judge an object as it lives, and what to say when time is up."""

    judge: Callable[[Object], Verdict]
    late: str = "timed out waiting for the condition"
    until_gone: bool = False


def wait_for(made: Object) -> Wait | None:
    """What is waited for: as the annotations say, else as the kind does; None when it is ready as it is.

    Raises ValueError for a `pulumi.com/waitFor` that nobody can read.
    """
    annotations = made["metadata"].get("annotations") or {}
    if annotations.get(SKIP_AWAIT) == "true":
        return None
    if text := annotations.get(WAIT_FOR, ""):
        try:
            expressions = json.loads(text)
        except ValueError:
            expressions = [text]
        judges = [_judge(str(each)) for each in expressions]

        def all_of(live: Object) -> Verdict:
            verdicts = [judge(live) for judge in judges]
            return next((each for each in verdicts if not each.ready), verdicts[-1])

        return Wait(all_of)
    if (made["apiVersion"], made["kind"]) == ("batch/v1", "Job"):
        return Wait(job, f"'{made['metadata']['name']}' timed out waiting to be Ready")
    return None


def absence(thing: Object) -> Wait:
    """The end of this very object: another one of its name does not count."""
    uid = thing["metadata"].get("uid")
    return Wait(lambda live: Verdict(live.get("metadata", {}).get("uid") != uid, "", []), until_gone=True)


def job(live: Object) -> Verdict:
    status, metadata = live.get("status", {}), live["metadata"]
    name = f"{metadata['namespace']}/{metadata['name']}".removeprefix("default/")
    if not status.get("startTime"):
        return Verdict(ready=False, waiting_for=f'Waiting for Job "{name}" to start', errors=[])
    counts = " | ".join(f"{key.title()}: {status.get(key, 0)}" for key in ("active", "succeeded", "failed"))
    conditions = {each["type"]: each for each in status.get("conditions", []) if each["status"] == "True"}
    failed = conditions.get("Failed", {})
    # The real provider knows these two reasons; with any other, PodFailurePolicy say, it waits for the timeout.
    known = failed.get("reason") in ("BackoffLimitExceeded", "DeadlineExceeded")
    errors = [f"[{failed['reason']}] {failed.get('message', '')}"] if known else []
    return Verdict("Complete" in conditions, f'Waiting for Job "{name}" to succeed ({counts})', errors)


def _judge(expression: str) -> Callable[[Object], Verdict]:
    if expression.startswith("condition="):
        return _condition(expression.removeprefix("condition="))
    if expression.startswith("jsonpath="):
        return _jsonpath(expression.removeprefix("jsonpath="))
    raise ValueError(f'expected a "jsonpath=" or "condition=" prefix, got "{expression}"')


def _condition(expression: str) -> Callable[[Object], Verdict]:
    """`Type` or `Type=Status`, as in kubectl wait --for=condition=."""
    kind, _, wanted = expression.partition("=")

    def judge(live: Object) -> Verdict:
        status = live.get("status") or {}
        for each in status.get("conditions") or []:
            if each["type"].lower() == kind.lower():
                seen = each.get("observedGeneration") or status.get("observedGeneration")
                current = seen is None or seen >= live["metadata"].get("generation", 0)
                ready = current and each["status"].lower() == (wanted or "True").lower()
                return Verdict(ready, f"Resource has condition {kind}={each['status']} (want {wanted or 'True'})", [])
        return Verdict(ready=False, waiting_for=f"Waiting for condition {kind}={wanted or 'True'}", errors=[])

    return judge


def _jsonpath(expression: str) -> Callable[[Object], Verdict]:
    """`{.path}` or `{.path}=value`, as in kubectl get --output=jsonpath=."""
    from jsonpath_ng.ext.parser import parse  # slow to load, and rarely needed

    parts = re.fullmatch(r"\{\s*(\$?.+?)\s*\}(?:=(.+))?", expression)
    if not parts:
        raise ValueError(f"format should be {{.path}}=value or {{.path}}, got {expression!r}")
    path, wanted = parts.groups()
    try:
        selector = parse(path if path.startswith("$") else f"${path}")
    except Exception as error:  # the parser raises bare ones
        raise ValueError(f'parsing "{{{path}}}": {error}') from error

    def judge(live: Object) -> Verdict:
        found: list[Any] = [match.value for match in selector.find(live)]
        if not found:
            return Verdict(ready=False, waiting_for=f"{{{path}}} selected nothing", errors=[])
        if wanted is not None and isinstance(found[0], dict | list):
            error = f'"{{{path}}}" has a non-primitive value ({json.dumps(found[0])})'
            return Verdict(ready=False, waiting_for="", errors=[error])
        text = found[0] if isinstance(found[0], str) else json.dumps(found[0])
        return Verdict(wanted in (None, text), f'Waiting for {expression} (found "{text}")', [])

    return judge
