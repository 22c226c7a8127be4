"""What every rule says of every kind of value, word for word; run through the functions and through the analyzer."""

# ruff: noqa: E501 - a row a line
from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policies import tokens as t
from policies.rule import Resource
from policies.value import UNKNOWN, Secret
from tests.policy.samples import CONTAINER, MISSING, sample

STATES = ("compliant", "violating", "missing", "null", "unknown", "wrong type", "secret")


@dataclass(frozen=True)
class Scenario:
    rule: str
    state: str
    resources: Sequence[Resource]
    findings: Sequence[str] = ()
    undecided: Sequence[str] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.rule}-{self.state}"


@dataclass(frozen=True)
class Property:
    """One property that a rule requires: every state follows from these few values."""

    rule: str
    type: str
    path: str
    bad: Sequence[tuple[Any, str]]
    """Values that violate, and what is said of each."""
    absent: tuple[str, ...]
    """What is said where it is missing or null; nothing where that is fine."""
    wrong: tuple[Any, str]
    """A value of another type, and what is said of it."""
    good: Any = None
    """A further value that complies."""
    also: dict[str, Any] = field(default_factory=dict)
    shown: str = ""
    """The path in messages, where it is not `path`."""

    def scenarios(self) -> Iterator[Scenario]:
        def with_value(state: str, value: Any, findings: Sequence[str] = (), undecided: Sequence[str] = ()) -> Scenario:
            return Scenario(self.rule, state, [sample(self.type, {**self.also, self.path: value})], findings, undecided)

        shown = self.shown or _dotted(self.path)
        yield Scenario(self.rule, "compliant", [sample(self.type, self.also)])
        if self.good is not None:
            yield with_value("compliant", self.good)
            yield with_value("secret", Secret(self.good))
        for value, finding in self.bad:
            yield with_value("violating", value, [finding])
        value, finding = self.bad[0]
        text = _shown(value)
        if f"{shown} is {text}" in finding:
            yield with_value("secret", Secret(value), [finding.replace(f"is {text}", "is a secret", 1)])
        yield with_value("missing", MISSING, self.absent)
        yield with_value("null", None, self.absent)
        yield with_value("unknown", UNKNOWN, (), [shown])
        value, finding = self.wrong
        yield with_value("wrong type", value, [finding])


def _dotted(path: str) -> str:
    first, *rest = path.split("/")
    return first + "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in rest)


def _shown(value: Any) -> str:
    return json.dumps(value)


def _flag(rule: str, type_: str, path: str, wanted: bool, **also: Any) -> Property:
    shown, must = _dotted(path), f"it must be {str(wanted).lower()}"
    return Property(
        rule, type_, path,
        bad=[(not wanted, f"{shown} is {str(not wanted).lower()}; {must}")],
        absent=(f"{shown} is not set; {must}",),
        wrong=(str(wanted).lower(), f'{shown} is "{str(wanted).lower()}"; {must}'),
        good=wanted, also=also,
    )  # fmt: skip


def _whole(rule: str, type_: str, path: str, wanted: str, bad: Sequence[int], good: int, **also: Any) -> Property:
    shown = _dotted(path)
    return Property(
        rule, type_, path,
        bad=[(each, f"{shown} is {each}; {wanted}") for each in bad],
        absent=(f"{shown} is not set; {wanted}",),
        wrong=(str(good), f'{shown} is "{good}"; {wanted}'),
        good=good, also=also,
    )  # fmt: skip


def _text(
    rule: str, type_: str, path: str, wanted: str, bad: Sequence[str], good: str, *, shown: str = "", **also: Any
) -> Property:
    name = shown or _dotted(path)
    return Property(
        rule, type_, path,
        bad=[(each, f"{name} is {json.dumps(each)}; {wanted}") for each in bad],
        absent=(f"{name} is not set; {wanted}",),
        wrong=(5, f"{name} is 5; {wanted}"),
        good=good, also=also, shown=shown,
    )  # fmt: skip


_C0 = "spec/template/spec/containers/0"
_C = "spec.template.spec.containers[0]"
_P = "spec/template/spec"
_APART = "a name with a varying suffix of at least 8 hexadecimal digits is asked for"
_NO_DEFAULT_GROUP = "a group is asked for"
_WINDOW, _WEEKLY = "a window hh:mm-hh:mm is asked for", "a window ddd:hh:mm-ddd:hh:mm is asked for"
_PI = "at least 465 days are asked for, as 7, a multiple of 31 up to 713, or 731"
_TAG = "a digest, or a tag that does not move, is asked for"

