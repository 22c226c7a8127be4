"""The URLs that services connect with. Pure, so that every part can be tested against the parsers that read them."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import quote

# RFC 3986 reg-name, without percent-encoding: DNS names and IPv4 addresses. `_` stands in some internal names.
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?", re.ASCII)
_PORTS = range(1, 65_536)


def postgresql_url(
    *, username: str, password: str, host: str, port: int, database: str, ca_path: str | None = None
) -> str:
    """`postgresql://user:password@host:port/database?sslmode=require`, each part percent-encoded.

    With `ca_path`, where the reader finds the certificate authority, `sslmode=verify-full`.
    Raises ValueError, which never names a password, for a part that cannot stand in a URL.
    """
    address = _address(host, port)
    user, secret = _encoded("username", username), _encoded("password", password)
    tls = "sslmode=require" if ca_path is None else f"sslmode=verify-full&sslrootcert={_encoded('ca_path', ca_path)}"
    return f"postgresql://{user}:{secret}@{address}/{_encoded('database', database)}?{tls}"


def redis_url(*, host: str, port: int, password: str | None, username: str = "default") -> str:
    """`rediss://default:token@host:port`, percent-encoded; `redis://host:port` without a password.

    ElastiCache takes a token only over TLS, so that one decides the other.
    Raises ValueError, which never names the token, for a part that cannot stand in a URL.
    """
    address = _address(host, port)
    if password is None:
        return f"redis://{address}"
    return f"rediss://{_encoded('username', username)}:{_encoded('password', password)}@{address}"


def _address(host: str, port: int) -> str:
    if port not in _PORTS:
        raise ValueError(f"port {port} of {host!r} is not from {_PORTS[0]} to {_PORTS[-1]}")
    if _HOST_NAME.fullmatch(host):
        return f"{host}:{port}"
    try:
        return f"[{IPv6Address(host)}]:{port}"
    except ValueError:
        raise ValueError(f"host {host!r} is neither a DNS name nor an IP address") from None


def _encoded(part: str, value: str) -> str:
    if not value:
        raise ValueError(f"the {part} of a connection URL is empty")
    if any(character < " " or character == "\x7f" for character in value):
        raise ValueError(f"the {part} of a connection URL holds a control character")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise ValueError(f"the {part} of a connection URL holds a character that UTF-8 cannot encode") from None
