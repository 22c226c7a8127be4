"""What the aws stand-in sends, word for word, and how it waits and fails: against an API that answers by script."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2

from sandbox.providers import values
from tests.sandbox.provider_process import Client, InitFailedError, provider
from tests.sandbox.scripted_api import ARN, READING, ScriptedApi, cluster, scripted_api

CLUSTER = "aws:rds/cluster:Cluster"
INSTANCE = "aws:rds/clusterInstance:ClusterInstance"
CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedApi]:
    with scripted_api() as api:
        yield api


@pytest.fixture
def api(server: ScriptedApi) -> ScriptedApi:
    server.calls, server.says = [], {}
    return server


@contextlib.contextmanager
def _provider(api: ScriptedApi) -> Iterator[Client]:
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{api.port}",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    with provider("aws", **environment) as client:
        client.configure(region="eu-west-1")
        yield client


@pytest.fixture(scope="module")
def aws(server: ScriptedApi) -> Iterator[Client]:
    with _provider(server) as client:
        yield client


def group(**members: Any) -> dict[str, Any]:
    stands = {"ReplicationGroupId": "r", "ARN": "arn:r", "Status": "available", "MemberClusters": ["r-001"]}
    return {"ReplicationGroups": [{**stands, **members}]}


WANTED: dict[str, Any] = {
    "clusterIdentifier": "c", "engine": "aurora-postgresql", "engineVersion": "16.8", "databaseName": "d",
    "masterUsername": "u", "masterPassword": values.secret("Zq8vTrlm0PassWord"), "port": 5432, "storageEncrypted": True,
    "kmsKeyId": "arn:k", "dbSubnetGroupName": "s", "vpcSecurityGroupIds": ["sg"], "dbClusterParameterGroupName": "p",
    "backupRetentionPeriod": 7, "preferredBackupWindow": "03:00-04:00", "deletionProtection": True,
    "preferredMaintenanceWindow": "sun:04:00-sun:05:00", "copyTagsToSnapshot": True, "storageType": "aurora-iopt1",
    "iamDatabaseAuthenticationEnabled": True, "enabledCloudwatchLogsExports": ["postgresql"],
    "performanceInsightsEnabled": True, "performanceInsightsRetentionPeriod": 465, "databaseInsightsMode": "advanced",
    "performanceInsightsKmsKeyId": "arn:k", "monitoringInterval": 60, "monitoringRoleArn": "arn:m",
    "serverlessv2ScalingConfiguration": {"minCapacity": 0.5, "maxCapacity": 4}, "finalSnapshotIdentifier": "f",
    "allowMajorVersionUpgrade": False, "applyImmediately": True, "tags": {"a": "b"},
}  # fmt: skip
POINT = {"sourceClusterIdentifier": "src", "restoreToTime": "2026-11-20T08:00:00Z", "restoreType": "full-copy"}
CLONE = {"sourceClusterIdentifier": "src", "useLatestRestorableTime": True, "restoreType": "copy-on-write"}
COMMON = """DBClusterIdentifier CopyTagsToSnapshot DeletionProtection Tags DBClusterParameterGroupName DBSubnetGroupName
    EnableCloudwatchLogsExports KmsKeyId MonitoringInterval MonitoringRoleArn Port StorageType VpcSecurityGroupIds"""
AFTERWARDS = {
    "ApplyImmediately", "BackupRetentionPeriod", "DBClusterIdentifier", "MasterUserPassword", "PreferredBackupWindow",
    "PreferredMaintenanceWindow", "ServerlessV2ScalingConfiguration",
}  # fmt: skip


def names(form: dict[str, str]) -> set[str]:
    return {name.partition(".")[0] for name in form}


# The Terraform provider's resourceClusterCreate, path by path (facts 1.6).
@pytest.mark.parametrize(
    ("restore", "operation", "own"),
    [
        ({"snapshotIdentifier": "snap"}, "RestoreDBClusterFromSnapshot", "SnapshotIdentifier DatabaseName Engine EngineMode EngineVersion"),  # noqa: E501
        ({"restoreToPointInTime": POINT}, "RestoreDBClusterToPointInTime", "SourceDBClusterIdentifier RestoreToTime RestoreType EnableIAMDatabaseAuthentication"),  # noqa: E501
        ({"restoreToPointInTime": CLONE}, "RestoreDBClusterToPointInTime", "SourceDBClusterIdentifier UseLatestRestorableTime RestoreType EnableIAMDatabaseAuthentication"),  # noqa: E501
    ],
    ids=["snapshot", "moment", "clone"],
)  # fmt: skip
def test_a_restore_sends_what_the_real_provider_sends_then_modifies(
    aws: Client, api: ScriptedApi, restore: dict[str, Any], operation: str, own: str
) -> None:
    api.says = {"DescribeDBClusters": cluster(), "ListTagsForResource": {"TagList": [{"Key": "a", "Value": "b"}]}}
    inputs = aws.check(CLUSTER, {**WANTED, **restore})
    id_, state = aws.create(CLUSTER, inputs)
    assert id_ == "c"
    assert api.writes() == [operation, "ModifyDBCluster"]
    assert names(api.sent(operation)[0]) == {*COMMON.split(), *own.split()}
    (follow,) = api.sent("ModifyDBCluster")
    assert names(follow) == AFTERWARDS
    assert follow["ApplyImmediately"] == "true"
    assert (follow["MasterUserPassword"], follow["BackupRetentionPeriod"]) == ("Zq8vTrlm0PassWord", "7")
    # What was not sent is a difference for the next `up`, as on AWS.
    left = aws.changes(CLUSTER, "c", state, aws.check(CLUSTER, {**WANTED, **restore}, inputs))
    assert {"performanceInsightsEnabled", "databaseInsightsMode"} <= left.keys()


def test_an_ordinary_creation_sends_everything_at_once(aws: Client, api: ScriptedApi) -> None:
    api.says = {"DescribeDBClusters": cluster()}
    aws.create(CLUSTER, aws.check(CLUSTER, WANTED))
    (form,) = api.sent("CreateDBCluster")
    assert api.writes() == ["CreateDBCluster"]
    assert names(form) == {
        *COMMON.split(), "Engine", "EngineMode", "EngineVersion", "DatabaseName", "MasterUsername", "MasterUserPassword",  # noqa: E501
        "StorageEncrypted", "BackupRetentionPeriod", "PreferredBackupWindow", "PreferredMaintenanceWindow",
        "EnableIAMDatabaseAuthentication", "EnablePerformanceInsights", "PerformanceInsightsKMSKeyId",
        "PerformanceInsightsRetentionPeriod", "DatabaseInsightsMode", "ServerlessV2ScalingConfiguration",
    }  # fmt: skip


@pytest.mark.parametrize("restore", [{"snapshotName": "n"}, {"snapshotArns": ["arn:aws:s3:::b/x.rdb"]}])
def test_a_replication_group_is_restored_by_the_creation_itself(
    aws: Client, api: ScriptedApi, restore: dict[str, Any]
) -> None:
    api.says = {"CreateReplicationGroup": {"ReplicationGroup": {}}, "DescribeReplicationGroups": group()}
    api.says["DescribeCacheClusters"] = {"CacheClusters": [{"EngineVersion": "7.1.0"}]}
    wanted = {"replicationGroupId": "r", "description": "d", "nodeType": "t", "numCacheClusters": 2, **restore}
    inputs = aws.check(CACHE, wanted)
    _, state = aws.create(CACHE, inputs)
    (form,) = api.sent("CreateReplicationGroup")
    assert {"SnapshotName": "n"}.items() <= form.items() or "arn:aws:s3:::b/x.rdb" in form.values()
    # The provider implies the engine, and says that TLS is off rather than nothing.
    assert (form["Engine"], form["TransitEncryptionEnabled"]) == ("redis", "false")
    less = {name: value for name, value in wanted.items() if name not in restore}
    without = aws.check(CACHE, less, inputs)
    assert aws.changes(CACHE, "r", state, without)[next(iter(restore))] == "delete replace"
    assert not aws.diff(CACHE, "r", state, without, ignore=tuple(restore)).replaces


LOGS, ROLE = "aws:cloudwatch/logGroup:LogGroup", "aws:iam/role:Role"
LOG = {"logGroupName": "l", "logGroupArn": "arn:l"}


@pytest.mark.parametrize(
    ("kind", "news", "calls"),
    [
        (LOGS, {"name": "l"}, ["CreateLogGroup"]),
        (LOGS, {"name": "l", "kmsKeyId": "arn:k", "retentionInDays": 7}, ["CreateLogGroup", "PutRetentionPolicy"]),
        (ROLE, {"name": "r", "assumeRolePolicy": "{}"}, ["CreateRole"]),
    ],
)
def test_what_a_creation_takes_is_not_set_again(
    aws: Client, api: ScriptedApi, kind: str, news: dict[str, Any], calls: list[str]
) -> None:
    api.says = {"DescribeLogGroups": {"logGroups": [LOG]}, "ListTagsForResource": {"tags": {}}}
    api.says |= {"CreateRole": {"Role": {}}, "GetRole": {"Role": {"RoleName": "r", "AssumeRolePolicyDocument": "{}"}}}
    aws.create(kind, aws.check(kind, news))
    assert api.writes() == calls


def test_a_second_call_that_fails_does_not_lose_what_the_first_one_made(aws: Client, api: ScriptedApi) -> None:
    api.says = {"DescribeLogGroups": {"logGroups": [LOG]}, "ListTagsForResource": {"tags": {}}}
    api.says["PutRetentionPolicy"] = "InvalidParameterException 400"
    inputs = aws.check(LOGS, {"name": "l", "retentionInDays": 8})
    with pytest.raises(InitFailedError) as caught:
        aws.create(LOGS, inputs)
    assert caught.value.id == "l"
    api.says["PutRetentionPolicy"] = {}
    assert aws.changes(LOGS, "l", caught.value.properties, inputs) == {"retentionInDays": "update"}
    aws.update(LOGS, "l", caught.value.properties, inputs)
    assert api.sent("PutRetentionPolicy")[-1] == {"logGroupName": "l", "retentionInDays": 8}


OLD = {**{name: value for name, value in WANTED.items() if name != "tags"}, "arn": ARN}
CACHED = {
    "replicationGroupId": "r", "description": "d", "engine": "redis", "engineVersion": "7.1", "nodeType": "t",
    "authToken": "Kq7wXsmn1AuthToken", "authTokenUpdateStrategy": "ROTATE", "numCacheClusters": 2, "arn": "arn:r",
}  # fmt: skip
DELIVERY = {"destination": "/log", "destinationType": "cloudwatch-logs", "logFormat": "json", "logType": "slow-log"}


# The Terraform provider's update functions.
@pytest.mark.parametrize(
    ("kind", "old", "change", "expected"),
    [
        (CLUSTER, OLD, {"port": 5433}, [("ModifyDBCluster", {"Port": "5433", "ApplyImmediately": "true", "AllowMajorVersionUpgrade": "false"})]),  # noqa: E501
        (CLUSTER, OLD, {"applyImmediately": None, "port": 5433}, [("ModifyDBCluster", {"Port": "5433", "AllowMajorVersionUpgrade": "false"})]),  # noqa: E501
        # What is no longer said is sent as nothing, unless AWS chooses then.
        (CLUSTER, OLD, {"deletionProtection": None, "iamDatabaseAuthenticationEnabled": None, "backupRetentionPeriod": None}, [("ModifyDBCluster", {"DeletionProtection": "false", "EnableIAMDatabaseAuthentication": "false"})]),  # noqa: E501
        (CLUSTER, OLD, {"enabledCloudwatchLogsExports": ["iam-db-auth-error"]}, [("ModifyDBCluster", {"CloudwatchLogsExportConfiguration.EnableLogTypes.member.1": "iam-db-auth-error", "CloudwatchLogsExportConfiguration.DisableLogTypes.member.1": "postgresql"})]),  # noqa: E501
        (CLUSTER, OLD, {"databaseInsightsMode": "standard"}, [("ModifyDBCluster", {"DatabaseInsightsMode": "standard", "EnablePerformanceInsights": "true", "PerformanceInsightsRetentionPeriod": "465"})]),  # noqa: E501
        (CLUSTER, OLD, {"finalSnapshotIdentifier": "g", "skipFinalSnapshot": True, "deleteAutomatedBackups": False}, []),  # noqa: E501
        (CLUSTER, OLD, {"dbInstanceParameterGroupName": "p17", "engineVersion": "17.4"}, [("ModifyDBCluster", {"DBInstanceParameterGroupName": "p17", "EngineVersion": "17.4"})]),  # noqa: E501
        (CLUSTER, OLD, {"dbInstanceParameterGroupName": "p16", "engineVersion": "16.9"}, [("ModifyDBCluster", {"EngineVersion": "16.9"})]),  # noqa: E501
        (INSTANCE, {"identifier": "i", "clusterIdentifier": "c", "engine": "e", "instanceClass": "x", "engineVersion": "16.8"}, {"engineVersion": "16.9"}, []),  # noqa: E501
        (CACHE, CACHED, {"numCacheClusters": 3, "nodeType": "u", "authToken": "Kq7wXsmn2AuthToken"}, [("IncreaseReplicaCount", {"NewReplicaCount": "2"}), ("ModifyReplicationGroup", {"CacheNodeType": "u"}), ("ModifyReplicationGroup", {"AuthToken": "Kq7wXsmn2AuthToken", "AuthTokenUpdateStrategy": "ROTATE", "ApplyImmediately": "true"})]),  # noqa: E501
        (CACHE, CACHED, {"numCacheClusters": 1, "authTokenUpdateStrategy": "SET"}, [("ModifyReplicationGroup", {"AuthToken": "Kq7wXsmn1AuthToken", "AuthTokenUpdateStrategy": "SET"}), ("DecreaseReplicaCount", {"NewReplicaCount": "0"})]),  # noqa: E501
        (CACHE, CACHED, {"engine": "valkey", "engineVersion": "8.0"}, [("ModifyReplicationGroup", {"Engine": "valkey", "EngineVersion": "8.0"})]),  # noqa: E501
        (CACHE, CACHED, {"engineVersion": "7.2"}, [("ModifyReplicationGroup", {"Engine": "redis", "EngineVersion": "7.2"})]),  # noqa: E501
        (CACHE, CACHED, {"snapshotRetentionLimit": 5}, [("ModifyReplicationGroup", {"SnapshotRetentionLimit": "5", "SnapshottingClusterId": "r-001"})]),  # noqa: E501
        (CACHE, {**CACHED, "logDeliveryConfigurations": [DELIVERY]}, {"logDeliveryConfigurations": None}, [("ModifyReplicationGroup", {"LogDeliveryConfigurations.LogDeliveryConfigurationRequest.1.Enabled": "false"})]),  # noqa: E501
    ],
)  # fmt: skip
def test_a_change_sends_what_the_real_provider_sends(
    aws: Client, api: ScriptedApi, kind: str, old: dict[str, Any], change: dict[str, Any], expected: list[Any]
) -> None:
    api.says = {"DescribeDBClusters": cluster(DBClusterMembers=[]), "DescribeReplicationGroups": group()}
    instance = {"DBInstanceIdentifier": "i", "DBInstanceArn": "arn:i", "DBClusterIdentifier": "c"}
    api.says["DescribeDBInstances"] = {"DBInstances": [{**instance, "DBInstanceStatus": "available"}]}
    api.says["DescribeCacheClusters"] = {"CacheClusters": [{"EngineVersion": "7.1.0"}]}
    before = {name: value for name, value in old.items() if name != "arn"}
    wanted = {name: value for name, value in {**before, **change}.items() if value is not None}
    inputs = aws.check(kind, wanted)
    aws.update(kind, old.get("clusterIdentifier", "r"), {**aws.check(kind, before), "arn": old.get("arn", "")}, inputs)
    writes = [(name, form) for name, form in api.calls if not name.startswith(READING)]
    assert [name for name, _ in writes] == [name for name, _ in expected]
    for (_, form), (_, members) in zip(writes, expected, strict=True):
        assert members.items() <= form.items()
    if "finalSnapshotIdentifier" not in change and kind == CLUSTER:
        assert not names(writes[0][1]) & {"BackupRetentionPeriod", "FinalDBSnapshotIdentifier", "MasterUserPassword"}
        major = expected[0][1].get("EngineVersion") == "17.4"
        assert ("DBInstanceParameterGroupName" in writes[0][1]) == major


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"skipFinalSnapshot": True, "finalSnapshotIdentifier": "f", "deleteAutomatedBackups": True}, {"SkipFinalSnapshot": "true", "DeleteAutomatedBackups": "true"}),  # noqa: E501
        ({"skipFinalSnapshot": False, "finalSnapshotIdentifier": "f", "deleteAutomatedBackups": False}, {"SkipFinalSnapshot": "false", "FinalDBSnapshotIdentifier": "f", "DeleteAutomatedBackups": "false"}),  # noqa: E501
    ],
)  # fmt: skip
def test_a_deletion_goes_by_the_state(
    aws: Client, api: ScriptedApi, state: dict[str, Any], expected: dict[str, str]
) -> None:
    api.says = {
        "DescribeDBClusters": [cluster(Status="deleting"), cluster(Status="deleting"), "DBClusterNotFoundFault 404"]
    }
    aws.delete(CLUSTER, "c", {**OLD, "restoreToPointInTime": POINT, "finalSnapshotIdentifier": None, **state})
    assert api.sent("DeleteDBCluster") == [{"DBClusterIdentifier": "c", **expected}]
    assert len(api.sent("DescribeDBClusters")) == 3


def test_what_waits_for_the_window_is_no_difference_in_the_version_and_one_elsewhere(
    aws: Client, api: ScriptedApi
) -> None:
    """apply_immediately false: `up` succeeds at once, and the next one shows again what is still pending."""
    api.says = {"DescribeDBClusters": cluster(Port=5432, PendingModifiedValues={"EngineVersion": "16.9"})}
    inputs = aws.check(CLUSTER, {**WANTED, "applyImmediately": False, "engineVersion": "16.9", "port": 5433})
    old = {**OLD, "applyImmediately": False}
    state = aws.update(CLUSTER, "c", old, inputs)
    assert len(api.sent("ModifyDBCluster")) == 1
    left = aws.changes(CLUSTER, "c", state, inputs)
    assert left["port"] == "update"
    assert "engineVersion" not in left
    assert state["engineVersionActual"] == "16.8"


def test_applied_at_once_the_update_waits_until_nothing_is_pending(aws: Client, api: ScriptedApi) -> None:
    waits = cluster(PendingModifiedValues={"EngineVersion": "16.9"})
    api.says = {"DescribeDBClusters": [waits, waits, cluster(EngineVersion="16.9")]}
    state = aws.update(CLUSTER, "c", OLD, aws.check(CLUSTER, {**WANTED, "engineVersion": "16.9"}))
    assert state["engineVersionActual"] == "16.9"


def test_a_follow_up_that_fails_leaves_the_cluster_in_the_state_and_the_next_update_goes_on(
    aws: Client, api: ScriptedApi
) -> None:
    api.says = {"DescribeDBClusters": cluster(BackupRetentionPeriod=1), "ModifyDBCluster": "InvalidParameterValue 400"}
    inputs = aws.check(CLUSTER, {**WANTED, "snapshotIdentifier": "snap"})
    with pytest.raises(InitFailedError) as caught:
        aws.create(CLUSTER, inputs)
    assert caught.value.id == "c"
    assert "InvalidParameterValue: as scripted" in caught.value.reasons[0]
    assert values.is_secret(caught.value.properties["masterPassword"])
    api.says["ModifyDBCluster"] = {}
    assert "backupRetentionPeriod" in aws.changes(CLUSTER, "c", caught.value.properties, inputs)
    aws.update(CLUSTER, "c", caught.value.properties, inputs)
    assert api.sent("ModifyDBCluster")[-1]["BackupRetentionPeriod"] == "7"


@pytest.mark.parametrize("how", ["cancelled", "timeout"])
def test_a_wait_that_ends_early_leaves_what_there_is_in_the_state(api: ScriptedApi, how: str) -> None:
    api.says = {"DescribeDBClusters": cluster(Status="creating", Endpoint="e")}
    with _provider(api) as aws, ThreadPoolExecutor() as pool:
        inputs = aws.check(CLUSTER, WANTED)
        creating = pool.submit(aws.create, CLUSTER, inputs, timeout=0 if how == "cancelled" else 1)
        while how == "cancelled" and len(api.sent("DescribeDBClusters")) < 3:
            time.sleep(0.02)
        if how == "cancelled":
            aws.stub.Cancel(empty_pb2.Empty())
        with pytest.raises(InitFailedError) as caught:
            creating.result(20)
    assert how in caught.value.reasons[0]
    assert (caught.value.id, caught.value.properties["endpoint"]) == ("c", "e")
    assert api.writes() == ["CreateDBCluster"]


@pytest.mark.parametrize("code", ["Throttling 400", "InternalFailure 500"])
def test_a_call_that_fails_for_a_while_is_tried_again(aws: Client, api: ScriptedApi, code: str) -> None:
    api.says = {"DescribeDBClusters": [code, code, cluster()]}
    assert aws.read(CLUSTER, "c", {}, {"clusterIdentifier": "c"})


def test_a_refresh_that_fails_is_no_vanished_resource_and_one_that_finds_nothing_is(
    aws: Client, api: ScriptedApi
) -> None:
    api.says = {"DescribeDBClusters": "AccessDenied 403"}
    with pytest.raises(grpc.RpcError, match="AccessDenied") as caught:
        aws.read(CLUSTER, "c", {}, {"clusterIdentifier": "c"})
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    api.says = {"DescribeDBClusters": "DBClusterNotFoundFault 404"}
    assert aws.read(CLUSTER, "c", {}, {"clusterIdentifier": "c"}) is None


def test_an_import_assumes_what_the_real_one_assumes_and_a_wrong_id_is_none(aws: Client, api: ScriptedApi) -> None:
    api.says = {"DescribeDBClusters": cluster()}
    _, inputs, state = aws.read(CLUSTER, "c")
    assert state["skipFinalSnapshot"] is True
    assert state["deleteAutomatedBackups"] is True
    assert inputs["engineVersion"] == "16.8"
    api.says = {"DescribeDBClusters": {"DBClusters": []}}
    assert aws.read(CLUSTER, "d") is None


def test_no_preview_writes(aws: Client, api: ScriptedApi) -> None:
    """Not even a call is made: what a preview knows, it knows from the program and the state."""
    for kind, old, change in (
        (CLUSTER, OLD, {"engine": "x", "port": 1}),
        (CACHE, CACHED, {"port": 1, "nodeType": "u"}),
    ):
        wanted = {name: value for name, value in old.items() if name != "arn"}
        inputs = aws.check(kind, wanted)
        aws.create(kind, inputs, preview=True)
        new = aws.check(kind, {**wanted, **change}, inputs)
        aws.diff(kind, "c", inputs, new)
        aws.update(kind, "c", inputs, new, preview=True)
    assert api.calls == []


@pytest.mark.parametrize(
    ("kind", "news", "key", "reason"),
    [
        (CLUSTER, {"restoreToPointInTime": {**POINT, "restoreTo": "x"}}, "restoreTo", "did you mean 'restoreToTime'?"),
        (CLUSTER, {"restoreToPointInTime": {**POINT, "useLatestRestorableTime": True}}, "restoreToPointInTime", "exactly one of restoreToTime and useLatestRestorableTime"),  # noqa: E501
        (CLUSTER, {"restoreToPointInTime": {"useLatestRestorableTime": True}}, "restoreToPointInTime", "exactly one of sourceClusterIdentifier"),  # noqa: E501
        (CLUSTER, {"restoreToPointInTime": POINT, "snapshotIdentifier": "s"}, "snapshotIdentifier", "cannot both be given"),  # noqa: E501
        (CACHE, {"multiAzEnabled": True}, "multiAzEnabled", "automaticFailoverEnabled must be true"),
        (CACHE, {"automaticFailoverEnabled": True, "numCacheClusters": 1}, "numCacheClusters", "must be at least 2"),
        (CACHE, {"logDeliveryConfigurations": [{**DELIVERY, "destinationType": "kinesis-firehose"}]}, "logDeliveryConfigurations", "'cloudwatch-logs' only"),  # noqa: E501
    ],
)  # fmt: skip
def test_check_refuses_what_the_real_provider_refuses_in_a_preview(
    aws: Client, kind: str, news: dict[str, Any], key: str, reason: str
) -> None:
    required = {"engine": "aurora-postgresql"} if kind == CLUSTER else {"description": "d"}
    _, failures = aws.checked(kind, {**required, **news})
    assert reason in failures[key]
