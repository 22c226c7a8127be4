from __future__ import annotations

import pytest

from components.aurora import AuroraCluster, AuroraClusterArgs, AuroraRestore, ServerlessV2
from tests.unit.recording import Recording, is_secret, record


def args(**changes):
    base = {
        "identifier": "dev-postgres",
        "parameter_group_name": "dev-postgres-aurora-postgresql16",
        "parameter_group_family": "aurora-postgresql16",
        "engine_version": "16.11",
        "vpc_id": "vpc-1",
        "subnet_ids": ["subnet-a", "subnet-b"],
        "allowed_security_groups": {"eks-nodes": "sg-nodes"},
        "allowed_cidr_blocks": ["10.1.0.0/16", "fd00::/8"],
        "tags": {"Environment": "dev", "Project": "meetinity"},
    }
    return AuroraClusterArgs(**{**base, **changes})


def cluster(**changes) -> Recording:
    return record(lambda: AuroraCluster("database", args(**changes)) and None)


def test_the_cluster_is_registered_with_exactly_these_inputs():
    inputs = cluster().one("aws:rds/cluster:Cluster").inputs
    assert inputs == {
        "clusterIdentifier": "dev-postgres",
        "engine": "aurora-postgresql",
        "engineMode": "provisioned",
        "engineVersion": "16.11",
        "allowMajorVersionUpgrade": False,
        "databaseName": "meetinity",
        "masterUsername": "meetinity_app",
        "masterPassword": "generated-for-database-master-password",
        "port": 5432,
        "dbSubnetGroupName": "dev-postgres-subnet",
        "vpcSecurityGroupIds": ["database-security-group-id"],
        "dbClusterParameterGroupName": "dev-postgres-aurora-postgresql16",
        "iamDatabaseAuthenticationEnabled": True,
        "storageEncrypted": True,
        "backupRetentionPeriod": 7,
        "preferredBackupWindow": "03:00-04:00",
        "preferredMaintenanceWindow": "sun:04:00-sun:05:00",
        "copyTagsToSnapshot": True,
        "deletionProtection": True,
        "deleteAutomatedBackups": False,
        "skipFinalSnapshot": False,
        "finalSnapshotIdentifier": "dev-postgres-final-0a1b2c3d",
        "enabledCloudwatchLogsExports": ["postgresql", "iam-db-auth-error"],
        "performanceInsightsEnabled": True,
        "performanceInsightsRetentionPeriod": 7,
        "databaseInsightsMode": "standard",
        "monitoringInterval": 60,
        "monitoringRoleArn": "arn:aws:iam::123456789012:role/dev-postgres-monitoring",
        "applyImmediately": False,
        "tags": {"Environment": "dev", "Project": "meetinity", "Name": "dev-postgres"},
    }


def test_an_allowed_major_upgrade_names_the_instances_next_parameter_group():
    recording = cluster(allow_major_version_upgrade=True)
    named = recording.one("aws:rds/cluster:Cluster").inputs["dbInstanceParameterGroupName"]
    assert named == "dev-postgres-aurora-postgresql16-instance"
    assert named == recording.one("aws:rds/parameterGroup:ParameterGroup").inputs["name"]


def test_every_instance_has_the_insights_and_monitoring_of_the_cluster():
    recording = cluster(
        performance_insights_retention_period=465,
        database_insights_mode="advanced",
        kms_key_id="arn:key",
        instance_count=3,
        monitoring_interval=15,
    )
    parts = [recording.one("aws:rds/cluster:Cluster"), *recording.all("aws:rds/clusterInstance:ClusterInstance")]
    assert len(parts) == 4
    for part in parts:
        assert part.inputs["performanceInsightsEnabled"] is True, part.name
        assert part.inputs["performanceInsightsRetentionPeriod"] == 465, part.name
        assert part.inputs["performanceInsightsKmsKeyId"] == "arn:key", part.name
        assert part.inputs["monitoringInterval"] == 15, part.name
        assert part.inputs["monitoringRoleArn"].endswith("dev-postgres-monitoring"), part.name


