"""Backups: what is lost must be there somewhere else, for long enough, and nothing may be deleted by accident."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from policies.rule import Finding, Resource, ResourceRule, Rule, StackRule, Terms
from policies.tokens import (
    BACKUP_PLAN,
    BACKUP_SELECTION,
    BACKUP_VAULT,
    CLUSTER,
    CLUSTER_SNAPSHOT,
    GLOBAL_CLUSTER,
    KEY,
    REPLICATION_GROUP,
    UNCOVERED_STORES,
)
from policies.value import Undecided, Value, at_least, is_false, is_number, is_true, require
from policies.windows import daily_minutes, weekly_minutes

# A suffix that two deletions do not share: eight hexadecimal digits or more, as a random id or a time gives.
_VARYING = re.compile(r".*-[0-9a-f]{8,}")


def _named_apart(snapshot: Value) -> Iterable[Finding]:
    return require(
        snapshot,
        lambda given: isinstance(given, str) and _VARYING.fullmatch(given) is not None,
        "a name with a varying suffix of at least 8 hexadecimal digits is asked for",
    )


def _windows_apart(backup: Value, maintenance: Value) -> Iterator[Finding]:
    daily, weekly = daily_minutes(_raw(backup)), weekly_minutes(_raw(maintenance))
    yield from require(backup, lambda _: daily is not None, "a window hh:mm-hh:mm is asked for")
    yield from require(maintenance, lambda _: weekly is not None, "a window ddd:hh:mm-ddd:hh:mm is asked for")
    if daily and weekly and daily & weekly:
        yield f"{backup.path} {backup.bare} meets {maintenance.path} {maintenance.bare}; they must be apart"


def _raw(value: Value) -> Any:
    return None if value.unknown else value.known


def _protected(resource: Resource, _: Terms) -> Iterator[Finding]:
    if not resource.protect:
        yield "the resource option protect is not set; what holds data must carry it"


def _plan_covers_stores(resources: Sequence[Resource], terms: Terms) -> Iterator[tuple[Resource | None, Finding]]:
    stores = [each for each in resources if each.type == CLUSTER]
    plans = {each.urn: each for each in resources if each.type == BACKUP_PLAN}
    for plan in plans.values():
        yield from ((plan, finding) for finding in _kept_long_enough(plan, terms["floor"]))
    selections = [each for each in resources if each.type == BACKUP_SELECTION]
    for store in stores:
        doubts: list[str] = []
        if not any(_selects(selection, store, plans, doubts) for selection in selections):
            if doubts:
                yield store, Undecided(" and ".join(doubts))
            else:
                yield store, "no AWS Backup selection of a plan in this stack names it"


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
    if store.urn in selection.uses.get("resources", frozenset()):
        return True
    resources = selection["resources"]
    if resources.unknown or any(each.unknown for each in resources.each()):
        doubts.append(f"resources of {selection.name}")
        return False
    arn = _raw(store["arn"])
    return any(each.known == arn or each.known == "*" for each in resources.each() if arn)


def _tags_copied(properties: Any, _: Terms) -> bool:
    if properties.get("copyTagsToSnapshot") is True:
        return False
    properties["copyTagsToSnapshot"] = True
    return True


def _uncovered(resource: Resource, _: Terms) -> Iterator[Finding]:
    yield f"no rule of this pack vouches for {resource.type}"


RULES: tuple[Rule, ...] = (
    ResourceRule(
        name="aurora-backup-retention",
        requires="Aurora keeps its automated backups for the environment's floor or longer",
        why="A mistake is often found days later, and point-in-time recovery reaches back no further than this. "
        "AWS's default is one day.",
        fix="set backupRetentionPeriod (meetinity-data:database.backupRetentionPeriod) to {floor} days or more",
        severity="critical",
        controls=("RDS.50", "CKV_AWS_133"),
        # The provider fills in AWS's default of 1 before a rule sees it: no floor may admit what nobody has chosen.
        options={"floor": {"description": "days", "type": "integer", "minimum": 2, "maximum": 35, "default": 14}},
        types=(CLUSTER,),
        check=lambda it, terms: require(
            it["backupRetentionPeriod"],
            lambda given: is_number(given) and terms["floor"] <= given <= 35,
            f"{terms['floor']} to 35 days are asked for",
        ),
    ),
    ResourceRule(
        name="aurora-final-snapshot-taken",
        requires="Aurora leaves a final snapshot when a cluster is deleted or replaced",
        why="It is the last copy of the data that a mistaken deletion leaves.",
        fix="set skipFinalSnapshot to false",
        severity="critical",
        types=(CLUSTER,),
        check=lambda it, _: is_false(it["skipFinalSnapshot"]),
    ),
    ResourceRule(
        name="aurora-final-snapshot-named-apart",
        requires="Aurora's final snapshot has a name, and never the same one twice",
        why="Without a name the deletion fails only when it runs; with a constant one the second deletion collides.",
        fix="end finalSnapshotIdentifier in a RandomId's hex that changes with whatever replaces the cluster",
        severity="high",
        types=(CLUSTER,),
        check=lambda it, _: _named_apart(it["finalSnapshotIdentifier"]),
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
        check=lambda it, _: _windows_apart(it["preferredBackupWindow"], it["preferredMaintenanceWindow"]),
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
        check=lambda it, terms: require(
            it["snapshotRetentionLimit"],
            lambda given: is_number(given) and terms["floor"] <= given <= 35,
            f"{terms['floor']} to 35 days are asked for",
        ),
    ),
    ResourceRule(
        name="redis-windows-apart",
        requires="ElastiCache's snapshot window is named and clear of its maintenance window",
        why="AWS refuses windows that meet, at `up` and not at preview; without a name it picks one.",
        fix="set snapshotWindow and maintenanceWindow apart from each other",
        severity="medium",
        types=(REPLICATION_GROUP,),
        check=lambda it, _: _windows_apart(it["snapshotWindow"], it["maintenanceWindow"]),
    ),
    ResourceRule(
        name="redis-final-snapshot-named-apart",
        requires="ElastiCache leaves a final snapshot, and never under the same name twice",
        why="Without a name there is silently none; with a constant one the second deletion collides.",
        fix="end finalSnapshotIdentifier in a RandomId's hex that changes with whatever replaces the group",
        severity="high",
        types=(REPLICATION_GROUP,),
        check=lambda it, _: _named_apart(it["finalSnapshotIdentifier"]),
    ),
    ResourceRule(
        name="data-protected",
        requires="Everything that holds data, or the key to it, carries Pulumi's protect",
        why="ElastiCache has no deletion protection of its own, and Aurora's lets a replacement begin.",
        fix="set the resource option protect, or exempt the resource that is retired, with a date",
        severity="critical",
        types=(CLUSTER, GLOBAL_CLUSTER, REPLICATION_GROUP, CLUSTER_SNAPSHOT, BACKUP_VAULT, KEY, *UNCOVERED_STORES),
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
        types=(CLUSTER, BACKUP_PLAN, BACKUP_SELECTION),
        check=_plan_covers_stores,
    ),
    ResourceRule(
        name="stores-covered",
        requires="Data is kept only in kinds of store that this pack has rules for",
        why="A store that no rule looks at passes every rule.",
        fix="use Aurora or a replication group, or add rules for the new kind first",
        severity="high",
        types=UNCOVERED_STORES,
        check=_uncovered,
    ),
)
