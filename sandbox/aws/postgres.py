"""The PostgreSQL servers behind an Aurora cluster.

A cluster's storage is one data directory, whoever writes to it; a reader has its own, streamed from
the writer. Failing over therefore swaps directories, not roles inside PostgreSQL. Each server
listens on its instance's address and on the cluster endpoint it serves. `arrange` makes the running
servers agree with the tables: after a change, and after a crash or restart of anything.

The writer archives its write-ahead log, so that a copy of its storage can be brought to any moment
after it was taken: what is not archived yet is read where the writer keeps it.

Only the operating-system user that the servers run as becomes `rdsadmin`, the superuser, through a
socket outside the file system; nobody logs in as rdsadmin over the network.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import hmac
import os
import secrets
import shlex
import shutil
import signal
import time
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from sandbox import certificates, processes
from sandbox.aws import server_user
from sandbox.aws.account_state import AccountState
from sandbox.aws.operations import Resource
from sandbox.aws.resources import CATALOGUE
from sandbox.aws.server_user import tool
from sandbox.errors import SandboxError
from sandbox.ports import require_free

SUPERUSER = "rdsadmin"
# Sized for a laptop, or set for the stand-in; a parameter group's value for these does not reach the server.
OURS: dict[str, str] = CATALOGUE["rds"]["server settings"]


@functools.cache
def parameters() -> dict[str, dict[str, str]]:
    """The parameters this PostgreSQL knows, by name."""
    columns = ("context", "group", "type", "default", "minimum", "maximum", "description")
    rows = (line.split("\t") for line in server_user.run([tool("postgres"), "--describe-config"]).splitlines())
    return {name: dict(zip(columns, rest, strict=False)) for name, *rest in rows}


def _directory(account: AccountState, cluster: Resource) -> Path:
    return account.instance.state / "databases" / str(cluster["DBClusterIdentifier"])


def _storage(account: AccountState, cluster: Resource) -> Path:
    return _directory(account, cluster) / "storage"


def _data(account: AccountState, cluster: Resource, member: Resource) -> Path:
    if member["IsClusterWriter"]:
        return _storage(account, cluster)
    return _directory(account, cluster) / f"reader-{member['DBInstanceIdentifier']}"


def _copies(account: AccountState) -> Path:
    return account.instance.state / "database-snapshots"


def _log(account: AccountState, cluster: Resource) -> Path:
    """Where a cluster's write-ahead log is archived; it can outlive the cluster."""
    return account.instance.state / "database-log" / str(cluster["DbClusterResourceId"])


def _process(name: str) -> str:
    return f"postgres-{name}"


def _socket(data: Path) -> str:
    """An abstract socket: no file, so neither the length of a path nor its permissions matter."""
    return "@meetinity-data-" + hashlib.sha256(str(data).encode()).hexdigest()[:16]


def _as_superuser(program: str, cluster: Resource, data: Path, *arguments: str) -> list[object]:
    login = [f"--host={_socket(data)}", f"--port={cluster['Port']}", f"--username={SUPERUSER}", "--no-password"]
    return [tool(program), *login, *arguments]


