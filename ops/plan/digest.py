"""What a preview would do, as one line: two previews of the same change have the same, any other another.

In it are, for each resource that something would be done to: what, and every input and property that changes, before
and after. Left out are times, source positions, the order of steps, ids and whatever else is recorded and stays. A
secret is `[secret]` to the engine on both sides: that one changes is seen, to what is not.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ops.errors import OpsError
from ops.plan.check import Changed, shown
from ops.plan.contents import differences, leaves
from ops.plan.preview import ABSENT, REPLACES, Preview, Step

# A change of it makes every digest another: an approval given under the old reading does not hold under a new one.
_READING = 1


def digest(preview: Preview) -> str:
    """`sha256:<64 hex>`. Raises OpsError for a preview that failed: what it lists may be a part."""
    if preview.failed:
        raise OpsError(f"the preview of {preview.stack or 'the stack'} failed: there is nothing whole to approve")
    steps = sorted((_normal(each) for each in preview.changed), key=lambda each: (each["urn"], each["op"]))
    text = json.dumps({"reading": _READING, "stack": preview.stack, "steps": steps}, sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _normal(step: Step) -> dict[str, Any]:
    before, after = (dict(leaves(state.get("inputs") or {})) for state in (step.old, step.new))
    inputs = {
        path: [shown(before.get(path, ABSENT)), shown(after.get(path, ABSENT))]
        for path in before.keys() | after.keys()
        if before.get(path, ABSENT) != after.get(path, ABSENT)
    }
    return {
        "op": "replace" if step.op in REPLACES else step.op,
        "urn": step.urn,
        "kept": [[bool(state.get(key)) for state in (step.old, step.new)] for key in ("protect", "retainOnDelete")],
        "forces": sorted(each.path for each in step.changes if each.replaces),
        "changes": sorted(_triple(each) for each in differences(step)),
        "inputs": inputs if not step.deletes else {},
    }


def _triple(change: Changed) -> list[str]:
    return [change.path, shown(change.before), shown(change.after)]
