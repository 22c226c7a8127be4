"""The gate's verdict in plain text, for a terminal and a job's log."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from ops.plan.check import Finding, Verdict

_WIDTH = 112


def report(verdict: Verdict, waivers: Path) -> str:
    return "\n".join(_lines(verdict, waivers))


def headline(verdict: Verdict) -> str:
    """The verdict in one line, without the stack's name."""
    refused, waived = len(verdict.refused), len(verdict.waived)
    if verdict.failed and not refused:
        return "the preview failed, so nothing was judged whole"
    if not refused:
        told = [f"{waived} waived"] * bool(waived) + [f"{len(verdict.interruptions)} interrupt or wait"] * bool(
            verdict.interruptions
        )
        return "passes" + (f" ({', '.join(told)})" if told else "")
    data = sum(each.loses_data for each in verdict.refused)
    worst = min((each.effect for each in verdict.refused), key=("outage", "failover", "none").index)
    told = [f"{data} of them lose{'s' * (data == 1)} data"] * bool(data) + [f"worst effect: {worst}"] * (
        worst != "none"
    )
    failed = "; the preview failed as well" if verdict.failed else ""
    return f"refused: {refused} change{'s' * (refused != 1)}" + (f" ({', '.join(told)})" if told else "") + failed


def _lines(verdict: Verdict, waivers: Path) -> Iterator[str]:
    yield from _titled("refused:", [line for each in verdict.refused for line in _finding(each)])
    yield from _titled("waived:", [line for each in verdict.waived for line in _finding(each)])
    for title, some in (("expired", verdict.expired), ("idle", verdict.idle)):
        yield from _titled(
            f"{title} waivers, to be taken out of {waivers}:",
            [f"  {', '.join(sorted(each.kinds))}  {each.urn} ({each.owner}, until {each.until})" for each in some],
        )
    yield from _titled(
        "interrupts or waits:",
        [
            line
            for each in verdict.interruptions
            for line in (f"  {each.name}.{each.change}: {each.effect}, {each.when}", _indented(each.what))
        ],
    )
    yield from _titled("the preview failed:", [textwrap.indent(each, "  ") for each in verdict.failed])
    yield f"{verdict.stack or 'the stack'}: {headline(verdict)}"
    if verdict.refused:
        yield f'What is meant is waived in {waivers}, by URN and kind (docs/runbook.md, "refused by the plan gate").'


def _titled(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield title
        yield from lines


def _finding(finding: Finding) -> Iterator[str]:
    yield f"  {finding.kind}  {finding.name}"
    yield from (f"      {each}" for each in finding.at_fault)
    lost = ", data is lost" if finding.loses_data else ""
    yield _indented(f"{finding.means}. Effect on the service: {finding.effect}{lost}")
    if finding.waiver:
        yield _indented(f"waived by {finding.waiver.owner} until {finding.waiver.until}: {finding.waiver.reason}")
    else:
        yield _indented(f"safe way: {finding.safe}")
    yield f"      {finding.urn}"


def _indented(text: str) -> str:
    return textwrap.indent(textwrap.fill(text, _WIDTH, break_on_hyphens=False, break_long_words=False), "      ")
