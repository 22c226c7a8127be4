"""The AWS account and the namespaces as the old Terraform root and its deploy script left them.

This is what the platform is put into, not what it makes. Every step looks before it creates, so
furnishing a furnished sandbox changes nothing.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError
from sandbox.instance import ACCOUNT_ID, REGION, Instance
from sandbox.toolchain import tools

ACCESS_KEY_ID = "AKIASANDBOXADMIN0000"
# Well known on purpose: it opens nothing but a sandbox on the loopback interface.
SECRET_ACCESS_KEY = "this+opens+only+a+sandbox+on+loopback+00"  # noqa: S105
CALLER_ARN = f"arn:aws:iam::{ACCOUNT_ID}:user/sandbox"

EKS_CLUSTER = "meetinity-eks"
NETWORK = "meetinity-network-vpc"
TAGS = {"Environment": "dev", "Project": "meetinity"}
# (name, tier, zone, CIDR): three private subnets and three public ones.
SUBNETS = [
    (f"meetinity-network-{tier}-{zone}", tier, f"{REGION}{zone}", f"10.0.{first + number}.0/24")
    for tier, first in (("private", 1), ("public", 101))
    for number, zone in enumerate("abc")
]


def furnish_aws(instance: Instance) -> None:
    """Create the VPC, its subnets, the EKS cluster and the node security group where they are missing."""
    import boto3

    session = boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=REGION)
    ec2 = session.client("ec2", endpoint_url=instance.aws_endpoint)
    eks = session.client("eks", endpoint_url=instance.aws_endpoint)

    def named(name: str) -> list[dict[str, Any]]:
        return [{"Name": "tag:Name", "Values": [name]}]

    def tags(kind: str, name: str, **more: str) -> list[dict[str, Any]]:
        given = TAGS | {"Name": name} | more
        return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in given.items()]}]

    if found := ec2.describe_vpcs(Filters=named(NETWORK))["Vpcs"]:
        vpc = found[0]["VpcId"]
    else:
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tags("vpc", NETWORK))["Vpc"]["VpcId"]
    present = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    subnets = {subnet["CidrBlock"]: subnet["SubnetId"] for subnet in present}
    for name, tier, zone, cidr in SUBNETS:
        if cidr not in subnets:
            given = tags("subnet", name, Tier=tier)
            made = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone, TagSpecifications=given)
            subnets[cidr] = made["Subnet"]["SubnetId"]
    if EKS_CLUSTER not in eks.list_clusters()["clusters"]:
        private = [subnets[cidr] for _, tier, _, cidr in SUBNETS if tier == "private"]
        role = f"arn:aws:iam::{ACCOUNT_ID}:role/{EKS_CLUSTER}-cluster"
        eks.create_cluster(
            name=EKS_CLUSTER, version="1.33", roleArn=role, tags=TAGS, resourcesVpcConfig={"subnetIds": private}
        )
    node = f"{EKS_CLUSTER}-node"
    if not ec2.describe_security_groups(Filters=named(node))["SecurityGroups"]:
        ec2.create_security_group(
            GroupName=node,
            Description="EKS node shared security group",
            VpcId=vpc,
            TagSpecifications=tags("security-group", node),
        )


def furnish_kubernetes(instance: Instance) -> None:
    """Apply each environment's namespace with its quota, limits and default network policy."""
    apply = ["apply", "--server-side", f"--filename={Path(__file__).parent / 'namespaces.yaml'}"]
    done = subprocess.run(
        [tools()["kubectl"], f"--kubeconfig={instance.kubeconfig}", *apply], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SandboxError(f"the namespaces cannot be created: {done.stderr.strip()[-300:]}")
