from __future__ import annotations

import pytest

from tests.policy.analyzer import Analyzer, running


@pytest.fixture(scope="session")
def analyzer() -> Analyzer:
    with running() as started:
        yield started
