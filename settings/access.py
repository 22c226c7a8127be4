"""Who may read the connection Secrets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ValidationInfo, field_validator

from settings.base import Model
from settings.checks import a_list, dns_label, one_of, refused, text

SECRETS = ("platform-database", "platform-redis")
SecretName = Literal["platform-database", "platform-redis"]
# Kubernetes: DNS subdomain names.
SUBJECT_NAME_LENGTH = 253


class Reader(Model):
    """A subject that may `get` the named Secrets."""

    kind: Annotated[Literal["Group", "User", "ServiceAccount"], one_of("Group", "User", "ServiceAccount")]
    name: Annotated[
        str,
        text(f"a subject's name of at most {SUBJECT_NAME_LENGTH} characters", r"[!-~]+", longest=SUBJECT_NAME_LENGTH),
    ]
    namespace: Annotated[str, dns_label("a namespace")] | None = None
    """A ServiceAccount's; None for the stack's own."""
    secrets: Annotated[
        tuple[Annotated[SecretName, one_of(*SECRETS)], ...], a_list("the Secrets " + " and ".join(SECRETS), least=1)
    ]

    @field_validator("name")
    @classmethod
    def _account_name(cls, name: str, info: ValidationInfo) -> str:
        label = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
        if info.data.get("kind") == "ServiceAccount":
            advice = text("", rf"{label}(\.{label})*").verdict(name)
            if advice:
                raise refused("a ServiceAccount's name: lower-case letters, digits, hyphens and dots", advice.do)
        return name

    @field_validator("namespace")
    @classmethod
    def _only_of_accounts(cls, namespace: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind", "ServiceAccount")
        if namespace is not None and kind != "ServiceAccount":
            raise refused(f"absent for a {kind}, which belongs to no namespace", "Take it out")
        return namespace


class Access(Model):
    readers: Annotated[tuple[Reader, ...], a_list("readers: kind, name")]
