"""Takes secrets out of a text before anybody else sees it: the engine's blinding is not trusted alone (pulumi #4957).

Three ways, each enough by itself: values that are known (what a preview shows in clear under a name that says it is a
secret, what this process's environment holds under such a name), in every form they may be written in; and shapes.
"""

from __future__ import annotations

import base64
import json
import os
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ops.plan.preview import SECRET, UNKNOWN, Preview

Redact = Callable[[str], str]

_HOLDER = "kubernetes:core/v1:Secret"
# A shorter one would take words out of the text.
_SHORTEST = 8
_NAMES = re.compile(
    r"(?i)(passwords?|passphrase|secret|secret_?(string|value|access_?key)|(auth|access)_?token|token|private_?key|"
    r"api_?key|credentials?)$"
)
_ENVIRONMENT = re.compile(r"(PASSWORD|PASSPHRASE|SECRET|SECRET_ACCESS_KEY|TOKEN|PRIVATE_KEY|CREDENTIALS)$")

_SHAPES = (
    # scheme://user:password@host, the password up to the last @ before a slash.
    (re.compile(r"(?P<keep>\b[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@\"'`]*:)[^\s/\"'`]+(?=@)"), r"\g<keep>"),
    # The same where somebody forgot to encode a slash: digits before it are a port.
    (
        re.compile(r"(?P<keep>\b[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@\"'`]+:)(?!\d+/)[^\s/@\"'`]*/[^\s@\"'`]*(?=@)"),
        r"\g<keep>",
    ),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), ""),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b"), ""),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"), ""),
    (re.compile(r"\bk8s-aws-v1\.[A-Za-z0-9_-]+"), ""),
    (
        re.compile(
            r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|pul-[0-9a-f]{20,})"
        ),
        "",
    ),
    (re.compile(r"(?P<keep>\b(?:Bearer|Basic)\s+)[A-Za-z0-9+/=._~-]{8,}"), r"\g<keep>"),
    # redis-cli's AUTH, with or without a user.
    (re.compile(r"(?P<keep>\bAUTH\s+(?:[\w.-]+\s+)?)[^\s`\"'|,]{8,}"), r"\g<keep>"),
    (
        re.compile(
            r"(?i)(?P<keep>\b[\w.-]*(?:passw(?:or)?d|passphrase|secret_?access_?key|private_?key|api_?key|"
            r"client_?secret|client-key-data|(?:auth|access|refresh|session|security)[_-]?token|x-amz-signature)"
            r"(?:\\*[\"']?\s*=\s*|\\*[\"']?\s*:\s+|\\*[\"']:)\\*[\"']?)"
            r"(?!\[secret\]|(?:true|false|null|none|not set|known)\b)"
            r"[^\s\"'`,;|<>{}()\[\]]{6,}"
        ),
        r"\g<keep>",
    ),
    # What random_password makes: upper, lower and digits mixed, longer than any name; digests are in lower case.
    (
        re.compile(
            r"(?<![\w/+-])(?=[A-Za-z0-9]*[a-z])(?=[A-Za-z0-9]*[A-Z])(?=[A-Za-z0-9]*[0-9])[A-Za-z0-9]{28,}(?![\w/+-])"
        ),
        "",
    ),
)


def redactor(known: Iterable[str]) -> Redact:
    """A function that puts `[secret]` in place of the known values and of what looks like a secret."""
    forms = sorted(
        {form for value in known if len(value) >= _SHORTEST for form in _forms(value)}, key=len, reverse=True
    )
    pattern = re.compile("|".join(map(re.escape, forms))) if forms else None

    def redact(text: str) -> str:
        if pattern:
            text = pattern.sub(SECRET, text)
        for shape, kept in _SHAPES:
            text = shape.sub(kept + SECRET, text)
        return text

    return redact


def redacted(document: Any, redact: Redact) -> Any:
    """`document` with every text in it redacted."""
    if isinstance(document, str):
        return redact(document)
    if isinstance(document, Mapping):
        return {key: redacted(value, redact) for key, value in document.items()}
    if isinstance(document, (list, tuple)):
        return [redacted(each, redact) for each in document]
    return document


def known_to(preview: Preview, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """What the preview shows in clear under a secret's name, and what the environment holds under one."""
    for step in preview.steps:
        for state in (step.old, step.new):
            for part in ("inputs", "outputs"):
                yield from _named(state.get(part) or {}, secret=False, kind=step.type.startswith(_HOLDER))
    yield from (value for name, value in environment.items() if _ENVIRONMENT.search(name))


def _named(document: Any, *, secret: bool, kind: bool = False) -> Iterator[str]:
    if isinstance(document, Mapping):
        kind = kind or document.get("kind") == "Secret"
        for key, value in document.items():
            inside = secret or bool(_NAMES.search(str(key))) or (kind and key in ("data", "stringData"))
            # The name of a Secret's key is often that of what it is about.
            if not isinstance(value, str) or value.lower() != str(key).lower():
                yield from _named(value, secret=inside)
    elif isinstance(document, list):
        for each in document:
            yield from _named(each, secret=secret)
    elif secret and isinstance(document, str) and document not in (SECRET, UNKNOWN):
        yield document


def _forms(value: str) -> Iterator[str]:
    """Plain, percent-encoded, as JSON text, and in base64 of anything that has it in it."""
    yield value
    yield urllib.parse.quote(value, safe="")
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            # The characters that it shares with what stands before and after are left out.
            text = encode(b"\0" * before + value.encode()).decode()
            yield text[-(-before * 8 // 6) : (before + len(value.encode())) * 8 // 6]
