"""The workflows' `run:` steps, as a runner would run them: in order, with their conditions and environments.

What a step says in `${{ }}` is worked out by a small evaluator that knows what our workflows use and refuses anything
else. An action of somebody else's is not run: its stand-in is named by the test, or the step is refused.
"""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sandbox.instance import CHECKOUT

_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|([A-Za-z_][\w.-]*)|(\|\||&&|==|!=|[!(),]))")
_STATUS = ("always", "cancelled", "success", "failure")


class Expression:
    """`a.b == 'c' && f(x)`; ValueError for what it does not know."""

    def __init__(self, text: str, contexts: Mapping[str, Any], *, succeeded: bool = True) -> None:
        self._contexts, self._succeeded, self._tokens, position = contexts, succeeded, [], 0
        while text[position:].strip():
            found = _TOKEN.match(text, position)
            if not found:
                raise ValueError(f"the runner does not know {text[position:]!r} in {text!r}")
            self._tokens.append(found.groups())
            position = found.end()
        self._text, self._at = text, 0

    def value(self) -> Any:
        found = self._either()
        if self._at != len(self._tokens):
            raise ValueError(f"the runner does not know how {self._text!r} goes on")
        return found

    def _operator(self, *known: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at][2] in known:
            self._at += 1
            return self._tokens[self._at - 1][2]
        return None

    def _either(self) -> Any:
        found = self._both()
        while self._operator("||"):
            other = self._both()
            found = found or other
        return found

    def _both(self) -> Any:
        found = self._compared()
        while self._operator("&&"):
            other = self._compared()
            found = found and other
        return found

    def _compared(self) -> Any:
        found = self._single()
        if operator := self._operator("==", "!="):
            return (found == self._single()) == (operator == "==")
        return found

    def _single(self) -> Any:
        if self._operator("!"):
            return not self._single()
        if self._operator("("):
            found = self._either()
            assert self._operator(")"), self._text
            return found
        text, name, _ = self._tokens[self._at]
        self._at += 1
        if text is not None:
            return text.replace("''", "'")
        if name and self._operator("("):
            given = []
            while not self._operator(")"):
                given.append(self._either())
                self._operator(",")
            return self._call(name, given)
        return self._look_up(name or "")

    def _call(self, name: str, given: list[Any]) -> Any:
        if name == "format":
            return re.sub(r"\{(\d+)\}", lambda found: str(given[1 + int(found[1])]), given[0])
        states = {"always": True, "cancelled": False, "success": self._succeeded, "failure": not self._succeeded}
        if name not in states:
            raise ValueError(f"the runner does not know the function {name!r} of {self._text!r}")
        return states[name]

    def _look_up(self, name: str) -> Any:
        root, *path = name.split(".")
        if root not in self._contexts:
            raise ValueError(f"the runner does not know {name!r} in {self._text!r}")
        found = self._contexts[root]
        for part in path:
            found = found.get(part, "") if isinstance(found, Mapping) else ""
        return found


def filled(value: Any, contexts: Mapping[str, Any]) -> Any:
    """`value` with every `${{ }}` in it worked out."""
    if isinstance(value, dict):
        return {key: filled(each, contexts) for key, each in value.items()}
    if not isinstance(value, str):
        return value
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(Expression(found[1], contexts).value()), value)


def holds(condition: str | None, contexts: Mapping[str, Any], *, succeeded: bool) -> bool:
    """Without a status function in it, a condition is one of a run that has succeeded until then."""
    text = re.sub(r"^\$\{\{(.*)\}\}$", r"\1", str(condition if condition is not None else "success()"))
    asked = bool(Expression(text, contexts, succeeded=succeeded).value())
    return asked and (succeeded or any(f"{each}(" in text for each in _STATUS))


@dataclass
class Done:
    """A step that was run, or a stand-in that took its place."""

    job: str
    name: str
    code: int
    output: str


