"""Secrets stay secret. Searches what the story of test_reliability left behind, for every value that was generated."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

import pytest

from tests.faults.scenario import Stack
from tests.faults.secrets_search import SERVERS_OWN, Sought, Watch, forms


@pytest.fixture(scope="module")
def sought(stack: Stack, watch: Watch) -> Sought:
    if not stack.known:  # this file is run alone
        stack.change_database(deletionProtection=False)
        stack.up()
        stack.passwords()
        stack.pulumi("preview", "--refresh", "--diff")
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
        assert list(sought.in_files(tmp_path, ["logs"])) == []
        (tmp_path / "logs" / str(number)).unlink()
    assert not sought(secret[:-1].encode())
    watch = Watch()
    for where in ("argv", "environ"):
        command = [sys.executable, "-c", "import sys; sys.stdin.read()", *([secret] if where == "argv" else [])]
        environment = {**os.environ, **({"PLANTED": secret} if where == "environ" else {})}
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as process:
            watch.look()
            process.communicate()
        seen = [arguments + environ for (pid, arguments), environ in watch.seen.items() if pid == process.pid]
        assert any(sought(each) for each in seen), where


def test_every_form_is_long_enough_to_mean_something() -> None:
    assert all(len(form) >= 38 for form in forms("a" * 32) if form != b"a" * 32)


def test_values_were_collected(stack: Stack, sought: Sought) -> None:
    assert {"database-master-password", "redis-auth-token"} <= {name for name, _ in stack.known}
    assert len({secret for _, secret in stack.known}) >= 2


def test_no_file_of_the_sandbox_holds_one(stack: Stack, sought: Sought) -> None:
    assert set(sought.in_files(stack.instance.state, SERVERS_OWN)) == set()


def test_no_temporary_file_holds_one(sought: Sought) -> None:
    found = set()
    for path in Path(tempfile.gettempdir()).iterdir():
        if (path.is_dir() and path.name.startswith(("pulumi", "tmp"))) or path.is_file():
            found |= (
                set(sought.in_files(path)) if path.is_dir() else {(name, path) for name in sought(path.read_bytes())}
            )
    assert found == set()


def test_nothing_printed_holds_one(stack: Stack, sought: Sought) -> None:
    assert stack.printed
    assert {name for text in stack.printed for name in sought(text.encode())} == set()


def test_no_process_had_one_in_its_arguments_or_environment(watch: Watch, sought: Sought) -> None:
    assert any(b"pulumi-language-python-exec" in arguments for _, arguments in watch.seen)
    assert any(b"sandbox.providers.aws" in arguments for _, arguments in watch.seen)
    for (_, arguments), environ in watch.seen.items():
        assert not sought(arguments), arguments[:40]
        assert not sought(environ), arguments
