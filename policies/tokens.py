"""Type tokens of the resources that rules look at."""

STACK = "pulumi:pulumi:Stack"

CLUSTER = "aws:rds/cluster:Cluster"
INSTANCE = "aws:rds/clusterInstance:ClusterInstance"
CLUSTER_PARAMETERS = "aws:rds/clusterParameterGroup:ClusterParameterGroup"
GLOBAL_CLUSTER = "aws:rds/globalCluster:GlobalCluster"
CLUSTER_SNAPSHOT = "aws:rds/clusterSnapshot:ClusterSnapshot"
CLUSTER_SNAPSHOT_COPY = "aws:rds/clusterSnapshotCopy:ClusterSnapshotCopy"
REPLICATION_GROUP = "aws:elasticache/replicationGroup:ReplicationGroup"

# Stores that no rule here can vouch for.
UNCOVERED_STORES = (
    "aws:docdb/cluster:Cluster",
    "aws:dynamodb/table:Table",
    "aws:elasticache/cluster:Cluster",
    "aws:elasticache/serverlessCache:ServerlessCache",
    "aws:memorydb/cluster:Cluster",
    "aws:neptune/cluster:Cluster",
    "aws:rds/instance:Instance",
)

BACKUP_VAULT = "aws:backup/vault:Vault"
BACKUP_PLAN = "aws:backup/plan:Plan"
BACKUP_SELECTION = "aws:backup/selection:Selection"
KEY = "aws:kms/key:Key"

SECURITY_GROUP = "aws:ec2/securityGroup:SecurityGroup"
SECURITY_GROUP_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS_RULE = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
FIREWALL = (SECURITY_GROUP, SECURITY_GROUP_RULE, INGRESS_RULE, EGRESS_RULE)

SECRET = "kubernetes:core/v1:Secret"  # noqa: S105 - a type
ROLE = "kubernetes:rbac.authorization.k8s.io/v1:Role"
CLUSTER_ROLE = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"
ROLE_BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
CLUSTER_ROLE_BINDING = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding"
RANDOM_PASSWORD = "random:index/randomPassword:RandomPassword"  # noqa: S105

JOB = "kubernetes:batch/v1:Job"
CRON_JOB = "kubernetes:batch/v1:CronJob"
POD = "kubernetes:core/v1:Pod"
WORKLOADS = (
    JOB,
    CRON_JOB,
    POD,
    "kubernetes:apps/v1:Deployment",
    "kubernetes:apps/v1:StatefulSet",
    "kubernetes:apps/v1:DaemonSet",
)

TAGGED = (
    CLUSTER,
    INSTANCE,
    CLUSTER_PARAMETERS,
    GLOBAL_CLUSTER,
    CLUSTER_SNAPSHOT,
    CLUSTER_SNAPSHOT_COPY,
    REPLICATION_GROUP,
    BACKUP_VAULT,
    BACKUP_PLAN,
    KEY,
    SECURITY_GROUP,
    INGRESS_RULE,
    EGRESS_RULE,
    "aws:rds/parameterGroup:ParameterGroup",
    "aws:rds/subnetGroup:SubnetGroup",
    "aws:elasticache/parameterGroup:ParameterGroup",
    "aws:elasticache/subnetGroup:SubnetGroup",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:iam/role:Role",
)
