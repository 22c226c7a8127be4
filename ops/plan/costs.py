"""What a plan adds or takes away of what AWS bills, in its units: prices change, and none is invented here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ops.plan.preview import ABSENT, UNKNOWN, Preview, Step

Unit = tuple[str, float]
Value = Callable[[str], Any]


def _text(value: Any, otherwise: str) -> str:
    return otherwise if value in (ABSENT, None, "", UNKNOWN) or not isinstance(value, str) else value


def _number(value: Any, otherwise: float = 0) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise


def _cluster(value: Value) -> Iterator[Unit]:
    storage = "I/O-Optimized" if value("storageType") == "aurora-iopt1" else "standard"
    yield f"Aurora cluster with {storage} storage", 1
    yield f"Aurora cluster with Database Insights mode {_text(value('databaseInsightsMode'), 'standard')}", 1
    # API: CreateDBCluster, BackupRetentionPeriod, default 1.
    yield "day of Aurora backups", _number(value("backupRetentionPeriod"), 1)
    if value("performanceInsightsEnabled") is True:
        yield "day of performance history", _number(value("performanceInsightsRetentionPeriod"), 7)
    yield "Aurora capacity unit (ACU), at least", _number(value("serverlessv2ScalingConfiguration.minCapacity"))
    yield "Aurora capacity unit (ACU), at most", _number(value("serverlessv2ScalingConfiguration.maxCapacity"))


def _instance(value: Value) -> Iterator[Unit]:
    yield f"{_text(value('instanceClass'), 'unknown class')} instance", 1


def _group(value: Value) -> Iterator[Unit]:
    yield f"{_text(value('nodeType'), 'unknown type')} node", _number(value("numCacheClusters"), 1)
    yield "day of Redis snapshots", _number(value("snapshotRetentionLimit"))


_UNITS: Mapping[str, Callable[[Value], Iterator[Unit]]] = {
    "aws:rds/cluster:Cluster": _cluster,
    "aws:rds/clusterInstance:ClusterInstance": _instance,
    "aws:elasticache/replicationGroup:ReplicationGroup": _group,
    "aws:kms/key:Key": lambda _: iter([("KMS key", 1)]),
    "aws:secretsmanager/secret:Secret": lambda _: iter([("Secrets Manager secret", 1)]),
    "aws:cloudwatch/metricAlarm:MetricAlarm": lambda _: iter([("CloudWatch alarm", 1)]),
    "aws:cloudwatch/dashboard:Dashboard": lambda _: iter([("CloudWatch dashboard", 1)]),
    "aws:ec2/vpcEndpoint:VpcEndpoint": lambda _: iter([("VPC endpoint", 1)]),
    "aws:cloudwatch/logGroup:LogGroup": lambda value: iter([("day of logs", _number(value("retentionInDays")))]),
}


def costs(preview: Preview) -> Mapping[str, float]:
    """By unit, what comes (positive) or goes (negative); nothing for what stays as it was."""
    found: defaultdict[str, float] = defaultdict(float)
    for step in preview.changed:
        units = _UNITS.get(step.type)
        if units is None:
            continue
        for sign, value in ((-1, _old(step)), (1, _new(step))):
            for unit, amount in units(value) if value else ():
                found[unit] += sign * amount
    return {unit: amount for unit, amount in sorted(found.items()) if amount}


def _old(step: Step) -> Value | None:
    return step.before if step.old and step.op != "remove-pending-replace" else None


def _new(step: Step) -> Value | None:
    # What is left out of the inputs is AWS's own choice, and stays as it is recorded.
    if not step.new or step.deletes:
        return None
    return lambda path: step.before(path) if (found := step.after(path)) is ABSENT and step.op == "update" else found
