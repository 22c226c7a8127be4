"""Which gaps `ops backups` sees, and which moments it calls covered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from ops.backups import ENVIRONMENTS, FLOOR_RULES, floor, gaps
from ops.recovery_points import Window, window_of
from settings.defaults import ENVIRONMENTS as KNOWN

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


FULL = Window(ago(days=14), ago(minutes=3))
DATABASE = {"continuous": True, "retention_days": 14, "floor_days": 14, "created_at": ago(days=90), "taken_at": ()}
DAILY = [ago(days=day, hours=2) for day in range(8)]
REDIS = {"continuous": False, "retention_days": 7, "floor_days": 7, "created_at": ago(days=90), "window": None}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({**DATABASE, "window": FULL}, []),
        ({**DATABASE, "window": Window(ago(days=13, hours=1), ago(minutes=15))}, []),
        (
            {**DATABASE, "window": FULL, "retention_days": 7},
            ["keeps backups for 7 days; the policy's floor is 14"],
        ),
        (
            {**DATABASE, "window": Window(ago(days=7), ago(minutes=3))},
            ["cannot be restored to a moment before 2026-11-17T12:00:00Z; the floor reaches to 2026-11-10T12:00:00Z"],
        ),
        ({**DATABASE, "window": Window(ago(days=2), NOW), "created_at": ago(days=2)}, []),
        ({**DATABASE, "window": Window(ago(days=14), ago(hours=3))}, ["cannot be restored to the last 3 h 0 min"]),
        ({**DATABASE, "window": None}, ["cannot be restored to any moment: AWS gives no restorable window"]),
        ({**REDIS, "taken_at": DAILY}, []),
        (
            {**REDIS, "taken_at": [each for each in DAILY if each != ago(days=3, hours=2)]},
            ["has no snapshot between 2026-11-20T10:00:00Z and 2026-11-22T10:00:00Z (2 d 0 h)"],
        ),
        (
            {**REDIS, "taken_at": DAILY[2:]},
            ["has no snapshot between 2026-11-22T10:00:00Z and 2026-11-24T12:00:00Z (2 d 2 h)"],
        ),
        ({**REDIS, "taken_at": [], "created_at": ago(hours=20)}, []),
        (
            {**REDIS, "taken_at": [], "created_at": ago(hours=30), "retention_days": 0},
            [
                "keeps backups for 0 days; the policy's floor is 7",
                "has no snapshot between 2026-11-23T06:00:00Z and 2026-11-24T12:00:00Z (1 d 6 h)",
            ],
        ),
    ],
)
def test_gaps(facts, expected):
    assert list(gaps(**facts, now=NOW)) == expected


@pytest.mark.parametrize(("fraction", "later"), [(0, 0), (1, 1), (999_999, 1)])
def test_a_windows_ends_as_shown_lie_within_it(fraction, later):
    """They are shown and asked for in whole seconds."""
    found = window_of(
        {
            "EarliestRestorableTime": NOW + timedelta(microseconds=fraction),
            "LatestRestorableTime": NOW + timedelta(hours=1, microseconds=fraction),
        }
    )
    assert found == Window(NOW + timedelta(seconds=later), NOW + timedelta(hours=1))


@pytest.mark.parametrize("environment", KNOWN)
@pytest.mark.parametrize("store", FLOOR_RULES)
def test_the_floor_is_the_policy_packs_own(environment, store):
    configured = json.loads((ENVIRONMENTS / f"{environment}.json").read_text())
    assert floor(environment, store) == configured[FLOOR_RULES[store]]["floor"]
