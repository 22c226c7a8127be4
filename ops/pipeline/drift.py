"""`drift`: whether AWS and Kubernetes are as the main branch says. It reads, and changes nothing."""

from __future__ import annotations

import click

from ops.errors import FoundError
from ops.options import pass_stack, with_json
from ops.pipeline import issue
from ops.pipeline.github import GitHub
from ops.pipeline.preview import run
from ops.plan.comment import code
from ops.stack import Stack
from ops.terminal import say, show, table


@click.command()
@click.option("--issue", "with_issue", is_flag=True, help="Say it in one GitHub issue per stack, and exit 0.")
@with_json
@pass_stack
def drift(stack: Stack, *, with_issue: bool, as_json: bool) -> None:
    """Preview against what is really there. Exits 3 when something differs."""
    # Names of properties, never values: an issue is read by more people than a plan.
    rows = [
        ("unprotect" if each.op == "same" else each.op, each.urn, ", ".join(change.path for change in each.changes))
        for each in run(stack, "--refresh").preview.changed
    ]
    columns = ("operation", "resource", "properties")
    found = {"stack": stack.name, "drift": [dict(zip(columns, row, strict=True)) for row in rows]}
    title = f"Stack {stack.name} is not as the main branch says" if rows else f"{stack.name}: no drift"
    show(found, [table(title, columns, rows)], as_json=as_json)
    if with_issue:
        say(issue.keep(GitHub.of_this_run(), f"drift {stack.name}", title, _markdown(stack, rows)))
    elif rows:
        raise FoundError(f"{len(rows)} resources of {stack.name} differ from the program")


def _markdown(stack: Stack, rows: list[tuple[str, str, str]]) -> str | None:
    if not rows:
        return None
    lines = [f"| `{op}` | {code(urn.split('::', 2)[-1])} | {code(properties)} |" for op, urn, properties in rows]
    return "\n".join(
        [
            f"`pulumi up` of stack **{stack.name}** would change this, with nothing to deploy:",
            "",
            "| operation | resource | properties |",
            "|---|---|---|",
            *lines,
            "",
            "Somebody changed it outside the program, or a deployment has not ended. Look at both sides with "
            f"`pulumi preview --refresh --diff --stack {stack.name}`; then take the change into the program, or let "
            f"`pulumi up --refresh --stack {stack.name}` undo it.",
        ]
    )
