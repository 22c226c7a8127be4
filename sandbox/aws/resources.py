"""Resources as rows: where a kind lives, how it is named, found, described, changed and tagged."""

from __future__ import annotations

import copy
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from sandbox.aws.account_state import OWN_SERVICES, AccountState
from sandbox.aws.operations import AwsError, Parameters, Resource, members, operation
from sandbox.instance import ACCOUNT_ID, REGION

CATALOGUE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("catalogue.yaml").read_text())
# Every kind, by its shape.
KINDS: dict[str, Kind] = {}


@dataclass(frozen=True)
class Kind:
    """A kind of resource of RDS or ElastiCache."""

    service: str
    shape: str  # in the API model
    id: str  # the member that identifies it
    arn: str  # the resource part of its ARN
    fault: str  # its error codes are <fault>NotFoundFault and <fault>AlreadyExistsFault
    view: Callable[[AccountState, Resource], Resource] = lambda _account, row: row  # what Describe shows of a row
    # What a new row has of others, beside the defaults.
    base: Callable[[AccountState, Parameters], Resource] = lambda _account, _p: {}

    def register(self) -> Kind:
        """Make the kind known, and its Describe operation."""
        KINDS[self.shape] = self
        operation(self.service, f"Describe{self.shape}s")(self.describe)
        return self

    def settings(self, name: str) -> Any:
        """A cell of the kind's row in the catalogue."""
        return CATALOGUE[self.service].get(self.shape, {}).get(name, {})

    def words(self, name: str) -> list[str]:
        """The words of such a cell."""
        return str(self.settings(name) or "").split()

    def table(self, account: AccountState) -> dict[str, Resource]:
        return account.tables[self.service].setdefault(f"{self.shape}s", {})

    def find(self, account: AccountState, name: str) -> Resource | None:
        """By identifier, in any case, or by ARN."""
        return self.table(account).get(self._key(name))

    def get(self, account: AccountState, name: str) -> Resource:
        resource = self.find(account, name)
        if resource is None:
            raise AwsError(f"{self.fault}NotFoundFault", f"{self.shape} {name} not found.")
        return resource

    def _key(self, name: str) -> str:
        return name.removeprefix(self._arn("")).lower()

    def _arn(self, name: str) -> str:
        return f"arn:aws:{self.service}:{REGION}:{ACCOUNT_ID}:{self.arn}:{name}"

    def create(self, account: AccountState, p: Parameters, **computed: Any) -> Resource:
        """A new row in the table. Identifiers are lower-cased."""
        name = str(p[self.id]).lower()
        self.refuse_existing(account, name)
        arn = {"ARN" if self.service == "elasticache" else f"{self.shape}Arn": self._arn(name)}
        told = {self.id: name, **arn, "TagList": p.get("Tags", []), **self.settings("defaults")}
        # A copy, or rows would share the lists of their defaults.
        row = self.table(account)[name] = copy.deepcopy(told | self.base(account, p) | computed)
        return row

    def refuse_existing(self, account: AccountState, name: str) -> None:
        if self.find(account, name) is not None:
            raise AwsError(f"{self.fault}AlreadyExistsFault", f"{self.shape} {name} already exists.")

    def delete(self, account: AccountState, name: str) -> Resource:
        self.get(account, name)
        return self.table(account).pop(self._key(name))

    def describe(self, account: AccountState, p: Parameters) -> dict[str, Any]:
        """The answer to a Describe: by identifier, or every row that has the given members' values."""
        if name := p.get(self.id):
            return {f"{self.shape}s": [self.view(account, self.get(account, name))]}
        wanted = {key: [value] for key, value in p.items() if key in members(self.service, self.shape)}
        for given in p.get("Filters", []):
            if given["Name"] not in CATALOGUE["filters"]:
                raise AwsError("InvalidParameterValue", f"Unrecognized filter name: {given['Name']}")
            wanted[CATALOGUE["filters"][given["Name"]]] = given["Values"]
        rows = [self.view(account, row) for row in self.table(account).values()]
        found = [row for row in rows if all(row.get(name) in values for name, values in wanted.items())]
        start = int(p.get("Marker") or 0)
        end = start + int(p.get("MaxRecords") or 100)
        return {f"{self.shape}s": found[start:end], "Marker": str(end) if end < len(found) else None}

    def carry(self, row: Resource, p: Parameters) -> None:
        """Copy the parameters that Describe gives back into the row.

        One that is neither a member nor seen to elsewhere is refused: the stand-in must not shrug.
        """
        shown = {*members(self.service, self.shape), *self.words("hidden")}
        for name in p.keys() - {self.id, *self.words("handled")}:
            if self.member(name) not in shown:
                message = f"the sandbox does not know what {name} does to a {self.shape}"
                raise AwsError("InvalidParameterCombination", message)
            row[self.member(name)] = self.worded(name, p[name])

    def member(self, parameter: str) -> str:
        """The name under which Describe shows a parameter."""
        return str(self.settings("renamed").get(parameter, parameter))

    def worded(self, parameter: str, value: Any) -> Any:
        """The value that Describe shows for a parameter's: ElastiCache words its switches."""
        worded = isinstance(value, bool) and isinstance(self.settings("defaults").get(self.member(parameter)), str)
        return ("enabled" if value else "disabled") if worded else value

    def due(self, row: Resource, p: Parameters) -> Parameters:
        """What of a change is made now; the rest waits in the row, until ApplyImmediately or `maintenance`."""
        waiting = {name: value for name, value in row.pop("_pending", {}).items() if name not in p}
        if p.get("ApplyImmediately"):
            return waiting | p
        for name, companions in self.settings("waits").items():
            if name in p and row.get(self.member(name)) != p[name]:
                waiting |= {each: p[each] for each in (name, *companions) if each in p}
        row["_pending"] = waiting
        return {name: value for name, value in p.items() if name not in waiting}

    def pending(self, row: Resource) -> Resource:
        """The members that will change in the maintenance window."""
        return {self.member(name): value for name, value in row.get("_pending", {}).items()}


def _tag_operations(service: str) -> None:
    def tagged(account: AccountState, p: Parameters) -> Resource:
        arn = p["ResourceName"] if p["ResourceName"].startswith("arn:") else "arn:"
        found = (kind.find(account, arn) for kind in KINDS.values() if kind.service == service)
        row = next((row for row in found if row is not None), None)
        if row is None:
            raise AwsError("InvalidParameterValue", f"The specified resource does not exist: {p['ResourceName']}")
        return row

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
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def random_id(length: int) -> str:
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(length))
