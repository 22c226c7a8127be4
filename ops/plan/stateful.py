"""What holds state, and what its going would mean. The tables of the gate; `check` reads them.

A type that is not listed here is recreated without loss: rules, roles, Jobs, alarms; but one that is named like a store
or a key is taken for it, and what is `protect`ed is stateful whatever its type.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

Effect = Literal["outage", "failover", "none"]
"""What the service sees: it is gone or refuses clients; seconds without a writer; nothing."""
EFFECTS: tuple[Effect, ...] = ("outage", "failover", "none")

KINDS = {
    "replace": "a stateful resource is replaced",
    "delete": "a stateful resource is deleted",
    "serving-removed": "the generation that serves goes away",
    "unprotect": "Pulumi's protection is lifted",
    "deletion-protection-off": "AWS's deletion protection is turned off",
    "retention-shrinks": "something is kept for a shorter time",
    "final-snapshot-off": "a store would go without a last snapshot, or with its backups",
    "insights-off": "the performance history ends",
    "key-disabled": "an encryption key is turned off",
    "major-upgrade": "the engine's major version changes",
    "unseen-upgrade": "a change carries an engine version that nobody sees in it",
    "undecided": "a value that matters is not known before the update",
}
"""What the gate refuses; a waiver names one or several of these."""


@dataclass(frozen=True)
class Stateful:
    noun: str
    replaced: str
    """What it means when a new one takes its place."""
    effect: Effect = "outage"
    deleted: str = ""
    """What it means when none does, where that differs."""
    safe: str = ""
    loses_data: bool = False


_BESIDE = (
    "add a generation that restores from this one, let it serve, then retire this one "
    "(`python -m ops restore plan`, docs/runbook.md)"
)
_GROUP = "add the new group under another name, move the stores to it, and take the old one out in a later update"
_STORE = Stateful("store", "a new, empty one takes its place", safe=_BESIDE, loses_data=True)
_MEMBER = Stateful(
    "instance",
    "connections to it break; where it is the writer, another takes over or, without a reader, nobody can write",
    "failover",
    "connections to it break, and there is one less to fail over to; where it is the writer, another takes over",
    safe="add the new instance first (database.instanceCount), fail over to it, then take this one out",
)
_CACHE = Stateful("cache", "a new, empty one takes its place", safe=_BESIDE, loses_data=True)
_KEY = Stateful(
    "encryption key",
    "what the old key encrypted, backups too, cannot be read once it is gone",
    deleted="what it encrypted, backups too, cannot be read once it is gone",
    safe="leave the key for as long as a store or a backup is encrypted with it",
    loses_data=True,
)
_VAULT = Stateful(
    "backup vault",
    "AWS refuses it while recovery points are inside, else they go with it",
    effect="none",
    safe="add the new vault beside it, copy the recovery points, and let the old ones run out",
    loses_data=True,
)
_SNAPSHOT = Stateful(
    "snapshot", "the recovery point is deleted", effect="none", safe="copy it first, or leave it", loses_data=True
)
_VALUE = Stateful(
    "generated credential",
    "its value changes: clients that hold the old one are refused until they are rolled",
    deleted="another value takes its place: clients that hold the old one are refused until they are rolled",
    safe="leave it as it is; where a rotation is meant, roll the clients right after the update (`helm_values` carries "
    "the new checksum) and waive it for that day",
)
_USER = Stateful("Redis user", "its clients are refused until they are rolled", safe="add the new one first")
_BACKUPS = Stateful(
    "backup rule", "no backup is made while it is away", "none", safe="change it in place, or add the new one first"
)
_VOLUME = Stateful("volume", "its data is deleted with it", safe="copy the data first", loses_data=True)
_DOOR = Stateful(
    "security group",
    "connections through the old group break",
    safe="add the new group, attach both, and take the old one out in a later update",
)

STATEFUL: dict[str, Stateful] = {
    "aws:rds/cluster:Cluster": _STORE,
    "aws:rds/globalCluster:GlobalCluster": _STORE,
    "aws:rds/instance:Instance": _STORE,
    "aws:rds/shardGroup:ShardGroup": _STORE,
    "aws:docdb/cluster:Cluster": _STORE,
    "aws:neptune/cluster:Cluster": _STORE,
    "aws:docdb/clusterInstance:ClusterInstance": _MEMBER,
    "aws:neptune/clusterInstance:ClusterInstance": _MEMBER,
    "aws:dynamodb/table:Table": _STORE,
    "aws:s3/bucket:Bucket": _STORE,
    "aws:s3/bucketV2:BucketV2": _STORE,
    "aws:rds/clusterInstance:ClusterInstance": _MEMBER,
    "aws:rds/proxy:Proxy": Stateful("proxy", "its endpoint changes", safe="add the new one first"),
    "aws:rds/subnetGroup:SubnetGroup": Stateful(
        "subnet group", "a cluster cannot change its group: it is replaced with it", safe=_BESIDE
    ),
    "aws:rds/clusterParameterGroup:ClusterParameterGroup": Stateful(
        "cluster parameter group", "the cluster restarts into other parameters", safe=_GROUP
    ),
    "aws:rds/parameterGroup:ParameterGroup": Stateful(
        "parameter group", "each instance restarts into other parameters", "failover", safe=_GROUP
    ),
    "aws:rds/clusterSnapshot:ClusterSnapshot": _SNAPSHOT,
    "aws:rds/clusterSnapshotCopy:ClusterSnapshotCopy": _SNAPSHOT,
    "aws:rds/snapshot:Snapshot": _SNAPSHOT,
    "aws:rds/snapshotCopy:SnapshotCopy": _SNAPSHOT,
    "aws:elasticache/replicationGroup:ReplicationGroup": _CACHE,
    "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup": _CACHE,
    "aws:elasticache/cluster:Cluster": _CACHE,
    "aws:elasticache/serverlessCache:ServerlessCache": _CACHE,
    "aws:memorydb/cluster:Cluster": _CACHE,
    "aws:elasticache/subnetGroup:SubnetGroup": Stateful(
        "subnet group", "a replication group cannot change its group: it is replaced with it", safe=_BESIDE
    ),
    "aws:elasticache/parameterGroup:ParameterGroup": Stateful(
        "parameter group", "the nodes move to another group", "failover", safe=_GROUP
    ),
    "aws:elasticache/user:User": _USER,
    "aws:elasticache/userGroup:UserGroup": _USER,
    "aws:kms/key:Key": _KEY,
    "aws:kms/externalKey:ExternalKey": _KEY,
    "aws:kms/replicaKey:ReplicaKey": _KEY,
    "aws:kms/replicaExternalKey:ReplicaExternalKey": _KEY,
    "aws:kms/alias:Alias": Stateful(
        "key alias", "whoever names the key by it is refused", safe="add the new alias first"
    ),
    "aws:backup/vault:Vault": _VAULT,
    "aws:backup/logicallyAirGappedVault:LogicallyAirGappedVault": _VAULT,
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration": Stateful(
        "vault lock", "recovery points can be deleted again", "none", safe="leave it"
    ),
    "aws:backup/plan:Plan": _BACKUPS,
    "aws:backup/selection:Selection": _BACKUPS,
    "aws:cloudwatch/logGroup:LogGroup": Stateful(
        "log group",
        "the logs in it are deleted with it",
        "none",
        safe="leave it, or export first what must be kept (`aws logs create-export-task`)",
        loses_data=True,
    ),
    "aws:secretsmanager/secret:Secret": _VALUE,
    "aws:secretsmanager/secretVersion:SecretVersion": _VALUE,
    "aws:ec2/securityGroup:SecurityGroup": _DOOR,
    "kubernetes:core/v1:Secret": Stateful(
        "Secret",
        "for a moment there is none: pods that start then fail",
        deleted="pods that start afterwards fail",
        safe="change it in place (`enable_secret_mutable`, a fixed name), or add the new one first",
    ),
    "kubernetes:core/v1:Namespace": Stateful(
        "namespace", "everything in it is deleted with it", safe="leave it; move what is in it first", loses_data=True
    ),
    "kubernetes:core/v1:PersistentVolumeClaim": _VOLUME,
    "kubernetes:core/v1:PersistentVolume": _VOLUME,
    "kubernetes:apps/v1:StatefulSet": _VOLUME,
    "random:index/randomPassword:RandomPassword": _VALUE,
    "random:index/randomBytes:RandomBytes": _VALUE,
}

# Of packages that the table does not know: what is named so holds something that nobody can make again.
_NAMED_LIKE_ONE = re.compile(
    r":(\w*(Cluster|Database|Instance|ReplicationGroup|(?<!Route)Table|Bucket|FileSystem|Volume|Domain|Namespace|Vault|"
    r"Snapshot|Key|Secret|Password)|DB\w*)$"
)
_UNKNOWN = Stateful(
    "store or key, by its name",
    "a new one takes its place, and what the old one holds is lost",
    deleted="what it holds is lost",
    safe="leave it; if it holds nothing, add its type to the gate's table (ops/plan/stateful.py), or waive it",
    loses_data=True,
)


def stateful(type_: str) -> Stateful | None:
    """What a resource of this type holds; None for nothing. Kubernetes' patched kinds are the kind itself."""
    type_ = type_.removesuffix("Patch") if type_.startswith("kubernetes:") else type_
    if found := STATEFUL.get(type_):
        return found
    # A component holds nothing but its resources, which are judged one by one.
    own = type_.startswith(("meetinity:", "pulumi:")) or not _NAMED_LIKE_ONE.search(type_)
    return None if own else _UNKNOWN


