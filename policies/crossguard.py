"""Our rules as Pulumi's policies: the one place that knows pulumi_policy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from google.protobuf import json_format
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationPolicy,
)
from pulumi_policy import policy as servicer

from policies.catalogue import RULES
from policies.rule import Resource, ResourceRule, Rule, StackRule, Terms, idle, judge
from policies.tokens import canonical
from policies.wire import plain


class _Analyzer(servicer._PolicyAnalyzerServicer):  # noqa: SLF001 - see `policies`
    """Judges by itself, and leaves to the SDK configuration, metadata, remediation and the wire.

    The SDK would convert every resource anew for every policy, without what is marked secret, and could report nothing
    beside violations: what is exempted or undecided is advice under a mandatory policy.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # Of each rule, the resources that it had something to say about since the last look at the stack as a whole.
        self._told: dict[str, frozenset[str]] = defaultdict(frozenset)

    def Analyze(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the protocol's
        resource = _resource(request)
        response = proto.AnalyzeResponse()
        for rule in _resource_rules().get(resource.type, ()):
            self._judge(rule, [resource], response)
        return response

    def AnalyzeStack(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        looked_at = {type_ for rule in RULES if isinstance(rule, StackRule) for type_ in (*rule.types, *rule.sees)}
        resources = [_resource(each) for each in request.resources if canonical(each.type) in looked_at]
        response = proto.AnalyzeResponse()
        for rule in RULES:
            if isinstance(rule, StackRule):
                self._judge(rule, resources, response)
            if self._level(rule) != EnforcementLevel.DISABLED:
                for each in idle(self._terms(rule), self._told[rule.name]):
                    self._report(response, rule, EnforcementLevel.ADVISORY, each.message)
        self._told.clear()
        return response

    def _judge(self, rule: Rule, resources: Sequence[Resource], response: Any) -> None:
        level = self._level(rule)
        if level == EnforcementLevel.DISABLED:
            return
        verdict = judge(rule, resources, self._terms(rule))
        self._told[rule.name] |= verdict.urns
        for violation in verdict.violations:
            self._report(response, rule, level, violation.message, violation.urn)
        for exempted in verdict.exempted:
            self._report(response, rule, EnforcementLevel.ADVISORY, exempted.message, exempted.urn)
        if verdict.undecided:
            of_several = isinstance(rule, StackRule)
            names = [f"{each.path} of {each.name}" if of_several else each.path for each in verdict.undecided]
            message = f"{rule.name} is undecided until it knows {', '.join(names)}"
            self._report(response, rule, EnforcementLevel.ADVISORY, message)

    def _report(self, response: Any, rule: Rule, level: EnforcementLevel, message: str, urn: str = "") -> None:
        self._create_report_violation(response, rule.name, rule.requires, level, Severity(rule.severity))(message, urn)

    def _level(self, rule: Rule) -> EnforcementLevel:
        level = self._get_enforcement_level(_policies()[rule.name])
        # What is still wrong after a remediation is refused.
        return EnforcementLevel.MANDATORY if level == EnforcementLevel.REMEDIATE else level

    def _terms(self, rule: Rule) -> Terms:
        return _terms(rule, self._get_policy_config(rule.name) or {})


def policies() -> list[Policy]:
    """The rules, as the pack's policies; makes the SDK serve them through `_Analyzer`."""
    servicer._PolicyAnalyzerServicer = _Analyzer  # type: ignore[misc] # noqa: SLF001
    return list(_policies().values())


@cache
def _policies() -> dict[str, Policy]:
    return {rule.name: _policy(rule) for rule in RULES}


@cache
def _resource_rules() -> Mapping[str, Sequence[ResourceRule]]:
    found: dict[str, list[ResourceRule]] = defaultdict(list)
    for rule in RULES:
        if isinstance(rule, ResourceRule):
            for type_ in rule.types:
                found[type_].append(rule)
    return found


def _resource(request: Any) -> Resource:
    return Resource(
        type=canonical(request.type),
        properties=plain(json_format.MessageToDict(request.properties)),
        urn=request.urn,
        name=request.name,
        protect=request.options.protect,
        # Only what is shown with others beside it says where its values come from.
        uses={name: frozenset(each.urns) for name, each in request.propertyDependencies.items()}
        if isinstance(request, proto.AnalyzerResource)
        else {},
    )


def _policy(rule: Rule) -> Policy:
    metadata: dict[str, Any] = {
        "name": rule.name,
        "description": rule.requires,
        "enforcement_level": EnforcementLevel(rule.level),
        "severity": Severity(rule.severity),
        "remediation_steps": rule.advice(),
        "tags": list(rule.controls),
        "config_schema": PolicyConfigSchema(properties={key: dict(each) for key, each in rule.schema().items()}),
        "validate": _judged_by_the_analyzer,
    }
    if isinstance(rule, StackRule):
        return StackValidationPolicy(**metadata)
    remedy = rule.remedy
    if remedy is None:
        return ResourceValidationPolicy(**metadata)

    def remediate(args: ResourceValidationArgs) -> Mapping[str, Any] | None:
        # In place: a new dictionary would lose the secret marks.
        terms = _terms(rule, args.get_config())
        return args.props if canonical(args.resource_type) in rule.types and remedy(args.props, terms) else None

    return ResourceValidationPolicy(remediate=remediate, **metadata)  # type: ignore[arg-type]


def _judged_by_the_analyzer(*_: Any) -> None:
    raise NotImplementedError("_Analyzer judges; the SDK asks for a function with every policy")


def _terms(rule: Rule, configuration: Mapping[str, Any]) -> Terms:
    return Terms(options={**rule.defaults(), **configuration}, today=today())


def today() -> date:
    return datetime.now(UTC).date()