def test_instances_keep_the_names_and_promotion_tiers_of_the_module_they_replace():
    instances = cluster(instance_count=3).all("aws:rds/clusterInstance:ClusterInstance")
    found = {each.inputs["identifier"]: each.inputs["promotionTier"] for each in instances}
    assert found == {"dev-postgres-1": 1, "dev-postgres-2": 2, "dev-postgres-3": 2}
    assert all(each.inputs["publiclyAccessible"] is False for each in instances)


def test_aurora_refuses_these_arguments_on_an_instance_and_they_are_not_sent():
    for each in cluster().all("aws:rds/clusterInstance:ClusterInstance"):
        refused = {"engineVersion", "copyTagsToSnapshot", "preferredBackupWindow", "storageEncrypted"}
        assert not refused & each.inputs.keys()


def test_without_insights_and_monitoring_nothing_of_them_is_sent():
    recording = cluster(performance_insights_enabled=False, monitoring_interval=0)
    inputs = recording.one("aws:rds/cluster:Cluster").inputs
    assert inputs["performanceInsightsEnabled"] is False
    assert "performanceInsightsRetentionPeriod" not in inputs
    assert "monitoringRoleArn" not in inputs
    assert recording.all("aws:iam/role:Role") == []


def test_the_generated_password_is_secret_and_free_of_characters_that_need_escaping():
    recording = cluster()
    password = recording.one("random:index/randomPassword:RandomPassword").inputs
    assert (password["length"], password["special"]) == (32, False)
    assert is_secret(recording.one("aws:rds/cluster:Cluster").raw["masterPassword"])


def test_a_given_password_is_used_secret_and_none_is_generated():
    recording = cluster(master_password="given-in-clear")
    assert recording.all("random:index/randomPassword:RandomPassword") == []
    sent = recording.one("aws:rds/cluster:Cluster").raw["masterPassword"]
    assert is_secret(sent)
    assert sent["value"] == "given-in-clear"


@pytest.mark.parametrize("protected", [True, False])
def test_one_decision_lifts_both_protections(protected):
    registered = cluster(deletion_protection=protected).one("aws:rds/cluster:Cluster")
    assert (registered.protect, registered.inputs["deletionProtection"]) == (protected, protected)


def test_the_final_snapshot_gets_a_new_name_exactly_when_the_cluster_is_replaced():
    base = cluster().one("random:index/randomId:RandomId").inputs["keepers"]
    assert cluster(instance_class="db.r6g.xlarge").one("random:index/randomId:RandomId").inputs["keepers"] == base
    for change in ({"identifier": "other"}, {"database_name": "x"}, {"master_username": "x"}, {"kms_key_id": "k"}):
        assert cluster(**change).one("random:index/randomId:RandomId").inputs["keepers"] != base, change


def test_a_spent_restore_is_ignored_and_can_be_taken_out():
    registered = cluster(restore=AuroraRestore(snapshot="s-1")).one("aws:rds/cluster:Cluster")
    assert registered.inputs["snapshotIdentifier"] == "s-1"
    assert set(registered.ignore_changes) == {"snapshotIdentifier", "restoreToPointInTime"}


@pytest.mark.parametrize(
    ("restore", "sent"),
    [
        (
            AuroraRestore(source_cluster="dev-postgres", latest=True),
            {"sourceClusterIdentifier": "dev-postgres", "restoreType": "full-copy", "useLatestRestorableTime": True},
        ),
        (
            AuroraRestore(source_cluster="dev-postgres", restore_to_time="2026-11-20T08:00:00Z"),
            {
                "sourceClusterIdentifier": "dev-postgres",
                "restoreType": "full-copy",
                "restoreToTime": "2026-11-20T08:00:00Z",
            },
        ),
        (
            AuroraRestore(source_cluster="dev-postgres", clone=True),
            {
                "sourceClusterIdentifier": "dev-postgres",
                "restoreType": "copy-on-write",
                "useLatestRestorableTime": True,
            },
        ),
    ],
)
def test_a_restore_to_a_moment_names_its_source_and_one_moment(restore, sent):
    assert cluster(restore=restore).one("aws:rds/cluster:Cluster").inputs["restoreToPointInTime"] == sent


