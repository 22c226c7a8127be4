"""Signature Version 4, checked as AWS does, with the one pair of credentials the sandbox has.

botocore signs the received request again; the signatures must agree. An EKS token is a presigned
STS GetCallerIdentity URL, so the same check answers Kubernetes' TokenReview.
"""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sandbox.account import ACCESS_KEY_ID, CALLER_ARN, EKS_CLUSTER, SECRET_ACCESS_KEY
from sandbox.aws.operations import AwsError
from sandbox.instance import ACCOUNT_ID, REGION, Instance

TIME_FORMAT = "%Y%m%dT%H%M%SZ"
# Clock difference AWS tolerates in a signed request: "Signing AWS requests", IAM User Guide.
REQUEST_LIFE = timedelta(minutes=15)
# aws-iam-authenticator accepts a token this long after it was signed, whatever X-Amz-Expires says.
TOKEN_LIFE = timedelta(minutes=15)
TOKEN_PREFIX = "k8s-aws-v1."  # noqa: S105
CLUSTER_HEADER = "x-k8s-aws-id"


def _signature(
    method: str, url: str, headers: dict[str, str], body: bytes, time: str, region: str, service: str
) -> str:
    signer = SigV4Auth(Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY), service, region)
    request = AWSRequest(method, url, headers=headers, data=body)
    request.context["timestamp"] = time
    signature: str = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return signature


def _age(time: str) -> timedelta:
    return datetime.now(UTC) - datetime.strptime(time, TIME_FORMAT).replace(tzinfo=UTC)


def check_request(method: str, url: str, headers: dict[str, str], body: bytes) -> tuple[str, str]:
    """The region and service a request is signed for; AwsError unless the sandbox's credentials signed it."""
    headers = {name.lower(): value for name, value in headers.items()}
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    try:
        fields = dict(field.strip().split("=", 1) for field in rest.split(","))
        key, _, region, service, _ = fields["Credential"].split("/")
        signed = {name: headers[name] for name in fields["SignedHeaders"].split(";")}
        time = headers["x-amz-date"]
        age = _age(time)
    except (KeyError, ValueError) as error:
        raise AwsError("MissingAuthenticationToken", "Request is missing Authentication Token") from error
    if scheme != "AWS4-HMAC-SHA256" or key != ACCESS_KEY_ID:
        raise AwsError("InvalidClientTokenId", "The security token included in the request is invalid.")
    if abs(age) > REQUEST_LIFE:
        raise AwsError("RequestExpired", f"Signature expired: {time} is more than 15 minutes from now")
    if not hmac.compare_digest(_signature(method, url, signed, body, time, region, service), fields["Signature"]):
        raise AwsError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )
    return region, service


def review_token(instance: Instance, review: bytes) -> dict[str, Any]:
    """Answer Kubernetes' TokenReview for an EKS token: who it is, or why it is refused."""
    try:
        _check_token(instance, json.loads(review)["spec"]["token"])
        status: dict[str, Any] = {
            "authenticated": True,
            "user": {
                "username": CALLER_ARN,
                "uid": f"aws-iam-authenticator:{ACCOUNT_ID}",
                "groups": ["system:masters"],
            },
        }
    except (KeyError, TypeError, ValueError) as error:
        status = {"authenticated": False, "error": str(error)}
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}


def _check_token(instance: Instance, token: str) -> None:
    """ValueError, saying what is wrong with the token, unless it is good."""
    if not token.startswith(TOKEN_PREFIX):
        raise ValueError("not an EKS token")
    encoded = token.removeprefix(TOKEN_PREFIX)
    url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    if url.netloc not in (urlsplit(instance.aws_endpoint).netloc, f"sts.{REGION}.amazonaws.com", "sts.amazonaws.com"):
        raise ValueError(f"the token is for {url.netloc}, not for STS")
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    if query.get("Action") != "GetCallerIdentity":
        raise ValueError("the token is not a GetCallerIdentity request")
    key, _, region, service, _ = query["X-Amz-Credential"].split("/")
    if key != ACCESS_KEY_ID or service != "sts":
        raise ValueError("the token is signed with unknown credentials")
    if CLUSTER_HEADER not in query["X-Amz-SignedHeaders"].split(";"):
        raise ValueError(f"the token does not sign {CLUSTER_HEADER}")
    age = _age(query["X-Amz-Date"])
    if age > TOKEN_LIFE:
        raise ValueError("the token has expired")
    if age < -TOKEN_LIFE:
        raise ValueError("the token is from the future")
    given = query.pop("X-Amz-Signature")
    unsigned = urlunsplit(url._replace(query=urlencode(query)))
    headers = {"host": url.netloc, CLUSTER_HEADER: EKS_CLUSTER}
    expected = _signature("GET", unsigned, headers, b"", query["X-Amz-Date"], region, service)
    if not hmac.compare_digest(expected, given):
        raise ValueError(f"the token is not signed for cluster {EKS_CLUSTER} with the sandbox's credentials")
