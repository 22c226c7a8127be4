"""AWS as the commands see it: clients for the store's region, and its errors in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from ops.errors import OpsError

# Enough for throttling, short enough that a person still waits.
_CONFIG = Config(connect_timeout=10, read_timeout=60, retries={"mode": "adaptive", "max_attempts": 6})


def client(service: str, region: str) -> Any:
    """Credentials and endpoints come from the environment, as for the `aws` command."""
    return boto3.client(service, region_name=region, config=_CONFIG)


def pages(region: str, service: str, operation: str, key: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Every item of a paginated answer."""
    for page in client(service, region).get_paginator(operation).paginate(**arguments):
        yield from page[key]


def code_of(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


@contextmanager
def explained() -> Iterator[None]:
    """Turns what AWS or the way to it says into OpsError."""
    try:
        yield
    except ClientError as error:
        message = error.response["Error"].get("Message") or "without a message"
        raise OpsError(f"AWS refused {error.operation_name} ({code_of(error)}): {message}") from error
    except NoCredentialsError as error:
        raise OpsError("there are no AWS credentials: set AWS_PROFILE, or `source sandbox/activate`") from error
    except BotoCoreError as error:
        raise OpsError(f"AWS was not reached: {error}") from error


def if_allowed(what: str, ask: Callable[[], Any], notes: list[str]) -> Any:
    """The answer; or None, and a note that says why it is missing: one figure less must not hide the others."""
    try:
        return ask()
    except ClientError as error:
        notes.append(f"{what}: unknown, because AWS refused {error.operation_name} ({code_of(error)})")
        return None
