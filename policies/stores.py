"""Which kinds of resource hold data, and what this pack does about each: no store passes because nobody looks at it.

Everything in the packages of `PACKAGES` is in one of three places: it has rules of its own (`RULED`), it is refused
because it has none (`REFUSED`), or it holds no data and opens no way to any (`NO_DATA`). A test holds the three
against the SDK, so that a new kind is decided about when the SDK is upgraded. Files are not this platform's data:
S3, EFS and FSx are not looked at, and neither are other clouds.
"""

from collections.abc import Mapping

from policies.tokens import (
    AWS_NATIVE,
    BACKUP_PLAN,
    BACKUP_SELECTION,
    BACKUP_VAULT,
    CLUSTER,
    CLUSTER_PARAMETERS,
    CLUSTER_SNAPSHOT,
    CLUSTER_SNAPSHOT_COPY,
    GLOBAL_CLUSTER,
    INSTANCE,
    INSTANCE_PARAMETERS,
    KEYS,
    PROXY,
    REDIS_USER,
    REPLICATION_GROUP,
)

PACKAGES = ("backup", "cloudcontrol", "cloudformation", "elasticache", "kms", "rds")

RULED: tuple[str, ...] = (
    CLUSTER, INSTANCE, CLUSTER_PARAMETERS, INSTANCE_PARAMETERS, GLOBAL_CLUSTER, CLUSTER_SNAPSHOT, CLUSTER_SNAPSHOT_COPY,
    PROXY, REPLICATION_GROUP, REDIS_USER, BACKUP_PLAN, BACKUP_SELECTION, BACKUP_VAULT, *KEYS,
)  # fmt: skip

_STORE = "it holds data, and no rule here knows its backups, its encryption and who reaches it"
_COPY = "it carries data away, and no rule here knows where to"
_OPAQUE = "it makes resources of any kind, which no rule here gets to see"

REFUSED: Mapping[str, str] = {
    "aws:elasticache/cluster:Cluster": _STORE,
    "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup": _STORE,
    "aws:elasticache/serverlessCache:ServerlessCache": _STORE,
    "aws:rds/instance:Instance": _STORE,
    "aws:rds/shardGroup:ShardGroup": _STORE,
    "aws:rds/snapshot:Snapshot": _STORE,
    "aws:rds/snapshotCopy:SnapshotCopy": _STORE,
    "aws:backup/logicallyAirGappedVault:LogicallyAirGappedVault": _STORE,
    "aws:rds/clusterActivityStream:ClusterActivityStream": _COPY,
    "aws:rds/exportTask:ExportTask": _COPY,
    "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication": _COPY,
    "aws:rds/integration:Integration": _COPY,
    AWS_NATIVE: "Pulumi's other AWS provider has everything under other names, which no rule here knows",
    "pulumi-python:dynamic:Resource": _OPAQUE,
    "aws:cloudcontrol/resource:Resource": _OPAQUE,
    "aws:cloudformation/stack:Stack": _OPAQUE,
    "aws:cloudformation/stackInstances:StackInstances": _OPAQUE,
    "aws:cloudformation/stackSet:StackSet": _OPAQUE,
    "aws:cloudformation/stackSetInstance:StackSetInstance": _OPAQUE,
    # Of other packages: the kinds that hold data.
    **dict.fromkeys(
        (
            "aws:cloudsearch/domain:Domain",
            "aws:dax/cluster:Cluster",
            "aws:dms/replicationConfig:ReplicationConfig",
            "aws:dms/replicationTask:ReplicationTask",
            "aws:docdb/cluster:Cluster",
            "aws:docdb/clusterSnapshot:ClusterSnapshot",
            "aws:docdb/elasticCluster:ElasticCluster",
            "aws:docdb/globalCluster:GlobalCluster",
            "aws:dsql/cluster:Cluster",
            "aws:dynamodb/globalTable:GlobalTable",
            "aws:dynamodb/table:Table",
            "aws:dynamodb/tableReplica:TableReplica",
            "aws:elasticsearch/domain:Domain",
            "aws:keyspaces/table:Table",
            "aws:lightsail/database:Database",
            "aws:memorydb/cluster:Cluster",
            "aws:memorydb/multiRegionCluster:MultiRegionCluster",
            "aws:memorydb/snapshot:Snapshot",
            "aws:neptune/cluster:Cluster",
            "aws:neptune/clusterSnapshot:ClusterSnapshot",
            "aws:neptune/globalCluster:GlobalCluster",
            "aws:neptunegraph/graph:Graph",
            "aws:opensearch/domain:Domain",
            "aws:opensearch/serverlessCollection:ServerlessCollection",
            "aws:qldb/ledger:Ledger",
            "aws:redshift/cluster:Cluster",
            "aws:redshift/clusterSnapshot:ClusterSnapshot",
            "aws:redshiftserverless/namespace:Namespace",
            "aws:redshiftserverless/snapshot:Snapshot",
            "aws:timestreaminfluxdb/dbCluster:DbCluster",
            "aws:timestreaminfluxdb/dbInstance:DbInstance",
            "aws:timestreamwrite/table:Table",
        ),
        _STORE,
    ),
}

UNRULED_STORES = tuple(type_ for type_, why in REFUSED.items() if why == _STORE)

# Settings, access and bookkeeping of stores: what they belong to is looked at.
NO_DATA: tuple[str, ...] = (
    "aws:backup/framework:Framework",
    "aws:backup/globalSettings:GlobalSettings",
    "aws:backup/regionSettings:RegionSettings",
    "aws:backup/reportPlan:ReportPlan",
    "aws:backup/restoreTestingPlan:RestoreTestingPlan",
    "aws:backup/restoreTestingSelection:RestoreTestingSelection",
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration",
    "aws:backup/vaultNotifications:VaultNotifications",
    "aws:backup/vaultPolicy:VaultPolicy",
    "aws:cloudformation/cloudFormationType:CloudFormationType",
    "aws:elasticache/parameterGroup:ParameterGroup",
    "aws:elasticache/reservedCacheNode:ReservedCacheNode",
    "aws:elasticache/subnetGroup:SubnetGroup",
    "aws:elasticache/userGroup:UserGroup",
    "aws:elasticache/userGroupAssociation:UserGroupAssociation",
    "aws:kms/alias:Alias",
    "aws:kms/ciphertext:Ciphertext",
    "aws:kms/customKeyStore:CustomKeyStore",
    "aws:kms/grant:Grant",
    "aws:kms/keyPolicy:KeyPolicy",
    "aws:rds/certificate:Certificate",
    "aws:rds/clusterEndpoint:ClusterEndpoint",
    "aws:rds/clusterRoleAssociation:ClusterRoleAssociation",
    "aws:rds/customDbEngineVersion:CustomDbEngineVersion",
    "aws:rds/eventSubscription:EventSubscription",
    "aws:rds/instanceDesiredState:InstanceDesiredState",
    "aws:rds/optionGroup:OptionGroup",
    "aws:rds/proxyDefaultTargetGroup:ProxyDefaultTargetGroup",
    "aws:rds/proxyEndpoint:ProxyEndpoint",
    "aws:rds/proxyTarget:ProxyTarget",
    "aws:rds/reservedInstance:ReservedInstance",
    "aws:rds/roleAssociation:RoleAssociation",
    "aws:rds/subnetGroup:SubnetGroup",
)