def _verifier(password: str) -> str:
    """What PostgreSQL stores for a password (RFC 5803), so that the password itself is never sent in SQL."""
    salt, iterations = secrets.token_bytes(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{salt64}${stored64}:{server64}"


def create_storage(account: AccountState, cluster: Resource, password: str) -> None:
    """An empty database cluster with Aurora's roles, the master user and its database."""
    shutil.rmtree(_directory(account, cluster), ignore_errors=True)  # left behind by a create that was killed
    server_user.make_directory(_directory(account, cluster))
    options = ["--auth=peer", "--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize=4", "--no-sync"]
    server_user.run([tool("initdb"), f"--pgdata={_storage(account, cluster)}", f"--username={SUPERUSER}", *options])
    master, database = _quoted(cluster["MasterUsername"]), cluster.get("DatabaseName", "postgres")
    _run_sql(
        account,
        cluster,
        "CREATE ROLE rds_superuser",
        "CREATE ROLE rds_iam",
        "CREATE ROLE rds_replication",
        "GRANT pg_monitor, pg_signal_backend, rds_replication TO rds_superuser WITH ADMIN OPTION",
        f"CREATE ROLE {master} LOGIN CREATEDB CREATEROLE",
        f"GRANT rds_superuser TO {master} WITH ADMIN OPTION",
        f"ALTER DATABASE postgres OWNER TO {master}",
        *([f"CREATE DATABASE {_quoted(database)} OWNER {master}"] if database != "postgres" else []),
    )
    set_password(account, cluster, password)


def restore_storage(
    account: AccountState,
    cluster: Resource,
    copy: str,
    source: Resource | None = None,
    until: datetime | None = None,
) -> None:
    """The storage that was saved under a snapshot's name, for a new cluster.

    With a `source`, everything that cluster committed since is added: up to `until`, or all of it.
    """
    directory, storage = _directory(account, cluster), _storage(account, cluster)
    shutil.rmtree(directory, ignore_errors=True)  # left behind by a restore that was killed
    server_user.make_directory(directory)
    server_user.copy(_copies(account) / copy, storage)
    # Nobody connects before the end of recovery: with hot_standby off, `ready` is said only then.
    settings = {"hot_standby": "off", "listen_addresses": "", "unix_socket_directories": _socket(storage)}
    if source:
        server_user.write(storage / "recovery.signal", "")
        places = (_log(account, source), _storage(account, source) / "pg_wal")
        commands = (f"cp {shlex.quote(str(place))}/%f %p 2>/dev/null" for place in places)
        settings |= {"restore_command": " || ".join(commands), "recovery_target_action": "promote"}
    if until:
        settings["recovery_target_time"] = until.isoformat()
    try:
        _recover_storage(account, cluster, settings)
    except SandboxError as error:
        if "recovery ended before configured recovery target was reached" not in str(error):
            raise
        # Nothing was committed from that moment on, so all there is is what there was then.
        _recover_storage(account, cluster, settings | {"recovery_target_time": ""})


def _recover_storage(account: AccountState, cluster: Resource, settings: dict[str, str]) -> None:
    """Run a server over copied storage until it has recovered."""
    storage, name = _storage(account, cluster), f"{cluster['DBClusterIdentifier']}-recovery"
    log = processes.log_path(account.instance, _process(name))
    log.unlink(missing_ok=True)
    server_user.write(storage / "postgresql.conf", _text(settings))
    server_user.start(account.instance, _process(name), [tool("postgres"), "-D", storage])
    try:
        _wait_until_ready(account, name, storage)
    except SandboxError as error:
        cause = next((line for line in log.read_text().splitlines() if "FATAL:" in line), str(error))
        raise SandboxError(f"the storage of {cluster['DBClusterIdentifier']} does not recover: {cause}") from error
    stop(account, name)


def set_password(account: AccountState, cluster: Resource, password: str) -> None:
    _run_sql(account, cluster, f"ALTER ROLE {_quoted(cluster['MasterUsername'])} PASSWORD '{_verifier(password)}'")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _run_sql(account: AccountState, cluster: Resource, *statements: str) -> None:
    """Run statements as the superuser: on the writer if it runs, else on the storage at rest. They travel on stdin."""
    storage = _storage(account, cluster)
    quiet = "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic'"
    text = "".join(f"{statement};\n" for statement in (quiet, *statements))
    writer = next((member for member in cluster["DBClusterMembers"] if member["IsClusterWriter"]), None)
    if writer and processes.find(account.instance, _process(writer["DBInstanceIdentifier"])):
        options = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "postgres"]
        server_user.run(_as_superuser("psql", cluster, storage, *options), stdin=text)
    else:
        options = ["-c", "exit_on_error=on", "-c", "shared_preload_libraries=", "-c", "ssl=off", "postgres"]
        server_user.run([tool("postgres"), "--single", "-D", storage, *options], stdin=text)


def arrange(account: AccountState, cluster: Resource, settings: dict[str, dict[str, str]]) -> None:
    """Make the cluster's servers what its row says; `settings` holds each instance's parameters.

    A server restarts only when what it listens on changes; other settings are reloaded.
    """
    members = sorted(cluster["DBClusterMembers"], key=lambda member: not member["IsClusterWriter"])
    readers = members[1:]
    addresses: dict[str, list[str]] = {}
    for member in members:
        name = member["DBInstanceIdentifier"]
        addresses[name] = [account.address(f"rds/{name}")]
        if member["IsClusterWriter"]:
            addresses[name].append(cluster["Endpoint"])
        if member is (readers or members)[0]:
            addresses[name].append(cluster["ReaderEndpoint"])
    kept = {_data(account, cluster, member) for member in readers}
    for directory in set(_directory(account, cluster).glob("reader-*")) - kept:
        shutil.rmtree(directory)
    # First let go of the addresses that change hands, then take them.
    for member in members:
        if _data(account, cluster, member).exists() and _configure(account, cluster, member, addresses, settings):
            stop(account, member["DBInstanceIdentifier"])
    for member in members:
        data = _data(account, cluster, member)
        if not data.exists():
            _stream_copy(account, cluster, data)
            _configure(account, cluster, member, addresses, settings)
        _start(account, member["DBInstanceIdentifier"], data, addresses, cluster["Port"])


