"""A stack file, or Pulumi.yaml, read as strictly as Pulumi reads it: a key that stands there twice is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

CHECKOUT = Path(__file__).parent.parent


class StackFileError(Exception):
    """The file is missing, or no mapping in YAML; the message says where, and quotes no value."""


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Turns what ruamel.yaml says of the file into StackFileError."""
    try:
        yield
    except MarkedYAMLError as error:
        # Of a duplicate it quotes both values: either may be somebody's secret.
        problem = str(error.problem or error.context).partition(" with value ")[0]
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise StackFileError(f"{path.name} is no YAML file: {problem}{where}") from None
    except (UnicodeDecodeError, YAMLError) as error:
        raise StackFileError(f"{path.name} is no YAML file: {' '.join(str(error).split())}") from None
    except ValueError:  # its text has the value in it
        raise StackFileError(f"{path.name}: what looks like a date or a number is none; write it in quotes") from None


def read(path: Path) -> dict[str, Any]:
    """Raises StackFileError."""
    try:
        with parsing(path):
            found = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        known = ", ".join(sorted(each.name.split(".")[1] for each in CHECKOUT.glob("Pulumi.*.yaml")))
        raise StackFileError(f"there is no {path.name}; the stacks are {known}") from None
    except OSError as error:
        raise StackFileError(f"{path.name} is no YAML file: {error}") from None
    if not isinstance(found, dict):
        raise StackFileError(f"{path.name} is no mapping")
    if not isinstance(found.get("config") or {}, dict):
        raise StackFileError(f"{path.name}: `config` is no mapping")
    return found
