"""One recording mock of the engine: what a program registers, exactly, over a small fake world."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc

SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"

PRIVATE_SUBNETS = {"subnet-b": "10.0.2.0/24", "subnet-a": "10.0.1.0/24", "subnet-c": "10.0.3.0/24"}


_LOOP = asyncio.new_event_loop()
atexit.register(_LOOP.close)


def is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(SIGNATURE_KEY) == SECRET_SIGNATURE


def reveal(value: Any) -> Any:
    """`value` without its secret envelopes."""
    if is_secret(value):
        return reveal(value["value"])
    if isinstance(value, dict):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value


@dataclass(frozen=True)
class Registered:
    """One RegisterResource call."""

    type: str
    name: str
    raw: dict[str, Any]
    parent: str
    protect: bool
    delete_before_replace: bool | None
    ignore_changes: tuple[str, ...]
    create_timeout: str
    depends_on: frozenset[str]
    provider: str

    @property
    def inputs(self) -> dict[str, Any]:
        return reveal(self.raw)


class Recording:
    """Everything registered and looked up in one run."""

    def __init__(self) -> None:
        self.resources: list[Registered] = []
        self.lookups: list[tuple[str, dict[str, Any]]] = []
        self.outputs: dict[str, dict[str, Any]] = {}

    def one(self, type_: str, name: str | None = None) -> Registered:
        found = [each for each in self.resources if each.type == type_ and (name is None or each.name == name)]
        assert len(found) == 1, f"{len(found)} of {type_} {name or ''} among {[r.name for r in self.resources]}"
        return found[0]

    def all(self, type_: str) -> list[Registered]:
        return [each for each in self.resources if each.type == type_]

    def __iter__(self) -> Iterator[Registered]:
        return iter(self.resources)


class _World(mocks.Mocks):
    """Answers as AWS would, as far as the program asks."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        outputs = dict(args.inputs)
        computed: dict[str, dict[str, Any]] = {
            "aws:rds/cluster:Cluster": {
                "endpoint": "writer.example",
                "readerEndpoint": "reader.example",
                "arn": f"arn:aws:rds:eu-west-1:123456789012:cluster:{args.inputs.get('clusterIdentifier')}",
            },
            "aws:elasticache/replicationGroup:ReplicationGroup": {
                "primaryEndpointAddress": "primary.example",
                "readerEndpointAddress": "replica.example",
                "arn": "arn:aws:elasticache:eu-west-1:123456789012:replicationgroup:x",
            },
            "aws:iam/role:Role": {"arn": f"arn:aws:iam::123456789012:role/{args.inputs.get('name')}"},
            "random:index/randomPassword:RandomPassword": {"result": f"generated-for-{args.name}"},
            "random:index/randomId:RandomId": {"hex": "0a1b2c3d"},
        }
        outputs.update(computed.get(args.typ, {}))
        return f"{args.name}-id", outputs

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        self._recording.lookups.append((args.token, dict(args.args)))
        if args.token == "aws:eks/getCluster:getCluster":
            return {
                "arn": f"arn:aws:eks:eu-west-1:123456789012:cluster/{args.args['name']}",
                "name": args.args["name"],
                "endpoint": "https://eks.example",
                "certificateAuthorities": [{"data": "Q0E="}],
                "vpcConfig": {"vpcId": "vpc-1", "clusterSecurityGroupId": "sg-cluster"},
            }
        if args.token == "aws:ec2/getSubnets:getSubnets":
            return {"ids": list(PRIVATE_SUBNETS)}
        if args.token == "aws:ec2/getSubnet:getSubnet":
            return {"id": args.args["id"], "cidrBlock": PRIVATE_SUBNETS.get(args.args["id"], "10.9.0.0/24")}
        if args.token == "aws:ec2/getSecurityGroups:getSecurityGroups":
            return {"ids": ["sg-nodes"]}
        raise AssertionError(f"unexpected lookup {args.token}")


class _Monitor(mocks.MockMonitor):
    def __init__(self, recording: Recording) -> None:
        super().__init__(_World(recording))
        self._recording = recording

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the engine's name
        if request.type != "pulumi:pulumi:Stack":
            self._recording.resources.append(
                Registered(
                    type=request.type,
                    name=request.name,
                    raw=rpc.deserialize_properties(request.object, keep_unknowns=True),
                    parent=request.parent,
                    protect=request.protect,
                    delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
                    ignore_changes=tuple(request.ignoreChanges),
                    create_timeout=request.customTimeouts.create,
                    depends_on=frozenset(request.dependencies),
                    provider=request.provider,
                )
            )
        return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        self._recording.outputs[request.urn] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)


def record(build: Callable[[], Any], *, stack: str = "dev") -> Recording:
    """Run `build` as a Pulumi program to its end and tell what it registered."""
    recording = Recording()
    monitor = _Monitor(recording)
    asyncio.set_event_loop(_LOOP)  # whatever a test before has done to the thread's
    pulumi.runtime.set_mocks(monitor.mocks, project="meetinity-data", stack=stack, preview=False, monitor=monitor)
    pulumi.runtime.test(build)()
    return recording
