"""Properties as they travel between program, engine and pack, made plain: secrets and unknowns as what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.value import UNKNOWN, Secret

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the protocol's mark
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
# In place of a secret's content where `pulumi policy analyze` has no key to open it with.
_REDACTED = "[secret]"
# pulumi: sdk/go/common/resource/plugin/rpc.go; one for each kind of value.
_UNKNOWNS = frozenset(
    (
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    )
)


def plain(value: Any) -> Any:
    """`value` as dictionaries and lists, with Secret around what is marked, and UNKNOWN for what is not known."""
    if isinstance(value, str):
        return UNKNOWN if value in _UNKNOWNS else value
    if isinstance(value, Mapping):
        signature = value.get(_SIGNATURE)
        if signature == _SECRET:
            return _secret(value.get("value", _REDACTED))
        if signature == _OUTPUT:
            known = plain(value["value"]) if "value" in value else UNKNOWN
            return Secret(known) if value.get("secret") else known
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def _secret(value: Any) -> Secret:
    return Secret(UNKNOWN if value == _REDACTED else plain(value))
