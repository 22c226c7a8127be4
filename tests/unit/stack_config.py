"""Stack configurations for tests, in the shape in which the engine hands them over."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import pytest

from settings import Settings, SettingsError, load_settings

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def as_engine(sections: dict[str, Any]) -> dict[str, str]:
    """Full keys, objects as JSON text, top-level texts as they are."""
    return {
        key if ":" in key else f"meetinity-data:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in sections.items()
    }


def load(sections: dict[str, Any], *, stack: str = "dev", secret: Collection[str] = ()) -> Settings:
    return load_settings(as_engine(sections), [f"meetinity-data:{key}" for key in secret], stack, now=NOW)


def refusal(sections: dict[str, Any], *, stack: str = "dev", secret: Collection[str] = ()) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load(sections, stack=stack, secret=secret)
    return caught.value
