"""What a pipeline stands on goes up in the sandbox, moves its state into the bucket that it made, and locks there."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatchcase

import pytest
import yaml

from bootstrap import permissions
from ops import lock
from sandbox.instance import ACCOUNT_ID
from tests.sandbox.bootstrap import BUCKET, Bootstrap


@pytest.fixture(scope="module")
def bootstrap(sandbox, tmp_path_factory) -> Bootstrap:
    made = Bootstrap(sandbox, tmp_path_factory.mktemp("bootstrap"))
    # As docs/ci.md says: there is no bucket yet, so the first state is a file.
    made.pulumi("stack", "init", backend=made.file_backend)
    made.pulumi("up", "--yes", "--skip-preview", backend=made.file_backend)
    return made


@pytest.fixture(scope="module")
def moved(bootstrap) -> Bootstrap:
    """Its state is in the bucket now, its secrets provider the key that it made."""
    exported = bootstrap.directory / "state.json"
    bootstrap.pulumi("stack", "export", "--file", str(exported), backend=bootstrap.file_backend)
    key = "awskms://alias/meetinity-data-bootstrap?region=eu-west-1"
    bootstrap.pulumi("stack", "init", "--secrets-provider", key)
    bootstrap.pulumi("stack", "import", "--file", str(exported))
    return bootstrap


def test_the_bucket_keeps_what_is_lost_and_shows_it_to_nobody(bootstrap):
    def bucket(operation):
        return bootstrap.aws("s3", operation, Bucket=BUCKET)

    assert bucket("get_bucket_versioning")["Status"] == "Enabled"
    (rule,) = bucket("get_bucket_encryption")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert set(bucket("get_public_access_block")["PublicAccessBlockConfiguration"].values()) == {True}
    policy = json.loads(bucket("get_bucket_policy")["Policy"])
    assert policy == permissions.only_encrypted_transport(BUCKET)
    (rule,) = bucket("get_bucket_lifecycle_configuration")["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 365}


def test_every_role_has_its_documents_and_trusts_its_environment_alone(bootstrap):
    for stack in ("dev", "staging", "prod"):
        for kind, environment in (("preview", f"preview-{stack}"), ("deploy", stack)):
            role = bootstrap.aws("iam", "get_role", RoleName=f"meetinity-data-{stack}-{kind}")["Role"]
            (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
            subjects = statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
            assert subjects == [f"repo:meetinity@1/data@2:environment:{environment}"]
            attached = bootstrap.aws("iam", "list_attached_role_policies", RoleName=role["RoleName"])
            names = {each["PolicyName"].rpartition("-")[2] for each in attached["AttachedPolicies"]}
            assert names == ({"look"} if kind == "preview" else {"look", "around", "stores", "backups"})


def test_it_moves_into_its_own_bucket_and_is_still_the_same(moved):
    assert moved.stack_file.read_text().count("encryptedkey:") == 1, "KMS keeps the key of the stack's secrets"
    moved.pulumi("preview", "--refresh", "--expect-no-changes", "--non-interactive")


def test_a_changed_document_is_a_new_version_of_the_policy_that_holds(moved):
    settings = yaml.safe_load(moved.stack_file.read_text())
    settings["config"]["meetinity-data-bootstrap:github"]["oldSubjects"] = True
    moved.stack_file.write_text(yaml.safe_dump(settings))
    moved.pulumi("up", "--yes", "--skip-preview", "--non-interactive")
    role = moved.aws("iam", "get_role", RoleName="meetinity-data-prod-deploy")["Role"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == [
        "repo:meetinity@1/data@2:environment:prod",
        "repo:meetinity/data:environment:prod",
    ]
    moved.pulumi("preview", "--expect-no-changes", "--non-interactive")


def test_a_lock_in_the_bucket_stops_an_update_and_not_a_preview(moved):
    """As a killed update leaves it: pulumi, pkg/backend/diy/lock.go."""
    holder = {"pid": 1734, "username": "runner", "hostname": "fv-az1", "timestamp": "2026-11-24T10:00:00Z"}
    key = ".pulumi/locks/organization/meetinity-data-bootstrap/main/0a1b2c3d.json"
    moved.aws("s3", "put_object", Bucket=BUCKET, Key=key, Body=json.dumps(holder).encode())
    moved.pulumi("preview", "--non-interactive")
    said = moved.pulumi("up", "--yes", "--skip-preview", "--non-interactive", fails=True)
    explained = lock.explanation(said, "main")
    assert explained, said
    assert explained.startswith("stack main is locked by runner@fv-az1 (pid 1734) since 2026-11-24T10:00:00Z.")
    moved.pulumi("cancel", "--yes", "--non-interactive")
    moved.pulumi("up", "--yes", "--skip-preview", "--non-interactive")


def test_what_an_update_writes_is_what_a_deploy_role_may_write(moved):
    listed = moved.aws("s3", "list_object_versions", Bucket=BUCKET)
    found = {each["Key"] for each in [*listed["Versions"], *listed.get("DeleteMarkers", [])]} - {".pulumi/meta.yaml"}
    stack = permissions.Stack("main", ACCOUNT_ID, BUCKET)
    documents = [permissions.change_around(stack)]
    (write,) = [each for each in documents[0]["Statement"] if each["Sid"] == "WriteState"]
    patterns = [each.replace("meetinity-data/", "meetinity-data-bootstrap/") for each in write["Resource"]]
    assert {key.split("/")[1] for key in found} == {"backups", "history", "locks", "stacks"}
    others = [key for key in found if not any(fnmatchcase(f"arn:aws:s3:::{BUCKET}/{key}", each) for each in patterns)]
    assert others == []


def test_nothing_that_others_stand_on_is_destroyed_by_mistake(moved):
    said = moved.pulumi("destroy", "--yes", "--non-interactive", fails=True)
    assert "protected" in said
    assert BUCKET in [each["Name"] for each in moved.aws("s3", "list_buckets")["Buckets"]]


def test_a_configuration_is_refused_with_every_mistake_at_once(bootstrap, tmp_path):
    wrong = Bootstrap(bootstrap.sandbox, tmp_path)
    settings = yaml.safe_load(wrong.stack_file.read_text())
    del settings["config"]["meetinity-data-bootstrap:account"]
    settings["config"]["meetinity-data-bootstrap:github"]["repositoryId"] = "*"
    wrong.stack_file.write_text(yaml.safe_dump(settings))
    wrong.pulumi("stack", "init", backend=wrong.file_backend)
    said = wrong.pulumi("preview", "--non-interactive", backend=wrong.file_backend, fails=True)
    assert "meetinity-data-bootstrap:account:" in said
    assert "meetinity-data-bootstrap:github.repositoryId:" in said
    shutil.rmtree(tmp_path / "backend")
