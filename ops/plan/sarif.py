"""The gate's decisions as SARIF 2.1.0, for code scanning."""

from __future__ import annotations

from typing import Any

from ops.plan.check import Finding, Verdict
from ops.plan.stateful import KINDS

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_FAILED = "preview-failed"


def sarif(verdict: Verdict) -> dict[str, Any]:
    """One result for each finding. SARIF wants a file: it is the stack's own, where the change was most likely made."""
    file = f"Pulumi.{verdict.stack or 'STACK'}.yaml"
    rules = [{"id": kind, "shortDescription": {"text": text}} for kind, text in KINDS.items()]
    rules.append({"id": _FAILED, "shortDescription": {"text": "the preview failed, so nothing was judged whole"}})
    results = [_result(each, file) for each in verdict.findings]
    results += [
        {
            "ruleId": _FAILED,
            "level": "error",
            "message": {"text": each},
            "locations": [_location(file, "")],
        }
        for each in verdict.failed
    ]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "ops-plan-check", "rules": rules}},
                "automationDetails": {"id": f"plan/{verdict.stack}/"},
                "results": results,
            }
        ],
    }


def _location(file: str, urn: str) -> dict[str, Any]:
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": file}, "region": {"startLine": 1}},
    }
    if urn:
        location["logicalLocations"] = [{"fullyQualifiedName": urn, "kind": "resource"}]
    return location


def _result(finding: Finding, file: str) -> dict[str, Any]:
    changed = "".join(f"{each}; " for each in finding.at_fault)
    text = f"{finding.name}: {changed}{finding.means} (effect on the service: {finding.effect}). {finding.safe}"
    result: dict[str, Any] = {
        "ruleId": finding.kind,
        "level": "note" if finding.waiver else "error",
        "message": {"text": text},
        "locations": [_location(file, finding.urn)],
        # The same finding on the next push is the same alert.
        "partialFingerprints": {
            "urnAndKind/v1": f"{finding.urn}|{finding.kind}|{','.join(each.path for each in finding.at_fault)}"
        },
    }
    if finding.waiver:
        result["suppressions"] = [
            {
                "kind": "external",
                "status": "accepted",
                "justification": f"{finding.waiver.reason} ({finding.waiver.owner}, until {finding.waiver.until})",
            }
        ]
    return result
