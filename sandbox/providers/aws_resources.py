"""The AWS resource types the sandbox knows: a row each; sandbox.providers.aws is the one engine that reads them.

What forces replacement, what is computed and what is never read back follows pulumi-aws 7.51.1 and the Terraform
provider inside it. An argument goes to the request member of its own name, letter case aside; rows hold exceptions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sandbox.providers.base import RefusedError

Properties = dict[str, Any]
Call = Callable[..., Properties]


@dataclass(frozen=True)
class Argument:
    """One argument: its flags, its request member if the name does not find it, the answer's path if that does not."""

    flags: frozenset[str] = frozenset()
    api: str = ""
    read: str = ""
    default: Any = None


@dataclass(frozen=True, kw_only=True)
class Restore:
    """Another operation that creates, taken when `argument` is given."""

    argument: str
    operation: str
    request: Callable[[Any], Properties]
    withheld: str  # arguments the real provider does not send with it,
    afterwards: str  # and those that it sends in a modification right after


@dataclass(frozen=True, kw_only=True)
class Row:
    """One resource type. Names are the SDK's; paths are JMESPath over the API's answer.

    `arguments` lists names by their flags, each as name[=request member][<path in the answer][:default as JSON], the
    default being what the real provider's Check adds. The flags: required, replaces, secret; computed (not given:
    whatever AWS chose is right); unread (no answer has it, the program's value stands); unsent (in no request); always
    (goes with every update); by_hand (updated by `settle`); described ("Managed by Pulumi" unless said otherwise).
    """

    service: str
    noun: str = ""  # create_<noun>, describe_<noun>s, modify_<noun>, delete_<noun>, unless said otherwise:
    operations: Mapping[str, str] = field(
        default_factory=dict
    )  # create, read, update, delete; update "": `settle` does it
    id: str  # the argument that is the id, or a text of several, or a path in the answer to create
    key: str  # the request member that names the resource
    found: str | Callable[[Properties, str], Any] = ""  # the resource in the answer to read; its first list's first
    arguments: Mapping[str, str]
    refused: str = ""  # arguments of the SDK's class that the sandbox does not support
    only: Mapping[str, Any] = field(default_factory=dict)  # the only value of an argument that the sandbox supports
    imported: Mapping[str, Any] = field(default_factory=dict)  # what an import assumes of an unread argument
    outputs: str = ""  # name[=path]
    autonamed: int = 0  # a missing `name` (or id) becomes <resource>-<7 hex>, at most so long
    generated: bool = False  # a missing id is made up at creation (`tf-…`), and unknown before
    status: str = ""  # where it says whether it is `available`; empty: at once
    timeouts: tuple[int, int, int] = (10, 10, 10)  # minutes for create, update, delete
    requests: Mapping[str, Callable[[str, Properties], Properties]] = field(
        default_factory=dict
    )  # operation → whole request
    observe: Callable[[Call, Properties], Properties] | None = None  # what another call knows of the resource
    modify: Callable[[Properties, Properties], Properties] = lambda _old, _new: {}  # members that depend on old and new
    settle: Callable[[Call, str, Properties, Properties], None] | None = None  # other calls; nothing old: a creation
    replaced: Callable[[Properties, Properties], set[str]] = lambda _old, _new: set()  # forced only sometimes
    restores: tuple[Restore, ...] = ()

    @cached_property
    def table(self) -> dict[str, Argument]:
        """Every supported argument."""
        table = {} if self.service == "iam" else {"region": Argument(frozenset(("computed", "replaces", "unsent")))}
        for flags, names in self.arguments.items():
            for each in names.split():
                spelling, _, default = each.partition(":")
                spelling, _, read = spelling.partition("<")
                name, _, api = spelling.partition("=")
                value = json.loads(default) if default else "Managed by Pulumi" if "described" in flags else None
                table[name] = Argument(frozenset(flags.split()), api, read, value)
        return table

    @property
    def name(self) -> str:
        """The argument that names the resource."""
        return self.id if self.id in self.table else "name"

    def flagged(self, flag: str) -> set[str]:
        return {name for name, argument in self.table.items() if flag in argument.flags}

    def operation(self, verb: str) -> str:
        verbs = {"create": "create_{}", "read": "describe_{}s", "update": "modify_{}", "delete": "delete_{}"}
        return self.operations.get(verb, verbs[verb].format(self.noun) if self.noun else "")

    @cached_property
    def defaults(self) -> Properties:
        return {name: each.default for name, each in self.table.items() if each.default is not None}

    @cached_property
    def paths(self) -> dict[str, str]:
        """Every output that is no argument, and its path in the answer; the name's own where that is empty."""
        return {name: path for name, _, path in (each.partition("=") for each in self.outputs.split())}


