"""Refusals, already in preview, of changes that would lose something nobody meant to lose.

A component's inputs are what its guard compares: the engine hands a `before_update` hook the recorded ones and
the planned ones, before any child is touched, and also where the child would be replaced instead of updated.
The comparing functions are pure. AWS is asked only when a retention really shrinks, and boto3 imported only then.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pulumi

Inputs = Mapping[str, Any]
Refusals = Callable[[Inputs, Inputs], Sequence[str]]


class GuardError(Exception):
    """What is refused, and how to go on; the engine shows it under the component's name."""


def guarded(name: str, refusals: Refusals) -> pulumi.ResourceOptions:
    """Options that stop an update of component `name`, in preview and in `up`, for each refusal there is."""

    async def guard(hook: pulumi.ResourceHookArgs) -> None:
        # In a thread: a refusal may have to ask AWS.
        found = await asyncio.to_thread(refusals, hook.old_inputs or {}, hook.new_inputs or {})
        if found:
            raise GuardError("\n".join(found))

    hook = pulumi.ResourceHook(f"{name}-guard", guard, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(before_update=[hook]))


@dataclass(frozen=True)
class LosingChange:
    """An input whose change, for some values, replaces a store or cannot be done."""

    input: str
    setting: str
    """Its key in the stack file, and in `acknowledged`."""
    loses: str
    """What becomes of the store."""
    harmless: Callable[[Any, Any], bool] = lambda _before, _after: False


def _numbers(version: Any) -> list[int]:
    return [int(each) for each in re.findall("[0-9]+", str(version))]


def _not_lower(before: Any, after: Any) -> bool:
    """A version that is the same as far as both say, or higher: `16` leaves the minor to AWS."""
    old, new = _numbers(before), _numbers(after)
    shared = min(len(old), len(new))
    return new[:shared] >= old[:shared]


REPLACED = "replaces the store by a new, empty one"
DATABASE_CHANGES = (
    LosingChange("identifier", "name", REPLACED),
    LosingChange("databaseName", "dbName", REPLACED),
    LosingChange("masterUsername", "masterUsername", REPLACED),
    LosingChange("kmsKeyId", "kmsKeyId", f"{REPLACED}: storage is encrypted once, at creation"),
    LosingChange("engineVersion", "engineVersion", "is refused by AWS: a version is never lowered", _not_lower),
)
REDIS_CHANGES = (
    LosingChange("identifier", "name", REPLACED),
    LosingChange("port", "port", REPLACED),
    LosingChange("kmsKeyId", "kmsKeyId", f"{REPLACED}: data is encrypted once, at creation"),
    LosingChange("atRestEncryptionEnabled", "atRestEncryptionEnabled", REPLACED),
    LosingChange(
        "transitEncryptionEnabled",
        "transitEncryptionEnabled",
        "AWS refuses or, before Redis 7.0.5, carries out by a new, empty store",
        lambda before, _after: before is None,  # recorded by an earlier version
    ),
    LosingChange("engine", "engine", REPLACED, lambda before, after: (before, after) == ("redis", "valkey")),
    LosingChange("engineVersion", "engineVersion", REPLACED, _not_lower),
)


def losing_changes(
    section: str, changes: Sequence[LosingChange], old: Inputs, new: Inputs, accepted: Collection[str]
) -> list[str]:
    """One refusal for each input that changes so that something is lost. What was never recorded is no change."""
    found = []
    switched = old.get("engine") != new.get("engine")
    for change in changes:
        before, after = old.get(change.input), new.get(change.input)
        recorded = change.input in old or "identifier" in old
        if not recorded or before == after or change.setting in accepted or isinstance(after, pulumi.output.Unknown):
            continue
        # Redis 7.1 and Valkey 8.2 are versions of different things.
        if change.harmless(before, after) or (change.input == "engineVersion" and switched):
            continue
        found.append(
            f"{old.get('identifier')}: {section}.{change.setting} goes from {_shown(before)} to {_shown(after)}, which "
            f"{change.loses}. {how_to_acknowledge(f'{section}.{change.setting}')}"
        )
    return found


def major_upgrade_unasked(old: Inputs, new: Inputs, *, allowed: bool) -> list[str]:
    """A refusal of a database's major upgrade that AWS would refuse, once its parameter groups are made."""
    before, after = old.get("engineVersion"), new.get("engineVersion")
    # Of a version that is not known, nothing is.
    if allowed or not _numbers(before) or _numbers(after)[:1] <= _numbers(before)[:1]:
        return []
    return [
        f"{old.get('identifier')}: database.engineVersion goes from {before} to {after}, a major upgrade, "
        "which AWS refuses unless allowMajorVersionUpgrade is true: docs/runbook.md, "
        '"Upgrade the database to the next major version"'
    ]


