"""Whatever a password holds, the parsers that services use read it back."""

from __future__ import annotations

import re

import pytest
from alembic.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from redis.connection import SSLConnection, parse_url
from sqlalchemy import make_url

from components.connection_urls import postgresql_url, redis_url

# Everything but control characters and lone surrogates; the odd ones of URLs and ini files more often.
characters = st.characters(exclude_categories=["Cs"], min_codepoint=32, exclude_characters="\x7f")
texts = st.text(st.one_of(st.sampled_from("%/@:?#&=+[] \"'\\;$(){}"), characters), min_size=1, max_size=41)
hosts = st.sampled_from(["db.example.com", "10.0.3.4", "::1", "fd00::5432"])
ports = st.integers(1, 65535)
quickly = settings(max_examples=200, deadline=None)


@quickly
@given(username=texts, password=texts, host=hosts, port=ports, database=texts, ca_path=st.none() | texts)
def test_libpq_and_sqlalchemy_read_back_every_part(
    username: str, password: str, host: str, port: int, database: str, ca_path: str | None
) -> None:
    url = postgresql_url(username=username, password=password, host=host, port=port, database=database, ca_path=ca_path)
    tls = {"sslmode": "require"} if ca_path is None else {"sslmode": "verify-full", "sslrootcert": ca_path}

    assert conninfo_to_dict(url) == {
        "user": username,
        "password": password,
        "host": host,
        "port": str(port),
        "dbname": database,
        **tls,
    }
    parsed = make_url(url)
    assert (parsed.username, parsed.password, parsed.host, parsed.port) == (username, password, host, port)
    assert (parsed.drivername, parsed.database, dict(parsed.query)) == ("postgresql", database, tls)


@quickly
@given(username=texts, password=texts, host=hosts, port=ports)
def test_redis_py_reads_back_every_part(username: str, password: str, host: str, port: int) -> None:
    url = redis_url(username=username, password=password, host=host, port=port)

    assert parse_url(url) == {  # type: ignore[no-untyped-call]
        "username": username,
        "password": password,
        "host": host,
        "port": port,
        "connection_class": SSLConnection,
    }


@quickly
@given(password=texts)
def test_alembic_reads_it_back_once_percent_signs_are_doubled_as_its_documentation_asks(password: str) -> None:
    url = postgresql_url(username="app", password=password, host="db.example.com", port=5432, database="meetinity")
    config = Config()

    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))

    assert config.get_main_option("sqlalchemy.url") == url


@given(password=st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=32, max_size=32))
@settings(max_examples=20, deadline=None)
def test_a_generated_password_needs_no_doubling(password: str) -> None:
    url = postgresql_url(username="meetinity_app", password=password, host="::1", port=5432, database="meetinity")
    config = Config()

    config.set_main_option("sqlalchemy.url", url)

    assert config.get_main_option("sqlalchemy.url") == url


def test_the_urls_are_those_of_the_system_being_replaced() -> None:
    assert postgresql_url(username="meetinity_app", password="abc", host="h.rds", port=5432, database="meetinity") == (
        "postgresql://meetinity_app:abc@h.rds:5432/meetinity?sslmode=require"
    )
    assert redis_url(host="h.cache", port=6379, password="abc") == "rediss://default:abc@h.cache:6379"


def test_without_a_token_redis_is_reached_without_tls() -> None:
    assert redis_url(host="h.cache", port=6379, password=None) == "redis://h.cache:6379"


def test_an_ipv6_address_stands_in_brackets() -> None:
    url = postgresql_url(username="u", password="p", host="FD00:0::1", port=1, database="d")

    assert url == "postgresql://u:p@[fd00::1]:1/d?sslmode=require"


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("host", "", "host '' is neither a DNS name nor an IP address"),
        ("host", "a b", "host 'a b' is neither"),
        ("host", "h/path", "neither"),
        ("host", "user@h", "neither"),
        ("host", "[::1]", "neither"),
        ("host", "h:5432", "neither"),
        ("port", 0, "port 0 of 'h' is not from 1 to 65535"),
        ("port", 65536, "port 65536"),
        ("username", "", "the username of a connection URL is empty"),
        ("password", "", "the password of a connection URL is empty"),
        ("password", "hunter2\n", "the password of a connection URL holds a control character"),
        ("password", "hunter2\ud800", "the password of a connection URL holds a character that UTF-8 cannot encode"),
        ("database", "", "the database of a connection URL is empty"),
        ("database", "a\x00", "the database of a connection URL holds a control character"),
        ("ca_path", "", "the ca_path of a connection URL is empty"),
    ],
)
def test_a_part_that_cannot_stand_in_a_url_is_refused_by_name(part: str, value: object, message: str) -> None:
    parts = {"username": "u", "password": "p", "host": "h", "port": 5432, "database": "d", part: value}

    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        postgresql_url(**parts)  # type: ignore[arg-type]

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("password", ["", "hunter2\r"])
def test_a_token_that_cannot_stand_in_a_url_is_refused_without_being_named(password: str) -> None:
    with pytest.raises(ValueError, match="the password of a connection URL") as caught:
        redis_url(host="h", port=6379, password=password)

    assert "hunter2" not in str(caught.value)
