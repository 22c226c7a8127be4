"""Property values as the engine sends them: plain JSON in which secrets stay wrapped and unknowns are a fixed text."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf import struct_pb2
from pulumi.runtime import rpc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Properties = dict[str, Any]
UNKNOWN: str = rpc.UNKNOWN

# sdk/go/common/resource/properties.go: the key that marks a special object, and the two kinds that hold a value.
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
# sdk/go/common/resource/plugin/rpc.go: an unknown text, boolean, number, array and object.
_UNKNOWNS = frozenset(
    (
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    )
)


def decode(struct: struct_pb2.Struct) -> Properties:
    """Python values of a message: whole numbers as int, every unknown as UNKNOWN, outputs as secrets and unknowns."""
    return {name: _decode(value) for name, value in struct.fields.items()}


def _decode(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value in _UNKNOWNS else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_decode(item) for item in value.list_value.values]
    if kind != "struct_value":
        return None
    decoded = decode(value.struct_value)
    if decoded.get(_SIGNATURE) == _OUTPUT:
        content = decoded.get("value", UNKNOWN)
        return secret(content) if decoded.get("secret") else content
    return decoded


def encode(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """The message of Python values."""
    struct = struct_pb2.Struct()
    struct.update(properties)
    return struct


def secret(value: Any) -> Any:
    """`value` wrapped so that the engine encrypts it; at most once."""
    return value if is_secret(value) else {_SIGNATURE: _SECRET, "value": plain(value)}


def is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(_SIGNATURE) == _SECRET


def plain(value: Any) -> Any:
    """`value` without its secret wrappings, at any depth."""
    if is_secret(value):
        return plain(value["value"])
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _walk(value: Any, hidden: bool = False) -> Iterator[tuple[Any, bool]]:
    """Every scalar within `value`, and whether it lies within a secret."""
    if is_secret(value):
        yield from _walk(value["value"], hidden=True)
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _walk(item, hidden)
    else:
        yield value, hidden


def has_secret(value: Any) -> bool:
    return any(hidden for _, hidden in _walk(value))


def has_unknown(value: Any) -> bool:
    return any(scalar == UNKNOWN for scalar, _ in _walk(value))


def wrap(properties: Properties, like: Mapping[str, Any], always: Sequence[str] = ()) -> Properties:
    """`properties` with each one secret that is `always` so or holds a secret in `like`."""
    return {
        name: secret(value) if name in always or has_secret(like.get(name)) else value
        for name, value in properties.items()
    }


def without_secrets(message: str, *sources: Any) -> str:
    """`message` with every secret text of `sources`, plain or in base64, blotted out."""
    texts = {scalar for source in sources for scalar, hidden in _walk(source) if hidden and isinstance(scalar, str)}
    texts |= {base64.b64encode(text.encode()).decode() for text in texts}
    # The longest first: one secret may hold another. A text of three characters hides nothing and garbles much.
    for text in sorted((text for text in texts if len(text) > 3 and text != UNKNOWN), key=len, reverse=True):
        message = message.replace(text, "[secret]")
    return message


class Change(NamedTuple):
    """One difference: its property path (`tags.Name`, `rules[0].port`) and add, delete or update."""

    path: str
    kind: str


def changes(old: Any, new: Any, path: str = "") -> Iterator[Change]:
    """What differs between two plain values, as deep as both go."""
    if old is None or new is None:
        if old is not new:
            yield Change(path, "add" if old is None else "delete")
    elif isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from changes(old.get(name), new.get(name), join(path, name))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            items = [side[index] if index < len(side) else None for side in (old, new)]
            yield from changes(items[0], items[1], f"{path}[{index}]")
    elif old != new or type(old) is not type(new):
        yield Change(path, "update")


def join(path: str, name: str) -> str:
    """The property path of `name` within `path`, quoted where it must be."""
    if not re.fullmatch(r"[A-Za-z_$][\w$-]*", name):
        quoted = name.replace('"', '\\"')
        return f'{path}["{quoted}"]'
    return f"{path}.{name}" if path else name


def covers(paths: Sequence[str], path: str) -> bool:
    """Whether `path` is one of `paths` or lies within one (ignoreChanges, fields that force replacement)."""
    plain_names = (re.sub(r'\["([A-Za-z_$][\w$-]*)"\]', r".\1", item) for item in paths)
    patterns = (re.escape(item).replace(r"\[\*\]", r"\[\d+\]") for item in plain_names)
    return any(re.match(rf"{pattern}($|[.\[])", path) for pattern in patterns)
