"""What the database and Redis have in common: a name, who may reach it, and generations."""

from __future__ import annotations

from typing import Annotated

from settings.base import Model
from settings.checks import a_list, aws_id, cidr_block, flag, hyphenated, kms_key, text

# Short enough to leave room in a replication group's id of 40 characters (design, "Settled").
GENERATION_KEY_LENGTH = 12
# RDS and ElastiCache alike store group names in lower case (API: CreateDBParameterGroup).
PARAMETER_GROUP_NAME_LENGTH = 255

# Behind a store's name: API CreateDBCluster and CreateReplicationGroup take no two hyphens in a row.
GenerationKey = Annotated[
    str,
    text(
        f"a key of at most {GENERATION_KEY_LENGTH} lower-case letters, digits and single hyphens inside",
        "[a-z0-9]+(-[a-z0-9]+)*",
        longest=GENERATION_KEY_LENGTH,
        spelled=hyphenated,
    ),
]
AllowedCidrBlocks = Annotated[tuple[Annotated[str, cidr_block()], ...], a_list("networks")]
AllowedSecurityGroupIds = Annotated[
    tuple[Annotated[str, aws_id("sg", "security group")], ...], a_list("security group ids")
]


class Store(Model):
    """The fields of both stores. `generations` differ in what they can be restored from."""

    name: Annotated[
        str,
        text(
            "lower-case letters and digits, with single hyphens between them",
            "[a-z0-9]+(-[a-z0-9]+)*",
            spelled=hyphenated,
        ),
    ]
    """Second part of the physical name `<environment>-<name>`."""
    kms_key_id: Annotated[str, kms_key()] | None = None
    """None encrypts with AWS's own key."""
    parameter_group_name: (
        Annotated[
            str,
            text(
                f"at most {PARAMETER_GROUP_NAME_LENGTH} lower-case letters, digits, dots and hyphens, a letter first, "
                "not default.…",
                r"(?!default\.)[a-z][a-z0-9.]*(-[a-z0-9.]+)*",
                longest=PARAMETER_GROUP_NAME_LENGTH,
                spelled=hyphenated,
            ),
        ]
        | None
    ) = None
    """For an adopted stack; None makes a name that carries the family."""
    apply_immediately: Annotated[bool, flag()]
    auto_minor_version_upgrade: Annotated[bool, flag()]
    allowed_cidr_blocks: AllowedCidrBlocks
    """Added to the network's."""
    allowed_security_group_ids: AllowedSecurityGroupIds
    """Added to the network's."""
    serving: GenerationKey
    """The generation that the Secrets point at."""

    @property
    def family(self) -> str:
        """Parameter-group family of the engine version."""
        raise NotImplementedError