def test_serverless_makes_every_instance_serverless():
    recording = cluster(serverless=ServerlessV2(min_capacity=0, max_capacity=4, seconds_until_auto_pause=300))
    assert recording.one("aws:rds/cluster:Cluster").inputs["serverlessv2ScalingConfiguration"] == {
        "minCapacity": 0,
        "maxCapacity": 4,
        "secondsUntilAutoPause": 300,
    }
    classes = {each.inputs["instanceClass"] for each in recording.all("aws:rds/clusterInstance:ClusterInstance")}
    assert classes == {"db.serverless"}


def test_tls_is_forced_and_slow_statements_are_logged():
    group = cluster().one("aws:rds/clusterParameterGroup:ClusterParameterGroup").inputs
    assert group["family"] == "aurora-postgresql16"
    assert {(p["name"], p["value"], p["applyMethod"]) for p in group["parameters"]} == {
        ("log_min_duration_statement", "1000", "immediate"),
        ("log_statement", "ddl", "immediate"),
        ("rds.force_ssl", "1", "immediate"),
        ("shared_preload_libraries", "pg_stat_statements", "pending-reboot"),
    }


def test_logs_go_to_groups_with_a_retention_that_exist_before_the_cluster():
    recording = cluster()
    groups = recording.all("aws:cloudwatch/logGroup:LogGroup")
    assert {(each.inputs["name"], each.inputs["retentionInDays"]) for each in groups} == {
        ("/aws/rds/cluster/dev-postgres/postgresql", 30),
        ("/aws/rds/cluster/dev-postgres/iam-db-auth-error", 30),
    }
    depends_on = recording.one("aws:rds/cluster:Cluster").depends_on
    for each in groups:
        assert any(urn.endswith(f"::{each.name}") for urn in depends_on), each.name


def test_the_security_group_lets_in_who_is_named_and_nothing_out():
    recording = cluster()
    assert recording.one("aws:ec2/securityGroup:SecurityGroup").inputs["egress"] == []
    rules = recording.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    found = [{key: value for key, value in rule.inputs.items() if key != "tags"} for rule in rules]
    common = {"securityGroupId": "database-security-group-id", "ipProtocol": "tcp", "fromPort": 5432, "toPort": 5432}
    store = "PostgreSQL cluster dev-postgres"
    assert sorted(found, key=lambda rule: rule["description"]) == [
        {**common, "cidrIpv4": "10.1.0.0/16", "description": f"{store} from 10.1.0.0/16"},
        {**common, "cidrIpv6": "fd00::/8", "description": f"{store} from fd00::/8"},
        {
            **common,
            "referencedSecurityGroupId": "sg-nodes",
            "description": f"{store} from security group eks-nodes",
        },
    ]


def test_rule_descriptions_use_only_the_characters_that_ec2_accepts():
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-:/()#,@[]+=&;{}!$*")
    for rule in cluster().all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"):
        assert set(rule.inputs["description"]) <= allowed
        assert len(rule.inputs["description"]) <= 255


def test_the_component_registers_its_outputs_with_the_password_secret():
    recording = cluster()
    outputs = next(value for urn, value in recording.outputs.items() if urn.endswith("AuroraCluster::database"))
    assert outputs["endpoint"] == "writer.example"
    assert outputs["readerEndpoint"] == "reader.example"
    assert is_secret(outputs["password"])
    assert set(outputs) == {
        "endpoint", "readerEndpoint", "port", "databaseName", "username", "password",
        "securityGroupId", "clusterArn", "clusterId",
    }  # fmt: skip


def test_what_the_cluster_uses_is_made_anew_before_the_old_one_goes():
    """AWS deletes none that is in use, and the provider would delete first what has a fixed name."""
    recording = cluster()
    for kind in (
        "rds/clusterParameterGroup:ClusterParameterGroup",
        "rds/parameterGroup:ParameterGroup",
        "rds/subnetGroup:SubnetGroup",
        "ec2/securityGroup:SecurityGroup",
    ):
        assert recording.one(f"aws:{kind}").delete_before_replace is False
