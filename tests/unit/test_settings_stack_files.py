"""The committed stack files load, and say no more than they must."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import Settings, load_settings
from settings.defaults import ENVIRONMENTS, defaults

ROOT = Path(__file__).parents[2]


def stack_file(stack: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    return config


def settings_of(stack: str) -> Settings:
    config = {key: value if isinstance(value, str) else json.dumps(value) for key, value in stack_file(stack).items()}
    return load_settings(config, [], stack)


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_a_committed_stack_file_loads(stack: str) -> None:
    settings = settings_of(stack)

    assert settings.environment == stack
    assert len(settings.migrations) == 1
    assert "data-ops" in [reader.name for reader in settings.access.readers]
    assert settings.network.vpc_id is None, "looked up, not copied"


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_a_committed_stack_file_repeats_no_default(stack: str) -> None:
    table = defaults(stack)
    repeated = [
        f"{section}.{key}"
        for full_key, values in stack_file(stack).items()
        if isinstance(values, dict) and (section := full_key.partition(":")[2]) in table
        for key, value in values.items()
        if table[section].get(key) == value
    ]

    assert repeated == []


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_a_committed_stack_file_names_the_region(stack: str) -> None:
    assert stack_file(stack)["aws:region"] == "eu-west-1"


def test_the_sandbox_migrates_its_example_service() -> None:
    (migration,) = settings_of("local").migrations

    assert (migration.name, migration.image) == ("example-service", "meetinity/example-service:1.0.0")
    assert migration.command == ("alembic", "upgrade", "head")
