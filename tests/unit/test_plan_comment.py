"""The comment: first things first, within the platform's limit, and never a secret."""

from __future__ import annotations

import json
import re
import time
from datetime import date
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from ops.__main__ import main
from ops.plan.check import check
from ops.plan.comment import LIMIT, MARKER, StackPlan, comment
from ops.plan.costs import costs
from ops.plan.policy_results import Policies
from ops.plan.preview import UNKNOWN, PolicyResult, parse
from ops.plan.redaction import known_to, redactor
from tests.unit.previews import CLUSTER, GROUP, INSTANCE, JOB, SECRET, STACK, document, preview, root, step, urn

TODAY = date(2026, 11, 24)


def plan(*steps, name="prod", policies=None, diagnostics=(), failure=""):
    seen = preview(*steps, diagnostics=diagnostics)
    return StackPlan(name, seen, check(seen, [], TODAY), failure, policies)


def said(*plans, limit=LIMIT, run=""):
    return comment(plans, redactor(()), run=run, limit=limit)


def test_nothing_changes_in_three_lines():
    text = said(plan())
    assert text.splitlines() == [
        MARKER,
        "## Plan: ✅ **prod**",
        "",
        "### ✅ prod: passes, nothing changes",
        "",
        "No resource changes.",
        "",
    ]


def test_the_worst_stack_and_the_worst_change_stand_first():
    harmless = plan(step("update", old={"tags": {"a": "1"}}, new={"tags": {"a": "2"}}), name="dev")
    waits = plan(step("update", INSTANCE, old={"instanceClass": "a"}, new={"instanceClass": "b"}), name="staging")
    lost = plan(step("delete", SECRET, "a-secret"), step("delete", name="z-store"))
    text = said(harmless, waits, lost, StackPlan("local", failure="no such cluster"), plan(name="other"))
    order = re.findall("^### .* ([a-z]+):", text, re.MULTILINE)
    assert order == ["prod", "local", "staging", "dev", "other"]
    assert text.index("`z-store`") < text.index("`a-secret`")
    assert "## Plan: ⛔ **prod** · ⛔ **local** · ⚠️ **staging** · ✅ **dev** · ✅ **other**" in text
    assert "### ⛔ prod: refused for 2 resources, **data would be lost**, outage" in text


def test_a_replacement_names_the_property_that_forces_it_and_the_safe_way():
    text = said(
        plan(step("replace", old={"kmsKeyId": "a", "t": 1}, new={"kmsKeyId": "b", "t": 2}, forced_by=("kmsKeyId",)))
    )
    assert "| replace |\n| --: |\n| 1 |" in text
    assert "because of `kmsKeyId`: `a` → `b`\n" in text
    assert "**instead:** add a generation" in text
    assert "-     kmsKeyId: a   # forces the replacement\n+     kmsKeyId: b\n" in text
    assert f"  - urn: {urn(CLUSTER, 'database-cluster')}\n    kind: [replace]\n" in text


def test_several_of_one_component_are_waived_by_its_urn_but_a_replacement_by_its_own():
    replaced = step("replace", name="database-r1-cluster", forced_by=("kmsKeyId",))
    text = said(plan(step("delete"), step("delete", INSTANCE, "database-instance-1"), replaced))
    assert re.findall("  - urn: (.*)\n    kind: (.*)\n", text) == [
        ("urn:pulumi:prod::meetinity-data::meetinity:data:AuroraCluster::database", "[delete]"),
        (urn(CLUSTER, "database-r1-cluster"), "[replace]"),
    ]


def test_a_failed_preview_tells_why_and_what_it_may_have_left_out():
    text = said(
        plan(step("delete"), diagnostics=(("error", "error: no ``` such cluster"), ("error", "error: preview failed")))
    )
    assert "; the preview failed\n" in text
    assert "What it lists below may be a part" in text
    assert "````text\nno ``` such cluster\n````" in text
    assert "preview failed\n```" not in text
    none = said(StackPlan("prod", failure="error: no stack named 'prod' found\n"))
    assert "### ⛔ prod: there is no preview" in none
    assert "no stack named 'prod' found" in none


