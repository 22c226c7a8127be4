"""The running stack's configuration as Settings, or one error that names everything wrong with it."""

from __future__ import annotations

import pulumi
from pulumi.runtime.config import CONFIG, is_config_secret

from settings import Settings, SettingsError, load_settings


def stack_settings() -> Settings:
    """Raises pulumi.RunError, which the engine shows without a traceback, before anything is registered."""
    config = CONFIG.get()
    try:
        return load_settings(config, {key for key in config if is_config_secret(key)}, pulumi.get_stack())
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
