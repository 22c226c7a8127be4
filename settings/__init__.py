"""The stack configuration as frozen models: pure, no Pulumi, no input or output."""

from settings.load import load_settings
from settings.problems import Problem, SettingsError
from settings.stack import Settings

__all__ = ["Problem", "Settings", "SettingsError", "load_settings"]