def test_no_part_of_a_secret_is_left_where_the_reason_is_cut_or_broken():
    secret = "correct horse battery staple"
    for before in (80, 1_990):
        failed = StackPlan("prod", failure=f"{'a ' * (before // 2)}{secret}{' b' * 4_000}")
        assert "horse" not in comment([failed], redactor([secret]))
        assert "battery" not in comment([failed], redactor([secret]))


def test_why_a_preview_failed_can_be_read_without_scrolling():
    told = "error: " + "the guard refuses this, and says at length why " * 8
    text = said(plan(step("delete"), diagnostics=(("error", f"{told}\nurn:{'x' * 150}"),)))
    assert told not in text
    assert " ".join(told.removeprefix("error: ").split()) in " ".join(text.split())
    assert "x" * 150 in text, "a word stays whole"
    assert max(len(each) for each in text.splitlines() if "guard refuses" in each) <= 100


def test_a_long_failure_keeps_both_its_ends():
    text = said(StackPlan("prod", failure="first" + "x" * 100_000 + "last"))
    assert "first" in text
    assert "last" in text
    assert len(text) < 5_000


def test_warnings_are_not_lost():
    text = said(plan(diagnostics=(("warning", "warning: configured Kubernetes cluster is unreachable"),)))
    assert "#### Warnings\n\n- ⚠️ `configured Kubernetes cluster is unreachable`\n" in text
    assert "### ✅ prod: passes" in text


def test_policies_with_their_fixes():
    results = [
        PolicyResult("backup-retention", "mandatory", urn(CLUSTER, "database-cluster"), "is 3. Fix: set it to 14"),
        PolicyResult("image-by-digest", "advisory", "", "no digest"),
    ]
    text = said(plan(policies=Policies(results, undecided=2)))
    assert "### ⛔ prod: 1 policy violation" in text
    open_part, folded = text.split("<details>")
    assert "- mandatory **backup-retention** `database-cluster`: is 3. Fix: set it to 14\n" in open_part
    assert "<summary>Policies: 1 mandatory, 1 advisory, 2 rules undecided until the update</summary>" in folded
    assert "- advisory **image-by-digest**: no digest\n" in folded


def test_an_output_that_changes_and_a_secret_one_that_does_not_show():
    before, after = {"host": "a", "password": "[secret]", "same": 1}, {"host": "b", "password": "[secret]", "same": 1}
    changed = root(before)
    changed["newState"]["outputs"] = after
    text = said(plan(changed))
    assert "| `host` | `a` | `b` |" in text
    assert "password" not in text
    assert "same" not in text


@pytest.mark.parametrize("before", [None, {}])
def test_the_outputs_of_a_first_deployment_begin_with_an_output(before):
    changed = root()
    changed["oldState"]["outputs"] = before
    changed["newState"]["outputs"] = {"host": "b"}
    (_, table) = said(plan(changed)).split("| output | before | after |\n|---|---|---|\n")
    assert table.splitlines()[0] == "| `host` | `not set` | `b` |"


def template(image, revision=""):
    return {
        "metadata": {"labels": {"app.kubernetes.io/name": "user-service"}},
        "spec": {
            "template": {
                "metadata": {"annotations": {"meetinity.io/migration-target": "prod-postgres"}},
                "spec": {
                    "initContainers": [{"name": "migrate", "image": image, "command": ["alembic", "upgrade", "head"]}],
                    "containers": [{"name": "check", "env": [{"name": "EXPECTED_REVISION", "value": revision}]}],
                },
            }
        },
    }