# The property that forces a replacement, where it is known for forcing one that nobody meant.
REPLACING: dict[tuple[str, str], str] = {
    ("aws:rds/cluster:Cluster", "storageType"): (
        "nothing changed at AWS: versions of the provider before July 2026 replace for it (pulumi-aws #2426, #6554). "
        "State the type that the cluster has, or upgrade pulumi-aws"
    ),
    ("aws:rds/cluster:Cluster", "availabilityZones"): (
        "AWS adds zones up to three by itself (pulumi-aws #1793): leave availabilityZones out, or name three"
    ),
    ("aws:rds/cluster:Cluster", "engineVersion"): "the provider replaces where it does not know the version: name one",
    ("kubernetes:core/v1:Secret", "provider"): (
        "the Kubernetes provider itself would be replaced: give it the cluster_identifier it had"
    ),
}


@dataclass(frozen=True)
class Turned:
    """A switch that must not be turned this way."""

    kind: str
    types: frozenset[str]
    property: str
    on: Any
    """What it must hold. What is not said is `absent`."""
    absent: Any
    means: str
    safe: str


_CLUSTER, _INSTANCE = "aws:rds/cluster:Cluster", "aws:rds/clusterInstance:ClusterInstance"
_DATABASES = frozenset(
    {_CLUSTER, "aws:rds/instance:Instance", "aws:docdb/cluster:Cluster", "aws:neptune/cluster:Cluster"}
)
_UNPROTECT = "lift it in a pull request of its own, only for the generation that goes (`retiring: true`)"
RETENTION_SAFE = (
    "copy what is still needed first; where a shorter time is meant, say so in a waiver, and for a store in "
    "`acknowledged` of the stack file as well"
)
SWITCHES = (
    Turned(
        "deletion-protection-off",
        _DATABASES | {"aws:rds/globalCluster:GlobalCluster"},
        "deletionProtection",
        True,
        False,
        "AWS would then delete it on request",
        _UNPROTECT,
    ),
    Turned(
        "deletion-protection-off",
        frozenset({"aws:dynamodb/table:Table"}),
        "deletionProtectionEnabled",
        True,
        False,
        "AWS would then delete it on request",
        _UNPROTECT,
    ),
    Turned(
        "final-snapshot-off",
        _DATABASES,
        "skipFinalSnapshot",
        False,
        False,
        "a deletion would leave no last snapshot",
        "leave it false; a store that may go without one is retired by hand",
    ),
    Turned(
        "final-snapshot-off",
        _DATABASES,
        "deleteAutomatedBackups",
        False,
        True,
        "a deletion would take the automated backups along, and with them every moment to restore to",
        "leave it false: they run out by themselves",
    ),
    Turned(
        "key-disabled",
        frozenset({"aws:kms/key:Key", "aws:kms/externalKey:ExternalKey"}),
        "isEnabled",
        True,
        True,
        "nothing that it encrypted can be opened while it is off: stores stop, restores fail",
        "leave it on; a key that is to go has no store and no backup left that needs it",
    ),
    Turned(
        "retention-shrinks",
        frozenset({"aws:backup/plan:Plan"}),
        "rules[].enableContinuousBackup",
        True,
        False,
        "no moment between two backups can be restored to any more",
        RETENTION_SAFE,
    ),
    Turned(
        "insights-off",
        _DATABASES | {_INSTANCE},
        "performanceInsightsEnabled",
        True,
        False,
        "the performance history is deleted, and the next incident has none",
        "leave it on with a retention of 7 days, which costs nothing",
    ),
)