# One argument name has one meaning in every row: how its spellings compare, and how it looks on the wire.


def pascal(given: Properties, **wire: str) -> Properties:
    """The API's spelling of names, where `wire` has no other."""
    return {wire.get(name, name[0].upper() + name[1:]): value for name, value in given.items()}


def camel(found: Properties) -> Properties:
    return {name[0].lower() + name[1:]: value for name, value in found.items()}


def unordered(value: Any) -> Any:
    return sorted(value, key=lambda item: json.dumps(item, sort_keys=True)) if isinstance(value, list) else value


def lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def document(value: Any) -> Any:
    """A JSON policy, whatever its spelling."""
    return json.loads(value) if isinstance(value, str) else value


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _delivery(value: Properties) -> Properties:
    if value["destinationType"] != "cloudwatch-logs":
        raise RefusedError(f"log delivery to {value['destinationType']!r}: the sandbox has only 'cloudwatch-logs'")
    details = {"CloudWatchLogsDetails": {"LogGroup": value["destination"]}}
    wired = pascal({name: item for name, item in value.items() if name != "destination"})
    return {**wired, "DestinationDetails": details, "Enabled": True}


def _read_delivery(value: Properties) -> Properties:
    known = camel(value)
    kept = {name: known[name] for name in ("logType", "logFormat", "destinationType")}
    return {**kept, "destination": value["DestinationDetails"]["CloudWatchLogsDetails"]["LogGroup"]}


def _read_parameter(value: Properties) -> Properties:
    names = {"ParameterName": "name", "ParameterValue": "value", "ApplyMethod": "applyMethod"}
    return {names[name]: item for name, item in value.items() if name in names}


def _read_permission(value: Properties) -> Properties:
    blocks = {"cidrBlocks": [each["CidrIp"] for each in value.get("IpRanges", [])]}
    return {"protocol": value["IpProtocol"], "fromPort": value.get("FromPort"), "toPort": value.get("ToPort"), **blocks}


_LOWER = """clusterIdentifier identifier ipProtocol maintenanceWindow preferredBackupWindow preferredMaintenanceWindow
    replicationGroupId snapshotWindow"""
_UNORDERED = """egress enabledCloudwatchLogsExports logDeliveryConfigurations parameters securityGroupIds subnetIds
    vpcSecurityGroupIds"""
SAME: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_LOWER.split(), lower),
    **dict.fromkeys(_UNORDERED.split(), unordered),
    "assumeRolePolicy": document,
    "storageType": lambda value: None if value in ("", "aurora") else value,  # the API leaves the standard type out
}
ENCODE: Mapping[str, Callable[[Any], Any]] = {
    "serverlessv2ScalingConfiguration": pascal,
    "assumeRolePolicy": text,
    "logDeliveryConfigurations": lambda value: [_delivery(each) for each in value],
}
DECODE: Mapping[str, Callable[[Any], Any]] = {
    "serverlessv2ScalingConfiguration": camel,
    "assumeRolePolicy": lambda value: text(document(value)),
    "egress": lambda value: [_read_permission(each) for each in value],
    "logDeliveryConfigurations": lambda value: [_read_delivery(each) for each in value],
    "parameters": lambda value: unordered([_read_parameter(each) for each in value]),
}
VERSIONS = ("engineVersion",)  # `16` stands for the 16.8 that AWS reports


