"""Finding and making the tools. Go builds a tiny module here; the real ones are only looked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from sandbox import toolchain
from sandbox.errors import SandboxError

MAIN = 'package main\n\nimport "fmt"\n\nvar version string\n\nfunc main() { fmt.Println("hello", version) }\n'


def program(directory: Path, name: str, script: str) -> Path:
    directory.mkdir(exist_ok=True, parents=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that comes first on PATH, and an empty cache."""
    directory = tmp_path / "path"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    # Go's own caches stay where they are.
    monkeypatch.setenv("GOCACHE", os.environ.get("GOCACHE", str(Path.home() / ".cache" / "go-build")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return directory


@pytest.fixture
def build(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of one file; its directory."""
    monkeypatch.setattr(toolchain, "SOURCES", path.parent)
    source = path.parent / "hello"
    source.mkdir()
    (source / "main.go").write_text(MAIN)
    (source / "go.mod").write_text("module hello\n\ngo 1.26\n")
    (source / "build.sh").write_text('go build -v -ldflags="-X main.version=1.2.3" -o "$1/greeter" .\n')
    return source


def make(build: Path) -> list[str]:
    lines: list[str] = []
    toolchain._build(build.name, lines.append)
    return lines


def greeting(build: Path) -> str:
    return subprocess.check_output([toolchain.built(build.name) / "greeter"], text=True)


def test_a_build_is_made_once_and_named_by_its_content(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_HEARTBEAT", 0.05)
    lines = make(build)
    assert lines[0] == "building hello from sandbox/toolchain/hello"
    assert any(line.startswith("building hello … ") for line in lines), "no sign of life"
    assert lines[-1].startswith("built hello in ")
    assert greeting(build) == "hello 1.2.3\n"
    first = toolchain.built(build.name)
    assert make(build) == []
    (build / "main.go").write_text(MAIN.replace("hello", "good day"))
    assert toolchain.built(build.name) != first
    make(build)
    assert greeting(build) == "good day 1.2.3\n"


def test_a_build_that_fails_or_is_killed_leaves_nothing_that_looks_finished(build: Path) -> None:
    (toolchain.cache() / ".building-killed" / "bin").mkdir(parents=True)
    (build / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")
    with pytest.raises(SandboxError, match=r"building hello failed: .*main\.go:3:.* undefined: undefined") as failure:
        make(build)
    assert "\n" not in str(failure.value)
    assert not toolchain.built(build.name).exists()
    (build / "main.go").write_text(MAIN)
    make(build)
    assert {path.name for path in toolchain.cache().iterdir()} == {toolchain.built(build.name).parent.name, "lock"}


def test_of_two_builds_at_once_one_waits_for_the_other(build: Path) -> None:
    lines: list[str] = []
    both = [threading.Thread(target=toolchain._build, args=(build.name, lines.append)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sum(line.startswith("built ") for line in lines) == 1
    assert f"process {os.getpid()} is building the tools; waiting for it" in lines


def test_a_full_disk_is_one_line_before_and_during_the_build(
    build: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.which("go")
    program(path, "go", f'[ "$1" = build ] || exec {real} "$@"\necho "write x: no space left on device" >&2\nexit 1')
    with pytest.raises(SandboxError, match=r"not enough room .* GB are free; make room"):
        make(build)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(SandboxError, match=r"not enough room .* 13 GB are needed, 0\.0 GB are free"):
        make(build)
    assert not toolchain.built(build.name).exists()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo go1.25.3", r"go1\.25\.3 is too old .*: install Go 1\.26 or newer"),
        ("echo 'go: toolchain not available' >&2; exit 1", "`go env` failed: go: toolchain not available; install Go"),
    ],
)
def test_an_unsuitable_go_is_one_line(build: Path, path: Path, script: str, message: str) -> None:
    program(path, "go", script)
    with pytest.raises(SandboxError, match=message):
        make(build)


def test_a_missing_go_is_one_line(build: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(path))
    with pytest.raises(SandboxError, match=r"`go` is not on PATH: install Go 1\.26 or newer"):
        make(build)


def test_an_installed_pulumi_counts_only_if_new_enough_and_with_its_language_host(path: Path) -> None:
    program(path, "pulumi", "echo v3.258.9")
    assert toolchain._installed_pulumi() == {}
    pulumi = program(path, "pulumi", "echo v3.270.0")
    assert toolchain._installed_pulumi() == {}
    host, shim = program(path, "pulumi-language-python", ""), program(path, "pulumi-language-python-exec", "")
    expected = {"pulumi": pulumi, "pulumi-language-python": host, "pulumi-language-python-exec": shim}
    assert toolchain._installed_pulumi() == expected


def test_the_links_of_a_sandbox_shell_are_no_installation(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "redis-server", "echo v=7.2.0")
    program(path, "redis-cli", "echo --tls")
    assert toolchain._installed_redis()
    monkeypatch.setattr(toolchain, "state_home", lambda: path.parent)
    assert toolchain._which("redis-server") != path / "redis-server"


@pytest.mark.parametrize(("server", "client"), [("v=6.2.9", "--tls"), ("v=7.0.0", "--cluster")])
def test_a_redis_that_is_too_old_or_without_tls_does_not_count(path: Path, server: str, client: str) -> None:
    program(path, "redis-server", f"echo {server}")
    program(path, "redis-cli", f"echo {client}")
    assert toolchain._installed_redis() == {}


def test_what_needs_root_is_said_with_the_command_to_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    program(path, "apt-get", "exit 1")
    program(path, "sudo", "exit 1")
    command = "sudo apt-get install --no-install-recommends -y postgresql redis-server"
    with pytest.raises(SandboxError, match=f"PostgreSQL >= 15 and Redis >= 7 with TLS .* run `{command}`"):
        toolchain._install_packages(["postgresql", "redis-server"], lambda _: None)
    monkeypatch.setenv("PATH", str(path))
    (path / "apt-get").unlink()
    with pytest.raises(SandboxError, match="Redis >= 7 with TLS must be installed with this system's package manager"):
        toolchain._install_packages(["redis-server"], lambda _: None)


@pytest.mark.usefixtures("path")
def test_incomplete_tools_are_named_with_the_way_to_get_them() -> None:
    with pytest.raises(
        SandboxError, match=r"not complete \(missing: .*kubernetes, .*\); run `make up`, which gets them"
    ):
        toolchain.tools()


@pytest.mark.parametrize("script", sorted(toolchain.SOURCES.glob("*/build.sh")), ids=lambda script: script.parent.name)
def test_a_build_in_an_empty_cache_asks_for_no_module_that_nothing_has_downloaded(script: Path) -> None:
    """`go list` names no directory then, and says nothing: seen only by who builds for the first time."""
    before, asked, _ = script.read_text().partition("{{.Dir}}")
    assert not asked or "go mod download " in before or "go build " in before
