"""The API itself: who may ask, what is answered, what is refused, what survives."""

from __future__ import annotations

import base64
import json
import signal
from typing import Any

import botocore.exceptions
import pytest
import urllib3

from sandbox import account
from sandbox.errors import SandboxError

ClientError = botocore.exceptions.ClientError


def refused(code: str, words: str = "") -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{words}")


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("rds", "describe_db_proxies", {}),
        ("elasticache", "describe_events", {}),
        ("ec2", "describe_fpga_images", {}),
        ("iam", "get_organizations_access_report", {"JobId": "x" * 36}),
        ("logs", "list_anomalies", {}),
        ("eks", "describe_cluster_versions", {}),
        ("eks", "list_insights", {"clusterName": "meetinity-eks"}),
    ],
)
def test_an_operation_that_is_not_implemented_is_named_in_the_error(aws, service, operation, arguments):
    client = aws.client(service)
    name = client.meta.method_to_api_mapping[operation]
    with refused("NotImplemented", f"does not implement {service}:{name}") as error:
        getattr(client, operation)(**arguments)
    assert "html" not in str(error.value)


def test_a_failure_inside_is_one_clear_message_and_changes_nothing(aws, cluster_arguments):
    # A database of that name is in every PostgreSQL; no rule refuses it earlier.
    broken = {**cluster_arguments, "DatabaseName": "template1"}
    with refused("InternalFailure", 'rds:CreateDBCluster: postgres failed.*"template1" already exists.*log: '):
        aws.client("rds").create_db_cluster(DBClusterIdentifier="broken", **broken)
    with refused("DBClusterNotFoundFault"):
        aws.client("rds").describe_db_clusters(DBClusterIdentifier="broken")
    assert not (aws.instance.state / "databases" / "broken").exists()


def test_foreign_credentials_are_refused(aws):
    with refused("InvalidClientTokenId"):
        aws.client("rds", key="AKIAIOSFODNN7EXAMPLE").describe_db_clusters()
    with refused("SignatureDoesNotMatch"):
        aws.client("rds", secret="not the secret").describe_db_clusters()
    answer = urllib3.request("POST", aws.instance.aws_endpoint, fields={"Action": "DescribeDBClusters"})
    assert (answer.status, b"MissingAuthenticationToken" in answer.data) == (400, True)


def test_the_caller_is_the_sandbox_user_of_the_sandbox_account(aws):
    identity = aws.client("sts").get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == ("123456789012", "arn:aws:iam::123456789012:user/sandbox")


def test_the_furnished_account_is_what_the_old_root_left_and_furnishing_again_adds_nothing(aws):
    account.furnish_aws(aws.instance)
    ec2, eks = aws.client("ec2"), aws.client("eks")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["meetinity-network-vpc"]}])["Vpcs"]
    of_vpc = {"Name": "vpc-id", "Values": [vpc["VpcId"]]}
    found = ec2.describe_subnets(Filters=[of_vpc])["Subnets"]
    tiers = sorted(tag["Value"] for subnet in found for tag in subnet["Tags"] if tag["Key"] == "Tier")
    assert tiers == ["private"] * 3 + ["public"] * 3
    assert {subnet["AvailabilityZone"] for subnet in found} == {"eu-west-1a", "eu-west-1b", "eu-west-1c"}
    groups = ec2.describe_security_groups(Filters=[of_vpc])["SecurityGroups"]
    assert [group["GroupName"] for group in groups].count("meetinity-eks-node") == 1
    cluster = eks.describe_cluster(name="meetinity-eks")["cluster"]
    assert (cluster["status"], cluster["endpoint"]) == ("ACTIVE", aws.instance.kubernetes_endpoint)
    assert base64.b64decode(cluster["certificateAuthority"]["data"]) == aws.instance.ca_certificate.read_bytes()
    network = cluster["resourcesVpcConfig"]
    assert (network["vpcId"], len(network["subnetIds"])) == (vpc["VpcId"], 3)
    assert network["clusterSecurityGroupId"] in {group["GroupId"] for group in groups}


