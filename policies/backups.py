"""Backups: what is lost must be there somewhere else, for long enough, and nothing may be deleted by accident."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from policies.rule import Finding, Resource, ResourceRule, Rule, StackRule, Terms
from policies.stores import REFUSED, UNRULED_STORES
from policies.tokens import (
    BACKUP_PLAN,
    BACKUP_SELECTION,
    BACKUP_VAULT,
    CLUSTER,
    CLUSTER_SNAPSHOT,
    CLUSTER_SNAPSHOT_COPY,
    GLOBAL_CLUSTER,
    KEYS,
    RANDOM,
    REPLICATION_GROUP,
)
from policies.value import Undecided, Value, at_least, between, is_false, is_text, is_true, require
from policies.windows import daily_minutes, weekly_minutes

_LONGEST_DAYS = 35
# API: the shortest window, rds PreferredBackupWindow and elasticache SnapshotWindow.
_AURORA_MINUTES = 30
_REDIS_MINUTES = 60


def _named_apart(store: Resource, resources: Sequence[Resource], _: Terms) -> Iterator[Finding]:
    """By where the name comes from, not by its looks: a date or a version looks random and comes twice."""
    name = store["finalSnapshotIdentifier"]
    if name.absent:
        yield f"{name.path} is not set; a name from a random resource is asked for"
        return
    sources = store.uses.get(name.path, frozenset())
    random = [each for each in resources if each.type in RANDOM and each.urn in sources]
    if not random:
        yield f"{name.path} is {name.shown}, which comes from no random resource of this stack"
    elif all(each["keepers"].raw in (None, {}) for each in random):
        names = ", ".join(each.name for each in random)
        yield f"{name.path} comes from {names}, which has no keepers: a store that replaces this one would ask for it"
    twins = [
        each.name for each in resources
        if each.type == store.type and each.urn != store.urn and not name.unknown
        and each["finalSnapshotIdentifier"].raw == name.raw
    ]  # fmt: skip
    if twins:
        yield f"{name.path} is {name.shown}, which {', '.join(twins)} asks for too"


def _windows_apart(backup: Value, maintenance: Value, shortest: int) -> Iterator[Finding]:
    daily, weekly = daily_minutes(_raw(backup)), weekly_minutes(_raw(maintenance))
    long_enough = f"of {shortest} minutes or more is asked for"
    yield from require(
        backup, lambda _: daily is not None and len(daily) >= 7 * shortest, f"a window hh:mm-hh:mm {long_enough}"
    )
    yield from require(
        maintenance, lambda _: weekly is not None and len(weekly) >= shortest,
        f"a window ddd:hh:mm-ddd:hh:mm {long_enough}",
    )  # fmt: skip
    if daily and weekly and daily & weekly:
        yield f"{backup.path} {backup.bare} meets {maintenance.path} {maintenance.bare}; they must be apart"


def _raw(value: Value) -> Any:
    return None if value.unknown else value.known


def _protected(resource: Resource, _: Terms) -> Iterator[Finding]:
    if not resource.protect:
        yield "the resource option protect is not set; what holds data must carry it"


def _planned(resource: Resource, resources: Sequence[Resource], terms: Terms) -> Iterator[Finding]:
    if resource.type == BACKUP_PLAN:
        yield from _kept_long_enough(resource, terms["floor"])
        return
    plans = {each.urn: each for each in resources if each.type == BACKUP_PLAN}
    doubts: list[str] = []
    if not any(_selects(each, resource, plans, doubts) for each in resources if each.type == BACKUP_SELECTION):
        if doubts:
            yield Undecided(" and ".join(doubts))
        else:
            yield "no AWS Backup selection of a plan in this stack names it"


def _kept_long_enough(plan: Resource, floor: int) -> Iterator[Finding]:
    rules = list(plan["rules"].each())
    if not rules:
        yield "rules is not set; a rule is asked for"
    for rule in rules:
        yield from at_least(rule.at("lifecycle.deleteAfter"), floor, "days")


def _selects(selection: Resource, store: Resource, plans: dict[str, Resource], doubts: list[str]) -> bool:
    """By the dependency where the program says it so, otherwise by the ARN; an ARN not known yet is a doubt."""
    plan_id = selection["planId"]
    ids = {_raw(plan["id"]) for plan in plans.values()} - {None}
    if not (selection.uses.get("planId", frozenset()) & plans.keys() or _raw(plan_id) in ids):
        if plan_id.unknown and plans:
            doubts.append(f"planId of {selection.name}")
        return False
    if not _names(selection["resources"], selection, store, doubts):
        return False
    before = len(doubts)
    return not _names(selection["notResources"], selection, store, doubts) and len(doubts) == before


def _names(arns: Value, selection: Resource, store: Resource, doubts: list[str]) -> bool:
    if store.urn in selection.uses.get(arns.path, frozenset()):
        return True
    if arns.unknown or any(each.unknown for each in arns.each()):
        doubts.append(f"{arns.path} of {selection.name}")
        return False
    arn = _raw(store["arn"])
    return any(each.known == "*" or (arn and each.known == arn) for each in arns.each())


def _tags_copied(properties: Any, _: Terms) -> bool:
    if properties.get("copyTagsToSnapshot") is True:
        return False
    properties["copyTagsToSnapshot"] = True
    return True


def _final_snapshot(resource: Resource, _: Terms) -> Iterable[Finding]:
    named = is_text(resource["finalSnapshotIdentifier"], "a name is asked for")
    # Of a replication group the name is the switch.
    return named if resource.type == REPLICATION_GROUP else chain(is_false(resource["skipFinalSnapshot"]), named)


def _kept_points(vault: Resource, _: Terms) -> Iterable[Finding]:
    emptied = vault["forceDestroy"]
    return () if emptied.absent else is_false(emptied)


def _not_covered(resource: Resource, _: Terms) -> Iterator[Finding]:
    yield f"a {resource.type} cannot pass: {REFUSED[resource.type]}"


RULES: tuple[Rule, ...] = (
    ResourceRule(
        name="aurora-backup-retention",
        requires="Aurora keeps its automated backups for the environment's floor or longer",
        why="A mistake is often found days later, and point-in-time recovery reaches back no further than this. "
        "AWS's default is one day.",
        fix="set backupRetentionPeriod (meetinity-data:database.backupRetentionPeriod) to {floor} days or more",
        severity="critical",
        controls=("RDS.50", "CKV_AWS_133"),
        # After an update AWS's default of 1 stands there: no floor may admit what nobody has chosen.
        options={"floor": {"description": "days", "type": "integer", "minimum": 2, "maximum": 35, "default": 14}},
        types=(CLUSTER,),
        check=lambda it, terms: between(it["backupRetentionPeriod"], terms["floor"], _LONGEST_DAYS, "days"),
    ),
    ResourceRule(
        name="aurora-final-snapshot-taken",
        requires="Aurora leaves a final snapshot when a cluster is deleted or replaced",
        why="It is the last copy of the data that a mistaken deletion leaves. Without a name the deletion fails when "
        "it runs, and the way out is to skip the snapshot.",
        fix="set skipFinalSnapshot to false, and finalSnapshotIdentifier",
        severity="critical",
        types=(CLUSTER,),
        check=_final_snapshot,
    ),
    ResourceRule(
        name="aurora-automated-backups-kept",
        requires="Aurora's automated backups outlive their cluster",
        why="By default they go with the cluster, and point-in-time recovery with them.",
        fix="set deleteAutomatedBackups to false",
        severity="critical",
        types=(CLUSTER,),
        check=lambda it, _: is_false(it["deleteAutomatedBackups"]),
    ),
    ResourceRule(
        name="aurora-snapshot-tags-copied",
        requires="Aurora's snapshots carry their cluster's tags",
        why="An untagged snapshot belongs to nobody: clean-up, cost and access rules go by tags.",
        fix="set copyTagsToSnapshot to true",
        severity="low",
        controls=("RDS.16", "CKV_AWS_313"),
        types=(CLUSTER,),
        check=lambda it, _: is_true(it["copyTagsToSnapshot"]),
        remedy=_tags_copied,
    ),
    ResourceRule(
        name="aurora-windows-apart",
        requires="Aurora's backup window is named and clear of its maintenance window",
        why="AWS refuses windows that meet, at `up` and not at preview; without a name it picks one.",
        fix="set preferredBackupWindow and preferredMaintenanceWindow apart from each other",
        severity="medium",
        types=(CLUSTER,),
        check=lambda it, _: _windows_apart(
            it["preferredBackupWindow"], it["preferredMaintenanceWindow"], _AURORA_MINUTES
        ),
    ),
    ResourceRule(
        name="aurora-deletion-protection",
        requires="Aurora refuses to be deleted",
        why="It stops a deletion in the console as well as one by Pulumi.",
        fix="set deletionProtection (meetinity-data:database.deletionProtection) to true, or exempt the cluster that "
        "is retired, with a date",
        severity="critical",
        controls=("RDS.7", "CKV_AWS_139"),
        types=(CLUSTER, GLOBAL_CLUSTER),
        check=lambda it, _: is_true(it["deletionProtection"]),
    ),
    ResourceRule(
        name="redis-snapshot-retention",
        requires="ElastiCache keeps its daily snapshots for the environment's floor or longer",
        why="The default is 0: no backup at all, and nothing says so.",
        fix="set snapshotRetentionLimit (meetinity-data:redis.snapshotRetentionLimit) to {floor} days or more",
        severity="high",
        controls=("ElastiCache.1",),
        options={"floor": {"description": "days", "type": "integer", "minimum": 1, "maximum": 35, "default": 7}},
        types=(REPLICATION_GROUP,),
        check=lambda it, terms: between(it["snapshotRetentionLimit"], terms["floor"], _LONGEST_DAYS, "days"),
    ),
    ResourceRule(
        name="redis-windows-apart",
        requires="ElastiCache's snapshot window is named and clear of its maintenance window",
        why="AWS refuses windows that meet, at `up` and not at preview; without a name it picks one.",
        fix="set snapshotWindow and maintenanceWindow apart from each other",
        severity="medium",
        types=(REPLICATION_GROUP,),
        check=lambda it, _: _windows_apart(it["snapshotWindow"], it["maintenanceWindow"], _REDIS_MINUTES),
    ),
    ResourceRule(
        name="redis-final-snapshot-taken",
        requires="ElastiCache leaves a final snapshot when a group is deleted or replaced",
        why="Without a name there is silently none.",
        fix="set finalSnapshotIdentifier",
        severity="critical",
        types=(REPLICATION_GROUP,),
        check=_final_snapshot,
    ),
    StackRule(
        name="final-snapshot-named-apart",
        requires="No two final snapshots ask for the same name, not even a store's and its successor's",
        why="The second deletion collides with the first one's snapshot and fails, or is run again without one.",
        fix="end finalSnapshotIdentifier in a RandomId's hex, with keepers that change with whatever replaces the "
        "store",
        severity="high",
        types=(CLUSTER, REPLICATION_GROUP),
        sees=RANDOM,
        check=_named_apart,
    ),
    ResourceRule(
        name="data-protected",
        requires="Everything that holds data, or the key to it, carries Pulumi's protect",
        why="ElastiCache has no deletion protection of its own, and Aurora's lets a replacement begin.",
        fix="set the resource option protect, or exempt the resource that is retired, with a date",
        severity="critical",
        types=(
            CLUSTER,
            GLOBAL_CLUSTER,
            REPLICATION_GROUP,
            CLUSTER_SNAPSHOT,
            CLUSTER_SNAPSHOT_COPY,
            BACKUP_VAULT,
            *KEYS,
            *UNRULED_STORES,
        ),
        check=_protected,
    ),
    StackRule(
        name="backup-plan-covers-stores",
        requires="An AWS Backup plan of this stack covers every Aurora cluster, and keeps it long enough",
        why="A second copy in a vault survives a deleted cluster and an account's mistake.",
        fix="enable meetinity-data:backup, with deleteAfter of {floor} days or more",
        severity="high",
        level="disabled",
        controls=("CKV2_AWS_8",),
        options={"floor": {"description": "days", "type": "integer", "minimum": 1, "default": 35}},
        types=(CLUSTER, BACKUP_PLAN),
        sees=(BACKUP_SELECTION,),
        check=_planned,
    ),
    ResourceRule(
        name="backup-vault-kept",
        requires="A backup vault is not emptied to be deleted",
        why="forceDestroy deletes every recovery point on the way.",
        fix="take forceDestroy out",
        severity="critical",
        types=(BACKUP_VAULT,),
        check=_kept_points,
    ),
    ResourceRule(
        name="stores-covered",
        requires="Data is kept, and carried, only by kinds of resource that this pack has rules for",
        why="A store that no rule looks at passes every rule.",
        fix="use Aurora or a replication group, or add rules for the new kind first",
        severity="high",
        types=tuple(REFUSED),
        check=_not_covered,
    ),
)
