"""What every model of the configuration has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Frozen; keys in camelCase, unknown ones refused. Fields without a default have it in `settings.defaults`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        hide_input_in_errors=True,
        # Rules between fields are validators of the later field, which must run for a default as well.
        validate_default=True,
    )
