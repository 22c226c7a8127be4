"""The ElastiCache replication group, Redis or Valkey."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import SecretStr, ValidationInfo, field_validator

from settings.checks import flag, one_of, refused, text, whole
from settings.generations import RedisGeneration
from settings.store import GenerationKey, Store
from settings.windows import daily_window, weekly_window, windows_meet

# API: CreateReplicationGroup, NumCacheClusters: one primary and up to 5 replicas.
NODE_COUNT = (1, 6)
FEWEST_NODES_FOR_FAILOVER = 2
# TCP; the API names no narrower range.
PORT = (1, 65535)
# API: CreateReplicationGroup, PreferredMaintenanceWindow; the snapshot window's hour is the User Guide's.
SHORTEST_WINDOW_MINUTES = 60
# ElastiCache User Guide, "Scheduling automatic backups"; 0 is no backups.
SNAPSHOT_RETENTION_DAYS = (0, 35)
# API: CreateReplicationGroup, AuthToken.
TOKEN_LENGTH = (16, 128)
# What CreateReplicationGroup takes, and the parameter-group family of each (User Guide, "Supported engine versions").
FAMILIES: Mapping[str, Mapping[str, str]] = {
    "redis": {
        "4.0.10": "redis4.0",
        "5.0.6": "redis5.0",
        "6.x": "redis6.x",
        "6.0": "redis6.x",
        "6.2": "redis6.x",
        "7.0": "redis7",
        "7.1": "redis7",
    },
    "valkey": {
        "7.2": "valkey7",
        "8.0": "valkey8",
        "8.1": "valkey8",
        "8.2": "valkey8",
        "9.0": "valkey9",
        "9.1": "valkey9",
    },
}


class Redis(Store):
    """Every variable of the old module, and what it lacked."""

    engine: Annotated[Literal["redis", "valkey"], one_of("redis", "valkey")]
    engine_version: Annotated[str, text('an engine version in quotes, like "7.1"', r"[0-9]+\.[0-9x]+(\.[0-9]+)?")]
    node_type: Annotated[
        str,
        text(
            "a node type like cache.r6g.large, not of r6gd, which tiers data to disks",
            r"cache\.(?!r6gd\.)[a-z0-9]+\.[a-z0-9]+",
        ),
    ]
    num_cache_clusters: Annotated[int, whole(*NODE_COUNT, "nodes")]
    """The primary and its replicas together."""
    automatic_failover_enabled: Annotated[bool, flag()]
    multi_az_enabled: Annotated[bool, flag()]
    port: Annotated[int, whole(*PORT)]
    parameter_group_family: Annotated[str, text("a parameter-group family like redis7", "[a-z0-9.]+")] | None = None
    """None follows from the engine and its version; see `family`."""
    snapshot_window: Annotated[str, daily_window(SHORTEST_WINDOW_MINUTES)]
    maintenance_window: Annotated[str, weekly_window(SHORTEST_WINDOW_MINUTES)]
    snapshot_retention_limit: Annotated[int, whole(*SNAPSHOT_RETENTION_DAYS, "days")]
    transit_encryption_enabled: Annotated[bool, flag()]
    at_rest_encryption_enabled: Annotated[bool, flag()]
    auth_token: (
        Annotated[
            SecretStr,
            text(
                f"{TOKEN_LENGTH[0]} to {TOKEN_LENGTH[1]} letters, digits and ! & # $ ^ < > -",
                rf"[A-Za-z0-9!&#$^<>-]{{{TOKEN_LENGTH[0]},{TOKEN_LENGTH[1]}}}",
                hidden=True,
            ),
        ]
        | None
    ) = None
    """None generates one, where transit is encrypted."""
    generations: Mapping[GenerationKey, RedisGeneration]

    @property
    def family(self) -> str:
        return FAMILIES[self.engine][self.engine_version]

    @field_validator("engine_version")
    @classmethod
    def _version_of_engine(cls, version: str, info: ValidationInfo) -> str:
        engine = info.data.get("engine")
        if engine and version not in FAMILIES[engine]:
            offered = ", ".join(f'"{known}"' for known in FAMILIES[engine])
            raise refused(f"one of {offered} for engine {engine}", "Choose a version that ElastiCache offers")
        return version

    @field_validator("parameter_group_family")
    @classmethod
    def _family_of_version(cls, family: str | None, info: ValidationInfo) -> str | None:
        engine, version = info.data.get("engine"), info.data.get("engine_version")
        if family and engine and version and family != FAMILIES[engine][version]:
            raise refused(
                f"{FAMILIES[engine][version]}, the family of {engine} {version}",
                "Take it out (it follows from the engine's version), or change engineVersion",
            )
        return family

    @field_validator("automatic_failover_enabled", "multi_az_enabled")
    @classmethod
    def _needs_a_replica(cls, enabled: bool, info: ValidationInfo) -> bool:
        nodes = info.data.get("num_cache_clusters")
        if enabled and nodes is not None and nodes < FEWEST_NODES_FOR_FAILOVER:
            raise refused(
                f"false while numCacheClusters is {nodes}",
                "Set automaticFailoverEnabled and multiAzEnabled to false on purpose, or have a replica",
            )
        if enabled and info.field_name == "multi_az_enabled" and info.data.get("automatic_failover_enabled") is False:
            raise refused("false while automaticFailoverEnabled is false", "Turn failover on, or set this to false")
        return enabled

    @field_validator("maintenance_window")
    @classmethod
    def _clear_of_snapshots(cls, window: str, info: ValidationInfo) -> str:
        snapshots = info.data.get("snapshot_window")
        if snapshots and windows_meet(snapshots, window):
            raise refused(f"a window clear of snapshotWindow ({snapshots})", "Move one of the two")
        return window

    @field_validator("at_rest_encryption_enabled")
    @classmethod
    def _key_needs_encryption(cls, enabled: bool, info: ValidationInfo) -> bool:
        if not enabled and info.data.get("kms_key_id") is not None:
            raise refused("true while kmsKeyId is set", "Encrypt data at rest, or take kmsKeyId out")
        return enabled

    @field_validator("auth_token")
    @classmethod
    def _token_needs_tls(cls, token: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if token is not None and info.data.get("transit_encryption_enabled") is False:
            raise refused(
                "absent while transitEncryptionEnabled is false", "Take it out, or encrypt transit", hidden=True
            )
        return token
