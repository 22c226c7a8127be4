"""The checks that fields are annotated with: each says what is allowed, and what to do about a value that is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, NamedTuple

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

# How the engine hands an unquoted YAML date or time to the program.
_UNQUOTED_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} \w+", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


class Advice(NamedTuple):
    """What to do; `instead` is a right spelling made from the received value, hidden wherever that is."""

    do: str
    instead: str | None = None


Verdict = Advice | None


def refused(
    allowed: str, do: str, *, instead: str | None = None, hidden: bool = False, above: bool = False
) -> PydanticCustomError:
    """The error of a value; with `above`, of the mapping it stands in. `hidden` keeps the value out of the message."""
    context = {"allowed": allowed, "do": do, "instead": instead, "hidden": hidden, "above": above}
    return PydanticCustomError("refused", "refused", context)


@dataclass(frozen=True)
class Check:
    """Field metadata: `verdict` sees the value exactly as received."""

    allowed: str
    verdict: Callable[[Any], Verdict]
    hidden: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._pass, handler(source))

    def _pass(self, value: Any) -> Any:
        advice = self.verdict(value)
        if advice is not None:
            raise refused(self.allowed, advice.do, instead=advice.instead, hidden=self.hidden)
        return value


def whole(low: int, high: int, unit: str = "") -> Check:
    return _number(f"a whole number{unit and f' of {unit}'} from {low} to {high}", lambda n: low <= n <= high, (int,))


def whole_among(values: frozenset[int], allowed: str) -> Check:
    return _number(allowed, lambda number: number in values, (int,))


def in_steps(low: float, high: float, step: float) -> Check:
    allowed = f"a number from {low:g} to {high:g} in steps of {step:g}"
    return _number(allowed, lambda number: low <= number <= high and number % step == 0, (int, float))


def _number(allowed: str, fits: Callable[[Any], bool], kinds: tuple[type, ...]) -> Check:
    def verdict(value: Any) -> Verdict:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return Advice("Write the number without quotes")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return Advice("Write a number")
        return None if isinstance(value, kinds) and fits(value) else Advice("Choose an allowed number")

    return Check(allowed, verdict)


def flag() -> Check:
    def verdict(value: Any) -> Verdict:
        if isinstance(value, bool):
            return None
        if isinstance(value, str):
            return Advice("Write true or false, without quotes; yes, no, on and off are only words here")
        return Advice("Write true or false")

    return Check("true or false", verdict)


def flag_to_come(what: str) -> Check:
    """A flag of a part that this release does not have: true is refused, or somebody would count on it."""

    def verdict(value: Any) -> Verdict:
        if value is True:
            return Advice(f"Leave it false: this release has no {what}")
        return flag().verdict(value)

    return Check(f"false, while this release has no {what}", verdict)


def text(
    allowed: str,
    pattern: str,
    *,
    longest: int | None = None,
    spelled: Callable[[str], str] | None = None,
    also: Callable[[str], Verdict] | None = None,
    hidden: bool = False,
) -> Check:
    """Text of one shape (`pattern`, in full). `spelled` mends common slips, for the advice only; `also` asks more."""
    shape = re.compile(pattern, re.ASCII)

    def fits(value: str) -> bool:
        return shape.fullmatch(value) is not None and (longest is None or len(value) <= longest)

    def verdict(value: Any) -> Verdict:
        if isinstance(value, str):
            if _UNQUOTED_TIME.fullmatch(value):
                return Advice("Put it in quotes: YAML rewrites a date or time that stands without them")
            if fits(value):
                return also(value) if also else None
            better = spelled(value) if spelled else value
            return Advice("Write it like that", better) if better != value and fits(better) else Advice("Correct it")
        if isinstance(value, (int, float)):
            return Advice(
                "Put it in quotes: YAML rewrites what looks like a number or a truth value (17.10 becomes 17.1)"
            )
        return Advice("Write one text in quotes")

    return Check(allowed, verdict, hidden)


def one_of(*values: str) -> Check:
    spellings = {value.lower(): value for value in values}
    return text(
        "one of " + ", ".join(values),
        "|".join(map(re.escape, values)),
        spelled=lambda value: spellings.get(value.strip().lower(), value),
    )


def a_list(of: str, *, least: int = 0) -> Check:
    def verdict(value: Any) -> Verdict:
        if isinstance(value, list):
            return None if len(value) >= least else Advice("Give more entries, or take the key out")
        if isinstance(value, str):
            return Advice("Write it as a YAML list (one entry a line, each after a dash), not as text in quotes")
        return Advice("Write it as a YAML list, one entry a line, each after a dash")

    return Check(f"a list of {f'at least {least} ' if least > 1 else ''}{of}", verdict)


def cidr_block() -> Check:
    """IPv4 or IPv6, exactly as AWS would store it: anything else would differ from it on every run."""

    def verdict(value: Any) -> Verdict:
        if not isinstance(value, str):
            return Advice("Write one text in quotes")
        try:
            network = str(ip_network(value, strict=False))
        except ValueError:
            return Advice("Correct it")
        return None if network == value else Advice("Write the network itself, in its short form", network)

    return Check("an IPv4 or IPv6 network like 10.0.0.0/16 or 2001:db8::/32, without host bits", verdict)


# Kubernetes names: RFC 1123 labels of at most 63 characters (apimachinery, util/validation).
DNS_LABEL_LENGTH = 63


def hyphenated(value: str) -> str:
    """How AWS and Kubernetes would spell a name that somebody wrote with capitals or underscores."""
    return value.strip().lower().replace("_", "-")


def dns_label(what: str, *, longest: int = DNS_LABEL_LENGTH) -> Check:
    return text(
        f"{what} of at most {longest} lower-case letters, digits and single or double hyphens inside",
        "[a-z0-9]([a-z0-9-]*[a-z0-9])?",
        longest=longest,
        spelled=hyphenated,
    )


def aws_id(prefix: str, what: str) -> Check:
    """EC2 ids have 8 or 17 hexadecimal digits (EC2 User Guide, resource ids)."""
    return text(f"the id of a {what}, like {prefix}-0a1b2c3d4e5f60718", f"{prefix}-([0-9a-f]{{8}}|[0-9a-f]{{17}})")


def kms_key() -> Check:
    """Only a key's own ARN: AWS answers an alias with the key's ARN, a difference that would replace the store."""
    return text(
        "the ARN of a KMS key, arn:aws:kms:<region>:<account>:key/<id>, not an alias or a bare id",
        r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+",
    )
