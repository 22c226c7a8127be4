"""`python -m sandbox.aws`: the AWS API of the instance that MEETINITY_SANDBOX names, until it is told to end."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from typing import Any

from sandbox.instance import ACCOUNT_ID, REGION

# moto, boto3 and botocore read these when they are imported.
os.environ |= {
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "MOTO_ACCOUNT_ID": ACCOUNT_ID,
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # most of EC2's start-up time and saved state
}
os.environ.pop("AWS_ENDPOINT_URL", None)

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from sandbox.aws import backup, elasticache, moto_gaps, rds  # noqa: F401 — they fill the tables of operations
from sandbox.aws.account_state import AccountState
from sandbox.aws.operations import RECOVERIES
from sandbox.aws.server import AwsApi
from sandbox.errors import SandboxError
from sandbox.instance import Instance


class _QuietHandler(MotoRequestHandler):
    """The application writes its own line per request; a request line could carry a signature."""

    def log_request(self, *_: Any) -> None:
        pass


def main() -> None:
    warnings.filterwarnings("ignore", module="moto")  # of error codes that are the sandbox's own
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    instance = Instance.current()
    try:
        account = AccountState(instance)
        moto_gaps.fill(account)
        for recover in RECOVERIES.values():
            recover(account)
        server = make_server(instance.aws_address, 5000, AwsApi(account), threaded=True, request_handler=_QuietHandler)
    except SandboxError as error:
        sys.exit(f"aws-api: {error}")
    # The databases go on: they belong to the sandbox, not to this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.info("the AWS API of %s listens on %s", instance.name, instance.aws_endpoint)
    server.serve_forever()


if __name__ == "__main__":
    main()
