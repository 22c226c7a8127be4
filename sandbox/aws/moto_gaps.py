"""What moto answers wrongly or not at all in the services it serves here: one function each."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from botocore import xform_name
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.iam.access_control import PermissionResult
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy
from moto.kms import models
from moto.s3.models import FakeBucket

from sandbox.account import ACCESS_KEY_ID, CALLER_ARN
from sandbox.aws.account_state import AccountState
from sandbox.aws.operations import AwsError, Parameters, operation
from sandbox.instance import ACCOUNT_ID

# The AWS-managed policies the platform attaches; loading all 1,500 would double the start-up time.
MANAGED_POLICIES = (
    "AmazonRDSEnhancedMonitoringRole",
    "AWSBackupServiceRolePolicyForBackup",
    "AWSBackupServiceRolePolicyForRestores",
)

# What moto takes of a new EKS cluster.
EKS_CLUSTER = """name roleArn resourcesVpcConfig version kubernetesNetworkConfig logging clientRequestToken tags
    encryptionConfig"""


def fill(account: AccountState) -> None:
    # A rule on another group's traffic has a description too.
    description = property(lambda rule: (rule.ip_range or rule.source_group).get("Description"))
    SecurityGroupRule.description = description  # type: ignore[method-assign, assignment]
    # A symmetric key has no key pair, and one could not be kept on disk.
    models.generate_private_key = lambda _spec: None  # type: ignore[assignment, attr-defined, return-value]
    # Policies are recorded, not enforced; moto knows too few conditions to read one.
    FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL  # type: ignore[method-assign]
    iam = account.moto("iam", "aws")
    documents = json.loads(aws_managed_policies_data)
    for name in MANAGED_POLICIES:
        policy = AWSManagedPolicy.from_data(name, ACCOUNT_ID, "aws", documents[name])
        if policy.arn not in iam.managed_policies:
            iam.aws_managed_policies.append(policy)
            iam.managed_policies[policy.arn] = policy


@operation("sts", "GetCallerIdentity")
def get_caller_identity(_account: AccountState, _parameters: Parameters) -> dict[str, Any]:
    return {"UserId": ACCESS_KEY_ID, "Account": ACCOUNT_ID, "Arn": CALLER_ARN}


@operation("logs", "DeleteLogGroup")
def delete_log_group(account: AccountState, p: Parameters) -> dict[str, Any]:
    """As moto, which keeps the tags for the next group of that name."""
    logs = account.moto("logs")
    group = logs.groups.pop(p["logGroupName"], None)
    if group is None:
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
    logs.tagger.delete_all_tags_for_resource(group.arn)
    return {}


@operation("ec2", "ModifySecurityGroupRules")
def modify_security_group_rules(account: AccountState, p: Parameters) -> dict[str, Any]:
    """Replace rules by what is given, save for their kind of source; moto changes neither group nor description."""
    group = account.moto("ec2").get_security_group_from_id(p["GroupId"])
    if group is None:
        raise AwsError("InvalidGroup.NotFound", f"The security group '{p['GroupId']}' does not exist")
    for change in p["SecurityGroupRules"]:
        rule, given = group.get_rule(change["SecurityGroupRuleId"]), change["SecurityGroupRule"]
        if rule is None:
            message = f"The security group rule ID '{change['SecurityGroupRuleId']}' does not exist"
            raise AwsError("InvalidSecurityGroupRuleId.NotFound", message)
        said = {"Description": given["Description"]} if given.get("Description") else {}
        sources = {"CidrIpv4": "CidrIp", "CidrIpv6": "CidrIpv6", "ReferencedGroupId": "GroupId"}
        source = next(({key: given[name]} for name, key in sources.items() if name in given), {})
        if not source or not source.keys() & (rule.ip_range or rule.source_group).keys():
            message = f"You may not change the type of source of the security group rule '{rule.id}'"
            raise AwsError("InvalidParameterValue", message)
        if rule.ip_range:
            rule.ip_range = source | said
        else:
            rule.source_group = {"UserId": ACCOUNT_ID} | source | said
        rule.ip_protocol, rule.from_port, rule.to_port = (given.get(k) for k in ("IpProtocol", "FromPort", "ToPort"))
    return {"Return": True}


@operation("eks", "CreateCluster")
def create_eks_cluster(account: AccountState, p: Parameters) -> dict[str, Any]:
    """As moto, but the endpoint and CA are the real control plane's, and the cluster has its security group."""
    ec2 = account.moto("ec2")
    cluster = account.moto("eks").create_cluster(**{xform_name(name): p.get(name) for name in EKS_CLUSTER.split()})
    with account.locks["ec2"]:
        group = ec2.create_security_group(
            f"eks-cluster-sg-{p['name']}",
            "EKS created security group applied to the control plane and managed node groups.",
            ec2.get_subnet(p["resourcesVpcConfig"]["subnetIds"][0]).vpc_id,
            tags={f"kubernetes.io/cluster/{p['name']}": "owned", "aws:eks:cluster-name": p["name"]},
        )
        account.save("ec2")
    cluster.endpoint = account.instance.kubernetes_endpoint
    cluster.certificate_authority = {"data": base64.b64encode(account.instance.ca_certificate.read_bytes()).decode()}
    cluster.created_at = datetime.now(UTC)
    cluster.resources_vpc_config = {
        "endpointPublicAccess": True,
        "endpointPrivateAccess": False,
        "publicAccessCidrs": ["0.0.0.0/0"],
        "securityGroupIds": [],
        **p["resourcesVpcConfig"],
        "vpcId": group.vpc_id,
        "clusterSecurityGroupId": group.id,
    }
    return {"cluster": cluster}
