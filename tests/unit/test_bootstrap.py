"""The roles' documents: preview changes nothing, deploy reaches one stack, and both can do what the program does."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase

import boto3
import pytest
from pydantic import ValidationError

from bootstrap import permissions
from bootstrap.settings import Settings
from components.backup_plan import SERVICE_POLICIES
from sandbox.providers.table import load

STACK = permissions.Stack("staging", "123456789012", "meetinity-data-state")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"
LOOK, STORES, AROUND = permissions.look(STACK, KEY), permissions.change_stores(STACK), permissions.change_around(STACK)
BACKUPS = permissions.change_backups(STACK)
DEPLOY = (LOOK, STORES, AROUND, BACKUPS)
# IAM User Guide, "IAM and AWS STS quotas": characters of a managed policy, white space not counted.
MANAGED_POLICY_SIZE = 6144
GITHUB = {"organization": "meetinity", "organizationId": 11, "repository": "data", "repositoryId": 22}
GIVEN = {"account": "123456789012", "bucket": "meetinity-data-state", "stacks": ["dev"], "github": GITHUB}
# What a row's hooks call, and what the real provider needs and the stand-in does not call.
BY_HOOKS = {
    "aws:ec2/securityGroup:SecurityGroup": {"ec2:RevokeSecurityGroupEgress"},
    "aws:elasticache/replicationGroup:ReplicationGroup": {
        "elasticache:DecreaseReplicaCount",
        "elasticache:IncreaseReplicaCount",
    },
}
REAL = {"iam:PassRole", "iam:CreateServiceLinkedRole", "iam:ListRolePolicies", "ec2:DescribeNetworkInterfaces"}


def statements(*documents):
    return [each for document in documents for each in document["Statement"]]


def allows(documents, action):
    return any(fnmatchcase(action, pattern) for each in statements(*documents) for pattern in each["Action"])


def operations():
    """What the sandbox's provider calls for each type that the program uses, by its table."""
    table = load("aws_resources.yaml")
    used = {token: row for token, row in table["types"].items() if not token.startswith(("aws:s3", "aws:kms"))}
    made = {"aws:iam/openIdConnectProvider:OpenIdConnectProvider", "aws:iam/policy:Policy"}  # by bootstrap alone
    for token, row in used.items():
        if token in made:
            continue
        client = boto3.client(row.service, region_name="eu-west-1")
        methods = {row.operation(verb) for verb in ("create", "read", "update", "delete")} - {""}
        methods |= {each for own in row.own.values() for each in own.values()}
        methods |= {restore["operation"] for restore in row.restores.values()}
        methods |= {row.also[name]["operation"] for name in row.also}
        if "tags" in row.arguments:
            methods |= {table["tagging"][row.service][verb] for verb in ("tag", "untag")}
            methods |= {table["tagging"][row.service].get("read", row.operation("read"))}
        for method in methods:
            if method in client.meta.method_to_api_mapping:
                yield f"{row.service}:{client.meta.method_to_api_mapping[method]}", token
        for action in BY_HOOKS.get(token, ()):
            yield action, token
    for function in table["functions"].values():
        client = boto3.client(function["service"], region_name="eu-west-1")
        yield f"{function['service']}:{client.meta.method_to_api_mapping[function['operation']]}", "function"


def test_deploy_may_do_whatever_the_program_needs_of_each_kind_of_resource():
    needed = dict(operations())
    assert len(needed) > 60
    assert {action: of for action, of in needed.items() if not allows(DEPLOY, action)} == {}
    assert [each for each in REAL if not allows(DEPLOY, each)] == []


def test_preview_may_look_at_whatever_deploy_manages():
    reading = {each for each, _ in operations() if re.match(r"\w+:(Describe|Get|List)", each)}
    assert len(reading) > 15
    assert {each for each in reading if not allows([LOOK], each)} == set()


def test_preview_cannot_change_anything_nor_open_anything_but_its_own_stacks_secrets():
    actions = {action for each in statements(LOOK) for action in each["Action"]}
    assert [each for each in actions if not re.match(r"\w+:(Describe|Get|List)", each)] == ["kms:Decrypt"]
    assert "*" not in {each.partition(":")[2] for each in actions}
    secrets = [each for each in statements(*DEPLOY) if any(action.startswith("kms:") for action in each["Action"])]
    assert [(each["Action"], each["Resource"]) for each in secrets] == [(["kms:Decrypt"], [KEY])]
    objects = next(each for each in statements(LOOK) if "s3:GetObject" in each["Action"])["Resource"]
    assert objects[0].endswith("/.pulumi/meta.yaml")
    assert all("/staging" in each for each in objects[1:])


