"""The Redis servers behind an ElastiCache replication group: a primary and its replicas.

Each node listens on its own address and on the endpoints it serves. `arrange` makes the running
servers agree with the tables; Redis moves addresses, roles and parameters without a restart.
AUTH tokens are kept by the servers alone, as hashes in their ACL files.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

from sandbox import certificates, processes
from sandbox.aws import server_user
from sandbox.aws.account_state import AccountState
from sandbox.aws.operations import Resource
from sandbox.aws.resources import CATALOGUE
from sandbox.aws.server_user import tool
from sandbox.errors import SandboxError
from sandbox.ports import require_free

# The sandbox's own user, who replicates and administers.
ADMINISTRATOR = "sandbox-administrator"
_OFFER = CATALOGUE["elasticache"]


def _directory(account: AccountState, group: Resource) -> Path:
    return account.instance.state / "caches" / str(group["ReplicationGroupId"])


def _copies(account: AccountState) -> Path:
    return account.instance.state / "cache-snapshots"


def _process(node: str) -> str:
    return f"redis-{node}"


def nodes(group: Resource) -> list[Resource]:
    members: list[Resource] = group["NodeGroups"][0]["NodeGroupMembers"]
    return members


def _primary(group: Resource) -> Resource:
    return next(node for node in nodes(group) if node["CurrentRole"] == "primary")


def create(account: AccountState, group: Resource, token: str | None) -> None:
    """The group's directory, its administrator's secret, and who may connect."""
    directory = _directory(account, group)
    shutil.rmtree(directory, ignore_errors=True)  # left behind by a create that was killed
    server_user.make_directory(directory)
    server_user.write(directory / "administrator", secrets.token_hex(24))
    set_token(account, group, token, keep=False)


def restore(account: AccountState, group: Resource, snapshot: str) -> None:
    """Let the primary, which is yet to be started, begin with a snapshot's keys."""
    directory = _directory(account, group) / _primary(group)["CacheClusterId"]
    server_user.make_directory(directory)
    # An append-only file may begin with an RDB file, and may be nothing else.
    shutil.copy(_copies(account) / snapshot, directory / "appendonly.aof")
    server_user.own(directory / "appendonly.aof")


def set_token(account: AccountState, group: Resource, token: str | None, *, keep: bool) -> None:
    """Make `token` the way in (None: no token is needed); `keep` leaves the previous way in open beside it."""
    directory = _directory(account, group)
    path = directory / "users.acl"
    ways = [f"#{hashlib.sha256(token.encode()).hexdigest()}" if token else "nopass"]
    if keep:
        words = path.read_text().partition(" ~")[0].split()
        previous = next(word for word in reversed(words) if word[0] == "#" or word == "nopass")
        ways = ["nopass"] if previous == "nopass" else [previous, *ways]  # a password would end `nopass`
    administrator = hashlib.sha256((directory / "administrator").read_bytes()).hexdigest()
    refused = " ".join(f"-{command}" for command in _OFFER["restricted commands"].split())
    server_user.write(
        path,
        f"user default on {' '.join(ways)} ~* &* +@all {refused}\n"
        f"user {ADMINISTRATOR} on #{administrator} ~* &* +@all\n",
    )
    for node in nodes(group):
        if processes.find(account.instance, _process(node["CacheClusterId"])):
            _cli(account, group, node, "ACL", "LOAD")


def _cli(account: AccountState, group: Resource, node: Resource, *words: str) -> str:
    """Speak to a node as the administrator, whose secret travels in the environment."""
    address, port = node["ReadEndpoint"].values()
    command = [tool("redis-cli"), "-h", address, "-p", str(port), "--user", ADMINISTRATOR, "--no-auth-warning", "-e"]
    if group["TransitEncryptionEnabled"]:
        command += ["--tls", "--cacert", account.instance.ca_certificate]
    secret = (_directory(account, group) / "administrator").read_text()
    environment = {"PATH": os.defpath, "REDISCLI_AUTH": secret}
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        message = (done.stdout + done.stderr).strip()[-300:]
        raise SandboxError(f"redis {node['CacheClusterId']} does not do {words[0]}: {message}")
    return done.stdout


def arrange(account: AccountState, group: Resource, parameters: dict[str, str]) -> None:
    """Make the group's servers what its row says, with these parameters."""
    primary, shard = _primary(group), group["NodeGroups"][0]
    replicas = [node for node in nodes(group) if node is not primary]
    bound: dict[str, list[str]] = {}
    changed: dict[str, dict[str, str]] = {}
    for node in (primary, *replicas):
        addresses = [node["ReadEndpoint"]["Address"]]
        if node is primary:
            addresses.append(shard["PrimaryEndpoint"]["Address"])
        if node is (replicas or nodes(group))[0]:
            addresses.append(shard["ReaderEndpoint"]["Address"])
        bound[node["CacheClusterId"]] = addresses
        live = parameters | {"bind": " ".join(addresses)}
        running = processes.find(account.instance, _process(node["CacheClusterId"]))
        if _configure(account, group, node, live) and running:
            # Let go of what another node takes before anyone takes it.
            _cli(account, group, node, "CONFIG", "SET", "bind", addresses[0])
            changed[node["CacheClusterId"]] = live
    try:
        for node in (primary, *replicas):
            _serve(account, group, node, bound[node["CacheClusterId"]], changed.get(node["CacheClusterId"], {}))
    except SandboxError:
        for name in changed:  # or the next attempt would find nothing to change
            (_directory(account, group) / name / "redis.conf").unlink()
        raise


