"""Physical names: those of the Terraform modules being replaced, so that what exists can be adopted."""

from __future__ import annotations

from dataclasses import dataclass

MAIN = "main"
"""The generation that has the plain name."""

# API: CreateDBCluster and CreateDBInstance.
CLUSTER_IDENTIFIER_LENGTH = 63
# API: CreateReplicationGroup.
REPLICATION_GROUP_ID_LENGTH = 40
# IAM API: CreateRole. The enhanced-monitoring role is named after the cluster.
ROLE_NAME_LENGTH = 64


@dataclass(frozen=True)
class StoreNames:
    """The physical names of one generation of a store."""

    store: str
    """`prod-postgres`, and `prod-postgres-r1` for generation r1."""
    parameter_group: str

    @property
    def subnet_group(self) -> str:
        return f"{self.store}-subnet"

    @property
    def security_group(self) -> str:
        return f"{self.store}-sg"

    @property
    def monitoring_role(self) -> str:
        return f"{self.store}-monitoring"

    def instance(self, number: int) -> str:
        """Instances count from 1."""
        return f"{self.store}-{number}"


def store_name(environment: str, name: str, generation: str = MAIN) -> str:
    plain = f"{environment}-{name}"
    return plain if generation == MAIN else f"{plain}-{generation}"


def parameter_group_name(store: str, family: str, configured: str | None, generation: str) -> str:
    """The configured name, or one that carries the family, so that a major upgrade's group can stand beside it."""
    if configured is None:
        return f"{store}-{family.replace('.', '-')}"  # redis6.x: a group name has no dot
    return configured if generation == MAIN else f"{configured}-{generation}"