def test_the_enhanced_monitoring_policy_can_be_attached(aws):
    iam, arn = aws.client("iam"), "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
    iam.create_role(RoleName="monitoring", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17"}))
    iam.attach_role_policy(RoleName="monitoring", PolicyArn=arn)
    attached = iam.list_attached_role_policies(RoleName="monitoring")["AttachedPolicies"]
    assert attached == [{"PolicyName": "AmazonRDSEnhancedMonitoringRole", "PolicyArn": arn}]


def test_a_security_group_rule_is_modified_whole_but_not_in_kind(aws):
    ec2 = aws.client("ec2")
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "tag:Name", "Values": ["meetinity-eks-node"]}])[
        "SecurityGroups"
    ]
    sources = {
        "UserIdGroupPairs": [{"GroupId": group["GroupId"], "Description": "from itself"}],
        "IpRanges": [{"CidrIp": "10.0.0.0/16", "Description": "from the network"}],
    }
    rules = {}
    for kind, source in sources.items():
        permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, kind: source}
        made = ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[permission])
        rules[kind] = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def described(kind):
        (rule,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[rules[kind]])["SecurityGroupRules"]
        return (
            rule["FromPort"],
            rule.get("Description"),
            rule.get("CidrIpv4"),
            rule.get("ReferencedGroupInfo", {}).get("GroupId"),
        )

    def modify(kind, **rule):
        change = {
            "SecurityGroupRuleId": rules[kind],
            "SecurityGroupRule": {"IpProtocol": "tcp", "ToPort": 6379, **rule},
        }
        ec2.modify_security_group_rules(GroupId=group["GroupId"], SecurityGroupRules=[change])

    assert described("UserIdGroupPairs") == (5432, "from itself", None, group["GroupId"])
    assert described("IpRanges") == (5432, "from the network", "10.0.0.0/16", None)
    modify("UserIdGroupPairs", FromPort=6379, ReferencedGroupId="sg-other", Description="from another")
    modify("IpRanges", FromPort=6379, CidrIpv4="10.0.1.0/24")
    assert described("UserIdGroupPairs") == (6379, "from another", None, "sg-other")
    assert described("IpRanges") == (6379, None, "10.0.1.0/24", None)
    with refused("InvalidParameterValue", "type of source"):
        modify("IpRanges", FromPort=1, ReferencedGroupId="sg-other")


def test_what_was_answered_survives_a_kill_of_the_api(aws):
    for number, how in enumerate((signal.SIGKILL, signal.SIGTERM)):
        aws.client("logs").create_log_group(logGroupName=f"group-{number}")
        vpc = aws.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        aws.client("rds").create_db_parameter_group(
            DBParameterGroupName=f"survivor-{number}", DBParameterGroupFamily="aurora-postgresql16", Description="d"
        )
        aws.end(how)
        aws.start()
        assert aws.client("logs").describe_log_groups(logGroupNamePrefix=f"group-{number}")["logGroups"]
        assert aws.client("ec2").describe_vpcs(VpcIds=[vpc])["Vpcs"]
        assert aws.client("rds").describe_db_parameter_groups(DBParameterGroupName=f"survivor-{number}")


def test_tables_of_another_version_are_refused_with_the_way_out(aws):
    aws.end(signal.SIGTERM)
    mark = aws.instance.state / "aws" / "format.json"
    written = mark.read_text()
    mark.unlink()
    with pytest.raises(SandboxError, match="another version of the sandbox; run `python -m sandbox reset`"):
        aws.start()
    mark.write_text(written)
    aws.start()


@pytest.fixture(scope="module")
def described(aws, subnet_group, security_group):
    """A cluster without servers, for what the API says of it."""
    rds = aws.client("rds")
    rds.create_db_cluster(
        DBClusterIdentifier="Described",
        Engine="aurora-postgresql",
        EngineVersion="16",
        MasterUsername="app",
        MasterUserPassword="long-enough-1",
        DBSubnetGroupName=subnet_group.upper(),
        Port=5555,
        StorageType="aurora-iopt1",
        StorageEncrypted=True,
        EnablePerformanceInsights=True,
        PerformanceInsightsRetentionPeriod=465,
        DatabaseInsightsMode="advanced",
        MonitoringInterval=60,
        MonitoringRoleArn="arn:aws:iam::123456789012:role/monitoring",
        EngineLifecycleSupport="open-source-rds-extended-support-disabled",
        EnableCloudwatchLogsExports=["postgresql"],
        ServerlessV2ScalingConfiguration={"MinCapacity": 0.5, "MaxCapacity": 4},
        VpcSecurityGroupIds=[security_group],
        Tags=[{"Key": "Name", "Value": "described"}],
    )
    yield lambda: rds.describe_db_clusters(DBClusterIdentifier="DESCRIBED")["DBClusters"][0]
    rds.delete_db_cluster(DBClusterIdentifier="described", SkipFinalSnapshot=True)