FINAL_SNAPSHOT = frozenset(
    {*_DATABASES, "aws:elasticache/replicationGroup:ReplicationGroup", "aws:elasticache/cluster:Cluster"}
)
"""Those that leave a last snapshot only while `finalSnapshotIdentifier` names it."""


@dataclass(frozen=True)
class Kept:
    """For how long something is kept."""

    types: frozenset[str]
    property: str
    """`[]` stands for any index."""
    unit: str
    loses: str
    absent: float = 0
    """What AWS takes where nothing is said."""
    forever: tuple[float, ...] = ()
    """Values that mean no end."""

    def length(self, value: Any) -> float | None:
        """None where it is no number; of a list how many there are."""
        if isinstance(value, list):
            return float(len(value))
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return math.inf if value in self.forever else float(value)


_INSIGHTS = "older performance history is deleted"
RETENTIONS = (
    # API: CreateDBCluster, BackupRetentionPeriod, default 1.
    Kept(_DATABASES, "backupRetentionPeriod", "days", "recovery points older than that are deleted at once", absent=1),
    Kept(
        frozenset({"aws:elasticache/replicationGroup:ReplicationGroup", "aws:elasticache/cluster:Cluster"}),
        "snapshotRetentionLimit",
        "days",
        "snapshots older than that are deleted",
    ),
    Kept(
        frozenset({"aws:elasticache/serverlessCache:ServerlessCache", "aws:memorydb/cluster:Cluster"}),
        "snapshotRetentionLimit",
        "days",
        "snapshots older than that are deleted",
    ),
    Kept(_DATABASES | {_INSTANCE}, "performanceInsightsRetentionPeriod", "days", _INSIGHTS, absent=7),
    Kept(
        frozenset({"aws:cloudwatch/logGroup:LogGroup"}),
        "retentionInDays",
        "days",
        "older log events are deleted",
        absent=math.inf,
        forever=(0,),
    ),
    Kept(
        frozenset({"aws:backup/plan:Plan"}),
        "rules[].lifecycle.deleteAfter",
        "days",
        "recovery points made from now on are deleted earlier",
        absent=math.inf,
        forever=(0,),
    ),
    Kept(
        frozenset({"aws:backup/plan:Plan"}),
        "rules[].copyActions",
        "copies",
        "recovery points made from now on are not copied there: what takes the vault takes them",
    ),
    Kept(
        frozenset({"aws:backup/vaultLockConfiguration:VaultLockConfiguration"}),
        "minRetentionDays",
        "days",
        "recovery points may be deleted earlier",
    ),
    Kept(
        frozenset({"aws:kms/key:Key", "aws:kms/replicaKey:ReplicaKey"}),
        "deletionWindowInDays",
        "days",
        "there is less time to notice that the key is going",
        absent=30,
    ),
    Kept(
        frozenset({"aws:secretsmanager/secret:Secret"}),
        "recoveryWindowInDays",
        "days",
        "there is less time to notice that the secret is going",
        absent=30,
    ),
)