PROPERTIES: tuple[Property, ...] = (
    _whole("aurora-backup-retention", t.CLUSTER, "backupRetentionPeriod", "14 to 35 days are asked for", [3, 0, 36], 35),
    _flag("aurora-final-snapshot-taken", t.CLUSTER, "skipFinalSnapshot", False),
    _text(
        "aurora-final-snapshot-named-apart", t.CLUSTER, "finalSnapshotIdentifier", _APART,
        ["prod-postgres-final", "0a1b2c3d", ""], "prod-postgres-final-20261123",
    ),
    _flag("aurora-automated-backups-kept", t.CLUSTER, "deleteAutomatedBackups", False),
    _flag("aurora-snapshot-tags-copied", t.CLUSTER, "copyTagsToSnapshot", True),
    _text("aurora-windows-apart", t.CLUSTER, "preferredBackupWindow", _WINDOW, ["3-4", "sun:03:00-sun:04:00"], "02:00-03:00"),
    _text("aurora-windows-apart", t.CLUSTER, "preferredMaintenanceWindow", _WEEKLY, ["04:00-05:00"], "Sun:05:00-Sun:06:00"),
    _flag("aurora-deletion-protection", t.CLUSTER, "deletionProtection", True),
    _whole("redis-snapshot-retention", t.REPLICATION_GROUP, "snapshotRetentionLimit", "7 to 35 days are asked for", [6, 0, 36], 7),
    _text("redis-windows-apart", t.REPLICATION_GROUP, "snapshotWindow", _WINDOW, ["3-4"], "02:00-03:00"),
    _text("redis-windows-apart", t.REPLICATION_GROUP, "maintenanceWindow", _WEEKLY, ["04:00-05:00"], "sat:05:00-sat:06:00"),
    _text(
        "redis-final-snapshot-named-apart", t.REPLICATION_GROUP, "finalSnapshotIdentifier", _APART,
        ["prod-redis-final"], "prod-redis-final-20261123",
    ),
    _flag("performance-insights-on", t.CLUSTER, "performanceInsightsEnabled", True),
    _flag("performance-insights-on", t.INSTANCE, "performanceInsightsEnabled", True),
    _whole("performance-insights-retention", t.CLUSTER, "performanceInsightsRetentionPeriod", _PI, [7, 500, 732], 731),
    _whole("performance-insights-retention", t.INSTANCE, "performanceInsightsRetentionPeriod", _PI, [434], 496),
    _text("performance-insights-own-key", t.CLUSTER, "performanceInsightsKmsKeyId", "a key is asked for", [""], "arn:k"),
    _text(
        "database-insights-mode", t.CLUSTER, "databaseInsightsMode", "standard or advanced is asked for", ["best"], "standard"
    ),
    _whole("enhanced-monitoring-on", t.CLUSTER, "monitoringInterval", "1 to 60 seconds are asked for", [0, 61], 1),
    _text("enhanced-monitoring-on", t.INSTANCE, "monitoringRoleArn", "the role that writes the samples is asked for", [""], "arn:r"),
    Property(
        "aurora-logs-exported", t.CLUSTER, "enabledCloudwatchLogsExports",
        bad=[([], "enabledCloudwatchLogsExports is []; postgresql must be in it"),
             (["instance"], 'enabledCloudwatchLogsExports is ["instance"]; postgresql must be in it')],
        absent=("enabledCloudwatchLogsExports is not set; postgresql must be in it",),
        wrong=("postgresql", 'enabledCloudwatchLogsExports is "postgresql", where a list belongs'),
        good=["instance", "postgresql"],
    ),
    _text(
        "aurora-statements-logged", t.CLUSTER_PARAMETERS, "parameters/1/value", "ddl, mod or all is asked for", ["none"], "all",
        shown="parameter log_statement",
    ),
    _text(
        "aurora-statements-logged", t.CLUSTER_PARAMETERS, "parameters/2/value",
        "a number of milliseconds, 0 or more, is asked for", ["-1"], "0", shown="parameter log_min_duration_statement",
    ),
    _text(
        "aurora-statements-counted", t.CLUSTER_PARAMETERS, "parameters/3/value", "pg_stat_statements must be among them",
        ["auto_explain", ""], "auto_explain, pg_stat_statements", shown="parameter shared_preload_libraries",
    ),
    Property(
        "redis-logs-delivered", t.REPLICATION_GROUP, "logDeliveryConfigurations",
        bad=[([{"logType": "slow-log"}],
              "logDeliveryConfigurations has no engine-log; both engine-log and slow-log are asked for")],
        absent=(
            "logDeliveryConfigurations has no engine-log; both engine-log and slow-log are asked for",
            "logDeliveryConfigurations has no slow-log; both engine-log and slow-log are asked for",
        ),
        wrong=("slow-log", 'logDeliveryConfigurations is "slow-log", where a list belongs'),
        good=[{"logType": "engine-log"}, {"logType": "slow-log"}],
    ),
    _flag("aurora-storage-encrypted", t.CLUSTER, "storageEncrypted", True),
    _text("aurora-own-key", t.CLUSTER, "kmsKeyId", "a key is asked for", [""], "arn:k"),
    _text(
        "aurora-own-parameters", t.CLUSTER, "dbClusterParameterGroupName",
        "a parameter group of our own is asked for, AWS's default cannot be changed", ["default.aurora-postgresql16", ""], "own",
    ),
    Property(
        "aurora-tls-forced", t.CLUSTER_PARAMETERS, "parameters/0/value",
        bad=[("0", 'parameter rds.force_ssl is "0"; 1 is asked for')],
        absent=("parameter rds.force_ssl is not set; 1 is asked for",),
        wrong=(["1"], 'parameter rds.force_ssl is ["1"]; 1 is asked for'), good=1, shown="parameter rds.force_ssl",
    ),
    _flag("aurora-not-public", t.INSTANCE, "publiclyAccessible", False),
    _text("aurora-own-subnets", t.CLUSTER, "dbSubnetGroupName", _NO_DEFAULT_GROUP, ["default", ""], "own"),
    _text("aurora-own-subnets", t.INSTANCE, "dbSubnetGroupName", _NO_DEFAULT_GROUP, ["default"], "own"),
    _flag("aurora-iam-authentication", t.CLUSTER, "iamDatabaseAuthenticationEnabled", True),
    _text(
        "aurora-admin-name", t.CLUSTER, "masterUsername", "a name that is not a default is asked for",
        ["postgres", "Admin", ""], "owner_of_data",
    ),
    _flag("aurora-minor-upgrades", t.INSTANCE, "autoMinorVersionUpgrade", True),
    _flag("redis-encrypted-at-rest", t.REPLICATION_GROUP, "atRestEncryptionEnabled", True),
    _text("redis-own-key", t.REPLICATION_GROUP, "kmsKeyId", "a key is asked for", [""], "arn:k"),
    _flag("redis-encrypted-in-transit", t.REPLICATION_GROUP, "transitEncryptionEnabled", True),
    Property(
        "redis-authenticated", t.REPLICATION_GROUP, "authToken",
        bad=[("short", "authToken is not a text of at least 16 characters")],
        absent=("neither authToken nor userGroupIds is set; one of them is asked for",),
        wrong=(5, "authToken is not a text of at least 16 characters"), good=Secret("x" * 16),
    ),
    _flag("redis-fails-over", t.REPLICATION_GROUP, "automaticFailoverEnabled", True),
    _flag("redis-fails-over", t.REPLICATION_GROUP, "multiAzEnabled", True),
    _whole("redis-fails-over", t.REPLICATION_GROUP, "numCacheClusters", "at least 2 nodes are asked for", [1], 3),
    _flag("redis-minor-upgrades", t.REPLICATION_GROUP, "autoMinorVersionUpgrade", True),
    _text("redis-own-subnets", t.REPLICATION_GROUP, "subnetGroupName", _NO_DEFAULT_GROUP, ["default", ""], "own"),
    Property(
        "firewall-not-world-open", t.INGRESS_RULE, "cidrIpv4",
        bad=[("0.0.0.0/0", 'cidrIpv4 is "0.0.0.0/0"; only named networks may connect'),
             ("128.0.0.0/1", 'cidrIpv4 is "128.0.0.0/1"; only named networks may connect')],
        absent=(), wrong=(True, "cidrIpv4 is true; only named networks may connect"), good="10.0.0.0/8",
    ),
    Property(
        "firewall-not-world-open", t.SECURITY_GROUP, "ingress",
        bad=[([{"cidrBlocks": ["10.0.0.0/8", "0.0.0.0/0"]}],
              'ingress[0].cidrBlocks[1] is "0.0.0.0/0"; only named networks may connect'),
             ([{"ipv6CidrBlocks": ["::/0"]}], 'ingress[0].ipv6CidrBlocks[0] is "::/0"; only named networks may connect')],
        absent=(), wrong=("0.0.0.0/0", 'ingress is "0.0.0.0/0", where a list belongs'),
        good=[{"cidrBlocks": ["10.0.0.0/8"]}], also={"ingress": []},
    ),
    Property(
        "firewall-not-world-open", t.SECURITY_GROUP_RULE, "cidrBlocks",
        bad=[(["0.0.0.0/0"], 'cidrBlocks[0] is "0.0.0.0/0"; only named networks may connect')],
        absent=(), wrong=("0.0.0.0/0", 'cidrBlocks is "0.0.0.0/0", where a list belongs'), good=["10.1.0.0/16"],
    ),
    Property(
        "firewall-no-way-out", t.SECURITY_GROUP, "egress",
        bad=[([{"protocol": "-1", "cidrBlocks": ["0.0.0.0/0"]}],
              'egress[0].cidrBlocks[0] is "0.0.0.0/0" for every protocol; a store answers, it never calls')],
        absent=(), wrong=("none", 'egress is "none", where a list belongs'),
        good=[{"protocol": "tcp", "cidrBlocks": ["0.0.0.0/0"]}],
    ),
    Property(
        "firewall-no-way-out", t.EGRESS_RULE, "ipProtocol",
        bad=[("-1", 'cidrIpv4 is "0.0.0.0/0" for every protocol; a store answers, it never calls')],
        absent=('cidrIpv4 is "0.0.0.0/0" for every protocol; a store answers, it never calls',),
        wrong=(-1, 'cidrIpv4 is "0.0.0.0/0" for every protocol; a store answers, it never calls'),
        good="tcp", also={"cidrIpv4": "0.0.0.0/0"},
    ),
    _text("firewall-described", t.SECURITY_GROUP, "description", "a description is asked for", ["", " "], "why"),
    _text("firewall-described", t.INGRESS_RULE, "description", "a description is asked for", [""], "why"),
    Property(
        "engine-supported", t.CLUSTER, "engineVersion",
        bad=[("13.9", 'engineVersion is "13.9", whose standard support ended on 2026-02-28'),
             ("99.1", 'engineVersion is "99.1"; its end of support is not in policies/support.py')],
        absent=("engineVersion is not set; a version like 16.15, as text, is asked for",),
        wrong=(16.15, "engineVersion is 16.15; a version like 16.15, as text, is asked for"), good="17",
    ),
    Property(
        "engine-supported", t.REPLICATION_GROUP, "engineVersion",
        bad=[("5.0.6", 'engineVersion is "5.0.6", whose standard support ended on 2026-01-31')],
        absent=("engineVersion is not set; a version like 16.15, as text, is asked for",),
        wrong=(7.1, "engineVersion is 7.1; a version like 16.15, as text, is asked for"), good="7.1",
    ),
    _text("tags-complete", t.CLUSTER, "tags/Environment", "a value is asked for", [""], "prod"),
    _text("tags-complete", t.CLUSTER, "tags/Project", "meetinity is asked for", ["other"], "meetinity"),
    _text("tags-complete", t.INGRESS_RULE, "tags/Name", "a value is asked for", [""], "rule"),
    Property(
        "job-without-ttl", t.JOB, "spec/ttlSecondsAfterFinished",
        bad=[(0, "spec.ttlSecondsAfterFinished is 0; it must not be set"),
             (300, "spec.ttlSecondsAfterFinished is 300; it must not be set")],
        absent=(), wrong=("5", 'spec.ttlSecondsAfterFinished is "5"; it must not be set'),
        also={"spec/ttlSecondsAfterFinished": None},
    ),
    _whole("job-deadline", t.JOB, "spec/activeDeadlineSeconds", "1 to 3600 seconds are asked for", [0, 3601], 3600),
    _whole("job-backoff", t.JOB, "spec/backoffLimit", "0 to 2 retries are asked for", [3, -1], 0),
    _text(
        "image-pinned", t.JOB, f"{_C0}/image", _TAG,
        ["user-service", "user-service:latest", "registry:5000/user-service", "user-service@sha256:abc", "u:main"],
        "registry:5000/user-service:1.0.0",
    ),
    _text("image-by-digest", t.JOB, f"{_C0}/image", "a digest is asked for", ["user-service:1.0.0"], f"u@sha256:{'a' * 64}"),
    _flag("container-read-only", t.JOB, f"{_C0}/securityContext/readOnlyRootFilesystem", True),
    _flag("container-unprivileged", t.JOB, f"{_C0}/securityContext/allowPrivilegeEscalation", False),
    Property(
        "container-unprivileged", t.JOB, f"{_C0}/securityContext/privileged",
        bad=[(True, f"{_C}.securityContext.privileged is true; it must be false")],
        absent=(), wrong=("false", f'{_C}.securityContext.privileged is "false"; it must be false'), good=False,
        also={f"{_C0}/securityContext/privileged": None},
    ),
    Property(
        "container-without-capabilities", t.JOB, f"{_C0}/securityContext/capabilities/drop",
        bad=[(["NET_RAW"], f'{_C}.securityContext.capabilities.drop is ["NET_RAW"]; ALL must be in it')],
        absent=(f"{_C}.securityContext.capabilities.drop is not set; ALL must be in it",),
        wrong=("ALL", f'{_C}.securityContext.capabilities.drop is "ALL", where a list belongs'), good=["ALL"],
    ),
    Property(
        "container-not-root", t.JOB, f"{_P}/securityContext/runAsNonRoot",
        bad=[(False, "spec.template.spec.securityContext.runAsNonRoot is false; it must be true")],
        absent=("spec.template.spec.securityContext.runAsNonRoot is not set; it must be true",),
        wrong=("true", 'spec.template.spec.securityContext.runAsNonRoot is "true"; it must be true'), good=True,
    ),
    _whole("container-not-root", t.JOB, f"{_P}/securityContext/runAsUser", "at least 10000 is asked for", [0, 9999], 10000),
    _text("container-seccomp", t.JOB, f"{_P}/securityContext/seccompProfile/type", "RuntimeDefault is asked for", ["Unconfined"], "Localhost"),
    Property(
        "container-resources", t.JOB, f"{_C0}/resources/limits/memory",
        bad=[("", f'{_C}.resources.limits.memory is ""; an amount is asked for')],
        absent=(f"{_C}.resources.limits.memory is not set; an amount is asked for",),
        wrong=(True, f"{_C}.resources.limits.memory is true; an amount is asked for"), good="1Gi",
    ),
    Property(
        "pod-apart-from-the-host", t.JOB, f"{_P}/hostNetwork",
        bad=[(True, "spec.template.spec.hostNetwork is true; it must be false")],
        absent=(), wrong=("no", 'spec.template.spec.hostNetwork is "no"; it must be false'), good=False,
        also={f"{_P}/hostNetwork": None},
    ),
    _flag("pod-own-account", t.JOB, f"{_P}/automountServiceAccountToken", False),
    _text("pod-own-account", t.JOB, f"{_P}/serviceAccountName", "an account other than default is asked for", ["default", ""], "own"),
    _text("namespace-named", t.JOB, "metadata/namespace", "a namespace other than default is asked for", ["default", ""], "own"),
    Property(
        "snapshots-private", t.CLUSTER_SNAPSHOT, "sharedAccounts",
        bad=[(["all"], 'sharedAccounts[0] is "all"; a snapshot is shared with named accounts only')],
        absent=(), wrong=("all", 'sharedAccounts is "all", where a list belongs'), good=["123456789012"],
    ),
)  # fmt: skip


