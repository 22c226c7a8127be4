"""Type tokens of the resources that rules look at."""

import re

STACK = "pulumi:pulumi:Stack"

CLUSTER = "aws:rds/cluster:Cluster"
INSTANCE = "aws:rds/clusterInstance:ClusterInstance"
CLUSTER_PARAMETERS = "aws:rds/clusterParameterGroup:ClusterParameterGroup"
INSTANCE_PARAMETERS = "aws:rds/parameterGroup:ParameterGroup"
GLOBAL_CLUSTER = "aws:rds/globalCluster:GlobalCluster"
CLUSTER_SNAPSHOT = "aws:rds/clusterSnapshot:ClusterSnapshot"
CLUSTER_SNAPSHOT_COPY = "aws:rds/clusterSnapshotCopy:ClusterSnapshotCopy"
PROXY = "aws:rds/proxy:Proxy"
REPLICATION_GROUP = "aws:elasticache/replicationGroup:ReplicationGroup"
REDIS_USER = "aws:elasticache/user:User"

BACKUP_VAULT = "aws:backup/vault:Vault"
BACKUP_PLAN = "aws:backup/plan:Plan"
BACKUP_SELECTION = "aws:backup/selection:Selection"
KEY = "aws:kms/key:Key"
KEYS = (
    KEY,
    "aws:kms/externalKey:ExternalKey",
    "aws:kms/replicaKey:ReplicaKey",
    "aws:kms/replicaExternalKey:ReplicaExternalKey",
)

SECURITY_GROUP = "aws:ec2/securityGroup:SecurityGroup"
DEFAULT_SECURITY_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
SECURITY_GROUP_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS_RULE = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
FIREWALL = (SECURITY_GROUP, DEFAULT_SECURITY_GROUP, SECURITY_GROUP_RULE, INGRESS_RULE, EGRESS_RULE)
PREFIX_LIST = "aws:ec2/managedPrefixList:ManagedPrefixList"
PREFIX_LIST_ENTRY = "aws:ec2/managedPrefixListEntry:ManagedPrefixListEntry"

SECRET = "kubernetes:core/v1:Secret"  # noqa: S105 - a type
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
ROLE = "kubernetes:rbac.authorization.k8s.io/v1:Role"
CLUSTER_ROLE = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"
ROLE_BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
CLUSTER_ROLE_BINDING = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding"

RANDOM_ID = "random:index/randomId:RandomId"
RANDOM_PASSWORD = "random:index/randomPassword:RandomPassword"  # noqa: S105
# Those whose values do not come twice: an integer or a shuffle may.
RANDOM = (
    RANDOM_ID,
    RANDOM_PASSWORD,
    "random:index/randomString:RandomString",
    "random:index/randomBytes:RandomBytes",
    "random:index/randomPet:RandomPet",
    "random:index/randomUuid:RandomUuid",
    "random:index/randomUuid4:RandomUuid4",
    "random:index/randomUuid7:RandomUuid7",
)

JOB = "kubernetes:batch/v1:Job"
CRON_JOB = "kubernetes:batch/v1:CronJob"
POD = "kubernetes:core/v1:Pod"
WORKLOADS = (
    JOB,
    CRON_JOB,
    POD,
    "kubernetes:apps/v1:Deployment",
    "kubernetes:apps/v1:ReplicaSet",
    "kubernetes:apps/v1:StatefulSet",
    "kubernetes:apps/v1:DaemonSet",
    "kubernetes:core/v1:ReplicationController",
)

TAGGED = (
    CLUSTER,
    INSTANCE,
    CLUSTER_PARAMETERS,
    INSTANCE_PARAMETERS,
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
    "aws:rds/subnetGroup:SubnetGroup",
    "aws:elasticache/parameterGroup:ParameterGroup",
    "aws:elasticache/subnetGroup:SubnetGroup",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:iam/role:Role",
)

AWS_NATIVE = "aws-native"
"""Every kind of Pulumi's Cloud Control provider for AWS."""

_KUBERNETES = re.compile(r"kubernetes:(?:(?P<group>[a-z0-9.]+)/)?v[0-9a-z]+:(?P<kind>[A-Za-z]+?)(?:Patch)?")


def canonical(type_: str) -> str:
    """The token that rules know: Kubernetes serves one kind under several versions, and Pulumi patches it as another.

    `kubernetes:rbac.authorization.k8s.io/v1beta1:RoleBindingPatch` is a RoleBinding of v1 to whoever it binds.
    """
    if type_.startswith(f"{AWS_NATIVE}:"):
        return AWS_NATIVE
    found = _KUBERNETES.fullmatch(type_)
    if not found:
        return type_
    # A CustomResource names the core group as Kubernetes does, by nothing; before apps, Deployments were extensions.
    group = {None: "core", "extensions": "apps"}.get(found["group"], found["group"])
    return f"kubernetes:{group}/v1:{found['kind']}"