def test_the_migrations_that_will_run():
    job = {"type_": JOB, "name": "user-service-migration-job", "parent": "meetinity:data:MigrationJob"}
    text = said(plan(step("replace", old=template("users:1"), new=template("users:2", "0004"), **job)))
    assert (
        "- **user-service** on `prod-postgres`: `users:2` (was `users:1`) runs `alembic upgrade head`, "
        "up to revision `0004`\n"
    ) in text
    assert "### ✅ prod: passes, 1 migration will run" in text
    assert "Migrations that will run" not in said(plan(step("delete", old=template("users:1"), **job)))


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("metadata", "labels"),
        ("spec", "template"),
        ("spec", "template", "metadata"),
        ("spec", "template", "spec"),
        ("spec", "template", "spec", "initContainers", 0),
        ("spec", "template", "spec", "initContainers", 0, "name"),
        ("spec", "template", "spec", "initContainers", 0, "command"),
        ("spec", "template", "spec", "containers", 0, "env"),
        ("spec", "template", "spec", "containers", 0, "env", 0),
    ],
)
def test_a_migration_that_is_known_only_in_the_update_is_told_of_all_the_same(path):
    made = {"inputs": template("users:2", "0004")}
    at = made
    for each in ("inputs", *path)[:-1]:
        at = at[each]
    at[("inputs", *path)[-1]] = UNKNOWN if path else {}
    job = step("create", JOB, "user-service-migration-job", new=made["inputs"], parent="meetinity:data:MigrationJob")
    assert "#### Migrations that will run\n\n- **user-service" in said(plan(job))


@pytest.mark.parametrize(
    ("steps", "units"),
    [
        (
            [
                step("delete", INSTANCE, old={"instanceClass": "db.r6g.large"}),
                step(
                    "update",
                    INSTANCE,
                    "b",
                    old={"instanceClass": "db.r6g.large"},
                    new={"instanceClass": "db.r6g.xlarge"},
                ),
            ],
            {"db.r6g.large instance": -2, "db.r6g.xlarge instance": 1},
        ),
        (
            [
                step(
                    "update",
                    old={"backupRetentionPeriod": 7},
                    new={"backupRetentionPeriod": 14, "storageType": "aurora-iopt1"},
                )
            ],
            {
                "day of Aurora backups": 7,
                "Aurora cluster with standard storage": -1,
                "Aurora cluster with I/O-Optimized storage": 1,
            },
        ),
        (
            [step("update", old={"databaseInsightsMode": "standard"}, new={"databaseInsightsMode": "advanced"})],
            {
                "Aurora cluster with Database Insights mode advanced": 1,
                "Aurora cluster with Database Insights mode standard": -1,
            },
        ),
        (
            [
                step(
                    "create",
                    GROUP,
                    new={"nodeType": "cache.r6g.large", "numCacheClusters": 3, "snapshotRetentionLimit": 7},
                )
            ],
            {"cache.r6g.large node": 3, "day of Redis snapshots": 7},
        ),
        ([step("replace", INSTANCE, old={"instanceClass": "a"}, new={"instanceClass": "a"})], {}),
        ([step("update", INSTANCE, old={"instanceClass": "a", "t": 1}, new={"t": 2}, outputs={})], {}),
    ],
)
def test_units_that_cost_money(steps, units):
    assert costs(preview(*steps)) == units


# The limit


def test_a_plan_of_300_resources_fits_with_every_destructive_change_in_under_a_second():
    long = "x" * 400
    steps = [
        step(
            "replace" if number % 2 else "delete",
            [CLUSTER, INSTANCE, GROUP, SECRET][number % 4],
            f"store-{number:03}",
            old={"clusterIdentifier": f"prod-{number}", "description": long, "tags": {str(n): long for n in range(20)}},
            new={"clusterIdentifier": f"new-{number}", "description": long[1:], "tags": {}},
            forced_by=("clusterIdentifier", "description"),
        )
        for number in range(300)
    ]
    text_of_it = document(*steps)
    started = time.process_time()  # whatever else the machine is doing
    seen = parse(text_of_it, "p")
    text = comment([StackPlan("prod", seen, check(seen, [], TODAY))], redactor(known_to(seen, {})))
    took = time.process_time() - started
    print(f"a comment on 300 resources took {took:.2f} s")
    assert took < 1
    assert len(text) <= LIMIT
    assert "### ⛔ prod: refused for 300 resources, **data would be lost**, outage" in text
    before_the_rest = text.split("<details>")[0]
    assert [number for number in range(300) if f"`store-{number:03}`" not in before_the_rest] == []
    cut = re.search(r"(\d+) (?:more )?resources were cut", text)
    assert cut
    assert int(cut[1]) + len(re.findall("^[!-] (?:replace|delete) ", text, re.MULTILINE)) == 300