def _stack(
    rule: str, state: str, *resources: Resource, says: Sequence[str] = (), doubts: Sequence[str] = (), **options: Any
) -> Scenario:
    return Scenario(rule, state, resources, says, doubts, options)


def _member(number: int, **changes: Any) -> Resource:
    return sample(t.INSTANCE, changes, name=f"instance-{number}")


def _cluster(**changes: Any) -> Resource:
    return sample(t.CLUSTER, changes, name="cluster")


_DATA_OPS = [{"kind": "Group", "name": "data-ops"}]
_ENV = f"{_C0}/env"


def _others() -> Iterator[Scenario]:
    rule = "aurora-windows-apart"
    for window in ("04:30-05:00", "23:30-04:01"):
        meets = (
            f"preferredBackupWindow {window} meets preferredMaintenanceWindow sun:04:00-sun:05:00; they must be apart"
        )
        yield _stack(rule, "violating", sample(t.CLUSTER, {"preferredBackupWindow": window}), says=[meets])
    meets = "snapshotWindow 05:59-07:00 meets maintenanceWindow sun:05:00-sun:06:00; they must be apart"
    yield _stack(
        "redis-windows-apart", "violating", sample(t.REPLICATION_GROUP, {"snapshotWindow": "05:59-07:00"}), says=[meets]
    )

    said = "the resource option protect is not set; what holds data must carry it"
    for type_ in (t.CLUSTER, t.REPLICATION_GROUP):
        yield _stack("data-protected", "compliant", sample(type_))
        yield _stack("data-protected", "violating", sample(type_, protect=False), says=[said])
    said = "no rule of this pack vouches for aws:rds/instance:Instance"
    yield _stack("stores-covered", "compliant", sample(t.CLUSTER))
    yield _stack("stores-covered", "violating", sample("aws:rds/instance:Instance"), says=[said])

    yield from _backup_plan()
    yield from _insights()
    yield from _exposure()
    yield from _access()
    yield from _credentials()
    yield from _pods()


