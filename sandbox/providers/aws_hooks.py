"""What rows of aws_resources.yaml cannot say: the few functions they name.

`created` and `changed` give members of a request, `before` and `after` make calls around a modification (`after` also
follows a creation, with nothing old), `replaced` names arguments that force replacement only sometimes, and `invalid`
refuses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sandbox.instance import REGION
from sandbox.providers import values
from sandbox.providers.base import Invalid

if TYPE_CHECKING:
    from sandbox.providers.aws import Thing
    from sandbox.providers.values import Properties

_SOURCES = {
    "cidrIpv4": ("IpRanges", "CidrIp"),
    "cidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "prefixListId": ("PrefixListIds", "PrefixListId"),
    "referencedSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
}


def permission(new: Properties) -> Properties:
    about = {"Description": new["description"]} if new.get("description") else {}
    wanted = {_pascal(name): new[name] for name in ("ipProtocol", "fromPort", "toPort") if name in new}
    for name, (ranges, member) in _SOURCES.items():
        if new.get(name):
            wanted[ranges] = [{member: new[name], **about}]
    return {"IpPermissions": [wanted]}


def changed_rule(id_: str, _old: Properties, new: Properties) -> Properties:
    names = new.keys() & {"ipProtocol", "fromPort", "toPort", "description", *_SOURCES}
    rule = {_pascal(name).replace("referencedSecurity", "Referenced"): new[name] for name in names}
    return {"SecurityGroupRules": [{"SecurityGroupRuleId": id_, "SecurityGroupRule": rule}]}


def _pascal(name: str) -> str:
    return name[0].upper() + name[1:]


def other_source(old: Properties, new: Properties) -> set[str]:
    """AWS cannot turn a rule for a CIDR into one for a group."""
    before, after = ({name for name in _SOURCES if side.get(name)} for side in (old, new))
    return before ^ after


def take_away_egress(thing: Thing, old: Properties) -> None:
    """The real provider takes away the rule that lets everything out; so does `egress=[]`, whenever one is found."""
    egress = (thing.look() or {}).get("IpPermissionsEgress")
    if egress and (not old or (old.get("egress") and not thing.new.get("egress"))):
        thing.call("revoke_security_group_egress", GroupId=thing.id, IpPermissions=egress)


def set_parameters(thing: Thing, old: Properties) -> None:
    """Set what is new or other, reset what is gone; the API takes at most 20 parameters in a call."""
    before, after = (
        {each["ParameterName"]: {**each, "ParameterValue": str(each["ParameterValue"])} for each in wired}
        for wired in (thing.wire("parameters", side.get("parameters") or []) for side in (old, thing.new))
    )
    changed = [each for name, each in after.items() if before.get(name) != each]
    gone = [each for name, each in before.items() if name not in after]
    for verb, parameters in (("modify", changed), ("reset", gone)):
        operation = f"{verb}_{thing.row.noun}"
        member = next(name for name, shape in thing.members(operation).items() if shape.type_name == "list")
        for start in range(0, len(parameters), 20):
            thing.call(operation, **thing.key(operation), **{member: parameters[start : start + 20]})


def cluster_members(_id: str, old: Properties, new: Properties) -> Properties:
    """Logs that begin or end; and the instances' next parameter group, which AWS takes with a major upgrade alone."""
    before, after = (set(side.get("enabledCloudwatchLogsExports") or []) for side in (old, new))
    change = {"EnableLogTypes": sorted(after - before), "DisableLogTypes": sorted(before - after)}
    found: Properties = {"CloudwatchLogsExportConfiguration": change} if before != after else {}
    majors = {str(side.get("engineVersion")).partition(".")[0] for side in (old, new)}
    if len(majors) > 1 and new.get("dbInstanceParameterGroupName"):
        found["DBInstanceParameterGroupName"] = new["dbInstanceParameterGroupName"]
    return found


def refused_cache(given: Properties) -> list[Invalid]:
    """What the real provider refuses in a preview, and what the sandbox does not have."""
    failover_enabled, count = given.get("automaticFailoverEnabled"), given.get("numCacheClusters")
    deliveries = given.get("logDeliveryConfigurations") or []
    found = [
        Invalid("logDeliveryConfigurations", "the sandbox delivers logs to 'cloudwatch-logs' only")
        for each in deliveries
        if each.get("destinationType") not in ("cloudwatch-logs", values.UNKNOWN)
    ]
    if given.get("multiAzEnabled") is True and not failover_enabled:
        found.append(Invalid("multiAzEnabled", "automaticFailoverEnabled must be true if multiAzEnabled is true"))
    if failover_enabled is True and isinstance(count, int) and count < 2:
        found.append(Invalid("numCacheClusters", "must be at least 2 if automaticFailoverEnabled is true"))
    return found


