"""Our own components against our own pack: they pass, and taking out any protective input is caught."""

from __future__ import annotations

import copy
import dataclasses
from datetime import date
from typing import Any

import pytest
import yaml

from policies import tokens
from policies.configuration import ENVIRONMENTS, for_environment
from policies.offline import CHECKOUT, report, resources
from policies.rule import Resource
from policies.value import Secret

TODAY = date(2026, 11, 23)
SETTINGS = {environment: for_environment(environment) for environment in ENVIRONMENTS}


def configuration(stack: str) -> dict[str, Any]:
    return yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())["config"]


@pytest.fixture(scope="module")
def registered() -> dict[str, list[Resource]]:
    return {stack: resources(stack, configuration(stack)) for stack in ENVIRONMENTS}


def broken(found: list[Resource], environment: str = "prod") -> set[str]:
    return {
        each.rule for each in report(found, SETTINGS[environment], TODAY) if each.outcome in ("mandatory", "undecided")
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_our_own_program_passes_its_environments_policies(registered, environment):
    lines = report(registered[environment], SETTINGS[environment], TODAY)
    assert [each for each in lines if each.outcome == "mandatory"] == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_undecided_offline_is_only_what_other_resources_make(registered, environment):
    """One more and a rule has begun to look at something that no reviewer can see before the update."""
    lines = report(registered[environment], SETTINGS[environment], TODAY)
    assert {(each.rule, each.message.split()[0]) for each in lines if each.outcome == "undecided"} == {
        ("aurora-final-snapshot-taken", "finalSnapshotIdentifier"),
        ("redis-final-snapshot-taken", "finalSnapshotIdentifier"),
        ("enhanced-monitoring-on", "monitoringRoleArn"),
        ("redis-authenticated", "authToken"),
        ("connection-secret-keys", "stringData"),
    }


# For each input of what the components register: the rules that catch its removal, or why none needs to.
# An input that is in neither list fails the test: whoever adds one says which it is.
CAUGHT: dict[str, dict[str, set[str]]] = {
    tokens.CLUSTER: {
        "backupRetentionPeriod": {"aurora-backup-retention"},
        "copyTagsToSnapshot": {"aurora-snapshot-tags-copied"},
        "databaseInsightsMode": {"database-insights-mode"},
        "dbClusterParameterGroupName": {"aurora-own-parameters"},
        "dbSubnetGroupName": {"aurora-own-subnets"},
        "deleteAutomatedBackups": {"aurora-automated-backups-kept"},
        "deletionProtection": {"aurora-deletion-protection"},
        "enabledCloudwatchLogsExports": {"aurora-logs-exported"},
        "engine": {"engine-supported"},
        "engineVersion": {"engine-supported"},
        "finalSnapshotIdentifier": {"aurora-final-snapshot-taken", "final-snapshot-named-apart"},
        "iamDatabaseAuthenticationEnabled": {"aurora-iam-authentication"},
        "masterUsername": {"aurora-admin-name"},
        "monitoringInterval": {"enhanced-monitoring-on", "performance-insights-alike"},
        "monitoringRoleArn": {"enhanced-monitoring-on"},
        "performanceInsightsEnabled": {
            "performance-insights-on", "performance-insights-alike", "database-insights-mode",
        },
        "performanceInsightsRetentionPeriod": {
            "performance-insights-retention", "performance-insights-alike", "database-insights-mode",
        },
        "preferredBackupWindow": {"aurora-windows-apart"},
        "preferredMaintenanceWindow": {"aurora-windows-apart"},
        "skipFinalSnapshot": {"aurora-final-snapshot-taken"},
        "storageEncrypted": {"aurora-storage-encrypted"},
        "tags": {"tags-complete"},
    },
    tokens.INSTANCE: {
        "autoMinorVersionUpgrade": {"aurora-minor-upgrades"},
        "dbSubnetGroupName": {"aurora-own-subnets"},
        "monitoringInterval": {"enhanced-monitoring-on", "performance-insights-alike"},
        "monitoringRoleArn": {"enhanced-monitoring-on"},
        "performanceInsightsEnabled": {"performance-insights-on", "performance-insights-alike"},
        "performanceInsightsRetentionPeriod": {"performance-insights-retention", "performance-insights-alike"},
        "publiclyAccessible": {"aurora-not-public"},
        "tags": {"tags-complete"},
    },
    tokens.CLUSTER_PARAMETERS: {
        "parameters": {"aurora-tls-forced", "aurora-statements-logged", "aurora-statements-counted"},
        "tags": {"tags-complete"},
    },
    tokens.REPLICATION_GROUP: {
        "atRestEncryptionEnabled": {"redis-encrypted-at-rest"},
        "authToken": {"redis-authenticated"},
        "autoMinorVersionUpgrade": {"redis-minor-upgrades"},
        "automaticFailoverEnabled": {"redis-fails-over"},
        "engineVersion": {"engine-supported"},
        "finalSnapshotIdentifier": {"redis-final-snapshot-taken", "final-snapshot-named-apart"},
        "logDeliveryConfigurations": {"redis-logs-delivered"},
        "maintenanceWindow": {"redis-windows-apart"},
        "multiAzEnabled": {"redis-fails-over"},
        "numCacheClusters": {"redis-fails-over"},
        "snapshotRetentionLimit": {"redis-snapshot-retention"},
        "snapshotWindow": {"redis-windows-apart"},
        "subnetGroupName": {"redis-own-subnets"},
        "tags": {"tags-complete"},
        "transitEncryptionEnabled": {"redis-encrypted-in-transit"},
    },
    tokens.SECURITY_GROUP: {"description": {"firewall-described"}, "tags": {"tags-complete"}},
    tokens.INGRESS_RULE: {"description": {"firewall-described"}, "tags": {"tags-complete"}},
    tokens.SECRET: {"type": {"connection-secret-keys"}, "stringData": {"connection-secret-keys"}},
    tokens.JOB: {
        "metadata.namespace": {"namespace-named"},
        "spec.activeDeadlineSeconds": {"job-deadline"},
        "spec.backoffLimit": {"job-backoff"},
        "spec.template.spec.automountServiceAccountToken": {"pod-own-account"},
        "spec.template.spec.serviceAccountName": {"pod-own-account"},
        "spec.template.spec.securityContext": {"container-not-root", "container-seccomp"},
        "spec.template.spec.containers.image": {"image-pinned"},
        "spec.template.spec.containers.resources": {"container-resources"},
        "spec.template.spec.containers.securityContext": {
            "container-read-only", "container-unprivileged", "container-without-capabilities",
        },
        "spec.template.spec.initContainers.image": {"image-pinned"},
        "spec.template.spec.initContainers.resources": {"container-resources"},
        "spec.template.spec.initContainers.securityContext": {
            "container-read-only", "container-unprivileged", "container-without-capabilities",
        },
    },
    tokens.ROLE: {"rules.resourceNames": {"secrets-read-by-name"}},
}  # fmt: skip

NAMES = "a name; the engine refuses the resource, or makes one, without it"
DEFAULT = "AWS's own default does the same"
SIZE = "size and placement, not safety"
NOT_PROTECTIVE: dict[str, dict[str, str]] = {
    tokens.CLUSTER: {
        "allowMajorVersionUpgrade": DEFAULT, "applyImmediately": DEFAULT, "clusterIdentifier": NAMES,
        "databaseName": NAMES, "engineMode": DEFAULT, "port": DEFAULT,
        "masterPassword": "AWS refuses a new cluster without it",
        "vpcSecurityGroupIds": "AWS then takes the VPC's default group, which admits only its own members",
    },
    tokens.INSTANCE: {
        "applyImmediately": DEFAULT, "clusterIdentifier": NAMES, "identifier": NAMES,
        "dbParameterGroupName": "what protects is in the cluster's parameter group",
        "engine": "AWS refuses an instance without it", "instanceClass": "AWS refuses an instance without it",
        "preferredMaintenanceWindow": "AWS picks one; backups are the cluster's", "promotionTier": SIZE,
    },
    tokens.CLUSTER_PARAMETERS: {
        "name": NAMES, "description": DEFAULT, "family": "AWS refuses a group without it",
    },
    tokens.REPLICATION_GROUP: {
        "applyImmediately": DEFAULT, "authTokenUpdateStrategy": DEFAULT,
        "description": "AWS refuses a group without it",
        "engine": DEFAULT, "nodeType": SIZE, "parameterGroupName": "memory policy and keep-alive, not safety",
        "port": DEFAULT, "replicationGroupId": NAMES,
        "securityGroupIds": "AWS then takes the VPC's default group, which admits only its own members",
    },
    tokens.SECURITY_GROUP: {
        "name": NAMES, "vpcId": SIZE, "egress": "the provider takes AWS's open egress rule away from a new group",
    },
    tokens.INGRESS_RULE: {
        "fromPort": "AWS refuses a TCP rule without it", "toPort": "AWS refuses a TCP rule without it",
        "ipProtocol": "AWS refuses a rule without it",
        "referencedSecurityGroupId": "AWS refuses a rule without a source",
        "securityGroupId": "AWS refuses a rule without it",
    },
    tokens.SECRET: {"metadata": "without its name the services do not start, and the namespace is another rule's",
                    "apiVersion": NAMES, "kind": NAMES},
    tokens.JOB: {
        "apiVersion": NAMES, "kind": NAMES, "metadata.name": NAMES, "metadata.labels": "for people",
        "metadata.annotations": "how a failed Job is replaced, which a test of the program holds",
        "spec.template.metadata": "for people, and the Job's identity",
        "spec.template.spec.containers.command": "the image's own then",
        "spec.template.spec.containers.env": "it fails",
        "spec.template.spec.containers.name": NAMES,
        "spec.template.spec.containers.terminationMessagePolicy": "what the report of a failure quotes",
        "spec.template.spec.containers.volumeMounts": "it cannot write, and fails",
        "spec.template.spec.initContainers.command": "the image's own then",
        "spec.template.spec.initContainers.env": "it fails", "spec.template.spec.initContainers.name": NAMES,
        "spec.template.spec.initContainers.terminationMessagePolicy": "what the report of a failure quotes",
        "spec.template.spec.initContainers.volumeMounts": "it cannot write, and fails",
        "spec.template.spec.restartPolicy": "Kubernetes refuses a Job without it",
        "spec.template.spec.volumes": "Kubernetes refuses the mount without it",
    },
    tokens.ROLE: {
        "apiVersion": NAMES, "kind": NAMES, "metadata": NAMES, "rules.apiGroups": "it then gives nothing",
        "rules.resources": "it then gives nothing", "rules.verbs": "it then gives nothing",
    },
}  # fmt: skip


def _inputs(resource: Resource) -> list[str]:
    """Top-level inputs; of a Job and a Role also those further down that a rule can tell apart."""
    deep = {tokens.JOB: ("metadata", "spec", "spec.template", "spec.template.spec", "spec.template.spec.containers",
                         "spec.template.spec.initContainers"), tokens.ROLE: ("rules",)}  # fmt: skip
    found = []

    def walk(value: Any, path: str) -> None:
        if path and path not in deep.get(resource.type, ()):
            found.append(path)
            return
        if isinstance(value, list):
            value = value[0]
        for key, each in value.items():
            walk(each, f"{path}.{key}" if path else key)

    walk(resource.properties, "")
    return found


def _without(resource: Resource, path: str) -> Resource:
    properties = copy.deepcopy(dict(resource.properties))
    *above, last = path.split(".")
    targets: list[Any] = [properties]
    for key in above:
        targets = [each[key] for each in targets]
        targets = [one for each in targets for one in (each if isinstance(each, list) else [each])]
    for target in targets:
        del target[last]
    return dataclasses.replace(resource, properties=properties)


PATHS = [(type_, path) for type_, paths in CAUGHT.items() for path in paths]


def test_every_input_of_what_we_register_is_classified(registered):
    unclassified = {
        (each.type, path)
        for each in registered["prod"]
        if each.type in CAUGHT
        for path in _inputs(each)
        if path not in CAUGHT[each.type] and path not in NOT_PROTECTIVE[each.type]
    }
    assert unclassified == set()


@pytest.mark.parametrize(("type_", "path"), PATHS, ids=[f"{type_.split(':')[-1]}-{path}" for type_, path in PATHS])
def test_taking_out_a_protective_input_is_caught(registered, type_, path):
    before = {(each.rule, each.message) for each in report(registered["prod"], SETTINGS["prod"], TODAY)}
    first = next(each for each in registered["prod"] if each.type == type_)
    changed = [_without(first, path) if each is first else each for each in registered["prod"]]
    lines = report(changed, SETTINGS["prod"], TODAY)
    caught = {each.rule for each in lines if each.outcome == "mandatory" and (each.rule, each.message) not in before}
    assert caught == CAUGHT[type_][path]


@pytest.mark.parametrize("type_", [tokens.CLUSTER, tokens.REPLICATION_GROUP])
def test_taking_the_protection_off_a_store_is_caught(registered, type_):
    changed = [dataclasses.replace(each, protect=False) if each.type == type_ else each for each in registered["prod"]]
    assert "data-protected" in broken(changed)


@pytest.mark.parametrize(
    ("type_", "path"),
    [(tokens.CLUSTER, "masterPassword"), (tokens.REPLICATION_GROUP, "authToken"), (tokens.SECRET, "stringData")],
)
def test_taking_the_mark_off_a_credential_is_caught(registered, type_, path):
    first = next(each for each in registered["prod"] if each.type == type_)
    mark = first.properties[path]
    assert isinstance(mark, Secret)
    bare = dataclasses.replace(first, properties={**first.properties, path: mark.value})
    changed = [bare if each is first else each for each in registered["prod"]]
    assert "credentials-marked-secret" in broken(changed)


def test_a_missing_instance_is_caught(registered):
    changed = [each for each in registered["prod"] if each.name != "database-instance-2"]
    assert "aurora-members" in broken(changed)


def test_one_more_reader_than_the_environment_lists_is_caught(registered):
    """Dev's developers may read dev's password, and nobody else's."""
    assert "secrets-read-by-the-listed" in broken(registered["dev"], "prod")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("held_to", ENVIRONMENTS)
def test_another_environments_file_does_not_fit(registered, environment, held_to):
    """`--policy-pack-config` takes any file: production's resources under dev's are refused for their tags."""
    assert bool("tags-complete" in broken(registered[environment], held_to)) == (environment != held_to)


@pytest.mark.parametrize(
    ("section", "changes", "rules"),
    [
        ("database", {"backupRetentionPeriod": 3}, {"aurora-backup-retention"}),
        (
            "database",
            {"performanceInsightsEnabled": False},
            {"performance-insights-on", "performance-insights-retention"},
        ),
        ("database", {"deletionProtection": False}, {"aurora-deletion-protection", "data-protected"}),
        ("database", {"monitoringInterval": 0}, {"enhanced-monitoring-on"}),
        ("database", {"instanceCount": 1}, {"aurora-members"}),
        ("database", {"masterUsername": "postgres"}, {"aurora-admin-name"}),
        ("database", {"allowedCidrBlocks": ["0.0.0.0/0"]}, {"firewall-not-world-open"}),
        ("redis", {"snapshotRetentionLimit": 0}, {"redis-snapshot-retention"}),
        ("redis", {"transitEncryptionEnabled": False}, {"redis-encrypted-in-transit", "redis-authenticated"}),
        (
            "redis",
            {"numCacheClusters": 1, "automaticFailoverEnabled": False, "multiAzEnabled": False},
            {"redis-fails-over"},
        ),
        ("access", {"readers": [{"kind": "Group", "name": "interns"}]}, {"secrets-read-by-the-listed"}),
    ],
)
def test_a_bad_line_in_the_stack_file_is_caught(section, changes, rules):
    config = configuration("prod")
    key = f"meetinity-data:{section}"
    found = resources("prod", {**config, key: {**config.get(key, {}), **changes}})
    lines = report(found, SETTINGS["prod"], TODAY)
    assert {each.rule for each in lines if each.outcome == "mandatory"} == rules


PLANNED = "backup-plan-covers-stores"


def with_backups(environment: str) -> list[Resource]:
    backup = {"enabled": True, "vaultLock": {"mode": "governance"}, "selectionTags": {"backup": "daily"}}
    return resources(environment, {**configuration(environment), "meetinity-data:backup": backup})


def held_to_backups(environment: str) -> dict[str, Any]:
    held = SETTINGS[environment]
    return {**held, PLANNED: dataclasses.replace(held[PLANNED], level="mandatory")}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_with_aws_backup_the_program_passes_too_and_covers_its_stores(environment):
    lines = report(with_backups(environment), held_to_backups(environment), TODAY)
    assert [each for each in lines if each.outcome == "mandatory"] == []
    assert [each for each in lines if each.outcome == "undecided" and each.rule == PLANNED] == []


@pytest.mark.parametrize(
    ("type_", "change", "rule"),
    [
        (tokens.BACKUP_VAULT, lambda it: dataclasses.replace(it, protect=False), "data-protected"),
        (tokens.BACKUP_VAULT, lambda it: _without(it, "tags"), "tags-complete"),
        (tokens.BACKUP_PLAN, lambda it: _without(it, "tags"), "tags-complete"),
        (tokens.BACKUP_PLAN, lambda it: _without(it, "rules.lifecycle"), PLANNED),
        (tokens.BACKUP_SELECTION, lambda it: _without(it, "resources"), PLANNED),
    ],
)
def test_taking_protection_off_the_backups_is_caught(type_, change, rule):
    found = with_backups("prod")
    first = next(each for each in found if each.type == type_)
    without = change(first)
    # What comes from elsewhere is known by the dependency, which goes with the input.
    uses = {name: each for name, each in without.uses.items() if name in without.properties}
    changed = [dataclasses.replace(without, uses=uses) if each is first else each for each in found]
    assert rule in {
        each.rule for each in report(changed, held_to_backups("prod"), TODAY) if each.outcome == "mandatory"
    }
