"""What a person reads of a migration's end, over a cluster that answers from a script."""

from __future__ import annotations

import asyncio
import base64
from types import SimpleNamespace as Answer

import kubernetes
import pytest

from components.migration_report import Cluster, report_failure, report_success

JOB = {"metadata": {"namespace": "meetinity-dev", "name": "users-migration-0a1b2c3d"}}
CLUSTER = Cluster(kubeconfig="{}", context=None)


def container(name, *, exit_code=None, message=None, waiting=None):
    ended = Answer(exit_code=exit_code, message=message) if exit_code is not None else None
    return Answer(name=name, state=Answer(terminated=ended, waiting=waiting))


def pod(name, *, init=(), containers=(), created=1):
    return Answer(
        metadata=Answer(name=name, creation_timestamp=created),
        status=Answer(init_container_statuses=list(init), container_statuses=list(containers)),
    )


class Core:
    """The few calls that the report makes."""

    pods: list = []  # noqa: RUF012 - a script, set by each test
    events: list = []  # noqa: RUF012
    log = b""

    def __init__(self, api):
        pass

    def list_namespaced_pod(self, namespace, label_selector):
        assert (namespace, label_selector) == (
            "meetinity-dev",
            "batch.kubernetes.io/job-name=users-migration-0a1b2c3d",
        )
        return Answer(items=self.pods)

    def list_namespaced_event(self, namespace):
        return Answer(items=self.events)

    def read_namespaced_pod_log(self, name, namespace, container, tail_lines, _preload_content):
        assert tail_lines == 20
        return Answer(data=self.log)

    def read_namespaced_secret(self, name, namespace):
        assert name == "platform-database"
        data = {"password": "s3cret-of-the-db", "host": "db.example"}
        return Answer(data={key: base64.b64encode(value.encode()).decode() for key, value in data.items()})


@pytest.fixture
def said(monkeypatch):
    lines = []
    for level in ("info", "warn", "error"):
        monkeypatch.setattr(f"pulumi.log.{level}", lambda text, level=level: lines.append((level, text)))

    class Api:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(kubernetes.config, "new_client_from_config_dict", lambda _: Api())
    monkeypatch.setattr(kubernetes.client, "CoreV1Api", type("Script", (Core,), {}))
    return lines


def script(**answers):
    for name, answer in answers.items():
        setattr(kubernetes.client.CoreV1Api, name, answer)


def test_success_names_the_revision_that_the_check_left(said):
    script(pods=[pod("users-1", containers=[container("check", exit_code=0, message="0004\n")])])
    asyncio.run(report_success(JOB, "users", CLUSTER))
    assert said == [
        ("info", "migration users: the database is at revision 0004 (Job meetinity-dev/users-migration-0a1b2c3d)")
    ]


def test_failure_names_the_newest_pod_its_container_exit_code_and_last_lines_without_secrets(said):
    script(
        pods=[
            pod("users-1", init=[container("migrate", exit_code=9)], created=1),
            pod("users-2", init=[container("guard", exit_code=0), container("migrate", exit_code=3)], created=2),
        ],
        log=b"connecting with s3cret-of-the-db\nto db.example: no such table\n",
    )
    asyncio.run(report_failure(JOB, "users", "platform-database", CLUSTER))
    ((level, text),) = said
    assert level == "error"
    assert text.splitlines() == [
        "migration users failed (Job meetinity-dev/users-migration-0a1b2c3d): container migrate of pod users-2 ended "
        "with exit code 3. Its last lines:",
        "  | connecting with [secret]",
        "  | to db.example: no such table",
        "All of it: kubectl logs --namespace meetinity-dev users-2 --container migrate",
        "Mend it and run `pulumi up` again: until then the failed Job stays, with its logs.",
    ]


def test_an_image_that_cannot_be_pulled_is_named_as_such(said):
    waiting = Answer(reason="ErrImagePull", message="not found")
    script(pods=[pod("users-1", init=[container("migrate", waiting=waiting)])])
    asyncio.run(report_failure(JOB, "users", "platform-database", CLUSTER))
    assert said[0][1].endswith("container migrate of pod users-1 never started: ErrImagePull: not found")


def test_past_the_deadline_the_events_tell_because_the_pods_are_gone(said):
    def event(kind, name):
        return Answer(type=kind, reason="Failed", message="pull refused", involved_object=Answer(name=name))

    script(events=[event("Warning", "users-migration-0a1b2c3d-x1"), event("Warning", "other"), event("Normal", "x")])
    asyncio.run(report_failure(JOB, "users", "platform-database", CLUSTER))
    assert said[0][1] == "migration users failed (Job meetinity-dev/users-migration-0a1b2c3d): Failed: pull refused"


@pytest.mark.parametrize(
    "error", [kubernetes.client.ApiException(status=403, reason="Forbidden"), ConnectionRefusedError()]
)
def test_a_cluster_that_does_not_answer_is_a_warning_and_no_second_failure(said, error):
    def refuse(*_, **__):
        raise error

    script(list_namespaced_pod=refuse)
    asyncio.run(report_failure(JOB, "users", "platform-database", CLUSTER))
    ((level, text),) = said
    assert level == "warn"
    assert "did not say how the migration ended" in text
