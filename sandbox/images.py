"""What the process node can run: <state>/images/<repository>/<tag>/, an `image.json` beside the content.

image.json: {"path": directories put on PATH, "workdir": directory inside the image, or null for `/`,
"env": {}, "command": what runs when a pod names none, "host": directories of this machine that the image
is made of, so that a volume mounted above one (say /tmp) does not hide it}.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.instance import Instance, write_privately

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXAMPLE_SERVICE = "meetinity/example-service:1.0.0"
REDIS_CLIENT = "public.ecr.aws/docker/library/redis:7.2.5-alpine"
POSTGRESQL_CLIENT = "public.ecr.aws/docker/library/postgres:17.6-alpine"

_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_COMPONENT = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<repository>{_COMPONENT}(?::\d+(?=/))?(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Image:
    directory: Path
    path: Sequence[str]
    workdir: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    host: Sequence[str] = ()

    @property
    def working_directory(self) -> str:
        return "/" if self.workdir is None else str(self.directory / self.workdir)


def location(instance: Instance, reference: str) -> Path:
    """Where the image of that name is, or would be; raises SandboxError when it is no image name."""
    parts = _REFERENCE.fullmatch(reference)
    if not parts:
        raise SandboxError(f"{reference!r} is not an image: expected REPOSITORY:TAG or REPOSITORY@sha256:DIGEST")
    return instance.images / parts["repository"] / (parts["digest"] or parts["tag"] or "latest")


def find(instance: Instance, reference: str) -> Image | None:
    directory = location(instance, reference)
    try:
        return Image(directory, **json.loads((directory / "image.json").read_text()))
    except FileNotFoundError:
        return None


def add(instance: Instance, reference: str, content: Path | None, **description: object) -> Path:
    """Register a copy of `content` as an image, in place of an older one of that name.

    A directory without an image.json, and no `description` of one, becomes an image with this
    virtualenv's programs on PATH that works in its own directory.
    """
    if content is not None and not content.is_dir():
        raise SandboxError(f"{content} is not a directory; an image is made of one")
    target = location(instance, reference)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".adding-", dir=target.parent))
    if content is not None:
        ignored = shutil.ignore_patterns("__pycache__", ".git", ".venv")
        shutil.copytree(content, temporary, dirs_exist_ok=True, ignore=ignored)
    if description or not (temporary / "image.json").exists():
        write_privately(temporary / "image.json", json.dumps(description or _python_image()))
    if _files(temporary) == _files(target):  # leave what a running container may be using
        shutil.rmtree(temporary)
    else:
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    return target


def furnish(instance: Instance, tools: Mapping[str, Path]) -> None:
    """Register the images that the program's `local` stack and the operators' commands use."""
    add(instance, EXAMPLE_SERVICE, Path(__file__).resolve().parent / "example_service")
    for reference, program in ((POSTGRESQL_CLIENT, "psql"), (REDIS_CLIENT, "redis-cli")):
        add(instance, reference, None, path=[str(tools[program].parent), *_SYSTEM_PATH], workdir=None, host=[])


def _files(directory: Path) -> dict[Path, bytes]:
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def _python_image() -> dict[str, object]:
    return {
        "path": [str(Path(sys.prefix) / "bin"), *_SYSTEM_PATH],
        "workdir": ".",
        "env": {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        "host": sorted({sys.prefix, sys.base_prefix}),
    }
