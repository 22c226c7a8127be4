"""What the operators' commands need to know of the stores: no name is typed where one can be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.aurora import AuroraCluster
from components.redis import RedisReplicationGroup
from settings import Settings
from settings.names import MAIN


def stores_output(
    settings: Settings, databases: Mapping[str, AuroraCluster], caches: Mapping[str, RedisReplicationGroup]
) -> dict[str, Any]:
    """For each store the serving generation, and every generation's physical name and way in.

    Passwords stay secret inside it: `pulumi stack output` shows the rest.
    """
    database, redis = settings.database, settings.redis
    return {
        "database": {
            "name": settings.names(database, MAIN).store,
            "serving": database.serving,
            "generations": {
                key: {
                    "identifier": settings.names(database, key).store,
                    "arn": cluster.cluster_arn,
                    "host": cluster.endpoint,
                    "readerHost": cluster.reader_endpoint,
                    "port": cluster.port,
                    "database": cluster.database_name,
                    "username": cluster.username,
                    "password": cluster.password,
                }
                for key, cluster in databases.items()
            },
        },
        "redis": {
            "name": settings.names(redis, MAIN).store,
            "serving": redis.serving,
            "generations": {
                key: {
                    "identifier": settings.names(redis, key).store,
                    "arn": group.replication_group_arn,
                    "host": group.primary_endpoint,
                    "readerHost": group.reader_endpoint,
                    "tls": settings.redis.transit_encryption_enabled,
                    "port": group.port,
                    "password": group.auth_token,
                }
                for key, group in caches.items()
            },
        },
    }
