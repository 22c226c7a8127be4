"""The AWS functions (data sources) the sandbox knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.providers.aws_resources import camel
from sandbox.providers.base import Code, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.providers.values import Properties

_SUBNET_FILTERS = {
    "availabilityZone": "availability-zone",
    "availabilityZoneId": "availability-zone-id",
    "cidrBlock": "cidr-block",
    "defaultForAz": "default-for-az",
    "state": "state",
    "vpcId": "vpc-id",
}


def _find(client: Any, operation: str, result: str, given: Properties, **request: Any) -> list[Properties]:
    """Everything that matches `filters`, `tags` and the arguments that are filters themselves."""
    filters = [{"Name": each["name"], "Values": each["values"]} for each in given.get("filters") or []]
    filters += [{"Name": f"tag:{key}", "Values": [value]} for key, value in (given.get("tags") or {}).items()]
    for argument in _SUBNET_FILTERS.keys() & given.keys():
        value = given[argument]
        text = str(value).lower() if isinstance(value, bool) else value
        filters.append({"Name": _SUBNET_FILTERS[argument], "Values": [text]})
    pages = client.get_paginator(operation).paginate(Filters=filters, **request)
    return [each for page in pages for each in page[result]]


def _get_cluster(client: Any, given: Properties) -> Properties:
    try:
        found = client.describe_cluster(name=given["name"])["cluster"]
    except client.exceptions.ResourceNotFoundException as error:
        raise RefusedError(f"reading EKS cluster {given['name']!r}: no such cluster", Code.NOT_FOUND) from error
    names = "arn endpoint name platformVersion roleArn status tags version"
    return {
        **{name: found[name] for name in names.split() if found.get(name) is not None},
        "id": found["name"],
        "certificateAuthorities": [{"data": found.get("certificateAuthority", {}).get("data", "")}],
        "vpcConfig": found.get("resourcesVpcConfig", {}),
    }


def _get_subnets(client: Any, given: Properties) -> Properties:
    return {"ids": sorted(each["SubnetId"] for each in _find(client, "describe_subnets", "Subnets", given))}


def _get_subnet(client: Any, given: Properties) -> Properties:
    request = {"SubnetIds": [given["id"]]} if "id" in given else {}
    found = _find(client, "describe_subnets", "Subnets", given, **request)
    if len(found) != 1:
        what = f"{len(found)} subnets match; say more" if found else "no subnet matches"
        raise RefusedError(f"getSubnet wants exactly one subnet: {what}", Code.NOT_FOUND)
    known = camel({name: value for name, value in found[0].items() if isinstance(value, str | int)})
    tags = {each["Key"]: each["Value"] for each in found[0].get("Tags", [])}
    return {**known, "id": known["subnetId"], "arn": known.get("subnetArn", ""), "tags": tags}


def _get_security_groups(client: Any, given: Properties) -> Properties:
    found = _find(client, "describe_security_groups", "SecurityGroups", given)
    found.sort(key=lambda each: str(each["GroupId"]))
    members = {"ids": "GroupId", "arns": "SecurityGroupArn", "vpcIds": "VpcId"}
    return {name: [each.get(member, "") for each in found] for name, member in members.items()}


# token → service, argument names, function
FUNCTIONS: Mapping[str, tuple[str, str, Callable[[Any, Properties], Properties]]] = {
    "aws:eks/getCluster:getCluster": ("eks", "name tags", _get_cluster),
    "aws:ec2/getSubnets:getSubnets": ("ec2", "filters tags", _get_subnets),
    "aws:ec2/getSubnet:getSubnet": ("ec2", f"filters id tags {' '.join(_SUBNET_FILTERS)}", _get_subnet),
    "aws:ec2/getSecurityGroups:getSecurityGroups": ("ec2", "filters tags", _get_security_groups),
}