def how_to_acknowledge(change: str) -> str:
    return (
        "If that is meant, acknowledge it in the stack file for some days: meetinity-data:acknowledged: "
        f'[{{change: {change}, until: "{datetime.now(UTC).date() + timedelta(days=2)}", reason: …}}]'
    )


def _shown(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():  # the engine's numbers are floats
        return str(int(value))
    return "nothing" if value is None else str(value)


@dataclass(frozen=True)
class Lost:
    """A recovery point that a shorter retention takes away."""

    what: str
    taken_at: datetime


def retention_shrinks(
    section: str,
    setting: str,
    old: Inputs,
    new: Inputs,
    accepted: Collection[str],
    lost: Callable[[str, datetime], Sequence[Lost]],
) -> list[str]:
    """A refusal that lists what would be lost; `lost` asks AWS for what the store has from before a moment."""
    before, after = old.get(setting), new.get(setting)
    if before is None or after is None or after >= before or setting in accepted:
        return []
    identifier = str(old["identifier"])
    points = lost(identifier, datetime.now(UTC) - timedelta(days=after))
    if not points:
        return []
    listed = "\n".join(f"  {point.what}" for point in sorted(points, key=lambda each: each.taken_at))
    return [
        f"{identifier}: {section}.{setting} goes from {_shown(before)} to {_shown(after)} days, and AWS would delete "
        f"these recovery points:\n{listed}\n"
        f"Copy what you need first. {how_to_acknowledge(f'{section}.{setting}')}"
    ]


def serving_removed(
    old: Inputs, standing: Mapping[str, Collection[str]], accepted: Mapping[str, Collection[str]]
) -> list[str]:
    """A refusal for each store that serves until this update and would be gone after it."""
    return [
        f"{identifier} serves until this update, and this update would delete it. Let the other generation serve first "
        f"({section}.serving, `pulumi up`), and retire this one in an update of its own. "
        f"{how_to_acknowledge(f'{section}.serving')}"
        for section, identifier in (old.get("serving") or {}).items()
        if identifier not in standing[section] and not {"serving", "name"} & set(accepted[section])
    ]


def _aws(service: str) -> Any:
    """With the credentials and region of the default AWS provider, as far as they are configured."""
    import boto3

    config = pulumi.Config("aws")
    return boto3.Session(profile_name=config.get("profile"), region_name=config.get("region")).client(service)


def lost_of_cluster(identifier: str, moment: datetime) -> list[Lost]:
    """An Aurora cluster's automated snapshots from before `moment`, and the part of its restorable window."""
    from botocore.exceptions import BotoCoreError, ClientError

    rds = _aws("rds")
    try:
        (cluster,) = rds.describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"]
        snapshots = [
            each
            for page in rds.get_paginator("describe_db_cluster_snapshots").paginate(
                DBClusterIdentifier=identifier, SnapshotType="automated"
            )
            for each in page["DBClusterSnapshots"]
        ]
    except (BotoCoreError, ClientError) as error:
        raise GuardError(_unknown(identifier, error)) from error
    found = [
        Lost(f"snapshot {each['DBClusterSnapshotIdentifier']} of {_iso(each['SnapshotCreateTime'])}", taken)
        for each in snapshots
        # One that is being made has none yet.
        if (taken := each.get("SnapshotCreateTime", moment)) < moment
    ]
    earliest = cluster.get("EarliestRestorableTime")
    if earliest and earliest < moment:
        found.append(Lost(f"every moment from {_iso(earliest)} to {_iso(moment)}", earliest))
    return found


def lost_of_group(identifier: str, moment: datetime) -> list[Lost]:
    """A replication group's automatic snapshots from before `moment`."""
    from botocore.exceptions import BotoCoreError, ClientError

    elasticache = _aws("elasticache")
    try:
        snapshots = [
            each
            for page in elasticache.get_paginator("describe_snapshots").paginate()
            for each in page["Snapshots"]
            if each["SnapshotSource"] != "manual"
            and identifier in (each.get("ReplicationGroupId"), str(each.get("CacheClusterId")).rpartition("-")[0])
        ]
    except (BotoCoreError, ClientError) as error:
        raise GuardError(_unknown(identifier, error)) from error
    return [
        Lost(f"snapshot {each['SnapshotName']} of {_iso(taken)}", taken)
        for each in snapshots
        if (taken := min((node.get("SnapshotCreateTime", moment) for node in each["NodeSnapshots"]), default=moment))
        < moment
    ]


def _unknown(identifier: str, error: Exception) -> str:
    return (
        f"{identifier}: its retention would shrink, and AWS did not say which recovery points that would delete "
        f"({error}). Try again, or acknowledge the change"
    )


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
