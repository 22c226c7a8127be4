"""What AWS says of a store, or that it has none: somebody may have deleted it, and then a restore is needed most."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from ops.aws import client, code_of
from ops.stack import DATABASE, Generation

_GONE = ("DBClusterNotFoundFault", "ReplicationGroupNotFoundFault")


def described(generation: Generation) -> dict[str, Any] | None:
    """The DB cluster or the replication group; None where AWS has none of its name."""
    return named(generation.store, generation.identifier, generation.region)


def named(store: str, identifier: str, region: str) -> dict[str, Any] | None:
    try:
        if store == DATABASE:
            answer = client("rds", region).describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"]
        else:
            elasticache = client("elasticache", region)
            answer = elasticache.describe_replication_groups(ReplicationGroupId=identifier)["ReplicationGroups"]
    except ClientError as error:
        if code_of(error) in _GONE:
            return None
        raise
    found: dict[str, Any] = answer[0]
    return found


def first_node(generation: Generation, group: dict[str, Any]) -> dict[str, Any]:
    """A replication group's: AWS tells the engine's version and the day of creation of nodes alone."""
    elasticache = client("elasticache", generation.region)
    (node,) = elasticache.describe_cache_clusters(CacheClusterId=group["MemberClusters"][0])["CacheClusters"]
    found: dict[str, Any] = node
    return found
