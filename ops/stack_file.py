"""The stack file's generations: edits that keep its comments, are shown before they are written, and are whole."""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from ops.errors import OpsError
from ops.stack import STORES, Stack
from policies.stack_file import StackFileError, parsing

PROJECT = "meetinity-data"


class StackFile:
    """`Pulumi.STACK.yaml`, changed in memory until `write`."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack.name
        self.path = _project_directory(stack.directory) / f"Pulumi.{stack.name}.yaml"
        try:
            self._before = self.path.read_text()
        except FileNotFoundError:
            raise OpsError(f"stack {stack.name} has no {self.path.name} in {self.path.parent}") from None
        self._yaml = YAML()
        self._yaml.preserve_quotes = True
        self._yaml.width = 4096
        # As Pulumi itself writes stack files.
        self._yaml.indent(mapping=2, sequence=4, offset=2)
        try:
            with parsing(self.path):
                self._document = self._yaml.load(self._before) or CommentedMap()
        except StackFileError as error:
            raise OpsError(str(error)) from None
        self._check_mappings()

    @property
    def environment(self) -> str:
        """As the settings take it: the file's, or the stack's name."""
        return str((self._document.get("config") or {}).get(f"{PROJECT}:environment") or self._stack)

    def generations(self, store: str) -> dict[str, Any]:
        """As the file has them; empty where it leaves them to the default."""
        return dict(self._section(store).get("generations") or {})

    def add_generation(self, store: str, key: str, generation: Mapping[str, Any], standing: list[str]) -> None:
        """Beside those of the file, or beside `standing` where the file names none."""
        generations = self._generations(store, standing)
        entry = _flow(generation)
        if "restore" in generation:
            entry["restore"] = _flow(generation["restore"])
        generations[key] = entry

    def serve(self, store: str, key: str) -> None:
        self._section(store, make=True)["serving"] = key

    def retire(self, store: str, key: str, standing: list[str]) -> None:
        """The first step: the generation loses its protection."""
        self._generations(store, standing)[key]["retiring"] = True

    def remove_generation(self, store: str, key: str, standing: list[str]) -> None:
        """The second step. A spent `restore` that names it goes too: it would be refused."""
        generations = self._generations(store, standing)
        del generations[key]
        for other in generations.values():
            if other and ((other.get("restore") or {}).get("generation")) == key:
                del other["restore"]

    def restored_from(self, store: str, key: str) -> list[str]:
        """The generations that the file restores from generation `key`."""
        found = self.generations(store).items()
        return [name for name, each in found if ((each or {}).get("restore") or {}).get("generation") == key]

    def diff(self) -> str:
        after = self._text()
        lines = difflib.unified_diff(
            self._before.splitlines(), after.splitlines(), self.path.name, self.path.name, lineterm=""
        )
        return "\n".join(lines)

    def serving(self, store: str) -> str | None:
        """The generation that the file lets serve; None where it leaves it to the default."""
        found = self._section(store).get("serving")
        return None if found is None else str(found)

    def write(self) -> None:
        """The whole file or nothing of it, with the rights it had.

        Raises OpsError when somebody else has written since it was read: their edit must not be lost.
        """
        if self.path.read_text() != self._before:
            raise OpsError(f"{self.path.name} was changed by somebody else meanwhile: run the command again")
        self._replace(self._text())

    def undo(self) -> None:
        """Put back what stood there before, unless somebody else has written since."""
        if self.path.read_text() == self._text():
            self._replace(self._before)

    def _replace(self, text: str) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.write_text(text)
        temporary.chmod(self.path.stat().st_mode)
        temporary.replace(self.path)

    def _text(self) -> str:
        buffer = io.StringIO()
        self._yaml.dump(self._document, buffer)
        return buffer.getvalue()

    def _check_mappings(self) -> None:
        """Raises OpsError for what the settings would refuse, and no edit can be made in."""
        config = self._mapping("config", self._mapping("the file", self._document).get("config"))
        for store in STORES:
            where = f"{PROJECT}:{store}"
            section = self._mapping(where, config.get(where))
            where += ".generations"
            for key, each in self._mapping(where, section.get("generations")).items():
                self._mapping(f"{where}.{key}.restore", self._mapping(f"{where}.{key}", each).get("restore"))

    def _mapping(self, where: str, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping | None):
            raise OpsError(f"{self.path.name}: {where} is no mapping; `pulumi preview` tells what it has to be")
        return value or {}

    def _section(self, store: str, *, make: bool = False) -> Any:
        config = self._document.setdefault("config", CommentedMap()) if make else self._document.get("config") or {}
        key = f"{PROJECT}:{store}"
        if make and config.get(key) is None:
            config[key] = CommentedMap()
        found = config.get(key)
        return {} if found is None else found

    def _generations(self, store: str, standing: list[str]) -> Any:
        section = self._section(store, make=True)
        if not section.get("generations"):
            section["generations"] = CommentedMap((key, _flow({})) for key in standing)
        generations = section["generations"]
        for key, value in generations.items():
            if value is None:
                generations[key] = _flow({})
        return generations


def _flow(values: Mapping[str, Any]) -> CommentedMap:
    made = CommentedMap(values)
    made.fa.set_flow_style()
    return made


def _project_directory(directory: Path) -> Path:
    for each in (directory.resolve(), *directory.resolve().parents):
        if (each / "Pulumi.yaml").exists():
            return each
    raise OpsError(f"there is no Pulumi.yaml in {directory.resolve()} or above: go to the project, or say --cwd")