def _serve(account: AccountState, group: Resource, node: Resource, bound: list[str], live: dict[str, str]) -> None:
    """Let a node listen and take its role: by word of mouth if it runs, else by starting it."""
    name, (address, port) = node["CacheClusterId"], _primary(group)["ReadEndpoint"].values()
    running = processes.find(account.instance, _process(name))
    for taken in bound[1:] if live else [] if running else bound:
        require_free(taken, port, f"the cache node {name}")
    if live:
        _cli(account, group, node, "CONFIG", "SET", *(word for setting in live.items() for word in setting))
        source = (address, str(port)) if node["CurrentRole"] == "replica" else ("NO", "ONE")
        _cli(account, group, node, "REPLICAOF", *source)
    configuration = _directory(account, group) / name / "redis.conf"
    server_user.start(account.instance, _process(name), [tool("redis-server"), configuration])
    _wait_until_ready(account, group, node)


def _wait_until_ready(account: AccountState, group: Resource, node: Resource) -> None:
    wanted = "role:master" if node["CurrentRole"] == "primary" else "master_link_status:up"

    def ready() -> bool:
        try:
            return wanted in _cli(account, group, node, "INFO", "replication")
        except SandboxError:  # it does not listen yet, or still loads
            return False

    processes.wait_until_ready(account.instance, _process(node["CacheClusterId"]), ready)


def _configure(account: AccountState, group: Resource, node: Resource, live: dict[str, str]) -> bool:
    """Write a node's configuration; True when it is not what it was."""
    name, (address, port) = node["CacheClusterId"], node["ReadEndpoint"].values()
    directory, shard = _directory(account, group) / name, group["NodeGroups"][0]
    server_user.make_directory(directory)
    settings = _OFFER["server settings"] | {setting: value or '""' for setting, value in live.items()}
    settings |= {
        "aclfile": str(_directory(account, group) / "users.acl"),
        "dir": str(directory),
        "masterauth": (_directory(account, group) / "administrator").read_text(),
        "masteruser": ADMINISTRATOR,
        "port": str(port),
    }
    if group["TransitEncryptionEnabled"]:
        every = [address, *(shard[end]["Address"] for end in ("PrimaryEndpoint", "ReaderEndpoint"))]
        certificate, key = certificates.issue(
            account.instance, name, addresses=every, common_name=name, directory=directory
        )
        server_user.own(certificate, key)
        server_user.write(directory / "ca.crt", account.instance.ca_certificate.read_text())
        settings |= {
            "port": "0",
            "tls-auth-clients": "no",
            "tls-ca-cert-file": str(directory / "ca.crt"),
            "tls-cert-file": str(certificate),
            "tls-key-file": str(key),
            "tls-port": str(port),
            "tls-replication": "yes",
        }
    if node["CurrentRole"] != "primary":
        settings["replicaof"] = " ".join(str(part) for part in _primary(group)["ReadEndpoint"].values())
    return server_user.write(
        directory / "redis.conf", "".join(f"{setting} {value}\n" for setting, value in sorted(settings.items()))
    )


def stop(account: AccountState, node: str) -> None:
    processes.stop(account.instance, _process(node))


def save_copy(account: AccountState, group: Resource, snapshot: str) -> None:
    """Keep what the primary holds now, as the RDB file a restore loads."""
    _copies(account).mkdir(mode=0o700, exist_ok=True)
    _cli(account, group, _primary(group), "--rdb", str(_copies(account) / snapshot))


def copy_copy(account: AccountState, snapshot: str, target: str) -> None:
    shutil.copy(_copies(account) / snapshot, _copies(account) / target)


def hand_over(account: AccountState, group: Resource) -> None:
    """Make the first replica the primary, with every write that the primary has confirmed; `arrange` does the rest."""
    primary = _primary(group)
    replica = next(node for node in nodes(group) if node is not primary)
    if processes.find(account.instance, _process(primary["CacheClusterId"])):
        _cli(account, group, primary, "CLIENT", "PAUSE", "60000", "WRITE")  # until `hang_up`
        deadline = time.monotonic() + 5
        while _offset(account, group, primary) != _offset(account, group, replica) and time.monotonic() < deadline:
            time.sleep(0.02)
    primary["CurrentRole"], replica["CurrentRole"] = "replica", "primary"


def _offset(account: AccountState, group: Resource, node: Resource) -> str:
    lines = _cli(account, group, node, "INFO", "replication").splitlines()
    return next(
        line.partition(":")[2] for line in lines if line.startswith(("master_repl_offset:", "slave_repl_offset:"))
    )


def hang_up(account: AccountState, group: Resource) -> None:
    """End every client's connection: who comes back finds the node that now serves the endpoint."""
    for node in nodes(group):
        _cli(account, group, node, "CLIENT", "KILL", "TYPE", "normal")
        _cli(account, group, node, "CLIENT", "UNPAUSE")


def primary_is_lost(account: AccountState, group: Resource) -> bool:
    """Whether the primary's server died while a replica's runs."""
    running = {name for name in processes.running(account.instance) if name.startswith(_process(""))}
    names = [_process(node["CacheClusterId"]) for node in nodes(group)]
    return _process(_primary(group)["CacheClusterId"]) not in running and any(name in running for name in names)


def sweep(account: AccountState, groups: Collection[str], members: Collection[str], copies: Collection[str]) -> None:
    """Remove the servers and files that no row stands for: of what was deleted, or was never finished."""
    caches = account.instance.state / "caches"
    files = {"administrator", "users.acl", *members}
    kept = {caches: groups, _copies(account): copies, **{caches / group: files for group in groups}}
    server_user.sweep(account.instance, _process(""), members, kept)
