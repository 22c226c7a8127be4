"""The whole program over the recording mock: contracts that hold for every resource of every stack."""

from __future__ import annotations

import asyncio
import json
import runpy
from datetime import date, timedelta
from pathlib import Path

import pulumi
import pytest
import yaml
from pulumi.runtime.config import set_all_config

from tests.unit.recording import Recording, is_secret, record
from tests.unit.stack_config import load

ROOT = Path(__file__).parent.parent.parent
STACKS = ["local", "dev", "staging", "prod"]

COMPONENTS = {
    "meetinity:data:AuroraCluster",
    "meetinity:data:RedisReplicationGroup",
    "meetinity:data:ConnectionSecrets",
    "meetinity:data:MigrationJob",
    "meetinity:data:BackupPlan",
}
TAGGED = {
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    "aws:rds/subnetGroup:SubnetGroup",
    "aws:rds/clusterParameterGroup:ClusterParameterGroup",
    "aws:rds/parameterGroup:ParameterGroup",
    "aws:rds/cluster:Cluster",
    "aws:rds/clusterInstance:ClusterInstance",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:iam/role:Role",
    "aws:elasticache/subnetGroup:SubnetGroup",
    "aws:elasticache/parameterGroup:ParameterGroup",
    "aws:elasticache/replicationGroup:ReplicationGroup",
    "aws:backup/vault:Vault",
    "aws:backup/plan:Plan",
}
UNTAGGED = {
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:backup/selection:Selection",
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration",
    "random:index/randomPassword:RandomPassword",
    "random:index/randomId:RandomId",
    "pulumi:providers:kubernetes",
    "kubernetes:core/v1:Secret",
    "kubernetes:core/v1:ServiceAccount",
    "kubernetes:rbac.authorization.k8s.io/v1:Role",
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding",
    "kubernetes:networking.k8s.io/v1:NetworkPolicy",
    "kubernetes:batch/v1:Job",
}


def stack_configuration(stack: str) -> dict[str, object]:
    return yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]


def run(stack: str, changes: dict[str, object] | None = None) -> tuple[Recording, dict[str, object]]:
    exported: dict[str, object] = {}
    config = {**stack_configuration(stack), **(changes or {})}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}

    def program():
        set_all_config(texts, [])
        original, pulumi.export = pulumi.export, exported.__setitem__
        try:
            runpy.run_path(str(ROOT / "__main__.py"))
        finally:
            pulumi.export = original

    return record(program, stack=stack), exported


@pytest.fixture(scope="module", params=STACKS)
def recording(request) -> Recording:
    """A committed stack, and what it can have besides."""
    backup = {"enabled": True, "selectionTags": {"backup": "daily"}, "vaultLock": {"mode": "governance"}}
    return run(request.param, {"meetinity-data:backup": backup})[0]


def test_only_known_type_tokens_are_registered(recording):
    assert {each.type for each in recording} == COMPONENTS | TAGGED | UNTAGGED


def test_every_child_has_a_component_for_a_parent(recording):
    for each in recording:
        parent_type = each.parent.split("::")[2].split("$")[-1] if each.parent else ""
        expected = "pulumi:pulumi:Stack" if each.type in COMPONENTS | {"pulumi:providers:kubernetes"} else "meetinity:"
        assert parent_type.startswith(expected), f"{each.type} {each.name} under {parent_type}"


def test_no_child_is_named_like_its_component(recording):
    """A component and a child of the same name make ambiguous parents in an import file (pulumi #14833)."""
    components = {each.name for each in recording if each.type in COMPONENTS}
    assert not [each.name for each in recording if each.type not in COMPONENTS and each.name in components]


def test_every_aws_resource_carries_the_standard_tags(recording):
    for each in recording:
        if each.type in TAGGED:
            tags = each.inputs["tags"]
            assert tags["Project"] == "meetinity", each.name
            assert tags["Environment"] in STACKS, each.name
            assert tags["Name"], each.name


def test_everything_in_the_cluster_goes_through_the_explicit_provider(recording):
    for each in recording:
        if each.type.startswith("kubernetes:"):
            assert "pulumi:providers:kubernetes::kubernetes" in each.provider, each.name


