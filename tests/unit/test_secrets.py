from __future__ import annotations

import pulumi

from components.secrets import (
    ConnectionSecrets,
    ConnectionSecretsArgs,
    DatabaseConnection,
    RedisConnection,
    SecretReader,
    StandingStores,
)
from tests.unit.recording import Recording, is_secret, record

SECRET = "kubernetes:core/v1:Secret"
ROLE = "kubernetes:rbac.authorization.k8s.io/v1:Role"
BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"


def secrets(readers=(), stores=None, **redis) -> Recording:
    def build():
        ConnectionSecrets(
            "connections",
            ConnectionSecretsArgs(
                namespace="meetinity-dev",
                database=DatabaseConnection(
                    host=pulumi.Output.from_input("writer"),
                    reader_host="reader",
                    port=5432,
                    database="meetinity",
                    username="meetinity_app",
                    password=pulumi.Output.secret("p@ss%word"),
                ),
                redis=RedisConnection(
                    **{"host": "primary", "reader_host": "replica", "port": 6379, "password": "token", **redis}
                ),
                subnet_cidr_blocks=["10.0.1.0/24", "10.0.2.0/24"],
                readers=readers,
                stores=stores,
            ),
        )

    return record(build)


def test_the_database_secret_has_exactly_the_keys_of_the_contract():
    secret = secrets().one(SECRET, "connections-database")
    assert secret.inputs["metadata"]["name"] == "platform-database"
    assert secret.inputs["metadata"]["namespace"] == "meetinity-dev"
    assert secret.inputs["type"] == "Opaque"
    url = "postgresql://meetinity_app:p%40ss%25word@{}:5432/meetinity?sslmode=require"
    assert secret.inputs["stringData"] == {
        "host": "writer",
        "reader_host": "reader",
        "port": "5432",
        "database": "meetinity",
        "username": "meetinity_app",
        "password": "p@ss%word",
        "url": url.format("writer"),
        "reader_url": url.format("reader"),
        "DATABASE_URL": url.format("writer"),
        "DATABASE_READER_URL": url.format("reader"),
    }


def test_the_redis_secret_has_exactly_the_keys_of_the_contract():
    secret = secrets().one(SECRET, "connections-redis")
    assert secret.inputs["metadata"]["name"] == "platform-redis"
    assert secret.inputs["stringData"] == {
        "host": "primary",
        "reader_host": "replica",
        "port": "6379",
        "username": "default",
        "password": "token",
        "url": "rediss://default:token@primary:6379",
        "reader_url": "rediss://default:token@replica:6379",
        "REDIS_URL": "rediss://default:token@primary:6379",
        "REDIS_READER_URL": "rediss://default:token@replica:6379",
    }


def test_without_a_token_the_urls_say_plain_redis():
    data = secrets(password=None).one(SECRET, "connections-redis").inputs["stringData"]
    assert data["REDIS_URL"] == "redis://primary:6379"
    assert data["password"] == ""


def test_the_whole_data_is_secret_even_where_no_part_was():
    recording = secrets()
    assert is_secret(recording.one(SECRET, "connections-database").raw["stringData"])
    assert is_secret(recording.one(SECRET, "connections-redis").raw["stringData"])


def test_a_role_names_exactly_its_secret_and_allows_only_get():
    recording = secrets()
    for name, secret in (
        ("connections-database-reader", "platform-database"),
        ("connections-redis-reader", "platform-redis"),
    ):
        assert recording.one(ROLE, name).inputs["rules"] == [
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"]}
        ]


def test_nobody_is_bound_unless_listed():
    assert secrets().all(BINDING) == []


def test_bindings_hold_exactly_the_listed_subjects_of_each_secret():
    recording = secrets(
        readers=[
            SecretReader(kind="Group", name="data-ops"),
            SecretReader(kind="ServiceAccount", name="api", secrets=["platform-redis"]),
            SecretReader(kind="User", name="ana", secrets=["platform-database"]),
        ]
    )
    rbac = "rbac.authorization.k8s.io"
    database = recording.one(BINDING, "connections-database-readers").inputs
    assert database["roleRef"] == {"apiGroup": rbac, "kind": "Role", "name": "platform-database-reader"}
    assert database["subjects"] == [
        {"kind": "Group", "name": "data-ops", "apiGroup": rbac},
        {"kind": "User", "name": "ana", "apiGroup": rbac},
    ]
    assert recording.one(BINDING, "connections-redis-readers").inputs["subjects"] == [
        {"kind": "Group", "name": "data-ops", "apiGroup": rbac},
        {"kind": "ServiceAccount", "name": "api", "apiGroup": "", "namespace": "meetinity-dev"},
    ]


def test_every_pod_may_find_the_stores_and_reach_the_private_subnets_on_their_ports():
    spec = secrets().one(POLICY).inputs["spec"]
    assert spec == {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [{"ipBlock": {"cidr": "10.0.1.0/24"}}, {"ipBlock": {"cidr": "10.0.2.0/24"}}],
                "ports": [{"protocol": "TCP", "port": 5432}, {"protocol": "TCP", "port": 6379}],
            },
            {
                "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
                "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
            },
        ],
    }


def test_a_checksum_changes_with_its_own_secret_alone_and_is_not_secret():
    def checksums(**redis) -> list[str]:
        recording = secrets(**redis)
        found = []
        for role in ("database", "redis"):
            annotations = recording.one(SECRET, f"connections-{role}").raw["metadata"]["annotations"]
            found.append(annotations["meetinity.io/checksum"])
        return found

    database, redis = checksums()
    assert all(isinstance(each, str) and len(each) == 64 for each in (database, redis))
    assert checksums() == [database, redis]
    assert checksums(password="other") == [database, checksums(password="other")[1]]
    assert checksums(password="other")[1] != redis


def test_the_guard_compares_what_serves():
    """Without `stores` the component stands alone, and compares nothing."""
    stores = StandingStores(serving={"database": "dev-postgres"}, standing={}, accepted_changes={})
    component = "meetinity:data:ConnectionSecrets"
    assert secrets(stores=stores).one(component).inputs == {"serving": {"database": "dev-postgres"}}
    assert secrets().one(component).inputs == {}