def _start(account: AccountState, name: str, data: Path, addresses: dict[str, list[str]], port: int) -> None:
    """Start a server, unless it runs, and wait until it takes connections."""
    if processes.find(account.instance, _process(name)) is None:
        _wait_for_orphans(data)
        for address in addresses[name]:  # PostgreSQL is content with one of them
            require_free(address, port, f"the database {name}")
        server_user.start(account.instance, _process(name), [tool("postgres"), "-D", data])
    _wait_until_ready(account, name, data)


def _wait_until_ready(account: AccountState, name: str, data: Path) -> None:
    pid_file = data / "postmaster.pid"

    def ready() -> bool:
        # The eighth line is the postmaster's own word on whether it takes connections.
        with contextlib.suppress(FileNotFoundError):
            return "".join(pid_file.read_text().splitlines()[7:8]).strip() == "ready"
        return False

    processes.wait_until_ready(account.instance, _process(name), ready)


def _wait_for_orphans(data: Path) -> None:
    """A killed postmaster's children must be gone before another takes over; then its lock file is stale."""
    if not (data / "postmaster.pid").exists():
        return
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(_works_in(process, data) for process in Path("/proc").glob("[0-9]*")):
        time.sleep(0.05)
    (data / "postmaster.pid").unlink()


def _works_in(process: Path, data: Path) -> bool:
    try:
        return (process / "cwd").readlink() == data
    except OSError:  # gone, or another user's
        return False


def _configure(
    account: AccountState,
    cluster: Resource,
    member: Resource,
    addresses: dict[str, list[str]],
    settings: dict[str, dict[str, str]],
) -> bool:
    """Write a server's configuration; True when it has to restart for it. Reloads it when that is enough."""
    name, data = member["DBInstanceIdentifier"], _data(account, cluster, member)
    every = [addresses[name][0], cluster["Endpoint"], cluster["ReaderEndpoint"]]
    tls = _directory(account, cluster) / "tls"
    certificate, key = certificates.issue(account.instance, name, addresses=every, common_name=name, directory=tls)
    server_user.own(tls, certificate, key)
    server_user.make_directory(_log(account, cluster))
    archived = shlex.quote(str(_log(account, cluster)))
    own = OURS | {
        # Whole or not at all, whatever is there from before a crash.
        "archive_command": f"cp %p {archived}/.%f && mv {archived}/.%f {archived}/%f",
        "cluster_name": name,
        "listen_addresses": ",".join(addresses[name]),
        "port": str(cluster["Port"]),
        "ssl_cert_file": str(certificate),
        "ssl_key_file": str(key),
        "unix_socket_directories": _socket(data),
    }
    if member["IsClusterWriter"]:
        (data / "standby.signal").unlink(missing_ok=True)
    else:
        (data / "standby.signal").touch()
        source = _socket(_storage(account, cluster))
        own["primary_conninfo"] = f"host={source} port={cluster['Port']} user={SUPERUSER} application_name={name}"
    group = {guc: value for guc, value in settings[name].items() if guc not in own and "{" not in value}
    libraries = [library.strip() for library in group["shared_preload_libraries"].split(",")]
    group["shared_preload_libraries"] = ",".join(library for library in libraries if _installed(library))
    connections = "hostssl" if group.pop("rds.force_ssl") == "1" else "host"
    files = {
        "pg_hba.conf": f"local all,replication {SUPERUSER} peer map=sandbox\n"
        f"host all {SUPERUSER} all reject\n{connections} all all all scram-sha-256\n",
        "pg_ident.conf": f"sandbox {server_user.name()} {SUPERUSER}\n",
        "parameters.conf": _text({guc: value for guc, value in group.items() if not guc.startswith("rds.")}),
        "postgresql.conf": _text(own) + "include 'parameters.conf'\n",
    }
    changed = {file for file, text in files.items() if server_user.write(data / file, text)}
    running = processes.find(account.instance, _process(name))
    if running and changed and "postgresql.conf" not in changed:
        os.kill(running.pid, signal.SIGHUP)
    return "postgresql.conf" in changed