@dataclass(frozen=True)
class Interrupts:
    """A change that is made in place, and that clients notice."""

    types: frozenset[str]
    properties: tuple[str, ...]
    effect: Effect
    what: str
    windowed: bool = True
    """Waits for the maintenance window unless applyImmediately is set."""


INTERRUPTIONS = (
    Interrupts(
        frozenset({"meetinity:data:ConnectionSecrets"}),
        ("serving",),
        "failover",
        "the services move to another store as they are rolled; what the old one got since the restore is not in it",
        windowed=False,
    ),
    Interrupts(
        frozenset({_CLUSTER}),
        ("engineVersion",),
        "outage",
        "every instance restarts: tens of seconds without a database, far longer for a major version",
    ),
    Interrupts(frozenset({_CLUSTER}), ("port",), "outage", "every instance restarts on another port", windowed=False),
    Interrupts(
        frozenset({_CLUSTER}),
        ("masterPassword", "masterUserPassword"),
        "outage",
        "clients that hold the old password are refused at their next connection, until they are rolled",
        windowed=False,
    ),
    Interrupts(
        frozenset({_CLUSTER}),
        ("dbClusterParameterGroupName",),
        "outage",
        "static parameters wait for a restart of every instance",
    ),
    Interrupts(
        frozenset({_CLUSTER}),
        ("storageType",),
        "none",
        "billing changes at once; back to standard storage only after 30 days",
        windowed=False,
    ),
    Interrupts(
        frozenset({_INSTANCE}),
        ("instanceClass",),
        "failover",
        "the instance restarts in its new class; the writer's turn is a failover",
    ),
    Interrupts(frozenset({_INSTANCE}), ("caCertIdentifier",), "failover", "the instance may restart"),
    Interrupts(frozenset({_INSTANCE}), ("dbParameterGroupName",), "failover", "static parameters wait for a restart"),
    Interrupts(
        frozenset({"aws:elasticache/replicationGroup:ReplicationGroup"}),
        ("nodeType", "engineVersion", "engine"),
        "failover",
        "nodes are replaced one by one, and connections break",
    ),
    Interrupts(
        frozenset({"aws:elasticache/replicationGroup:ReplicationGroup"}),
        ("transitEncryptionEnabled", "transitEncryptionMode"),
        "outage",
        "clients of the other mode are refused",
        windowed=False,
    ),
    Interrupts(
        frozenset({"aws:elasticache/replicationGroup:ReplicationGroup"}),
        ("authToken",),
        "none",
        "the new token joins the old one (strategy ROTATE); clients are rolled to it",
        windowed=False,
    ),
    Interrupts(
        frozenset({"aws:elasticache/replicationGroup:ReplicationGroup"}),
        ("authTokenUpdateStrategy",),
        "outage",
        "with SET or DELETE, clients that hold the old token are refused",
        windowed=False,
    ),
    Interrupts(
        frozenset({"aws:elasticache/replicationGroup:ReplicationGroup"}),
        ("numCacheClusters", "automaticFailoverEnabled", "multiAzEnabled"),
        "none",
        "how a failure is survived changes",
        windowed=False,
    ),
    Interrupts(
        frozenset({"aws:rds/clusterParameterGroup:ClusterParameterGroup", "aws:rds/parameterGroup:ParameterGroup"}),
        ("parameters",),
        "none",
        "dynamic parameters act at once, static ones wait for a restart",
        windowed=False,
    ),
)
