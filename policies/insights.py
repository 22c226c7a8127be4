"""Insights: a store that cannot be looked into has gone dark before it fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policies.parameters import each_set
from policies.rule import Finding, Resource, ResourceRule, Rule, StackRule, Terms
from policies.tokens import CLUSTER, CLUSTER_PARAMETERS, INSTANCE, INSTANCE_PARAMETERS, REPLICATION_GROUP
from policies.value import Undecided, Value, between, is_text, is_true, is_whole, require

# API: rds, PerformanceInsightsRetentionPeriod.
_RETENTIONS = (7, *(31 * months for months in range(1, 24)), 731)
_ADVANCED_DAYS = 465
_SAME_EVERYWHERE = (
    "performanceInsightsEnabled",
    "performanceInsightsRetentionPeriod",
    "performanceInsightsKmsKeyId",
    "monitoringInterval",
)


def _retention(resource: Resource, terms: Terms) -> Iterable[Finding]:
    floor = terms["floor"]
    return require(
        resource["performanceInsightsRetentionPeriod"],
        lambda given: is_whole(given) and given in _RETENTIONS and given >= floor,
        f"at least {floor} days are asked for, as 7, a multiple of 31 up to 713, or 731",
    )


def _insights_mode(resource: Resource, _: Terms) -> Iterator[Finding]:
    mode = resource["databaseInsightsMode"]
    yield from require(mode, lambda given: given in ("standard", "advanced"), "standard or advanced is asked for")
    if not mode.unknown and mode.known == "advanced":
        days = f"databaseInsightsMode is advanced, which takes {_ADVANCED_DAYS} days"
        yield from require(resource["performanceInsightsEnabled"], lambda given: given is True, f"{days} and this on")
        yield from require(resource["performanceInsightsRetentionPeriod"], lambda given: given == _ADVANCED_DAYS, days)


def _statements_logged(group: Resource, _: Terms) -> Iterator[Finding]:
    statements = "ddl, mod or all is asked for"
    yield from each_set(group, "log_statement", lambda given: given in ("ddl", "mod", "all"), statements)
    milliseconds = "a number of milliseconds, 0 or more, is asked for"
    yield from each_set(group, "log_min_duration_statement", _milliseconds, milliseconds)


def _milliseconds(given: object) -> bool:
    return isinstance(given, str) and given.isdigit()


def _statements_counted(group: Resource, _: Terms) -> Iterable[Finding]:
    return each_set(
        group,
        "shared_preload_libraries",
        lambda given: isinstance(given, str) and "pg_stat_statements" in [each.strip() for each in given.split(",")],
        "pg_stat_statements must be among them",
    )


def belongs(member: Resource, cluster: Resource) -> bool:
    """By the dependency where the program says it so, otherwise by the identifier."""
    identifier, of = cluster["clusterIdentifier"], member["clusterIdentifier"]
    by_name = not of.unknown and not identifier.unknown and of.known == identifier.known
    return cluster.urn in member.uses.get("clusterIdentifier", frozenset()) or by_name


def members(cluster: Resource, resources: Sequence[Resource]) -> list[Resource]:
    return [each for each in resources if each.type == INSTANCE and belongs(each, cluster)]


def _same_as_its_cluster(member: Resource, resources: Sequence[Resource], _: Terms) -> Iterator[Finding]:
    for cluster in (each for each in resources if each.type == CLUSTER and belongs(member, each)):
        for name in _SAME_EVERYWHERE:
            ours, theirs = member[name], cluster[name]
            if ours.unknown or theirs.unknown:
                # The same source is the same value, whatever it turns out to be.
                if not member.uses.get(name) or member.uses.get(name) != cluster.uses.get(name):
                    yield Undecided(name)
            elif ours.known != theirs.known:
                yield f"{name} is {ours.shown}, and {theirs.shown} on cluster {cluster.name}"


def _logs_exported(resource: Resource, _: Terms) -> Iterable[Finding]:
    return _contains(resource["enabledCloudwatchLogsExports"], "postgresql")


def _contains(names: Value, wanted: str) -> Iterator[Finding]:
    if names.absent:
        yield f"{names.path} is not set; {wanted} must be in it"
        return
    entries = list(names.each())
    if not any(each.known == wanted for each in entries if not each.unknown):
        if any(each.unknown for each in entries):
            yield Undecided(names.path)
        else:
            yield f"{names.path} is {names.shown}; {wanted} must be in it"


def _redis_logs(resource: Resource, _: Terms) -> Iterator[Finding]:
    deliveries = list(resource["logDeliveryConfigurations"].each())
    if any(each.at("logType").unknown for each in deliveries):
        yield Undecided("logDeliveryConfigurations")
        return
    delivered = [each.at("logType").known for each in deliveries]
    for wanted in (each for each in ("engine-log", "slow-log") if each not in delivered):
        yield f"logDeliveryConfigurations has no {wanted}; both engine-log and slow-log are asked for"


def _monitored(resource: Resource, terms: Terms) -> Iterator[Finding]:
    yield from between(resource["monitoringInterval"], 1, terms["slowest"], "seconds")
    yield from is_text(resource["monitoringRoleArn"], "the role that writes the samples is asked for")


_FLOOR = {"description": "days", "type": "integer", "minimum": 7, "maximum": 731, "default": _ADVANCED_DAYS}

RULES: tuple[Rule, ...] = (
    ResourceRule(
        name="performance-insights-on",
        requires="Performance Insights is on, for the cluster and for every instance",
        why="It is how anyone learns what a slow database is waiting for, and it shows nothing of the time it was off.",
        fix="set performanceInsightsEnabled (meetinity-data:database.performanceInsightsEnabled) to true",
        severity="high",
        controls=("CKV_AWS_353",),
        types=(CLUSTER, INSTANCE),
        check=lambda it, _: is_true(it["performanceInsightsEnabled"]),
    ),
    ResourceRule(
        name="performance-insights-retention",
        requires="Performance Insights keeps its history for the environment's floor or longer",
        why="Comparing with last month, or last year, is what its history is for; the default is a week.",
        fix="set performanceInsightsRetentionPeriod (meetinity-data:database.performanceInsightsRetentionPeriod) to "
        "{floor} days or more",
        severity="medium",
        options={"floor": _FLOOR},
        types=(CLUSTER, INSTANCE),
        check=_retention,
    ),
    StackRule(
        name="performance-insights-alike",
        requires="Performance Insights and enhanced monitoring are the same on a cluster and all its instances",
        why="Aurora refuses a mix, or leaves instances as they were: the ones that differ go dark unnoticed.",
        fix="give every instance the cluster's own values",
        severity="medium",
        types=(INSTANCE,),
        sees=(CLUSTER,),
        check=_same_as_its_cluster,
    ),
    ResourceRule(
        name="performance-insights-own-key",
        requires="Performance Insights is encrypted with a key of ours",
        why="Statements can hold personal data; a key of ours says who may read them. It cannot be changed later.",
        fix="set performanceInsightsKmsKeyId (meetinity-data:database.kmsKeyId)",
        severity="medium",
        level="disabled",
        controls=("CKV_AWS_354",),
        types=(CLUSTER, INSTANCE),
        check=lambda it, _: is_text(it["performanceInsightsKmsKeyId"], "a key is asked for"),
    ),
    ResourceRule(
        name="database-insights-mode",
        requires=f"Database Insights has a mode, and advanced keeps Performance Insights for {_ADVANCED_DAYS} days",
        why="AWS refuses advanced without them at `up`, after the preview was green.",
        fix=f"set databaseInsightsMode to standard, or Performance Insights to {_ADVANCED_DAYS} days with advanced",
        severity="medium",
        types=(CLUSTER,),
        check=_insights_mode,
    ),
    ResourceRule(
        name="enhanced-monitoring-on",
        requires="Enhanced monitoring is on, often enough, and has its role",
        why="CPU, memory and processes of the host itself are nowhere else.",
        fix="set monitoringInterval (meetinity-data:database.monitoringInterval) to {slowest} seconds or less, and "
        "monitoringRoleArn",
        severity="medium",
        controls=("RDS.6", "CKV_AWS_118"),
        options={"slowest": {"description": "seconds", "type": "integer", "minimum": 1, "maximum": 60, "default": 60}},
        types=(CLUSTER, INSTANCE),
        check=_monitored,
    ),
    ResourceRule(
        name="aurora-logs-exported",
        requires="Aurora exports its PostgreSQL log to CloudWatch",
        why="On the instance the log rotates away within days, and with the instance at once.",
        fix="put postgresql into enabledCloudwatchLogsExports",
        severity="medium",
        controls=("RDS.37", "CKV_AWS_324"),
        types=(CLUSTER,),
        check=_logs_exported,
    ),
    ResourceRule(
        name="aurora-statements-logged",
        requires="Aurora logs changes of schema, and slow statements with their duration",
        why="Who changed a table, and which statement was slow, cannot be found out afterwards.",
        fix="set log_statement (ddl) and log_min_duration_statement (milliseconds) in the cluster parameter group, and "
        "nothing else in an instance's",
        severity="medium",
        controls=("CKV2_AWS_27",),
        types=(CLUSTER_PARAMETERS, INSTANCE_PARAMETERS),
        check=_statements_logged,
    ),
    ResourceRule(
        name="aurora-statements-counted",
        requires="Aurora loads pg_stat_statements",
        why="Performance Insights and the exporters have no statistics per statement without it.",
        fix="put pg_stat_statements into shared_preload_libraries of the cluster parameter group",
        severity="medium",
        types=(CLUSTER_PARAMETERS, INSTANCE_PARAMETERS),
        check=_statements_counted,
    ),
    ResourceRule(
        name="redis-logs-delivered",
        requires="ElastiCache delivers its slow log and its engine log",
        why="Neither can be read anywhere else once the node is gone.",
        fix="add a logDeliveryConfiguration for slow-log and for engine-log",
        severity="low",
        types=(REPLICATION_GROUP,),
        check=_redis_logs,
    ),
)
