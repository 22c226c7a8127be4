"""Every program the sandbox runs: the machine's own where it is new enough, otherwise installed or built.

PostgreSQL and Redis come from the machine's packages; Pulumi, its language host and the Kubernetes
binaries are built from pinned Go modules (sandbox/toolchain/*/go.sum) into a per-user cache whose
directories are named by the content they were built from.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.instance import state_home
from sandbox.progress import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Tools = dict[str, Path]

SOURCES = Path(__file__).resolve().parent / "toolchain"
MINIMUM_GO = (1, 26)
MINIMUM_PULUMI = (3, 259)
MINIMUM_KUBERNETES = {"etcd": (3, 5), "kube-apiserver": (1, 30), "kube-controller-manager": (1, 30), "kubectl": (1, 30)}
MINIMUM_POSTGRESQL = (15,)
MINIMUM_REDIS = (7,)
POSTGRESQL_PROGRAMS = ("postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_isready", "psql", "pg_dump", "pg_restore")

_HEARTBEAT = 15  # seconds between signs of life during a build
_COLD_BUILD_SPACE = 6 * 2**30  # modules 2.3 GB, compiler cache 3 GB, binaries 0.4 GB
_WARM_BUILD_SPACE = 2**30


@dataclass(frozen=True)
class Build:
    """One Go module under sandbox/toolchain: what it yields, as {name built: name installed}, and how."""

    module: str
    version_of: str
    binaries: Mapping[str, str]
    packages: Sequence[str]
    flags: Sequence[str]

    @property
    def source(self) -> Path:
        return SOURCES / self.module

    def version(self) -> str:
        """Read which version of its main dependency the module pins."""
        found = re.search(rf"^\s*(?:require )?{re.escape(self.version_of)} v(\S+)", self._go_mod(), re.MULTILINE)
        if not found:
            raise SandboxError(
                f"{self.source / 'go.mod'} does not require {self.version_of}; restore the committed file"
            )
        return found[1]

    def arguments(self) -> list[str]:
        version = self.version()
        major, minor, *_ = version.split(".")
        return [flag.format(version=version, major=major, minor=minor) for flag in self.flags]

    def key(self) -> str:
        """Hash what the binaries are made of: sources, flags, compiler."""
        digest = hashlib.sha256()
        for path in sorted(path for path in self.source.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(self.source)}\0".encode() + path.read_bytes() + b"\0")
        digest.update("\0".join([*self.arguments(), *self.packages, _go_version(self.source)]).encode())
        return digest.hexdigest()

    def directory(self) -> Path:
        return cache() / self.key() / "bin"

    def _go_mod(self) -> str:
        return (self.source / "go.mod").read_text()


_PULUMI_SDK = "github.com/pulumi/pulumi/sdk/v3"
_EXEC_SHIM = "pulumi-language-python-exec"
_KUBERNETES_VERSION = "-X k8s.io/component-base/version."

PULUMI = Build(
    "pulumi",
    _PULUMI_SDK,
    # In one directory: the CLI warns about a language host that does not lie beside it.
    {"pulumi": "pulumi", "language-host": "pulumi-language-python"},
    ["tool", "./language-host"],
    ["-tags=osusergo,grpcnotrace", f"-ldflags=-s -w -X {_PULUMI_SDK}/go/common/version.Version=v{{version}}"],
)
KUBERNETES = Build(
    "kubernetes",
    "k8s.io/kubernetes",
    {"server": "etcd", **{name: name for name in MINIMUM_KUBERNETES if name != "etcd"}},
    ["tool"],
    [
        f"-ldflags=-s -w {_KUBERNETES_VERSION}gitVersion=v{{version}} "
        f"{_KUBERNETES_VERSION}gitMajor={{major}} {_KUBERNETES_VERSION}gitMinor={{minor}}"
    ],
)


def tools() -> Tools:
    """Path of every tool by name, when all are there; SandboxError says what to do otherwise."""
    found, missing = _find()
    if missing:
        names = ", ".join(sorted(missing))
        raise SandboxError(f"the sandbox's tools are not complete (missing: {names}); run `make up`, which gets them")
    return found


def ensure(report: Callable[[str], None]) -> Tools:
    """As `tools`, after installing or building what is missing."""
    found, missing = _find()
    if packages := [name for name, build in missing.items() if build is None]:
        _install_packages(packages, report)
    for build in missing.values():
        if build is not None:
            _build(build, report)
    return tools() if missing else found


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meetinity-data" / "toolchain"


def _find() -> tuple[Tools, dict[str, Build | None]]:
    """Find the tools there are, and what is missing: a package's name, or a module's with its build."""
    found: Tools = {}
    missing: dict[str, Build | None] = {}
    for name, look in (("postgresql", _installed_postgresql), ("redis-server", _installed_redis)):
        installed = look()
        found |= installed
        if not installed:
            missing[name] = None
    for build, look in ((PULUMI, _installed_pulumi), (KUBERNETES, _installed_kubernetes)):
        if installed := look():
            found |= installed
        elif build.directory().is_dir():
            found |= {path.name: path for path in build.directory().iterdir()}
        else:
            missing[build.module] = build
    return found, missing


# Installed tools


def _which(name: str) -> Path | None:
    """`name` on PATH, past the links that a sandbox's own shell has there."""
    states = state_home()
    directories = [
        part for part in os.environ.get("PATH", "").split(os.pathsep) if not Path(part).is_relative_to(states)
    ]
    found = shutil.which(name, path=os.pathsep.join(directories))
    return Path(found) if found else None


