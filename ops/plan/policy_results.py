"""What the policies say of a stack: of the offline check (`make policy STACK=… JSON=1`), or of the engine's events."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.errors import OpsError
from ops.plan.preview import PolicyResult

LEVELS = ("mandatory", "advisory", "exempted", "idle")


@dataclass(frozen=True)
class Policies:
    """Results, those that stop an update first, and how many could not be judged before it."""

    results: Sequence[PolicyResult]
    undecided: int = 0

    @property
    def counts(self) -> Mapping[str, int]:
        return Counter(each.level for each in self.results)


def of_events(results: Sequence[PolicyResult]) -> Policies:
    """The engine tells of what it could not judge as advisory."""
    doubts = [each for each in results if "can't run policy" in each.message]
    return Policies(_ordered([each for each in results if each not in doubts]), len(doubts))


def read(path: Path) -> Policies:
    """Raises OpsError, one line, for what `policies.offline --json` did not write."""
    try:
        found = json.loads(path.read_text())
        results = [
            PolicyResult(each["rule"], each["outcome"], each["urn"], each["message"]) for each in found["findings"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OpsError(
            f"{path} holds no policy results ({type(error).__name__}: {error}); "
            "write it with `make --silent policy STACK=… JSON=1`"
        ) from None
    return Policies(
        _ordered([each for each in results if each.level in LEVELS]),
        len({each.policy for each in results if each.level == "undecided"}),
    )


def _ordered(results: Sequence[PolicyResult]) -> Sequence[PolicyResult]:
    order = {level: number for number, level in enumerate(LEVELS)}
    return sorted(results, key=lambda each: (order.get(each.level, len(order)), each.policy, each.urn))