def _rows_of(kind: str, key: str, wire: str) -> dict[str, Any]:
    """`settle` and `observe` of a parameter group; the API takes at most 20 parameters in a call."""

    def encode(parameter: Properties) -> Properties:
        method = {"ApplyMethod": parameter["applyMethod"]} if "applyMethod" in parameter else {}
        return {"ParameterName": parameter["name"], "ParameterValue": str(parameter["value"]), **method}

    def settle(call: Call, id_: str, old: Properties, new: Properties) -> None:
        before, after = ({each["name"]: encode(each) for each in side.get("parameters") or []} for side in (old, new))
        changed = [each for name, each in after.items() if before.get(name) != each]
        gone = [each for name, each in before.items() if name not in after]
        for verb, parameters in (("modify", changed), ("reset", gone)):
            for start in range(0, len(parameters), 20):
                call(f"{verb}_{kind}_group", **{key: id_, wire: parameters[start : start + 20]})

    def observe(call: Call, found: Properties) -> Properties:
        answer = call(f"describe_{kind}s", **{key: found[key], "Source": "user"})
        return {"Parameters": [each for each in answer["Parameters"] if each.get("ParameterValue") is not None]}

    return {"settle": settle, "observe": observe, "key": key, "noun": f"{kind}_group", "operations": {"update": ""}}


def _parameter_group(kind: str, refused: str) -> Row:
    prefix = f"DB{'Cluster' if kind else ''}ParameterGroup"
    return Row(
        service="rds",
        id="name",
        arguments={
            "required replaces": "family=DBParameterGroupFamily",
            "computed replaces": f"name={prefix}Name",
            "replaces described": "description",
            "unsent": "parameters",
            "": "tags",
        },
        refused=refused,
        outputs=f"arn={prefix}Arn",
        autonamed=255,
        **_rows_of(f"db_{kind}parameter", f"{prefix}Name", "Parameters"),
    )


_SOURCES = {
    "cidrIpv4": ("IpRanges", "CidrIp"),
    "cidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "prefixListId": ("PrefixListIds", "PrefixListId"),
    "referencedSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
}


def _permission(_id: str, new: Properties) -> Properties:
    about = {"Description": new["description"]} if new.get("description") else {}
    permission = pascal({name: new[name] for name in ("ipProtocol", "fromPort", "toPort") if name in new})
    for name, (ranges, member) in _SOURCES.items():
        if new.get(name):
            permission[ranges] = [{member: new[name], **about}]
    return {"GroupId": new["securityGroupId"], "IpPermissions": [permission]}


def _settle_rule(call: Call, id_: str, old: Properties, new: Properties) -> None:
    if old:
        names = new.keys() & {"ipProtocol", "fromPort", "toPort", "description", *_SOURCES}
        rule = pascal({name: new[name] for name in names}, referencedSecurityGroupId="ReferencedGroupId")
        changed = [{"SecurityGroupRuleId": id_, "SecurityGroupRule": rule}]
        call("modify_security_group_rules", GroupId=new["securityGroupId"], SecurityGroupRules=changed)


def _other_source(old: Properties, new: Properties) -> set[str]:
    """AWS cannot turn a rule for a CIDR into one for a group."""
    before, after = ({name for name in _SOURCES if side.get(name)} for side in (old, new))
    return before ^ after


def _settle_group(call: Call, id_: str, old: Properties, new: Properties) -> None:
    """The real provider takes away the rule that lets everything out; so does `egress=[]`, whenever one is found."""
    egress = call("describe_security_groups", GroupIds=[id_])["SecurityGroups"][0]["IpPermissionsEgress"]
    if egress and (not old or (old.get("egress") and not new.get("egress"))):
        call("revoke_security_group_egress", GroupId=id_, IpPermissions=egress)


def _settle_log_group(call: Call, id_: str, old: Properties, new: Properties) -> None:
    days, key = new.get("retentionInDays"), new.get("kmsKeyId")
    if days:
        call("put_retention_policy", logGroupName=id_, retentionInDays=days)
    elif old.get("retentionInDays"):
        call("delete_retention_policy", logGroupName=id_)
    if old and key and key != old.get("kmsKeyId"):
        call("associate_kms_key", logGroupName=id_, kmsKeyId=key)
    elif old.get("kmsKeyId") and not key:
        call("disassociate_kms_key", logGroupName=id_)


def _settle_role(call: Call, id_: str, old: Properties, new: Properties) -> None:
    if old and document(new["assumeRolePolicy"]) != document(old["assumeRolePolicy"]):
        call("update_assume_role_policy", RoleName=id_, PolicyDocument=text(new["assumeRolePolicy"]))


