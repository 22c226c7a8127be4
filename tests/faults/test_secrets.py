"""Secrets stay secret. Searches what the story of test_reliability left behind, for every value that was generated."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from sandbox.account import EKS_CLUSTER
from tests.faults.scenario import Stack
from tests.faults.secrets_search import Sought, Watch, forms


@pytest.fixture(scope="module")
def sought(stack: Stack, watch: Watch) -> Sought:
    if not stack.known:  # this file is run alone
        stack.change_database(deletionProtection=False)
        stack.up()
        stack.pulumi("preview", "--refresh", "--diff")
        assert stack.leaks() == set()
        stack.run("pulumi", "state", "unprotect", "--all", "--yes")
        stack.pulumi("destroy", "--yes", "--skip-preview")
    watch.end()
    return Sought(stack.known)


def test_the_search_finds_what_is_planted(tmp_path: Path) -> None:
    secret = "Pa55/w0rd+that=isnowhere%else"
    sought = Sought([("planted", secret)])
    for number, text in enumerate(
        [
            secret,
            urllib.parse.quote(secret, safe=""),
            *(
                base64.b64encode(f"{before}{secret}{after}".encode()).decode()
                for before in ("", "x", "xy")
                for after in ("", "z")
            ),
            base64.urlsafe_b64encode(f"postgresql://a:{secret}@b".encode()).decode(),
        ]
    ):
        (tmp_path / "logs").mkdir(exist_ok=True)
        (tmp_path / "logs" / str(number)).write_text(f"log line with {text} in it")
        assert list(sought.in_files(tmp_path)) == [("planted", tmp_path / "logs" / str(number))], text
        assert list(sought.in_files(tmp_path, lambda name: name != "logs")) == []
        (tmp_path / "logs" / str(number)).unlink()
    assert not sought(secret[:-1].encode())
    watch = Watch()
    in_container = {"KUBERNETES_SERVICE_HOST": "127.0.0.1"}
    for argument, environment, found in (
        (secret, {}, True),
        ("", {"PLANTED": secret}, True),
        (secret, in_container, True),
        ("", {"PLANTED": secret, **in_container}, False),
    ):
        command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", argument]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, env={**os.environ, **environment}, **pipes) as process:
            assert process.stdout
            process.stdout.readline()  # until it runs, its arguments may not be there to be read
            watch.look()
            process.communicate()
        seen = [arguments + environ for (pid, arguments), environ in watch.seen.items() if pid == process.pid]
        assert any(sought(each) for each in seen) is found, (argument, environment)


def test_a_token_for_the_cluster_is_known_by_its_shape(stack: Stack) -> None:
    token = json.loads(stack.run("aws", "eks", "get-token", "--cluster-name", EKS_CLUSTER))["status"]["token"]
    stack.printed.pop()
    assert Sought([("another", "Pa55word-of-nobody")])(f"Bearer {token}".encode()) == {"an EKS token"}


def test_every_form_is_long_enough_to_mean_something() -> None:
    assert all(len(form) >= 38 for form in forms("a" * 32) if form != b"a" * 32)


def test_no_file_and_nothing_printed_holds_one(stack: Stack, sought: Sought) -> None:
    assert {"database-master-password", "redis-auth-token", "administrator of local-redis", "private key of ca"} <= {
        name for name, _ in stack.known
    }
    assert stack.printed
    assert stack.leaks() == set()


def test_no_process_had_one_in_its_arguments_or_environment(watch: Watch, sought: Sought) -> None:
    """Those that live for a moment were seen, too."""
    lines = {arguments.replace(b"\0", b" ") for _, arguments in watch.seen}
    for program in (
        "pulumi-language-python-exec ",
        "sandbox.providers.aws ",
        "/initdb --pgdata=",
        "/postgres --single ",
        "/psql --host=@meetinity-data-",
        "/redis-cli -h ",
        "/alembic upgrade head",  # in a container
    ):
        assert any(program.encode() in line for line in lines), program
    assert {name for (_, arguments), environ in watch.seen.items() for name in sought(arguments + environ)} == set()
