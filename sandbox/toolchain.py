"""Every program the sandbox runs: the machine's own where it is new enough, otherwise installed or built.

PostgreSQL and Redis come from the machine's packages; Pulumi, its language host and Kubernetes provider, and the parts
of Kubernetes are built from pinned Go modules (sandbox/toolchain/*/, each with its build.sh) into a per-user cache
whose directories are named by the content they were built from. Only an installed Pulumi takes a build's place.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.instance import state_home
from sandbox.locks import exclusive
from sandbox.progress import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Tools = dict[str, Path]

SOURCES = Path(__file__).resolve().parent / "toolchain"
MINIMUM_GO = (1, 26)
MINIMUM_PULUMI = (3, 259)
MINIMUM_POSTGRESQL = (15,)
MINIMUM_REDIS = (7,)
POSTGRESQL_PROGRAMS = ("postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_isready", "psql", "pg_dump", "pg_restore")

_HEARTBEAT = 15  # seconds between signs of life during a build
# Measured with every cache empty: Go's modules and compiler cache, nearly half of it for the Kubernetes provider.
_FIRST_BUILD_SPACE = 13 * 2**30
_FURTHER_BUILD_SPACE = 6 * 2**30


MODULES = ("pulumi", "kubernetes", "pulumi-kubernetes")


def tools() -> Tools:
    """Path of every tool by name, when all are there; SandboxError says what to do otherwise."""
    found, packages, modules = _find()
    if missing := [*packages, *modules]:
        names = ", ".join(sorted(missing))
        raise SandboxError(f"the sandbox's tools are not complete (missing: {names}); run `make up`, which gets them")
    return found


def ensure(report: Callable[[str], None]) -> Tools:
    """As `tools`, after installing or building what is missing."""
    _, packages, modules = _find()
    if packages:
        _install_packages(packages, report)
    for module in modules:
        _build(module, report)
    return tools()


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meetinity-data" / "toolchain"


def built(module: str) -> Path:
    """Where a module's programs are once it was built: named by its sources, which say how, and by the compiler."""
    digest = hashlib.sha256(_go_version(SOURCES / module).encode())
    for path in sorted(path for path in (SOURCES / module).rglob("*") if path.is_file()):
        digest.update(f"\0{path.relative_to(SOURCES)}\0".encode() + path.read_bytes())
    return cache() / digest.hexdigest() / "bin"


def _find() -> tuple[Tools, list[str], list[str]]:
    """Find the tools there are, the packages that are missing, and the modules that are not built."""
    found = _installed_pulumi()
    directories = {module: built(module) for module in MODULES if not (found and module == "pulumi")}
    installed = {name: look() for name, (_, look) in _PACKAGES.items()}
    for directory in directories.values():
        found |= {path.name: path for path in directory.glob("*")}
    for programs in installed.values():
        found |= programs
    missing = [module for module, directory in directories.items() if not directory.is_dir()]
    return found, [name for name, programs in installed.items() if not programs], missing


def _run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


# Installed tools


