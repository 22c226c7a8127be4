"""The commands as documented: every one that a page gives exists, and takes what the page gives it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

import components.aurora
from ops.__main__ import main
from ops.errors import OpsError
from ops.restore import NOT_RESTORED
from ops.stack import Stack

ROOT = Path(__file__).parent.parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
COMMAND = re.compile(r"python -m ops (?P<arguments>[a-z][^`#\n]*)")


def documented() -> dict[str, list[str]]:
    found = {}
    for page in PAGES:
        for match in COMMAND.finditer(page.read_text()):
            text = match["arguments"].strip()
            # A family, written `restore plan|start|…`, and a beginning.
            for each in text.split()[-1].split("|") if "|" in text else [text]:
                words = " ".join([*text.split()[:-1], each]) if "|" in text else each
                found[f"{page.name}: {words}"] = shlex.split(words)
    return found


@pytest.mark.parametrize("arguments", documented().values(), ids=documented().keys())
def test_every_documented_command_is_one(arguments):
    command: click.Command = main
    context = click.Context(main)
    rest = list(arguments)
    while isinstance(command, click.Group):
        name = rest.pop(0)
        parent, command = command, command.get_command(context, name)
        assert command is not None, f"{parent.name} has no {name}"
        context = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group) and not rest:
            return  # named as a family
    if rest:
        command.make_context(command.name, rest, parent=context.parent)


def test_every_command_is_in_the_runbook():
    runbook = (ROOT / "docs" / "runbook.md").read_text()

    def leaves(group: click.Group, path: tuple[str, ...]) -> list[str]:
        context = click.Context(group)
        return [
            leaf
            for name in group.list_commands(context)
            for command in [group.get_command(context, name)]
            for leaf in (
                leaves(command, (*path, name)) if isinstance(command, click.Group) else [" ".join((*path, name))]
            )
        ]

    assert [each for each in leaves(main, ()) if f"python -m ops {each}" not in runbook] == []


@pytest.mark.parametrize(
    ("answer", "code"), [(KeyboardInterrupt, 130), (EOFError, 1), ("n", 1)], ids=["ctrl-c", "no terminal", "no"]
)
def test_a_question_without_a_yes_ends_in_a_line_that_says_so(answer, code, monkeypatch, capsys):
    def asked(_prompt: str) -> str:
        if isinstance(answer, str):
            return answer
        raise answer

    monkeypatch.setattr("click.termui.visible_prompt_func", asked)
    with pytest.raises(SystemExit) as ended:
        main(["--stack", "dev", "drill"])
    assert ended.value.code == code
    assert capsys.readouterr().err.endswith(
        "\nops: not confirmed, nothing was done; without a terminal confirm by an option, see --help\n"
    )


def test_an_empty_stack_is_not_the_selected_one():
    done = CliRunner().invoke(main, ["--stack", "", "status"])
    assert done.exit_code == 2
    assert "--stack is empty: name the stack" in done.stderr


@pytest.mark.parametrize("report", ["", ".", "nowhere/drill.json"])
def test_a_report_that_cannot_be_written_is_refused_at_once(report):
    done = CliRunner().invoke(main, ["--stack", "dev", "drill", "--yes", "--report", report])
    assert done.exit_code in (1, 2)
    assert "there is no directory" in done.stderr or "is a directory" in done.stderr


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(30, "Read-only file system", "plan.json"), "ops: plan.json: Read-only file system\n"),
        (OSError(28, "No space left on device"), "ops: the output: No space left on device\n"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_line(error, says, monkeypatch):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("ops.plan.commands.read", fail)
    done = CliRunner().invoke(main, ["plan", "digest", "x.json"])
    assert (done.exit_code, done.stderr) == (1, says)


@pytest.mark.parametrize(("account", "refused"), [("123456789012", False), ("210987654321", True)])
def test_credentials_of_another_account_are_refused_because_it_may_have_the_same_names(account, refused, monkeypatch):
    main_ = {"arn": "arn:aws:rds:eu-west-1:123456789012:cluster:prod-postgres"}
    stores = {"database": {"serving": "main", "generations": {"main": main_}}}
    sts = SimpleNamespace(get_caller_identity=lambda: {"Account": account})
    monkeypatch.setattr("ops.aws.client", lambda *_: sts)
    monkeypatch.setattr(Stack, "pulumi", lambda *_: json.dumps({"stores": stores}))
    stack = Stack(ROOT, "prod")
    if not refused:
        assert stack.outputs == {"stores": stores}
        return
    with pytest.raises(OpsError, match="in account 123456789012, and the AWS credentials are of account 21"):
        stack.outputs  # noqa: B018


def test_an_interrupted_command_is_waited_for():
    script = (
        "from ops import child\ntry:\n    child.run(['sh', '-c', 'sleep 1; kill -INT $PPID; sleep 1; echo over'])\n"
        "except KeyboardInterrupt:\n    print('interrupted')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "over\ninterrupted\n"
    assert done.stderr == "interrupted: waiting for sh to end what it has begun\n"


@pytest.mark.parametrize("module", ["ops", "sandbox"])
def test_a_request_to_end_is_taken_like_a_ctrl_c(module):
    script = (
        "import runpy, signal, sys\nsys.argv = ['x', '--help']\n"
        f"try:\n    runpy.run_module('{module}', run_name='__main__')\n"
        "except SystemExit:\n    print(signal.getsignal(signal.SIGTERM) is signal.default_int_handler)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("True\n")


@pytest.mark.parametrize(
    ("resources", "says"),
    [
        (
            [],
            "nothing is deployed in stack dev. If it never was: `pulumi up`. If it was destroyed, that makes",
        ),
        ([{"urn": "u"}], "stack dev has no output `stores`: run `pulumi up` once with this version"),
    ],
)
def test_a_destroyed_stack_is_not_told_to_make_empty_stores(resources, says, monkeypatch):
    answers = {"output": {}, "export": {"deployment": {"resources": resources} if resources else {}}}
    monkeypatch.setattr(Stack, "pulumi", lambda _, *arguments: json.dumps(answers[arguments[1]]))
    done = CliRunner().invoke(main, ["--stack", "dev", "status"])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"ops: {says}")


def test_what_a_program_asks_for_is_there_everywhere():
    """`--json`, in every command that shows or changes something of the stores."""
    context = click.Context(main)
    groups = [main.get_command(context, name) for name in ("restore", "snapshot")]
    commands = [main.get_command(context, name) for name in ("status", "backups", "drill")]
    for group in groups:
        commands += group.commands.values()
    assert [each.name for each in commands if "--json" not in [o for p in each.params for o in p.opts]] == []


def test_what_a_restore_may_leave_is_what_the_component_warns_of():
    assert NOT_RESTORED == components.aurora.NOT_RESTORED


def test_the_program_does_not_import_the_commands_nor_the_commands_the_program():
    """Nor does a command that does not need it wait for the Kubernetes client."""
    for module, unwanted in (
        ("components.from_settings", ("ops", "boto3", "rich", "ruamel", "kubernetes")),
        ("ops.__main__", ("components", "settings", "pulumi", "kubernetes")),
    ):
        script = f"import {module}, sys; print(*sorted(set(sys.modules) & {set(unwanted)!r}))"
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "", module


@pytest.mark.parametrize(
    "arguments",
    [["plan", "check", "-"], ["plan", "comment", "dev=nothing.json"], ["plan", "digest", "-"], ["graph", "empty.json"]],
    ids=" ".join,
)
def test_a_pull_requests_commands_do_not_wait_for_the_client_of_aws(arguments, tmp_path):
    (tmp_path / "empty.json").write_text('{"steps": []}')
    script = (
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom ops.__main__ import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print(*sorted({'boto3', 'botocore'}.intersection(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=tmp_path, input='{"steps": []}', capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""


def test_an_error_of_aws_is_told_in_one_line_all_the_same(monkeypatch):
    """Though its client is imported late."""
    from botocore.exceptions import NoCredentialsError

    from ops import status

    def without_credentials(*_, **__):
        raise NoCredentialsError

    monkeypatch.setattr(status.status, "callback", without_credentials)
    done = CliRunner().invoke(main, ["status"])
    assert (done.exit_code, done.output) == (
        1,
        "ops: there are no AWS credentials: set AWS_PROFILE, or `source sandbox/activate`\n",
    )
