"""The bootstrap project in a sandbox, driven by the real CLI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import yaml

from sandbox.instance import ACCOUNT_ID, CHECKOUT
from sandbox.stack import backend_url
from tests.sandbox.conftest import Sandbox

BUCKET = "meetinity-data-state"


class Bootstrap:
    """The bootstrap project's program, with a stack file of its own."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.sandbox, self.directory = sandbox, directory
        project = yaml.safe_load((CHECKOUT / "bootstrap/Pulumi.yaml").read_text())
        project |= {"main": str(CHECKOUT / "bootstrap")}
        project["runtime"]["options"]["virtualenv"] = str(CHECKOUT / ".venv")
        (directory / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        stack = yaml.safe_load((CHECKOUT / "bootstrap/Pulumi.main.yaml").read_text())
        del stack["config"]["aws:defaultTags"]  # the sandbox's provider has no such setting
        stack["config"] |= {"meetinity-data-bootstrap:account": ACCOUNT_ID, "meetinity-data-bootstrap:bucket": BUCKET}
        self.stack_file.write_text(yaml.safe_dump(stack))
        (directory / "backend").mkdir()
        self.file_backend = backend_url(directory / "backend")
        endpoint = sandbox.instance.aws_endpoint
        self.s3_backend = f"s3://{BUCKET}?endpoint={endpoint}&s3ForcePathStyle=true&region=eu-west-1"

    @property
    def stack_file(self) -> Path:
        return self.directory / "Pulumi.main.yaml"

    def pulumi(self, *arguments: str, backend: str | None = None, fails: bool = False) -> str:
        environment = {**self.sandbox.environment, "PULUMI_BACKEND_URL": backend or self.s3_backend}
        done = Sandbox(self.sandbox.instance, self.sandbox.tools, environment).run(
            str(self.sandbox.tools["pulumi"]), *arguments, "--stack", "main", directory=self.directory, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def aws(self, service: str, operation: str, **arguments: object) -> Any:
        """By boto3: the `aws` command takes seconds to start."""
        given = {
            name: self.sandbox.environment[name.upper()] for name in ("aws_access_key_id", "aws_secret_access_key")
        }
        client = boto3.client(service, "eu-west-1", endpoint_url=self.sandbox.instance.aws_endpoint, **given)
        return getattr(client, operation)(**arguments)
