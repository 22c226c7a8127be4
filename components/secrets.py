"""How the services learn where their stores are: two Secrets, who may read them, and the way there."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_kubernetes as kubernetes

from components.connection_urls import postgresql_url, redis_url
from components.guards import guarded, serving_removed
from components.store_parts import generated_credential

DATABASE_SECRET = "platform-database"  # noqa: S105 - a name, not a password
REDIS_SECRET = "platform-redis"  # noqa: S105

CHECKSUM = "meetinity.io/checksum"
LABELS = {"app.kubernetes.io/part-of": "meetinity-data", "app.kubernetes.io/managed-by": "pulumi"}


@dataclass(frozen=True, kw_only=True)
class DatabaseConnection:
    host: pulumi.Input[str]
    reader_host: pulumi.Input[str]
    port: pulumi.Input[int]
    database: pulumi.Input[str]
    username: pulumi.Input[str]
    password: pulumi.Input[str]
    ca_path: str | None = None
    """Where a consumer finds the RDS CA bundle: URLs then say `verify-full`, otherwise `require`."""


@dataclass(frozen=True, kw_only=True)
class RedisConnection:
    host: pulumi.Input[str]
    reader_host: pulumi.Input[str]
    port: pulumi.Input[int]
    password: pulumi.Input[str] | None
    """The AUTH token; None without encryption in transit, and URLs are then `redis://`."""


@dataclass(frozen=True, kw_only=True)
class SecretReader:
    """A subject that may `get` the named Secrets, and nothing else."""

    kind: Literal["Group", "User", "ServiceAccount"]
    name: str
    namespace: str | None = None
    """A ServiceAccount's; None for the Secrets' own namespace."""
    secrets: Sequence[str] = (DATABASE_SECRET, REDIS_SECRET)


@dataclass(frozen=True, kw_only=True)
class ConnectionSecretsArgs:
    namespace: pulumi.Input[str]
    database: DatabaseConnection
    redis: RedisConnection
    subnet_cidr_blocks: pulumi.Input[Sequence[pulumi.Input[str]]]
    """Where the stores are: pods may connect there on the stores' ports."""
    readers: Sequence[SecretReader] = ()
    stores: StandingStores | None = None
    """Lets the guard refuse an update that deletes the store which serves until then."""


@dataclass(frozen=True, kw_only=True)
class StandingStores:
    """By section of the stack file, `database` and `redis`: physical names, and accepted changes."""

    serving: Mapping[str, str]
    standing: Mapping[str, Collection[str]]
    accepted_changes: Mapping[str, Collection[str]]


class ConnectionSecrets(pulumi.ComponentResource):
    """The Secrets `platform-database` and `platform-redis`, their readers, and the egress to the stores.

    Creates the two Secrets, for each a Role that names exactly it (`get` only: no list, no watch),
    a RoleBinding where somebody may read it, and a NetworkPolicy that lets every pod of the
    namespace reach the private subnets on the database's and the cache's port, and the cluster's DNS. Where no other
    policy allows more, that is all they reach: a pod that a policy selects is denied what none allows.

    The provider must be configured with `enable_secret_mutable`, or a changed value would replace
    the Secret and leave a moment without one.
    """

    database_secret_name: pulumi.Output[str]
    redis_secret_name: pulumi.Output[str]
    database_checksum: pulumi.Output[str]
    """Changes exactly when a value of the Secret does, and says nothing about it: consumers roll on it."""
    redis_checksum: pulumi.Output[str]

    def __init__(self, name: str, args: ConnectionSecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        stores = args.stores
        super().__init__(
            "meetinity:data:ConnectionSecrets",
            name,
            {"serving": stores.serving} if stores else None,
            pulumi.ResourceOptions.merge(opts, _guard(name, stores)) if stores else opts,
        )
        self._name = name
        self._args = args
        self._children = pulumi.ResourceOptions(parent=self)

        key = generated_credential(f"{name}-checksum-key", self)
        database_data, redis_data = database_secret_data(args.database), redis_secret_data(args.redis)
        self.database_checksum, self.redis_checksum = checksum(key, database_data), checksum(key, redis_data)
        database = self._secret("database", DATABASE_SECRET, database_data, self.database_checksum)
        redis = self._secret("redis", REDIS_SECRET, redis_data, self.redis_checksum)
        for role, secret_name in (("database", DATABASE_SECRET), ("redis", REDIS_SECRET)):
            self._access(role, secret_name)
        self._egress()

        self.database_secret_name = database.metadata.name
        self.redis_secret_name = redis.metadata.name
        self.register_outputs(
            {"databaseSecretName": self.database_secret_name, "redisSecretName": self.redis_secret_name}
        )

    def _metadata(self, name: str) -> kubernetes.meta.v1.ObjectMetaArgs:
        return kubernetes.meta.v1.ObjectMetaArgs(name=name, namespace=self._args.namespace, labels=LABELS)

    def _secret(
        self, role: str, secret_name: str, data: pulumi.Output[dict[str, str]], data_checksum: pulumi.Output[str]
    ) -> kubernetes.core.v1.Secret:
        return kubernetes.core.v1.Secret(
            f"{self._name}-{role}",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=secret_name,
                namespace=self._args.namespace,
                labels=LABELS,
                annotations={CHECKSUM: data_checksum},
            ),
            type="Opaque",
            string_data=data,
            opts=self._children,
        )

    def _access(self, role: str, secret_name: str) -> None:
        reader = f"{secret_name}-reader"
        kubernetes.rbac.v1.Role(
            f"{self._name}-{role}-reader",
            metadata=self._metadata(reader),
            rules=[
                kubernetes.rbac.v1.PolicyRuleArgs(
                    api_groups=[""], resources=["secrets"], resource_names=[secret_name], verbs=["get"]
                )
            ],
            opts=self._children,
        )
        subjects = [
            kubernetes.rbac.v1.SubjectArgs(
                kind=subject.kind,
                name=subject.name,
                api_group="" if subject.kind == "ServiceAccount" else "rbac.authorization.k8s.io",
                namespace=(subject.namespace or self._args.namespace) if subject.kind == "ServiceAccount" else None,
            )
            for subject in self._args.readers
            if secret_name in subject.secrets
        ]
        if subjects:
            kubernetes.rbac.v1.RoleBinding(
                f"{self._name}-{role}-readers",
                metadata=self._metadata(f"{reader}s"),
                role_ref=kubernetes.rbac.v1.RoleRefArgs(
                    api_group="rbac.authorization.k8s.io", kind="Role", name=reader
                ),
                subjects=subjects,
                opts=self._children,
            )

    def _egress(self) -> None:
        args = self._args
        kubernetes.networking.v1.NetworkPolicy(
            f"{self._name}-egress",
            metadata=self._metadata("platform-data-egress"),
            spec=kubernetes.networking.v1.NetworkPolicySpecArgs(
                pod_selector=kubernetes.meta.v1.LabelSelectorArgs(),
                policy_types=["Egress"],
                egress=[
                    kubernetes.networking.v1.NetworkPolicyEgressRuleArgs(
                        to=pulumi.Output.from_input(args.subnet_cidr_blocks).apply(
                            lambda blocks: [
                                kubernetes.networking.v1.NetworkPolicyPeerArgs(
                                    ip_block=kubernetes.networking.v1.IPBlockArgs(cidr=block)
                                )
                                for block in blocks
                            ]
                        ),
                        ports=[
                            kubernetes.networking.v1.NetworkPolicyPortArgs(protocol="TCP", port=args.database.port),
                            kubernetes.networking.v1.NetworkPolicyPortArgs(protocol="TCP", port=args.redis.port),
                        ],
                    ),
                    # Their names have to be found first, and whoever this policy selects may do nothing else.
                    kubernetes.networking.v1.NetworkPolicyEgressRuleArgs(
                        to=[
                            kubernetes.networking.v1.NetworkPolicyPeerArgs(
                                namespace_selector=kubernetes.meta.v1.LabelSelectorArgs(
                                    match_labels={"kubernetes.io/metadata.name": "kube-system"}
                                )
                            )
                        ],
                        ports=[
                            kubernetes.networking.v1.NetworkPolicyPortArgs(protocol=protocol, port=53)
                            for protocol in ("UDP", "TCP")
                        ],
                    ),
                ],
            ),
            opts=self._children,
        )


