"""Resources as rows: where a kind lives, how it is named, found, described and tagged."""

from __future__ import annotations

import copy
import secrets
import string
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.aws.account_state import OWN_SERVICES, AccountState
from sandbox.aws.operations import AwsError, Parameters, Resource, members, operation
from sandbox.instance import ACCOUNT_ID, REGION

# Filters of RDS's Describe operations, and the members they look at.
FILTERS = {
    "db-cluster-id": "DBClusterIdentifier",
    "db-instance-id": "DBInstanceIdentifier",
    "db-cluster-snapshot-id": "DBClusterSnapshotIdentifier",
    "snapshot-type": "SnapshotType",
    "engine": "Engine",
}


@dataclass(frozen=True)
class Kind:
    """A kind of resource of RDS or ElastiCache."""

    service: str
    shape: str  # in the API model
    id: str  # the member that identifies it
    arn: str  # the resource part of its ARN
    fault: str  # its error codes are <fault>NotFoundFault and <fault>AlreadyExistsFault
    view: Callable[[AccountState, Resource], Resource] = lambda _account, row: row  # what Describe shows of a row

    def table(self, account: AccountState) -> dict[str, Resource]:
        return account.tables[self.service].setdefault(f"{self.shape}s", {})

    def get(self, account: AccountState, name: str) -> Resource:
        """By identifier, in any case, or by ARN."""
        resource = self.table(account).get(name.removeprefix(self._arn("")).lower())
        if resource is None:
            raise AwsError(f"{self.fault}NotFoundFault", f"{self.shape} {name} not found.")
        return resource

    def _arn(self, name: str) -> str:
        return f"arn:aws:{self.service}:{REGION}:{ACCOUNT_ID}:{self.arn}:{name}"

    def create(self, account: AccountState, parameters: Parameters, **computed: Any) -> Resource:
        """A new row in the table. Identifiers are lower-cased."""
        name = str(parameters[self.id]).lower()
        self.refuse_existing(account, name)
        arn = {"ARN" if self.service == "elasticache" else f"{self.shape}Arn": self._arn(name)}
        told = {self.id: name, **arn, "TagList": parameters.get("Tags", []), **computed}
        row = self.table(account)[name] = copy.deepcopy(told)  # or rows would share the lists of their defaults
        return row

    def refuse_existing(self, account: AccountState, name: str) -> None:
        if name.lower() in self.table(account):
            raise AwsError(f"{self.fault}AlreadyExistsFault", f"{self.shape} {name} already exists.")

    def delete(self, account: AccountState, name: str) -> Resource:
        return self.table(account).pop(self.get(account, name)[self.id])

    def describe(self, account: AccountState, p: Parameters) -> dict[str, Any]:
        """The answer to a Describe: by identifier, or every row that has the given members' values."""
        if name := p.get(self.id):
            return {f"{self.shape}s": [self.view(account, self.get(account, name))]}
        wanted = {key: [value] for key, value in p.items() if key in members(self.service, self.shape)}
        for given in p.get("Filters", []):
            if given["Name"] not in FILTERS:
                raise AwsError("InvalidParameterValue", f"Unrecognized filter name: {given['Name']}")
            wanted[FILTERS[given["Name"]]] = given["Values"]
        rows = [self.view(account, row) for row in self.table(account).values()]
        found = [row for row in rows if all(row.get(name) in values for name, values in wanted.items())]
        start = int(p.get("Marker") or 0)
        end = start + int(p.get("MaxRecords") or 100)
        return {f"{self.shape}s": found[start:end], "Marker": str(end) if end < len(found) else None}

    def carry(
        self, row: Resource, p: Parameters, renamed: Mapping[str, str] | None = None, handled: Collection[str] = ()
    ) -> None:
        """Copy the parameters that Describe gives back under the same, or a `renamed`, name.

        One that is neither carried nor `handled` elsewhere is refused: the stand-in must not shrug.
        """
        for name in p.keys() - {self.id, *handled}:
            member = (renamed or {}).get(name, name)
            if member not in members(self.service, self.shape):
                raise AwsError(
                    "InvalidParameterCombination", f"the sandbox does not know what {name} does to a {self.shape}"
                )
            row[member] = p[name]


def describable(kind: Kind) -> Kind:
    """Register `Describe<shape>s` for a kind."""
    operation(kind.service, f"Describe{kind.shape}s")(kind.describe)
    return kind


def _tag_operations(service: str) -> None:
    def tagged(account: AccountState, p: Parameters) -> Resource:
        for table in account.tables[service].values():
            for row in table.values():
                if p["ResourceName"] in (value for name, value in row.items() if name.lower().endswith("arn")):
                    return row
        raise AwsError("InvalidParameterValue", f"The specified resource does not exist: {p['ResourceName']}")

    @operation(service, "ListTagsForResource")
    def list_tags(account: AccountState, p: Parameters) -> dict[str, Any]:
        return {"TagList": tagged(account, p)["TagList"]}

    @operation(service, "AddTagsToResource")
    def add_tags(account: AccountState, p: Parameters) -> dict[str, Any]:
        row = tagged(account, p)
        row["TagList"] = list({tag["Key"]: tag for tag in [*row["TagList"], *p["Tags"]]}.values())
        return {"TagList": row["TagList"]}

    @operation(service, "RemoveTagsFromResource")
    def remove_tags(account: AccountState, p: Parameters) -> dict[str, Any]:
        row = tagged(account, p)
        row["TagList"] = [tag for tag in row["TagList"] if tag["Key"] not in p["TagKeys"]]
        return {"TagList": row["TagList"]}


for _service in OWN_SERVICES:
    _tag_operations(_service)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def random_id(length: int) -> str:
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(length))
