"""AWS Backup on top of the stores' own backups.

It backs up Aurora, and what `additionalResourceArns` and `selectionTags` name. ElastiCache is no resource type of AWS
Backup (API: GetSupportedResourceTypes): Redis has its snapshots, `redis.snapshotRetentionLimit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ValidationInfo, field_validator

from settings.base import Model
from settings.checks import Advice, Check, Verdict, a_list, flag, kms_key, one_of, refused, text, whole

# API: backup, BackupRuleInput.StartWindowMinutes.
SHORTEST_START_MINUTES = 60
MOST_MINUTES = 52_560_000
# API: backup, CreateBackupPlan refuses windows whose ends are closer.
WINDOWS_APART_MINUTES = 60
# API: backup, Lifecycle: at least 90 days in cold storage, at most 100 years in all.
COLD_STORAGE_DAYS = 90
MOST_DAYS = 36_500
# AWS Backup Developer Guide, "Continuous backups and point-in-time recovery".
MOST_CONTINUOUS_DAYS = 35
# API: backup, PutBackupVaultLockConfiguration.ChangeableForDays: a cooling-off period of 72 hours.
LEAST_CHANGEABLE_DAYS = 3
# The rule is called <planName>-rule, and BackupRuleInput.RuleName has at most 50 characters.
PLAN_NAME_LENGTH = 50 - len("-rule")

_FIELD = "[0-9A-Za-z*,/?#-]+"
# Services with data that AWS Backup does not know: API, GetSupportedResourceTypes.
_UNSUPPORTED = {"elasticache": "redis.snapshotRetentionLimit keeps Redis's snapshots", "memorydb": "It has its own"}


def _one_question_mark(schedule: str) -> Verdict:
    """EventBridge cron expressions: of day-of-month and day-of-week exactly one is `?`."""
    fields = schedule[len("cron(") : -1].split()
    if (fields[2] == "?") == (fields[4] == "?"):
        return Advice("Write ? for exactly one of the third field (day of month) and the fifth (day of week)")
    return None


def _can_be_backed_up(arn: str) -> Verdict:
    if instead := _UNSUPPORTED.get(arn.split(":")[2]):
        return Advice(f"Take it out: AWS Backup does not support this service. {instead}")
    if "*" in arn[:-1]:
        return Advice("Put the * at the end: AWS Backup takes it nowhere else")
    return None


def _not_of_aws(key: str) -> Verdict:
    return Advice("Choose a tag of yours") if key.startswith("aws:") else None


def _a_mapping(value: object) -> Verdict:
    return None if isinstance(value, dict) else Advice("Write one tag a line, key: value")


_TagKey = Annotated[
    str, text("a tag key of at most 128 characters, without aws:", r"\S.*", longest=128, also=_not_of_aws)
]
_TagValue = Annotated[str, text("a tag value of at most 256 characters", ".*", longest=256)]


def _cold_storage(days: int, info: ValidationInfo) -> int:
    cold = info.data.get("cold_storage_after")
    if cold and days < cold + COLD_STORAGE_DAYS:
        raise refused(
            f"at least {cold + COLD_STORAGE_DAYS} days, {COLD_STORAGE_DAYS} after coldStorageAfter ({cold})",
            "Keep them longer, or set coldStorageAfter to 0",
        )
    return days


class VaultLock(Model):
    """What nobody can undo before its time: recovery points cannot be deleted, and their retention has bounds."""

    mode: Annotated[Literal["governance", "compliance"], one_of("governance", "compliance")]
    """`governance` can be lifted by whoever has the right, `compliance` by nobody once `changeableForDays` are over."""
    changeable_for_days: Annotated[int, whole(LEAST_CHANGEABLE_DAYS, MOST_DAYS, "days")] | None = None
    min_retention_days: Annotated[int, whole(1, MOST_DAYS, "days")] | None = None
    max_retention_days: Annotated[int, whole(1, MOST_DAYS, "days")] | None = None

    @field_validator("changeable_for_days")
    @classmethod
    def _of_compliance(cls, days: int | None, info: ValidationInfo) -> int | None:
        mode = info.data.get("mode")
        if mode == "compliance" and days is None:
            raise refused(
                f"changeableForDays from {LEAST_CHANGEABLE_DAYS} to {MOST_DAYS} with mode compliance",
                "Say for how long the lock may still be lifted: after that nobody can, AWS included",
                above=True,
            )
        if mode == "governance" and days is not None:
            raise refused(
                "absent with mode governance", "Take it out: with it AWS makes the lock one that nobody can lift"
            )
        return days

    @field_validator("max_retention_days")
    @classmethod
    def _not_below_the_least(cls, most: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get("min_retention_days")
        if least and most and most < least:
            raise refused(f"at least minRetentionDays ({least})", "Raise it, or lower minRetentionDays")
        return most


class Copy(Model):
    """A second copy of every recovery point, in another region or another account.

    AWS copies Aurora's to another region or to another account, not both at once (AWS Backup Developer Guide, "Copy a
    backup"), so there is one copy; of a continuous backup it is a snapshot.
    """

    vault_arn: Annotated[
        str,
        text(
            "the ARN of a backup vault, arn:aws:backup:<region>:<account>:backup-vault:<name>",
            r"arn:aws[a-z-]*:backup:[a-z0-9-]+:[0-9]{12}:backup-vault:[A-Za-z0-9_-]{2,50}",
        ),
    ]
    cold_storage_after: Annotated[int, whole(0, MOST_DAYS, "days")] = 0
    """0 keeps the copies warm."""
    delete_after: Annotated[int, whole(1, MOST_DAYS, "days")]

    _long_enough = field_validator("delete_after")(_cold_storage)


class Backup(Model):
    """One plan, one vault, one rule. Off by default, as in the old module."""

    enabled: Annotated[bool, flag()]
    vault_name: Annotated[
        # API: backup, BackupVaultName.
        str, text("2 to 50 letters, digits, hyphens and underscores", "[A-Za-z0-9_-]{2,50}")
    ]
    kms_key_id: Annotated[str, kms_key()] | None = None
    """Encrypts the vault; None for AWS's own `aws/backup` key. Aurora's points keep their cluster's key."""
    plan_name: Annotated[
        # API: backup, BackupPlanInput.BackupPlanName.
        str,
        text(
            f"at most {PLAN_NAME_LENGTH} letters, digits and - _ . (the rule is called so too, with -rule behind)",
            f"[A-Za-z0-9_.-]{{1,{PLAN_NAME_LENGTH}}}",
        ),
    ]
    schedule: Annotated[
        str,
        text(
            "a cron expression of six fields, in UTC, like cron(0 3 * * ? *)",
            rf"cron\({_FIELD}( {_FIELD}){{5}}\)",
            also=_one_question_mark,
        ),
    ]
    start_window: Annotated[int, whole(SHORTEST_START_MINUTES, MOST_MINUTES, "minutes")]
    completion_window: Annotated[int, whole(1, MOST_MINUTES, "minutes")]
    additional_resource_arns: Annotated[
        tuple[
            Annotated[
                str,
                text(
                    "an ARN of what AWS Backup supports, with a * at most at its end",
                    r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:([0-9]{12})?:\S+",
                    also=_can_be_backed_up,
                ),
            ],
            ...,
        ],
        a_list("ARNs"),
    ]
    selection_tags: Annotated[Mapping[_TagKey, _TagValue], Check("tags, a value for each key", _a_mapping)]
    """Whatever carries one of these tags is backed up as well."""
    enable_continuous_backup: Annotated[bool, flag()]
    """AWS Backup then owns the database's retention and window: they are set at creation only."""
    cold_storage_after: Annotated[int, whole(0, MOST_DAYS, "days")]
    """0 keeps recovery points warm."""
    delete_after: Annotated[int, whole(1, MOST_DAYS, "days")]
    vault_lock: VaultLock | None = None
    copy_to: Copy | None = None

    @field_validator("completion_window")
    @classmethod
    def _ends_after_the_start(cls, minutes: int, info: ValidationInfo) -> int:
        start = info.data.get("start_window")
        if start and minutes < start + WINDOWS_APART_MINUTES:
            raise refused(
                f"at least {start + WINDOWS_APART_MINUTES} minutes, {WINDOWS_APART_MINUTES} more than startWindow "
                f"({start})",
                "Make it longer",
            )
        return minutes

    @field_validator("cold_storage_after")
    @classmethod
    def _something_that_gets_cold(cls, days: int, info: ValidationInfo) -> int:
        known = info.data
        if days and known.get("enable_continuous_backup"):
            raise refused("0 with enableContinuousBackup: continuous backups stay warm", "Set it to 0")
        if days and known.get("additional_resource_arns") == () and known.get("selection_tags") == {}:
            # "Feature availability by resource", AWS Backup Developer Guide: AWS ignores it for Aurora.
            raise refused(
                "0 while only Aurora is backed up, which has no cold storage",
                "Set it to 0, or name what else is backed up in additionalResourceArns or selectionTags",
            )
        return days

    @field_validator("delete_after")
    @classmethod
    def _continuous_has_an_end(cls, days: int, info: ValidationInfo) -> int:
        if info.data.get("enable_continuous_backup") and days > MOST_CONTINUOUS_DAYS:
            raise refused(
                f"at most {MOST_CONTINUOUS_DAYS} days with enableContinuousBackup", "Keep them for less, or take it out"
            )
        return _cold_storage(days, info)

    @field_validator("vault_lock")
    @classmethod
    def _lets_the_plan_work(cls, lock: VaultLock | None, info: ValidationInfo) -> VaultLock | None:
        """API, PutBackupVaultLockConfiguration: a job whose retention is out of bounds fails."""
        days = info.data.get("delete_after")
        if lock and days and not (lock.min_retention_days or 1) <= days <= (lock.max_retention_days or MOST_DAYS):
            raise refused(
                f"a lock that admits deleteAfter ({days}): minRetentionDays at most, maxRetentionDays at least that",
                "Change deleteAfter or the lock: AWS would fail every backup",
            )
        return lock