def test_a_resource_is_shown_whole_or_not_at_all():
    steps = [
        step("create", GROUP, f"group-{number:03}", new={f"k{n}": "v" * 50 for n in range(30)}) for number in range(200)
    ]
    text = said(plan(*steps), limit=20_000)
    shown = re.findall(r"^\+ create \S+ (\S+)\n((?:\+     .*\n)*)", text, re.MULTILINE)
    assert len(text) <= 20_000
    assert len(shown) > 5
    assert {len(body.splitlines()) for _, body in shown} == {30}
    assert f"{200 - len(shown)} more resources were cut" in text
    assert text.endswith("were cut; the job's log has them all.\n")


def test_each_of_several_stacks_has_its_share():
    steps = [
        step("create", GROUP, f"group-{number:03}", new={f"k{n}": "v" * 50 for n in range(30)}) for number in range(200)
    ]
    text = said(*(plan(*steps, name=name) for name in ("dev", "staging", "prod")))
    assert len(text) <= LIMIT
    sizes = [len(each) for each in text.split("\n### ")[1:]]
    assert max(sizes) - min(sizes) < 3_000


def test_what_no_detail_makes_fit_is_counted():
    text = said(plan(*(step("delete", SECRET, f"secret-{number}" + "x" * 40) for number in range(3000))))
    assert len(text) <= LIMIT
    assert "### ⛔ prod: refused for 3000 resources, outage" in text
    (cut,) = re.findall(r"(\d+) more dangerous changes were cut", text)
    assert int(cut) + len(re.findall("^- \\*\\*delete", text, re.MULTILINE)) == 3000
    many = (plan(diagnostics=(("error", "x" * 5_000),), name=f"stack-{number}") for number in range(20))
    assert "There is more to say than a comment holds" in said(*many)


def test_the_longest_names_leave_every_destructive_change_in():
    text = said(plan(*(step("delete", CLUSTER, f"{number:03}{'é漢' * 120}") for number in range(300))))
    assert len(text) <= LIMIT
    assert len(set(re.findall("^- \\*\\*delete\\*\\* `(...)é漢", text, re.MULTILINE))) == 300


def test_whatever_the_limit_it_is_kept_and_nothing_stays_open():
    policies = Policies([PolicyResult("p", "mandatory", "", "m" * 50), PolicyResult("q", "advisory", "", "m" * 50)])
    steps = [step("delete", SECRET, f"s-{number}") for number in range(8)]
    steps.append(step("update", INSTANCE, "i", {"instanceClass": "a"}, {"instanceClass": "b"}))
    plans = [plan(*steps, name=name, policies=policies, diagnostics=(("warning", "w"),)) for name in ("dev", "prod")]
    for limit in range(200, 8_000, 40):
        text = said(*plans, limit=limit)
        assert len(text) <= limit
        assert text.count("<details>") == text.count("</details>")
        assert len(re.findall("^`{3,}", text, re.MULTILINE)) % 2 == 0


# What a value may hold


