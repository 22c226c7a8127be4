"""Exposure: encrypted everywhere, reachable by few, known by name, on an engine that is still mended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from operator import eq
from typing import Any

from policies.insights import members
from policies.parameters import each_set, taken_from_this_stack
from policies.rule import Finding, Resource, ResourceRule, Rule, StackRule, Terms
from policies.support import ENDS, WARNING_DAYS
from policies.tokens import (
    CLUSTER,
    CLUSTER_PARAMETERS,
    CLUSTER_SNAPSHOT,
    CLUSTER_SNAPSHOT_COPY,
    GLOBAL_CLUSTER,
    INSTANCE,
    INSTANCE_PARAMETERS,
    PROXY,
    REDIS_USER,
    REPLICATION_GROUP,
    TAGGED,
)
from policies.value import Undecided, Value, at_least, is_false, is_given, is_text, is_true, require

# What a guess starts with.
_GUESSABLE_NAMES = frozenset(
    ("admin", "administrator", "awsuser", "dbadmin", "master", "pgadmin", "postgres", "rdsadmin", "root", "sa", "user")
)
_SHORTEST_TOKEN = 16


def _tls_forced(group: Resource, _: Terms) -> Iterable[Finding]:
    return each_set(group, "rds.force_ssl", lambda given: given in ("1", 1), "1 is asked for")


def _own_parameters(resource: Resource, name: str) -> Iterator[Finding]:
    return require(
        resource[name],
        lambda given: isinstance(given, str) and given != "" and not given.startswith("default."),
        "a parameter group of our own is asked for, AWS's default cannot be changed",
    )


def _authenticated(group: Resource, _: Terms) -> Iterator[Finding]:
    token, users, strategy = group["authToken"], group["userGroupIds"], group["authTokenUpdateStrategy"]
    if strategy.raw == "DELETE" and users.absent:
        yield 'authTokenUpdateStrategy is "DELETE", which takes the token away; userGroupIds is asked for with it'
    if token.unknown:
        yield Undecided("authToken")
    elif token.known is not None:
        if not isinstance(token.known, str) or len(token.known) < _SHORTEST_TOKEN:
            yield f"authToken is not a text of at least {_SHORTEST_TOKEN} characters"
    else:
        given = list(users.each())
        if not given:
            yield "neither authToken nor userGroupIds is set; one of them is asked for"
        for each in given:
            yield from is_text(each, "the id of a user group is asked for")


def _user_authenticated(user: Resource, _: Terms) -> Iterator[Finding]:
    access = user["accessString"]
    switches = [word for word in str(access.raw).split() if word in ("on", "off")]
    if switches[-1:] == ["off"]:  # Redis goes by the last one.
        return  # Nobody can be this user: how AWS's own default user is shut out.
    if not user["noPasswordRequired"].absent:
        yield from is_false(user["noPasswordRequired"])
    kind = user["authenticationMode.type"]
    if not kind.absent:
        yield from require(kind, lambda given: given in ("password", "iam"), "password or iam is asked for")
        own = user["authenticationMode.passwords"]
        if kind.raw == "password" and (own.absent or own.raw == []):
            yield "authenticationMode.passwords is not set; at least one is asked for"
    elif user["passwords"].absent or user["passwords"].raw == []:
        yield "neither passwords nor authenticationMode.type is set; one of them is asked for"


def _fails_over(group: Resource, _: Terms) -> Iterator[Finding]:
    yield from is_true(group["automaticFailoverEnabled"])
    yield from is_true(group["multiAzEnabled"])
    nodes, replicas = group["numCacheClusters"], group["replicasPerNodeGroup"]
    if not replicas.absent:
        yield from at_least(replicas, 1, "replica per shard")
    else:
        yield from at_least(nodes, 2, "nodes")
    zones = list(group["preferredCacheClusterAzs"].each())
    if len({str(each.known) for each in zones}) == 1:
        yield f"preferredCacheClusterAzs names {zones[0].bare} alone; two zones are asked for"


def _enough_members(cluster: Resource, resources: Sequence[Resource], terms: Terms) -> Iterator[Finding]:
    own = members(cluster, resources)
    if len(own) < terms["floor"]:
        strays = [
            each.name for each in resources
            if each.type == INSTANCE and each["clusterIdentifier"].unknown and not each.uses.get("clusterIdentifier")
        ]  # fmt: skip
        if strays:
            yield Undecided(f"clusterIdentifier of {', '.join(strays)}")
        else:
            held = f"it has {len(own)} {'instance' if len(own) == 1 else 'instances'}"
            yield f"{held}; at least {terms['floor']} are asked for"
    elif len(own) > 1:
        yield from _in_two_zones(own)


def _in_two_zones(own: Sequence[Resource]) -> Iterator[Finding]:
    """An instance without a zone goes where AWS has none yet; with the same zone on all, one zone takes all."""
    zones = [each.chosen("availabilityZone") for each in own]
    if any(each.absent for each in zones):
        return
    if len({each.bare for each in zones if not each.unknown}) > 1:
        return
    if any(each.unknown for each in zones):
        yield Undecided("availabilityZone of " + ", ".join(each.name for each in own))
    else:
        yield f"its {len(own)} instances are all in {zones[0].bare}; two zones are asked for"


def _end(resource: Resource) -> date | str | None:
    """When standard support of its version ends: None for never, a text for what is not a known version."""
    version = resource["engineVersion"]
    if not isinstance(version.known, str) or not version.known:
        return "a version like 16.15, as text, is asked for"
    engine = resource["engine"].text or ("redis" if resource.type == REPLICATION_GROUP else "")
    return ENDS.get(engine, {}).get(version.known.split(".")[0], "its end of support is not in policies/support.py")


def _supported(resource: Resource, terms: Terms) -> Iterable[Finding]:
    end, version = _end(resource), resource["engineVersion"]
    if isinstance(end, str):
        return require(version, lambda _: False, end)
    if end is not None and terms.today > end:
        return [f"engineVersion is {version.shown}, whose standard support ended on {end}"]
    return ()


def _ending(resource: Resource, terms: Terms) -> Iterator[Finding]:
    end = _end(resource)
    if isinstance(end, date) and end - timedelta(days=WARNING_DAYS) <= terms.today <= end:
        left = (end - terms.today).days
        version = resource["engineVersion"].shown
        yield f"engineVersion is {version}, whose standard support ends on {end}, in {left} days"


def _snapshot_encrypted(snapshot: Resource, _resources: Sequence[Resource], _: Terms) -> Iterator[Finding]:
    """A snapshot says whether it is encrypted only once it exists; a copy can be told to be."""
    if snapshot.type == CLUSTER_SNAPSHOT_COPY and isinstance(snapshot["kmsKeyId"].raw, str):
        return
    encrypted = snapshot["storageEncrypted"]
    if encrypted.absent:
        yield Undecided("storageEncrypted")
    else:
        yield from is_true(encrypted)


def _private_snapshots(resource: Resource, _: Terms) -> Iterator[Finding]:
    for account in resource["sharedAccounts"].each():
        if account.unknown:
            yield Undecided(account.path)
        elif account.known == "all":
            yield f"{account.path} is {account.shown}; a snapshot is shared with named accounts only"


def _tags_complete(resource: Resource, terms: Terms) -> Iterator[Finding]:
    tags, values = resource["tags"], terms["values"]
    for tag in dict.fromkeys((*terms["names"], *values)):
        if tag in values:
            yield from require(tags.key(tag), partial(eq, values[tag]), f"{values[tag]} is asked for")
        else:
            yield from is_text(tags.key(tag), "a value is asked for")


def _tags_added(properties: Any, terms: Terms) -> bool:
    """Adds and puts right the tags with a known value; one with a value of its own, like Name, nobody can guess."""
    tags, wanted = properties.get("tags"), terms["values"]
    if tags is None:
        properties["tags"] = dict(wanted)
        return bool(wanted)
    if not isinstance(tags, Mapping):
        return False  # Not known yet, or no tags at all: the rule itself says so.
    wrong = [tag for tag in wanted if tags.get(tag) != wanted[tag]]
    for tag in wrong:
        tags[tag] = wanted[tag]  # type: ignore[index] # the SDK's mapping can be written to
    return bool(wrong)


def _holds(path: str, test: Callable[[Value], Iterable[Finding]]) -> Callable[[Resource, Terms], Iterable[Finding]]:
    return lambda resource, _: test(resource[path])


RULES: tuple[Rule, ...] = (
    ResourceRule(
        name="aurora-storage-encrypted",
        requires="Aurora's storage, and with it every snapshot of it, is encrypted",
        why="Encryption cannot be added later without a new cluster.",
        fix="set storageEncrypted to true",
        severity="critical",
        controls=("RDS.3", "RDS.4", "RDS.27", "CKV_AWS_96", "CKV_AWS_140"),
        types=(CLUSTER, GLOBAL_CLUSTER),
        check=_holds("storageEncrypted", is_true),
    ),
    ResourceRule(
        name="aurora-own-key",
        requires="Aurora is encrypted with a key of ours",
        why="A key of ours says who may read the data; AWS's own admits the whole account. It cannot be changed later.",
        fix="set kmsKeyId (meetinity-data:database.kmsKeyId)",
        severity="medium",
        level="disabled",
        controls=("CKV_AWS_327",),
        types=(CLUSTER,),
        check=_holds("kmsKeyId", lambda value: is_text(value, "a key is asked for")),
    ),
    StackRule(
        name="snapshots-encrypted",
        requires="Snapshots and their copies are encrypted",
        why="A copy of the data in clear undoes the encryption of the store. Known only once the snapshot exists.",
        fix="encrypt the cluster it is taken from, or give the copy a kmsKeyId",
        severity="critical",
        controls=("CKV_AWS_146",),
        types=(CLUSTER_SNAPSHOT, CLUSTER_SNAPSHOT_COPY),
        sees=(),
        check=_snapshot_encrypted,
    ),
    ResourceRule(
        name="snapshots-private",
        requires="Snapshots are not shared with everybody",
        why="A public snapshot is a public database.",
        fix="take all out of sharedAccounts",
        severity="critical",
        controls=("RDS.1",),
        types=(CLUSTER_SNAPSHOT, CLUSTER_SNAPSHOT_COPY),
        check=_private_snapshots,
    ),
    ResourceRule(
        name="aurora-own-parameters",
        requires="Aurora has a cluster parameter group of its own",
        why="TLS and logging are forced there; AWS's default group forces neither and cannot be changed.",
        fix="set dbClusterParameterGroupName",
        severity="high",
        types=(CLUSTER,),
        check=lambda it, _: _own_parameters(it, "dbClusterParameterGroupName"),
    ),
    ResourceRule(
        name="aurora-tls-forced",
        requires="Aurora refuses connections without TLS",
        why="A client that does not ask for TLS would send its password over the network in clear.",
        fix="set rds.force_ssl to 1 in the cluster parameter group, and nothing else in an instance's",
        severity="high",
        types=(CLUSTER_PARAMETERS, INSTANCE_PARAMETERS),
        check=_tls_forced,
    ),
    StackRule(
        name="aurora-parameters-seen",
        requires="Aurora takes its parameters from groups of this stack, of its engine's family",
        why="TLS and logging are set there; of a group from elsewhere nobody can say what it sets.",
        fix="make the parameter group in this stack, of the engine's family, or import it",
        severity="high",
        types=(CLUSTER, INSTANCE),
        sees=(CLUSTER_PARAMETERS, INSTANCE_PARAMETERS),
        check=taken_from_this_stack,
    ),
    ResourceRule(
        name="proxy-tls-forced",
        requires="An RDS proxy refuses connections without TLS",
        why="Clients would send their passwords in clear to the proxy, whatever the cluster behind it forces.",
        fix="set requireTls to true",
        severity="high",
        types=(PROXY,),
        check=_holds("requireTls", is_true),
    ),
    ResourceRule(
        name="aurora-not-public",
        requires="No Aurora instance has a public address",
        why="Left out, AWS decides by the subnets.",
        fix="set publiclyAccessible to false",
        severity="critical",
        controls=("RDS.2", "CKV_AWS_17"),
        types=(INSTANCE,),
        check=_holds("publiclyAccessible", is_false),
    ),
    ResourceRule(
        name="aurora-own-subnets",
        requires="Aurora stands in a subnet group of ours",
        why="AWS's default group is the default VPC's, whose subnets are public.",
        fix="set dbSubnetGroupName",
        severity="high",
        types=(CLUSTER, INSTANCE),
        check=_holds("dbSubnetGroupName", lambda value: is_given(value, "a group is asked for")),
    ),
    ResourceRule(
        name="aurora-iam-authentication",
        requires="People can log in to Aurora with IAM",
        why="A person's access then ends with the person's account, and no password is shared.",
        fix="set iamDatabaseAuthenticationEnabled (meetinity-data:database.iamDatabaseAuthenticationEnabled) to true",
        severity="medium",
        controls=("RDS.12", "CKV_AWS_162"),
        types=(CLUSTER,),
        check=_holds("iamDatabaseAuthenticationEnabled", is_true),
    ),
    ResourceRule(
        name="aurora-admin-name",
        requires="Aurora's administrator is not called as everybody's is",
        why="A known name is half of what a guess needs.",
        fix="set masterUsername (meetinity-data:database.masterUsername) to a name of ours; a change makes a "
        "new cluster",
        severity="medium",
        controls=("RDS.24",),
        types=(CLUSTER,),
        check=_holds(
            "masterUsername",
            lambda value: require(
                value,
                lambda given: isinstance(given, str) and given != "" and given.lower() not in _GUESSABLE_NAMES,
                "a name that is not a default is asked for",
            ),
        ),
    ),
    StackRule(
        name="aurora-members",
        requires="Aurora has enough instances to lose one, and a zone",
        why="With a single instance a failed host is an outage of ten minutes, and there is no reader.",
        fix="set meetinity-data:database.instanceCount to {floor} or more, and leave availabilityZone to AWS",
        severity="high",
        controls=("RDS.15",),
        options={"floor": {"description": "instances", "type": "integer", "minimum": 1, "maximum": 16, "default": 2}},
        types=(CLUSTER,),
        sees=(INSTANCE,),
        check=_enough_members,
    ),
    ResourceRule(
        name="aurora-minor-upgrades",
        requires="Aurora takes minor upgrades by itself",
        why="They carry the security fixes.",
        fix="set autoMinorVersionUpgrade to true",
        severity="medium",
        controls=("RDS.13", "RDS.35", "CKV_AWS_226"),
        types=(INSTANCE,),
        check=_holds("autoMinorVersionUpgrade", is_true),
    ),
    ResourceRule(
        name="redis-encrypted-at-rest",
        requires="ElastiCache is encrypted at rest, snapshots with it",
        why="Encryption cannot be added later without a new group.",
        fix="set atRestEncryptionEnabled (meetinity-data:redis.atRestEncryptionEnabled) to true",
        severity="high",
        controls=("ElastiCache.4", "CKV_AWS_29"),
        types=(REPLICATION_GROUP,),
        check=_holds("atRestEncryptionEnabled", is_true),
    ),
    ResourceRule(
        name="redis-own-key",
        requires="ElastiCache is encrypted with a key of ours",
        why="A key of ours says who may read the data. It cannot be changed later.",
        fix="set kmsKeyId (meetinity-data:redis.kmsKeyId)",
        severity="medium",
        level="disabled",
        controls=("CKV_AWS_191",),
        types=(REPLICATION_GROUP,),
        check=_holds("kmsKeyId", lambda value: is_text(value, "a key is asked for")),
    ),
    ResourceRule(
        name="redis-encrypted-in-transit",
        requires="ElastiCache refuses connections without TLS",
        why="Sessions and the token would cross the network in clear; mode preferred still lets them.",
        fix="set transitEncryptionEnabled (meetinity-data:redis.transitEncryptionEnabled) to true, and no mode, or "
        "required",
        severity="high",
        controls=("ElastiCache.5", "CKV_AWS_30"),
        types=(REPLICATION_GROUP,),
        check=lambda it, _: [
            *is_true(it["transitEncryptionEnabled"]),
            *(
                require(it["transitEncryptionMode"], lambda given: given == "required", "required is asked for")
                if not it["transitEncryptionMode"].absent
                else ()
            ),
        ],
    ),
    ResourceRule(
        name="redis-authenticated",
        requires="ElastiCache asks for a token, or for users",
        why="Without either, whoever reaches the port reads everything.",
        fix="set authToken, or userGroupIds",
        severity="critical",
        controls=("ElastiCache.6", "CKV_AWS_31"),
        types=(REPLICATION_GROUP,),
        check=_authenticated,
    ),
    ResourceRule(
        name="redis-users-authenticated",
        requires="Every ElastiCache user has a password, or logs in with IAM, or can do nothing",
        why="One user without a password lets everybody in, and its access string says how far.",
        fix="set authenticationMode to password or iam, or the access string to off",
        severity="critical",
        types=(REDIS_USER,),
        check=_user_authenticated,
    ),
    ResourceRule(
        name="redis-fails-over",
        requires="ElastiCache fails over by itself, into another zone, onto a node that is there",
        why="A failed node, or zone, is otherwise an outage, and loses what was in memory.",
        fix="set automaticFailoverEnabled and multiAzEnabled to true, with numCacheClusters of 2 or more",
        severity="high",
        controls=("ElastiCache.3", "CKV2_AWS_50"),
        types=(REPLICATION_GROUP,),
        check=_fails_over,
    ),
    ResourceRule(
        name="redis-minor-upgrades",
        requires="ElastiCache takes minor upgrades by itself",
        why="They carry the security fixes.",
        fix="set autoMinorVersionUpgrade (meetinity-data:redis.autoMinorVersionUpgrade) to true",
        severity="medium",
        controls=("ElastiCache.2",),
        types=(REPLICATION_GROUP,),
        check=_holds("autoMinorVersionUpgrade", is_true),
    ),
    ResourceRule(
        name="redis-own-subnets",
        requires="ElastiCache stands in a subnet group of ours",
        why="AWS's default group is the default VPC's, whose subnets are public.",
        fix="set subnetGroupName",
        severity="high",
        controls=("ElastiCache.7",),
        types=(REPLICATION_GROUP,),
        check=_holds("subnetGroupName", lambda value: is_given(value, "a group is asked for")),
    ),
    ResourceRule(
        name="engine-supported",
        requires="The engine's version is under standard support",
        why="After it AWS bills Extended Support, and fixes come late or not at all.",
        fix="upgrade engineVersion (meetinity-data:database.engineVersion, redis.engineVersion) to a supported major",
        severity="high",
        controls=("CKV_AWS_250",),
        types=(CLUSTER, REPLICATION_GROUP),
        check=_supported,
    ),
    ResourceRule(
        name="engine-support-ending",
        requires="The engine's version stays under standard support for half a year more",
        why="A major upgrade wants a rehearsal and a window.",
        fix="plan the upgrade of engineVersion; the runbook says how",
        severity="low",
        level="advisory",
        types=(CLUSTER, REPLICATION_GROUP),
        check=_ending,
    ),
    ResourceRule(
        name="tags-complete",
        requires="Everything on AWS that can be tagged says whose it is",
        why="Cost, clean-up and who to call go by tags.",
        fix="add the tags to the resource, or set this rule to remediate",
        severity="low",
        options={
            "names": {
                "description": "tags that must have a value", "type": "array", "items": {"type": "string"},
                "default": ["Environment", "Project", "Name"],
            },
            "values": {
                "description": "tags that must have this value; remediation sets them", "type": "object",
                "additionalProperties": {"type": "string"}, "default": {"Project": "meetinity"},
            },
        },
        types=TAGGED,
        check=_tags_complete,
        remedy=_tags_added,
    ),
)  # fmt: skip
