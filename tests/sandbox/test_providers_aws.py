"""The aws stand-in: its table against the SDK, what it plans without an API, and every type's life in the sandbox."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import grpc
import pytest

from sandbox.providers import values
from sandbox.providers.aws import FUNCTIONS, ROWS
from sandbox.providers.base import sdk_names
from tests.sandbox.conftest import Sandbox
from tests.sandbox.provider_process import UNKNOWN, Client, InitFailedError, provider

CLUSTER = "aws:rds/cluster:Cluster"
INSTANCE = "aws:rds/clusterInstance:ClusterInstance"
CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
SUBNETS = "aws:rds/subnetGroup:SubnetGroup"
PARAMETERS = "aws:rds/clusterParameterGroup:ClusterParameterGroup"
INSTANCE_PARAMETERS = "aws:rds/parameterGroup:ParameterGroup"
LOGS = "aws:cloudwatch/logGroup:LogGroup"
ROLE = "aws:iam/role:Role"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
CACHE_SUBNETS = "aws:elasticache/subnetGroup:SubnetGroup"
CACHE_PARAMETERS = "aws:elasticache/parameterGroup:ParameterGroup"
POLICY = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
VAULT = "aws:backup/vault:Vault"
LOCK = "aws:backup/vaultLockConfiguration:VaultLockConfiguration"
PLAN, SELECTION = "aws:backup/plan:Plan", "aws:backup/selection:Selection"
COPIES = "arn:aws:backup:eu-central-1:123456789012:backup-vault:copies"
ROLE_ARN = "arn:aws:iam::123456789012:role/backup"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "monitoring.rds.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
PASSWORD = "Zq8vTrlm0PassWord"
TOKEN = "Kq7wXsmn1AuthToken"

OFFLINE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "eu-west-1"}


@pytest.fixture(scope="module")
def offline() -> Iterator[Client]:
    """A provider with nothing behind it: Check, Diff and previews need no API."""
    with provider("aws", **OFFLINE) as client:
        client.configure(region="eu-west-1", version="7.51.1", skipCredentialsValidation="false")
        yield client


@pytest.fixture(scope="module")
def aws(sandbox: Sandbox) -> Iterator[Client]:
    environment = {name: value for name, value in sandbox.environment.items() if name.startswith("AWS_")}
    with provider("aws", **environment) as client:
        client.configure(region="eu-west-1")
        yield client


@pytest.fixture(scope="module")
def api(sandbox: Sandbox) -> Any:
    def client(service: str) -> Any:
        return boto3.client(
            service,
            region_name="eu-west-1",
            endpoint_url=sandbox.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=sandbox.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=sandbox.environment["AWS_SECRET_ACCESS_KEY"],
        )

    return client


# The table.


def _sdk(token: str) -> Any:
    return importlib.import_module(f"pulumi_{token.split(':')[0]}.{token.split(':')[1].partition('/')[0]}")


def _properties(cls: Any) -> set[str]:
    return {getattr(each.fget, "_pulumi_name", name) for name, each in vars(cls).items() if isinstance(each, property)}


FLAGS = {"required", "replaces", "secret", "computed", "unread", "unsent", "always", "initial", "spread"}


# What bootstrap/ alone makes is tested with it: tests/sandbox/test_bootstrap.py.
_BOOTSTRAP = ("aws:s3/", "aws:kms/", "aws:iam/openIdConnectProvider:", "aws:iam/policy:")
PROGRAM = {token for token in ROWS if not token.startswith(_BOOTSTRAP)}


# kms:ListAliases tells no targetKeyArn.
@pytest.mark.parametrize("token", sorted(ROWS.keys() - {"aws:kms/alias:Alias"}))
def test_the_table_holds_each_type_as_the_sdk_has_it(offline: Client, token: str) -> None:
    """Every argument of the SDK is in the table or refused as not supported; every output is there."""
    row, name = ROWS[token], token.split(":")[2]
    resource = getattr(_sdk(token), name)
    arguments = getattr(_sdk(token), f"{name}InitArgs", None) or getattr(_sdk(token), f"{name}Args")
    assert resource.pulumi_type == token
    assert row.arguments.keys() <= sdk_names(token) == _properties(arguments)
    required = inspect.signature(arguments.__init__).parameters.values()
    assert {_camel(each.name) for each in required if each.default is each.empty and each.name != "__self__"} == (
        row.flagged("required")
    )
    assert _properties(resource) - sdk_names(token) - {"tagsAll"} <= row.outputs.keys() <= _properties(resource)
    strange = sdk_names(token) - row.arguments.keys()
    if strange:
        _, failures = offline.checked(token, dict.fromkeys(strange, "x"))
        assert {each for each in strange if "is not supported by the sandbox" in failures[each]} == strange
    for argument in row.arguments.values():
        assert argument.flags <= FLAGS
        assert {each for group in argument.one_of for each in group} | argument.each.keys() <= argument.fields.keys()
        assert {*argument.along} <= row.arguments.keys()
    for named in (row.implied, row.imported, row.own, row.restores, row.recomputed.values(), *row.conflicts):
        assert {*named} <= row.arguments.keys()
    for restore in row.restores.values():
        assert {*restore["withheld"], *restore["afterwards"]} <= row.arguments.keys()


@pytest.mark.parametrize(
    ("token", "argument", "name"),
    [
        (CLUSTER, "restoreToPointInTime", "ClusterRestoreToPointInTimeArgs"),
        (CLUSTER, "serverlessv2ScalingConfiguration", "ClusterServerlessv2ScalingConfigurationArgs"),
        (PARAMETERS, "parameters", "ClusterParameterGroupParameterArgs"),
        (INSTANCE_PARAMETERS, "parameters", "ParameterGroupParameterArgs"),
        (CACHE_PARAMETERS, "parameters", "ParameterGroupParameterArgs"),
        (CACHE, "logDeliveryConfigurations", "ReplicationGroupLogDeliveryConfigurationArgs"),
    ],
)
def test_the_fields_of_a_block_are_the_sdks(token: str, argument: str, name: str) -> None:
    assert ROWS[token].arguments[argument].fields.keys() == _properties(getattr(_sdk(token), name))


def _camel(name: str) -> str:
    first, *rest = name.strip("_").split("_")
    return first + "".join(each.title() for each in rest)


@pytest.mark.parametrize("token", sorted(FUNCTIONS))
def test_the_functions_of_the_table_take_what_the_sdk_sends(token: str) -> None:
    function = FUNCTIONS[token]
    name = re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", token.split(":")[2])
    taken = {_camel(each) for each in getattr(_sdk(token), name).__annotations__} - {"opts", "return"}
    assert {*function["arguments"]} <= taken


# Without an API.


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("AWS_ENDPOINT_URL", ""),
        ("AWS_ENDPOINT_URL", "https://rds.eu-west-1.amazonaws.com"),
        ("AWS_ENDPOINT_URL", "http://10.0.0.5:5000"),
        ("AWS_ENDPOINT_URL_RDS", "https://rds.eu-west-1.amazonaws.com"),
    ],
)
def test_the_stand_in_refuses_to_work_on_anything_but_this_machine(variable: str, url: str) -> None:
    with provider("aws", **{**OFFLINE, variable: url}) as client:
        with pytest.raises(grpc.RpcError) as caught:
            client.configure(region="eu-west-1")
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert f"{variable} is {url or 'not set'}" in caught.value.details()


@pytest.mark.parametrize(
    ("kind", "news", "key", "reason"),
    [
        ("aws:sqs/queue:Queue", {}, "", "unknown type 'aws:sqs/queue:Queue'"),
        ("aws:rds/clusters:Cluster", {}, "", "did you mean 'aws:rds/cluster:Cluster'?"),
        (
            CLUSTER,
            {"engine": "aurora-postgresql", "enginVersion": "16"},
            "enginVersion",
            "did you mean 'engineVersion'?",
        ),
        (CLUSTER, {"engine": "aurora-postgresql", "iops": 1}, "iops", "'iops' is not supported by the sandbox"),
        (CLUSTER, {}, "engine", "missing required argument 'engine'"),
        (CACHE, {"replicationGroupId": "x"}, "description", "missing required argument 'description'"),
        (GROUP, {"egress": [{"protocol": "-1"}]}, "egress", "supports only []"),
    ],
)
def test_check_names_what_it_refuses(offline: Client, kind: str, news: dict[str, Any], key: str, reason: str) -> None:
    _, failures = offline.checked(kind, news)
    assert reason in failures[key]


def test_check_adds_the_real_providers_defaults_and_says_which(offline: Client) -> None:
    inputs = offline.check(CLUSTER, {"engine": "aurora-postgresql", "backupRetentionPeriod": 7, "__defaults": ["x"]})
    assert inputs == {
        "engine": "aurora-postgresql",
        "backupRetentionPeriod": 7,
        "copyTagsToSnapshot": False,
        "deleteAutomatedBackups": True,
        "engineMode": "provisioned",
        "skipFinalSnapshot": False,
        "__defaults": sorted(inputs.keys() - {"engine", "backupRetentionPeriod", "__defaults"}),
    }


def test_parameters_are_a_set_and_immediate_unless_said_otherwise(offline: Client) -> None:
    given = [{"name": "b", "value": "1"}, {"name": "a", "value": "2", "applyMethod": "pending-reboot"}]
    inputs = offline.check(PARAMETERS, {"family": "aurora-postgresql16", "parameters": given})
    assert sorted(inputs["parameters"], key=lambda each: each["name"]) == [
        {"name": "a", "value": "2", "applyMethod": "pending-reboot"},
        {"name": "b", "value": "1", "applyMethod": "immediate"},
    ]
    again = offline.check(PARAMETERS, {"family": "aurora-postgresql16", "parameters": given[::-1]})
    assert again["parameters"] == inputs["parameters"]


def test_a_missing_name_is_made_from_the_seed_kept_later_and_new_in_a_replacement(offline: Client) -> None:
    inputs = offline.check(PARAMETERS, {"family": "f"}, name="Group")
    assert inputs["name"] == offline.check(PARAMETERS, {"family": "f"}, name="Group")["name"]
    assert inputs["name"].startswith("group-")
    assert offline.check(PARAMETERS, {"family": "g"}, inputs, name="Group", seed=b"9" * 32)["name"] == inputs["name"]
    assert offline.check(PARAMETERS, {"family": "g"}, name="Group", seed=b"9" * 32)["name"] != inputs["name"]
    # A name the program once gave is not an autoname.
    fixed = offline.check(PARAMETERS, {"family": "f", "name": "mine"}, name="Group")
    assert offline.check(PARAMETERS, {"family": "f"}, fixed, name="Group")["name"] == inputs["name"]


BASE: dict[str, dict[str, Any]] = {
    CLUSTER: {"clusterIdentifier": "c", "engine": "aurora-postgresql", "engineVersion": "16.8", "masterUsername": "u", "databaseName": "d", "dbSubnetGroupName": "s", "kmsKeyId": "k", "storageEncrypted": True, "port": 5432, "vpcSecurityGroupIds": ["a", "b"], "snapshotIdentifier": "snap", "preferredMaintenanceWindow": "sun:05:00-sun:06:00"},  # noqa: E501
    INSTANCE: {"identifier": "i", "clusterIdentifier": "c", "engine": "aurora-postgresql", "instanceClass": "db.r6g.large", "dbSubnetGroupName": "s"},  # noqa: E501
    CACHE: {"replicationGroupId": "r", "description": "d", "engine": "redis", "engineVersion": "7.1", "port": 6379, "subnetGroupName": "s", "kmsKeyId": "k", "atRestEncryptionEnabled": True, "transitEncryptionEnabled": True, "snapshotName": "n"},  # noqa: E501
    GROUP: {"name": "g", "description": "d", "vpcId": "v", "egress": [], "tags": {"a": "1"}},
    RULE: {"securityGroupId": "sg", "ipProtocol": "tcp", "fromPort": 1, "toPort": 1, "cidrIpv4": "10.0.0.0/8"},
    PARAMETERS: {"name": "p", "family": "f", "parameters": [{"name": "a", "value": "1"}]},
    ROLE: {"name": "r", "assumeRolePolicy": '{"a": [1]}'},
    LOGS: {"name": "l", "retentionInDays": 7},
}  # fmt: skip
REPLACED, UPDATED = "update replace", "update"
ENGINE_16 = {"engineVersion": "16.8"}


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        # facts 1.5: rds.Cluster
        *((CLUSTER, {name: "other"}, {name: REPLACED}) for name in ("clusterIdentifier", "engine", "masterUsername", "databaseName", "dbSubnetGroupName", "kmsKeyId", "engineMode", "snapshotIdentifier")),  # noqa: E501
        (CLUSTER, {"storageEncrypted": False}, {"storageEncrypted": REPLACED}),
        (CLUSTER, {"snapshotIdentifier": None, "restoreToPointInTime": {"sourceClusterIdentifier": "x", "useLatestRestorableTime": True}}, {"restoreToPointInTime.sourceClusterIdentifier": "add replace", "restoreToPointInTime.useLatestRestorableTime": "add replace"}),  # noqa: E501
        (CLUSTER, {"snapshotIdentifier": None}, {}),
        (CLUSTER, {"engineVersion": "17.4", "port": 5433}, {"engineVersion": UPDATED, "port": UPDATED}),
        (CLUSTER, {"storageType": "aurora"}, {}),
        (CLUSTER, {"storageType": "aurora-iopt1", "deletionProtection": True}, {"storageType": "add", "deletionProtection": "add"}),  # noqa: E501
        (CLUSTER, {"vpcSecurityGroupIds": ["b", "a"], "preferredMaintenanceWindow": "SUN:05:00-SUN:06:00"}, {}),
        (CLUSTER, {"vpcSecurityGroupIds": ["b", "c"]}, {"vpcSecurityGroupIds": UPDATED}),
        (CLUSTER, {"masterUsername": None, "port": None, "dbSubnetGroupName": None}, {}),
        (CLUSTER, {"dbSubnetGroupName": UNKNOWN}, {"dbSubnetGroupName": REPLACED}),
        # facts 1.5: rds.ClusterInstance
        *((INSTANCE, {name: "other"}, {name: REPLACED}) for name in ("identifier", "clusterIdentifier", "engine", "dbSubnetGroupName")),  # noqa: E501
        (INSTANCE, {"instanceClass": "db.r6g.xlarge", "promotionTier": 1}, {"instanceClass": UPDATED, "promotionTier": UPDATED}),  # noqa: E501
        # facts 2.3: ReplicationGroup
        *((CACHE, {name: "other"}, {name: REPLACED}) for name in ("replicationGroupId", "subnetGroupName", "kmsKeyId", "snapshotName")),  # noqa: E501
        (CACHE, {"port": 6380, "atRestEncryptionEnabled": False}, {"port": REPLACED, "atRestEncryptionEnabled": REPLACED}),  # noqa: E501
        (CACHE, {"snapshotName": None}, {"snapshotName": "delete replace"}),
        (CACHE, {"engineVersion": "6.2"}, {"engineVersion": REPLACED}),
        (CACHE, {"engineVersion": "6.2", "parameterGroupName": UNKNOWN}, {"engineVersion": REPLACED, "parameterGroupName": "add"}),  # noqa: E501
        (CACHE, {"engine": "valkey", "engineVersion": "8.0"}, {"engine": UPDATED, "engineVersion": UPDATED}),
        (CACHE, {"transitEncryptionEnabled": False}, {"transitEncryptionEnabled": UPDATED}),
        (CACHE, {"nodeType": "x", "numCacheClusters": 3}, {"nodeType": "add", "numCacheClusters": "add"}),
        (GROUP, {"description": "e"}, {"description": REPLACED}),
        (GROUP, {"tags": {"a": "2", "b.c": "3"}}, {"tags.a": UPDATED, 'tags["b.c"]': "add"}),
        (GROUP, {"tags": None, "egress": None}, {"tags.a": "delete"}),
        (RULE, {"description": "x", "toPort": 2}, {"description": "add", "toPort": UPDATED}),
        (RULE, {"cidrIpv4": None, "referencedSecurityGroupId": "g"}, {"cidrIpv4": "delete replace", "referencedSecurityGroupId": "add replace"}),  # noqa: E501
        (PARAMETERS, {"family": "g"}, {"family": REPLACED}),
        (PARAMETERS, {"parameters": [{"name": "a", "value": "2"}]}, {"parameters[0].value": UPDATED}),
        (ROLE, {"assumeRolePolicy": '{"a":[1]}'}, {}),
        (ROLE, {"assumeRolePolicy": '{"a":[2]}'}, {"assumeRolePolicy": UPDATED}),
        (LOGS, {"retentionInDays": None}, {"retentionInDays": UPDATED}),
    ],
)  # fmt: skip
def test_a_change_is_an_update_or_a_replacement_as_on_aws(
    offline: Client, kind: str, change: dict[str, Any], expected: dict[str, str]
) -> None:
    state = offline.check(kind, BASE[kind])
    wanted = {name: value for name, value in {**BASE[kind], **change}.items() if value is not None}
    assert offline.changes(kind, "id", state, offline.check(kind, wanted, state)) == expected


@pytest.mark.parametrize(
    ("version", "actual", "expected"),
    [("6.2", "6.2.6", REPLACED), ("7.0", "7.0.4", REPLACED), ("7.0", "7.0.7", UPDATED)],
)
def test_what_turning_tls_on_means_depends_on_the_patch(
    offline: Client, version: str, actual: str, expected: str
) -> None:
    old = {**BASE[CACHE], "transitEncryptionEnabled": False, "engineVersion": version}
    state = {**offline.check(CACHE, old), "engineVersionActual": actual}
    new = offline.check(CACHE, {**old, "transitEncryptionEnabled": True})
    assert offline.changes(CACHE, "r", state, new) == {"transitEncryptionEnabled": expected}


def test_valkey_back_to_redis_replaces_the_group(offline: Client) -> None:
    old = {**BASE[CACHE], "engine": "valkey", "engineVersion": "7.2"}
    new = offline.check(CACHE, {**old, "engine": "redis", "engineVersion": "7.1"})
    assert offline.changes(CACHE, "r", offline.check(CACHE, old), new)["engine"] == "update replace"


def test_an_ignored_drift_is_no_difference(offline: Client) -> None:
    state = offline.check(CLUSTER, BASE[CLUSTER])
    drifted = {**state, "engineVersion": "16.9", "tags": {"a": "1"}}
    assert offline.changes(CLUSTER, "c", drifted, state, ignore=("engineVersion", "tags.a")) == {}


@pytest.mark.parametrize(
    ("kind", "change", "first"),
    [
        (CACHE, {"port": 1}, True),
        (PARAMETERS, {"family": "x"}, True),
        (PARAMETERS, {"family": "x", "name": "another"}, True),
        (CLUSTER, {"engine": "x"}, False),
    ],
)
def test_only_a_fixed_name_the_real_provider_would_make_is_deleted_first(
    offline: Client, kind: str, change: dict[str, Any], first: bool
) -> None:
    state = offline.check(kind, BASE[kind])
    assert offline.diff(kind, "x", state, {**state, **change}).deleteBeforeReplace is first
    unnamed = {name: value for name, value in BASE[kind].items() if name not in ("name", "replicationGroupId")}
    state = offline.check(kind, unnamed)
    assert not offline.diff(kind, "x", state, {**state, **change}).deleteBeforeReplace


def test_a_preview_knows_the_arguments_and_the_tags_and_nothing_else() -> None:
    with provider("aws", **OFFLINE) as client:
        client.configure(region="eu-west-1")
        inputs = client.check(
            CLUSTER, {"engine": "aurora-postgresql", "masterPassword": values.secret(PASSWORD), "tags": {"a": "b"}}
        )
        id_, outputs = client.create(CLUSTER, inputs, preview=True)
    assert not id_
    assert outputs["masterPassword"] == values.secret(PASSWORD)
    assert outputs["tagsAll"] == {"a": "b"}
    assert outputs["region"] == "eu-west-1"
    assert outputs["endpoint"] == outputs["arn"] == outputs["clusterIdentifier"] == outputs["port"] == UNKNOWN
    assert "__defaults" not in outputs


def test_an_update_preview_keeps_what_stays_and_hides_what_may_change(offline: Client) -> None:
    old = {**offline.check(CLUSTER, BASE[CLUSTER]), "endpoint": "e", "engineVersionActual": "16.8", "tags": {"a": "b"}}
    new = offline.check(CLUSTER, {**BASE[CLUSTER], "engineVersion": "16.9"})
    outputs = offline.update(CLUSTER, "c", old, new, preview=True)
    assert (outputs["endpoint"], outputs["engineVersionActual"], outputs["engineVersion"]) == ("e", "16.8", "16.9")
    assert "tags" not in outputs


def test_a_new_region_means_new_resources_and_any_other_setting_none(offline: Client) -> None:
    assert list(offline.diff_config({"region": "eu-west-1"}, {"region": "eu-west-2"}).replaces) == ["region"]
    assert not offline.diff_config({"region": "eu-west-1"}, {"region": "eu-west-1", "maxRetries": "3"}).replaces


def test_no_answer_is_an_error_that_says_nothing_happened(offline: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        offline.invoke("aws:eks/getCluster:getCluster", name="x")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_an_unknown_function_is_refused_with_its_nearest_name(offline: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        offline.invoke("aws:eks/getClusters:getClusters", name="x")
    assert "did you mean 'aws:eks/getCluster:getCluster'?" in caught.value.details()


# With the sandbox's API.


@pytest.fixture(scope="module")
def network(api: Any) -> dict[str, Any]:
    subnets = api("ec2").describe_subnets(Filters=[{"Name": "tag:Tier", "Values": ["private"]}])["Subnets"]
    return {"vpc": subnets[0]["VpcId"], "subnets": [each["SubnetId"] for each in subnets]}


def live(
    client: Client, kind: str, inputs: dict[str, Any], change: dict[str, Any], name: str, lost: set[str], within: str
) -> Any:
    """Create, look, import, change: the same everywhere. `lost`: what an import cannot know; `within`: its parent."""
    checked = client.check(kind, inputs, name=name)
    assert client.create(kind, checked, preview=True, name=name)[0] == ""
    id_, state = client.create(kind, checked, name=name)
    assert client.check(kind, inputs, checked, name=name) == checked
    assert client.changes(kind, id_, state, checked) == {}
    assert client.read(kind, id_, checked, state) == (id_, checked, state)
    imported = client.read(kind, f"{within}{id_}")
    assert imported[0] == id_
    assert set(client.changes(kind, id_, imported[2], client.check(kind, inputs, imported[1], name=name))) == lost
    if change:
        wanted = client.check(kind, {**inputs, **change}, checked, name=name)
        assert not client.diff(kind, id_, state, wanted).replaces
        assert {path.partition(".")[0].partition("[")[0] for path in client.changes(kind, id_, state, wanted)} == set(
            change
        )
        assert client.update(kind, id_, state, wanted, preview=True)
        state = client.update(kind, id_, state, wanted)
        assert client.changes(kind, id_, state, wanted) == {}
    return id_, state


def test_every_type_is_made_found_imported_changed_and_deleted(aws: Client, network: dict[str, Any]) -> None:
    made: list[tuple[str, str, dict[str, Any]]] = []

    def go(
        kind: str, inputs: dict[str, Any], change: dict[str, Any], lost: set[str] | None = None, within: str = ""
    ) -> Any:
        id_, state = live(aws, kind, inputs, change, f"prov-{len(made)}", lost or set(), within)
        made.append((kind, id_, state))
        return id_

    tags = {"tags": {"Name": "prov", "Project": "meetinity"}}
    group = go(GROUP, {"vpcId": network["vpc"], "egress": [], **tags}, {"tags": {"Name": "other"}})
    go(
        RULE,
        {
            "securityGroupId": group,
            "ipProtocol": "tcp",
            "fromPort": 5432,
            "toPort": 5432,
            "cidrIpv4": "10.0.0.0/16",
            "description": "in",
            **tags,
        },
        {"description": "changed", "toPort": 5433},
    )
    subnets = go(SUBNETS, {"name": "prov-subnet", "subnetIds": network["subnets"], **tags}, {"description": "changed"})
    static = {"name": "rds.force_ssl", "value": "1", "applyMethod": "pending-reboot"}
    parameters = go(
        PARAMETERS,
        {"family": "aurora-postgresql16", "parameters": [static, {"name": "log_statement", "value": "ddl"}]},
        {"parameters": [{"name": "log_statement", "value": "all"}]},
    )
    own = go(INSTANCE_PARAMETERS, {"family": "aurora-postgresql16"}, {"tags": {"a": "b"}})
    role = go(ROLE, {"assumeRolePolicy": json.dumps(TRUST, indent=1), **tags}, {"maxSessionDuration": 7200})
    go(ATTACHMENT, {"role": role, "policyArn": POLICY}, {})
    logs = go(LOGS, {"name": "/aws/rds/cluster/prov/postgresql", "retentionInDays": 7, **tags}, {"retentionInDays": 14})
    assert logs == "/aws/rds/cluster/prov/postgresql"
    cluster = go(
        CLUSTER,
        {
            "clusterIdentifier": "prov", "engine": "aurora-postgresql", "engineVersion": "16.8", "databaseName": "prov",
            "masterUsername": "meetinity", "masterPassword": values.secret(PASSWORD), "dbSubnetGroupName": subnets,
            "dbClusterParameterGroupName": parameters, "vpcSecurityGroupIds": [group], "storageEncrypted": True,
            "backupRetentionPeriod": 7, "skipFinalSnapshot": True, "enabledCloudwatchLogsExports": ["postgresql"],
            "performanceInsightsEnabled": True, "performanceInsightsRetentionPeriod": 7, "applyImmediately": True,
            "serverlessv2ScalingConfiguration": {"minCapacity": 0.5, "maxCapacity": 4}, **tags,
        },
        {"backupRetentionPeriod": 8, "enabledCloudwatchLogsExports": [], "masterPassword": values.secret(TOKEN)},
        {"masterPassword", "applyImmediately"},
    )  # fmt: skip
    instance = {
        "identifier": "prov-1",
        "clusterIdentifier": cluster,
        "engine": "aurora-postgresql",
        "dbParameterGroupName": own,
        "instanceClass": "db.r6g.large",
        "applyImmediately": True,
    }
    go(INSTANCE, {**instance, **tags}, {"promotionTier": 3, "instanceClass": "db.r6g.xlarge"}, {"applyImmediately"})
    cache_subnets = go(
        CACHE_SUBNETS, {"name": "prov-redis", "subnetIds": network["subnets"], **tags}, {"description": "x"}
    )
    policy = [{"name": "maxmemory-policy", "value": "allkeys-lru"}]
    cache_parameters = go(
        CACHE_PARAMETERS, {"name": "prov-redis7", "family": "redis7", "parameters": policy}, {"parameters": []}
    )
    go(
        CACHE,
        {
            "replicationGroupId": "prov-redis", "description": "prov", "engine": "redis", "engineVersion": "7.1",
            "nodeType": "cache.t4g.small", "numCacheClusters": 2, "port": 6379, "parameterGroupName": cache_parameters,
            "subnetGroupName": cache_subnets, "securityGroupIds": [group], "automaticFailoverEnabled": True,
            "multiAzEnabled": True, "transitEncryptionEnabled": True, "atRestEncryptionEnabled": True,
            "authToken": values.secret(TOKEN), "maintenanceWindow": "sun:06:30-sun:07:30", "applyImmediately": True,
            "snapshotWindow": "02:00-03:00", "snapshotRetentionLimit": 3, **tags,
        },
        {"snapshotRetentionLimit": 4, "numCacheClusters": 3},
        {"authToken", "applyImmediately"},
    )  # fmt: skip
    vault = go(VAULT, {"name": "prov-vault", **tags}, {"tags": {"Name": "other"}})
    lock = {"backupVaultName": vault, "minRetentionDays": 7, "maxRetentionDays": 35, "changeableForDays": 3}
    go(LOCK, lock, {}, {"changeableForDays"})
    rule = {
        "ruleName": "daily", "targetVaultName": vault, "schedule": "cron(0 3 * * ? *)", "startWindow": 60,
        "completionWindow": 360, "enableContinuousBackup": False, "lifecycle": {"deleteAfter": 35},
        "copyActions": [{"destinationVaultArn": COPIES, "lifecycle": {"coldStorageAfter": 1, "deleteAfter": 91}}],
    }  # fmt: skip
    warm = {**rule, "lifecycle": {"deleteAfter": 34}, "copyActions": []}
    plan = go(PLAN, {"name": "prov-plan", "rules": [rule], **tags}, {"rules": [warm]})
    chosen = {"type": "STRINGEQUALS", "key": "backup", "value": "daily"}
    selected = {"name": "prov", "planId": plan, "iamRoleArn": ROLE_ARN, "selectionTags": [chosen]}
    go(SELECTION, {**selected, "resources": [COPIES]}, {}, within=f"{plan}|")
    assert {kind for kind, _, _ in made} == PROGRAM
    for kind, _, state in made:
        assert {name for name, value in state.items() if values.is_secret(value)} == {
            name for name in ("masterPassword", "authToken") if name in ROWS[kind].arguments
        }
    cluster_state, cache_state = (state for kind, _, state in made if kind in (CLUSTER, CACHE))
    assert {
        "endpoint",
        "readerEndpoint",
        "hostedZoneId",
        "clusterResourceId",
        "engineVersionActual",
    } <= cluster_state.keys()
    assert {"primaryEndpointAddress", "readerEndpointAddress", "memberClusters", "arn"} <= cache_state.keys()
    for kind, id_, state in reversed(made):
        aws.delete(kind, id_, state)
        aws.delete(kind, id_, state)
        within = f"{state['planId']}|" if kind == SELECTION else ""
        assert aws.read(kind, f"{within}{id_}") is None, f"{kind} is still there"


def test_drift_made_by_others_is_read_and_repaired(aws: Client, api: Any, network: dict[str, Any]) -> None:
    inputs = aws.check(GROUP, {"vpcId": network["vpc"], "egress": [], "tags": {"a": "1"}})
    id_, state = aws.create(GROUP, inputs)
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    assert api("ec2").describe_security_groups(GroupIds=[id_])["SecurityGroups"][0]["IpPermissionsEgress"] == []
    api("ec2").authorize_security_group_egress(GroupId=id_, IpPermissions=everything)
    api("ec2").create_tags(Resources=[id_], Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    _, _, found = aws.read(GROUP, id_, inputs, state)
    assert aws.changes(GROUP, id_, found, inputs) == {"egress": "delete", "tags.a": "update", "tags.b": "delete"}
    repaired = aws.update(GROUP, id_, found, inputs)
    assert aws.changes(GROUP, id_, repaired, inputs) == {}
    assert repaired["tagsAll"] == {"a": "1"}
    aws.delete(GROUP, id_, repaired)


def test_what_came_to_be_only_in_part_is_recorded_and_completed_later(aws: Client) -> None:
    wrong = aws.check(PARAMETERS, {"family": "aurora-postgresql16", "parameters": [{"name": "no_such", "value": "1"}]})
    with pytest.raises(InitFailedError) as caught:
        aws.create(PARAMETERS, wrong)
    assert caught.value.id == wrong["name"]
    assert "no_such" in caught.value.reasons[0]
    right = aws.check(
        PARAMETERS, {"family": "aurora-postgresql16", "parameters": [{"name": "log_statement", "value": "ddl"}]}, wrong
    )
    left = aws.changes(PARAMETERS, caught.value.id, caught.value.properties, right)
    assert left.keys() == {"parameters"}
    state = aws.update(PARAMETERS, caught.value.id, caught.value.properties, right)
    assert aws.changes(PARAMETERS, caught.value.id, state, right) == {}
    aws.delete(PARAMETERS, caught.value.id, state)


def test_a_refusal_of_the_api_changed_nothing_and_shows_no_secret(aws: Client) -> None:
    inputs = aws.check(
        CLUSTER, {"engine": "aurora-postgresql", "masterUsername": "u", "masterPassword": values.secret([PASSWORD])}
    )
    with pytest.raises(grpc.RpcError) as caught:
        aws.create(CLUSTER, inputs)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "MasterUserPassword" in caught.value.details()
    assert PASSWORD not in caught.value.details()
    with pytest.raises(grpc.RpcError) as caught:
        aws.create(RULE, aws.check(RULE, {"securityGroupId": "sg-0123456789abcdef0", "ipProtocol": "tcp"}))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_a_cluster_without_a_final_snapshot_is_deleted_only_when_told_to_skip_it(aws: Client) -> None:
    state = {**aws.check(CLUSTER, BASE[CLUSTER]), "skipFinalSnapshot": False}
    with pytest.raises(grpc.RpcError) as caught:
        aws.delete(CLUSTER, "prov-none", state)
    assert "finalSnapshotIdentifier is required when skipFinalSnapshot is false" in caught.value.details()


def test_functions_answer_as_the_real_providers(aws: Client, network: dict[str, Any]) -> None:
    cluster = aws.invoke("aws:eks/getCluster:getCluster", name="meetinity-eks")
    assert cluster["endpoint"].startswith("https://127.")
    assert cluster["certificateAuthorities"][0]["data"]
    assert cluster["vpcConfig"]["vpcId"] == network["vpc"]
    assert cluster["arn"].endswith("cluster/meetinity-eks")
    tier = {"Tier": "private"}
    in_vpc = [{"name": "vpc-id", "values": [network["vpc"]]}]
    assert aws.invoke("aws:ec2/getSubnets:getSubnets", filters=in_vpc, tags=tier)["ids"] == sorted(network["subnets"])
    subnet = aws.invoke("aws:ec2/getSubnet:getSubnet", id=network["subnets"][0])
    assert subnet["cidrBlock"].endswith("/24")
    assert (subnet["vpcId"], subnet["tags"]["Tier"]) == (network["vpc"], "private")
    groups = aws.invoke(
        "aws:ec2/getSecurityGroups:getSecurityGroups", filters=in_vpc, tags={"Name": "meetinity-eks-node"}
    )
    assert len(groups["ids"]) == len(groups["arns"]) == len(groups["vpcIds"]) == 1
    for token, arguments in (
        ("aws:eks/getCluster:getCluster", {"name": "no-such"}),
        ("aws:ec2/getSubnet:getSubnet", {"filters": in_vpc}),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            aws.invoke(token, **arguments)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
