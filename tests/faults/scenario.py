"""What a scenario does and what must hold after it: one of everything, no row lost, no password changed."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import boto3
import psutil
import psycopg
import redis

from sandbox import faults, images, lifecycle, processes, stack
from sandbox.instance import CHECKOUT, Instance
from tests.faults.secrets_search import SERVERS_OWN, Sought
from tests.sandbox.conftest import eventually
from tests.sandbox.platform import NAMESPACE, Platform

# The table that the suite prints at its end.
ROWS = [("FAULT", "TIMES", "OUTCOME", "RESOURCES", "ROWS", "TIME")]

# How to find every object of a kind that this program makes: AWS service, operation, the answer's list, and its id.
AWS_KINDS = {
    "aws:rds/cluster:Cluster": ("rds", "describe_db_clusters", "DBClusters", "DBClusterIdentifier"),
    "aws:rds/clusterInstance:ClusterInstance": ("rds", "describe_db_instances", "DBInstances", "DBInstanceIdentifier"),
    "aws:rds/subnetGroup:SubnetGroup": ("rds", "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName"),
    "aws:rds/parameterGroup:ParameterGroup": (
        *("rds", "describe_db_parameter_groups", "DBParameterGroups", "DBParameterGroupName"),
    ),
    "aws:rds/clusterParameterGroup:ClusterParameterGroup": (
        *("rds", "describe_db_cluster_parameter_groups", "DBClusterParameterGroups", "DBClusterParameterGroupName"),
    ),
    "aws:elasticache/replicationGroup:ReplicationGroup": (
        *("elasticache", "describe_replication_groups", "ReplicationGroups", "ReplicationGroupId"),
    ),
    "aws:elasticache/subnetGroup:SubnetGroup": (
        *("elasticache", "describe_cache_subnet_groups", "CacheSubnetGroups", "CacheSubnetGroupName"),
    ),
    "aws:elasticache/parameterGroup:ParameterGroup": (
        *("elasticache", "describe_cache_parameter_groups", "CacheParameterGroups", "CacheParameterGroupName"),
    ),
    "aws:ec2/securityGroup:SecurityGroup": ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": (
        *("ec2", "describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"),
    ),
    "aws:cloudwatch/logGroup:LogGroup": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "aws:iam/role:Role": ("iam", "list_roles", "Roles", "RoleName"),
}
ROLE, ATTACHMENT = "aws:iam/role:Role", "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
KUBERNETES_KINDS = "secrets,roles,rolebindings,networkpolicies,jobs,serviceaccounts"


class Stack(Platform):
    """The `local` stack, with eyes for everything that exists in the account and the namespace."""

    # Of every stack there was: each search covers all of them.
    printed: ClassVar[list[str]] = []
    known: ClassVar[set[tuple[str, str]]] = set()  # every secret there ever was, after its name

    def __init__(self, instance: Instance, environment: Mapping[str, str]) -> None:
        super().__init__(instance, environment)
        self.given = self.existing()  # what the platform is put into
        self.orphans: list[psutil.Process] = []  # providers whose engine was killed
        self.world = World(0, Counter(), {})

    def run(self, *command: str, check: bool = True) -> str:
        output = super().run(*command, check=check)
        if not any(word.startswith(("secret", "--show-secrets")) for word in command):  # these were asked for secrets
            self.printed.append(output)
        return output

    def start_sandbox(self) -> None:
        lifecycle.up(self.instance, self.printed.append)

    def mend(self) -> None:
        """End what a failed test leaves to the next one: faults, dead servers, the stack's lock."""
        faults.clear(self.instance)
        dead = set(processes.recorded(self.instance)) - processes.running(self.instance).keys()
        if not all(name.startswith("pod-") for name in dead):
            self.start_sandbox()
        if any((self.directory / "backend" / ".pulumi" / "locks").rglob("*.json")):
            self.run("pulumi", "cancel", "--yes")

    @functools.cache  # noqa: B019 — one stack for the whole suite
    def client(self, service: str) -> Any:
        names = ("aws_access_key_id", "aws_secret_access_key", "endpoint_url", "region_name")
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION")
        given = {name: self.environment[key] for name, key in zip(names, keys, strict=True)}
        return boto3.client(service, **given)

    def existing(self) -> Counter[tuple[str, str]]:
        """Type and id of everything there is, whoever made it."""
        found = []
        for kind, (service, operation, members, id_) in AWS_KINDS.items():
            every = getattr(self.client(service), operation)()[members]
            found += [(kind, each[id_]) for each in every if "default." not in each[id_] and not each.get("IsEgress")]
        for role in [name for kind, name in found if kind == ROLE]:
            attached = self.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
            found += [(ATTACHMENT, f"{role}/{each['PolicyArn']}") for each in attached]
        for each in self.kubernetes(KUBERNETES_KINDS)["items"]:
            group, _, version = each["apiVersion"].rpartition("/")
            kind = f"kubernetes:{group or 'core'}/{version}:{each['kind']}"
            found.append((kind, f"{NAMESPACE}/{each['metadata']['name']}"))
        return Counter(found)

    def recorded(self) -> Counter[tuple[str, str]]:
        """Type and id of everything in the state that is looked for in `existing`."""
        every = [(each["type"], each["id"]) for each in self.resources() if "id" in each]
        kinds = (*AWS_KINDS, ATTACHMENT, "kubernetes:")
        return Counter(each for each in every if each[0].startswith(kinds))

    def pending(self) -> list[dict[str, Any]]:
        deployment = json.loads(self.run("pulumi", "stack", "export"))["deployment"]
        return [each["resource"] for each in deployment.get("pending_operations", []) if each["type"] == "creating"]

    def rows(self) -> Counter[tuple[str, str]]:
        """Every row of the serving database by its table, and every key of the serving cache; none while there is none.

        But the revision, which each migration changes.
        """
        if not self.serves():
            return Counter()
        with self.database() as database, self.cache() as cache:
            tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
            found = [("redis", f"{key.decode()} = {cache.get(key)}") for key in cache.scan_iter()]
            for (table,) in database.execute(tables).fetchall():
                found += [(table, row) for (row,) in database.execute(f'SELECT t::text FROM "{table}" t').fetchall()]
            return Counter(found)

    def serves(self) -> bool:
        return ("kubernetes:core/v1:Secret", f"{NAMESPACE}/platform-redis") in self.existing()

    def database(self) -> psycopg.Connection:
        url = self.secret("platform-database")["DATABASE_URL"]
        return psycopg.connect(url, connect_timeout=10, autocommit=True)

    def cache(self) -> redis.Redis:
        url = self.secret("platform-redis")["REDIS_URL"]
        return redis.Redis.from_url(url, ssl_ca_certs=str(self.instance.ca_certificate), socket_timeout=10)

    def passwords(self) -> dict[str, str]:
        """Every password and token that the state has, by the resource's name."""
        exported = json.loads(self.run("pulumi", "stack", "export", "--show-secrets"))
        found = {
            each["urn"].split("::")[-1]: json.loads(each["outputs"]["result"]["plaintext"])
            for each in exported["deployment"].get("resources", [])
            if each["type"] == "random:index/randomPassword:RandomPassword"
        }
        self.known |= found.items()
        return found

    def leaks(self) -> set[tuple[str, str]]:
        """Name and place of every secret that stands in a file, or was printed, where it must not be."""
        self.run("env", f"PYTHONPATH={CHECKOUT}", sys.executable, "-m", "sandbox", "status")
        self.run("kubectl", "describe", "jobs,pods")
        for pod in self.kubernetes("pods")["items"]:
            self.run("kubectl", "logs", pod["metadata"]["name"], "--all-containers", check=False)
        self.passwords()
        state, temporary = self.instance.state, Path(tempfile.gettempdir())
        servers = {f"administrator of {path.parent.name}": path for path in state.glob("caches/*/administrator")}
        # A key is known by the first line of its body: the others may be a certificate's as well, and line ends differ.
        keys = {f"private key of {path.stem}": path for path in state.glob("pki/*.key")}
        self.known.update((name, path.read_text()) for name, path in servers.items())
        self.known.update((name, path.read_text().splitlines()[1]) for name, path in keys.items())
        sought = Sought(self.known)
        found = {
            (name, str(path))
            for name, path in sought.in_files(state, lambda directory: directory not in SERVERS_OWN)
            if not (name in keys and path.relative_to(state).parts[0] in ("pki", "kubeconfig"))
        }
        ours = sought.in_files(temporary, lambda directory: directory.startswith(("pulumi", "tmp")))
        found |= {(name, str(path)) for name, path in ours}
        return found | {(name, "what was printed") for text in self.printed for name in sought(text.encode())}

    def change_database(self, **settings: Any) -> None:
        self.configure(lambda config: config.setdefault("database", {}).update(settings))

    def release(self, tag: str, upgrade: str) -> Path:
        """Put an image of the example service with one migration more into the stack file; the migration."""
        with self.database() as database:
            ((previous,),) = database.execute("SELECT version_num FROM alembic_version").fetchall()
        content = self.directory / "service"
        for source in (CHECKOUT / "sandbox" / "example_service").rglob("*"):
            target = content / source.relative_to(CHECKOUT / "sandbox" / "example_service")
            if source.is_file() and "__pycache__" not in source.parts and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
        migration = content / "versions" / f"{tag}.py"
        migration.write_text(
            f'"""Made by a test."""\nfrom alembic import op\n\nrevision, down_revision = "{tag}", "{previous}"\n\n\n'
            f"def upgrade():\n    {upgrade}\n"
        )
        reference = f"meetinity/example-service:{tag}"
        images.add(self.instance, reference, content)
        self.configure(lambda config: config["migrations"][0].update(image=reference))
        return migration

    @contextmanager
    def background(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A Pulumi command that works while the block does, and has ended by itself after it; killed if that fails."""
        output = self.directory / "output"
        with output.open("w") as file:
            process = subprocess.Popen(
                ["pulumi", *arguments, "--non-interactive"],
                executable=stack.program(self.environment),
                cwd=self.directory,
                env={**self.environment, "PULUMI_DEBUG_COMMANDS": "1"},  # --event-log is one
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
            process.wait(600)
        finally:
            self.kill(process)
            self.printed.append(output.read_text())

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL to the CLI alone, and at once; whatever else it leaves behind ends by itself."""
        process.kill()
        process.wait()
        self.end_session(process.pid)

    def end_session(self, leader: int) -> None:
        """Wait for the end of whatever a process started that led a session.

        The real Kubernetes provider goes on with what it was asked for, and outlives its engine. It is left to do so,
        and ended after the tests.
        """

        def others() -> Collection[str]:
            return [command for command in session(leader).values() if lifecycle.KUBERNETES_PROVIDER not in command]

        eventually(lambda: not others(), seconds=60, what="the end of what a killed process left")
        self.orphans += session(leader)

    def end_orphans(self) -> None:
        for each in self.orphans:
            with suppress(psutil.NoSuchProcess):
                each.kill()

    def killed(
        self,
        *arguments: str,
        at: str,
        count: int = 1,
        doing: str = "create|delete",
        kind: str = "aws|kubernetes|random",
        but: Collection[str] = (),
    ) -> str | None:
        """Kill a Pulumi command when `count` resources are "begun" or "done"; None when it ended before.

        Counted are those of types that begin with `kind`, and what is done to them is `doing`, `but` for these URNs.

        Returns the URN of the last one counted.
        """
        log = self.directory / "events.json"
        log.write_text("")
        event = {"begun": "resourcePreEvent", "done": "resOutputsEvent"}[at]
        its = rf'"metadata":\{{"op":"(?:{doing})","urn":"([^"]*)","type":"(?:{kind}):'
        pattern = re.compile(rf'^\{{[^{{]*"{event}":\{{{its}', re.MULTILINE)
        seen, rest = [], ""
        with log.open() as events, self.background(*arguments, "--event-log", str(log)) as process:
            while len(seen) < count and process.poll() is None:
                time.sleep(0.005)
                complete, newline, rest = (rest + events.read()).rpartition("\n")
                seen += [urn for urn in pattern.findall(complete + newline) if urn not in but]
            process.kill()
        assert process.returncode in (0, -signal.SIGKILL), self.printed[-1]
        return seen[count - 1] if process.returncode else None

    def recover(self) -> int:
        """What docs/runbook.md says under "An update was interrupted"; how many creations were taken into the state."""
        self.documented("pulumi cancel --yes")
        pending = self.pending()
        ids = {resource["urn"].split("::")[-1]: self.find_id(resource) for resource in pending}
        if pending:
            self.documented("pulumi refresh --yes --skip-preview --clear-pending-creates")
        adopted: set[str] = set()
        if any(ids.values()):
            adopted = self.adopt(lambda creation: ids.get(creation["name"]), some=False)
        jobs = {each["urn"].split("::")[-1] for each in pending if each["type"] == "kubernetes:batch/v1:Job"}
        for name in jobs - adopted:
            if id_ := ids[name]:
                namespace, job = id_.split("/")
                self.documented("kubectl delete job --namespace NAMESPACE JOB", NAMESPACE=namespace, JOB=job)
        return sum(id_ is not None for id_ in ids.values())

    def adopt(self, find_id: Callable[[Mapping[str, Any]], str | None], *, some: bool = True) -> set[str]:
        """Import what is in the account and not in the state, as docs/runbook.md says; the names of what was.

        Unless `some`, there may be nothing to import: what was being replaced is in the state, as it was.
        """
        creates, wanted = self.directory / "creates.json", self.directory / "adopt.json"
        self.documented("pulumi preview --import-file FILE", FILE=str(creates))
        written = json.loads(creates.read_text())
        resources = [{**each, "id": id_} for each in written.get("resources", []) if (id_ := find_id(each))]
        assert resources or not some, written
        if resources:
            wanted.write_text(json.dumps({**written, "resources": resources}))
            command = "pulumi import --yes --skip-preview --generate-code=false --protect=false --file FILE"
            self.documented(command, FILE=str(wanted))
        return {each["name"] for each in resources}

    def documented(self, command: str, **meant: str) -> str:
        """Run a command that the runbook names; `meant` tells what stands for its words in capitals."""
        runbook = (CHECKOUT / "docs" / "runbook.md").read_text()
        assert command in runbook, f"docs/runbook.md does not name `{command}`"
        return self.run(*(meant.get(word, word) for word in command.split()))

    def find_id(self, resource: Mapping[str, Any]) -> str | None:
        """The id of what a resource's creation left, by the runbook's table; None when there is nothing."""
        kind, inputs = resource["type"], resource.get("inputs", {})
        existing = self.existing()
        if kind == "aws:ec2/securityGroup:SecurityGroup":
            groups = self.client("ec2").describe_security_groups()["SecurityGroups"]
            return next((each["GroupId"] for each in groups if each["GroupName"] == inputs["name"]), None)
        if kind == "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule":
            wanted = [{"Name": "group-id", "Values": [inputs["securityGroupId"]]}]
            for rule in self.client("ec2").describe_security_group_rules(Filters=wanted)["SecurityGroupRules"]:
                if rule.get("Description") == inputs["description"]:
                    return str(rule["SecurityGroupRuleId"])
            return None
        if kind == ATTACHMENT:
            id_ = f"{inputs['role']}/{inputs['policyArn']}"
        elif kind.startswith("kubernetes:"):
            id_ = f"{inputs['metadata']['namespace']}/{inputs['metadata']['name']}"
        else:
            names = ("name", "clusterIdentifier", "identifier", "replicationGroupId")
            id_ = next((inputs[name] for name in names if name in inputs), "")
            if kind == "aws:rds/clusterInstance:ClusterInstance":
                id_ = inputs["identifier"]
        return id_ if (kind, id_) in existing else None


def session(leader: int) -> dict[psutil.Process, str]:
    """The processes of a session with their command lines; a provider leaves its engine's group, not its session."""
    found = {}
    for pid in psutil.pids():
        with suppress(OSError, psutil.NoSuchProcess):
            if os.getsid(pid) == leader:
                process = psutil.Process(pid)
                found[process] = " ".join(process.cmdline())
    return found


@dataclass
class World:
    """What a scenario must keep."""

    resources: int
    rows: Counter[tuple[str, str]]
    passwords: dict[str, str] = field(repr=False)


@dataclass
class Scenario:
    """What one scenario reports, and which passwords may be others afterwards."""

    times: int = 0
    outcome: str = "FAILED"
    gone: Collection[str] = ()


@contextmanager
def scenario(stack: Stack, fault: str, *, refreshed: bool = True) -> Iterator[Scenario]:
    """Afterwards state and world must agree, with every row and every password there was, and no secret in the open.

    `refreshed` has Pulumi itself say, from what the API answers, that nothing differs.
    """
    started, found, before = time.monotonic(), Scenario(), stack.world
    try:
        yield found
        _hold(stack, before, found.gone)
        if refreshed:
            stack.pulumi("preview", "--refresh", "--expect-no-changes")
    except BaseException:
        found.outcome = "FAILED"
        raise
    finally:
        resources = f"{before.resources} -> {stack.world.resources}"
        rows = f"{before.rows.total()} -> {stack.world.rows.total()}"
        took = f"{time.monotonic() - started:.0f} s"
        ROWS.append((fault, str(found.times), found.outcome, resources, rows, took))


def _hold(stack: Stack, before: World, gone: Collection[str]) -> None:
    recorded, existing = stack.recorded(), stack.existing()
    existing.subtract(stack.given)
    assert +existing == recorded, (
        f"in the state alone: {recorded - existing}; in the world alone: {existing - recorded}"
    )
    assert max(recorded.values(), default=1) == 1
    assert faults.active(stack.instance) == []
    after = stack.world = World(len(stack.resources()), stack.rows(), stack.passwords())
    lost = before.rows - after.rows
    assert not lost, lost
    changed = {name for name, value in before.passwords.items() if after.passwords.get(name) != value}
    assert changed <= set(gone), f"passwords changed: {changed}"
    leaks = stack.leaks()
    assert not leaks, leaks


def injected(instance: Instance) -> int:
    """How often the faults that stand were injected; ends them."""
    total = sum(each.injected for each in faults.read(instance))
    faults.clear(instance)
    return total
