"""When standard support of each engine's major version ends: the one place for these dates.

Sources: endoflife.date (2026-08-22) for Aurora PostgreSQL, the ElastiCache User Guide for Redis OSS. None: no end is
announced. After its end a version goes on as Extended Support, which is billed.
"""

from collections.abc import Mapping
from datetime import date

ENDS: Mapping[str, Mapping[str, date | None]] = {
    "aurora-postgresql": {
        "11": date(2024, 2, 29),
        "12": date(2025, 2, 28),
        "13": date(2026, 2, 28),
        "14": date(2027, 2, 28),
        "15": date(2028, 2, 29),
        "16": date(2029, 2, 28),
        "17": date(2030, 2, 28),
        "18": date(2031, 2, 28),
    },
    "redis": {"4": date(2026, 1, 31), "5": date(2026, 1, 31), "6": date(2027, 1, 31), "7": None},
    "valkey": {"7": None, "8": None, "9": None},
}

# Half a year: the time to plan and rehearse a major upgrade.
WARNING_DAYS = 183
