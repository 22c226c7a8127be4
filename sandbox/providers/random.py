"""Stand-in for the random provider: RandomPassword and RandomId, rows of random.yaml."""

from __future__ import annotations

import base64
import ctypes
import secrets
import string
import threading

from sandbox.providers import values
from sandbox.providers.base import Asked, Invalid, RefusedError, serve
from sandbox.providers.table import Tabled, load
from sandbox.providers.values import Properties

PASSWORD = "random:index/randomPassword:RandomPassword"  # noqa: S105
SECRET = ("result", "bcryptHash")
CLASSES = {
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "numeric": string.digits,
    "special": "!@#$%&*()-_=+[]{}<>:?",
}
_bcrypt = threading.Lock()


class Random(Tabled):
    name = "random"
    rows = load("random.yaml")["types"]
    types = rows.keys()

    def check(self, asked: Asked) -> tuple[Properties, list[Invalid]]:
        inputs, found = super().check(asked)
        given = values.plain(self._complete(asked.type, inputs))
        size = "length" if asked.type == PASSWORD else "byteLength"
        if found or values.has_unknown(given):
            return inputs, found
        if not isinstance(given[size], int) or given[size] < 1:
            found.append(Invalid(size, f"{size} must be a whole number of at least 1"))
        elif asked.type == PASSWORD and not any(given[each] for each in CLASSES):
            found.append(Invalid("special", "at least one of lower, upper, numeric and special must be true"))
        elif asked.type == PASSWORD and given["length"] < sum(given[f"min{each.title()}"] for each in CLASSES):
            found.append(Invalid("length", "length must be at least the sum of the four minimums"))
        return inputs, found

    def create(self, asked: Asked) -> tuple[str, Properties]:
        state = self._complete(asked.type, asked.news)
        if asked.preview:
            return "", {**state, **dict.fromkeys(self.rows[asked.type].outputs, values.UNKNOWN)}
        given = values.plain(state)
        if asked.type == PASSWORD:
            made, id_ = _password(_generate(given)), "none"
        else:
            content = secrets.token_bytes(given["byteLength"])
            made, id_ = _identity(content, given["prefix"] or ""), _url(content)
        return id_, values.wrap({**state, **made}, asked.news, SECRET)

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
        return id_, inputs, values.wrap({**self._complete(asked.type, inputs), **made}, {}, SECRET)

    def delete(self, asked: Asked) -> None:
        """Nothing exists outside the state."""

    def _complete(self, kind: str, given: Properties) -> Properties:
        """Every argument, with its default where it is not given."""
        row = self.rows[kind]
        return {**dict.fromkeys(row.arguments), **row.defaults, **{n: v for n, v in given.items() if v is not None}}


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