def _backup_plan() -> Iterator[Scenario]:
    rule = "backup-plan-covers-stores"
    cluster, plan, selection = sample(t.CLUSTER, name="cluster"), sample(t.BACKUP_PLAN), sample(t.BACKUP_SELECTION)
    unnamed = "no AWS Backup selection of a plan in this stack names it"
    days = "rules[0].lifecycle.deleteAfter"
    yield _stack(rule, "compliant", cluster, plan, selection)
    yield _stack(rule, "violating", cluster, says=[unnamed])
    yield _stack(
        rule, "violating", cluster, plan, sample(t.BACKUP_SELECTION, {"resources": ["arn:other"]}), says=[unnamed]
    )
    for state, value, finding in (
        ("violating", 34, f"{days} is 34; at least 35 days are asked for"),
        ("null", None, f"{days} is not set; at least 35 days are asked for"),
        ("missing", MISSING, f"{days} is not set; at least 35 days are asked for"),
        ("wrong type", "35", f'{days} is "35"; at least 35 days are asked for'),
        ("secret", Secret(34), f"{days} is a secret; at least 35 days are asked for"),
    ):
        short = sample(t.BACKUP_PLAN, {"rules/0/lifecycle/deleteAfter": value})
        yield _stack(rule, state, cluster, short, selection, says=[finding])
    yield _stack(
        rule,
        "unknown",
        cluster,
        plan,
        sample(t.BACKUP_SELECTION, {"resources/0": UNKNOWN}),
        doubts=["resources of it of cluster"],
    )

    # At preview neither ARN nor plan id is known; what they come from is.
    later = sample(t.BACKUP_SELECTION, {"resources": UNKNOWN, "planId": UNKNOWN})
    by_source = {"resources": frozenset({cluster.urn}), "planId": frozenset({plan.urn})}
    yield _stack(rule, "compliant", cluster, plan, replace(later, uses=by_source))
    yield _stack(rule, "unknown", cluster, plan, later, doubts=["planId of it of cluster"])
    elsewhere = {**by_source, "resources": frozenset({"urn:of-another"})}
    doubts = ["resources of it of cluster"]
    yield _stack(rule, "unknown", cluster, plan, replace(later, uses=elsewhere), doubts=doubts)