def test_a_cluster_gives_back_what_it_was_created_with(described, security_group):
    cluster = described()
    expected = {
        "DBClusterIdentifier": "described",
        "DBSubnetGroup": "private",
        "DBClusterParameterGroup": "default.aurora-postgresql16",
        "EngineVersion": "16.15",
        "Port": 5555,
        "StorageType": "aurora-iopt1",
        "PerformanceInsightsEnabled": True,
        "PerformanceInsightsRetentionPeriod": 465,
        "DatabaseInsightsMode": "advanced",
        "MonitoringInterval": 60,
        "MonitoringRoleArn": "arn:aws:iam::123456789012:role/monitoring",
        "EngineLifecycleSupport": "open-source-rds-extended-support-disabled",
        "EnabledCloudwatchLogsExports": ["postgresql"],
        "VpcSecurityGroups": [{"VpcSecurityGroupId": security_group, "Status": "active"}],
        "TagList": [{"Key": "Name", "Value": "described"}],
        "Status": "available",
        "DBClusterMembers": [],
    }
    assert {name: cluster[name] for name in expected} == expected
    assert cluster["ServerlessV2ScalingConfiguration"] == {"MinCapacity": 0.5, "MaxCapacity": 4.0}
    assert cluster["KmsKeyId"].startswith("arn:aws:kms:eu-west-1:123456789012:key/")
    assert cluster["PerformanceInsightsKMSKeyId"] == cluster["KmsKeyId"]
    assert cluster["Endpoint"] != cluster["ReaderEndpoint"]


def test_an_instance_shows_its_clusters_settings_and_its_own(aws, described, instance_of):
    created = instance_of("described", 1, PromotionTier=7, CACertificateIdentifier="rds-ca-rsa4096-g1")
    assert created["DBInstanceStatus"] == "creating"
    (instance,) = aws.client("rds").describe_db_instances(DBInstanceIdentifier="Described-1")["DBInstances"]
    expected = {
        "DBInstanceStatus": "available",
        "EngineVersion": "16.15",
        "PerformanceInsightsEnabled": True,
        "PerformanceInsightsRetentionPeriod": 465,
        "MonitoringInterval": 60,
        "DatabaseInsightsMode": "advanced",
        "PromotionTier": 7,
        "CACertificateIdentifier": "rds-ca-rsa4096-g1",
        "StorageType": "aurora-iopt1",
        "StorageEncrypted": True,
    }
    assert {name: instance[name] for name in expected} == expected
    assert instance["Endpoint"]["Port"] == 5555
    assert instance["DBSubnetGroup"]["DBSubnetGroupName"] == "private"
    assert instance["EnhancedMonitoringResourceArn"].endswith(instance["DbiResourceId"])
    assert described()["DBClusterMembers"][0]["PromotionTier"] == 7
    with refused("InvalidDBClusterStateFault", "still contains DB instances"):
        aws.client("rds").delete_db_cluster(DBClusterIdentifier="described", SkipFinalSnapshot=True)
    aws.client("rds").delete_db_instance(DBInstanceIdentifier="described-1", SkipFinalSnapshot=True)


def test_modifying_a_cluster_changes_what_is_named_and_nothing_else(aws, described):
    before = described()
    aws.client("rds").modify_db_cluster(
        DBClusterIdentifier="described",
        ApplyImmediately=True,
        StorageType="aurora",
        EnableIAMDatabaseAuthentication=True,
        CloudwatchLogsExportConfiguration={"EnableLogTypes": ["instance"], "DisableLogTypes": ["postgresql"]},
        EnablePerformanceInsights=False,
        DatabaseInsightsMode="standard",
    )
    after = described()
    assert "StorageType" not in after
    assert "PerformanceInsightsRetentionPeriod" not in after
    assert after["IAMDatabaseAuthenticationEnabled"] is True
    assert after["EnabledCloudwatchLogsExports"] == ["instance"]
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed - {"LatestRestorableTime"} == {
        *("StorageType", "PerformanceInsightsEnabled", "PerformanceInsightsRetentionPeriod"),
        *("PerformanceInsightsKMSKeyId", "IAMDatabaseAuthenticationEnabled", "EnabledCloudwatchLogsExports"),
        "DatabaseInsightsMode",
    }


def test_tags_are_added_replaced_and_removed(aws, described):
    rds, arn = aws.client("rds"), described()["DBClusterArn"]
    rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "Name", "Value": "new"}, {"Key": "x", "Value": "y"}])
    assert rds.list_tags_for_resource(ResourceName=arn)["TagList"] == [
        {"Key": "Name", "Value": "new"},
        {"Key": "x", "Value": "y"},
    ]
    rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["x"])
    assert described()["TagList"] == [{"Key": "Name", "Value": "new"}]


REFUSALS = [
    ("a word the API's model does not list", {"DatabaseInsightsMode": "wild"}, "InvalidParameterValue"),
    ("an argument the sandbox does nothing with", {"ManageMasterUserPassword": True}, "InvalidParameterCombination"),
    ("a name that is taken", {"DBClusterIdentifier": "described"}, "DBClusterAlreadyExistsFault"),
]


