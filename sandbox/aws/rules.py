"""The rules of `rules.yaml`, held against a request before the sandbox's AWS API performs it.

A rule sees the values that would hold after the request: the resource's own, or the defaults, under
the names of both parameters and members, with what was sent on top. `given` is what was sent alone,
`before` the resource as it was.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jmespath
import yaml
from jmespath.functions import Functions
from moto.ec2.exceptions import InvalidSubnetIdError

from sandbox.aws.account_state import AccountState
from sandbox.aws.operations import AwsError, Parameters, Resource
from sandbox.aws.resources import CATALOGUE, KINDS, Kind

# Operations on a resource that is there; the others make one.
_ON_EXISTING = ("Modify", "Delete", "Reboot", "Failover", "TestFailover", "Increase", "Decrease")
_DAYS = {day: number for number, day in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}
_DAY, _WEEK = 24 * 60, 7 * 24 * 60


@dataclass(frozen=True)
class Rule:
    """One row: `parameter` has to be as `pattern`, `range` or `values` say; or `refuse` must not hold."""

    rule: str
    operations: str
    error: str
    message: str
    source: str
    parameter: str = ""
    pattern: str = ""
    range: Sequence[float] = ()
    values: Sequence[Any] = ()
    refuse: str = ""

    def refuses(self, known: dict[str, Any], functions: Functions) -> bool:
        if self.refuse:
            return bool(jmespath.search(self.refuse, known, jmespath.Options(custom_functions=functions)))
        value = jmespath.search(self.parameter, known["given"])
        return any(
            not self._allows(each) for each in (value if isinstance(value, list) else [value]) if each is not None
        )

    def _allows(self, value: Any) -> bool:
        if self.pattern:
            return re.fullmatch(self.pattern, str(value)) is not None
        return self.range[0] <= value <= self.range[1] if self.range else value in self.values


@functools.cache
def table() -> dict[tuple[str, str], list[Rule]]:
    """The rules of each (service, operation), in the order of the file."""
    found = defaultdict(list)
    for service, rows in yaml.safe_load(Path(__file__).with_name("rules.yaml").read_text())["rules"].items():
        for rule in (Rule(**row) for row in rows):
            for name in rule.operations.split():
                found[service, name].append(rule)
    return dict(found)


def check(account: AccountState, service: str, operation: str, p: Parameters) -> None:
    """Raise the AwsError of the first rule that the request breaks."""
    if rules := table().get((service, operation)):
        known, functions = _known(account, operation, p), _Functions(account)
        for rule in rules:
            if rule.refuses(known, functions):
                raise AwsError(rule.error, rule.message.format_map(defaultdict(str, known)))


def _known(account: AccountState, operation: str, p: Parameters) -> dict[str, Any]:
    kind = _kind(operation, p)
    if kind is None:
        return {**p, "given": p, "before": {}}
    before = kind.find(account, p.get(kind.id, "")) if operation.startswith(_ON_EXISTING) else None
    known = dict(before) if before else kind.settings("defaults") | kind.base(account, p)
    renamed: dict[str, str] = kind.settings("renamed")
    told = {kind.member(name): kind.worded(name, value) for name, value in p.items()}
    shown = {name: known[member] for name, member in renamed.items() if member in known}
    return {**known, **shown, **p, **told, "given": p, "before": before or {}}


def _kind(operation: str, p: Parameters) -> Kind | None:
    """The kind of resource that an operation is about: its name, or its identifier, says so."""
    named = sorted((kind for kind in KINDS.values() if kind.shape in operation), key=lambda kind: len(kind.shape))
    return named[-1] if named else next((kind for kind in KINDS.values() if kind.id in p), None)


class _Functions(Functions):  # type: ignore[misc]
    """What the expression of a rule can ask beside JMESPath's own functions."""

    def __init__(self, account: AccountState) -> None:
        self.account = account

    def call_function(self, function_name: str, resolved_args: Sequence[Any]) -> Any:
        own = getattr(self, f"ask_{function_name}", None)
        return own(*resolved_args) if own else super().call_function(function_name, resolved_args)

    def ask_row(self, shape: str, name: str | None) -> Resource | None:
        """What Describe shows of the resource of that identifier or ARN; null when there is none."""
        row = KINDS[shape].find(self.account, name or "")
        return KINDS[shape].view(self.account, row) if row else None

    def ask_used(self, shape: str, member: str, name: str) -> bool:
        """Whether a resource of that shape names `name` in a member."""
        values = (jmespath.search(member, row) for row in KINDS[shape].table(self.account).values())
        return any(name.lower() in (value if isinstance(value, list) else [value]) for value in values)

    def ask_matches(self, value: str | None, pattern: str) -> bool:
        return value is not None and re.fullmatch(pattern, value) is not None

    def ask_lower(self, value: str) -> str:
        return value.lower()

    def ask_plus(self, one: int, other: int) -> int:
        return one + other

    def ask_distinct(self, values: list[str]) -> list[str]:
        return sorted(set(values))

    def ask_subnets(self, ids: list[str] | None) -> list[Resource]:
        """Those of the subnets that exist."""
        return [subnet for subnet_id in ids or [] if (subnet := self._subnet(subnet_id))]

    def _subnet(self, subnet_id: str) -> Resource | None:
        try:
            subnet = self.account.moto("ec2").get_subnet(subnet_id)
        except InvalidSubnetIdError:
            return None
        return {"zone": subnet.availability_zone, "vpc": subnet.vpc_id}

    def ask_missing_groups(self, ids: list[str] | None) -> list[str]:
        """Those of the security groups that do not exist."""
        ec2 = self.account.moto("ec2")
        return [group_id for group_id in ids or [] if ec2.get_security_group_from_id(group_id) is None]

    def ask_overlap(self, one: str | None, other: str | None) -> bool:
        """Whether two windows meet in the week; one without days is in every day."""
        spans = [_span(window) for window in (one, other) if window]
        if len(spans) < 2:
            return False
        (start, length, every), (other_start, other_length, other_every) = spans
        for day in range(0, _WEEK if every or other_every else 1, _DAY):
            apart = (other_start - start - day) % _WEEK
            if apart < length or _WEEK - apart < other_length:
                return True
        return False

    def ask_minutes(self, window: str) -> int:
        return _span(window)[1]

    def ask_future(self, moment: str | None) -> bool:
        return bool(moment) and datetime.fromisoformat(str(moment)) > datetime.now(UTC)

    def ask_outside(self, moment: datetime | None, earliest: str | None, latest: str | None) -> bool:
        """Whether a moment is outside a time span, or the span is not there."""
        span = [datetime.fromisoformat(end) for end in (earliest, latest) if end]
        return moment is not None and (len(span) < 2 or not span[0] <= moment.replace(tzinfo=UTC) <= span[1])

    def ask_major(self, version: str | None) -> str:
        return (version or "").partition(".")[0]

    def ask_older(self, one: str | None, other: str | None) -> bool:
        """Whether one version is older than the other, as far as both are given."""
        parts = [[int(part) for part in re.findall(r"\d+", version or "")] for version in (one, other)]
        depth = min(len(part) for part in parts)
        return parts[0][:depth] < parts[1][:depth]

    def ask_aurora_version(self, version: str | None) -> bool:
        versions = CATALOGUE["rds"]["versions"]
        return version in versions or version in versions.get(self.ask_major(version), [])

    def ask_cache_family(self, engine: str, version: str | None) -> str | None:
        """The family of a version on offer, as callers or as AWS name it; of the newest when none is named."""
        versions = CATALOGUE["elasticache"]["versions"].get(engine, {})
        wanted = version or list(versions or [""])[-1]
        return next((family for name, (shown, family) in versions.items() if wanted in (name, shown)), None)

    def ask_memory(self, node_type: str) -> float | None:
        """GiB of a node type; null when there is no such type."""
        _, family, size = [*node_type.split("."), "", ""][:3]
        memory: float | None = CATALOGUE["elasticache"]["node memory"].get(family, {}).get(size)
        return memory

    def ask_manual_snapshots_today(self, group: str | None) -> int:
        since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        rows = KINDS["Snapshot"].table(self.account).values()
        manual = [row for row in rows if row["SnapshotSource"] == "manual" and row["_created"] > since]
        return sum(row["ReplicationGroupId"] == (group or "").lower() for row in manual)


def _span(window: str) -> tuple[int, int, bool]:
    """A window's first minute in the week, its length, and whether it is in every day."""
    ends = [end.split(":") for end in window.lower().split("-")]
    minutes = [int(hour) * 60 + int(minute) + _DAY * (_DAYS[day[0]] if day else 0) for *day, hour, minute in ends]
    every = ends[0][0] not in _DAYS
    return minutes[0], (minutes[1] - minutes[0]) % (_DAY if every else _WEEK), every