def _insights() -> Iterator[Scenario]:
    rule = "performance-insights-alike"
    path = "performanceInsightsRetentionPeriod"
    yield _stack(rule, "compliant", _cluster(), _member(1), _member(2))
    for state, value, shown in (
        ("violating", 7, "7"), ("missing", MISSING, "null"), ("null", None, "null"), ("wrong type", "465", '"465"'),
        ("secret", Secret(7), "a secret"),
    ):  # fmt: skip
        says = [f"{path} is {shown}, and 465 on cluster cluster"]
        yield _stack(rule, state, _cluster(), _member(1), _member(2, **{path: value}), says=says)
    yield _stack(
        rule,
        "violating",
        _cluster(),
        _member(1, monitoringInterval=5),
        says=["monitoringInterval is 5, and 60 on cluster cluster"],
    )
    yield _stack(rule, "unknown", _cluster(), _member(1, **{path: UNKNOWN}), doubts=[f"{path} of instance-1"])

    key = {"performanceInsightsKmsKeyId": UNKNOWN}
    ours, theirs = sample(t.CLUSTER, key, name="cluster"), sample(t.INSTANCE, key, name="instance-1")
    made_here = sample(t.SECURITY_GROUP, name="stands-for-a-key")
    source = {"performanceInsightsKmsKeyId": frozenset({made_here.urn})}
    yield _stack(rule, "compliant", made_here, replace(ours, uses=source), replace(theirs, uses=source))
    doubts = ["performanceInsightsKmsKeyId of instance-1"]
    yield _stack(rule, "unknown", made_here, replace(ours, uses=source), theirs, doubts=doubts)

    rule = "database-insights-mode"
    says = ["performanceInsightsRetentionPeriod is 7; databaseInsightsMode is advanced, which takes 465 days"]
    yield _stack(rule, "violating", sample(t.CLUSTER, {"performanceInsightsRetentionPeriod": 7}), says=says)
    says = ["performanceInsightsEnabled is false; databaseInsightsMode is advanced, which takes 465 days and this on"]
    yield _stack(rule, "violating", sample(t.CLUSTER, {"performanceInsightsEnabled": False}), says=says)

    group = sample(t.CLUSTER_PARAMETERS, {"parameters": []})
    for rule, names in (
        ("aurora-tls-forced", ["rds.force_ssl is not set; 1 is asked for"]),
        ("aurora-statements-counted", ["shared_preload_libraries is not set; pg_stat_statements must be among them"]),
        ("aurora-statements-logged", [
            "log_statement is not set; ddl, mod or all is asked for",
            "log_min_duration_statement is not set; a number of milliseconds, 0 or more, is asked for",
        ]),
    ):  # fmt: skip
        yield _stack(rule, "missing", group, says=[f"parameter {name}" for name in names])
        mysql = sample(t.CLUSTER_PARAMETERS, {"family": "aurora-mysql8.0", "parameters": []})
        yield _stack(rule, "compliant", mysql)

    rule = "enhanced-monitoring-on"
    said = "monitoringRoleArn is not set; the role that writes the samples is asked for"
    yield _stack(rule, "missing", sample(t.CLUSTER, {"monitoringRoleArn": MISSING}), says=[said])


