"""Stand-in for the random provider: RandomPassword and RandomId. Every argument forces a new value."""

from __future__ import annotations

import base64
import ctypes
import secrets
import string
import threading
from typing import TYPE_CHECKING, Any

from sandbox.providers import values
from sandbox.providers.base import Asked, Difference, Invalid, Provider, RefusedError, invalid_names, serve

if TYPE_CHECKING:
    from sandbox.providers.values import Properties

PASSWORD = "random:index/randomPassword:RandomPassword"  # noqa: S105
ID = "random:index/randomId:RandomId"
# What an argument is worth when it is not given; None: nothing.
ARGUMENTS: dict[str, dict[str, Any]] = {
    PASSWORD: {
        **dict.fromkeys(("length", "keepers", "overrideSpecial")),
        **dict.fromkeys(("lower", "upper", "numeric", "special"), True),
        **dict.fromkeys(("minLower", "minUpper", "minNumeric", "minSpecial"), 0),
    },
    ID: dict.fromkeys(("byteLength", "keepers", "prefix")),
}
REQUIRED = {PASSWORD: "length", ID: "byteLength"}
OUTPUTS = {PASSWORD: ("result", "bcryptHash"), ID: ("b64Std", "b64Url", "dec", "hex")}
SECRET = {PASSWORD: OUTPUTS[PASSWORD], ID: ()}
CLASSES = {
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "numeric": string.digits,
    "special": "!@#$%&*()-_=+[]{}<>:?",
}
_bcrypt = threading.Lock()


class Random(Provider):
    name = "random"
    types = ARGUMENTS.keys()

    def check(self, asked: Asked) -> tuple[Properties, list[Invalid]]:
        kind, required = asked.type, REQUIRED[asked.type]
        inputs = {name: value for name, value in asked.news.items() if name != "__defaults"}
        found = invalid_names(f"argument of {kind}", inputs, ARGUMENTS[kind], kind)
        given = values.plain(_complete(kind, inputs))
        if required not in inputs:
            found.append(Invalid(required, f"missing required argument {required!r} of {kind}"))
        elif values.has_unknown(given):
            return inputs, found
        elif not isinstance(given[required], int) or given[required] < 1:
            found.append(Invalid(required, f"{required} must be a whole number of at least 1"))
        elif kind == PASSWORD and not any(given[each] for each in CLASSES):
            found.append(Invalid("special", "at least one of lower, upper, numeric and special must be true"))
        elif kind == PASSWORD and given["length"] < sum(given[f"min{each.title()}"] for each in CLASSES):
            found.append(Invalid("length", "length must be at least the sum of the four minimums"))
        return inputs, found

    def diff(self, asked: Asked) -> Difference:
        found = Difference()
        old, new = (values.plain(_complete(asked.type, side)) for side in (asked.olds, asked.news))
        for name in ARGUMENTS[asked.type]:
            for path, kind in values.changes(old[name], new[name], name):
                if not values.covers(asked.ignored, path):
                    found.changes[path] = kind
        found.replaces = list(found.changes)
        return found

    def create(self, asked: Asked) -> tuple[str, Properties]:
        state = _complete(asked.type, asked.news)
        if asked.preview:
            return "", {**state, **dict.fromkeys(OUTPUTS[asked.type], values.UNKNOWN)}
        given = values.plain(state)
        if asked.type == PASSWORD:
            made, id_ = _password(_generate(given)), "none"
        else:
            content = secrets.token_bytes(given["byteLength"])
            made, id_ = _identity(content, given["prefix"] or ""), _url(content)
        return id_, values.wrap({**state, **made}, asked.news, SECRET[asked.type])

    def read(self, asked: Asked) -> tuple[str, Properties, Properties] | None:
        if asked.olds:
            return asked.id, asked.inputs, asked.olds
        # An import. A password's import id is the password; the provider then calls it "none".
        if asked.type == PASSWORD:
            inputs: Properties = {"length": len(asked.id)}
            id_, made = "none", _password(asked.id)
        else:
            prefix, _, id_ = asked.id.rpartition(",")
            try:
                content = base64.b64decode(id_ + "=" * (-len(id_) % 4), altchars="-_", validate=True)
            except ValueError as error:
                raise RefusedError(f"cannot import {id_!r}: neither <b64Url> nor <prefix>,<b64Url>") from error
            inputs = {"byteLength": len(content), **({"prefix": prefix} if prefix else {})}
            made = _identity(content, prefix)
        return id_, inputs, values.wrap({**_complete(asked.type, inputs), **made}, {}, SECRET[asked.type])

    def delete(self, asked: Asked) -> None:
        """Nothing exists outside the state."""


def _complete(kind: str, given: Properties) -> Properties:
    """Every argument, with its default where it is not given."""
    return {name: default if (value := given.get(name)) is None else value for name, default in ARGUMENTS[kind].items()}


def _generate(given: Properties) -> str:
    letters = {**CLASSES, "special": given["overrideSpecial"] or CLASSES["special"]}
    pool = "".join(letters[each] for each in CLASSES if given[each])
    chosen = [secrets.choice(letters[each]) for each in CLASSES for _ in range(given[f"min{each.title()}"])]
    chosen += [secrets.choice(pool) for _ in range(given["length"] - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    return "".join(chosen)


def _password(text: str) -> Properties:
    """The password and its bcrypt hash at cost 10, made by the libcrypt that every Linux has."""
    alphabet = string.ascii_letters + string.digits
    salt = "$2a$10$" + "".join(secrets.choice(alphabet) for _ in range(21)) + "O"
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    with _bcrypt:  # crypt() answers in a static buffer
        return {"result": text, "bcryptHash": library.crypt(text.encode(), salt.encode()).decode()}


def _url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _identity(content: bytes, prefix: str) -> Properties:
    forms = {"b64Std": base64.b64encode(content).decode(), "b64Url": _url(content), "hex": content.hex()}
    return {name: prefix + form for name, form in {**forms, "dec": str(int.from_bytes(content, "big"))}.items()}


if __name__ == "__main__":
    serve(Random())