def _text(settings: dict[str, str]) -> str:
    doubled = {name: value.replace("'", "''") for name, value in settings.items()}
    return "".join(f"{name} = '{value}'\n" for name, value in sorted(doubled.items()))


def _installed(library: str) -> bool:
    """Whether a library of Aurora's exists here; preloading one that does not would stop the server."""
    root = tool("postgres").resolve().parent.parent
    return any((root / place / f"{library}.so").exists() for place in ("lib", "lib/postgresql"))


def waits_for_restart(account: AccountState, cluster: Resource, member: Resource) -> bool:
    """Whether a changed parameter takes effect only when the server restarts."""
    data, query = _data(account, cluster, member), "SELECT count(*) FROM pg_settings WHERE pending_restart"
    options = ["--no-psqlrc", "--tuples-only", "--no-align", f"--command={query}", "postgres"]
    return server_user.run(_as_superuser("psql", cluster, data, *options)).strip() != "0"


def stop(account: AccountState, name: str) -> None:
    """Stop an instance's server once its readers have everything (PostgreSQL's fast shutdown)."""
    processes.stop(account.instance, _process(name), how=signal.SIGINT)


def hand_over(account: AccountState, cluster: Resource, reader: Resource) -> None:
    """Let a reader take the storage over from the writer, which becomes a reader in its place; both are stopped."""
    writer = next(member for member in cluster["DBClusterMembers"] if member["IsClusterWriter"])
    for member in (writer, reader):
        stop(account, member["DBInstanceIdentifier"])
    former = _data(account, cluster, reader)
    writer["IsClusterWriter"], reader["IsClusterWriter"] = False, True
    former.rename(_data(account, cluster, writer))


def save_copy(account: AccountState, cluster: Resource, snapshot: str) -> None:
    """Keep the storage as it is now under a snapshot's name."""
    server_user.make_directory(_copies(account))
    target = _copies(account) / snapshot
    shutil.rmtree(target, ignore_errors=True)  # left behind by a request that was killed
    if cluster["DBClusterMembers"]:
        _stream_copy(account, cluster, target)
    else:
        server_user.copy(_storage(account, cluster), target)


def _stream_copy(account: AccountState, cluster: Resource, target: Path) -> None:
    """Copy the storage of a running writer."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    options = [f"--pgdata={unfinished}", "--checkpoint=fast", "--wal-method=stream", "--no-sync"]
    server_user.run(_as_superuser("pg_basebackup", cluster, _storage(account, cluster), *options))
    unfinished.rename(target)


def copy_copy(account: AccountState, snapshot: str, target: str) -> None:
    """Give a snapshot's storage a second name; nobody writes to it, so its files need no room of their own."""
    shutil.rmtree(_copies(account) / target, ignore_errors=True)  # left behind by a request that was killed
    server_user.run(["cp", "-al", _copies(account) / snapshot, _copies(account) / target])


def archive_rest(account: AccountState, cluster: Resource) -> None:
    """Archive what a server that was killed could not."""
    segments = (_storage(account, cluster) / "pg_wal").glob("[0-9A-F]" * 24)
    server_user.run(["cp", "-pn", *segments, _log(account, cluster)])


def prune_log(account: AccountState, cluster: Resource, oldest: str) -> None:
    """Remove the archived log that a restore from the oldest copy does not need."""
    label = (_copies(account) / oldest / "backup_label").read_text()
    first = label.partition("(file ")[2].partition(")")[0]
    for segment in _log(account, cluster).glob("[0-9A-F]" * 24):
        if segment.name < first:
            segment.unlink()


def sweep(
    account: AccountState,
    clusters: Collection[str],
    instances: Collection[str],
    copies: Collection[str],
    logs: Collection[str],
) -> None:
    """Remove the servers and files that no row stands for: of what was deleted, or was never finished."""
    state = account.instance.state
    kept = {state / "databases": clusters, _copies(account): copies, state / "database-log": logs}
    server_user.sweep(account.instance, _process(""), instances, kept)
