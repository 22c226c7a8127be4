"""Generations: how a restore ends under code control."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import ValidationInfo, field_validator

from settings.base import Model
from settings.checks import Advice, Check, Verdict, flag, refused, text
from settings.store import GenerationKey

LATEST = "latest"

_IDENTIFIER = "[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*"
_RFC_3339 = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
_EXAMPLE = '"2026-11-20T08:00:00Z"'
# API: RestoreDBClusterFromSnapshot, up to 255; automated ones are rds:…, AWS Backup's awsbackup:….
_DATABASE_SNAPSHOT = text(
    "the name or ARN of a cluster snapshot, at most 255 characters",
    f"((rds|awsbackup):)?{_IDENTIFIER}|arn:aws[a-z-]*:rds:[a-z0-9-]+:[0-9]{{12}}:cluster-snapshot:[A-Za-z0-9:-]+",
    longest=255,
)
# Automated ones are named automatic.<group>-<time> (ElastiCache User Guide).
_REDIS_SNAPSHOT = text(
    "the name of an ElastiCache snapshot, at most 255 characters", rf"(automatic\.)?{_IDENTIFIER}", longest=255
)


def _true_only() -> Check:
    def verdict(value: Any) -> Verdict:
        return None if value is True else Advice("Write true, or take the key out")

    return Check("true", verdict)


def _a_moment() -> Check:
    def real(value: str) -> Verdict:
        try:
            if value != LATEST:
                datetime.fromisoformat(value)
        except ValueError:
            return Advice("Write a date and time that exist")
        return None

    return text(
        f"{LATEST}, or a past time with its zone in RFC 3339, like {_EXAMPLE}", f"{LATEST}|{_RFC_3339}", also=real
    )


class DatabaseRestore(Model):
    """Where a new cluster's data comes from: a snapshot, or a generation at a moment, or a clone of it."""

    snapshot: Annotated[str, _DATABASE_SNAPSHOT] | None = None
    generation: GenerationKey | None = None
    point_in_time: Annotated[str, _a_moment()] | None = None
    clone: Annotated[Literal[True], _true_only()] | None = None

    @field_validator("point_in_time")
    @classmethod
    def _not_in_the_future(cls, moment: str | None, info: ValidationInfo) -> str | None:
        now = (info.context or {}).get("now") or datetime.now(UTC)
        if moment is not None and moment != LATEST and datetime.fromisoformat(moment) > now:
            raise refused(f"a time before {now:%Y-%m-%dT%H:%M:%SZ}", f"Choose a past time, or {LATEST}")
        return moment

    @field_validator("clone")
    @classmethod
    def _one_source(cls, clone: bool | None, info: ValidationInfo) -> bool | None:
        # What is given but wrong is missing from the validated fields: it counts as given.
        snapshot, generation, moment = (
            info.data.get(field, "wrong") is not None for field in ("snapshot", "generation", "point_in_time")
        )
        if snapshot == generation:
            raise refused("exactly one of snapshot and generation", "Name one source", above=True)
        if snapshot and (moment or clone):
            raise refused("snapshot alone", "Take pointInTime and clone out, or restore from a generation", above=True)
        if generation and moment == bool(clone):
            raise refused("generation with exactly one of pointInTime and clone", "Say which it is", above=True)
        return clone


class RedisRestore(Model):
    """The snapshot that a new replication group starts from."""

    snapshot: Annotated[str, _REDIS_SNAPSHOT]


class DatabaseGeneration(Model):
    """Without `restore` a new, empty cluster; with it, used at creation only."""

    restore: DatabaseRestore | None = None
    retiring: Annotated[bool, flag()] | None = None
    """Lifts the protection of this generation alone, so that its key can be taken out next."""


class RedisGeneration(Model):
    """Without `restore` a new, empty group; with it, used at creation only."""

    restore: RedisRestore | None = None
    retiring: Annotated[bool, flag()] | None = None
    """Lifts the protection of this generation alone, so that its key can be taken out next."""
