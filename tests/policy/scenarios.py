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
from tests.policy.samples import CONTAINER, MISSING, bare, sample

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
_NO_DEFAULT_GROUP = "a group is asked for"
_HALF, _HOUR = "of 30 minutes or more is asked for", "of 60 minutes or more is asked for"
_WINDOW, _WEEKLY = "a window hh:mm-hh:mm", "a window ddd:hh:mm-ddd:hh:mm"
_PI = "at least 465 days are asked for, as 7, a multiple of 31 up to 713, or 731"
_TAG = "a digest, or a tag that does not move, is asked for"

PROPERTIES: tuple[Property, ...] = (
    _whole("aurora-backup-retention", t.CLUSTER, "backupRetentionPeriod", "14 to 35 days are asked for", [3, 0, 36, 14.5], 35),
    _flag("aurora-final-snapshot-taken", t.CLUSTER, "skipFinalSnapshot", False),
    _text("aurora-final-snapshot-taken", t.CLUSTER, "finalSnapshotIdentifier", "a name is asked for", ["", " "], "last"),
    _flag("aurora-automated-backups-kept", t.CLUSTER, "deleteAutomatedBackups", False),
    _flag("aurora-snapshot-tags-copied", t.CLUSTER, "copyTagsToSnapshot", True),
    _text("aurora-windows-apart", t.CLUSTER, "preferredBackupWindow", f"{_WINDOW} {_HALF}", ["3-4", "sun:03:00-sun:04:00", "03:00-03:00", "03:00-03:29"], "02:00-03:00"),
    _text("aurora-windows-apart", t.CLUSTER, "preferredMaintenanceWindow", f"{_WEEKLY} {_HALF}", ["04:00-05:00", "sun:04:00-sun:04:00"], "Sun:05:00-Sun:06:00"),
    _flag("aurora-deletion-protection", t.CLUSTER, "deletionProtection", True),
    _whole("redis-snapshot-retention", t.REPLICATION_GROUP, "snapshotRetentionLimit", "7 to 35 days are asked for", [6, 0, 36, 7.5], 7),
    _text("redis-windows-apart", t.REPLICATION_GROUP, "snapshotWindow", f"{_WINDOW} {_HOUR}", ["3-4", "03:00-03:30"], "02:00-03:00"),
    _text("redis-windows-apart", t.REPLICATION_GROUP, "maintenanceWindow", f"{_WEEKLY} {_HOUR}", ["04:00-05:00", "sun:05:00-sun:05:30"], "sat:05:00-sat:06:00"),
    _text("redis-final-snapshot-taken", t.REPLICATION_GROUP, "finalSnapshotIdentifier", "a name is asked for", [""], "last"),
    Property(
        "backup-vault-kept", t.BACKUP_VAULT, "forceDestroy",
        bad=[(True, "forceDestroy is true; it must be false")], absent=(),
        wrong=("false", 'forceDestroy is "false"; it must be false'), good=False,
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
    _flag("proxy-tls-forced", t.PROXY, "requireTls", True),
    Property(
        "redis-users-authenticated", t.REDIS_USER, "noPasswordRequired",
        bad=[(True, "noPasswordRequired is true; it must be false")], absent=(),
        wrong=("false", 'noPasswordRequired is "false"; it must be false'), good=False,
    ),
    Property(
        "redis-users-authenticated", t.REDIS_USER, "authenticationMode/type",
        bad=[("no-password-required", 'authenticationMode.type is "no-password-required"; password or iam is asked for')],
        absent=("neither passwords nor authenticationMode.type is set; one of them is asked for",),
        wrong=(5, "authenticationMode.type is 5; password or iam is asked for"), good="iam",
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
             ("128.0.0.0/1", 'cidrIpv4 is "128.0.0.0/1"; only named networks may connect'),
             ("3.0.0.0/8", 'cidrIpv4 is "3.0.0.0/8"; only named networks may connect'),
             ("10.0.0.0/7", 'cidrIpv4 is "10.0.0.0/7"; only named networks may connect')],
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
        "firewall-not-world-open", t.DEFAULT_SECURITY_GROUP, "ingress",
        bad=[([{"cidrBlocks": ["0.0.0.0/0"]}], 'ingress[0].cidrBlocks[0] is "0.0.0.0/0"; only named networks may connect')],
        absent=(), wrong=("all", 'ingress is "all", where a list belongs'), good=[{"self": True}],
    ),
    Property(
        "firewall-not-world-open", t.PREFIX_LIST, "entries",
        bad=[([{"cidr": "10.0.0.0/8"}, {"cidr": "0.0.0.0/1"}],
              'entries[1].cidr is "0.0.0.0/1"; only named networks may connect')],
        absent=(), wrong=("all", 'entries is "all", where a list belongs'), good=[{"cidr": "203.0.113.0/24"}],
    ),
    Property(
        "firewall-not-world-open", t.PREFIX_LIST_ENTRY, "cidr",
        bad=[("::/1", 'cidr is "::/1"; only named networks may connect')],
        absent=("cidr is null; only named networks may connect",), wrong=(8, "cidr is 8; only named networks may connect"), good="fd00::/8",
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
        ["user-service", "user-service:latest", "registry:5000/user-service", "user-service@sha256:abc", "u:main",
         "u:latest-alpine", "u:latest-alpine3.20", "u:alpine", "u:stable-1", "u:1.0.0@sha256:abc"],
        "registry:5000/user-service:main-3f2a1b9",
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
    yield _stack("stores-covered", "compliant", sample(t.CLUSTER))
    for type_, why in (
        (
            "aws:rds/instance:Instance",
            "it holds data, and no rule here knows its backups, its encryption and who reaches it",
        ),
        (
            "aws:elasticache/serverlessCache:ServerlessCache",
            "it holds data, and no rule here knows its backups, its encryption and who reaches it",
        ),
        ("aws:rds/exportTask:ExportTask", "it carries data away, and no rule here knows where to"),
        ("aws:cloudcontrol/resource:Resource", "it makes resources of any kind, which no rule here gets to see"),
    ):
        yield _stack("stores-covered", "violating", bare(type_), says=[f"a {type_} cannot pass: {why}"])

    yield from _final_snapshots()
    yield from _backup_plan()
    yield from _insights()
    yield from _exposure()
    yield from _access()
    yield from _credentials()
    yield from _pods()


def _final_snapshots() -> Iterator[Scenario]:
    rule = "final-snapshot-named-apart"
    suffix = sample(t.RANDOM_ID, name="suffix")
    name, source = "finalSnapshotIdentifier", {"finalSnapshotIdentifier": frozenset({suffix.urn})}
    for type_, looks_random in (
        (t.CLUSTER, "prod-postgres-final-20240101"),
        (t.REPLICATION_GROUP, "r-final-0a1b2c3d4e"),
    ):
        for state, value in (
            ("compliant", "anything"),
            ("unknown", UNKNOWN),
            ("secret", Secret("x")),
            ("wrong type", 5),
        ):
            store = sample(type_, {name: value})
            yield _stack(rule, state, replace(store, uses=source), suffix)
            # However random it looks, and even where nobody knows it yet: it comes from nowhere that varies.
            shown = {"compliant": '"anything"', "unknown": "not known yet", "secret": "a secret", "wrong type": "5"}[
                state
            ]
            says = [f"{name} is {shown}, which comes from no random resource of this stack"]
            yield _stack(rule, "violating" if state == "compliant" else state, store, suffix, says=says)
        constant = sample(type_, {name: looks_random})
        says = [f'{name} is "{looks_random}", which comes from no random resource of this stack']
        yield _stack(rule, "violating", constant, suffix, says=says)
        # Of a stack that does not make what it names.
        yield _stack(rule, "violating", replace(constant, uses=source), says=says)
        for state, value in (("missing", MISSING), ("null", None)):
            says = [f"{name} is not set; a name from a random resource is asked for"]
            yield _stack(rule, state, sample(type_, {name: value}), suffix, says=says)
    says = [f"{name} comes from suffix, which has no keepers: a store that replaces this one would ask for it"]
    cluster = replace(sample(t.CLUSTER, name="cluster"), uses=source)
    for keepers in (MISSING, None, {}):
        yield _stack(rule, "violating", cluster, sample(t.RANDOM_ID, {"keepers": keepers}, name="suffix"), says=says)
    yield _stack(rule, "compliant", cluster, sample(t.RANDOM_ID, {"keepers": UNKNOWN}, name="suffix"))
    says = [f'{name} is "prod-postgres-final-0a1b2c3d", which {other} asks for too' for other in ("twin", "cluster")]
    yield _stack(rule, "violating", cluster, replace(sample(t.CLUSTER, name="twin"), uses=source), suffix, says=says)


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

    for said in (["*"], [cluster.properties["arn"]]):
        but = sample(t.BACKUP_SELECTION, {"resources": ["*"], "notResources": said})
        yield _stack(rule, "violating", cluster, plan, but, says=[unnamed])
    but = sample(t.BACKUP_SELECTION, {"resources": ["*"], "notResources": UNKNOWN})
    yield _stack(rule, "unknown", cluster, plan, but, doubts=["notResources of it of cluster"])
    but = sample(t.BACKUP_SELECTION, {"resources": ["*"], "notResources": ["arn:of-another"]})
    yield _stack(rule, "compliant", cluster, plan, but)

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
        yield _stack(rule, "compliant", sample(t.INSTANCE_PARAMETERS))
        doubtful = sample(t.CLUSTER_PARAMETERS, {"parameters": [{"name": UNKNOWN, "value": "1"}]})
        first = names[0].split()[0]
        yield _stack(rule, "unknown", doubtful, doubts=[f"parameter {name.split()[0]}" for name in names])
        # One more of the same name, in another spelling; and an instance's, which wins over the cluster's.
        bad = {"name": f" {first.upper()}", "value": "0x"}
        wanted = names[0].split("; ")[1]
        says = [f"parameter {first} is set 2 times; once is asked for", f'parameter {first} is "0x"; {wanted}']
        twice = sample(t.CLUSTER_PARAMETERS)
        twice.properties["parameters"].append(bad)
        yield _stack(rule, "violating", twice, says=says)
        over = sample(t.INSTANCE_PARAMETERS, {"parameters": [bad]})
        yield _stack(rule, "violating", over, says=says[1:])

    yield from _parameter_groups()

    rule = "enhanced-monitoring-on"
    said = "monitoringRoleArn is not set; the role that writes the samples is asked for"
    yield _stack(rule, "missing", sample(t.CLUSTER, {"monitoringRoleArn": MISSING}), says=[said])


def _parameter_groups() -> Iterator[Scenario]:
    rule = "aurora-parameters-seen"
    group, own = sample(t.CLUSTER_PARAMETERS, name="group"), sample(t.INSTANCE_PARAMETERS, name="own")
    unseen = "which is no parameter group of this stack: nobody can see what it sets"
    name, instances, member = "dbClusterParameterGroupName", "dbInstanceParameterGroupName", "dbParameterGroupName"
    yield _stack(rule, "compliant", _cluster(), group, _member(1), own)
    yield _stack(rule, "compliant", _cluster(), group, _member(1, **{member: own.properties["name"]}), own)
    yield _stack(rule, "compliant", _cluster(), group, _member(1, **{member: "default.aurora-postgresql16"}))
    yield _stack(rule, "violating", _cluster(), says=[f'{name} is "prod-postgres-aurora-postgresql16", {unseen}'])
    for user, path in ((_cluster(**{instances: "other"}), instances), (_member(1, **{member: "other"}), member)):
        yield _stack(rule, "violating", user, group, own, says=[f'{path} is "other", {unseen}'])
    # That there must be one at all is another rule's.
    for state, value in (("missing", MISSING), ("null", None)):
        yield _stack(rule, state, _cluster(**{name: value}), group)
    yield _stack(rule, "wrong type", _cluster(**{name: 5}), group, says=[f"{name} is 5, {unseen}"])
    yield _stack(rule, "secret", _cluster(**{name: Secret("other")}), group, says=[f"{name} is a secret, {unseen}"])
    later = _cluster(**{name: UNKNOWN})
    by_source = replace(later, uses={name: frozenset({group.urn})})
    yield _stack(rule, "unknown", later, group, doubts=[f"{name} of cluster"])
    of_another = replace(later, uses={name: frozenset({"urn:of-another"})})
    yield _stack(rule, "unknown", of_another, group, says=[f"{name} is not known yet, {unseen}"])
    yield _stack(rule, "compliant", by_source, group)
    named_later = sample(t.CLUSTER_PARAMETERS, {"name": MISSING}, name="group")
    yield _stack(rule, "compliant", by_source, named_later)
    for family, wanted in (("aurora-mysql8.0", "aurora-postgresql16"), ("aurora-postgresql15", "aurora-postgresql16")):
        other = sample(t.CLUSTER_PARAMETERS, {"family": family}, name="group")
        says = [f"{name} is a group of family {family}; one of {wanted} is asked for"]
        yield _stack(rule, "violating", _cluster(), other, says=says)
    unborn = sample(t.CLUSTER_PARAMETERS, {"family": UNKNOWN}, name="group")
    yield _stack(rule, "unknown", _cluster(), unborn, doubts=["family of group of cluster"])
    upgraded = replace(_cluster(engineVersion=UNKNOWN), uses={"engineVersion": frozenset({"urn:of-another"})})
    yield _stack(rule, "unknown", upgraded, group, doubts=["engineVersion of cluster"])
    # What nobody chose is unknown before the update, and no doubt: the provider fills it in.
    yield _stack(
        rule,
        "compliant",
        _cluster(),
        group,
        _member(1, engineVersion=UNKNOWN, dbParameterGroupName=own.properties["name"]),
        own,
    )


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
        doubts=["clusterIdentifier of instance-2 of cluster"],
    )
    for zone in ("eu-west-1a", 5, Secret("eu-west-1a")):
        shown = "a secret" if isinstance(zone, Secret) else zone
        pinned = [_member(number, availabilityZone=zone) for number in (1, 2)]
        says = [f"its 2 instances are all in {shown}; two zones are asked for"]
        yield _stack(rule, "violating", _cluster(), *pinned, says=says)
    yield _stack(rule, "compliant", _cluster(), pinned[0], _member(2, availabilityZone="eu-west-1b"))
    yield _stack(rule, "compliant", _cluster(), pinned[0], _member(2))
    later = [_member(number, availabilityZone=UNKNOWN) for number in (1, 2)]
    yield _stack(rule, "compliant", _cluster(), *later)
    later = [replace(each, uses={"availabilityZone": frozenset({"urn:of-a-subnet"})}) for each in later]
    yield _stack(rule, "unknown", _cluster(), *later, doubts=["availabilityZone of instance-1, instance-2 of cluster"])
    yield _stack(rule, "compliant", _cluster(), _member(1), floor=1)

    rule = "redis-encrypted-in-transit"
    mode = sample(t.REPLICATION_GROUP, {"transitEncryptionMode": "preferred"})
    yield _stack(rule, "violating", mode, says=['transitEncryptionMode is "preferred"; required is asked for'])
    mode = sample(t.REPLICATION_GROUP, {"transitEncryptionMode": UNKNOWN})
    yield _stack(rule, "unknown", mode, doubts=["transitEncryptionMode"])
    users = sample(t.REPLICATION_GROUP, {"authToken": MISSING, "userGroupIds": ["users"]})
    yield _stack("redis-authenticated", "compliant", users)
    for value in ("", 5):
        users = sample(t.REPLICATION_GROUP, {"authToken": MISSING, "userGroupIds": [value]})
        said = f"userGroupIds[0] is {json.dumps(value)}; the id of a user group is asked for"
        yield _stack("redis-authenticated", "violating", users, says=[said])
    gone = sample(t.REPLICATION_GROUP, {"authTokenUpdateStrategy": "DELETE"})
    said = 'authTokenUpdateStrategy is "DELETE", which takes the token away; userGroupIds is asked for with it'
    yield _stack("redis-authenticated", "violating", gone, says=[said])
    neither = "neither passwords nor authenticationMode.type is set; one of them is asked for"
    for access in ("on ~* +@all", "off on ~* +@all"):
        open_ = sample(t.REDIS_USER, {"accessString": access, "authenticationMode": MISSING, "passwords": []})
        yield _stack("redis-users-authenticated", "violating", open_, says=[neither])
    for own in ({}, {"passwords": []}):
        open_ = sample(t.REDIS_USER, {"authenticationMode": {"type": "password", **own}})
        said = "authenticationMode.passwords is not set; at least one is asked for"
        yield _stack("redis-users-authenticated", "violating", open_, says=[said])
    nobody = sample(t.REDIS_USER, {"accessString": "off ~keys* -@all", "authenticationMode": MISSING})
    yield _stack("redis-users-authenticated", "compliant", nobody)
    zones = sample(t.REPLICATION_GROUP, {"preferredCacheClusterAzs": ["eu-west-1a", "eu-west-1a"]})
    said = "preferredCacheClusterAzs names eu-west-1a alone; two zones are asked for"
    yield _stack("redis-fails-over", "violating", zones, says=[said])
    zones = sample(t.REPLICATION_GROUP, {"preferredCacheClusterAzs": ["eu-west-1a", "eu-west-1b"]})
    yield _stack("redis-fails-over", "compliant", zones)
    shards = {"numCacheClusters": MISSING, "replicasPerNodeGroup": 0}
    said = "replicasPerNodeGroup is 0; at least 1 replica per shard are asked for"
    yield _stack("redis-fails-over", "violating", sample(t.REPLICATION_GROUP, shards), says=[said])

    yield from _prefix_lists()

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


def _prefix_lists() -> Iterator[Scenario]:
    rule = "firewall-sources-seen"
    offices, door = sample(t.PREFIX_LIST, name="offices"), {"cidrIpv4": MISSING}
    unseen = "no prefix list of this stack: nobody can see whom it lets in"
    path = "prefixListId"
    yield _stack(rule, "compliant", sample(t.INGRESS_RULE, {**door, path: "pl-1"}), offices)
    for state, value, shown in (
        ("violating", "pl-2", '"pl-2"'),
        ("wrong type", 5, "5"),
        ("secret", Secret("pl-2"), "a secret"),
    ):
        said = f"{path} is {shown}, {unseen}"
        yield _stack(rule, state, sample(t.INGRESS_RULE, {**door, path: value}), offices, says=[said])
    for state, value in (("missing", MISSING), ("null", None)):
        yield _stack(rule, state, sample(t.INGRESS_RULE, {path: value}), offices)
    later = sample(t.INGRESS_RULE, {**door, path: UNKNOWN})
    yield _stack(rule, "unknown", later, offices, says=[f"{path} is not known yet, {unseen}"])
    unborn = sample(t.PREFIX_LIST, {"id": MISSING}, name="offices")
    yield _stack(rule, "compliant", replace(later, uses={path: frozenset({unborn.urn})}), unborn)
    named = replace(sample(t.INGRESS_RULE, {**door, path: "pl-9"}), uses={path: frozenset({unborn.urn})})
    yield _stack(rule, "compliant", named, unborn)
    for type_ in (t.SECURITY_GROUP, t.DEFAULT_SECURITY_GROUP):
        inline = sample(type_, {"ingress": [{"prefixListIds": ["pl-2"]}], "egress": [{"prefixListIds": ["pl-3"]}]})
        yield _stack(rule, "violating", inline, offices, says=[f'ingress[0].prefixListIds[0] is "pl-2", {unseen}'])
    yield _stack(rule, "compliant", sample(t.SECURITY_GROUP, {"ingress": UNKNOWN}))
    later = replace(sample(t.SECURITY_GROUP, {"ingress": UNKNOWN}), uses={"ingress": frozenset({offices.urn})})
    yield _stack(rule, "unknown", later, doubts=["ingress of it"])
    way_out = sample(t.EGRESS_RULE, {**door, path: "pl-2"})
    yield _stack(rule, "compliant", way_out, offices)


def _access() -> Iterator[Scenario]:
    rule = "secrets-read-by-name"
    yield _stack(rule, "compliant", sample(t.ROLE))
    for state, path, value, finding in (
        ("violating", "rules/0/verbs", ["get", "list", "watch"],
         ['rules[0].verbs[1] is "list"; Secrets are read by get alone', 'rules[0].verbs[2] is "watch"; Secrets are read by get alone']),
        ("violating", "rules/0/resourceNames", [], ["rules[0].resourceNames is not set; the Secrets are named"]),
        ("missing", "rules/0/resourceNames", MISSING, ["rules[0].resourceNames is not set; the Secrets are named"]),
        ("null", "rules/0/resourceNames", None, ["rules[0].resourceNames is not set; the Secrets are named"]),
        ("wrong type", "rules/0/verbs", "get", ['rules[0].verbs is "get", where a list belongs']),
        ("secret", "rules/0/verbs", Secret(["list"]), ["rules[0].verbs[0] is a secret; Secrets are read by get alone"]),
    ):  # fmt: skip
        yield _stack(rule, state, sample(t.ROLE, {path: value}), says=finding)
    yield _stack(rule, "unknown", sample(t.ROLE, {"rules/0/resourceNames": UNKNOWN}), doubts=["rules[0].resourceNames"])

    yield from _what_roles_give()
    yield from _bindings()


def _what_roles_give() -> Iterator[Scenario]:
    rule = "role-without-wildcard"
    yield _stack(rule, "compliant", sample(t.ROLE))
    for state, number, part, value, finding in (
        ("violating", 0, "verbs", ["*"], "rules[0].verbs[0] is a wildcard; each is named"),
        ("violating", 1, "resources", ["*"], "rules[1].resources[0] is a wildcard; each is named"),
        ("violating", 1, "resources", ["deployments/*"], "rules[1].resources[0] is a wildcard; each is named"),
        ("violating", 1, "apiGroups", ["*"], "rules[1].apiGroups[0] is a wildcard; each is named"),
        ("secret", 1, "verbs", Secret(["*"]), "rules[1].verbs[0] is a wildcard; each is named"),
        ("wrong type", 1, "verbs", "*", 'rules[1].verbs is "*", where a list belongs'),
    ):
        yield _stack(rule, state, sample(t.ROLE, {f"rules/{number}/{part}": value}), says=[finding])
    for state, value in (("missing", MISSING), ("null", None)):
        yield _stack(rule, state, sample(t.ROLE, {"rules": value}))
    yield _stack(rule, "unknown", sample(t.ROLE, {"rules/1/verbs": UNKNOWN}), doubts=["rules[1].verbs"])
    gathered = sample(t.ROLE, {"aggregationRule": {"clusterRoleSelectors": []}})
    said = "aggregationRule is set; what it gathers from other roles cannot be seen"
    yield _stack(rule, "violating", gathered, says=[said])

    label = "rbac.authorization.k8s.io/aggregate-to-view"
    part = replace(sample(t.ROLE, {"metadata/labels": {label: "true"}}), type=t.CLUSTER_ROLE)
    said = f"metadata.labels.{label} gives them to whoever holds the role view"
    yield _stack("secrets-read-by-name", "violating", part, says=[said])

    rule = "role-without-way-up"
    yield _stack(rule, "compliant", sample(t.ROLE))
    rbac = "rbac.authorization.k8s.io"
    for group, what, how, why in (
        (rbac, "roles", "escalate", "it gives itself what it has not"),
        (rbac, "clusterroles", "bind", "it gives itself what it has not"),
        (rbac, "rolebindings", "create", "it gives itself what it has not"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "patch",
         "an admission webhook sees and changes every Secret"),
        ("certificates.k8s.io", "certificatesigningrequests/approval", "update", "a certificate it approves is anybody's"),
        ("", "users", "impersonate", "it acts as others"),
        ("", "nodes/proxy", "get", "through it every pod of a node is reached"),
        ("", "pods/exec", "create", "it is where every Secret is mounted"),
        ("", "services/status", "patch", "it draws another Service's traffic to itself"),
        ("", "serviceaccounts/token", "create", "it makes tokens of others"),
        ("", "pods", "create", "a pod that it starts mounts any Secret"),
        ("", "pods/ephemeralcontainers", "patch", "it is where every Secret is mounted"),
        ("batch", "cronjobs", "create", "a pod that it starts mounts any Secret"),
        ("apps", "statefulsets", "create", "a pod that it starts mounts any Secret"),
    ):  # fmt: skip
        given = {
            "rules/1": {"apiGroups": ["events.k8s.io", group], "resources": ["events", what], "verbs": ["list", how]}
        }
        yield _stack(rule, "violating", sample(t.ROLE, given), says=[f"rules[1] gives {how} of {what}: {why}"])
    given = {"apiGroups": [rbac], "resources": ["roles"], "verbs": ["get", "list"]}
    yield _stack(rule, "compliant", sample(t.ROLE, {"rules/1": given}))
    hidden = {**given, "verbs": Secret(["bind"])}
    yield _stack(
        rule,
        "secret",
        sample(t.ROLE, {"rules/1": hidden}),
        says=["rules[1] gives bind of roles: it gives itself what it has not"],
    )
    yield _stack(
        rule,
        "wrong type",
        sample(t.ROLE, {"rules/1": {**given, "verbs": "bind"}}),
        says=['rules[1].verbs is "bind", where a list belongs'],
    )
    yield _stack(rule, "unknown", sample(t.ROLE, {"rules/1": {**given, "verbs": UNKNOWN}}), doubts=["rules[1].verbs"])
    for state, value in (("missing", MISSING), ("null", None)):
        yield _stack(rule, state, sample(t.ROLE, {"rules": value}))


def _bindings() -> Iterator[Scenario]:
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
        says = [f'roleRef.name is "{broad}", which reads every Secret']
        yield _stack(rule, "violating", _bound("ClusterRole", broad), says=says, subjects=_DATA_OPS)

    # A role from elsewhere, of which nobody can say what it reads; and those that the environment knows.
    unseen = "which this stack does not make: nobody can see what it reads"
    for kind, name in (("Role", "reader-of-another"), ("ClusterRole", "reader"), ("Role", "view"), ("Role", "admin")):
        says = [f"roleRef is {kind} {name}, {unseen}"]
        yield _stack(rule, "violating", _bound(kind, name), role, says=says, subjects=_DATA_OPS)
    yield _stack(rule, "compliant", _bound("ClusterRole", "view"), role)
    known = [{"kind": "Role", "name": "metrics"}]
    yield _stack(rule, "compliant", _bound("Role", "metrics"), role, roles=known)
    yield _stack(rule, "violating", _bound("Role", None), says=[f"roleRef is Role null, {unseen}"], roles=known)
    yield _stack(
        rule, "wrong type", _bound("Role", ["metrics"]), says=[f'roleRef is Role ["metrics"], {unseen}'], roles=known
    )
    yield _stack(rule, "unknown", _bound("Role", UNKNOWN), role, doubts=["roleRef.name of binding"])
    by_source = replace(_bound("Role", UNKNOWN), uses={"roleRef": frozenset({role.urn})})
    yield _stack(rule, "violating", by_source, role, says=[said])

    # A role is its kind, its namespace and its name: of the same name elsewhere it is another.
    elsewhere = sample(t.ROLE, {"metadata/namespace": "other"}, name="elsewhere")
    yield _stack(rule, "violating", binding, elsewhere, says=[f"roleRef is Role reader, {unseen}"], subjects=_DATA_OPS)
    harmless = sample(t.ROLE, {"rules/0": MISSING}, name="role")
    yield _stack(rule, "compliant", binding, harmless, elsewhere)
    somewhere = sample(t.ROLE, {"metadata/namespace": UNKNOWN}, name="somewhere")
    yield _stack(rule, "violating", binding, harmless, somewhere, says=[said])
    everywhere = replace(sample(t.ROLE, {"metadata/namespace": MISSING}, name="everywhere"), type=t.CLUSTER_ROLE)
    yield _stack(rule, "compliant", _bound("ClusterRole", "reader"), everywhere, subjects=_DATA_OPS)
    of_all = sample(t.CLUSTER_ROLE_BINDING, {"roleRef/kind": "ClusterRole"}, name="binding")
    says = ["it gives the Secrets of every namespace; a RoleBinding gives one's"]
    yield _stack(rule, "violating", of_all, everywhere, says=says, subjects=_DATA_OPS)

    # So is a ServiceAccount.
    account = [{"kind": "ServiceAccount", "name": "example-service"}]
    there = [{**account[0], "namespace": "other"}]
    for listed, namespace, holds in (
        (account, "meetinity-prod", True), (account, "other", False), (there, "other", True), (there, "meetinity-prod", False),
        (account, MISSING, True), (there, MISSING, False),
    ):  # fmt: skip
        subject = {**account[0], **({} if namespace is MISSING else {"namespace": namespace})}
        bound = sample(t.ROLE_BINDING, {"subjects": [subject]}, name="binding")
        where = "null" if namespace is MISSING else namespace
        says = [
            f"subjects[0] is ServiceAccount example-service of namespace {where}, who is not among the subjects listed"
        ]
        yield _stack(
            rule, "compliant" if holds else "violating", bound, role, says=[] if holds else says, subjects=listed
        )

    # What one binding leaves open hides nothing of another.
    wide = replace(_bound("ClusterRole", "admin"), name="wide", urn="urn:wide")
    says = ['roleRef.name is "admin", which reads every Secret']
    yield _stack(rule, "unknown", _bound("Role", UNKNOWN), wide, says=says, doubts=["roleRef.name of binding"])


def _bound(kind: str, name: Any) -> Resource:
    return sample(t.ROLE_BINDING, {"roleRef/kind": kind, "roleRef/name": name}, name="binding")


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

    for value in (["hunter2hunter2"], "hunter2hunter2", UNKNOWN):
        user = sample(t.REDIS_USER, {"authenticationMode/passwords": value})
        said = "authenticationMode.passwords is not marked secret; the state would hold it in clear"
        yield _stack("credentials-marked-secret", "violating", user, says=[said])

    yield from _environments()
    yield from _commands()
    yield from _outputs()


# Names that credentials go by, and names of what is only about one.
TELLING = (
    "DB_PASSWORD", "DB_PASS", "PGPASSWORD", "PGPASS", "REDIS_PWD", "dbpwd", "MYSQL_PW", "ENCRYPTION_KEY", "apiKey", "API_KEY", "apikey",
    "AWS_SECRET_ACCESS_KEY", "SSH_KEY", "JWT", "JWT_SECRET", "authToken", "GITHUB_TOKENS", "BASIC_AUTH", "CREDS", "DB_CREDENTIALS",
    "SENTRY_DSN", "PASSWORD_PROD", "client-secret", "spring.datasource.password",
)  # fmt: skip
HARMLESS = (
    "PASSWORD_FILE", "SECRET_NAME", "secretName", "TOKEN_TTL", "TOKEN_TTL_SECONDS", "AWS_ACCESS_KEY_ID", "PUBLIC_KEY", "KMS_KEY",
    "CACHE_KEY", "PARTITION_KEY", "KEY", "MAX_TOKENS", "PASSWORD_MIN_LENGTH", "AUTH_METHOD", "BYPASS", "COMPASS", "TOKEN_ISSUER",
    "AUTH_SERVICE_HOST", "AUTH_SERVICE_PORT", "AUTH_DOMAIN", "JWT_ALG", "PASSWORD_HASHER", "TOKENS_PER_MINUTE",
    "TOKENIZER_MODEL", "SECRETS_BACKEND", "VAULT_SECRET_MOUNT", "SESSION_TOKEN_COOKIE", "DATABASE_URL", "auth.yaml",
    "KEY_PREFIX", "PGPASSFILE", "AUTH_URL", "PASSTHROUGH", "MONKEY", "password_policy", "SECRET_ARN", "DATABASE_NAME", "LOG_LEVEL",
)  # fmt: skip


def _environments() -> Iterator[Scenario]:
    rule = "no-credential-in-env"
    yield _stack(rule, "compliant", sample(t.JOB))
    clear = "holds its value in clear; valueFrom.secretKeyRef is asked for"
    text = "holds a credential in its text; valueFrom.secretKeyRef is asked for"
    for state, name, value, findings in (
        *(("violating", name, "hunter2", [f"{_C}.env[0] {name} {clear}"]) for name in TELLING),
        *(("compliant", name, "hunter2", []) for name in HARMLESS),
        ("violating", "TARGET", "postgresql://u:hunter2@h/d", [f"{_C}.env[0] TARGET {text}"]),
        ("violating", "TARGET", "host=h user=u password=hunter2", [f"{_C}.env[0] TARGET {text}"]),
        ("violating", "TARGET", "-----BEGIN RSA PRIVATE KEY-----\nMII", [f"{_C}.env[0] TARGET {text}"]),
        ("secret", "HOME", Secret("hunter2"), [f"{_C}.env[0] HOME {clear}"]),
        ("wrong type", "TOKEN", 5, [f"{_C}.env[0] TOKEN {clear}"]),
        ("unknown", "DB_PASS", UNKNOWN, [f"{_C}.env[0] DB_PASS {clear}"]),
        ("missing", "TOKEN", MISSING, []),
        ("null", "TOKEN", None, []),
        ("compliant", "TOKEN", "", []),
        ("compliant", "USE_AUTH", "true", []),
        ("compliant", "BASIC_AUTH", "off", []),
        ("compliant", "SMTP_AUTH", "plain", []),
        ("compliant", "REDIS_URL", "redis://h:6379/0", []),
        ("violating", "REDIS_URL", "redis://:hunter2@h:6379/0", [f"{_C}.env[0] REDIS_URL {text}"]),
        ("compliant", "DB_PASSWORD", "$(OTHER)", []),
        ("compliant", "TARGET", "https://example.org/a:b@c", []),
        ("compliant", "TARGET", "postgresql://u:$(DB_PASSWORD)@h/d", []),
    ):  # fmt: skip
        yield _stack(rule, state, sample(t.JOB, {f"{_ENV}/0/name": name, f"{_ENV}/0/value": value}), says=findings)
    yield _stack(rule, "unknown", sample(t.JOB, {f"{_ENV}/0/value": UNKNOWN}), doubts=[f"{_C}.env[0].value of HOME"])

    yield _stack(rule, "compliant", sample(t.CONFIG_MAP))
    for state, path, value in (
        ("violating", "DB_PASS", "hunter2"),
        ("violating", "settings.ini", "a = b\npassword = hunter2\n"),
        ("violating", "settings.yaml", "redis:\n  auth_token: hunter2"),
        ("violating", "url", "redis://:hunter2@h"),
        ("secret", "LOG_LEVEL", Secret("info")),
        ("wrong type", "ENCRYPTION_KEY", 5),
    ):
        said = f"data.{path} holds a credential, and a ConfigMap is read by everybody; a Secret is asked for"
        config = sample(t.CONFIG_MAP)
        config.properties["data"][path] = value
        yield _stack(rule, state, config, says=[said])
    yield _stack(rule, "unknown", sample(t.CONFIG_MAP, {"data/LOG_LEVEL": UNKNOWN}), doubts=["data.LOG_LEVEL"])


def _commands() -> Iterator[Scenario]:
    rule = "no-credential-in-env"
    says = "holds a credential, which every process list shows"
    for words, number in (
        (["run", "--url=redis://:hunter2@h"], 1), (["run", "--password=hunter2"], 1), (["run", "--password", "hunter2"], 2),
        (["run", "-p", "hunter2"], 2), (["run", "--db-pass=hunter2"], 1), (["run", "--apiKey", "hunter2"], 2),
        (["run", "-Ddb.password=hunter2"], 1), (["DB_PWD=hunter2"], 0), (["redis-cli", "-a", "hunter2", "ping"], 2),
        (["curl", "-u", "me:hunter2", "http://h"], 2), (["curl", "-H", "Authorization: Bearer hunter2"], 2),
        (["sh", "-c", "export PGPASSWORD=hunter2; psql -h h"], 2), (["sh", "-c", "psql \"host=h password=hunter2\""], 2),
        (["sh", "-c", "mkdir -p /x && sshpass -p hunter2 ssh -p 22 h"], 2), (["sh", "-c", "it's --token hunter2"], 2),
    ):  # fmt: skip
        for part in ("command", "args", "lifecycle/postStart/exec/command", "livenessProbe/exec/command"):
            *above, last = part.split("/")
            nested: Any = words
            for step in reversed([*above[1:], last] if above else []):
                nested = {step: nested}
            job = sample(t.JOB, {f"{_C0}/{above[0] if above else last}": nested})
            yield _stack(rule, "violating", job, says=[f"{_C}.{part.replace('/', '.')}[{number}] {says}"])
    for words in (
        ["run", "--password", "$(DB_PASSWORD)"], ["run", "--password=$(DB_PASSWORD)"], ["run", "--password-file", "/run/x"],
        ["run", "-p", "5432"], ["run", "-p", "/data"], ["sh", "-c", "mkdir -p data && docker run -p 80:80 x"],
        ["sh", "-c", "PGPASSWORD=\"$DB_PASSWORD\" psql --no-password db"], ["sh", "-c", "TOKEN=$(cat /run/token) run"],
        ["curl", "-u", "me", "http://h"], ["run", "--token-ttl=60"], ["run", "--password="], ["run", "--password", "--verbose"], ["redis-cli", "-h", "h"],
        ["run", "-a", "all"], ["alembic", "upgrade", "head"], ["run", "--use-auth", "basic"],
    ):  # fmt: skip
        yield _stack(rule, "compliant", sample(t.JOB, {f"{_C0}/command": words}))
    marked = sample(t.JOB, {f"{_C0}/args": ["run", Secret("hunter2"), UNKNOWN, 5]})
    yield _stack(rule, "secret", marked, says=[f"{_C}.args[1] {says}"])


def _outputs() -> Iterator[Scenario]:
    rule = "no-credential-in-outputs"
    password, real = sample(t.RANDOM_PASSWORD, name="password"), "correcthorsebatterystaple"
    encoded = "Y29ycmVjdGhvcnNlYmF0dGVyeXN0YXBsZQ=="
    yield _stack(rule, "compliant", sample(t.STACK), password)
    for state, path, value, output in (
        ("violating", "database_password", "hunter2", "database_password"),
        ("violating", "db_pass", "hunter2", "db_pass"),
        ("violating", "encryption_key", 12345, "encryption_key"),
        ("violating", "passwords", {"admin": "hunter2"}, "passwords.admin"),
        ("violating", "passwords", ["hunter2"], "passwords[0]"),
        ("violating", "endpoint", "redis://:hunter2@h", "endpoint"),
        ("violating", "note", real, "note"),
        ("violating", "note", f"the password is {real}.", "note"),
        ("violating", "note", encoded, "note"),
        ("violating", "values", {"a": [{"b": f"x{real}x"}]}, "values.a[0].b"),
        ("violating", "values", json.dumps({"database": {"password": "hunter2"}}), "values.database.password"),
        ("violating", "helm_values/global/database/password", "hunter2", "helm_values.global.database.password"),
        (
            "violating",
            "helm_values/global/database/secretKeys/password",
            "hunter2",
            "helm_values.global.database.secretKeys.password",
        ),
        ("wrong type", "list", ["a", "redis://:hunter2@h"], "list[1]"),
    ):
        yield _stack(
            rule, state, sample(t.STACK, {path: value}), password, says=[f"output {output} holds a credential in clear"]
        )
    for path, value in (
        ("database_name", "meetinity"), ("token_ttl", 60), ("secret_name", "platform-database"), ("public_key", "ssh-ed25519 AAAA"),
        ("secrets", ["platform-database", "platform-redis"]), ("auth_enabled", True), ("note", "{not json"), ("kms_key", "arn:k"),
    ):  # fmt: skip
        yield _stack(rule, "compliant", sample(t.STACK, {path: value}), password)
    yield _stack(rule, "secret", sample(t.STACK, {"database_password": Secret(UNKNOWN)}), password)
    yield _stack(
        rule, "unknown", sample(t.STACK, {"database_password": UNKNOWN}), password, doubts=["database_password of it"]
    )
    for state, value in (("missing", MISSING), ("null", None)):
        yield _stack(rule, state, sample(t.STACK, {"database_password": value}), password)

    # What the stack's Secrets hold beside their password is no secret: everybody may know the host.
    secret = sample(t.SECRET, {"stringData": Secret({"host": "writer.example", "password": "hunter2hunter2"})})
    in_data = sample(t.SECRET, {"stringData": MISSING, "data": Secret({"host": "d3JpdGVy", "password": encoded})})
    yield _stack(rule, "compliant", sample(t.STACK), secret, in_data)
    for value, holder in (("hunter2hunter2", secret), (real, in_data)):
        stack = sample(t.STACK, {"note": value})
        yield _stack(rule, "violating", stack, holder, says=["output note holds a credential in clear"])


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
