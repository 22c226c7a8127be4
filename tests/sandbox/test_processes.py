"""Starting, finding and ending the sandbox's servers, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import processes
from sandbox.errors import SandboxError
from sandbox.instance import Instance
from sandbox.ports import require_free
from tests.sandbox.conftest import eventually

PYTHON = sys.executable


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    found = Instance("processes", tmp_path, "127.250.250")
    yield found
    for record in processes.running(found).values():
        os.kill(record.pid, signal.SIGKILL)


def test_a_started_process_is_found_and_starting_it_again_changes_nothing(instance: Instance) -> None:
    record = processes.start(instance, "sleeper", ["sleep", "60"])
    assert processes.start(instance, "sleeper", ["sleep", "60"]) == record
    assert processes.find(instance, "sleeper") == record
    assert os.getsid(record.pid) == record.pid, "a Ctrl-C in the terminal would reach it"
    assert processes.running(instance) == {"sleeper": record}
    processes.stop(instance, "sleeper")
    assert processes.running(instance) == {}


def test_a_process_outlives_the_command_that_started_it(instance: Instance) -> None:
    script = (
        "import sys; from pathlib import Path; from sandbox import processes; from sandbox.instance import Instance;"
        "processes.start(Instance('processes', Path(sys.argv[1]), '127.250.250'), 'sleeper', ['sleep', '60'])"
    )
    subprocess.run([PYTHON, "-c", script, instance.state], check=True)
    assert processes.find(instance, "sleeper")


def test_a_process_that_was_over_before_it_was_recorded_does_not_run(instance: Instance) -> None:
    """Its start time could not be read any more; while its parent does not reap it, it has none either."""
    script = "true & echo $!; exec sleep 60"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout
            zombie = int(parent.stdout.readline())
            eventually(lambda: Path(f"/proc/{zombie}/stat").read_text().split()[2] == "Z")
            path = instance.state / "run" / "quick.json"
            path.parent.mkdir()
            path.write_text(json.dumps({"pid": zombie, "started": None}))
            assert processes.find(instance, "quick") is None
        finally:
            parent.kill()


def test_a_recycled_process_id_is_never_signalled(instance: Instance) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        path = instance.state / "run" / "old.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"pid": stranger.pid, "started": "1"}))
        assert processes.find(instance, "old") is None
        processes.stop(instance, "old")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_that_ignores_the_request_to_end_is_killed(instance: Instance) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    processes.start(instance, "stubborn", [PYTHON, "-c", script])
    eventually(lambda: "ready" in processes.log_path(instance, "stubborn").read_text())
    started = time.monotonic()
    processes.stop(instance, "stubborn", patience=0.3)
    assert 0.3 <= time.monotonic() - started < 30
    assert processes.find(instance, "stubborn") is None


def test_a_server_that_ends_while_starting_is_reported_with_its_last_line(instance: Instance) -> None:
    processes.start(instance, "broken", ["sh", "-c", "echo first; echo the cause; exit 1"])
    with pytest.raises(SandboxError, match=r"broken ended while starting: the cause \(log: .*broken\.log\)"):
        processes.wait_until_ready(instance, "broken", lambda: False)


def test_a_server_that_never_answers_is_given_up(instance: Instance) -> None:
    processes.start(instance, "silent", ["sleep", "60"])
    with pytest.raises(SandboxError, match="silent is not ready after 0 s"):
        processes.wait_until_ready(instance, "silent", lambda: False, seconds=0.2)


def test_logs_and_records_are_private(instance: Instance) -> None:
    processes.start(instance, "sleeper", ["sleep", "60"])
    for path in (processes.log_path(instance, "sleeper"), instance.state / "run" / "sleeper.json"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_missing_program_is_one_clear_line(instance: Instance) -> None:
    with pytest.raises(SandboxError, match="cannot start server: /no/such/program is missing"):
        processes.start(instance, "server", ["/no/such/program"])


def test_a_taken_port_is_reported_with_the_process_that_holds_it() -> None:
    listen = "socket.create_server(('127.250.250.1', 4714))"
    script = f"import socket, sys; s = {listen}; print('ready', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([PYTHON, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout
        holder.stdout.readline()
        message = rf"127\.250\.250\.1:4714 is needed for the API, but .* \(process {holder.pid}\) listens there"
        with pytest.raises(SandboxError, match=message):
            require_free("127.250.250.1", 4714, "the API")
        require_free("127.250.250.2", 4714, "another instance's API")
    finally:
        holder.communicate()
    require_free("127.250.250.1", 4714, "the API")
