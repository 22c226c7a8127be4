"""The workflows' commands against a GitHub on loopback and a Pulumi that says what the test wants."""

from __future__ import annotations

import json
import shlex
import textwrap

import pytest
from click.testing import CliRunner

from ops import lock
from ops.__main__ import main
from ops.errors import OpsError
from ops.pipeline import deploy, issue, plan_gate
from ops.pipeline.github import GitHub
from ops.plan.comment import MARKER
from ops.plan.digest import digest
from ops.plan.preview import parse
from ops.stack import Stack
from sandbox.instance import CHECKOUT
from tests.unit import fake_github

HEAD, MERGED = "1" * 40, "2" * 40
URN = "urn:pulumi:dev::meetinity-data::aws:rds/cluster:Cluster::database-cluster"
UPDATE = {"op": "update", "urn": URN, "detailedDiff": {"tags.Owner": {"kind": "update"}}, "oldState": {"x": "VALUE"}}
SAME = {"op": "same", "urn": URN, "oldState": {"protect": True}, "newState": {"protect": True}}
UNPROTECTED = {"op": "same", "urn": URN, "oldState": {"protect": True}, "newState": {"urn": URN}}
OTHER = "sha256:" + "b" * 64


def digest_of(*steps):
    return digest(parse(json.dumps({"steps": steps}), "test"))


DIGEST = digest_of(UPDATE)
LOCKED = (
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock"
    " file with `pulumi cancel`.\n  s3://state/.pulumi/locks/organization/meetinity-data/dev/1.json: created by"
    " runner@fv-az1 (pid 1734) at 2026-11-24T10:00:00Z\n"
)