@pytest.mark.parametrize("value", ["a`b", "a|b", "a\nb", "``````", "</details>", "@everyone", "a\r\n\r\n### b"])
def test_no_value_breaks_out_of_its_place(value):
    text = said(plan(step("update", GROUP, old={"nodeType": "a"}, new={"nodeType": value, "engine": "valkey"})))
    assert text.count("<details>") == text.count("\n</details>\n") == 1
    assert len(re.findall("^`{6}", text, re.MULTILINE)) == 2
    assert [each for each in text.splitlines() if each.startswith("### ")] == ["### ⚠️ prod: passes, a failover"]
    for row in re.findall(r"^\| `database.*", text, re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", row)) == 6


@pytest.mark.parametrize(
    "name", ["```\n\n# heading", "``````\n+ create", "<!-- x", "</details>", "@everyone", "![x](http://e/x.png)"]
)
def test_no_name_and_no_policys_words_break_out(name):
    results = [PolicyResult("p", level, urn(SECRET, name), f"{name} is wrong") for level in ("mandatory", "advisory")]
    text = said(plan(step("delete", SECRET, name), policies=Policies(results), diagnostics=(("warning", name),)))
    outside = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$|(`+)[^`\n]+\2", "", text)
    assert not re.search(r"<!-- x|@everyone|!\[x\]\(|^# heading|^\+ create", outside, re.MULTILINE)
    assert outside.count("<details>") == outside.count("</details>") == 3
    assert "@<!-- -->everyone" in outside or "everyone" not in name


def test_a_digest_calls_nobody_and_stays_as_it_is():
    told = said(plan(policies=Policies([PolicyResult("p", "advisory", "", "give it a digest, @sha256:…")])))
    assert "give it a digest, @sha256:…" in told


def test_the_marker_stands_whatever_is_secret():
    assert comment([plan()], redactor(["meetinity-data"])).startswith(f"{MARKER}\n")


# Secrets


@pytest.mark.parametrize(
    ("property_", "value"),
    [
        ("nodeType", "rediss://:" + "q" * 10 + "{}@host"),
        ("description", "y" * 100 + "{}"),
        ("description", "postgresql://" + "u" * 90 + ":{}@host"),
    ],
)
@pytest.mark.parametrize("secret", ["kT9-vQm4_TzR8wLpB71nHs-YcD3fGj6", "correct  horse battery"])
def test_a_secret_is_taken_out_before_a_value_is_cut_or_folded(property_, value, secret):
    held = {"authToken": secret}
    changed = step("update", GROUP, "it", {**held, property_: "a"}, {**held, property_: value.format(secret)})
    one = plan(changed, diagnostics=(("error", "error: " + "word " * 17 + secret),))
    text = comment([one], redactor(known_to(one.preview, {})))
    assert secret[:4] not in text
    assert "[secret]" in text


TOKEN = "Xk29vQm4TzR8wLpB71nHsYcD3fGj6EuA"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app:s3cr3t-word@host/db",
        "rediss://:s3cr3t-word@host:6379/0",
        "postgresql://app:s3cr3t-word@x@host/db",
        "password=s3cr3t-word",
        '"masterPassword": "s3cr3t-word"',
        "PGPASSWORD=s3cr3t-word psql",
        "redis-cli AUTH s3cr3t-word",
        "AUTH default s3cr3t-word",
        "Authorization: Bearer s3cr3t-word",
        "auth_token: s3cr3t-word",
        "aws_secret_access_key = s3cr3t-word",
        "AWS_SESSION_TOKEN=s3cr3t-word/+",
        "https://host/?X-Amz-Security-Token=s3cr3t-word&a=b",
        "https://host/?X-Amz-Signature=s3cr3t-word",
        "client_secret=s3cr3t-word",
        "client-key-data: s3cr3t-word",
        json.dumps(json.dumps({"password": "s3cr3t-word"})),
        "postgresql://app:pa/s3cr3t-word@host/db",
        f"clear {TOKEN} here",
        "key ASIAABCDEFGHIJKLMNOP here",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzM2NyM3Qtd29yZCJ9.c2lnbmF0dXJl",
        "k8s-aws-v1.aHR0cHM6Ly9zdHMuczNjcjN0LXdvcmQ",
        "ghp_0123456789abcdefghij0123456789abcdef",
        "-----BEGIN RSA PRIVATE KEY-----\ns3cr3t-word\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_the_shape_of_a_secret_is_enough(text):
    told = redactor(())(text)
    assert "[secret]" in told
    assert not re.search(f"s3cr3t-word|{TOKEN}|ASIAABC|eyJzdWI|aHR0c|ghp_0|PRIVATE KEY", told)


@pytest.mark.parametrize(
    "text",
    [
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "arn:aws:kms:eu-west-1:123456789012:key/00000000-aaaa-4bbb-8ccc-dddddddddddd",
        "masterPassword: [secret]",
        "https://github.com/meetinity/data/actions/runs/1",
        "http://localhost:8080/a@b",
        "http://registry:5000/meetinity/service@sha256:9f86d081",
        "urn:pulumi:prod::meetinity-data::meetinity:data:AuroraCluster$random:index/randomPassword:RandomPassword::p",
        "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole",
        "ops: the password is not set",
        "AuroraClusterFinalSnapshotIdentifier",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redactor(())(text) == text


def test_a_known_value_goes_in_every_form():
    value = 'p@ss/w"rd é'
    import base64

    for form in (
        value,
        quote(value, safe=""),
        json.dumps(value)[1:-1],
        base64.b64encode(b"user:" + value.encode()).decode(),
    ):
        assert "[secret]" in redactor([value])(f"x {form} y")
    assert redactor(["short"])("short") == "short"


def test_what_stands_in_clear_under_a_secrets_name_is_known():
    seen = preview(
        step("update", old={"authToken": "one-token-in-clear"}, new={"nested": [{"password": "two-in-clear"}]}),
        step("create", SECRET, new={"kind": "Secret", "stringData": {"host": "three-in-clear"}}),
        step("create", SECRET, "l", new={"stringData": {"host": "five-in-clear"}}),
        step("create", JOB, "k", new={"secretKeyRef": {"name": "platform-database"}, "password": "password"}),
    )
    assert set(known_to(seen, {"GITHUB_TOKEN": "four-in-clear", "PATH": "/usr/bin"})) == {
        "one-token-in-clear",
        "two-in-clear",
        "three-in-clear",
        "five-in-clear",
        "four-in-clear",
    }


# The command


def test_waivers_that_cannot_be_read_are_told_of_and_nothing_passes(tmp_path):
    (tmp_path / "prod.json").write_text(document(step("update", old={"a": 1}, new={"a": 2})))
    (tmp_path / "waivers.yaml").write_text("waivers: [{}]")
    arguments = [str(tmp_path / "prod.json"), "--waivers", str(tmp_path / "waivers.yaml")]
    done = CliRunner().invoke(main, ["plan", "comment", *arguments])
    assert done.exit_code == 0
    assert "### ⛔ prod: not judged\n" in done.output
    assert "**The gate cannot judge it.**" in done.output
    assert "waiver 1: `urn` is missing" in " ".join(done.output.split())
    assert "a: 1" in done.output, "what would change is shown all the same"
    assert CliRunner().invoke(main, ["plan", "check", *arguments]).exit_code == 1


def test_the_command_takes_what_stands_beside_the_preview(tmp_path):
    (tmp_path / "prod.json").write_text(document(step("delete")))
    (tmp_path / "dev.json").write_text("")
    (tmp_path / "dev.stderr").write_text("error: getting secrets manager: passphrase=hunter2hunter2")
    finding = {"outcome": "advisory", "rule": "tags", "urn": "", "message": "no tag"}
    (tmp_path / "prod.policies.json").write_text(json.dumps({"findings": [finding]}))
    files = [str(tmp_path / "prod.json"), f"dev={tmp_path / 'dev.json'}"]
    output = tmp_path / "comment.md"
    done = CliRunner().invoke(main, ["plan", "comment", *files, "--run", "https://ci/1", "--output", str(output)])
    assert (done.exit_code, done.output) == (0, "")
    text = output.read_text()
    assert text.startswith(f"{MARKER}\n## Plan: ⛔ **prod** · ⛔ **dev** · [log](https://ci/1)\n")
    assert "advisory **tags**: no tag" in text
    assert "getting secrets manager: passphrase=[secret]" in text
    as_json = CliRunner().invoke(main, ["plan", "comment", *files, "--json"])
    assert [each["passed"] for each in json.loads(as_json.output)["stacks"]] == [False, False]
    (tmp_path / "prod.policies.json").write_text("[]")
    refused = CliRunner().invoke(main, ["plan", "comment", *files])
    assert (refused.exit_code, refused.output.count("\n")) == (1, 1)
    assert STACK not in refused.output