def _which(name: str) -> Path | None:
    """`name` on PATH, past the links that a sandbox's own shell has there."""
    directories = os.environ.get("PATH", "").split(os.pathsep)
    path = os.pathsep.join(part for part in directories if not Path(part).is_relative_to(state_home()))
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def _new_enough(program: Path | None, minimum: tuple[int, ...], argument: str) -> bool:
    """Whether there is that program, and the first version number that it prints is at least `minimum`."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        version = program and re.search(r"(\d+)\.(\d+)", _run(program, argument, timeout=20).stdout)
        return bool(version) and tuple(map(int, version.groups())) >= minimum  # type: ignore[union-attr]
    return False


_EXEC_SHIM = "pulumi-language-python-exec"


def _installed_pulumi() -> Tools:
    pulumi = _which("pulumi")
    if pulumi and _new_enough(pulumi, MINIMUM_PULUMI, "version"):
        beside = pulumi.resolve().parent / "pulumi-language-python"
        language_host = beside if beside.exists() else _which(beside.name)
        if language_host and (shim := language_host.resolve().parent / _EXEC_SHIM).exists():
            return {"pulumi": pulumi, "pulumi-language-python": language_host, _EXEC_SHIM: shim}
    return {}


def _installed_postgresql() -> Tools:
    """Find the newest server installation; Debian keeps one directory per major version, off the PATH."""
    directories = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda each: -int(each.parent.name))
    if server := _which("postgres"):
        directories.append(server.resolve().parent)
    for directory in directories:
        programs = {name: directory / name for name in POSTGRESQL_PROGRAMS}
        complete = all(program.exists() for program in programs.values())
        if complete and _new_enough(programs["postgres"], MINIMUM_POSTGRESQL, "--version"):
            return programs
    return {}


def _installed_redis() -> Tools:
    server, client = _which("redis-server"), _which("redis-cli")
    if server and client and _new_enough(server, MINIMUM_REDIS, "--version"):
        # redis-cli lists --tls only when it was built with TLS, which is then true of the server as well.
        usage = _run(client, "--help", timeout=20)
        if "--tls" in usage.stdout + usage.stderr:
            return {"redis-server": server, "redis-cli": client}
    return {}


_PACKAGES = {
    "postgresql": (f"PostgreSQL >= {MINIMUM_POSTGRESQL[0]}", _installed_postgresql),
    "redis-server": (f"Redis >= {MINIMUM_REDIS[0]} with TLS", _installed_redis),
}


def _install_packages(packages: Sequence[str], report: Callable[[str], None]) -> None:
    needed = " and ".join(_PACKAGES[name][0] for name in packages)
    if not shutil.which("apt-get"):
        raise SandboxError(f"{needed} must be installed with this system's package manager; then run `make up` again")
    command = f"apt-get install --no-install-recommends -y {' '.join(packages)}"
    become_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if become_root and (not shutil.which("sudo") or _run("sudo", "-n", "true").returncode):
        raise SandboxError(f"{needed} is not installed and needs root: run `sudo {command}`, then `make up` again")
    report(f"installing {needed}: {command}")
    done = _run(*become_root, "sh", SOURCES / "install-packages.sh", *packages, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SandboxError(f"`{command}` failed: {_reason(done.stderr)}")
    if too_old := [_PACKAGES[name][0] for name in packages if not _PACKAGES[name][1]()]:
        raise SandboxError(f"this system's packages are too old: {' and '.join(too_old)} must be installed by hand")


# Builds


def _go_environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}


def _go_version(directory: Path) -> str:
    """Return the Go that would build in `directory`; raises SandboxError when there is none, or it is too old."""
    minimum = ".".join(map(str, MINIMUM_GO))
    advice = f"install Go {minimum} or newer (https://go.dev/dl), then run `make up` again"
    if not shutil.which("go"):
        raise SandboxError(f"Go is needed to build the sandbox's tools, and `go` is not on PATH: {advice}")
    done = _run("go", "env", "GOVERSION", cwd=directory, env=_go_environment())
    version = re.match(r"go(\d+)\.(\d+)", done.stdout)
    if done.returncode or not version:
        raise SandboxError(f"`go env` failed: {_reason(done.stderr)}; {advice}")
    if (int(version[1]), int(version[2])) < MINIMUM_GO:
        raise SandboxError(f"{done.stdout.strip()} is too old to build the sandbox's tools: {advice}")
    return done.stdout.strip()


def _build(module: str, report: Callable[[str], None]) -> None:
    """Build into a temporary directory and rename it: a killed build leaves nothing that looks finished.

    One build at a time per cache: a second one waits, then finds the work done.
    """
    target = built(module).parent
    told = "process {} is building the tools; waiting for it"
    try:
        cache().mkdir(parents=True, exist_ok=True)
        with exclusive(cache() / "lock", lambda holder: report(told.format(holder))):
            if target.exists():
                return
            needed = _FURTHER_BUILD_SPACE if any(cache().glob("[0-9a-f]*/bin")) else _FIRST_BUILD_SPACE
            if shutil.disk_usage(cache()).free < needed:
                raise _disk_full(needed)
            for leftover in cache().glob(".building-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            temporary = cache() / f".building-{module}"
            (temporary / "bin").mkdir(parents=True)
            _compile(module, temporary, report)
            temporary.rename(target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full() from error
        raise SandboxError(f"cannot write to {cache()}: {error.strerror}") from error


def _compile(module: str, directory: Path, report: Callable[[str], None]) -> None:
    report(f"building {module} from sandbox/toolchain/{module}")
    started = time.monotonic()
    log = directory / "build.log"
    command = ["sh", "build.sh", str(directory / "bin")]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=SOURCES / module,
            env=_go_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_HEARTBEAT)
                    break
                steps = f"{len(log.read_text().splitlines())} modules and packages so far"
                report(f"building {module} … {duration(time.monotonic() - started)}, {steps}")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    if process.returncode:
        said = log.read_text()
        raise _disk_full() if "no space left" in said else SandboxError(f"building {module} failed: {_reason(said)}")
    log.unlink()
    report(f"built {module} in {duration(time.monotonic() - started)}")


def _disk_full(needed: int = _FIRST_BUILD_SPACE) -> SandboxError:
    return SandboxError(
        f"not enough room to build the sandbox's tools in {cache()}: {needed / 2**30:.0f} GB are needed, "
        f"{shutil.disk_usage(cache()).free / 2**30:.1f} GB are free; make room (or set XDG_CACHE_HOME), then try again"
    )


def _reason(output: str) -> str:
    """Pick the line of a failed command's output that says most: the last that is not about progress."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if ":" in line and not line.startswith("go: downloading")]
    return (telling or lines or ["it wrote nothing"])[-1][:300]
