"""`python -m sandbox` as a person uses it, on a whole sandbox."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox import control_plane, images, lifecycle, processes, stack
from sandbox.__main__ import main
from sandbox.errors import SandboxError
from sandbox.instance import CHECKOUT, NAME_VARIABLE, Instance, state_home
from sandbox.progress import Progress
from tests.sandbox.aws.conftest import PASSWORD
from tests.sandbox.aws.conftest import Api as Aws
from tests.sandbox.conftest import Sandbox, eventually


def cli(instance: Instance, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), NAME_VARIABLE: instance.name, **variables}
    command = [sys.executable, "-P", "-m", "sandbox", *arguments]
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error that was meant for a person."""
    assert done.returncode == 1, done
    lines = done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert lines[-1].startswith("sandbox: ")
    return lines[-1]


def test_up_when_all_is_up_changes_nothing_and_is_quick(sandbox: Sandbox) -> None:
    before = processes.running(sandbox.instance)
    started = time.monotonic()
    done = cli(sandbox.instance, "up")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 15
    assert processes.running(sandbox.instance) == before
    assert set(lifecycle.SERVERS) <= set(before)


def test_down_leaves_no_process_and_up_brings_the_state_back(sandbox: Sandbox) -> None:
    sandbox.kubectl("create", "configmap", "kept", "--namespace=default", "--from-literal=a=b")
    vpc = ("aws", "ec2", "describe-vpcs", "--filters=Name=tag:Project,Values=meetinity", "--query=Vpcs[].VpcId")
    before = sandbox.run(*vpc).stdout
    pod = ["run", "long", "--namespace=default", f"--image={images.POSTGRESQL_CLIENT}", "--restart=Never"]
    sandbox.kubectl(*pod, "--command", "--", "sleep", "4721")
    eventually(
        lambda: sandbox.kubectl("get", "pod", "long", "--namespace=default", "-o=jsonpath={.status.phase}") == "Running"
    )

    assert cli(sandbox.instance, "down").returncode == 0
    assert processes.running(sandbox.instance) == {}
    assert _of(sandbox.instance) == []
    assert "not up" in complaint(cli(sandbox.instance, "env"))
    assert "not running" in cli(sandbox.instance, "status").stdout

    # Two at once: one works, the other waits and finds the work done.
    again = [
        subprocess.Popen(
            [sys.executable, "-m", "sandbox", "up"],
            cwd=CHECKOUT,
            env={**os.environ, NAME_VARIABLE: sandbox.instance.name},
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in again]
    assert [process.returncode for process in again] == [0, 0], said
    assert sum("waiting for it to finish" in text for text in said) == 1
    managers = [command for command in _of(sandbox.instance) if "/kube-controller-manager" in command.split()[0]]
    assert len(managers) == 1, "both started one"
    assert sandbox.kubectl("get", "configmap", "kept", "--namespace=default", "-o=jsonpath={.data.a}") == "b"
    assert sandbox.run(*vpc).stdout == before
    eventually(
        lambda: sandbox.kubectl("get", "pod", "long", "--namespace=default", "-o=jsonpath={.status.phase}") == "Failed"
    )


def _of(instance: Instance) -> list[str]:
    """Command lines that name the instance's state, or run with it as their directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().replace("\0", " ")
            if str(instance.state) in command or str((process / "cwd").readlink()).startswith(str(instance.state)):
                found.append(command)
        except OSError:
            continue
    return found


def test_a_dead_control_plane_is_said_and_up_revives_it(sandbox: Sandbox) -> None:
    for name in ("etcd", "kube-apiserver", "aws-api"):
        record = processes.find(sandbox.instance, name)
        assert record
        os.kill(record.pid, signal.SIGKILL)
    eventually(lambda: processes.find(sandbox.instance, "etcd") is None)
    assert "kube-apiserver" in complaint(cli(sandbox.instance, "env"))
    lifecycle.up(sandbox.instance, lambda _: None)
    assert control_plane.client(sandbox.instance, "test").get("/api/v1/namespaces/meetinity-local")


def test_dead_servers_of_the_account_are_said_and_up_revives_them(sandbox: Sandbox) -> None:
    aws = Aws(sandbox.instance)
    private = [{"Name": "tag:Tier", "Values": ["private"]}]
    ec2, rds, cache = (aws.client(service) for service in ("ec2", "rds", "elasticache"))
    subnets = [row["SubnetId"] for row in ec2.describe_subnets(Filters=private)["Subnets"]]
    rds.create_db_subnet_group(DBSubnetGroupName="mortal", DBSubnetGroupDescription="d", SubnetIds=subnets)
    cache.create_cache_subnet_group(CacheSubnetGroupName="mortal", CacheSubnetGroupDescription="d", SubnetIds=subnets)
    cluster = rds.create_db_cluster(
        DBClusterIdentifier="mortal",
        Engine="aurora-postgresql",
        MasterUsername="master",
        MasterUserPassword=PASSWORD,
        DBSubnetGroupName="mortal",
    )["DBCluster"]
    rds.create_db_instance(
        DBInstanceIdentifier="mortal-1",
        DBClusterIdentifier="mortal",
        Engine="aurora-postgresql",
        DBInstanceClass="db.r6g.large",
    )
    cache.create_replication_group(
        ReplicationGroupId="mortal", ReplicationGroupDescription="d", Engine="redis", CacheSubnetGroupName="mortal"
    )
    (shard,) = cache.describe_replication_groups(ReplicationGroupId="mortal")["ReplicationGroups"][0]["NodeGroups"]
    servers = ("postgres-mortal-1", "redis-mortal-001")
    try:
        for name in servers:
            record = processes.find(sandbox.instance, name)
            assert record
            os.kill(record.pid, signal.SIGKILL)
        eventually(lambda: not set(servers) & set(processes.running(sandbox.instance)))
        rows = {name: process for name, process, *_ in lifecycle.status(sandbox.instance)}
        assert [rows[name] for name in servers] == ["not running", "not running"]

        lifecycle.up(sandbox.instance, lambda _: None)
        for address, port in ((cluster["Endpoint"], 5432), tuple(shard["PrimaryEndpoint"].values())):
            socket.create_connection((address, port), timeout=5).close()
    finally:
        rds.delete_db_instance(DBInstanceIdentifier="mortal-1")
        rds.delete_db_cluster(DBClusterIdentifier="mortal", SkipFinalSnapshot=True)
        rds.delete_db_subnet_group(DBSubnetGroupName="mortal")
        cache.delete_replication_group(ReplicationGroupId="mortal")
        cache.delete_cache_subnet_group(CacheSubnetGroupName="mortal")


@pytest.mark.parametrize("shell", [shell for shell in ("bash", "zsh") if shutil.which(shell)])
def test_activate_sets_the_environment_and_deactivate_brings_the_old_one_back(sandbox: Sandbox, shell: str) -> None:
    script = f"""
    show() {{ env | grep -vE '^(_|SHLVL|OLDPWD)=' | sort; }}
    before=$(show)
    . {shlex.quote(str(CHECKOUT / "sandbox" / "activate"))} || exit 3
    pulumi version && kubectl get nodes --no-headers && aws eks list-clusters --output text && psql --version
    echo "profile: ${{AWS_PROFILE-none}}"
    sandbox_deactivate
    [ "$before" = "$(show)" ] && echo restored
    """
    environment = {**os.environ, NAME_VARIABLE: sandbox.instance.name, "AWS_PROFILE": "it's mine"}
    done = subprocess.run([shell, "-c", script], env=environment, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    for expected in ("v3.", "process-node", "meetinity-eks", "psql (PostgreSQL)", "profile: none\n", "restored\n"):
        assert expected in done.stdout, done


def test_activate_fails_clearly_when_the_sandbox_is_not_up(unused: Instance) -> None:
    activate = shlex.quote(str(CHECKOUT / "sandbox" / "activate"))
    script = f". {activate}; echo status $?; type sandbox_deactivate _sandbox_activate 2>/dev/null"
    environment = {**os.environ, NAME_VARIABLE: unused.name}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "status 1\n"
    assert f"sandbox {unused.name} is not up" in done.stderr
    assert "run `make up`" in done.stderr


def test_the_engine_takes_every_provider_without_a_warning(sandbox: Sandbox, tmp_path: Path) -> None:
    for name in ("aws", "kubernetes", "random"):
        version = importlib.metadata.version(f"pulumi-{name}")
        launcher = (
            sandbox.instance.state / "pulumi" / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}"
        )
        assert os.access(launcher, os.X_OK)
    (tmp_path / "Pulumi.yaml").write_text(
        f"name: probe\nruntime:\n  name: python\n  options: {{virtualenv: {sys.prefix}}}\n"
    )
    (tmp_path / "__main__.py").write_text("import pulumi_random\npulumi_random.RandomId('id', byte_length=4)\n")
    environment = sandbox.environment | {"PULUMI_BACKEND_URL": f"file://{tmp_path}"}
    probe = Sandbox(sandbox.instance, sandbox.tools, environment)
    pulumi = str(sandbox.instance.binaries / "pulumi")
    probe.run(pulumi, "stack", "init", "probe", directory=tmp_path)
    done = probe.run(pulumi, "up", "--yes", "--non-interactive", directory=tmp_path)
    assert "2 created" in done.stdout
    assert "warning" not in (done.stdout + done.stderr).lower()


def test_a_second_command_waits_for_the_first_and_says_so(unused: Instance) -> None:
    environment = {**os.environ, NAME_VARIABLE: unused.name}
    command = [sys.executable, "-m", "sandbox", "down"]
    with lifecycle.alone(unused, lambda _: None):
        second = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stderr=subprocess.PIPE, text=True)
        assert second.stderr
        assert f"process {os.getpid()} is at work on it; waiting" in second.stderr.readline()
        time.sleep(0.3)
        assert second.poll() is None
    assert "is down" in second.communicate(timeout=300)[1]


def test_down_waits_for_a_deployment(monkeypatch: pytest.MonkeyPatch, unused: Instance) -> None:
    command = [sys.executable, "-P", "-m", "sandbox", "down"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), NAME_VARIABLE: unused.name}
    waiting = []

    def up(instance: Instance, report: Progress) -> dict[str, Path]:
        with lifecycle.alone(instance, report):
            return {}

    def deploy(*_: object) -> int:
        second = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        waiting.append(second)
        assert second.stderr
        assert f"process {os.getpid()} is at work on it; waiting" in second.stderr.readline()
        return 0

    monkeypatch.setenv(NAME_VARIABLE, unused.name)
    monkeypatch.setattr(lifecycle, "up", up)
    monkeypatch.setattr(lifecycle, "environment", lambda *_: {})
    monkeypatch.setattr(stack, "deploy", deploy)
    done = CliRunner().invoke(main, ["up", "--deploy"])
    assert "is down" in waiting[0].communicate(timeout=300)[1]
    assert done.exit_code == 0, done


@pytest.mark.parametrize(
    ("lock", "released"),
    [("", True), ('{"pid": 4194304}', True), (f'{{"pid": {os.getpid()}}}', True), (None, False)],
    ids=["killed while it wrote it", "no such process", "another program's process", "none"],
)
def test_a_lock_that_nobody_holds_is_released(
    lock: str | None, *, released: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(stack, "pulumi", lambda arguments, *_, **__: asked.append(arguments[0]) or 0)
    path = tmp_path / ".pulumi" / "locks" / "organization" / "meetinity-data" / "local" / "1.json"
    path.parent.mkdir(parents=True)
    if lock is not None:
        path.write_text(lock)
    assert stack.deploy({"PULUMI_BACKEND_URL": f"file://{tmp_path}"}, lambda _: None) == 0
    assert asked == ["stack", *(["cancel"] if released else []), "up"]


@pytest.mark.parametrize("name", ["../evil", "", "Upper", "-a", "a" * 32, "a\n"])
def test_a_name_that_could_leave_the_state_home_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = sorted(state_home().parent.iterdir())
    monkeypatch.setenv(NAME_VARIABLE, name)
    done = CliRunner().invoke(main, ["status"])
    assert done.exit_code == 1
    assert done.stderr == (
        f"sandbox: MEETINITY_SANDBOX={name!r} names no sandbox: "
        "1 to 31 of a-z, 0-9 and `-` are allowed, no `-` in front\n"
    )
    assert sorted(state_home().parent.iterdir()) == before


@pytest.mark.parametrize(("command", "code"), [("status", 1), ("env", 1), ("down", 0), ("reset --yes", 0)])
def test_asking_for_a_sandbox_that_never_was_makes_none(
    monkeypatch: pytest.MonkeyPatch, command: str, code: int
) -> None:
    monkeypatch.setenv(NAME_VARIABLE, "never")
    done = CliRunner().invoke(main, command.split())
    assert (done.exit_code, done.stderr) == (
        code,
        "sandbox: sandbox never does not exist: run `make up` to create it\n",
    )
    assert not list(state_home().glob("never-*"))


def test_a_missing_tool_is_one_clear_line(unused: Instance, tmp_path: Path) -> None:
    tools = tmp_path / "path"
    tools.mkdir()
    for name in ("sh", "env"):
        (tools / name).symlink_to(f"/bin/{name}")
    line = complaint(cli(unused, "up", PATH=str(tools), XDG_CACHE_HOME=str(tmp_path / "cache")))
    assert "`go` is not on PATH" in line or "must be installed" in line


def test_reset_asks_first_and_deletes_the_state(unused: Instance) -> None:
    assert "say --yes" in complaint(cli(unused, "reset"))
    assert unused.state.exists()
    assert cli(unused, "reset", "--yes").returncode == 0
    assert not unused.state.exists()


def test_reset_deletes_under_the_lock_and_who_waited_works_in_a_new_state(
    unused: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = []
    delete = shutil.rmtree

    def watched(path: Path) -> None:
        command = [sys.executable, "-P", "-m", "sandbox", "down"]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), NAME_VARIABLE: unused.name}
        waiting.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        assert waiting[0].stderr
        assert f"process {os.getpid()} is at work on it; waiting" in waiting[0].stderr.readline()
        delete(path)

    monkeypatch.setattr(shutil, "rmtree", watched)
    lifecycle.reset(unused, lambda _: None)
    assert "is down" in waiting[0].communicate(timeout=300)[1]
    assert waiting[0].returncode == 0


def test_an_image_is_added_as_a_copy_and_replaced_as_a_whole(unused: Instance, tmp_path: Path) -> None:
    content = tmp_path / "content"
    (content / "versions").mkdir(parents=True)
    (content / "versions" / "0001.py").write_text("first")
    assert cli(unused, "image", "add", "team/service:1.0.0", str(content)).returncode == 0
    (content / "versions" / "0001.py").rename(content / "versions" / "0002.py")
    assert cli(unused, "image", "add", "team/service:1.0.0", str(content)).returncode == 0
    found = images.find(unused, "team/service:1.0.0")
    assert found
    assert [path.name for path in (found.directory / "versions").iterdir()] == ["0002.py"]
    assert str(Path(sys.prefix) / "bin") in found.path
    digest = f"team/service:1.0.0@sha256:{'a' * 64}"
    assert images.find(unused, digest) is None
    images.add(unused, digest, content)
    assert images.find(unused, digest)


@pytest.mark.parametrize(
    "reference", ["Team/service:1", "../up:1", "a/../b:1", "service:", "a b:1", "x@sha256:abc", ""]
)
def test_what_is_no_image_name_is_refused(unused: Instance, reference: str) -> None:
    with pytest.raises(SandboxError, match="is not an image: expected REPOSITORY:TAG"):
        images.location(unused, reference)
    assert "is not an image" in complaint(cli(unused, "image", "add", reference, "/tmp"))


def test_a_missing_directory_makes_no_image(unused: Instance, tmp_path: Path) -> None:
    assert "is not a directory" in complaint(cli(unused, "image", "add", "a:1", str(tmp_path / "none")))


def test_an_image_that_has_not_changed_stays_as_it_is(unused: Instance, tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_text("[alembic]")
    first = images.add(unused, "team/service:1.0.0", tmp_path).stat().st_ino
    assert images.add(unused, "team/service:1.0.0", tmp_path).stat().st_ino == first


@pytest.mark.parametrize(
    ("problem", "code", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/state/x"),
            1,
            "the disk is full, /state/x cannot be written",
        ),
        (KeyboardInterrupt(), 130, "interrupted; the same command goes on from here"),
    ],
)
def test_a_full_disk_and_an_interruption_are_one_line(
    monkeypatch: pytest.MonkeyPatch, unused: Instance, problem: BaseException, code: int, line: str
) -> None:
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setenv(NAME_VARIABLE, unused.name)
    monkeypatch.setattr(lifecycle, "up", fail)
    done = CliRunner().invoke(main, ["up"])
    assert done.exit_code == code
    assert done.stderr.startswith(f"sandbox: {line}")
    assert len(done.stderr.splitlines()) == 1
