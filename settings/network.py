"""Where the stores are, and who may reach both of them."""

from __future__ import annotations

from typing import Annotated

from settings.base import Model
from settings.checks import a_list, aws_id
from settings.store import AllowedCidrBlocks, AllowedSecurityGroupIds

# A subnet group must cover two availability zones (API: CreateDBSubnetGroup, DBSubnetGroupDoesNotCoverEnoughAZs).
FEWEST_SUBNETS = 2


class Network(Model):
    """Each key that is given wins; None is looked up from the EKS cluster and the old VPC module's tags."""

    vpc_id: Annotated[str, aws_id("vpc", "VPC")] | None = None
    private_subnet_ids: (
        Annotated[tuple[Annotated[str, aws_id("subnet", "subnet")], ...], a_list("subnet ids", least=FEWEST_SUBNETS)]
        | None
    ) = None
    allowed_security_group_ids: AllowedSecurityGroupIds | None = None
    allowed_cidr_blocks: AllowedCidrBlocks
