"""The way into Kubernetes, and the namespace."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import SecretStr, ValidationInfo, field_validator

from settings.base import Model
from settings.checks import dns_label, flag, refused, text

_WAYS_IN = ("cluster_name", "context", "kubeconfig")


class Kubernetes(Model):
    """Exactly one of `cluster_name` (EKS), `context` and `kubeconfig` is set."""

    namespace: Annotated[str, dns_label("a namespace")]
    create_namespace: Annotated[bool, flag()]
    cluster_name: (
        Annotated[
            str,
            # API: eks CreateCluster, ClusterName.
            text("an EKS cluster's name: at most 100 letters, digits, - and _", "[0-9A-Za-z][0-9A-Za-z_-]{0,99}"),
        ]
        | None
    ) = None
    context: Annotated[str, text("the name of a kubeconfig context", r"[^\x00-\x1f]+")] | None = None
    kubeconfig: (
        Annotated[SecretStr, text("the text of a kubeconfig file, as a secret", r"(?s).*\S.*", hidden=True)] | None
    ) = None

    @field_validator("kubeconfig")
    @classmethod
    def _one_way_in(cls, kubeconfig: Any, info: ValidationInfo) -> Any:
        before = {**info.data, "kubeconfig": kubeconfig}
        # A way that is given but wrong is missing from the validated ones: it counts as given.
        given = [way for way in _WAYS_IN if before.get(way, "wrong") is not None]
        if len(given) > 1:
            raise refused("one way in: clusterName, context or kubeconfig", "Keep one of them", hidden=True, above=True)
        return kubeconfig
