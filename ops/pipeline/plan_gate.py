"""The plan gate, held against the waivers of the checkout and today."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from ops.plan import check, waivers
from ops.plan.preview import Preview
from ops.plan.redaction import known_to, redactor
from ops.plan.report import report

_WAIVERS = Path(__file__).parents[2] / waivers.FILE


def refusal(preview: Preview) -> str | None:
    """What the gate says of a plan that it refuses, without a secret; None for one that it lets pass."""
    today = datetime.now(UTC).date()
    verdict = check.check(preview, waivers.load(_WAIVERS, today), today)
    return None if verdict.passed else redactor(known_to(preview))(report(verdict, waivers.FILE))