@pytest.mark.usefixtures("described")
@pytest.mark.parametrize(("arguments", "code"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_a_cluster_that_cannot_be_is_refused(aws, cluster_arguments, arguments, code):
    rds = aws.client("rds")
    with refused(code):
        rds.create_db_cluster(**{"DBClusterIdentifier": "refused", **cluster_arguments, **arguments})


def test_a_parameter_is_set_listed_and_reset_and_an_unknown_one_refused(aws):
    rds, group = aws.client("rds"), {"DBClusterParameterGroupName": "parameters"}
    rds.create_db_cluster_parameter_group(**group, DBParameterGroupFamily="aurora-postgresql16", Description="d")
    given = {"ParameterName": "log_statement", "ParameterValue": "ddl", "ApplyMethod": "immediate"}
    rds.modify_db_cluster_parameter_group(**group, Parameters=[given])
    (user,) = rds.describe_db_cluster_parameters(**group, Source="user")["Parameters"]
    assert {name: user[name] for name in given} == given
    assert len(rds.describe_db_cluster_parameters(**group)["Parameters"]) > 250
    for name, value, code in (
        ("no_such_thing", "1", "InvalidParameterValue"),
        ("max_connections", "50", "InvalidParameterCombination"),  # static: only with pending-reboot
        ("log_min_duration_statement", "fast", "InvalidParameterValue"),
        ("rds.force_ssl", "2", "InvalidParameterValue"),
    ):
        bad = {"ParameterName": name, "ParameterValue": value, "ApplyMethod": "immediate"}
        with refused(code, name):
            rds.modify_db_cluster_parameter_group(**group, Parameters=[given, bad])
    rds.reset_db_cluster_parameter_group(**group, Parameters=[given])
    assert rds.describe_db_cluster_parameters(**group, Source="user")["Parameters"] == []
    rds.delete_db_cluster_parameter_group(**group)
    with refused("DBParameterGroupNotFound"):
        rds.describe_db_cluster_parameter_groups(**group)


def test_versions_on_offer_are_listed_with_their_families(aws):
    listed = aws.client("rds").describe_db_engine_versions(
        Engine="aurora-postgresql", DBParameterGroupFamily="aurora-postgresql16"
    )["DBEngineVersions"]
    assert [row["EngineVersion"] for row in listed][0::6] == ["16.8", "16.15"]
    (default,) = aws.client("rds").describe_db_engine_versions(
        Engine="aurora-postgresql", EngineVersion="16", DefaultOnly=True
    )["DBEngineVersions"]
    assert default["EngineVersion"] == "16.15"


def test_long_lists_come_in_pages(aws):
    rds = aws.client("rds")
    for number in range(3):
        rds.create_db_parameter_group(
            DBParameterGroupName=f"page-{number}", DBParameterGroupFamily="aurora-postgresql16", Description="d"
        )
    first = rds.describe_db_parameter_groups(MaxRecords=2)
    assert len(first["DBParameterGroups"]) == 2
    pages = rds.get_paginator("describe_db_parameter_groups").paginate(PaginationConfig={"PageSize": 2})
    names = [group["DBParameterGroupName"] for page in pages for group in page["DBParameterGroups"]]
    assert len(names) == len(set(names))
    assert {"page-0", "page-1", "page-2"} <= set(names)


def test_no_secret_is_written_to_the_apis_files_or_log(aws, cluster_arguments, group_arguments):
    rds, cache = aws.client("rds"), aws.client("elasticache")
    rds.create_db_cluster(**cluster_arguments, DBClusterIdentifier="secretive")
    cache.create_replication_group(**group_arguments, ReplicationGroupId="secretive", NumCacheClusters=1)
    secrets = [cluster_arguments["MasterUserPassword"].encode(), group_arguments["AuthToken"].encode()]
    held = [path for path in aws.instance.state.rglob("*") if path.is_file()]
    assert [path for path in held if any(secret in path.read_bytes() for secret in secrets)] == []
    rds.delete_db_cluster(DBClusterIdentifier="secretive", SkipFinalSnapshot=True)
    cache.delete_replication_group(ReplicationGroupId="secretive")


def test_a_log_group_made_again_has_none_of_the_tags_of_the_one_before(aws):
    logs = aws.client("logs")
    logs.create_log_group(logGroupName="again", tags={"Owner": "the-one-before"})
    arn = logs.describe_log_groups(logGroupNamePrefix="again")["logGroups"][0]["logGroupArn"]
    logs.delete_log_group(logGroupName="again")
    with refused("ResourceNotFoundException", "does not exist"):
        logs.delete_log_group(logGroupName="again")
    logs.create_log_group(logGroupName="again")
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {}
    logs.delete_log_group(logGroupName="again")