@dataclass
class Runner:
    """Runs workflows of `workspaces()`, each job in a checkout of its own."""

    workspace: Callable[[], Path]
    environment: Mapping[str, str]
    contexts: Mapping[str, Any]
    """`github` and `vars`."""
    actions: Mapping[str, Callable[[Path, Mapping[str, Any]], None]]
    """By an action's name without its version: what stands in for it, given the workspace and its `with`."""
    set_up: frozenset[str]
    """`run:` steps that prepare the machine, word for word: they are not run here either."""
    stacks: tuple[str, ...] = ()
    """Of a matrix over stacks only these; all of them where it is empty."""
    done: list[Done] = field(default_factory=list)

    def run(
        self, workflow: str, inputs: Mapping[str, Any] | None = None, only: tuple[str, ...] = ()
    ) -> dict[str, bool]:
        """Run it, or `only` some of its jobs; whether each job succeeded, in order. Skipped ones are not in it."""
        document = yaml.safe_load((CHECKOUT / ".github/workflows" / workflow).read_text())
        ended: dict[str, bool] = {}
        for name, job in document["jobs"].items():
            needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            contexts = {**self.contexts, "inputs": inputs or {}}
            good = all(ended.get(each, False) or (only and each not in only) for each in needs)
            if (only and name not in only) or not holds(job.get("if"), {**contexts, "matrix": {}}, succeeded=good):
                continue
            every = [self._job(name, job, {**contexts, "matrix": each}) for each in self._matrix(job)]
            ended[name] = all(every)
        return ended

    def _matrix(self, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        given = (job.get("strategy") or {}).get("matrix", {})
        for values in itertools.product(*given.values()):
            made = dict(zip(given, values, strict=True))
            if not self.stacks or made.get("stack", self.stacks[0]) in self.stacks:
                yield made

    def _job(self, name: str, job: Mapping[str, Any], contexts: Mapping[str, Any]) -> bool:
        if "uses" in job:
            called = Path(job["uses"]).name
            return all(self.run(called, filled(job.get("with", {}), contexts)).values())
        name = " ".join([name, *map(str, contexts["matrix"].values())])
        workspace, succeeded = self.workspace(), True
        given = {
            **self.environment,
            **_text(filled(job.get("env", {}), contexts)),
            "GITHUB_STEP_SUMMARY": str(workspace / "summary.md"),
        }
        for step in _steps(job["steps"], contexts):
            if not holds(step.get("if"), step["contexts"], succeeded=succeeded):
                continue
            succeeded = self._step(name, step, workspace, given) and succeeded
        return succeeded

    def _step(self, job: str, step: Mapping[str, Any], workspace: Path, given: Mapping[str, str]) -> bool:
        contexts = step["contexts"]
        if "uses" in step:
            action = step["uses"].partition("@")[0]
            if action not in self.actions:
                raise ValueError(f"nothing stands in for the action {action}")
            self.actions[action](workspace, filled(step.get("with", {}), contexts))
            return True
        if step["run"].strip() in self.set_up:
            return True
        environment = {**given, **_text(filled(step.get("env", {}), contexts))}
        # GitHub Docs, "Workflow syntax", jobs.<id>.steps[*].shell: what `bash` and no shell at all mean.
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"] if "shell" in step else ["bash", "-e", "-c"]
        ran = subprocess.run(
            [*shell, filled(step["run"], contexts)],
            cwd=workspace, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=900,
        )  # fmt: skip
        self.done.append(Done(job, step.get("name") or step["run"], ran.returncode, ran.stdout))
        return ran.returncode == 0 or bool(step.get("continue-on-error"))


def _steps(steps: list[dict[str, Any]], contexts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """With those of the repository's own actions in their place."""
    for step in steps:
        if step.get("uses", "").startswith("./"):
            action = yaml.safe_load((CHECKOUT / step["uses"] / "action.yml").read_text())
            defaults = {name: each.get("default", "") for name, each in (action.get("inputs") or {}).items()}
            inputs = {**defaults, **filled(step.get("with", {}), contexts)}
            yield from _steps(action["runs"]["steps"], {**contexts, "inputs": inputs})
        else:
            yield {**step, "contexts": contexts}


def _text(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