def _new_enough(program: Path, minimum: tuple[int, ...], *arguments: str) -> bool:
    """Whether the first version number that `program` prints is at least `minimum`."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20, check=True)
        if version := re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", done.stdout):
            return tuple(int(part or 0) for part in version.groups()) >= minimum
    return False


def _installed_pulumi() -> Tools:
    pulumi = _which("pulumi")
    if pulumi is None or not _new_enough(pulumi, MINIMUM_PULUMI, "version"):
        return {}
    beside = pulumi.resolve().parent / "pulumi-language-python"
    language_host = beside if beside.exists() else _which("pulumi-language-python")
    shim = language_host.resolve().parent / _EXEC_SHIM if language_host else None
    if language_host is None or shim is None or not shim.exists():
        return {}
    return {"pulumi": pulumi, "pulumi-language-python": language_host, _EXEC_SHIM: shim}


def _installed_kubernetes() -> Tools:
    """All four or none: a client two minor versions away from its server is not supported."""
    found = {name: path for name in MINIMUM_KUBERNETES if (path := _which(name))}
    if len(found) < len(MINIMUM_KUBERNETES):
        return {}
    for name, minimum in MINIMUM_KUBERNETES.items():
        arguments = ["version", "--client"] if name == "kubectl" else ["--version"]
        if not _new_enough(found[name], minimum, *arguments):
            return {}
    return found


def _installed_postgresql() -> Tools:
    """Find the newest server installation; Debian keeps one directory per major version, off the PATH."""

    def major(directory: Path) -> int:
        return int(directory.parent.name) if directory.parent.name.isdigit() else 0

    directories = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=major, reverse=True)
    if server := _which("postgres"):
        directories.append(server.resolve().parent)
    for directory in directories:
        complete = all((directory / name).exists() for name in POSTGRESQL_PROGRAMS)
        if complete and _new_enough(directory / "postgres", MINIMUM_POSTGRESQL, "--version"):
            return {name: directory / name for name in POSTGRESQL_PROGRAMS}
    return {}


def _installed_redis() -> Tools:
    server, client = _which("redis-server"), _which("redis-cli")
    if server is None or client is None or not _new_enough(server, MINIMUM_REDIS, "--version"):
        return {}
    # redis-cli lists --tls only when it was built with TLS, which is then true of the server as well.
    usage = subprocess.run([client, "--help"], capture_output=True, text=True, timeout=20, check=False)
    return {"redis-server": server, "redis-cli": client} if "--tls" in usage.stdout + usage.stderr else {}


# Packages

# No service may start, now or at boot: the sandbox runs its own servers on its own addresses.
_INSTALL_SCRIPT = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d clusters=/etc/postgresql-common/createcluster.d/meetinity-data.conf
made=""
trap 'rm -f $made' EXIT
trap 'exit 130' INT TERM
if [ ! -e "$policy" ]; then
  made="$made $policy"
  printf '#!/bin/sh\n# Made for one installation by meetinity-data; safe to delete.\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi
made="$made $clusters"
mkdir -p "${clusters%/*}"
echo 'create_main_cluster = false' > "$clusters"
install() { apt-get -o DPkg::Lock::Timeout=300 install --no-install-recommends -y "$@"; }
install "$@" || { apt-get -o DPkg::Lock::Timeout=300 update; install "$@"; }
for package in "$@"; do
  [ "$package" != redis-server ] || ! command -v systemctl >/dev/null || systemctl disable redis-server || true
done
"""


