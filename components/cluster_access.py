"""The way into Kubernetes: EKS without a kubeconfig on disk, or a context, or a kubeconfig."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes


@dataclass(frozen=True, kw_only=True)
class ClusterAccess:
    """What the provider needs, and with it everything that must ask the cluster something itself."""

    identifier: pulumi.Input[str]
    """Stays the same while endpoint, certificate or token change, so that nothing is replaced with them."""
    kubeconfig: pulumi.Output[str] | None = None
    context: str | None = None

    def provider(self, name: str) -> kubernetes.Provider:
        return kubernetes.Provider(
            name,
            kubeconfig=self.kubeconfig,
            context=self.context,
            cluster_identifier=self.identifier,
            # Secrets change in place: no moment without one (pulumi-kubernetes replaces them by default).
            enable_secret_mutable=True,
        )


def eks_access(cluster_name: str, cluster: pulumi.Output[aws.eks.GetClusterResult]) -> ClusterAccess:
    """Access to an EKS cluster with the caller's own AWS credentials.

    The kubeconfig holds no credential: the `aws` command makes a token for every connection.
    """
    return ClusterAccess(
        identifier=cluster.arn, kubeconfig=cluster.apply(lambda found: _kubeconfig(cluster_name, found))
    )


def _kubeconfig(cluster_name: str, cluster: aws.eks.GetClusterResult) -> str:
    region = cluster.arn.split(":")[3]
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": cluster_name,
                    "cluster": {
                        "server": cluster.endpoint,
                        "certificate-authority-data": cluster.certificate_authorities[0].data,
                    },
                }
            ],
            "contexts": [{"name": cluster_name, "context": {"cluster": cluster_name, "user": "aws"}}],
            "current-context": cluster_name,
            "users": [
                {
                    "name": "aws",
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": "aws",
                            "args": ["--region", region, "eks", "get-token", "--cluster-name", cluster_name],
                            "interactiveMode": "Never",
                        }
                    },
                }
            ],
        }
    )
