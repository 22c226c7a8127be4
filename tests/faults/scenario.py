"""What a scenario does and what must hold after it: one of everything, no row lost, no password changed."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg
import redis

from sandbox import faults, images, stack
from sandbox.instance import CHECKOUT, Instance
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
KUBERNETES_KINDS = "secrets,roles,rolebindings,networkpolicies,jobs,serviceaccounts"


class Stack(Platform):
    """The `local` stack, with eyes for everything that exists in the account and the namespace."""

    def __init__(self, instance: Instance, environment: Mapping[str, str]) -> None:
        super().__init__(instance, environment)
        self.given = self.existing()  # what the platform is put into
        self.printed: list[str] = []
        self.orphans: list[psutil.Process] = []  # providers whose engine was killed
        self.known: set[tuple[str, str]] = set()  # every password and token there ever was
        self.world = World(0, 0, {})

    def run(self, *command: str, check: bool = True) -> str:
        output = super().run(*command, check=check)
        if "--show-secrets" not in command and command[0] == "pulumi":
            self.printed.append(output)
        return output

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
        for each in self.kubernetes(KUBERNETES_KINDS)["items"]:
            group, _, version = each["apiVersion"].rpartition("/")
            kind = f"kubernetes:{group or 'core'}/{version}:{each['kind']}"
            found.append((kind, f"{NAMESPACE}/{each['metadata']['name']}"))
        return Counter(found)

    def recorded(self) -> Counter[tuple[str, str]]:
        """Type and id of everything in the state that is looked for in `existing`."""
        every = [(each["type"], each["id"]) for each in self.resources() if "id" in each]
        return Counter(each for each in every if each[0] in AWS_KINDS or each[0].startswith("kubernetes:"))

    def pending(self) -> list[dict[str, Any]]:
        deployment = json.loads(self.run("pulumi", "stack", "export"))["deployment"]
        return [each["resource"] for each in deployment.get("pending_operations", []) if each["type"] == "creating"]

    def rows(self) -> int:
        """Rows of every table of the serving database, and keys of the serving cache; 0 while there is none."""
        if not self.serves():
            return 0
        with self.database() as database, self.cache() as cache:
            tables = database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            counts = [database.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for (table,) in tables]
            return sum(counts) + cache.dbsize()

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

    def background(self, *arguments: str) -> subprocess.Popen[str]:
        """A Pulumi command that is watched while it works."""
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive"],
            executable=stack.program(self.environment),
            cwd=self.directory,
            env={**self.environment, "PULUMI_DEBUG_COMMANDS": "1"},  # --event-log is one
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def reading(self, process: subprocess.Popen[str], said: list[str]) -> threading.Thread:
        def read() -> None:
            assert process.stdout
            said.append(process.stdout.read())
            self.printed.append(said[-1])

        thread = threading.Thread(target=read)
        thread.start()
        return thread

    def kill(self, process: subprocess.Popen[str]) -> None:
        """SIGKILL to the CLI alone; whatever else it leaves behind ends by itself.

        The real Kubernetes provider goes on with what it was asked for, and outlives its engine. It is left to do so,
        and ended after the tests.
        """
        children = psutil.Process(process.pid).children(recursive=True)
        patient = [each for each in children if each.name().startswith("pulumi-resource-kub")]
        self.orphans += patient
        process.kill()
        process.wait()
        _, still = psutil.wait_procs(set(children) - set(patient), 30)
        assert not still, f"a killed Pulumi left {[each.cmdline() for each in still]}"

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
    ) -> str | None:
        """Kill a Pulumi command when `count` resources are "begun" or "done"; None when it ended before.

        Counted are those of types that begin with `kind`, and what is done to them is `doing`.

        Returns the name of the resource begun last.
        """
        log = self.directory / "events.json"
        log.unlink(missing_ok=True)
        event = rf'^\{{[^{{]*"%s":\{{"metadata":\{{"op":"(?:{doing})","urn":"([^"]*)","type":"(?:{kind}):'
        names = {"begun": "resourcePreEvent", "done": "resOutputsEvent"}
        patterns = {name: re.compile(event % names[name], re.MULTILINE) for name in names}
        seen: dict[str, list[str]] = {"begun": [], "done": []}
        log.touch()
        with self.background(*arguments, "--event-log", str(log)) as process:
            said: list[str] = []
            reader = self.reading(process, said)
            killed, rest = False, ""
            with log.open() as events:
                while process.poll() is None and not killed:
                    complete, newline, rest = (rest + events.read()).rpartition("\n")
                    for name, pattern in patterns.items():
                        seen[name] += pattern.findall(complete + newline)
                    if len(seen[at]) >= count:
                        self.kill(process)
                        killed = True
                    time.sleep(0.01)
            reader.join()
        assert killed or process.returncode == 0, said
        return seen["begun"][-1].split("::")[-1] if killed else None

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
        if kind == "aws:iam/rolePolicyAttachment:RolePolicyAttachment":
            attached = self.client("iam").list_attached_role_policies(RoleName=inputs["role"])["AttachedPolicies"]
            arns = [each["PolicyArn"] for each in attached]
            return f"{inputs['role']}/{inputs['policyArn']}" if inputs["policyArn"] in arns else None
        if kind.startswith("kubernetes:"):
            id_ = f"{inputs['metadata']['namespace']}/{inputs['metadata']['name']}"
        else:
            names = ("name", "clusterIdentifier", "identifier", "replicationGroupId")
            id_ = next((inputs[name] for name in names if name in inputs), "")
            if kind == "aws:rds/clusterInstance:ClusterInstance":
                id_ = inputs["identifier"]
        return id_ if (kind, id_) in existing else None


@dataclass
class World:
    """What a scenario must keep."""

    resources: int
    rows: int
    passwords: dict[str, str]


@dataclass
class Scenario:
    """What one scenario reports."""

    times: int = 0
    outcome: str = ""
    loses_everything: bool = False


@contextmanager
def scenario(stack: Stack, fault: str, *, refreshed: bool = True) -> Iterator[Scenario]:
    """Afterwards state and world must agree, with every row and every password there was.

    `refreshed` has Pulumi itself say, from what the API answers, that nothing differs.
    """
    started, found, before = time.monotonic(), Scenario(), stack.world
    yield found
    recorded, existing = stack.recorded(), stack.existing()
    existing.subtract(stack.given)
    assert +existing == recorded, "the state and the world differ"
    assert max(recorded.values(), default=1) == 1
    assert faults.active(stack.instance) == []
    after = stack.world = World(len(stack.resources()), stack.rows(), stack.passwords())
    if not found.loses_everything:
        assert after.rows >= before.rows
        assert {name: after.passwords[name] for name in before.passwords} == before.passwords, "a password changed"
        if refreshed:
            stack.pulumi("preview", "--refresh", "--expect-no-changes")
    resources, rows = (f"{getattr(before, name)} -> {getattr(after, name)}" for name in ("resources", "rows"))
    took = f"{time.monotonic() - started:.0f} s"
    ROWS.append((fault, str(found.times), found.outcome, resources, rows, took))


def injected(instance: Instance) -> int:
    """How often the faults that stand were injected; ends them."""
    total = sum(each.injected for each in faults.read(instance))
    faults.clear(instance)
    return total


@contextmanager
def meanwhile(stack: Stack, *arguments: str) -> Iterator[list[str]]:
    """Run a Pulumi command in the background; its output is complete when the block has ended."""
    said: list[str] = []
    with stack.background(*arguments) as process:
        reader = stack.reading(process, said)
        try:
            yield said
        finally:
            with suppress(subprocess.TimeoutExpired):
                process.wait(120)
            process.kill()
            reader.join()
