"""The AWS API alone, in an instance of its own: no control plane, no Pulumi."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config

from sandbox import account, certificates, processes, toolchain
from sandbox.instance import CHECKOUT, NAME_VARIABLE, REGION, Instance
from sandbox.progress import Progress
from tests.sandbox.conftest import own

PASSWORD = "correct-horse-battery-1"
TOKEN = "token-of-at-least-16-characters"


class Api:
    """The server process under test and clients of it."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    def start(self) -> None:
        processes.start(
            self.instance,
            "aws-api",
            [sys.executable, "-P", "-m", "sandbox.aws"],
            environment={**os.environ, "PYTHONPATH": str(CHECKOUT), NAME_VARIABLE: self.instance.name},
        )
        processes.wait_until_ready(self.instance, "aws-api", self._healthy)

    def _healthy(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.instance.aws_endpoint}/sandbox/health", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def recover(self) -> tuple[int, str]:
        answer = urllib3.request("POST", f"{self.instance.aws_endpoint}/sandbox/recover", retries=False, timeout=300)
        return answer.status, answer.data.decode()

    def end(self, how: signal.Signals) -> None:
        processes.stop(self.instance, "aws-api", how=how)

    def client(self, service: str, key: str = account.ACCESS_KEY_ID, secret: str = account.SECRET_ACCESS_KEY) -> Any:
        return _client(service, key, secret, self.instance.aws_endpoint)


@functools.cache
def _client(service: str, key: str, secret: str, endpoint: str) -> Any:
    once = Config(retries={"total_max_attempts": 1})
    return boto3.Session(key, secret, region_name=REGION).client(service, endpoint_url=endpoint, config=once)


@pytest.fixture(scope="session")
def aws() -> Iterator[Api]:
    toolchain.ensure(Progress())  # its servers' programs; on a fresh machine this is the first test that needs them
    with own("aws-test") as instance:
        api = Api(instance)
        certificates.ensure_ca(instance)
        api.start()
        account.furnish_aws(instance)
        yield api


@pytest.fixture(scope="session")
def subnets(aws: Api) -> list[str]:
    private = [{"Name": "tag:Tier", "Values": ["private"]}]
    return [subnet["SubnetId"] for subnet in aws.client("ec2").describe_subnets(Filters=private)["Subnets"]]


@pytest.fixture(scope="session")
def subnet_group(aws: Api, subnets: list[str]) -> str:
    """The name of a subnet group of RDS, and of one of ElastiCache."""
    aws.client("rds").create_db_subnet_group(
        DBSubnetGroupName="private", DBSubnetGroupDescription="three zones", SubnetIds=subnets
    )
    aws.client("elasticache").create_cache_subnet_group(
        CacheSubnetGroupName="private", CacheSubnetGroupDescription="three zones", SubnetIds=subnets
    )
    return "private"


@pytest.fixture(scope="session")
def security_group(aws: Api) -> str:
    named = [{"Name": "tag:Name", "Values": ["meetinity-eks-node"]}]
    group: str = aws.client("ec2").describe_security_groups(Filters=named)["SecurityGroups"][0]["GroupId"]
    return group


@pytest.fixture
def cluster_arguments(subnet_group: str) -> dict[str, Any]:
    return {
        "Engine": "aurora-postgresql",
        "EngineVersion": "16.11",
        "MasterUsername": "meetinity_app",
        "MasterUserPassword": PASSWORD,
        "DatabaseName": "meetinity",
        "DBSubnetGroupName": subnet_group,
    }


@pytest.fixture
def group_arguments(subnet_group: str) -> dict[str, Any]:
    return {
        "ReplicationGroupDescription": "a test's",
        "Engine": "redis",
        "EngineVersion": "7.1",
        "CacheNodeType": "cache.t4g.micro",
        "CacheSubnetGroupName": subnet_group,
        "TransitEncryptionEnabled": True,
        "AuthToken": TOKEN,
    }


@pytest.fixture(scope="session")
def instance_of(aws: Api) -> Callable[..., Any]:
    def create(cluster: str, number: int, **more: Any) -> Any:
        return aws.client("rds").create_db_instance(
            DBInstanceIdentifier=f"{cluster}-{number}",
            DBClusterIdentifier=cluster,
            Engine="aurora-postgresql",
            DBInstanceClass="db.r6g.large",
            **more,
        )["DBInstance"]

    return create
