"""Subnet groups and parameter groups: RDS and ElastiCache word the same operations differently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.aws.account_state import AccountState
from sandbox.aws.operations import AwsError, Parameters, Resource, operation
from sandbox.aws.resources import Kind

Users = Callable[[AccountState, str], Iterable[Resource]]


def subnet_group_operations(kind: Kind) -> None:
    """Register Create, Modify and Delete."""
    description = f"{kind.shape}Description"

    def placed(account: AccountState, p: Parameters) -> dict[str, Any]:
        if "SubnetIds" not in p:
            return {}
        subnets = [account.moto("ec2").get_subnet(subnet_id) for subnet_id in p["SubnetIds"]]
        rows = [
            {
                "SubnetIdentifier": subnet.id,
                "SubnetAvailabilityZone": {"Name": subnet.availability_zone},
                "SubnetStatus": "Active",
            }
            for subnet in subnets
        ]
        return {"VpcId": subnets[0].vpc_id, "Subnets": rows}

    @operation(kind.service, f"Create{kind.shape}")
    def create(account: AccountState, p: Parameters) -> dict[str, Any]:
        told = {description: p[description], "SubnetGroupStatus": "Complete"}
        return {kind.shape: kind.create(account, p, **told, **placed(account, p))}

    @operation(kind.service, f"Modify{kind.shape}")
    def modify(account: AccountState, p: Parameters) -> dict[str, Any]:
        group = kind.get(account, p[kind.id])
        group |= placed(account, p) | {name: p[name] for name in (description,) if name in p}
        return {kind.shape: group}

    @operation(kind.service, f"Delete{kind.shape}")
    def delete(account: AccountState, p: Parameters) -> dict[str, Any]:
        kind.delete(account, p[kind.id])
        return {}


@dataclass(frozen=True)
class Parameter:
    """One parameter of an engine. `allowed`: a range `1-10`, a choice `a,b`, or anything when empty."""

    allowed: str = ""
    default: str = ""
    static: bool = False
    modifiable: bool = True
    description: str = ""

    def accepts(self, value: str) -> bool:
        if not self.allowed or "{" in value:  # a formula of the instance's memory
            return True
        if "," in self.allowed:
            return value in self.allowed.split(",")
        low, _, high = self.allowed.rpartition("-")
        return value.lstrip("-").isdigit() and int(low) <= int(value) <= int(high)


@dataclass(frozen=True)
class ParameterGroups:
    """One of the three kinds of parameter group."""

    kind: Kind
    family: str  # the member that names the family
    given: str  # the member that lists parameters in Modify and Reset
    catalogue: Callable[[], Mapping[str, Parameter]]
    users: Users  # the resources whose servers a group reaches
    reach: Callable[[AccountState, Resource], None]

    def get(self, account: AccountState, name: str) -> Resource:
        """The group of that name; AWS makes a family's default group when it is first used."""
        if name.startswith("default.") and name not in self.kind.table(account):
            family = name.removeprefix("default.")
            described = {self.family: family, "Description": f"Default parameter group for {family}"}
            self.create(account, {self.kind.id: name, **described})
        return self.kind.get(account, name)

    def values(self, account: AccountState, name: str) -> dict[str, str]:
        return {key: given["ParameterValue"] for key, given in self.get(account, name)["_parameters"].items()}

    def create(self, account: AccountState, p: Parameters) -> dict[str, Any]:
        described = {name: p[name] for name in (self.family, "Description")}
        return {self.kind.shape: self.kind.create(account, p, **described, IsGlobal=False, _parameters={})}

    def modify(self, account: AccountState, p: Parameters) -> dict[str, Any]:
        group = self.kind.get(account, p[self.kind.id])
        for given in p[self.given]:
            self._check(given["ParameterName"], given.get("ParameterValue", ""), given.get("ApplyMethod"))
            group["_parameters"][given["ParameterName"]] = {
                name: given[name] for name in ("ParameterValue", "ApplyMethod") if name in given
            }
        return self._applied(account, group)

    def _check(self, name: str, value: str, method: str | None) -> None:
        parameter = self.catalogue().get(name)
        if parameter is None:
            raise AwsError("InvalidParameterValue", f"Could not find parameter with name: {name}")
        if not parameter.modifiable:
            raise AwsError("InvalidParameterValue", f"The parameter {name} cannot be modified.")
        if parameter.static and method == "immediate":
            raise AwsError(
                "InvalidParameterCombination", f"cannot use immediate apply method for static parameter: {name}"
            )
        if not parameter.accepts(value):
            message = f"Invalid parameter value: {value} for: {name} allowed values are: {parameter.allowed}"
            raise AwsError("InvalidParameterValue", message)

    def reset(self, account: AccountState, p: Parameters) -> dict[str, Any]:
        group = self.kind.get(account, p[self.kind.id])
        named = [given["ParameterName"] for given in p.get(self.given, [])]
        for name in list(group["_parameters"]) if p.get("ResetAllParameters") else named:
            group["_parameters"].pop(name, None)
        return self._applied(account, group)

    def _applied(self, account: AccountState, group: Resource) -> dict[str, Any]:
        for user in self.users(account, group[self.kind.id]):
            self.reach(account, user)
        return {self.kind.id: group[self.kind.id]}

    def delete(self, account: AccountState, p: Parameters) -> dict[str, Any]:
        self.kind.delete(account, p[self.kind.id])
        return {}

    def list_parameters(self, account: AccountState, p: Parameters) -> dict[str, Any]:
        given = self.kind.get(account, p[self.kind.id])["_parameters"]
        rows = [
            {
                "ParameterName": name,
                "ParameterValue": parameter.default or None,
                "Description": parameter.description,
                "AllowedValues": parameter.allowed or None,
                "ApplyType": "static" if parameter.static else "dynamic",
                "ChangeType": "requires-reboot" if parameter.static else "immediate",
                "DataType": "integer" if "-" in parameter.allowed and "," not in parameter.allowed else "string",
                "IsModifiable": parameter.modifiable,
                "Source": "user" if name in given else "system",
                **given.get(name, {}),
            }
            for name, parameter in self.catalogue().items()
        ]
        return {"Parameters": [row for row in rows if p.get("Source") in (None, row["Source"])]}

    def register(self) -> ParameterGroups:
        shape = self.kind.shape
        operation(self.kind.service, f"Create{shape}")(self.create)
        operation(self.kind.service, f"Modify{shape}")(self.modify)
        operation(self.kind.service, f"Reset{shape}")(self.reset)
        operation(self.kind.service, f"Delete{shape}")(self.delete)
        operation(self.kind.service, f"Describe{shape.removesuffix('Group')}s")(self.list_parameters)
        return self
