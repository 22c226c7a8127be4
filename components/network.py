"""Where the stores go and who may reach them: as configured, or looked up from the EKS cluster.

The old VPC module tagged its private subnets `Tier=private`, the old EKS module named the nodes'
security group `<cluster>-node`. Both lookups are Pulumi invokes: nothing is asked while the program
is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, kw_only=True)
class Network:
    vpc_id: pulumi.Input[str]
    private_subnet_ids: pulumi.Input[Sequence[str]]
    private_subnet_cidr_blocks: pulumi.Output[list[str]]
    allowed_security_groups: Mapping[str, pulumi.Input[str]]
    allowed_cidr_blocks: Sequence[str]


def resolve_network(
    *,
    eks_cluster: pulumi.Output[aws.eks.GetClusterResult] | None,
    eks_cluster_name: str | None,
    vpc_id: str | None = None,
    private_subnet_ids: Sequence[str] | None = None,
    allowed_security_group_ids: Sequence[str] | None = None,
    allowed_cidr_blocks: Sequence[str] = (),
) -> Network:
    """The network of both stores. Each value given wins; the others are looked up from `eks_cluster`.

    Without an EKS cluster (Kubernetes reached by `context` or `kubeconfig`), `vpc_id` and
    `private_subnet_ids` must be given; settings see to that.
    """
    vpc: pulumi.Input[str] = vpc_id if vpc_id is not None else _cluster(eks_cluster).vpc_config.vpc_id
    subnet_ids: pulumi.Input[Sequence[str]] = (
        private_subnet_ids if private_subnet_ids is not None else _private_subnets(vpc)
    )
    if allowed_security_group_ids is not None:
        groups: dict[str, pulumi.Input[str]] = {group: group for group in allowed_security_group_ids}
    elif eks_cluster is not None:
        groups = {
            "eks-nodes": _node_security_group(vpc, f"{eks_cluster_name}-node"),
            "eks-cluster": eks_cluster.vpc_config.cluster_security_group_id,
        }
    else:
        groups = {}
    return Network(
        vpc_id=vpc,
        private_subnet_ids=subnet_ids,
        private_subnet_cidr_blocks=pulumi.Output.from_input(subnet_ids).apply(_cidr_blocks),
        allowed_security_groups=groups,
        allowed_cidr_blocks=allowed_cidr_blocks,
    )


def _cluster(eks_cluster: pulumi.Output[aws.eks.GetClusterResult] | None) -> pulumi.Output[aws.eks.GetClusterResult]:
    if eks_cluster is None:
        raise ValueError("a network without vpcId and privateSubnetIds needs an EKS cluster to look them up from")
    return eks_cluster


def _private_subnets(vpc_id: pulumi.Input[str]) -> pulumi.Output[list[str]]:
    found = aws.ec2.get_subnets_output(
        filters=pulumi.Output.from_input(vpc_id).apply(
            lambda vpc: [aws.ec2.GetSubnetsFilterArgs(name="vpc-id", values=[vpc])]
        ),
        tags={"Tier": "private"},
    )

    # Sorted, because AWS promises no order and a different one would be a diff.
    def check(known: dict[str, Any]) -> list[str]:
        if len(known["ids"]) < 2:
            raise pulumi.RunError(
                f"found {len(known['ids'])} subnets tagged Tier=private in VPC {known['vpc']}, and a store needs two: "
                "tag them, or set meetinity-data:network.privateSubnetIds (and vpcId, if that is not the VPC you mean)"
            )
        return sorted(known["ids"])

    return pulumi.Output.all(ids=found.ids, vpc=vpc_id).apply(check)


def _node_security_group(vpc_id: pulumi.Input[str], name: str) -> pulumi.Output[str]:
    found = aws.ec2.get_security_groups_output(
        filters=pulumi.Output.from_input(vpc_id).apply(
            lambda vpc: [
                aws.ec2.GetSecurityGroupsFilterArgs(name="vpc-id", values=[vpc]),
                aws.ec2.GetSecurityGroupsFilterArgs(name="tag:Name", values=[name]),
            ]
        )
    )

    def only(known: dict[str, Any]) -> str:
        if len(known["ids"]) != 1:
            raise pulumi.RunError(
                f"found {len(known['ids'])} security groups tagged Name={name} in VPC {known['vpc']}, and exactly one "
                "is the nodes': set meetinity-data:network.allowedSecurityGroupIds (and vpcId, if that is not the VPC "
                "you mean)"
            )
        return str(known["ids"][0])

    return pulumi.Output.all(ids=found.ids, vpc=vpc_id).apply(only)


def _cidr_blocks(subnet_ids: Sequence[str]) -> pulumi.Output[list[str]]:
    blocks = [aws.ec2.get_subnet_output(id=subnet_id).cidr_block for subnet_id in subnet_ids]
    return pulumi.Output.all(*blocks).apply(sorted)