def _guard(name: str, stores: StandingStores) -> pulumi.ResourceOptions:
    return guarded(name, lambda old, _new: serving_removed(old, stores.standing, stores.accepted_changes))


def checksum(key: pulumi.Output[str], data: pulumi.Output[dict[str, str]]) -> pulumi.Output[str]:
    """64 hex digits for `data`, in clear. Keyed, or a weak password could be guessed from it."""

    def digest(known: tuple[str, dict[str, str]]) -> str:
        return hmac.new(known[0].encode(), json.dumps(known[1], sort_keys=True).encode(), hashlib.sha256).hexdigest()

    return pulumi.Output.unsecret(pulumi.Output.all(key, data).apply(lambda known: digest((known[0], known[1]))))


def database_secret_data(connection: DatabaseConnection) -> pulumi.Output[dict[str, str]]:
    """Keys and values of `platform-database`, as one secret Output."""

    def build(known: dict[str, str]) -> dict[str, str]:
        port = int(known["port"])

        def url(host: str) -> str:
            return postgresql_url(
                host=host,
                port=port,
                database=known["database"],
                username=known["username"],
                password=known["password"],
                ca_path=connection.ca_path,
            )

        writer, reader = url(known["host"]), url(known["reader_host"])
        return {
            "host": known["host"],
            "reader_host": known["reader_host"],
            "port": str(port),
            "database": known["database"],
            "username": known["username"],
            "password": known["password"],
            "url": writer,
            "reader_url": reader,
            # `envFrom` hands keys over as they are called, and services read these two.
            "DATABASE_URL": writer,
            "DATABASE_READER_URL": reader,
        }

    known = pulumi.Output.all(
        host=connection.host,
        reader_host=connection.reader_host,
        port=connection.port,
        database=connection.database,
        username=connection.username,
        password=connection.password,
    )
    return pulumi.Output.secret(known.apply(build))


def redis_secret_data(connection: RedisConnection) -> pulumi.Output[dict[str, str]]:
    """Keys and values of `platform-redis`, as one secret Output."""

    def build(known: dict[str, str]) -> dict[str, str]:
        port = int(known["port"])
        writer, reader = (
            redis_url(host=host, port=port, password=known["password"])
            for host in (known["host"], known["reader_host"])
        )
        return {
            "host": known["host"],
            "reader_host": known["reader_host"],
            "port": str(port),
            "username": "default",
            "password": known["password"] or "",
            "url": writer,
            "reader_url": reader,
            "REDIS_URL": writer,
            "REDIS_READER_URL": reader,
        }

    known = pulumi.Output.all(
        host=connection.host,
        reader_host=connection.reader_host,
        port=connection.port,
        password=connection.password,
    )
    return pulumi.Output.secret(known.apply(build))