def _exposure() -> Iterator[Scenario]:
    rule = "snapshots-encrypted"
    yield _stack(rule, "compliant", sample(t.CLUSTER_SNAPSHOT))
    for state, value, shown in (
        ("violating", False, "false"),
        ("wrong type", "true", '"true"'),
        ("secret", Secret(False), "a secret"),
    ):
        said = f"storageEncrypted is {shown}; it must be true"
        yield _stack(rule, state, sample(t.CLUSTER_SNAPSHOT, {"storageEncrypted": value}), says=[said])
    # Computed: at preview it is not there at all.
    for state, value in (("missing", MISSING), ("null", None), ("unknown", UNKNOWN)):
        yield _stack(
            rule, state, sample(t.CLUSTER_SNAPSHOT, {"storageEncrypted": value}), doubts=["storageEncrypted of it"]
        )

    rule = "aurora-members"
    yield _stack(rule, "compliant", _cluster(), _member(1), _member(2))
    later = _member(2, clusterIdentifier=UNKNOWN)
    by_source = replace(later, uses={"clusterIdentifier": frozenset({_cluster().urn})})
    yield _stack(rule, "compliant", _cluster(), _member(1), by_source)
    said = "it has 1 instance; at least 2 are asked for"
    yield _stack(rule, "violating", _cluster(), _member(1), says=[said])
    yield _stack(rule, "violating", _cluster(), says=["it has 0 instances; at least 2 are asked for"])
    yield _stack(
        rule,
        "violating",
        _cluster(),
        _member(1),
        _member(2),
        says=["it has 2 instances; at least 3 are asked for"],
        floor=3,
    )
    for state, value in (("missing", MISSING), ("null", None), ("wrong type", 5), ("secret", Secret("other"))):
        yield _stack(rule, state, _cluster(), _member(1), _member(2, clusterIdentifier=value), says=[said])
    yield _stack(
        rule,
        "unknown",
        _cluster(),
        _member(1),
        _member(2, clusterIdentifier=UNKNOWN),
        doubts=["clusterIdentifier of instance-2"],
    )

    rule = "redis-encrypted-in-transit"
    mode = sample(t.REPLICATION_GROUP, {"transitEncryptionMode": "preferred"})
    yield _stack(rule, "violating", mode, says=['transitEncryptionMode is "preferred"; required is asked for'])
    mode = sample(t.REPLICATION_GROUP, {"transitEncryptionMode": UNKNOWN})
    yield _stack(rule, "unknown", mode, doubts=["transitEncryptionMode"])
    users = sample(t.REPLICATION_GROUP, {"authToken": MISSING, "userGroupIds": ["users"]})
    yield _stack("redis-authenticated", "compliant", users)
    shards = {"numCacheClusters": MISSING, "replicasPerNodeGroup": 0}
    said = "replicasPerNodeGroup is 0; at least 1 replica per shard are asked for"
    yield _stack("redis-fails-over", "violating", sample(t.REPLICATION_GROUP, shards), says=[said])

    ingress = sample(t.SECURITY_GROUP, {"ingress": [{"cidrBlocks": ["10.0.0.0/8"]}]})
    yield _stack(
        "firewall-described", "missing", ingress, says=["ingress[0].description is not set; a description is asked for"]
    )
    valkey = sample(t.REPLICATION_GROUP, {"engine": "valkey", "engineVersion": "8.2"})
    yield _stack("engine-supported", "compliant", valkey)
    for state, value in (("missing", MISSING), ("null", None), ("wrong type", 14)):
        yield _stack("engine-support-ending", state, sample(t.CLUSTER, {"engineVersion": value}))
    yield _stack(
        "engine-support-ending", "unknown", sample(t.CLUSTER, {"engineVersion": UNKNOWN}), doubts=["engineVersion"]
    )
    yield _stack("engine-support-ending", "compliant", sample(t.CLUSTER))