def _attached(answer: Properties, id_: str) -> Any:
    role, _, arn = id_.partition("/")
    return next(({**each, "RoleName": role} for each in answer["AttachedPolicies"] if each["PolicyArn"] == arn), None)


def _log_exports(old: Properties, new: Properties) -> Properties:
    before, after = (set(side.get("enabledCloudwatchLogsExports") or []) for side in (old, new))
    change = {"EnableLogTypes": sorted(after - before), "DisableLogTypes": sorted(before - after)}
    return {"CloudwatchLogsExportConfiguration": change} if before != after else {}


def _writer(call: Call, found: Properties) -> Properties:
    cluster = call("describe_db_clusters", DBClusterIdentifier=found["DBClusterIdentifier"])["DBClusters"][0]
    writers = [each["DBInstanceIdentifier"] for each in cluster["DBClusterMembers"] if each["IsClusterWriter"]]
    return {"Writer": found["DBInstanceIdentifier"] in writers}


def _point_in_time(value: Properties) -> Properties:
    cluster, resource = "SourceDBClusterIdentifier", "SourceDbClusterResourceId"
    return pascal(value, sourceClusterIdentifier=cluster, sourceClusterResourceId=resource)


_INSIGHTS = """databaseInsightsMode monitoringInterval monitoringRoleArn performanceInsightsEnabled
    performanceInsightsKmsKeyId performanceInsightsRetentionPeriod"""
_AFTERWARDS = """backupRetentionPeriod masterPassword preferredBackupWindow preferredMaintenanceWindow
    serverlessv2ScalingConfiguration"""


def _member(call: Call, found: Properties) -> Properties:
    """Half of a replication group's settings are told of its member clusters only."""
    if not found.get("MemberClusters"):
        return {}
    member = call("describe_cache_clusters", CacheClusterId=found["MemberClusters"][0])["CacheClusters"][0]
    # From 6 on a version is set as major.minor.
    major, minor, *_ = version = member["EngineVersion"].split(".")
    return {"Member": member, "Version": ".".join(version if int(major) < 6 else (major, minor))}


def _settle_cache(call: Call, id_: str, old: Properties, new: Properties) -> None:
    before, after = old.get("numCacheClusters"), new.get("numCacheClusters")
    if before and after and before != after:
        verb = "increase" if after > before else "decrease"
        call(f"{verb}_replica_count", ReplicationGroupId=id_, NewReplicaCount=after - 1, ApplyImmediately=True)
    if old and old.get("authToken") != new.get("authToken"):
        token = {"AuthToken": new.get("authToken"), "AuthTokenUpdateStrategy": new.get("authTokenUpdateStrategy")}
        sent = {name: value for name, value in token.items() if value}
        call("modify_replication_group", ReplicationGroupId=id_, ApplyImmediately=True, **sent)


def _cache_replaced(old: Properties, new: Properties) -> set[str]:
    before, after = ([int(part) for part in re.findall(r"\d+", side.get("engineVersion") or "")] for side in (old, new))
    same_engine, found = old.get("engine") == new.get("engine"), set[str]()
    if (old.get("engine"), new.get("engine")) == ("valkey", "redis"):
        found.add("engine")
    if same_engine and after and before[: len(after)] > after:
        found.add("engineVersion")
    if before and before < [7, 0, 5]:
        found.add("transitEncryptionEnabled")
    return found


def _deliveries(old: Properties, new: Properties) -> Properties:
    before, after = (side.get("logDeliveryConfigurations") or [] for side in (old, new))
    kept = {each["logType"] for each in after}
    ended = [{"LogType": each["logType"], "Enabled": False} for each in before if each["logType"] not in kept]
    changed = unordered(before) != unordered(after)
    return {"LogDeliveryConfigurations": [_delivery(each) for each in after] + ended} if changed else {}


