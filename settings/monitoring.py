"""Alarms, exporters and dashboards."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ValidationInfo, field_validator

from settings.base import Model
from settings.checks import a_list, flag_to_come, one_of, refused, text, whole

PERCENT = (1, 100)
_ARN = r"arn:aws[a-z-]*:(sqs|lambda):[a-z0-9-]+:[0-9]{12}:\S+"
_ENDPOINTS = {"email": r"[^@\s]+@[^@\s]+", "https": r"https://\S+", "sqs": _ARN, "lambda": _ARN}


class Subscriber(Model):
    """Who is told when an alarm changes its state."""

    protocol: Annotated[Literal["email", "https", "sqs", "lambda"], one_of(*_ENDPOINTS)]
    # Hidden: a pager's webhook address is its password.
    endpoint: Annotated[str, text("an address, https URL or ARN, as the protocol asks", r"\S+", hidden=True)]

    @field_validator("endpoint")
    @classmethod
    def _fits_protocol(cls, endpoint: str, info: ValidationInfo) -> str:
        protocol = info.data.get("protocol")
        if protocol and text("", _ENDPOINTS[protocol]).verdict(endpoint):
            raise refused(f"an endpoint of protocol {protocol}", "Correct one of the two", hidden=True)
        return endpoint


class Monitoring(Model):
    """What watches the stores. Off until asked for."""

    alarms_enabled: Annotated[bool, flag_to_come("alarms")]
    exporters_enabled: Annotated[bool, flag_to_come("exporters")]
    dashboards_enabled: Annotated[bool, flag_to_come("dashboards")]
    database_cpu_percent: Annotated[int, whole(*PERCENT, "percent")]
    redis_cpu_percent: Annotated[int, whole(*PERCENT, "percent")]
    redis_memory_percent: Annotated[int, whole(*PERCENT, "percent")]
    subscribers: Annotated[tuple[Subscriber, ...], a_list("subscribers: protocol, endpoint")]
