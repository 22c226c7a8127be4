"""AWS Backup on top of the stores' own backups."""

from __future__ import annotations

from typing import Annotated

from pydantic import ValidationInfo, field_validator

from settings.base import Model
from settings.checks import a_list, flag_to_come, refused, text, whole

# API: backup, BackupRuleInput.StartWindowMinutes.
SHORTEST_START_MINUTES = 60
MOST_MINUTES = 52_560_000
# API: backup, Lifecycle: at least 90 days in cold storage, at most 100 years in all.
COLD_STORAGE_DAYS = 90
MOST_DAYS = 36_500

_FIELD = "[0-9A-Za-z*,/?#-]+"


class Backup(Model):
    """One plan, one vault, one daily rule. Off by default, as in the old module."""

    enabled: Annotated[bool, flag_to_come("AWS Backup plan")]
    vault_name: Annotated[
        # API: backup, BackupVaultName.
        str, text("2 to 50 letters, digits, hyphens and underscores", "[A-Za-z0-9_-]{2,50}")
    ]
    plan_name: Annotated[
        # API: backup, BackupPlanInput.BackupPlanName.
        str, text("at most 50 letters, digits and - _ .", "[A-Za-z0-9_.-]{1,50}")
    ]
    schedule: Annotated[
        str, text("a cron expression of six fields, like cron(0 3 * * ? *)", rf"cron\({_FIELD}( {_FIELD}){{5}}\)")
    ]
    start_window: Annotated[int, whole(SHORTEST_START_MINUTES, MOST_MINUTES, "minutes")]
    completion_window: Annotated[int, whole(1, MOST_MINUTES, "minutes")]
    """Counted from the moment the backup has begun."""
    cold_storage_after: Annotated[int, whole(0, MOST_DAYS, "days")]
    """0 keeps recovery points warm."""
    delete_after: Annotated[int, whole(1, MOST_DAYS, "days")]
    additional_resource_arns: Annotated[
        tuple[Annotated[str, text("an ARN", r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:([0-9]{12})?:\S+")], ...],
        a_list("ARNs"),
    ]

    @field_validator("delete_after")
    @classmethod
    def _long_enough_in_cold_storage(cls, days: int, info: ValidationInfo) -> int:
        cold = info.data.get("cold_storage_after")
        if cold and days < cold + COLD_STORAGE_DAYS:
            raise refused(
                f"at least {cold + COLD_STORAGE_DAYS} days, {COLD_STORAGE_DAYS} after coldStorageAfter ({cold})",
                "Keep them longer, or set coldStorageAfter to 0",
            )
        return days
