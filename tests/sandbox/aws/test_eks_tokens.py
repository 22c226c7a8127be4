"""Kubernetes' TokenReview of EKS tokens, as `aws eks get-token` makes them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
import urllib3
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sandbox import account
from sandbox.instance import REGION


def review(aws, token):
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = urllib3.request("POST", f"{aws.instance.aws_endpoint}/sandbox/token-review", json=body)
    assert answer.status == 200
    return answer.json()["status"]


def token_for(
    aws, cluster="meetinity-eks", *, age=timedelta(), secret=account.SECRET_ACCESS_KEY, action="GetCallerIdentity"
):
    """A token made as the AWS CLI makes it, with something wrong if asked for."""
    url = f"{aws.instance.aws_endpoint}/?Action={action}&Version=2011-06-15"
    time = (datetime.now(UTC) - age).strftime("%Y%m%dT%H%M%SZ")
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{account.ACCESS_KEY_ID}/{time[:8]}/{REGION}/sts/aws4_request",
        "X-Amz-Date": time,
        "X-Amz-Expires": "60",
        "X-Amz-SignedHeaders": "host;x-k8s-aws-id",
    }
    request = AWSRequest("GET", f"{url}&{urlencode(query)}", headers={"x-k8s-aws-id": cluster})
    request.context["timestamp"] = time
    signer = SigV4QueryAuth(Credentials(account.ACCESS_KEY_ID, secret), "sts", REGION, expires=60)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return encode(f"{request.url}&X-Amz-Signature={signature}")


def encode(url):
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


@pytest.fixture(scope="module")
def real_token(aws):
    done = subprocess.run(
        [Path(sys.executable).with_name("aws"), "eks", "get-token", "--cluster-name", "meetinity-eks"],
        env={
            "PATH": "/usr/bin:/bin",
            "AWS_ENDPOINT_URL": aws.instance.aws_endpoint,
            "AWS_ACCESS_KEY_ID": account.ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": account.SECRET_ACCESS_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": "/dev/null",
        },
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)["status"]["token"]


def test_a_token_of_the_aws_cli_is_the_administrator(aws, real_token):
    status = review(aws, real_token)
    assert status["authenticated"] is True
    assert (status["user"]["username"], status["user"]["groups"]) == (account.CALLER_ARN, ["system:masters"])


def test_a_token_is_good_for_fifteen_minutes(aws):
    assert review(aws, token_for(aws, age=timedelta(minutes=14)))["authenticated"] is True
    assert review(aws, token_for(aws, age=timedelta(minutes=16)))["error"] == "the token has expired"


def test_a_tampered_token_is_refused(aws, real_token):
    url = base64.urlsafe_b64decode(real_token.removeprefix("k8s-aws-v1.") + "==").decode()
    for good, bad in (("Version=2011-06-15", "Version=2011-06-16"), ("X-Amz-Expires=60", "X-Amz-Expires=61")):
        assert good in url
        assert "not signed" in review(aws, encode(url.replace(good, bad)))["error"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"cluster": "another-cluster"}, "not signed for cluster meetinity-eks"),
        ({"secret": "x" * 40}, "not signed for cluster"),
        ({"action": "AssumeRole"}, "not a GetCallerIdentity request"),
        ({"age": timedelta(hours=-1)}, "from the future"),
    ],
)
def test_a_token_for_something_else_is_refused(aws, arguments, error):
    status = review(aws, token_for(aws, **arguments))
    assert status["authenticated"] is False
    assert error in status["error"]


def test_a_review_that_is_no_review_is_answered_too(aws):
    answer = urllib3.request("POST", f"{aws.instance.aws_endpoint}/sandbox/token-review", body=b"[]")
    assert (answer.status, answer.json()["status"]["authenticated"]) == (200, False)


@pytest.mark.parametrize("token", ["", "k8s-aws-v1.", "k8s-aws-v1.%%%", "eyJhbGciOi.J9", "k8s-aws-v1." + "A" * 9])
def test_what_is_no_token_is_refused(aws, token):
    assert review(aws, token)["authenticated"] is False
