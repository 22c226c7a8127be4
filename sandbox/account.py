"""The AWS account and the namespaces as the old Terraform root and its deploy script left them.

This is what the platform is put into, not what it makes. Every step looks before it creates, so
furnishing a furnished sandbox changes nothing.
"""

from __future__ import annotations

import json
import subprocess
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

# Per environment: CPU and memory requested, CPU and memory limited, pods; then a container's smallest and largest.
QUOTAS = {
    "local": ("4", "8Gi", "6", "12Gi", "40", ("50m", "64Mi"), ("2", "2Gi")),
    "dev": ("4", "8Gi", "6", "12Gi", "40", ("50m", "64Mi"), ("2", "2Gi")),
    "staging": ("8", "16Gi", "12", "24Gi", "80", ("100m", "128Mi"), ("4", "4Gi")),
    "prod": ("16", "32Gi", "24", "48Gi", "160", ("150m", "256Mi"), ("6", "8Gi")),
}


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
    objects = [manifest for environment in QUOTAS for manifest in _manifests(environment)]
    done = subprocess.run(
        [tools()["kubectl"], f"--kubeconfig={instance.kubeconfig}", "apply", "--server-side", "--filename=-"],
        input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SandboxError(f"the namespaces cannot be created: {done.stderr.strip()[-300:]}")


def _manifests(environment: str) -> list[dict[str, Any]]:
    cpu, memory, cpu_limit, memory_limit, pods, smallest, largest = QUOTAS[environment]
    namespace = f"meetinity-{environment}"
    labels = {"environment": environment, "project": "meetinity"}

    def sized(pair: tuple[str, str]) -> dict[str, str]:
        return dict(zip(("cpu", "memory"), pair, strict=True))

    hard = {
        "requests.cpu": cpu,
        "requests.memory": memory,
        "limits.cpu": cpu_limit,
        "limits.memory": memory_limit,
        "pods": pods,
    }
    limit = {
        "type": "Container",
        "default": sized(("500m", "512Mi")),
        "defaultRequest": sized(("100m", "128Mi") if environment != "prod" else ("150m", "256Mi")),
        "min": sized(smallest),
        "max": sized(largest),
    }
    egress = [
        {"to": [{"namespaceSelector": {"matchLabels": {"environment": environment}}}]},
        {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]},
        {
            "to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}],
            "ports": [{"protocol": "TCP", "port": port} for port in (443, 80)],
        },
    ]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}},
        *(
            {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}
            for version, kind, name, spec in (
                ("v1", "ResourceQuota", "meetinity-quota", {"hard": hard}),
                ("v1", "LimitRange", "meetinity-limits", {"limits": [limit]}),
                (
                    "networking.k8s.io/v1",
                    "NetworkPolicy",
                    "meetinity-default",
                    {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress},
                ),
            )
        ),
    ]
