from __future__ import annotations

import pytest

from components.migration import DEFAULT_RESOURCES, MigrationJob, MigrationJobArgs, content_name, pod_template
from components.migration_report import redact
from tests.unit.recording import Registered, record

JOB = "kubernetes:batch/v1:Job"


def args(**changes) -> MigrationJobArgs:
    base = {
        "service": "users",
        "namespace": "meetinity-dev",
        "image": "ghcr.io/meetinity/user-service:1.0.0",
        "command": ["alembic", "upgrade", "head"],
        "target": "dev-postgres",
    }
    return MigrationJobArgs(**{**base, **changes})


def job(**changes) -> Registered:
    return record(lambda: MigrationJob("users-migration", args(**changes)) and None).one(JOB)


def environment(container) -> dict:
    return {each["name"]: each.get("value", each.get("valueFrom", {}).get("secretKeyRef")) for each in container["env"]}


def test_the_service_gets_its_database_url_explicitly_and_nothing_else_of_the_secret():
    migrate = job().inputs["spec"]["template"]["spec"]["initContainers"][1]
    assert migrate["image"] == "ghcr.io/meetinity/user-service:1.0.0"
    assert migrate["command"] == ["alembic", "upgrade", "head"]
    assert environment(migrate) == {
        "DATABASE_URL": {"name": "platform-database", "key": "DATABASE_URL"},
        "HOME": "/tmp",
    }


def test_the_migration_runs_between_a_guard_and_a_check_that_do_not_trust_it():
    pod = job().inputs["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["initContainers"]] == ["guard", "migrate"]
    assert [each["name"] for each in pod["containers"]] == ["check"]
    # The check reaches the database by the Secret's parts, whatever the service made of the URL.
    found = environment(pod["containers"][0])
    assert "DATABASE_URL" not in found
    assert found["PGHOST"] == {"name": "platform-database", "key": "host"}
    assert found["VERSION_TABLE"] == "alembic_version"


def test_no_password_is_in_any_argv():
    pod = job().inputs["spec"]["template"]["spec"]
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert "PGPASSWORD" not in " ".join(container["command"])
        assert "psql $DATABASE_URL" not in " ".join(container["command"]).replace('"', "")


@pytest.mark.parametrize(
    "change",
    [
        {"image": "ghcr.io/meetinity/user-service:1.0.1"},
        {"image": "ghcr.io/meetinity/user-service@sha256:" + "a" * 64},
        {"command": ["alembic", "upgrade", "+1"]},
        {"revision": "0003"},
        {"version_table": "users.alembic_version"},
        {"target": "dev-postgres-r1"},
        {"secret_name": "other"},
    ],
)
def test_a_change_of_content_makes_a_new_job(change):
    assert job(**change).inputs["metadata"]["name"] != job().inputs["metadata"]["name"]


def test_no_change_makes_no_new_job_and_the_name_is_stable_over_releases():
    assert job().inputs["metadata"]["name"] == job().inputs["metadata"]["name"]
    template = pod_template(args(), "users-migration")
    assert content_name("users", template) == content_name("users", dict(reversed(template.items())))


def test_limits_of_the_job_alone_do_not_run_it_again():
    assert job(deadline_seconds=60, backoff_limit=0).inputs["metadata"]["name"] == job().inputs["metadata"]["name"]


def test_the_job_is_bounded_and_pulumi_waits_longer_than_its_deadline():
    registered = job(deadline_seconds=600)
    spec = registered.inputs["spec"]
    assert (spec["activeDeadlineSeconds"], spec["backoffLimit"]) == (600, 1)
    assert registered.create_timeout == "720s"


def test_the_job_has_no_ttl_so_that_it_is_not_run_again_by_its_own_disappearance():
    assert "ttlSecondsAfterFinished" not in job().inputs["spec"]


def test_a_failed_job_is_replaced_on_the_next_run():
    assert job().inputs["metadata"]["annotations"] == {"pulumi.com/replaceUnready": "true"}


def test_the_pod_is_hardened():
    pod = job().inputs["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"] == DEFAULT_RESOURCES


def test_it_runs_as_an_account_of_its_own_without_a_token():
    recording = record(lambda: MigrationJob("users-migration", args()) and None)
    account = recording.one("kubernetes:core/v1:ServiceAccount").inputs
    assert account["metadata"]["name"] == "users-migration"
    assert account["automountServiceAccountToken"] is False
    assert recording.one(JOB).inputs["spec"]["template"]["spec"]["serviceAccountName"] == "users-migration"


@pytest.mark.parametrize("table", ["alembic_version; DROP TABLE users", "a.b.c", "", "1st", 'x"'])
def test_a_version_table_that_is_no_identifier_is_refused(table):
    with pytest.raises(ValueError, match="is not an identifier"):
        job(version_table=table)


@pytest.mark.parametrize("image", ["users", "ghcr.io:443/users", "ghcr.io/users@sha256:abc"])
def test_an_image_without_tag_or_digest_is_refused(image):
    with pytest.raises(ValueError, match="neither tag nor digest"):
        job(image=image)


def test_what_a_pod_wrote_is_repeated_without_secrets():
    text = "connecting to postgresql+psycopg://app:s3cret@db:5432/x\nwith s3cret and s3cret-longer"
    assert redact(text, ["s3cret", "s3cret-longer"]) == (
        "connecting to postgresql+psycopg://[secret]@db:5432/x\nwith [secret] and [secret]"
    )


def test_credentials_in_urls_are_hidden_even_where_the_secret_is_unknown():
    assert redact("redis://:tok/en@h", []) == "redis://:tok/en@h"
    assert redact("rediss://default:token@host:6379/0", []) == "rediss://[secret]@host:6379/0"
