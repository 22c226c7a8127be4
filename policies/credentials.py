"""What is a credential in clear: by the name it goes by, by its own looks, or as what a command takes for one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Unmistakable anywhere in a word: PGPASSWORD, authtoken.
_LONG = re.compile(r"password|passwd|passphrase|passcode|secret|token|credential|(api|access|private|encryption)key")
_SHORT = frozenset(("auth", "authorization", "bearer", "cred", "creds", "dsn", "jwt", "pass", "pw", "pwd"))
_ENDING = ("pass", "pwd")
_NOT_ENDING = frozenset(("bypass", "compass", "encompass"))
# A key opens something, unless it is one of these.
_KEYS_TO_NOTHING = frozenset(
    ("bucket", "cache", "foreign", "group", "hash", "idempotency", "index", "kms", "map", "object", "partition",
     "primary", "public", "range", "routing", "row", "sort")
)  # fmt: skip
# A name that ends so is about a credential and holds none: where it is, what it is called, how long it lasts.
_ABOUT = frozenset(
    ("addr", "address", "alg", "algorithm", "arn", "audience", "backend", "checksum", "class", "cookie", "count", "day",
     "dir", "directory", "domain", "enabled", "endpoint", "expiration", "expire", "expiry", "file", "hasher",
     "header", "host", "hostname", "hour", "id", "issuer", "length", "limit", "method", "minute", "mode", "model",
     "mount", "name", "path", "policy", "port", "prefix", "provider", "query", "ref", "region", "required", "rotation",
     "scope", "second", "size", "stdin", "store", "suffix", "ttl", "type", "user", "username", "version",
     # files of settings and of code: what is in them tells
     "cfg", "conf", "ini", "js", "json", "py", "sql", "toml", "ts", "xml", "yaml", "yml")
)  # fmt: skip
_NOT = frozenset(("disable", "enable", "hide", "max", "min", "no", "num", "prompt", "require", "show", "skip", "use"))
_SWITCHES = frozenset(("", "true", "false", "yes", "no", "on", "off", "none", "null", "plain", "login"))

_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:(?P<password>[^\s/@]+)@", re.IGNORECASE)
_PAIR = re.compile(r"\b(?:password|passwd|pwd)\s*=\s*(?P<password>[^\s;&]+)", re.IGNORECASE)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
# Kubernetes puts another variable's value in place of $(NAME); a shell does so for the rest.
_KUBERNETES_REFERENCE = re.compile(r"\$\([A-Za-z_][A-Za-z0-9_]*\)")
# A template's placeholder is one too: {{ .Values.password }}, Grafana's $__file{/run/secrets/password}.
_SHELL_REFERENCE = re.compile(
    r"[\"']?(\$\{.*|\$\(.*|`.*|\{\{.*\}\}|\$__[a-z]+\{.*\}|\$[A-Za-z_][A-Za-z0-9_]*)[\"']?", re.DOTALL
)
_ASSIGNMENT = re.compile(r"-{0,2}(?P<name>[A-Za-z_][\w.-]*)\s*[=:]\s*(?P<value>\S.*)", re.DOTALL)
_BLANK = re.compile(r"\s")
_BETWEEN_COMMANDS = re.compile(r"&&|\|\||[;|&\n]")
_NUMBERS = re.compile(r"[\d.:,]+")
# Their -p is a mode, a port or a prompt; everybody else's, where no number or path follows, is a password.
_OTHER_P = frozenset(("cp", "declare", "docker", "install", "mkdir", "read", "rsync", "scp", "ssh", "tar"))
_PROGRAMS_OWN = {("redis-cli", "-a"), ("valkey-cli", "-a"), ("curl", "-u")}


def names_credential(name: str) -> bool:
    """Whether what goes by `name` is a credential: DB_PASS, redisPwd, ENCRYPTION_KEY; not TOKEN_TTL or secretName."""
    words = _words(name)
    if not words or is_about(name) or words[0] in _NOT:
        return False
    if words[-1] in ("key", "keys"):
        return len(words) > 1 and words[-2] not in _KEYS_TO_NOTHING
    if words[-1] in ("url", "uri"):
        return False  # what it holds tells: see `tells_credential`
    return any(
        _LONG.search(word) or word in _SHORT or (word.endswith(_ENDING) and word not in _NOT_ENDING) for word in words
    )


def is_about(name: str) -> bool:
    """Whether what goes by `name` is about something, and not the thing itself."""
    words = _words(name)
    return bool(words) and bool(_ABOUT & {words[-1], words[-1].removesuffix("s")})


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def is_literal(value: Any) -> bool:
    """Whether `value` is something said in clear, and neither a switch nor a reference to another variable."""
    if value is None or isinstance(value, bool):
        return False
    text = str(value).strip()
    return text.lower() not in _SWITCHES and not _KUBERNETES_REFERENCE.fullmatch(text)


def tells_credential(text: str) -> bool:
    """Whether `text` holds a credential, whatever it is called: in a URL, a connection string or a private key."""
    found = [*_URL.finditer(text), *_PAIR.finditer(text)]
    return any(_is_word(each["password"]) for each in found) or bool(_PRIVATE_KEY.search(text))


def _is_word(value: str) -> bool:
    """Whether `value` in a command is said in clear."""
    return is_literal(value.strip("\"'")) and not _SHELL_REFERENCE.fullmatch(value)


def lines_with_credential(text: str) -> bool:
    """Whether a line of a settings file assigns one, or the text holds one."""
    return tells_credential(text) or any(
        found and names_credential(found["name"]) and _is_word(found["value"].strip())
        for found in (_ASSIGNMENT.fullmatch(line.strip()) for line in text.splitlines())
    )


def words_with_credential(words: Sequence[Any]) -> Iterator[int]:
    """The numbers of the words of a command that hold one. A word with blanks in it is a script: its words count."""
    texts = [word if isinstance(word, str) else "" for word in words]
    for number, text in enumerate(texts):
        if tells_credential(text):
            yield number
        elif _BLANK.search(text):
            if _is_header(text) or any(next(words_with_credential(each), None) is not None for each in _commands(text)):
                yield number
        elif _assigns(text) or (number and _is_taken(texts[number - 1], text, texts[:number])):
            yield number


def _is_header(text: str) -> bool:
    """Authorization: Bearer ..."""
    name, colon, value = text.partition(":")
    return bool(colon and not _BLANK.search(name) and names_credential(name) and value.strip()) and _is_word(
        value.split()[-1]
    )


def _assigns(text: str) -> bool:
    found = _ASSIGNMENT.fullmatch(text)
    return bool(found and names_credential(found["name"]) and _is_word(found["value"]))


def _is_taken(flag: str, value: str, before: Sequence[str]) -> bool:
    """Whether `value` is what the flag before it takes for a password."""
    if not flag.startswith("-") or value.startswith("-") or not _is_word(value):
        return False
    programs = {each.rsplit("/", 1)[-1] for each in before}
    if flag == "-p":
        return not programs & _OTHER_P and not _NUMBERS.fullmatch(value) and "/" not in value
    if any(flag == own and program in programs for program, own in _PROGRAMS_OWN):
        return flag != "-u" or ":" in value
    return names_credential(flag.lstrip("-"))


def _commands(script: str) -> Iterator[list[str]]:
    for command in _BETWEEN_COMMANDS.split(script):
        try:
            yield shlex.split(command)
        except ValueError:  # Split within quotes.
            yield command.split()