def test_the_provider_is_pinned_to_the_cluster_and_changes_secrets_in_place(recording):
    provider = recording.one("pulumi:providers:kubernetes").inputs
    assert provider["clusterIdentifier"] == "arn:aws:eks:eu-west-1:123456789012:cluster/meetinity-eks"
    assert provider["enableSecretMutable"] == "true"
    kubeconfig = json.loads(provider["kubeconfig"])
    assert kubeconfig["clusters"][0]["cluster"]["server"] == "https://eks.example"
    user = kubeconfig["users"][0]["user"]
    assert set(user) == {"exec"}, "no credential may stand in the state"
    assert user["exec"]["args"] == ["--region", "eu-west-1", "eks", "get-token", "--cluster-name", "meetinity-eks"]


def test_what_holds_data_is_protected_except_where_the_stack_says_otherwise(recording):
    for type_ in ("aws:rds/cluster:Cluster", "aws:elasticache/replicationGroup:ReplicationGroup"):
        assert all(each.protect for each in recording.all(type_))


@pytest.mark.parametrize(
    ("before", "component"),
    [
        ("aws:rds/clusterInstance:ClusterInstance", "meetinity:data:ConnectionSecrets"),
        ("aws:elasticache/replicationGroup:ReplicationGroup", "meetinity:data:ConnectionSecrets"),
        ("kubernetes:core/v1:Secret", "meetinity:data:MigrationJob"),
        ("kubernetes:networking.k8s.io/v1:NetworkPolicy", "meetinity:data:MigrationJob"),
    ],
)
def test_stores_come_first_then_secrets_then_migrations(recording, before, component):
    """A cluster has its endpoint minutes before its first instance answers: a migration must not run then."""
    waits_for = recording.one(component).depends_on
    for each in recording.all(before):
        assert any(urn.endswith(f"{each.type}::{each.name}") for urn in waits_for), each.name


def test_stores_stand_in_the_private_subnets_in_a_stable_order(recording):
    for type_ in ("aws:rds/subnetGroup:SubnetGroup", "aws:elasticache/subnetGroup:SubnetGroup"):
        assert recording.one(type_).inputs["subnetIds"] == ["subnet-a", "subnet-b", "subnet-c"]


def test_nodes_and_control_plane_of_the_cluster_may_connect(recording):
    rules = recording.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    sources = {(each.inputs["referencedSecurityGroupId"], each.inputs["fromPort"]) for each in rules}
    assert sources == {(group, port) for group in ("sg-nodes", "sg-cluster") for port in (5432, 6379)}


def test_a_network_that_is_given_whole_is_not_looked_up():
    recording, _ = run(
        "dev",
        {
            "meetinity-data:network": {
                "vpcId": "vpc-0123456789abcdef0",
                "privateSubnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
                "allowedSecurityGroupIds": ["sg-0123456789abcdef0"],
            },
            "meetinity-data:kubernetes": {"context": "kind"},
        },
    )
    assert {token for token, _ in recording.lookups} == {"aws:ec2/getSubnet:getSubnet"}
    assert recording.one("aws:ec2/securityGroup:SecurityGroup", "redis-security-group").inputs["vpcId"] == (
        "vpc-0123456789abcdef0"
    )


def test_a_new_generation_stands_beside_the_serving_one_under_its_own_names():
    recording, _ = run(
        "dev",
        {
            "meetinity-data:database": {
                "serving": "main",
                "generations": {"main": {}, "r1": {"restore": {"snapshot": "dev-postgres-2026-11-20"}}},
            }
        },
    )
    identifiers = {each.name: each.inputs["clusterIdentifier"] for each in recording.all("aws:rds/cluster:Cluster")}
    assert identifiers == {"database-cluster": "dev-postgres", "database-r1-cluster": "dev-postgres-r1"}
    names = [each.inputs["name"] for each in recording if each.type in TAGGED and "name" in each.inputs]
    assert len(names) == len(set(names)), "two generations may not share a group"


def test_a_namespace_is_made_only_where_the_stack_asks_for_it():
    assert run("dev")[0].all("kubernetes:core/v1:Namespace") == []
    recording, _ = run("dev", {"meetinity-data:kubernetes": {"createNamespace": True}})
    assert recording.one("kubernetes:core/v1:Namespace").inputs["metadata"]["name"] == "meetinity-dev"


@pytest.mark.parametrize("protected", [True, False])
def test_a_namespace_is_guarded_like_the_database_because_everything_in_it_goes_with_it(protected):
    database = {"meetinity-data:database": {"deletionProtection": protected}}
    recording, _ = run("dev", {"meetinity-data:kubernetes": {"createNamespace": True}, **database})
    assert recording.one("kubernetes:core/v1:Namespace").protect is protected