@pytest.fixture
def github(monkeypatch):
    with fake_github.running() as fake:
        monkeypatch.setenv("GITHUB_REPOSITORY", fake_github.REPOSITORY)
        monkeypatch.setenv("GITHUB_TOKEN", fake_github.TOKEN)
        monkeypatch.setenv("GITHUB_API_URL", fake.url)
        for name in ("GITHUB_SERVER_URL", "GITHUB_RUN_ID"):
            monkeypatch.delenv(name, raising=False)
        yield fake


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose `pulumi` answers from files, and writes down what it was asked."""
    (tmp_path / "Pulumi.yaml").write_text("name: meetinity-data\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    binaries = tmp_path / "bin"
    binaries.mkdir()
    script = f"""\
        #!/bin/sh
        cd {shlex.quote(str(tmp_path))}
        echo "$@" >> asked
        cat "answer-$1"
        exit "$(cat "code-$1" 2>/dev/null || echo 0)"
    """
    (binaries / "pulumi").write_text(textwrap.dedent(script))
    (binaries / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", str(binaries), prepend=":")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answer-up").write_text("updated\n")
    monkeypatch.setattr(plan_gate, "refusal", lambda _: None)
    return tmp_path


def previews(project, *steps, code=0, diagnostics=()):
    (project / "answer-preview").write_text(json.dumps({"steps": steps, "diagnostics": list(diagnostics)}))
    (project / "code-preview").write_text(str(code))


def ops(*arguments):
    done = CliRunner().invoke(main, ["--stack", "dev", *arguments])
    assert fake_github.TOKEN not in done.output
    return done


def reviewed(github, digest=DIGEST):
    github.pulls[MERGED] = [{"number": 7, "merged_at": "2026-11-24T10:00:00Z", "head": {"sha": HEAD}}]
    if digest:
        status = {"context": "plan/dev", "description": f"1 changes, {digest}"}
        github.statuses[HEAD] = [{**status, "creator": {"login": github.writer}}]


def test_a_preview_is_written_also_when_it_failed(project):
    previews(project, code=1, diagnostics=[{"severity": "error", "message": "no such key"}])
    done = ops("preview", "plans/dev.json")
    assert (done.exit_code, "the preview of dev failed, nothing was changed: no such key" in done.output) == (1, True)
    assert json.loads((project / "plans/dev.json").read_text())["diagnostics"][0]["message"] == "no such key"
    asked = (project / "asked").read_text()
    assert "preview --json --non-interactive --stack dev --policy-pack" in asked
    assert "environments/dev.json" in asked, "a preview outside its environment's policies proves nothing"


def test_a_preview_that_cannot_begin_leaves_its_reason_for_the_comment(project):
    (project / "Pulumi.dev.yaml").write_text("config: {}\n  indented: wrong\n")
    done = ops("preview", "plans/dev.json")
    assert (done.exit_code, "Pulumi.dev.yaml is no YAML" in done.output) == (1, True)
    assert "Pulumi.dev.yaml is no YAML" in (project / "plans/dev.stderr").read_text()


def test_only_what_providers_say_for_debugging_is_left_out(project):
    noise = {"sequence": 1, "diagnosticEvent": {"severity": "debug", "message": "noise"}}
    lookalike = {"inputs": {"diagnosticEvent": {"severity": "debug"}, "text": "a\x85b"}}
    deleted = {"sequence": 2, "resourcePreEvent": {"metadata": {"op": "delete", "urn": URN, "old": lookalike}}}
    ended = {"sequence": 3, "summaryEvent": {"result": "succeeded", "resourceChanges": {"delete": 1}}}
    lines = [json.dumps(each, ensure_ascii=False) for each in (deleted, noise, ended)]
    (project / "answer-preview").write_text("\n".join(lines) + "\n")
    assert ops("preview", "plan.json").exit_code == 0
    assert (project / "plan.json").read_text() == "\n".join([lines[0], lines[2]]) + "\n"


def test_a_preview_that_gives_no_json_says_what_it_gave(project):
    (project / "answer-preview").write_text("error: no stack named 'dev' found")
    (project / "code-preview").write_text("6")
    done = ops("preview", "plan.json")
    assert (done.exit_code, "the preview of dev failed, nothing was changed: error: no stack" in done.output) == (
        1,
        True,
    )


@pytest.mark.parametrize(
    ("steps", "recorded", "given", "code", "said"),
    [
        ([UPDATE], DIGEST, None, 0, "the plan is the one that was reviewed in pull request #7"),
        ([UPDATE], OTHER, None, 3, f"not the one that was reviewed in pull request #7 ({OTHER})"),
        ([UNPROTECTED], OTHER, None, 3, "not the one that was reviewed"),
        ([UPDATE], None, None, 3, "pull request #7 has no plan of dev"),
        ([UPDATE], "", None, 3, "pull request #7 had no plan of dev that may be deployed"),
        ([UPDATE], OTHER, DIGEST, 0, "the plan is the one that was reviewed in --digest"),
        ([UPDATE], DIGEST, OTHER, 3, f"run deploy-stack by hand with digest {DIGEST}"),
        ([SAME], None, None, 0, "dev: nothing to change"),
    ],
    ids=["same", "other", "unprotect", "none", "refused", "by hand", "by hand, other", "no change"],
)  # fmt: skip
def test_a_deployment_is_bound_to_the_reviewed_plan(project, github, steps, recorded, given, code, said):
    previews(project, *steps)
    reviewed(github, recorded)
    if recorded == "":
        status = {"context": "plan/dev", "description": "the plan gate refuses it", "creator": {"login": github.writer}}
        github.statuses[HEAD] = [status]
    done = ops("deploy", "--digest" if given else "--commit", given or MERGED)
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert ("up --yes" in (project / "asked").read_text()) == (code == 0)


def test_a_review_that_a_person_wrote_is_none(project, github):
    previews(project, UPDATE)
    github.writer = "somebody"
    reviewed(github)
    done = ops("deploy", "--commit", MERGED)
    assert (done.exit_code, "has no plan of dev" in done.output) == (3, True)


def test_a_plan_that_was_made_after_the_merge_is_not_the_reviewed_one(project, github):
    previews(project, UPDATE)
    reviewed(github, OTHER)
    (status,) = github.statuses[HEAD]
    earlier, later = "2026-11-24T09:00:00Z", "2026-11-24T11:00:00Z"
    github.statuses[HEAD] = [
        {**status, "description": f"1 changes, {DIGEST}", "created_at": later},
        {**status, "created_at": earlier},
    ]
    done = ops("deploy", "--commit", MERGED)
    assert (done.exit_code, "its plan is not the one that was reviewed in pull request #7" in done.output) == (3, True)


@pytest.mark.parametrize("arguments", [("chart", "--version", ""), ("", "--version", "1.2.3")])
def test_a_release_of_whatever_is_newest_is_refused(project, arguments):
    done = ops("release", *arguments)
    assert (done.exit_code, "Helm would take whatever is newest" in done.output) == (1, True)


def test_the_stack_stays_the_one_that_was_selected_at_the_beginning(project):
    (project / "answer-stack").write_text("dev\n")
    stack = Stack(project)
    assert stack.name == "dev"
    (project / "answer-stack").write_text("prod\n")
    stack.pulumi("up")
    assert stack.again().name == "dev"
    assert (project / "asked").read_text().splitlines() == ["stack --show-name", "up --stack dev"]


def test_a_commit_without_a_pull_request_is_not_deployed(project, github):
    previews(project, UPDATE)
    done = ops("deploy", "--commit", MERGED)
    assert (done.exit_code, "came by no merged pull request" in done.output) == (3, True)


@pytest.mark.parametrize(
    ("preview_code", "refusal", "code", "said"),
    [
        (1, None, 1, "the preview of dev failed, nothing was changed"),
        (0, "replace of the cluster", 3, "refuses the plan of dev, nothing was changed:\nreplace of the cluster"),
    ],
)
def test_nothing_is_deployed_that_fails_or_is_refused(project, github, monkeypatch, preview_code, refusal, code, said):
    previews(project, UPDATE, code=preview_code)
    monkeypatch.setattr(plan_gate, "refusal", lambda _: refusal)
    done = ops("deploy", "--digest", DIGEST)
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert "up " not in (project / "asked").read_text()


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (LOCKED, "stack dev is locked by runner@fv-az1 (pid 1734) since 2026-11-24T10:00:00Z. If that run is still"),
        ("error: update failed", "the update of dev failed as shown above"),
    ],
)
def test_a_failed_update_is_shown_and_a_lock_explained(project, output, said):
    previews(project, UPDATE)
    (project / "answer-up").write_text(output)
    (project / "code-up").write_text("255")
    done = ops("deploy", "--digest", DIGEST)
    assert (done.exit_code, output in done.output, said in done.output) == (1, True, True), done.output


def test_another_failure_is_not_taken_for_a_lock():
    assert lock.explanation("error: deadlock detected", "dev") is None


def test_every_stack_gets_a_status_that_says_whether_it_may_be_deployed(project, github, monkeypatch):
    monkeypatch.setattr(plan_gate, "refusal", lambda preview: "a replace" if preview.stack == "staging" else None)
    (project / "plans").mkdir()
    for name, document in {
        "dev": {"steps": [UPDATE, SAME]},
        "staging": {"steps": [{**UPDATE, "urn": URN.replace("dev", "staging")}]},
        "prod": {"steps": [], "diagnostics": [{"severity": "error", "message": "preview failed"}]},
    }.items():
        (project / f"plans/{name}.json").write_text(json.dumps(document))
    arguments = [part for name in ("dev", "staging", "prod", "local") for part in ("--stack", name)]
    assert ops("review", "record", "plans", "--commit", HEAD, *arguments).exit_code == 0
    told = {each["context"]: (each["state"], each["description"]) for each in github.statuses[HEAD]}
    assert told == {
        "plan/dev": ("success", f"1 changes, {DIGEST}"),
        "plan/staging": ("failure", "the plan gate refuses it"),
        "plan/prod": ("failure", "the preview failed"),
        "plan/local": ("error", "there is no plan: the preview did not get as far"),
    }


def test_waivers_that_cannot_be_read_let_nothing_be_deployed(project, github, monkeypatch):
    def unreadable(_):
        raise OpsError("waiver 1: `urn` is missing")

    monkeypatch.setattr(plan_gate, "refusal", unreadable)
    (project / "plans").mkdir()
    (project / "plans/dev.json").write_text(json.dumps({"steps": [UPDATE]}))
    assert ops("review", "record", "plans", "--commit", HEAD, "--stack", "dev").exit_code == 0
    (status,) = github.statuses[HEAD]
    assert (status["state"], status["description"]) == ("failure", "the plan gate cannot read its waivers")


def test_drift_is_one_issue_that_is_kept_and_closed(project, github):
    runs = [
        ([UPDATE], "opened issue #1"),
        ([UPDATE], "issue #1 says it already"),
        ([UPDATE, {**UPDATE, "op": "delete", "urn": URN + "-2"}], "updated issue #1"),
        ([SAME], "closed issue #1"),
        ([], "no issue is open, and none is needed"),
        ([UNPROTECTED], "opened issue #2"),
    ]
    for steps, said in runs:
        previews(project, *steps)
        done = ops("drift", "--issue")
        assert (done.exit_code, said in done.output) == (0, True), done.output
    assert "preview --json --non-interactive --stack dev --refresh" in (project / "asked").read_text()
    assert github.issues[0]["state"] == "closed"
    assert "| `update` | `aws:rds/cluster:Cluster::database-cluster` | `tags.Owner` |" in github.issues[0]["body"]
    assert "VALUE" not in json.dumps(github.issues), "an issue has names of properties, not what they hold"


def test_drift_without_github_is_found_by_its_exit_code(project):
    previews(project, UPDATE)
    done = ops("drift", "--json")
    assert done.exit_code == 3
    previews(project, SAME)
    assert ops("drift").exit_code == 0


def test_drift_that_cannot_be_told_closes_nothing(project, github):
    previews(project, UPDATE)
    ops("drift", "--issue")
    previews(project, code=1, diagnostics=[{"severity": "error", "message": "AccessDenied: rds"}])
    done = ops("drift", "--issue")
    assert (done.exit_code, "the preview of dev failed, nothing was changed: AccessDenied: rds" in done.output) == (
        1,
        True,
    )
    assert github.issues[0]["state"] == "open"


def test_one_comment_is_made_and_then_replaced_and_a_persons_is_left_alone(project, github):
    said = project / "comment.md"
    github.comments[5] = [{"id": 1, "body": f"{MARKER} quoted", "user": {"login": "somebody"}}]
    for text in ("first", "second"):
        said.write_text(f"{MARKER}\n{text}")
        assert ops("comment", "comment.md", "--pull-request", "5").exit_code == 0
    assert [each["body"].removeprefix(f"{MARKER}\n") for each in github.comments[5]][1:] == ["second"]
    assert "quoted" in github.comments[5][0]["body"]


def test_a_run_that_is_started_again_leaves_a_newer_heads_comment_alone(project, github):
    for text, commit in (("new", HEAD), ("old", MERGED)):
        (project / "comment.md").write_text(f"{MARKER}\n{text}")
        done = ops("comment", "comment.md", "--pull-request", "5", "--commit", commit)
        assert done.exit_code == 0
    assert f"#5 is at {HEAD} by now" in done.output
    assert [each["body"] for each in github.comments[5]] == [f"{MARKER}\nnew"]


def test_the_review_is_that_of_the_pull_request_that_made_the_commit(project, github):
    previews(project, UPDATE)
    reviewed(github)
    made = {"number": 9, "merged_at": "2026-11-24T11:00:00Z", "head": {"sha": "3" * 40}, "merge_commit_sha": MERGED}
    github.pulls[MERGED].append(made)
    done = ops("deploy", "--commit", MERGED)
    assert (done.exit_code, "pull request #9 has no plan of dev" in done.output) == (3, True)


@pytest.mark.parametrize(
    ("path", "owned"),
    [
        ("ops/plan/stateful.py", True),
        (".github/workflows/preview.yml", True),
        ("bootstrap/permissions.py", True),
        ("policies/plan-waivers.yaml", True),
        ("requirements.txt", True),
        ("click.py", True),
        ("urllib3/__init__.py", True),
        ("Pulumi.prod.yaml", True),
        ("Pulumi.dev.yaml", False),
        ("docs/ci.md", False),
    ],
)
def test_what_could_let_a_plan_pass_has_code_owners(path, owned):
    lines = [line.split() for line in (CHECKOUT / ".github/CODEOWNERS").read_text().splitlines() if line[:1] in "/*"]
    fitting = [owners for pattern, *owners in lines if pattern == "*" or f"/{path}".startswith(pattern)]
    assert bool(fitting[-1]) is owned


def test_an_issue_is_found_on_a_later_page_and_another_stacks_is_left_alone(github):
    for number in range(120):
        github.answer("POST", f"{fake_github.ROOT}/issues", {}, {"title": str(number), "body": None})
    here = GitHub.of_this_run()
    assert issue.keep(here, "drift prod", "t", "trouble") == "opened issue #121"
    assert issue.keep(here, "drift dev", "t", None).startswith("no issue is open")
    assert issue.keep(here, "drift prod", "t", "more") == "updated issue #121"


def test_a_release_takes_the_stacks_values_and_its_way_into_the_cluster(project, monkeypatch):
    outputs = {
        "helm_values": {"global": {"environment": "dev"}},
        "kubernetes": {"namespace": "meetinity-dev", "context": None, "kubeconfig": "apiVersion: v1"},
        "stores": {},
    }
    (project / "answer-stack").write_text(json.dumps(outputs))
    helm = project / "bin" / "helm"
    helm.write_text('#!/bin/sh\necho "$@" > helm-asked\nwhile [ $# -gt 1 ]; do\n'
                    '  case "$1" in --values|--kubeconfig) cat "$2" >> helm-read;; esac; shift\ndone\n')  # fmt: skip
    helm.chmod(0o755)
    done = ops("release", "oci://registry.example/meetinity", "--version", "1.2.3")
    assert done.exit_code == 0, done.output
    asked = (project / "helm-asked").read_text()
    assert "upgrade --install meetinity oci://registry.example/meetinity --version 1.2.3" in asked
    assert "--namespace meetinity-dev" in asked
    assert (project / "helm-read").read_text() == json.dumps(outputs["helm_values"]) + "apiVersion: v1"
    helm.write_text("#!/bin/sh\nexit 1\n")
    done = ops("release", "chart", "--version", "1.2.3")
    assert (done.exit_code, "Helm goes back to the one before" in done.output) == (1, True)


@pytest.mark.parametrize(
    ("statuses", "code", "requests"),
    [([503, 429], 0, 3), ([403], 1, 1), ([404], 1, 1)],
    ids=["tried again", "forbidden", "missing"],
)
def test_github_is_asked_again_only_where_it_helps(github, statuses, code, requests):
    github.fail = statuses
    here = GitHub.of_this_run()
    if code:
        with pytest.raises(Exception, match=rf"\({statuses[0]}\): scripted; does the job have the permission"):
            here.get("/issues", state="open", per_page="1", page="1")
    else:
        assert here.get("/issues", state="open", per_page="1", page="1") == []
    assert len(github.requests) == requests


def test_what_is_missing_is_named_all_at_once(monkeypatch):
    for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Exception, match="GITHUB_REPOSITORY and GITHUB_TOKEN not set"):
        GitHub.of_this_run()


def test_an_interrupted_deployment_waits_for_pulumi_to_let_go_of_the_stack(project, monkeypatch, capsys):
    """Ctrl-C reaches both; whoever ends first takes the other's output away, or leaves the stack locked."""
    script = "#!/bin/sh\necho begun\nsleep 0.5\necho the lock is released\n"
    (project / "bin" / "pulumi").write_text(script)
    relay = deploy._relay

    def interrupted(process, said):
        monkeypatch.setattr(deploy, "_relay", relay)
        said.append(process.stdout.readline())
        raise KeyboardInterrupt

    monkeypatch.setattr(deploy, "_relay", interrupted)
    with pytest.raises(KeyboardInterrupt):
        deploy._up(Stack(project, "dev"))
    told = capsys.readouterr()
    assert told.out == "the lock is released\n"
    assert told.err == "interrupted: waiting for pulumi to end what it has begun\n"


def test_a_lock_is_explained_to_whoever_meets_it(project):
    (project / "bin" / "pulumi").write_text(f"#!/bin/sh\nprintf %s {shlex.quote(LOCKED)} >&2\nexit 255\n")
    with pytest.raises(OpsError, match=r"failed: stack dev is locked by runner@fv-az1 \(pid 1734\) since"):
        Stack(project, "dev").pulumi("up")
