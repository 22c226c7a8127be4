"""The Aurora PostgreSQL cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import SecretStr, ValidationInfo, field_validator

from settings.base import Model
from settings.checks import Advice, Verdict, flag, in_steps, one_of, refused, text, whole, whole_among
from settings.generations import DatabaseGeneration
from settings.store import GenerationKey, Store
from settings.windows import daily_window, weekly_window, windows_meet

# API: CreateDBCluster, BackupRetentionPeriod; Aurora backups cannot be turned off.
BACKUP_RETENTION_DAYS = (1, 35)
# One writer and up to 15 readers (Aurora User Guide, "Aurora DB clusters").
INSTANCE_COUNT = (1, 16)
# API: CreateDBCluster, Port.
PORT = (1150, 65535)
# API: CreateDBCluster, PreferredBackupWindow and PreferredMaintenanceWindow.
SHORTEST_WINDOW_MINUTES = 30
# API: CreateDBCluster, PerformanceInsightsRetentionPeriod: 7, months of 31 days from 1 to 23, or two years.
INSIGHTS_RETENTION_DAYS = frozenset({7, 731, *(31 * month for month in range(1, 24))})
# API: CreateDBCluster, DatabaseInsightsMode.
ADVANCED_RETENTION_DAYS = 465
# API: CreateDBInstance, MonitoringInterval.
MONITORING_SECONDS = frozenset({0, 1, 5, 10, 15, 30, 60})
# Aurora PostgreSQL majors that AWS runs, in standard or Extended Support (Aurora release calendar, October 2026).
OLDEST_MAJOR, NEWEST_MAJOR = 11, 18
# API: CreateDBCluster, MasterUsername; `admin` and `rdsadmin` are Aurora's own, `pg_` is PostgreSQL's.
USERNAME_LENGTH = 16
RESERVED_USERNAMES = frozenset({"admin", "rdsadmin"})
# API: CreateDBCluster says 64, CreateDBInstance and PostgreSQL (NAMEDATALEN) 63.
DATABASE_NAME_LENGTH = 63
# Databases that every cluster already has, or that PostgreSQL keeps for itself.
RESERVED_DATABASES = frozenset({"postgres", "rdsadmin", "template0", "template1"})
# API: CreateDBCluster, MasterUserPassword.
PASSWORD_LENGTH = (8, 41)
# API: ServerlessV2ScalingConfiguration, in Aurora capacity units.
CAPACITY_STEP = 0.5
LEAST_CAPACITY, LEAST_MAXIMUM, MOST_CAPACITY = 0, 1, 256
AUTO_PAUSE_SECONDS = (300, 86_400)
# First minor of each major that can pause (Aurora User Guide, "Scaling to zero"); later majors all can.
AUTO_PAUSE_SINCE = {13: 15, 14: 12, 15: 7, 16: 3}
SERVERLESS_CLASS = "db.serverless"

# The key words that PostgreSQL reserves: pg_get_keywords(), catcode R.
_RESERVED = (
    "all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create "
    "current_catalog current_date current_role current_time current_timestamp current_user default deferrable desc "
    "distinct do else end except false fetch for foreign from grant group having in initially intersect into lateral "
    "leading limit localtime localtimestamp not null offset on only or order placing primary references returning "
    "select session_user some symmetric table then to trailing true union unique user using variadic when where "
    "window with"
)
RESERVED_WORDS = frozenset(_RESERVED.split())


def _known_major(version: str) -> Verdict:
    major = int(version.partition(".")[0])
    return None if OLDEST_MAJOR <= major <= NEWEST_MAJOR else Advice("Choose a version that AWS offers")


def _free_username(name: str) -> Verdict:
    reserved = name.lower() in RESERVED_USERNAMES | RESERVED_WORDS or name.lower().startswith("pg_")
    return Advice("Choose a name that is not reserved") if reserved else None


def _free_database(name: str) -> Verdict:
    reserved = name.lower() in RESERVED_DATABASES | RESERVED_WORDS
    return Advice("Choose a name that is not reserved") if reserved else None


Capacity = in_steps(LEAST_CAPACITY, MOST_CAPACITY, CAPACITY_STEP)


class Serverless(Model):
    """Capacity range of `db.serverless` instances, in Aurora capacity units."""

    min_capacity: Annotated[float, Capacity]
    max_capacity: Annotated[float, in_steps(LEAST_MAXIMUM, MOST_CAPACITY, CAPACITY_STEP)]
    seconds_until_auto_pause: Annotated[int, whole(*AUTO_PAUSE_SECONDS, "seconds")] | None = None

    @field_validator("max_capacity")
    @classmethod
    def _not_below_minimum(cls, maximum: float, info: ValidationInfo) -> float:
        minimum = info.data.get("min_capacity")
        if minimum is not None and maximum < minimum:
            raise refused(f"at least minCapacity ({minimum:g})", "Raise it, or lower minCapacity")
        return maximum

    @field_validator("seconds_until_auto_pause")
    @classmethod
    def _only_if_it_pauses(cls, seconds: int | None, info: ValidationInfo) -> int | None:
        if seconds is not None and info.data.get("min_capacity", 0) > 0:
            raise refused("absent while minCapacity is above 0", "Take it out, or set minCapacity to 0")
        return seconds


class Database(Store):
    """Every variable of the old module, and what it lacked."""

    engine_version: Annotated[
        str,
        text(
            f"an Aurora PostgreSQL version from {OLDEST_MAJOR} to {NEWEST_MAJOR} in quotes, "
            'like "16.15", or "16" for AWS\'s default minor',
            "[1-9][0-9](\\.[0-9]{1,2})?",
            also=_known_major,
        ),
    ]
    db_name: Annotated[
        str,
        text(
            f"at most {DATABASE_NAME_LENGTH} letters, digits and underscores, a letter first, no reserved word",
            "[A-Za-z][A-Za-z0-9_]*",
            longest=DATABASE_NAME_LENGTH,
            spelled=lambda value: value.strip().replace("-", "_"),
            also=_free_database,
        ),
    ]
    master_username: Annotated[
        str,
        text(
            f"at most {USERNAME_LENGTH} letters, digits and underscores, a letter first; "
            "not admin, rdsadmin, pg_… or a reserved word",
            "[A-Za-z][A-Za-z0-9_]*",
            longest=USERNAME_LENGTH,
            spelled=lambda value: value.strip().replace("-", "_"),
            also=_free_username,
        ),
    ]
    master_password: (
        Annotated[
            SecretStr,
            text(
                f'{PASSWORD_LENGTH[0]} to {PASSWORD_LENGTH[1]} printable ASCII characters without / " @',
                rf'(?:(?![/"@])[ -~]){{{PASSWORD_LENGTH[0]},{PASSWORD_LENGTH[1]}}}',
                hidden=True,
            ),
        ]
        | None
    ) = None
    """None generates one."""
    instance_class: Annotated[
        str, text("an instance class like db.r6g.large, or db.serverless", r"db\.([a-z0-9-]+\.[a-z0-9]+|serverless)")
    ]
    instance_count: Annotated[int, whole(*INSTANCE_COUNT)]
    port: Annotated[int, whole(*PORT)]
    backup_retention_period: Annotated[int, whole(*BACKUP_RETENTION_DAYS, "days")]
    preferred_backup_window: Annotated[str, daily_window(SHORTEST_WINDOW_MINUTES)]
    preferred_maintenance_window: Annotated[str, weekly_window(SHORTEST_WINDOW_MINUTES)]
    storage_type: Annotated[Literal["aurora", "aurora-iopt1"], one_of("aurora", "aurora-iopt1")] | None = None
    performance_insights_enabled: Annotated[bool, flag()]
    database_insights_mode: Annotated[Literal["standard", "advanced"], one_of("standard", "advanced")]
    performance_insights_retention_period: (
        Annotated[int, whole_among(INSIGHTS_RETENTION_DAYS, "7, 731, or 31 times 1 to 23 (31, 62 … 465 … 713) days")]
        | None
    ) = None
    """None without Performance Insights."""
    monitoring_interval: Annotated[
        int, whole_among(MONITORING_SECONDS, f"one of {', '.join(map(str, sorted(MONITORING_SECONDS)))} seconds")
    ]
    deletion_protection: Annotated[bool, flag()]
    allow_major_version_upgrade: Annotated[bool, flag()]
    iam_database_authentication_enabled: Annotated[bool, flag()]
    serverless: Serverless | None = None
    generations: Mapping[GenerationKey, DatabaseGeneration]

    @property
    def family(self) -> str:
        return f"aurora-postgresql{self.engine_version.partition('.')[0]}"

    @field_validator("preferred_maintenance_window")
    @classmethod
    def _clear_of_backups(cls, window: str, info: ValidationInfo) -> str:
        backups = info.data.get("preferred_backup_window")
        if backups and windows_meet(backups, window):
            raise refused(f"a window clear of preferredBackupWindow ({backups})", "Move one of the two")
        return window

    @field_validator("database_insights_mode")
    @classmethod
    def _mode_needs_insights(cls, mode: str, info: ValidationInfo) -> str:
        if mode == "advanced" and info.data.get("performance_insights_enabled") is False:
            raise refused("standard while performanceInsightsEnabled is false", "Turn it on, or use standard")
        return mode

    @field_validator("performance_insights_retention_period")
    @classmethod
    def _retention_fits_insights(cls, days: int | None, info: ValidationInfo) -> int | None:
        if days is not None and info.data.get("performance_insights_enabled") is False:
            raise refused("absent while performanceInsightsEnabled is false", "Take it out, or turn Insights on")
        if days != ADVANCED_RETENTION_DAYS and info.data.get("database_insights_mode") == "advanced":
            raise refused(
                f"{ADVANCED_RETENTION_DAYS} days while databaseInsightsMode is advanced",
                f"Set it to {ADVANCED_RETENTION_DAYS}, or databaseInsightsMode to standard",
            )
        return days

    @field_validator("allow_major_version_upgrade")
    @classmethod
    def _upgraded_at_once(cls, allowed: bool, info: ValidationInfo) -> bool:
        # The instances' parameter group changes family in the same update; until the cluster has, AWS refuses that.
        if allowed and info.data.get("apply_immediately") is False:
            raise refused(
                "false while applyImmediately is false",
                "Set applyImmediately to true beside it: a major upgrade cannot wait for the maintenance window",
            )
        return allowed

    @field_validator("serverless")
    @classmethod
    def _serverless_fits(cls, serverless: Serverless | None, info: ValidationInfo) -> Serverless | None:
        instance_class = info.data.get("instance_class", "")
        if serverless is None:
            if instance_class == SERVERLESS_CLASS:
                raise refused(
                    f"minCapacity and maxCapacity beside instanceClass {SERVERLESS_CLASS}", "Add them under serverless"
                )
            return None
        if instance_class and instance_class != SERVERLESS_CLASS:
            raise refused(
                f"absent while instanceClass is {instance_class}",
                "Take one of the two out: serverless brings its class",
            )
        version = info.data.get("engine_version", "")
        if serverless.min_capacity == 0 and version and not _can_pause(version):
            raise refused(
                f"minCapacity from {CAPACITY_STEP} while engineVersion is {version}",
                f"Raise minCapacity, or upgrade: pausing needs {_pausing_versions()} or later",
            )
        return serverless


def _can_pause(version: str) -> bool:
    major, _, minor = version.partition(".")
    if int(major) > max(AUTO_PAUSE_SINCE):
        return True
    since = AUTO_PAUSE_SINCE.get(int(major))
    # A bare major is AWS's current minor.
    return since is not None and (not minor or int(minor) >= since)


def _pausing_versions() -> str:
    return ", ".join(f"{major}.{minor}" for major, minor in AUTO_PAUSE_SINCE.items())