ROWS: Mapping[str, Row] = {
    "aws:ec2/securityGroup:SecurityGroup": Row(
        service="ec2",
        noun="security_group",
        operations={"update": ""},
        id="GroupId",
        key="GroupIds",
        arguments={
            "computed replaces": "name=GroupName vpcId",
            "computed unsent": "egress<IpPermissionsEgress",
            "replaces described": "description",
            "unread unsent": "revokeRulesOnDelete:false",
            "": "tags",
        },
        refused="ingress namePrefix",
        only={"egress": [], "revokeRulesOnDelete": False},
        outputs="arn=SecurityGroupArn ownerId",
        autonamed=255,
        requests={"delete": lambda id_, _: {"GroupId": id_}},
        settle=_settle_group,
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": Row(
        service="ec2",
        noun="security_group_rule",
        operations={
            "create": "authorize_security_group_ingress",
            "update": "",
            "delete": "revoke_security_group_ingress",
        },
        id="SecurityGroupRules[0].SecurityGroupRuleId",
        key="SecurityGroupRuleIds",
        arguments={
            "required replaces": "securityGroupId<GroupId",
            "required": "ipProtocol",
            "": """cidrIpv4 cidrIpv6 description fromPort prefixListId tags toPort
                referencedSecurityGroupId<ReferencedGroupInfo.GroupId""",
        },
        outputs="arn=SecurityGroupRuleArn securityGroupRuleId",
        requests={
            "create": _permission,
            "delete": lambda id_, olds: {"GroupId": olds["securityGroupId"], "SecurityGroupRuleIds": [id_]},
        },
        settle=_settle_rule,
        replaced=_other_source,
    ),
    "aws:rds/subnetGroup:SubnetGroup": Row(
        service="rds",
        noun="db_subnet_group",
        id="name",
        key="DBSubnetGroupName",
        arguments={
            "computed replaces": "name=DBSubnetGroupName",
            "required always": "subnetIds<Subnets[].SubnetIdentifier",
            "described": "description=DBSubnetGroupDescription",
            "": "tags",
        },
        refused="namePrefix",
        outputs="arn=DBSubnetGroupArn supportedNetworkTypes vpcId",
        autonamed=255,
    ),
    "aws:rds/clusterParameterGroup:ClusterParameterGroup": _parameter_group("cluster_", "namePrefix"),
    "aws:rds/parameterGroup:ParameterGroup": _parameter_group("", "namePrefix skipDestroy"),
    "aws:rds/cluster:Cluster": Row(
        service="rds",
        noun="db_cluster",
        id="clusterIdentifier",
        key="DBClusterIdentifier",
        arguments={
            "required replaces": "engine",
            "computed replaces": """clusterIdentifier=DBClusterIdentifier databaseName dbSubnetGroupName<DBSubnetGroup
                kmsKeyId masterUsername storageEncrypted""",
            "replaces": 'engineMode:"provisioned"',
            "computed": """databaseInsightsMode dbClusterParameterGroupName<DBClusterParameterGroup
                engineLifecycleSupport engineVersion monitoringRoleArn performanceInsightsKmsKeyId
                performanceInsightsRetentionPeriod port preferredBackupWindow preferredMaintenanceWindow
                serverlessv2ScalingConfiguration storageType
                vpcSecurityGroupIds<VpcSecurityGroups[].VpcSecurityGroupId""",
            "": """backupRetentionPeriod:1 copyTagsToSnapshot:false deletionProtection
                enabledCloudwatchLogsExports=EnableCloudwatchLogsExports monitoringInterval:0 tags
                iamDatabaseAuthenticationEnabled=EnableIAMDatabaseAuthentication
                performanceInsightsEnabled=EnablePerformanceInsights""",
            "unread secret": "masterPassword=MasterUserPassword",
            "unread": """deleteAutomatedBackups:true finalSnapshotIdentifier=FinalDBSnapshotIdentifier
                skipFinalSnapshot:false""",
            "unread always": "allowMajorVersionUpgrade dbInstanceParameterGroupName",
            "unread always computed": "applyImmediately",
            "unread replaces computed": "snapshotIdentifier",
            "unread replaces unsent": "restoreToPointInTime",
        },
        refused="""allocatedStorage autoMinorVersionUpgrade availabilityZones backtrackWindow caCertificateIdentifier
            clusterIdentifierPrefix clusterMembers clusterScalabilityType dbClusterInstanceClass dbSystemId domain
            domainIamRoleName enableGlobalWriteForwarding enableHttpEndpoint enableLocalWriteForwarding
            globalClusterIdentifier iamRoles iops manageMasterUserPassword masterPasswordWo masterPasswordWoVersion
            masterUserSecretKmsKeyId networkType publiclyAccessible replicationSourceIdentifier s3Import
            scalingConfiguration sourceRegion warningEventCategories""",
        imported={"deleteAutomatedBackups": True, "skipFinalSnapshot": True},
        outputs="""arn=DBClusterArn availabilityZones clusterMembers=DBClusterMembers[].DBInstanceIdentifier
            clusterResourceId=DbClusterResourceId endpoint engineVersionActual=EngineVersion hostedZoneId networkType
            readerEndpoint""",
        generated=True,
        status="Status",
        timeouts=(120, 120, 120),
        modify=_log_exports,
        restores=(
            Restore(
                argument="snapshotIdentifier",
                operation="restore_db_cluster_from_snapshot",
                request=lambda value: {"SnapshotIdentifier": value},
                withheld=f"iamDatabaseAuthenticationEnabled {_INSIGHTS} {_AFTERWARDS}",
                afterwards=_AFTERWARDS,
            ),
            Restore(
                argument="restoreToPointInTime",
                operation="restore_db_cluster_to_point_in_time",
                request=_point_in_time,
                withheld=f"{_INSIGHTS} {_AFTERWARDS}",
                afterwards=_AFTERWARDS,
            ),
        ),
    ),
    "aws:rds/clusterInstance:ClusterInstance": Row(
        service="rds",
        noun="db_instance",
        id="identifier",
        key="DBInstanceIdentifier",
        arguments={
            "required replaces": "clusterIdentifier=DBClusterIdentifier engine",
            "required": "instanceClass=DBInstanceClass",
            "computed replaces": """dbSubnetGroupName<DBSubnetGroup.DBSubnetGroupName
                identifier=DBInstanceIdentifier""",
            "computed": """caCertIdentifier=CACertificateIdentifier monitoringRoleArn
                dbParameterGroupName<DBParameterGroups[0].DBParameterGroupName performanceInsightsKmsKeyId
                performanceInsightsEnabled=EnablePerformanceInsights performanceInsightsRetentionPeriod
                preferredMaintenanceWindow publiclyAccessible""",
            # An instance's version upgrades nothing: the cluster's does.
            "computed by_hand": "engineVersion",
            "": "autoMinorVersionUpgrade:true copyTagsToSnapshot:false monitoringInterval:0 promotionTier:0 tags",
            "unread always computed": "applyImmediately",
        },
        refused="""availabilityZone customIamInstanceProfile forceDestroy identifierPrefix preferredBackupWindow
            warningEventCategories""",
        outputs="""arn=DBInstanceArn availabilityZone dbiResourceId endpoint=Endpoint.Address kmsKeyId networkType
            engineVersionActual=EngineVersion port=Endpoint.Port preferredBackupWindow storageEncrypted writer""",
        generated=True,
        status="DBInstanceStatus",
        timeouts=(90, 90, 90),
        observe=_writer,
    ),
    "aws:cloudwatch/logGroup:LogGroup": Row(
        service="logs",
        noun="log_group",
        operations={"update": ""},
        id="name",
        key="logGroupName",
        found=lambda answer, id_: next((each for each in answer["logGroups"] if each["logGroupName"] == id_), None),
        arguments={
            "computed replaces": "logGroupClass name=logGroupName",
            "": "kmsKeyId retentionInDays:0 tags",
        },
        refused="deletionProtectionEnabled namePrefix skipDestroy",
        outputs="arn=logGroupArn",
        autonamed=512,
        requests={"read": lambda id_, _: {"logGroupNamePrefix": id_}},
        settle=_settle_log_group,
    ),
    "aws:iam/role:Role": Row(
        service="iam",
        noun="role",
        operations={"read": "get_role", "update": "update_role"},
        id="name",
        key="RoleName",
        found="Role",
        arguments={
            "required": "assumeRolePolicy=AssumeRolePolicyDocument",
            "computed replaces": "name=RoleName",
            "replaces": 'path:"/"',
            "": "description maxSessionDuration:3600 tags",
        },
        refused="forceDetachPolicies inlinePolicies managedPolicyArns namePrefix permissionsBoundary",
        outputs="arn createDate uniqueId=RoleId",
        autonamed=64,
        settle=_settle_role,
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Row(
        service="iam",
        operations={
            "create": "attach_role_policy",
            "read": "list_attached_role_policies",
            "delete": "detach_role_policy",
        },
        id="{role}/{policyArn}",
        key="RoleName",
        found=_attached,
        arguments={"required replaces": "policyArn role=RoleName"},
        requests={
            "read": lambda id_, _: {"RoleName": id_.partition("/")[0]},
            "delete": lambda _, olds: {"RoleName": olds["role"], "PolicyArn": olds["policyArn"]},
        },
    ),
    "aws:elasticache/subnetGroup:SubnetGroup": Row(
        service="elasticache",
        noun="cache_subnet_group",
        id="name",
        key="CacheSubnetGroupName",
        arguments={
            "computed replaces": "name=CacheSubnetGroupName",
            "required": "subnetIds<Subnets[].SubnetIdentifier",
            "described": "description=CacheSubnetGroupDescription",
            "": "tags",
        },
        outputs="arn=ARN vpcId",
        autonamed=255,
    ),
    "aws:elasticache/parameterGroup:ParameterGroup": Row(
        service="elasticache",
        id="name",
        arguments={
            "required replaces": "family=CacheParameterGroupFamily",
            "computed replaces": "name=CacheParameterGroupName",
            "replaces described": "description",
            "unsent": "parameters",
            "": "tags",
        },
        outputs="arn=ARN",
        autonamed=255,
        **_rows_of("cache_parameter", "CacheParameterGroupName", "ParameterNameValues"),
    ),
    "aws:elasticache/replicationGroup:ReplicationGroup": Row(
        service="elasticache",
        noun="replication_group",
        id="replicationGroupId",
        key="ReplicationGroupId",
        arguments={
            "required": "description=ReplicationGroupDescription",
            "computed replaces": """atRestEncryptionEnabled port<NodeGroups[0].PrimaryEndpoint.Port replicationGroupId
                subnetGroupName=CacheSubnetGroupName<Member.CacheSubnetGroupName""",
            "computed": """autoMinorVersionUpgrade engineVersion<Version nodeType=CacheNodeType
                maintenanceWindow=PreferredMaintenanceWindow<Member.PreferredMaintenanceWindow snapshotWindow
                parameterGroupName=CacheParameterGroupName<Member.CacheParameterGroup.CacheParameterGroupName
                securityGroupIds<Member.SecurityGroups[].SecurityGroupId transitEncryptionEnabled
                transitEncryptionMode""",
            "computed by_hand": "numCacheClusters<length(MemberClusters)",
            "replaces": "kmsKeyId",
            "": """automaticFailoverEnabled<contains(['enabled','enabling'],AutomaticFailover):false engine:"redis"
                logDeliveryConfigurations multiAzEnabled<MultiAZ=='enabled':false snapshotRetentionLimit:0 tags""",
            "unread secret by_hand": "authToken",
            "unread by_hand": "authTokenUpdateStrategy",
            "unread": "finalSnapshotIdentifier",
            "unread replaces": "snapshotName",
            "unread always computed": "applyImmediately",
        },
        refused="""authTokenWo authTokenWoVersion clusterMode dataTieringEnabled durability globalReplicationGroupId
            ipDiscovery networkType nodeGroupConfigurations notificationTopicArn numNodeGroups preferredCacheClusterAzs
            replicasPerNodeGroup securityGroupNames snapshotArns userGroupIds""",
        outputs="""arn=ARN clusterEnabled configurationEndpointAddress=ConfigurationEndpoint.Address
            engineVersionActual=Member.EngineVersion memberClusters
            primaryEndpointAddress=NodeGroups[0].PrimaryEndpoint.Address
            readerEndpointAddress=NodeGroups[0].ReaderEndpoint.Address""",
        autonamed=40,
        status="Status",
        timeouts=(60, 40, 45),
        observe=_member,
        modify=_deliveries,
        settle=_settle_cache,
        replaced=_cache_replaced,
    ),
}
