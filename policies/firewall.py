"""Firewalls: who may connect to a store, and that a store connects to nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from policies.rule import Finding, Resource, ResourceRule, Rule, StackRule, Terms
from policies.tokens import (
    DEFAULT_SECURITY_GROUP,
    EGRESS_RULE,
    FIREWALL,
    INGRESS_RULE,
    PREFIX_LIST,
    PREFIX_LIST_ENTRY,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
)
from policies.value import Undecided, Value, is_text

# Nobody comes from these over the internet (RFC 1918, RFC 6598, RFC 4193), so they may be as wide as they are.
_PRIVATE = tuple(
    ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_WIDEST_PUBLIC = {4: 16, 6: 32}
_BLOCKS = ("cidrBlocks", "ipv6CidrBlocks", "cidrIpv4", "cidrIpv6")
_EVERY_PROTOCOL = "-1"


def _doors(resource: Resource) -> Iterator[tuple[str, Value]]:
    """Every rule in a firewall resource, with its direction."""
    if resource.type in (SECURITY_GROUP, DEFAULT_SECURITY_GROUP):
        for direction in ("ingress", "egress"):
            yield from ((direction, each) for each in resource[direction].each())
    elif resource.type == SECURITY_GROUP_RULE:
        direction = resource["type"].known
        yield ("egress" if direction == "egress" else "ingress"), Value(resource.properties)
    else:
        yield ("ingress" if resource.type == INGRESS_RULE else "egress"), Value(resource.properties)


def _blocks(door: Value) -> Iterator[Value]:
    for name in _BLOCKS:
        value = door.at(name)
        if name.endswith("Blocks"):
            if value.unknown:
                yield value
            else:
                yield from value.each()
        elif not value.absent:
            yield value


def _is_world(block: Any) -> bool:
    try:
        network = ip_network(block, strict=False) if isinstance(block, str) else None
    except ValueError:
        network = None
    if network is None:
        return True  # Whatever it is, it names no network.
    return network.prefixlen < _WIDEST_PUBLIC[network.version] and not any(_inside(network, each) for each in _PRIVATE)


def _inside(network: IPv4Network | IPv6Network, wide: IPv4Network | IPv6Network) -> bool:
    return network.version == wide.version and network.subnet_of(wide)  # type: ignore[arg-type]


def _no_world(resource: Resource, _: Terms) -> Iterator[Finding]:
    for block in _let_in(resource):
        if block.unknown:
            yield Undecided(block.path)
        elif _is_world(block.known):
            yield f"{block.path} is {block.shown}; only named networks may connect"


def _let_in(resource: Resource) -> Iterator[Value]:
    if resource.type == PREFIX_LIST_ENTRY:
        yield resource["cidr"]
    elif resource.type == PREFIX_LIST:
        for entry in resource["entries"].each():
            yield entry.at("cidr")
    else:
        for direction, door in _doors(resource):
            if direction == "ingress":
                yield from _blocks(door)


def _lists_seen(resource: Resource, resources: Sequence[Resource], _: Terms) -> Iterator[Finding]:
    lists = [each for each in resources if each.type == PREFIX_LIST]
    known = {each["id"].raw for each in lists if isinstance(each["id"].raw, str)}
    used = {urn for urns in resource.uses.values() for urn in urns} & {each.urn for each in lists}
    if resource.chosen("ingress").absent and resource.type in (SECURITY_GROUP, DEFAULT_SECURITY_GROUP):
        return
    for direction, door in _doors(resource):
        if direction != "ingress":
            continue
        single, several = door.at("prefixListId"), door.at("prefixListIds")
        for each in (*(() if single.absent else (single,)), *((several,) if several.unknown else several.each())):
            # By the id where both are known, otherwise by the dependency.
            if not (each.raw in known if isinstance(each.raw, str) and known else used):
                yield f"{each.path} is {each.shown}, no prefix list of this stack: nobody can see whom it lets in"


def _no_way_out(resource: Resource, _: Terms) -> Iterator[Finding]:
    for direction, door in _doors(resource):
        protocol = door.at("ipProtocol" if resource.type in (INGRESS_RULE, EGRESS_RULE) else "protocol")
        if direction != "egress":
            continue
        for block in _blocks(door):
            if block.unknown:
                yield Undecided(block.path)
            elif _is_world(block.known):
                if protocol.unknown:
                    yield Undecided(protocol.path)
                elif protocol.known in (_EVERY_PROTOCOL, "all", -1, None):
                    yield f"{block.path} is {block.shown} for every protocol; a store answers, it never calls"


def _described(resource: Resource, _: Terms) -> Iterator[Finding]:
    if resource.type == SECURITY_GROUP:
        yield from is_text(resource["description"], "a description is asked for")
    for _direction, door in _doors(resource):
        yield from is_text(door.at("description"), "a description is asked for")


RULES: tuple[Rule, ...] = (
    ResourceRule(
        name="firewall-not-world-open",
        requires="No rule, and no prefix list, lets the whole world in",
        why="A store is for the cluster's nodes and for named networks. Half the world is still everybody: of public "
        "networks a /16 is the widest (/32 of IPv6).",
        fix="name the networks in allowedCidrBlocks, or security groups in allowedSecurityGroupIds",
        severity="critical",
        controls=("CKV_AWS_24", "CKV_AWS_25", "CKV_AWS_260", "CKV_AWS_277"),
        types=(*FIREWALL, PREFIX_LIST, PREFIX_LIST_ENTRY),
        check=_no_world,
    ),
    StackRule(
        name="firewall-sources-seen",
        requires="Who is let in by a prefix list is in a list of this stack",
        why="What a list from elsewhere holds, and will hold tomorrow, nobody can see here.",
        fix="make the list in this stack (aws.ec2.ManagedPrefixList), or name the networks",
        severity="high",
        types=FIREWALL,
        sees=(PREFIX_LIST,),
        check=_lists_seen,
    ),
    ResourceRule(
        name="firewall-no-way-out",
        requires="No rule lets everything out to the whole world",
        why="What gets into a store's network must not be able to carry data away.",
        fix="set egress to an empty list",
        severity="medium",
        controls=("CKV_AWS_382",),
        types=FIREWALL,
        check=_no_way_out,
    ),
    ResourceRule(
        name="firewall-described",
        requires="Every security group and every rule of one says what it is for",
        why="A rule that nobody can explain is never removed.",
        fix="set description",
        severity="low",
        controls=("CKV_AWS_23",),
        types=FIREWALL,
        check=_described,
    ),
)
