"""What both stores have: a door, a generated credential, logs with a retention, a name for the last snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network

import pulumi
import pulumi_aws as aws
import pulumi_random as random


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
        opts=created_first(parent),
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


def created_first(parent: pulumi.Resource) -> pulumi.ResourceOptions:
    """For what a store uses until its successor is there, and AWS does not delete while it does.

    The provider deletes first whatever it could name itself and does not, also where the new name is another one
    (pulumi-terraform-bridge, nameRequiresDeleteBeforeReplace). Where the name stays, AWS refuses a second one before
    anything is lost.
    """
    return pulumi.ResourceOptions(parent=parent, delete_before_replace=False)


def generated_credential(name: str, parent: pulumi.Resource) -> pulumi.Output[str]:
    """Create a RandomPassword of 32 alphanumeric characters, as a secret.

    No specials: URLs need no escaping, and alembic's ini parser chokes on `%`.
    """
    options = pulumi.ResourceOptions(parent=parent)
    return pulumi.Output.secret(random.RandomPassword(name, length=32, special=False, opts=options).result)


def log_group(
    name: str,
    parent: pulumi.Resource,
    *,
    physical_name: str,
    retention_days: int,
    kms_key_id: pulumi.Input[str] | None,
    tags: Mapping[str, str],
) -> aws.cloudwatch.LogGroup:
    """Create a log group before the store would make it itself, kept for ever."""
    return aws.cloudwatch.LogGroup(
        name,
        name=physical_name,
        retention_in_days=retention_days,
        kms_key_id=kms_key_id,
        tags={**tags, "Name": physical_name},
        opts=pulumi.ResourceOptions(parent=parent),
    )


def final_snapshot_identifier(
    name: str, parent: pulumi.Resource, *, identifier: str, replaced_by: Mapping[str, pulumi.Input[str] | None]
) -> pulumi.Output[str]:
    """`<identifier>-final-<8 hex>`: stable between previews, new when a value of `replaced_by` changes.

    Those are the values that replace the store; its successor must not ask for its predecessor's name.
    """
    suffix = random.RandomId(
        f"{name}-final-snapshot",
        byte_length=4,
        keepers={
            "identifier": identifier,
            **{key: value for key, value in replaced_by.items() if value is not None},
        },
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return suffix.hex.apply(lambda hexadecimal: f"{identifier}-final-{hexadecimal}")