def _install_packages(packages: Sequence[str], report: Callable[[str], None]) -> None:
    wanted = {
        "postgresql": f"PostgreSQL >= {MINIMUM_POSTGRESQL[0]}",
        "redis-server": f"Redis >= {MINIMUM_REDIS[0]} with TLS",
    }
    needed = " and ".join(wanted[name] for name in packages)
    if not shutil.which("apt-get"):
        raise SandboxError(f"{needed} must be installed with this system's package manager; then run `make up` again")
    command = f"apt-get install --no-install-recommends -y {' '.join(packages)}"
    become_root: list[str] = []
    if os.geteuid() != 0:
        if (
            subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode
            if shutil.which("sudo")
            else 1
        ):
            raise SandboxError(f"{needed} is not installed and needs root: run `sudo {command}`, then `make up` again")
        become_root = ["sudo", "-n"]
    report(f"installing {needed}: {command}")
    done = subprocess.run(
        [*become_root, "sh", "-c", _INSTALL_SCRIPT, "sh", *packages],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SandboxError(f"`{command}` failed: {_reason(done.stderr)}")
    installed = {"postgresql": _installed_postgresql, "redis-server": _installed_redis}
    if too_old := [wanted[name] for name in packages if not installed[name]()]:
        raise SandboxError(f"this system's packages are too old: {' and '.join(too_old)} must be installed by hand")


# Builds


def _go_version(directory: Path) -> str:
    """Return the Go that would build in `directory`; raises SandboxError when there is none, or it is too old."""
    minimum = ".".join(map(str, MINIMUM_GO))
    advice = f"install Go {minimum} or newer (https://go.dev/dl), then run `make up` again"
    if not shutil.which("go"):
        raise SandboxError(f"Go is needed to build the sandbox's tools, and `go` is not on PATH: {advice}")
    done = subprocess.run(
        ["go", "env", "GOVERSION"], cwd=directory, env=_go_environment(), capture_output=True, text=True, check=False
    )
    version = re.match(r"go(\d+)\.(\d+)", done.stdout)
    if done.returncode or not version:
        raise SandboxError(f"`go env` failed: {_reason(done.stderr)}; {advice}")
    if (int(version[1]), int(version[2])) < MINIMUM_GO:
        raise SandboxError(f"{done.stdout.strip()} is too old to build the sandbox's tools: {advice}")
    return done.stdout.strip()


def _go_environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}


def _build(build: Build, report: Callable[[str], None]) -> None:
    """Build into a temporary directory and rename it: a killed build leaves nothing that looks finished."""
    target = build.directory().parent
    try:
        cache().mkdir(parents=True, exist_ok=True)
        with _only_builder(report):
            if target.exists():  # somebody else built it meanwhile
                return
            _require_space(build)
            for leftover in cache().glob(".building-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            temporary = cache() / f".building-{build.module}"
            (temporary / "bin").mkdir(parents=True)
            _compile(build, temporary, report)
            temporary.rename(target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full() from error
        raise SandboxError(f"cannot write to {cache()}: {error.strerror}") from error


def _compile(build: Build, directory: Path, report: Callable[[str], None]) -> None:
    names = ", ".join(build.binaries.values())
    report(f"building {names} {build.version()}")
    started = time.monotonic()
    log = directory / "build.log"
    command = ["go", "build", "-v", "-mod=readonly", "-buildvcs=false", "-trimpath", *build.arguments()]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "-o", f"{directory / 'bin'}{os.sep}", *build.packages],
            cwd=build.source,
            env=_go_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_HEARTBEAT)
                    break
                lines = log.read_text().splitlines()
                steps = f", {len(lines)} modules and packages so far" if lines else ""
                report(f"building {names} … {duration(time.monotonic() - started)}{steps}")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        output_text = log.read_text()
        if "no space left on device" in output_text:
            raise _disk_full()
        raise SandboxError(f"building {names} failed: {_reason(output_text)}")
    for built, installed in build.binaries.items():
        (directory / "bin" / built).rename(directory / "bin" / installed)
    if build is PULUMI:
        _copy_exec_shim(directory / "bin")
    log.unlink()
    report(f"built {names} in {duration(time.monotonic() - started)}")


def _copy_exec_shim(binaries: Path) -> None:
    """Copy the shim out of the SDK's module: the language host looks for it beside itself."""
    command = ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", _PULUMI_SDK]
    listing = subprocess.run(
        command, cwd=PULUMI.source, env=_go_environment(), capture_output=True, text=True, check=False
    )
    if listing.returncode:
        raise SandboxError(f"cannot find the Pulumi SDK's module: {_reason(listing.stderr)}")
    shim = binaries / _EXEC_SHIM
    shim.write_bytes((Path(listing.stdout.strip()) / "python" / "cmd" / _EXEC_SHIM).read_bytes())
    shim.chmod(0o755)


@contextlib.contextmanager
def _only_builder(report: Callable[[str], None]) -> Iterator[None]:
    """One build at a time per cache: a second one waits, then finds the work done."""
    with (cache() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another process is building the tools; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _require_space(build: Build) -> None:
    go_caches = subprocess.run(
        ["go", "env", "GOMODCACHE"], env=_go_environment(), capture_output=True, text=True, check=False
    )
    downloaded = Path(go_caches.stdout.strip()) / f"{build.version_of}@v{build.version()}"
    needed = _WARM_BUILD_SPACE if downloaded.exists() else _COLD_BUILD_SPACE
    if shutil.disk_usage(cache()).free < needed:
        raise _disk_full(needed)


def _disk_full(needed: int = _COLD_BUILD_SPACE) -> SandboxError:
    return SandboxError(
        f"not enough room to build the sandbox's tools in {cache()}: {needed / 2**30:.0f} GB are needed, "
        f"{shutil.disk_usage(cache()).free / 2**30:.1f} GB are free; make room (or set XDG_CACHE_HOME), then try again"
    )


def _reason(output: str) -> str:
    """Pick the line of a failed command's output that says most: the last that is not about progress."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if ":" in line and not line.startswith("go: downloading")]
    return (telling or lines or ["it wrote nothing"])[-1][:300]
