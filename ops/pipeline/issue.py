"""One issue for one trouble: opened when it is there, kept up to date, closed when it is gone."""

from __future__ import annotations

from ops.pipeline.github import GitHub, run_url


def keep(github: GitHub, subject: str, title: str, trouble: str | None) -> str:
    """Open, update or close the issue about `subject`; the answer says which, in a line.

    `trouble` is Markdown, None where there is none. The issue is found by a hidden marker, so its title may be edited.
    """
    marker = f"<!-- meetinity-data: {subject} -->"
    found = [
        each
        for each in github.every("/issues", state="open", sort="created", direction="asc")
        if marker in (each["body"] or "") and "pull_request" not in each
    ]
    run = f"\n\nFound by {run_url()}" if run_url() else ""
    if trouble is None:
        for each in found:
            github.post(f"/issues/{each['number']}/comments", {"body": f"It is gone.{run.replace('Found', 'Seen')}"})
            github.patch(f"/issues/{each['number']}", {"state": "closed", "state_reason": "completed"})
        return "; ".join(f"closed issue #{each['number']}" for each in found) or "no issue is open, and none is needed"
    body = f"{trouble}\n\nThis issue is closed by the first run that finds nothing.\n{marker}"
    if not found:
        made = github.post("/issues", {"title": title, "body": body + run})
        return f"opened issue #{made['number']}"
    number, stands = found[0]["number"], found[0]["body"].partition(marker)[0] + marker
    if stands == body:
        return f"issue #{number} says it already"
    github.patch(f"/issues/{number}", {"body": body + run})
    return f"updated issue #{number}"