def _access() -> Iterator[Scenario]:
    rule = "secrets-read-by-name"
    yield _stack(rule, "compliant", sample(t.ROLE))
    for state, path, value, finding in (
        ("violating", "rules/0/verbs", ["get", "list", "watch"],
         ['rules[0].verbs[1] is "list"; Secrets are read by get alone', 'rules[0].verbs[2] is "watch"; Secrets are read by get alone']),
        ("violating", "rules/0/verbs", ["*"], ["rules[0].verbs[0] is a wildcard; each is named"]),
        ("violating", "rules/0/resources", ["*"], ["rules[0].resources[0] is a wildcard; each is named"]),
        ("violating", "rules/0/apiGroups", ["*"], ["rules[0].apiGroups[0] is a wildcard; each is named"]),
        ("violating", "rules/0/resourceNames", [], ["rules[0].resourceNames is not set; the Secrets are named"]),
        ("missing", "rules/0/resourceNames", MISSING, ["rules[0].resourceNames is not set; the Secrets are named"]),
        ("null", "rules/0/resourceNames", None, ["rules[0].resourceNames is not set; the Secrets are named"]),
        ("wrong type", "rules/0/verbs", "get", ['rules[0].verbs is "get", where a list belongs']),
        ("secret", "rules/0/verbs", Secret(["list"]), ["rules[0].verbs[0] is a secret; Secrets are read by get alone"]),
    ):  # fmt: skip
        yield _stack(rule, state, sample(t.ROLE, {path: value}), says=finding)
    yield _stack(rule, "unknown", sample(t.ROLE, {"rules/0/resourceNames": UNKNOWN}), doubts=["rules[0].resourceNames"])

    rule = "secrets-read-by-the-listed"
    role, binding = sample(t.ROLE, name="role"), sample(t.ROLE_BINDING, name="binding")
    yield _stack(rule, "compliant", role, binding, subjects=_DATA_OPS)
    said = "subjects[0] is Group data-ops, who is not among the subjects listed"
    yield _stack(rule, "violating", role, binding, says=[said])
    for state, value, shown in (
        ("violating", "developers", "developers"),
        ("null", None, "null"),
        ("wrong type", 5, "5"),
    ):
        other = sample(t.ROLE_BINDING, {"subjects/0/name": value}, name="binding")
        says = [f"subjects[0] is Group {shown}, who is not among the subjects listed"]
        yield _stack(rule, state, role, other, says=says, subjects=_DATA_OPS)
    other = sample(t.ROLE_BINDING, {"subjects/0/name": MISSING}, name="binding")
    yield _stack(
        rule,
        "missing",
        role,
        other,
        says=["subjects[0] is Group null, who is not among the subjects listed"],
        subjects=_DATA_OPS,
    )
    other = sample(t.ROLE_BINDING, {"subjects/0/name": UNKNOWN}, name="binding")
    yield _stack(rule, "unknown", role, other, doubts=["subjects[0].name of binding"], subjects=_DATA_OPS)
    other = sample(t.ROLE_BINDING, {"subjects/0/name": Secret("data-ops")}, name="binding")
    yield _stack(rule, "secret", role, other, subjects=_DATA_OPS)
    for broad in ("cluster-admin", "admin", "edit"):
        other = sample(t.ROLE_BINDING, {"roleRef/name": broad}, name="binding")
        yield _stack(
            rule, "violating", other, says=[f'roleRef.name is "{broad}", which reads every Secret'], subjects=_DATA_OPS
        )


