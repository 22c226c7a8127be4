"""Changes that lose something, and are meant: the guards let them pass until a date."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import ValidationInfo, field_validator

from settings.base import Model
from settings.checks import Advice, Verdict, one_of, refused, text

# Long enough for a review and a maintenance window; a standing permission would be no guard.
LONGEST_DAYS = 31
_SHARED = ("name", "serving", "engineVersion", "kmsKeyId")
_DATABASE = ("backupRetentionPeriod", "dbName", "masterUsername")
_REDIS = ("snapshotRetentionLimit", "engine", "port", "atRestEncryptionEnabled", "transitEncryptionEnabled")
CHANGES = (
    *(f"database.{key}" for key in (*_SHARED, *_DATABASE)),
    *(f"redis.{key}" for key in (*_SHARED, *_REDIS)),
)


def _a_day(value: str) -> Verdict:
    try:
        date.fromisoformat(value)
    except ValueError:
        return Advice("Write a day that exists")
    return None


class Acknowledged(Model):
    """One change that a guard would refuse."""

    change: Annotated[str, one_of(*CHANGES)]
    until: Annotated[
        str,
        text(
            f'a day in quotes like "2026-11-30", at most {LONGEST_DAYS} days ahead',
            "[0-9]{4}-[0-9]{2}-[0-9]{2}",
            also=_a_day,
        ),
    ]
    """The last day (UTC) on which it counts; a past one is of no effect."""
    reason: Annotated[str, text("why, in a sentence of at most 200 characters", r"\S.*", longest=200)]

    @field_validator("until")
    @classmethod
    def _soon(cls, until: str, info: ValidationInfo) -> str:
        last = _today(info) + timedelta(days=LONGEST_DAYS)
        if date.fromisoformat(until) > last:
            raise refused(f"a day until {last}", "Choose an earlier one")
        return until

    def counts(self, today: date) -> bool:
        return today <= date.fromisoformat(self.until)


def _today(info: ValidationInfo) -> date:
    now: datetime = (info.context or {}).get("now") or datetime.now(UTC)
    return now.date()
