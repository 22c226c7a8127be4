"""The gate, over previews built in code; the incidents are those of people who had no gate."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from click.testing import CliRunner

from ops.__main__ import main
from ops.errors import OpsError
from ops.plan import waivers
from ops.plan.check import check
from ops.plan.preview import UNKNOWN, parse, read
from ops.plan.stateful import KINDS, STATEFUL
from policies import tokens
from tests.unit.previews import (
    CLUSTER,
    DATABASE,
    GROUP,
    INSTANCE,
    JOB,
    REDIS,
    SECRET,
    document,
    preview,
    root,
    step,
    urn,
)

TODAY = date(2026, 11, 24)
LOGS = "aws:cloudwatch/logGroup:LogGroup"
PLAN = "aws:backup/plan:Plan"
RULES = [{"ruleName": name, "lifecycle": {"deleteAfter": days}} for name, days in (("daily", 35), ("monthly", 365))]
SAFE = {"clusterIdentifier": "prod-postgres", "engineVersion": "16.15", "deletionProtection": True}


def verdict(*steps, waived=(), today=TODAY, diagnostics=()):
    return check(preview(*steps, diagnostics=diagnostics), waived, today)


def refused(*steps):
    return [(each.kind, each.name, *(change.path for change in each.at_fault)) for each in verdict(*steps).refused]


# Incidents


def test_pulumi_aws_2426_a_replacement_for_a_storage_type_that_nobody_changed():
    (found,) = verdict(
        step("replace", old={"storageType": ""}, new={"storageType": "aurora"}, forced_by=("storageType",))
    ).refused
    assert (found.kind, found.loses_data, found.effect) == ("replace", True, "outage")
    assert [str(each) for each in found.at_fault] == ["storageType:  → aurora"]
    assert "pulumi-aws #2426" in found.safe


def test_pulumi_aws_6554_a_replacement_for_a_storage_type_that_is_recorded_and_not_stated():
    # The provider's diff names the property; the inputs on both sides are the same.
    serving, found = verdict(
        step("replace", old=SAFE, new=SAFE, outputs={"storageType": "aurora-iopt1"}, forced_by=("storageType",))
    ).refused
    assert (found.kind, str(found.at_fault[0])) == ("replace", "storageType: aurora-iopt1 → not set")
    assert serving.kind == "serving-removed"


def test_pulumi_aws_1793_a_list_of_zones_recreates_the_cluster_on_each_run():
    zones = ["eu-west-1a", "eu-west-1b"]
    (found,) = verdict(
        step(
            "replace",
            old={"availabilityZones": [*zones, "eu-west-1c"]},
            new={"availabilityZones": zones},
            forced_by=("availabilityZones",),
        )
    ).refused
    assert (found.kind, found.loses_data) == ("replace", True)
    assert "pulumi-aws #1793" in found.safe


def test_pulumi_aws_5756_a_change_of_the_window_carries_an_engine_version():
    (found,) = verdict(
        step(
            "update",
            old={**SAFE, "preferredMaintenanceWindow": "sun:04:00-sun:05:00"},
            new={**SAFE, "preferredMaintenanceWindow": "mon:04:00-mon:05:00"},
            outputs={"engineVersionActual": "16.16"},
        )
    ).refused
    assert (found.kind, found.effect) == ("unseen-upgrade", "outage")
    assert str(found.at_fault[0]) == "engineVersion: 16.16 → 16.15"


@pytest.mark.parametrize("stated", ["16.15", "16"])
def test_a_window_moves_where_what_runs_is_what_is_stated(stated):
    moved = [{**SAFE, "engineVersion": stated, "preferredMaintenanceWindow": each} for each in ("sun:04", "mon:04")]
    assert refused(step("update", old=moved[0], new=moved[1], outputs={"engineVersionActual": "16.15"})) == []


def test_pulumi_aws_5067_a_pending_value_shows_as_drift_and_is_told_as_waiting():
    # The class was changed last week without applyImmediately: AWS still answers with the old one.
    found = verdict(
        step(
            "update",
            INSTANCE,
            "database-instance-1",
            old={"instanceClass": "db.r6g.large", "preferredMaintenanceWindow": "sun:04:00-sun:05:00"},
            new={"instanceClass": "db.r6g.xlarge", "preferredMaintenanceWindow": "sun:04:00-sun:05:00"},
        )
    )
    assert found.passed
    (waits,) = found.interruptions
    assert (waits.effect, waits.when) == ("failover", "in the maintenance window, sun:04:00-sun:05:00 UTC")


def test_a_generation_that_is_promoted_is_told_of_as_an_interruption():
    serving = {"database": "prod-postgres", "redis": "prod-redis"}
    found = verdict(
        step(
            "update",
            "meetinity:data:ConnectionSecrets",
            "connections",
            old={"serving": serving},
            new={"serving": {**serving, "database": "prod-postgres-r1"}},
            parent="",
            detailed=False,
        )
    )
    assert found.passed
    (moved,) = found.interruptions
    assert (str(moved.change), moved.effect, moved.when) == (
        "serving.database: prod-postgres → prod-postgres-r1",
        "failover",
        "at once",
    )


def test_pulumi_11026_a_major_upgrade_outlasts_its_timeout():
    (found,) = verdict(step("update", old=SAFE, new={**SAFE, "engineVersion": "17.4"})).refused
    assert (found.kind, found.effect) == ("major-upgrade", "outage")
    assert "timeout" in found.means


def test_metr_hawk_560_a_minor_that_aws_installed_is_never_taken_back_unseen():
    # Auto minor upgrade went to 16.16, the program says 16.15, and a tag is what the pull request changes.
    (found,) = verdict(
        step("update", old=SAFE, new={**SAFE, "tags": {"Team": "data"}}, outputs={"engineVersionActual": "16.16"})
    ).refused
    assert found.kind == "unseen-upgrade"


def test_terraform_provider_aws_23572_a_protected_cluster_loses_all_its_instances():
    gone = [step("delete", INSTANCE, f"database-instance-{number}", old={"writer": True}) for number in (1, 2)]
    assert refused(*gone) == [("delete", "database-instance-1"), ("delete", "database-instance-2")]


def test_pulumi_8873_a_replacement_in_the_very_update_that_drops_protect():
    found = refused(step("replace", old=SAFE, new=SAFE, forced_by=("kmsKeyId",), protect=(True, False)))
    assert {each[0] for each in found} == {"serving-removed", "replace", "unprotect"}


def test_an_unprotect_that_the_engine_counts_as_no_change():
    made = step("same", old=SAFE, new=SAFE, protect=(True, False))
    assert refused(made) == [("unprotect", "database-cluster", "protect")]
    assert preview(made).counts() == {"unprotect": 1}


def test_what_is_no_longer_kept_at_the_provider_is_told_of_though_nothing_else_changes():
    made = step("same", old=SAFE, new=SAFE, retainOnDelete=True)
    assert refused(made) == [("unprotect", "database-cluster", "retainOnDelete")]


# The tables


@pytest.mark.parametrize("type_", sorted(STATEFUL))
@pytest.mark.parametrize("op", ["delete", "replace", "create-replacement", "delete-replaced", "discard"])
def test_nothing_stateful_goes_or_is_replaced(type_, op):
    (found,) = verdict(step(op, type_, "it")).refused
    assert found.kind == ("replace" if op in ("replace", "create-replacement") else "delete")
    assert found.means
    assert found.safe


@pytest.mark.parametrize(
    "type_",
    ["aws-native:rds:DBCluster", "postgresql:index/database:Database", "aws:efs/fileSystem:FileSystem",
     "aws:ebs/volume:Volume", "tls:index/privateKey:PrivateKey", "mongodbatlas:index/cluster:Cluster"],
)  # fmt: skip
@pytest.mark.parametrize("op", ["delete", "replace"])
def test_what_is_named_like_a_store_or_a_key_is_taken_for_one(type_, op):
    assert refused(step(op, type_, "it")) == [(op, "it")]


@pytest.mark.parametrize(
    "type_", ["aws:ec2/routeTable:RouteTable", "aws:iam/role:Role", DATABASE, "pulumi:providers:aws", JOB]
)
def test_what_is_not_is_recreated_without_loss(type_):
    assert refused(step("delete", type_, "it")) == []


def test_a_store_that_an_alias_gives_another_type_is_a_store():
    moved = step("replace", "example:index/thing:Thing", "it", SAFE, {**SAFE, "deletionProtection": False}, ("a",))
    moved["oldState"]["type"] = CLUSTER
    assert {each[0] for each in refused(moved)} == {"serving-removed", "replace", "deletion-protection-off"}


def test_every_store_that_the_policies_know_is_stateful():
    known = {tokens.CLUSTER, tokens.INSTANCE, tokens.CLUSTER_PARAMETERS, tokens.INSTANCE_PARAMETERS}
    known |= {tokens.GLOBAL_CLUSTER, tokens.CLUSTER_SNAPSHOT, tokens.CLUSTER_SNAPSHOT_COPY, tokens.PROXY}
    known |= {tokens.REPLICATION_GROUP, tokens.REDIS_USER, tokens.BACKUP_VAULT, tokens.BACKUP_PLAN, *tokens.KEYS}
    known |= {tokens.BACKUP_SELECTION, tokens.SECURITY_GROUP, tokens.SECRET, tokens.RANDOM_PASSWORD}
    assert known - STATEFUL.keys() == set()


@pytest.mark.parametrize(
    ("kind", "type_", "old", "new"),
    [
        ("deletion-protection-off", CLUSTER, {"deletionProtection": True}, {"deletionProtection": False}),
        ("deletion-protection-off", CLUSTER, {"deletionProtection": True}, {}),
        ("final-snapshot-off", CLUSTER, {"skipFinalSnapshot": False}, {"skipFinalSnapshot": True}),
        ("final-snapshot-off", CLUSTER, {}, {"skipFinalSnapshot": True}),
        ("final-snapshot-off", CLUSTER, {"deleteAutomatedBackups": False}, {}),
        ("final-snapshot-off", GROUP, {"finalSnapshotIdentifier": "last"}, {}),
        ("insights-off", INSTANCE, {"performanceInsightsEnabled": True}, {"performanceInsightsEnabled": False}),
        ("retention-shrinks", CLUSTER, {"backupRetentionPeriod": 14}, {"backupRetentionPeriod": 7}),
        ("retention-shrinks", CLUSTER, {"backupRetentionPeriod": 14.0}, {}),
        ("retention-shrinks", GROUP, {"snapshotRetentionLimit": 7}, {"snapshotRetentionLimit": 0}),
        ("retention-shrinks", LOGS, {"retentionInDays": 0}, {"retentionInDays": 30}),
        ("retention-shrinks", LOGS, {}, {"retentionInDays": 30}),
        (
            "retention-shrinks",
            INSTANCE,
            {"performanceInsightsEnabled": True, "performanceInsightsRetentionPeriod": 465},
            {"performanceInsightsEnabled": True, "performanceInsightsRetentionPeriod": 7},
        ),
        (
            "retention-shrinks",
            "aws:backup/plan:Plan",
            {"rules": [{"lifecycle": {"deleteAfter": 35}}]},
            {"rules": [{"lifecycle": {"deleteAfter": 7}}]},
        ),
        ("undecided", CLUSTER, {"backupRetentionPeriod": 14}, {"backupRetentionPeriod": UNKNOWN}),
        ("undecided", CLUSTER, {"backupRetentionPeriod": "[secret]"}, {"backupRetentionPeriod": 1}),
        ("undecided", CLUSTER, {"engineVersion": "16.15"}, {"engineVersion": UNKNOWN}),
        ("undecided", PLAN, {"rules": RULES}, {"rules": UNKNOWN}),
        ("retention-shrinks", PLAN, {"rules": RULES}, {"rules": RULES[1:]}),
        ("retention-shrinks", PLAN, {"rules": RULES}, {}),
        ("retention-shrinks", PLAN, {"rules": [{"enableContinuousBackup": True}]}, {"rules": [{}]}),
        ("retention-shrinks", PLAN, {"rules": [{"copyActions": [{"lifecycle": {}}]}]}, {"rules": [{}]}),
        ("deletion-protection-off", CLUSTER, {"deletionProtection": "[secret]"}, {"deletionProtection": False}),
        ("deletion-protection-off", CLUSTER, {"deletionProtection": "true"}, {"deletionProtection": "false"}),
        ("deletion-protection-off", CLUSTER, {"deletionProtection": True}, {"deletionProtection": UNKNOWN}),
        ("key-disabled", "aws:kms/key:Key", {}, {"isEnabled": False}),
        ("major-upgrade", GROUP, {"engineVersion": "7.1"}, {"engineVersion": "8.0"}),
    ],
)
def test_what_weakens_a_store_is_refused(kind, type_, old, new):
    assert [each[0] for each in refused(step("update", type_, "it", old, new))] == [kind]
    # And where the provider gives no detailed diff.
    assert [each[0] for each in refused(step("update", type_, "it", old, new, detailed=False))] == [kind]
    assert kind in KINDS


@pytest.mark.parametrize(
    ("type_", "old", "new"),
    [
        (CLUSTER, {"backupRetentionPeriod": 7}, {"backupRetentionPeriod": 14}),
        (CLUSTER, {"deletionProtection": False}, {"deletionProtection": True}),
        (CLUSTER, {"deletionProtection": False}, {"deletionProtection": False, "tags": {}}),
        (CLUSTER, {"skipFinalSnapshot": True}, {"skipFinalSnapshot": False}),
        (LOGS, {"retentionInDays": 30}, {"retentionInDays": 0}),
        (LOGS, {"retentionInDays": 30}, {}),
        (CLUSTER, {"engineVersion": "16.14"}, {"engineVersion": "16.15"}),
        (GROUP, {"snapshotRetentionLimit": 5, "engineVersion": "7.1"}, {"snapshotRetentionLimit": 5.0}),
        (CLUSTER, {"backupRetentionPeriod": "[secret]"}, {"backupRetentionPeriod": "[secret]", "tags": {}}),
        (CLUSTER, {"deletionProtection": "[secret]"}, {"deletionProtection": "[secret]", "tags": {}}),
        (PLAN, {"rules": RULES}, {"rules": [*RULES[::-1], {"ruleName": "weekly"}]}),
    ],
)
def test_what_does_not_passes(type_, old, new):
    assert refused(step("update", type_, "it", old, new)) == []


def test_a_retention_that_somebody_raised_by_hand_shrinks_as_well():
    # After --refresh the program's 14 is as it was; AWS keeps 35.
    made = step("update", old={"backupRetentionPeriod": 14}, new={"backupRetentionPeriod": 14})
    made["oldState"]["outputs"]["backupRetentionPeriod"] = 35
    made["detailedDiff"] = {"backupRetentionPeriod": {"kind": "update", "inputDiff": False}}
    assert refused(made) == [("retention-shrinks", "database-cluster", "backupRetentionPeriod")]


def test_what_is_protected_is_stateful_whatever_it_is():
    assert refused(step("delete", "aws:sns/topic:Topic", "topic", protect=(True, False))) == [("delete", "topic")]
    assert refused(step("delete", "aws:sns/topic:Topic", "topic")) == []
    assert refused(step("replace", JOB, "migration", forced_by=("spec",))) == []


@pytest.mark.parametrize(
    ("type_", "identifier", "parent"),
    [(CLUSTER, {"clusterIdentifier": "prod-postgres"}, DATABASE), (GROUP, {"replicationGroupId": "prod-redis"}, REDIS)],
)
@pytest.mark.parametrize("op", ["delete", "replace"])
def test_the_generation_that_serves_does_not_go(type_, identifier, parent, op):
    first = verdict(step(op, type_, "it", old=identifier, new=identifier, parent=parent)).refused[0]
    assert (first.kind, first.effect) == ("serving-removed", "outage")
    other = {key: f"{value}-r1" for key, value in identifier.items()}
    kinds = {each[0] for each in refused(step(op, type_, "it", old=other, parent=parent))}
    assert kinds == {op}


@pytest.mark.parametrize("held", ["[secret]", {"serving": "main", "generations": "[secret]"}, {"serving": {}}, 5])
def test_stores_that_are_secret_stop_nothing_from_being_refused(held):
    hidden = root({"stores": {"database": held}})
    found = check(preview(hidden, step("delete", old=SAFE)), [], TODAY)
    assert [each.kind for each in found.refused] == ["delete"]


def test_a_replacement_that_names_no_property_is_refused_all_the_same():
    (found,) = verdict(step("replace", SECRET, "connections-database")).refused
    assert "names no property" in found.means


def test_what_is_kept_at_the_provider_loses_nothing():
    (found,) = verdict(step("delete", retainOnDelete=True)).refused
    assert not found.loses_data
    assert "stays at the provider" in found.means


def test_worst_first_and_waived_last():
    names = [
        each.name
        for each in verdict(
            step("delete", SECRET, "a-secret"),
            step("update", name="a-protection", old={"deletionProtection": True}, new={}),
            step("delete", name="z-store"),
        ).findings
    ]
    assert names == ["z-store", "a-secret", "a-protection"]


def test_a_failed_preview_passes_nothing():
    found = verdict(diagnostics=(("error", "error: preview failed"), ("error", "error: no such cluster")))
    assert not found.passed
    assert found.failed == ["no such cluster"]


def test_an_interrupted_programs_traceback_is_left_out():
    noise = "error: it broke\nTraceback (most recent call last):\n  File x\nKeyboardInterrupt\nafter"
    assert preview(diagnostics=(("error", noise),)).errors[0].message == "it broke\n\nafter"


# Waivers

STORE = urn(CLUSTER, "database-cluster")
ENTRY = {"urn": STORE, "kind": "delete", "owner": "data-ops", "reason": "retired, see the drill", "until": "2026-11-30"}


def waived(tmp_path, *entries):
    path = tmp_path / "waivers.yaml"
    path.write_text(json.dumps({"waivers": list(entries)}))
    return waivers.load(path, TODAY)


def test_a_waiver_lets_its_own_urn_and_kind_pass(tmp_path):
    deleted = step("delete")
    held = waived(tmp_path, ENTRY)
    assert verdict(deleted, waived=held).passed
    assert [each.decision for each in verdict(deleted, waived=held).findings] == ["waived"]
    for other in (step("delete", name="database-r1-cluster"), step("replace", forced_by=("kmsKeyId",))):
        assert not verdict(other, waived=held).passed


def test_a_components_waiver_covers_what_stands_under_it_and_nothing_else(tmp_path):
    component = f"urn:pulumi:prod::meetinity-data::{DATABASE}::database"
    held = waived(tmp_path, {**ENTRY, "urn": component, "kind": ["delete", "unprotect"]})
    assert verdict(step("delete"), step("delete", INSTANCE, "database-instance-1"), waived=held).passed
    assert not verdict(step("delete", GROUP, "redis-replication-group", parent=REDIS), waived=held).passed


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - waivers.OF_COMPONENTS))
def test_a_components_urn_does_not_waive_what_hits_each_otherwise(tmp_path, kind):
    component = f"urn:pulumi:prod::meetinity-data::{DATABASE}::database"
    with pytest.raises(OpsError, match=f"`kind` {kind} is waived for one resource"):
        waived(tmp_path, {**ENTRY, "urn": component, "kind": ["delete", kind]})


def test_a_waiver_of_a_plain_resource_covers_no_child(tmp_path):
    above = "aws:ec2/securityGroup:SecurityGroup"
    held = waived(tmp_path, {**ENTRY, "urn": f"urn:pulumi:prod::meetinity-data::{above}::database"})
    found = verdict(step("delete", parent=above), waived=held)
    assert [each.parents for each in found.refused] == [(held[0].urn,)]


def test_a_waiver_ends_and_is_reported(tmp_path):
    held = waived(tmp_path, ENTRY)
    after = verdict(step("delete"), waived=held, today=date(2026, 12, 1))
    assert not after.passed
    assert [each.urn for each in after.expired] == [STORE]
    assert verdict(step("delete"), waived=held, today=date(2026, 11, 30)).passed
    idle = verdict(step("update"), waived=held)
    assert [each.urn for each in idle.idle] == [STORE]


def test_another_stacks_waivers_are_not_this_ones_to_report(tmp_path):
    held = waived(tmp_path, {**ENTRY, "urn": STORE.replace(":prod:", ":dev:")})
    assert verdict(step("update"), waived=held).idle == []


def test_every_mistake_of_a_waiver_file_at_once(tmp_path):
    with pytest.raises(OpsError) as error:
        waived(
            tmp_path,
            {"urn": "database", "kind": "everything", "owner": "x", "reason": "because", "until": "2027-11-30"},
            {"urn": STORE, "kind": "delete", "owners": "data-ops", "until": "soon"},
            "waive it",
            {**ENTRY, "kind": {"a": 1}},
        )
    text = str(error.value)
    for part in ("is no URN", "'everything' is not known", "`owner` is a text", "`reason` is a text", "too far ahead"):
        assert f"waiver 1: {part}" in text or part in text
    for part in ("`owner` is missing", "`reason` is missing", "`owners` is not known", "'soon' is no day", "{'a': 1}"):
        assert part in text
    assert "waiver 3: it is no mapping" in text
    assert str(TODAY + timedelta(days=31)) in text


def test_the_committed_waivers_can_be_read():
    assert waivers.load(waivers.FILE, date.today()) is not None
    assert waivers.FILE.exists()


# The command


def run(tmp_path, text, *arguments):
    path = tmp_path / "preview.json"
    path.write_text(text)
    return CliRunner().invoke(
        main, ["plan", "check", str(path), "--waivers", str(tmp_path / "none.yaml"), *arguments], prog_name="ops"
    )


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (document(), 0, "prod: passes"),
        (document(step("delete")), 3, "prod: refused: 1 change (1 of them loses data, worst effect: outage)"),
        (document(diagnostics=(("error", "error: no such cluster"),)), 1, "prod: the preview failed"),
        ("", 1, "is empty: the preview did not begin"),
        ("Previewing update (prod):", 1, "is no preview: not JSON in line 1"),
        ("[]", 1, "it has neither steps nor changeSummary"),
        ('{"steps": [{"op": "same"}]}', 1, "step 0 has no URN"),
        (document({**step("update"), "op": "vanish"}), 1, "has the op 'vanish'; known are"),
        (document({**step("update"), "op": ["update"]}), 1, "has the op ['update']; known are"),
        (document({**step("update"), "oldState": "x"}), 1, "`oldState` is no object"),
        (document({**step("update"), "newState": {"inputs": []}}), 1, "`inputs` is no object"),
        (document({**step("update"), "detailedDiff": {"a": 1}}), 1, "the difference of 'a' is no object"),
        (document({**step("update"), "detailedDiff": {"": {"kind": "update"}}}), 0, "prod: passes"),
        ('{"steps": 5}', 1, "`steps` is no list"),
        ('{"diagnostics": ["x"]}', 1, "a diagnostic is no object"),
        ('{"steps": [], "changeSummary": {"delete": 2}}', 1, "counts 2 x delete and lists 0: a part of it is missing"),
        ("[" * 100_000, 1, "is nested without end"),
        ('{"sequence": 1}\n5', 1, "event 2 is no object"),
        ('{"sequence": 1, "resourcePreEvent": null}', 1, "event 1 is no object"),
        ('{"sequence": 1, "summaryEvent": {"resourceChanges": {"replace": 1}}}', 1, "counts 1 x replace and lists 0"),
        ('{"sequence": 1, "errorEvent": {"error": "boom"}}\n{"summaryEvent": {"isPreview": true}}', 1, "  boom"),
        (
            '{"sequence": 1, "policyEvent": {"policyName": "tags", "enforcementLevel": "mandatory"}}\n'
            '{"summaryEvent": {"isPreview": true}}',
            1,
            "policies refuse it: tags",
        ),
        (
            '{"sequence": 1, "policyEvent": {"enforcementLevel": "remediate", "message": "a\x85b"}}\n'
            '{"summaryEvent": {"isPreview": true}}',
            0,
            "passes",
        ),
        (
            '{"sequence": 1, "summaryEvent": {"maybeCorrupt": true}}\n{"summaryEvent": {"isPreview": true}}',
            1,
            "corrupt",
        ),
    ],
    ids=lambda it: it[:40] if isinstance(it, str) else None,
)
def test_exit_codes_and_one_line(tmp_path, text, code, said):
    done = run(tmp_path, text)
    assert done.exit_code == code
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_file_that_is_not_there():
    done = CliRunner().invoke(main, ["plan", "check", "nowhere.json"])
    assert (done.exit_code, done.output.strip()) == (1, "ops: nowhere.json cannot be read: No such file or directory")


def test_json_and_sarif_hold_every_decision(tmp_path):
    held = tmp_path / "waivers.yaml"
    held.write_text(json.dumps({"waivers": [ENTRY]}))
    sarif = tmp_path / "plan.sarif"
    text = document(step("delete"), step("delete", SECRET, "connections-database", parent=""))
    options = ("--waivers", str(held), "--today", "2026-11-24", "--sarif", str(sarif), "--json")
    done = run(tmp_path, text, *options)
    assert done.exit_code == 3
    told = {each["name"]: each["decision"] for each in json.loads(done.output)["findings"]}
    assert told == {"connections-database": "refused", "database-cluster": "waived"}
    (ran,) = json.loads(sarif.read_text())["runs"]
    assert [(each["level"], "suppressions" in each) for each in ran["results"]] == [("error", False), ("note", True)]
    rules = {each["id"] for each in ran["tool"]["driver"]["rules"]}
    assert {each["ruleId"] for each in ran["results"]} <= rules


def test_no_secret_in_what_the_gate_says(tmp_path):
    clear = {"masterPassword": "correct-horse-battery"}
    text = document(
        step("replace", old={**clear, "note": "correct-horse-battery"}, new={"note": "x"}, forced_by=("note",)),
        diagnostics=(("error", "error: postgresql://app:hunter2hunter2@db/x refused"),),
    )
    sarif = tmp_path / "plan.sarif"
    said = run(tmp_path, text).output + run(tmp_path, text, "--json", "--sarif", str(sarif)).output + sarif.read_text()
    assert "correct-horse" not in said
    assert "hunter2" not in said
    assert said.count("[secret]") >= 6


# The engine's events say the same


def test_events_are_read_as_the_document_is(tmp_path):
    steps = [
        root(),
        step("update", old={"backupRetentionPeriod": 14}, new={"backupRetentionPeriod": 7}),
        step("replace", SECRET, "connections-database", old={"a": 1}, new={"a": 2}, forced_by=("a",)),
    ]

    def event(number, each, op=None):
        diff = {
            path: {"diffKind": value["kind"], "inputDiff": False}
            for path, value in each.get("detailedDiff", {}).items()
        }
        metadata = {"op": op or each["op"], "urn": each["urn"], "detailedDiff": diff}
        metadata |= {"old": each.get("oldState"), "new": each.get("newState"), "keys": each.get("replaceReasons")}
        return json.dumps({"sequence": number, "resourcePreEvent": {"metadata": metadata}})

    lines = [event(number, each) for number, each in enumerate(steps)]
    lines += [event(7, steps[2], "create-replacement"), event(8, {**steps[2], "newState": None}, "delete-replaced")]
    policy = {"policyName": "retention", "enforcementLevel": "advisory", "message": "14 days\n", "resourceUrn": STORE}
    lines.append(json.dumps({"sequence": 9, "policyEvent": policy}))
    broken_off = parse("\n".join(lines), "events")
    assert broken_off.errors[0].message == "the preview broke off: its events have no end"
    lines.append(json.dumps({"sequence": 10, "summaryEvent": {"result": "succeeded", "maybeCorrupt": False}}))
    path = tmp_path / "events.json"
    path.write_text("\n".join(lines))
    seen = read(path)
    assert check(seen, [], TODAY).asdict() == verdict(*steps).asdict()
    assert [(each.policy, each.message) for each in seen.policies] == [("retention", "14 days")]


def test_what_a_later_event_leaves_out_stands_as_it_was():
    made = step("update", old={"backupRetentionPeriod": 14}, new={"backupRetentionPeriod": 1})
    first, last = ({"op": "update", "urn": made["urn"], "new": made["newState"]} for _ in range(2))
    first["old"] = made["oldState"]
    kinds = ("resourcePreEvent", "resOutputsEvent")
    told = [{"sequence": 1, kind: {"metadata": each}} for kind, each in zip(kinds, (first, last), strict=True)]
    seen = parse("\n".join(map(json.dumps, told)), "events")
    assert [each.kind for each in check(seen, [], TODAY).refused] == ["retention-shrinks"]


def test_an_events_secret_is_blinded():
    mark = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "AQICAHh"}
    made = step("update", old={"masterPassword": mark}, new={"masterPassword": mark})
    metadata = {"op": "update", "urn": made["urn"], "old": made["oldState"], "new": made["newState"]}
    seen = parse(json.dumps({"sequence": 1, "resOutputsEvent": {"metadata": metadata}}), "events")
    assert seen.steps[0].old["inputs"] == {"masterPassword": "[secret]"}


def test_a_property_that_forces_a_replacement_is_told_once_however_deep_it_is():
    """The Kubernetes provider gives whole paths as reasons, others the first property."""
    replaced = step("replace", JOB, "a-migration-job", {"metadata": {"name": "a-1"}}, {"metadata": {"name": "a-2"}})
    replaced["detailedDiff"] = {"metadata.name": {"kind": "update-replace", "inputDiff": False}}
    for reasons in (["metadata.name"], ["metadata"]):
        replaced["replaceReasons"] = reasons
        (found,) = (each for each in preview(replaced).steps if each.op == "replace")
        assert [(each.path, each.replaces) for each in found.changes] == [("metadata.name", True)]
    replaced["detailedDiff"]["metadata.name"]["kind"] = "update"
    replaced["replaceReasons"] = ["metadata.name"]
    (found,) = (each for each in preview(replaced).steps if each.op == "replace")
    assert [(each.path, each.replaces) for each in found.changes] == [("metadata.name", True)]
