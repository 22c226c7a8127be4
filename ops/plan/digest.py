"""What a preview would do, as one line: two previews of the same change have the same, any other another.

In it are, for each resource that something would be done to: what, by which provider, every input and property that
changes, before and after, and the id of what would be destroyed. Left out are times, source positions, the order of
steps, other ids and whatever else is recorded and stays, and the stack's outputs. A secret is `[secret]` to the engine
on both sides: that one changes is seen, to what is not.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ops.errors import OpsError
from ops.plan.contents import differences, walk
from ops.plan.preview import ABSENT, REPLACES, Preview, Step

# A change of it makes every digest another: an approval given under the old reading does not hold under a new one.
_READING = 2


def digest(preview: Preview) -> str:
    """`sha256:<64 hex>`. Raises OpsError for a preview that failed: what it lists may be a part."""
    if preview.failed:
        raise OpsError(f"the preview of {preview.stack or 'the stack'} failed: there is nothing whole to approve")
    steps = sorted((_normal(each) for each in preview.changed), key=lambda each: (each["urn"], each["op"]))
    text = json.dumps({"reading": _READING, "stack": preview.stack, "steps": steps}, sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _normal(step: Step) -> dict[str, Any]:
    # By the keys: `{"a.b": 1}` is not `{"a": {"b": 1}}`.
    before, after = (
        {json.dumps(keys): each for keys, each in walk(state.get("inputs") or {})} for state in (step.old, step.new)
    )
    inputs = {
        path: [_value(before.get(path, ABSENT)), _value(after.get(path, ABSENT))]
        for path in before.keys() | after.keys()
        if _value(before.get(path, ABSENT)) != _value(after.get(path, ABSENT))
    }
    destroyed = step.deletes or step.replaces
    return {
        "op": "replace" if step.op in REPLACES else step.op,
        "urn": step.urn,
        # What is destroyed or adopted is this one, and not what another of that name was then.
        "id": [step.old.get("id") if destroyed else None, step.new.get("id") if step.op.startswith("import") else None],
        # Which account, region or cluster; the provider's own id is another after each replacement of it.
        "provider": [str(state.get("provider") or "").rpartition("::")[0] for state in (step.old, step.new)],
        "kept": [[bool(state.get(key)) for state in (step.old, step.new)] for key in ("protect", "retainOnDelete")],
        "forces": sorted(each.path for each in step.changes if each.replaces),
        "changes": sorted(json.dumps([it.path, _value(it.before), _value(it.after)]) for it in differences(step)),
        "inputs": inputs if not step.deletes else {},
    }


def _value(value: Any) -> Any:
    """`1` is not `"1"`, and nothing is not what anybody can write; but 1 is 1.0, which is how a state has it."""
    if value is ABSENT:
        return ["absent"]
    if isinstance(value, float) and value.is_integer():
        return ["is", int(value)]
    return ["is", value]
