"""The door of a store: one security group, one described rule per source that may connect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network

import pulumi
import pulumi_aws as aws


def security_group(
    name: str,
    parent: pulumi.Resource,
    *,
    physical_name: str,
    store: str,
    vpc_id: pulumi.Input[str],
    port: int,
    from_security_groups: Mapping[str, pulumi.Input[str]],
    from_cidr_blocks: Sequence[str],
    tags: Mapping[str, str],
) -> aws.ec2.SecurityGroup:
    """Create `<name>-security-group` with no way out, and an ingress rule on `port` for each source.

    A store answers; it never calls. AWS adds an allow-all egress rule to every new group, which the
    empty list takes away.
    """
    options = pulumi.ResourceOptions(parent=parent)
    group = aws.ec2.SecurityGroup(
        f"{name}-security-group",
        name=physical_name,
        description=f"Connections to {store}",
        vpc_id=vpc_id,
        egress=[],
        tags={**tags, "Name": physical_name},
        opts=options,
    )
    for source, source_id in from_security_groups.items():
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-from-{source}",
            security_group_id=group.id,
            referenced_security_group_id=source_id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            description=f"{store} from security group {source}",
            tags={**tags, "Name": f"{physical_name}-{source}"},
            opts=options,
        )
    for block in from_cidr_blocks:
        family = "cidr_ipv4" if ip_network(block).version == 4 else "cidr_ipv6"
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-from-{block}",
            security_group_id=group.id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            description=f"{store} from {block}",
            # A tag value may hold `/` and `:`, a security group's name may not.
            tags={**tags, "Name": f"{physical_name}-{block}"},
            opts=options,
            **{family: block},
        )
    return group