def cache_members(id_: str, old: Properties, new: Properties) -> Properties:
    """Logs that are no longer delivered are told so; backups that begin need to know of which node."""
    before, after = ({each["logType"] for each in side.get("logDeliveryConfigurations") or []} for side in (old, new))
    found: Properties = {}
    if before - after:
        ended: list[Any] = [{"LogType": each, "Enabled": False} for each in sorted(before - after)]
        found["LogDeliveryConfigurations"] = ended
    if new.get("snapshotRetentionLimit") and not old.get("snapshotRetentionLimit"):
        found["SnapshottingClusterId"] = f"{id_}-001"
    return found


def grow(thing: Thing, old: Properties) -> None:
    _resize("increase_replica_count", thing, old, more=True)


def new_token_then_shrink(thing: Thing, old: Properties) -> None:
    names = ("authToken", "authTokenUpdateStrategy")
    if old and any(old.get(name) != thing.new.get(name) for name in names):
        operation = "modify_replication_group"
        thing.call(operation, **thing.request(operation, names), ApplyImmediately=True)
        thing.wait()
    _resize("decrease_replica_count", thing, old, more=False)


def _resize(operation: str, thing: Thing, old: Properties, *, more: bool) -> None:
    before, after = old.get("numCacheClusters"), thing.new.get("numCacheClusters")
    if before and after and before != after and (after > before) == more:
        thing.call(operation, **thing.key(operation), NewReplicaCount=after - 1, ApplyImmediately=True)
        thing.wait()


# Of a backup plan and a selection: what AWS Backup calls otherwise.
_BACKUP = {
    "coldStorageAfter": "MoveToColdStorageAfterDays",
    "completionWindow": "CompletionWindowMinutes",
    "deleteAfter": "DeleteAfterDays",
    "destinationVaultArn": "DestinationBackupVaultArn",
    "key": "ConditionKey",
    "schedule": "ScheduleExpression",
    "selectionTags": "ListOfTags",
    "startWindow": "StartWindowMinutes",
    "targetVaultName": "TargetBackupVaultName",
    "type": "ConditionType",
    "value": "ConditionValue",
}


def _backup(value: Any) -> Any:
    if isinstance(value, dict):
        return {_BACKUP.get(name, _pascal(name)): _backup(item) for name, item in value.items()}
    return [_backup(each) for each in value] if isinstance(value, list) else value


def backup_plan(new: Properties) -> Properties:
    return {"BackupPlan": {"BackupPlanName": new["name"], "Rules": _backup(new["rules"])}}


def changed_backup_plan(_id: str, _old: Properties, new: Properties) -> Properties:
    return backup_plan(new)


def backup_selection(new: Properties) -> Properties:
    chosen = {name: new[name] for name in ("iamRoleArn", "resources", "selectionTags") if name in new}
    return {"BackupSelection": {"SelectionName": new["name"], **_backup(chosen)}}


def older_cache(old: Properties, new: Properties) -> set[str]:
    actual, wanted = old.get("engineVersionActual") or old.get("engineVersion"), new.get("engineVersion")
    before, after = ([int(part) for part in re.findall(r"\d+", version or "")] for version in (actual, wanted))
    engines, found = (old.get("engine"), new.get("engine")), set[str]()
    if engines == ("valkey", "redis"):
        found.add("engine")
    if engines[0] == engines[1] and after and before[: len(after)] > after and wanted != values.UNKNOWN:
        found.add("engineVersion")
    if before and before < [7, 0, 5]:
        found.add("transitEncryptionEnabled")
    return found


def location(_new: Properties) -> Properties:
    return {"CreateBucketConfiguration": {"LocationConstraint": REGION}}


def encryption(*given: Any) -> Properties:
    return {"ServerSideEncryptionConfiguration": {"Rules": _members(given[-1]["rules"])}}


def lifecycle(*given: Any) -> Properties:
    return {"LifecycleConfiguration": {"Rules": _members(given[-1]["rules"])}}


def public_access(*given: Any) -> Properties:
    switches = {name: value for name, value in given[-1].items() if name.startswith(("block", "ignore", "restrict"))}
    return {"PublicAccessBlockConfiguration": _members(switches)}


def _members(value: Any) -> Any:
    """A block in S3's spelling."""
    if isinstance(value, list):
        return [_members(each) for each in value]
    odd = {"id": "ID", "sseAlgorithm": "SSEAlgorithm"}
    return {odd.get(k, _pascal(k)): _members(v) for k, v in value.items()} if isinstance(value, dict) else value


def by_default(_id: str, _old: Properties, _new: Properties) -> Properties:
    """A new version of a policy is the one that holds."""
    return {"SetAsDefault": True}
