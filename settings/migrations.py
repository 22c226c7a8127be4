"""Schema migrations, one Job per service."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import ValidationInfo, field_validator

from settings.base import Model
from settings.checks import a_list, dns_label, refused, text, whole

# The Job is called <name>-migration-<8 hex>, which must fit the 63 characters of a label's value (K8s API: Job).
NAME_LENGTH = 44
# NAMEDATALEN - 1.
IDENTIFIER_LENGTH = 63
# A migration that needs more than a day has hung.
DEADLINE_SECONDS = (1, 86_400)

# distribution/reference: [registry[:port]/]path[:tag][@sha256:…].
_COMPONENT = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
# What has neither dot nor port is not a registry, but the first part of the path.
_HOST = "[A-Za-z0-9-]+"
_REGISTRY = f"(({_HOST}(\\.{_HOST})+|localhost)(:[0-9]+)?/|{_HOST}:[0-9]+/)?"
_TAG, _DIGEST = ":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", "@sha256:[0-9a-f]{64}"
_IMAGE = f"{_REGISTRY}{_COMPONENT}(/{_COMPONENT})*({_TAG}({_DIGEST})?|{_DIGEST})"
_TABLE = f"[a-z_][a-z0-9_]{{0,{IDENTIFIER_LENGTH - 1}}}"

_MEMORY_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30
}  # fmt: skip
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")


def _amount(quantity: str) -> Decimal:
    number, unit = _QUANTITY.fullmatch(quantity).groups()  # type: ignore[union-attr]  # checked by the field
    return Decimal(number) / 1000 if unit == "m" else Decimal(number) * _MEMORY_UNITS[unit]


class Amounts(Model):
    """Kubernetes quantities, as text."""

    cpu: (
        Annotated[str, text('a CPU quantity in quotes, like "500m" or "1"', r"[0-9]+(\.[0-9]{1,3})?|[0-9]+m")] | None
    ) = None
    memory: (
        Annotated[str, text("a memory quantity like 256Mi or 1Gi", r"[0-9]+(\.[0-9]+)?(k|M|G|Ki|Mi|Gi)|[0-9]+")] | None
    ) = None


class Resources(Model):
    requests: Amounts | None = None
    limits: Amounts | None = None

    @field_validator("limits")
    @classmethod
    def _not_below_requests(cls, limits: Amounts | None, info: ValidationInfo) -> Amounts | None:
        requests = info.data.get("requests")
        for kind in ("cpu", "memory"):
            wanted, most = getattr(requests, kind, None), getattr(limits, kind, None)
            if wanted and most and _amount(most) < _amount(wanted):
                raise refused(f"{kind} of at least what is requested ({wanted})", "Raise the limit, or request less")
        return limits


class Migration(Model):
    """What one service's migration runs, and how its success is recognised."""

    name: Annotated[str, dns_label("a service's name", longest=NAME_LENGTH)]
    image: Annotated[
        str,
        text("an image with a tag or a digest, like ghcr.io/meetinity/user-service:migrations-1.0.0", _IMAGE),
    ]
    command: Annotated[
        tuple[Annotated[str, text("a word of the command, in quotes if it looks like a number", r"[^\x00]+")], ...],
        a_list("words, like [alembic, upgrade, head]", least=1),
    ]
    revision: Annotated[str, text("a revision's name in quotes, without blanks", r"[!-~]{1,255}")] | None = None
    """The revision that must stand afterwards; None accepts whatever the migration leaves."""
    version_table: Annotated[
        str,
        text(
            "a table's name like alembic_version, or schema.table: lower-case letters, digits and underscores",
            rf"({_TABLE}\.)?{_TABLE}",
            spelled=str.lower,
        ),
    ]
    resources: Resources
    deadline_seconds: Annotated[int, whole(*DEADLINE_SECONDS, "seconds")]
