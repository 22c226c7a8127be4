"""Our rules as Pulumi's policies: the one place that knows pulumi_policy."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy import policy as servicer
from pulumi_policy.deserialize import deserialize_properties
from pulumi_policy.proxy import UNKNOWN_OBJECT_VALUE, UnknownValueError

from policies.catalogue import RULES
from policies.rule import Doubt, Resource, ResourceRule, Rule, StackRule, Terms, Verdict, judge
from policies.wire import plain

_BY_NAME = {rule.name: rule for rule in RULES}


class _UndecidedError(UnknownValueError):
    """What the SDK takes for a value that is not known yet: it reports our message as advice, and goes on."""

    def __init__(self, rule: Rule, undecided: Sequence[Doubt]) -> None:
        names = [f"{each.path} of {each.name}" if isinstance(rule, StackRule) else each.path for each in undecided]
        super().__init__(UNKNOWN_OBJECT_VALUE, names)
        self.message = f"{rule.name} is undecided until it knows {', '.join(names)}"


class _OfItsType(servicer._PolicyAnalyzerServicer):  # noqa: SLF001 - see `policies`
    """Asks of a resource only the rules of its type: the SDK converts the resource anew for every policy it asks."""

    _asked = threading.local()

    def Analyze(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        self._asked.type = request.type
        return super().Analyze(request, context)  # type: ignore[no-untyped-call]

    def Remediate(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._asked.type = request.type
        return super().Remediate(request, context)  # type: ignore[no-untyped-call]

    def _get_enforcement_level(self, policy: Policy) -> EnforcementLevel:
        rule = _BY_NAME[policy.name]
        if isinstance(rule, ResourceRule) and getattr(self._asked, "type", None) not in rule.types:
            return EnforcementLevel.DISABLED
        return super()._get_enforcement_level(policy)


def policies() -> list[Policy]:
    """The rules, as the pack's policies; makes the SDK serve them as they need it, in two places of its own."""
    servicer._PolicyAnalyzerServicer = _OfItsType  # type: ignore[misc] # noqa: SLF001
    # The engine sends what is marked secret as marked; the SDK drops the mark before a rule sees it, except for
    # remediations. Two requirements are about the mark itself, so validations get it too.
    servicer.deserialize_properties = _with_marks  # type: ignore[attr-defined]
    return [_stack_policy(rule) if isinstance(rule, StackRule) else _resource_policy(rule) for rule in RULES]


def _with_marks(props: dict[str, Any], proxy_secrets: bool = True) -> dict[str, Any]:  # noqa: ARG001
    return deserialize_properties(props, proxy_secrets=True)


def _resource_policy(rule: ResourceRule) -> Policy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type in rule.types:
            resource = Resource(
                type=args.resource_type,
                properties=plain(args.props),
                urn=args.urn,
                name=args.name,
                protect=args.opts.protect,
            )
            _tell(rule, judge(rule, [resource], _terms(rule, args.get_config())), report)

    def remediate(args: ResourceValidationArgs) -> Mapping[str, Any] | None:
        # In place: a new dictionary would lose the secret marks.
        terms = _terms(rule, args.get_config())
        changed = rule.remedy and args.resource_type in rule.types and rule.remedy(args.props, terms)
        return args.props if changed else None

    return ResourceValidationPolicy(
        validate=validate,
        remediate=remediate if rule.remedy else None,  # type: ignore[arg-type]
        **_metadata(rule),
    )


def _stack_policy(rule: StackRule) -> Policy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [
            Resource(
                type=each.resource_type,
                properties=plain(each.props),
                urn=each.urn,
                name=each.name,
                protect=each.opts.protect,
                uses={
                    name: frozenset(used.urn for used in all_used)
                    for name, all_used in each.property_dependencies.items()
                },
            )
            for each in args.resources
            if each.resource_type in rule.types
        ]
        _tell(rule, judge(rule, resources, _terms(rule, args.get_config())), report)

    return StackValidationPolicy(validate=validate, **_metadata(rule))


def _metadata(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "description": rule.requires,
        "enforcement_level": EnforcementLevel(rule.level),
        "severity": Severity(rule.severity),
        "remediation_steps": rule.advice(),
        "tags": list(rule.controls),
        "config_schema": PolicyConfigSchema(properties={key: dict(each) for key, each in rule.schema().items()}),
    }


def _tell(rule: Rule, verdict: Verdict, report: ReportViolation) -> None:
    for violation in verdict.violations:
        report(violation.message, violation.urn or None)
    if verdict.undecided:
        raise _UndecidedError(rule, verdict.undecided)


def _terms(rule: Rule, configuration: Mapping[str, Any]) -> Terms:
    return Terms(options={**rule.defaults(), **configuration}, today=today())


def today() -> date:
    return datetime.now(UTC).date()
