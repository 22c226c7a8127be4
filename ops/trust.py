"""Whom a Job in the cluster trusts when it connects to a store: AWS's own authorities, or those that are named."""

from __future__ import annotations

import os
from pathlib import Path

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session

from ops.errors import OpsError

# A file with the authorities to trust in place of AWS's, for both stores; the sandbox sets it.
VARIABLE = "MEETINITY_CA_BUNDLE"
# Aurora User Guide, "Certificate bundles by AWS Region". RDS signs with roots of its own, which no image has.
_RDS_BUNDLE = "https://truststore.pki.rds.amazonaws.com/{region}/{region}-bundle.pem"
_TIMEOUT_SECONDS = 20


def named() -> str | None:
    """The authorities of MEETINITY_CA_BUNDLE in PEM; None without it, for ElastiCache's are in every system's roots."""
    path = os.environ.get(VARIABLE)
    if not path:
        return None
    try:
        return _checked(Path(path).read_text(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise OpsError(f"{VARIABLE} is {path}, which cannot be read: {error}") from error


def of_rds(region: str) -> str:
    """The authorities that sign RDS's certificates in a region, in PEM: those named, or AWS's over HTTPS."""
    if found := named():
        return found
    url = _RDS_BUNDLE.format(region=region)
    advice = (
        "the server of the database cannot be verified without it. Download the region's bundle (Aurora User Guide, "
        f'"Certificate bundles by AWS Region") and name the file in {VARIABLE}'
    )
    try:
        answer = URLLib3Session(timeout=_TIMEOUT_SECONDS).send(AWSRequest("GET", url).prepare())
    except BotoCoreError as error:
        raise OpsError(f"{url} was not reached ({error}): {advice}") from error
    if answer.status_code != 200:
        raise OpsError(f"{url} answered {answer.status_code}: {advice}")
    return _checked(answer.text, url)


def _checked(text: str, where: str) -> str:
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise OpsError(f"{where} holds no certificate in PEM")
    return text