def _credentials() -> Iterator[Scenario]:
    rule = "connection-secret-keys"
    yield _stack(rule, "compliant", sample(t.SECRET))
    yield _stack(rule, "compliant", sample(t.SECRET, {"metadata/name": "of-another", "stringData": Secret({"a": "b"})}))
    for state, path, value, finding in (
        (
            "violating",
            "stringData/REDIS_URL",
            MISSING,
            "platform-redis has no REDIS_URL; services read them by these names",
        ),
        ("violating", "stringData/database", "x", "platform-redis has database too, which is in no contract"),
        ("violating", "type", "kubernetes.io/tls", 'type is "kubernetes.io/tls"; Opaque is asked for'),
        ("missing", "type", MISSING, "type is not set; Opaque is asked for"),
        ("null", "type", None, "type is not set; Opaque is asked for"),
        ("wrong type", "stringData/port", 6379, "stringData.port is not a text"),
        ("secret", "stringData", Secret("x"), "stringData is a secret, where a mapping belongs"),
    ):
        yield _stack(rule, state, sample(t.SECRET, {path: value}), says=[finding])
    yield _stack(rule, "unknown", sample(t.SECRET, {"stringData": Secret(UNKNOWN)}), doubts=["stringData"])

    rule = "credentials-marked-secret"
    for type_, path in ((t.CLUSTER, "masterPassword"), (t.REPLICATION_GROUP, "authToken"), (t.SECRET, "stringData")):
        said = f"{path} is not marked secret; the state would hold it in clear"
        yield _stack(rule, "compliant", sample(type_))
        yield _stack(rule, "secret", sample(type_, {path: Secret(UNKNOWN)}))
        yield _stack(
            rule, "violating", sample(type_, {path: {"a": "b"} if type_ == t.SECRET else "in clear"}), says=[said]
        )
        yield _stack(rule, "unknown", sample(type_, {path: UNKNOWN}), says=[said])
        yield _stack(rule, "wrong type", sample(type_, {path: 5}), says=[said])
        for state, value in (("missing", MISSING), ("null", None)):
            yield _stack(rule, state, sample(type_, {path: value}))
    half = sample(t.SECRET, {"stringData": {"host": Secret("h"), "password": "p"}})
    yield _stack(rule, "violating", half, says=["stringData is not marked secret; the state would hold it in clear"])
    yield _stack(rule, "secret", sample(t.SECRET, {"stringData": {"host": Secret("h"), "password": Secret("p")}}))

    rule = "no-credential-in-env"
    yield _stack(rule, "compliant", sample(t.JOB))
    clear = "holds its value in clear; valueFrom.secretKeyRef is asked for"
    for state, name, value, findings in (
        ("violating", "DB_PASSWORD", "hunter2", [f"{_C}.env[0] DB_PASSWORD {clear}"]),
        ("violating", "apiKey", "hunter2", [f"{_C}.env[0] apiKey {clear}"]),
        ("violating", "TARGET", "postgresql://u:hunter2@h/d", [f"{_C}.env[0] TARGET holds a URL with a password; valueFrom.secretKeyRef is asked for"]),
        ("secret", "HOME", Secret("hunter2"), [f"{_C}.env[0] HOME {clear}"]),
        ("wrong type", "TOKEN", 5, [f"{_C}.env[0] TOKEN {clear}"]),
        ("missing", "TOKEN", MISSING, []),
        ("null", "TOKEN", None, []),
        ("compliant", "PASSWORD_FILE", "/run/secrets/password", []),
        ("compliant", "TARGET", "https://example.org/a:b@c", []),
    ):  # fmt: skip
        yield _stack(rule, state, sample(t.JOB, {f"{_ENV}/0/name": name, f"{_ENV}/0/value": value}), says=findings)
    yield _stack(rule, "unknown", sample(t.JOB, {f"{_ENV}/0/value": UNKNOWN}), doubts=[f"{_C}.env[0].value of HOME"])
    command = sample(t.JOB, {f"{_C0}/command/1": "--url=redis://:hunter2@h"})
    yield _stack(
        rule, "violating", command, says=[f"{_C}.command[1] holds a credential, which every process list shows"]
    )

    rule = "no-credential-in-outputs"
    password = sample(t.RANDOM_PASSWORD, name="password")
    yield _stack(rule, "compliant", sample(t.STACK), password)
    for state, path, value, output in (
        ("violating", "database_password", "hunter2", "database_password"),
        ("violating", "endpoint", "redis://:hunter2@h", "endpoint"),
        ("violating", "note", "correcthorsebatterystaple", "note"),
        ("violating", "helm_values/global/database/password", "hunter2", "helm_values.global.database.password"),
        ("wrong type", "list", ["a", "redis://:hunter2@h"], "list[1]"),
    ):
        yield _stack(
            rule, state, sample(t.STACK, {path: value}), password, says=[f"output {output} holds a credential in clear"]
        )
    yield _stack(rule, "secret", sample(t.STACK, {"database_password": Secret(UNKNOWN)}), password)
    yield _stack(
        rule, "unknown", sample(t.STACK, {"database_password": UNKNOWN}), password, doubts=["database_password of it"]
    )
    for state, value in (("missing", MISSING), ("null", None)):
        yield _stack(rule, state, sample(t.STACK, {"database_password": value}), password)


def _pods() -> Iterator[Scenario]:
    added = sample(t.JOB, {f"{_C0}/securityContext/capabilities/add": ["SYS_ADMIN"]})
    said = f'{_C}.securityContext.capabilities.add[0] is "SYS_ADMIN"; none may be added'
    yield _stack("container-without-capabilities", "violating", added, says=[said])
    own = sample(t.JOB, {f"{_C0}/securityContext/runAsUser": 0})
    yield _stack(
        "container-not-root",
        "violating",
        own,
        says=[f"{_C}.securityContext.runAsUser is 0; at least 10000 is asked for"],
    )
    volume = sample(t.JOB, {f"{_P}/volumes/0": {"name": "s", "hostPath": {"path": "/var/run/docker.sock"}}})
    said = "spec.template.spec.volumes[0] mounts a hostPath; no part of the host may be mounted"
    yield _stack("pod-apart-from-the-host", "violating", volume, says=[said])
    port = sample(t.JOB, {f"{_C0}/ports": [{"containerPort": 80, "hostPort": 80}]})
    said = f"{_C}.ports[0].hostPort is set; no port of the host may be taken"
    yield _stack("pod-apart-from-the-host", "violating", port, says=[said])
    empty = sample(t.JOB, {f"{_P}/containers": []})
    for rule in ("image-pinned", "image-by-digest", "container-read-only", "container-resources", "container-seccomp"):
        yield _stack(rule, "missing", empty, says=["spec.template.spec.containers is not set; one is asked for"])
    first = sample(t.JOB, {f"{_P}/initContainers": [{**CONTAINER, "image": "u:latest"}]})
    said = f'spec.template.spec.initContainers[0].image is "u:latest"; {_TAG}'
    yield _stack("image-pinned", "violating", first, says=[said])


SCENARIOS: tuple[Scenario, ...] = (
    *(scenario for each in PROPERTIES for scenario in each.scenarios()),
    *_others(),
)
