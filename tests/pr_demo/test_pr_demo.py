"""`make pr-demo`: what a pull request gets, held against the committed comments in docs/pr-demo.

With PR_DEMO=write they are written anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import lifecycle
from sandbox.instance import CHECKOUT
from sandbox.progress import Progress
from tests.faults.secrets_search import Sought
from tests.pr_demo.demo import Demo, Outcome, true_secrets
from tests.pr_demo.scenarios import AWAY, FIRST, SECOND
from tests.sandbox.conftest import own
from tests.sandbox.operator import Operator

COMMENTS = CHECKOUT / "docs" / "pr-demo"
SCENARIOS = {**FIRST, **SECOND, **AWAY}


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Iterator[tuple[Demo, dict[str, Outcome]]]:
    with own("test-pr-demo") as instance:
        tools = lifecycle.up(instance, Progress())
        operator = Operator(instance, lifecycle.environment(instance, tools))
        made = Demo(operator, tmp_path_factory.mktemp("pr-demo"))
        outcomes = {}
        for name, outcome in made.run(print):
            print(f"{name}: exit {outcome.code} and {outcome.policies}, {len(outcome.raw)} characters", flush=True)
            outcomes[name] = outcome
            if os.environ.get("PR_DEMO") == "write":
                (COMMENTS / f"{name}.md").write_text(outcome.comment)
        yield made, outcomes


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_comment_is_the_committed_one(demo, name):
    outcome = demo[1][name]
    assert outcome.comment == (COMMENTS / f"{name}.md").read_text()
    assert (outcome.code, outcome.policies) == (SCENARIOS[name].code, SCENARIOS[name].policies)


def test_a_cluster_that_is_away_is_told_of(demo):
    assert "configured Kubernetes cluster is unreachable" in demo[1]["cluster-unreachable"].comment


def test_no_comment_has_a_secret_of_the_stack_in_it(demo):
    made, outcomes = demo
    sought = Sought([*true_secrets(made.operator), *made.secrets.items()])
    assert made.secrets, "no scenario made a secret"
    assert {name: found for name, outcome in outcomes.items() if (found := sought(outcome.raw.encode()))} == {}
    # They are where they belong, or nothing was looked for.
    assert len(sought(made.operator.run("pulumi", "stack", "output", "--json", "--show-secrets").encode())) >= 3


def test_no_committed_comment_is_without_its_scenario():
    assert {path.stem for path in COMMENTS.glob("*.md")} - {"README"} == set(SCENARIOS)
    index = Path(COMMENTS / "README.md").read_text()
    for name, scenario in SCENARIOS.items():
        assert f"| [{scenario.title}]({name}.md) | {scenario.code} | {scenario.policies} |" in index