def test_the_outputs_keep_the_names_of_the_terraform_root():
    _, exported = run("dev")
    assert list(exported) == [
        "database_endpoint", "database_reader_endpoint", "database_port", "database_name", "database_username",
        "database_password", "redis_primary_endpoint", "redis_reader_endpoint", "redis_port", "redis_auth_token",
        "cluster_name", "aws_backup_vault_arn", "helm_values", "stores", "kubernetes",
    ]  # fmt: skip
    keys = {"host", "readerHost", "port", "name", "username", "password", "url", "readerUrl"}
    values = exported["helm_values"]["global"]
    assert values["environment"] == "dev"
    assert set(values["database"]["secretKeys"]) == keys
    assert set(values["redis"]["secretKeys"]) == keys - {"name"}


def test_the_stores_output_names_every_generation_and_keeps_passwords_secret():
    _, exported = run(
        "dev",
        {
            "meetinity-data:database": {
                "serving": "r1",
                "generations": {"main": {}, "r1": {"restore": {"snapshot": "s"}}},
            }
        },
    )
    stores = exported["stores"]
    found = {
        store: (
            described["name"],
            described["serving"],
            [each["identifier"] for each in described["generations"].values()],
        )
        for store, described in stores.items()
    }
    assert found == {
        "database": ("dev-postgres", "r1", ["dev-postgres", "dev-postgres-r1"]),
        "redis": ("dev-redis", "main", ["dev-redis"]),
    }
    for described in stores.values():
        for generation in described["generations"].values():
            assert asyncio.run(generation["password"].is_secret())


def test_every_key_that_the_chart_reads_is_a_key_of_its_secret():
    recording, exported = run("dev")
    for store in ("database", "redis"):
        data = recording.one("kubernetes:core/v1:Secret", f"connections-{store}").inputs["stringData"]
        assert set(exported["helm_values"]["global"][store]["secretKeys"].values()) <= set(data)


def test_passwords_are_secret_wherever_they_are_registered():
    recording, _ = run("dev")
    for type_, key in (
        ("aws:rds/cluster:Cluster", "masterPassword"),
        ("aws:elasticache/replicationGroup:ReplicationGroup", "authToken"),
        ("kubernetes:core/v1:Secret", "stringData"),
    ):
        assert all(is_secret(each.raw[key]) for each in recording.all(type_))


def test_a_bad_configuration_is_refused_before_anything_is_registered():
    recording = None
    with pytest.raises(pulumi.RunError) as refusal:
        recording, _ = run("dev", {"meetinity-data:database": {"backupRetentionPeriod": 0, "port": 1}})
    assert recording is None
    assert "meetinity-data:database.backupRetentionPeriod" in str(refusal.value)
    assert "meetinity-data:database.port" in str(refusal.value)


@pytest.mark.parametrize(
    ("component", "child", "renamed"),
    [
        ("AuroraCluster", "aws:rds/cluster:Cluster", {"identifier": "clusterIdentifier"}),
        (
            "RedisReplicationGroup",
            "aws:elasticache/replicationGroup:ReplicationGroup",
            {"identifier": "replicationGroupId"},
        ),
    ],
)
def test_what_a_guard_compares_is_what_the_store_is_made_of(recording, component, child, renamed):
    compared = recording.one(f"meetinity:data:{component}").inputs
    store = recording.one(child).inputs
    assert compared == {key: store[renamed.get(key, key)] for key in compared}
    assert len(compared) >= 5


def test_a_retiring_generation_alone_loses_its_protection():
    generations = {"main": {"retiring": True}, "r1": {}}
    recording, _ = run(
        "dev",
        {
            "meetinity-data:database": {"serving": "r1", "generations": generations},
            "meetinity-data:redis": {"serving": "r1", "generations": generations},
        },
    )
    protected = {
        each.name: each.protect
        for type_ in ("aws:rds/cluster:Cluster", "aws:elasticache/replicationGroup:ReplicationGroup")
        for each in recording.all(type_)
    }
    assert protected == {
        "database-cluster": False,
        "database-r1-cluster": True,
        "redis-replication-group": False,
        "redis-r1-replication-group": True,
    }


def test_an_acknowledged_change_reaches_the_guard_until_its_day():
    settings = load({"acknowledged": [{"change": "database.name", "until": "2026-11-24", "reason": "a test"}]})
    today = date(2026, 11, 24)
    assert settings.acknowledged_changes("database", today) == {"name"}
    assert settings.acknowledged_changes("redis", today) == frozenset()
    assert settings.acknowledged_changes("database", today + timedelta(days=1)) == frozenset()