# Writes that AWS gives no name or tag to hold on to, or that a condition limits to what is harmless.
UNNAMED = {
    "VaultStorage",
    "InVpc",
    "LogDelivery",
    "Restore",
    "RestoreCache",
    "AwsGroups",
    "TagNewGroups",
    "FirstOfItsKind",
    "DrillFigures",
}


def test_deploy_reaches_no_other_stacks_resources():
    for each in statements(STORES, AROUND, BACKUPS):
        told = json.dumps([each["Resource"], each.get("Condition", {})])
        assert each["Sid"] in UNNAMED or "staging" in told, each["Sid"]
        assert "dev-" not in told
        # A name that merely contains the stack's would let `staging` at `not-staging-…`.
        for resource in each["Resource"]:
            assert "*staging" not in resource
    unnamed = {
        each["Sid"]: set(each["Action"]) for each in statements(STORES, AROUND, BACKUPS) if each["Sid"] in UNNAMED
    }
    assert unnamed.keys() == UNNAMED
    assert not {
        each for actions in unnamed.values() for each in actions if re.search(r":(Delete(?!Log)|Reset|Reboot)", each)
    }


def test_deploy_cannot_raise_its_own_rights():
    for action in (
        "iam:PutRolePolicy",
        "iam:CreatePolicyVersion",
        "iam:CreateUser",
        "iam:CreateAccessKey",
        "kms:Encrypt",
    ):
        assert not allows(DEPLOY, action), action
    attach = next(each for each in statements(AROUND) if "iam:AttachRolePolicy" in each["Action"])
    assert attach["Condition"] == {"ArnEquals": {"iam:PolicyARN": permissions.MONITORING_POLICY}}
    (attach,) = (each for each in statements(BACKUPS) if "iam:AttachRolePolicy" in each["Action"])
    assert attach["Condition"] == {"ArnEquals": {"iam:PolicyARN": permissions.BACKUP_POLICIES}}
    assert list(SERVICE_POLICIES.values()) == permissions.BACKUP_POLICIES
    roles = {resource for each in statements(AROUND, BACKUPS) for resource in each["Resource"] if ":role/" in resource}
    assert roles == {"arn:aws:iam::123456789012:role/staging-*"}
    assert not fnmatchcase("arn:aws:iam::123456789012:role/meetinity-data-staging-deploy", *roles)


@pytest.mark.parametrize("name", ["dev", "a-rather-long-environment-name"])
def test_every_document_fits_into_a_managed_policy(name):
    stack = permissions.Stack(name, "123456789012", "b" * 63)
    changes = (permissions.change_stores, permissions.change_around, permissions.change_backups)
    for document in (permissions.look(stack, KEY), *(change(stack) for change in changes)):
        assert len(json.dumps(document, separators=(",", ":"))) <= MANAGED_POLICY_SIZE
        assert len({each["Sid"] for each in document["Statement"]}) == len(document["Statement"])


@pytest.mark.parametrize(
    ("old", "subjects"),
    [
        (False, ["repo:meetinity@11/data@22:environment:prod"]),
        (True, ["repo:meetinity@11/data@22:environment:prod", "repo:meetinity/data:environment:prod"]),
    ],
)
def test_a_role_trusts_one_environment_of_one_repository(old, subjects):
    settings = Settings.model_validate({**GIVEN, "github": {**GITHUB, "oldSubjects": old}})
    document = permissions.trust("arn:aws:iam::123456789012:oidc-provider/x", settings.github.subjects("prod"))
    assert document["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/x"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                    "token.actions.githubusercontent.com:sub": subjects,
                }
            },
        }
    ]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"github": {**GITHUB, "organizationId": "*"}}, "github.organizationId"),
        ({"github": {**GITHUB, "repository": "*"}}, "github.repository"),
        ({"github": {**GITHUB, "repository": "data:environment:prod"}}, "github.repository"),
        ({"github": {each: GITHUB[each] for each in ("organization", "organizationId", "repository")}}, "repositoryId"),
        ({"stacks": []}, "stacks"),
        ({"stacks": ["*"]}, "stacks.0"),
        ({"stacks": ["dev", "dev-2"]}, "stacks"),
        ({"stacks": ["dev", "preview-dev"]}, "stacks"),
        ({"stacks": ["meetinity"]}, "stacks"),
        ({"stacks": ["dev", "meetinity-data"]}, "stacks"),
        ({"account": "1234"}, "account"),
        ({"bucket": "Meetinity_State"}, "bucket"),
        ({"bukket": "x"}, "bukket"),
    ],
)
def test_a_configuration_that_would_trust_too_many_is_refused(change, where):
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({**GIVEN, **change})
    assert where in ".".join(str(part) for part in refused.value.errors()[0]["loc"])


def test_the_state_is_reached_by_tls_alone():
    (deny,) = permissions.only_encrypted_transport("b")["Statement"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:*")
    assert deny["Resource"] == ["arn:aws:s3:::b", "arn:aws:s3:::b/*"]
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
