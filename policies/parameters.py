"""Aurora's parameter groups: what they set, and that every cluster and instance takes its own from one we can see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from policies.rule import Finding, Resource, Terms
from policies.tokens import CLUSTER, CLUSTER_PARAMETERS, INSTANCE, INSTANCE_PARAMETERS
from policies.value import Undecided, Value, require

_ENGINE = "aurora-postgresql"
# Of each kind of user, the properties that name a parameter group, and the kind of group.
_GROUPS: Mapping[str, Mapping[str, str]] = {
    CLUSTER: {
        "dbClusterParameterGroupName": CLUSTER_PARAMETERS,
        "dbInstanceParameterGroupName": INSTANCE_PARAMETERS,
    },
    INSTANCE: {"dbParameterGroupName": INSTANCE_PARAMETERS},
}


def each_set(group: Resource, name: str, holds: Callable[[Any], bool], wanted: str) -> Iterator[Finding]:
    """What is wrong with the parameter wherever `group` sets it: twice is wrong, since nobody can say which one wins.

    A cluster's group must set it. An instance's, whose parameters win over the cluster's, need not.
    """
    if not _of_aurora_postgresql(group):
        return
    found: list[Value] = []
    doubtful = False
    for each in group["parameters"].each():
        called = each.at("name")
        doubtful = doubtful or called.unknown
        if not called.unknown and str(called.known).strip().lower() == name:
            value = each.at("value")
            found.append(Value(value.raw, f"parameter {name}", value.secret))
    if len(found) > 1:
        yield f"parameter {name} is set {len(found)} times; once is asked for"
    if not found and doubtful:
        yield Undecided(f"parameter {name}")
    elif not found and group.type == CLUSTER_PARAMETERS:
        found.append(Value(None, f"parameter {name}"))
    for value in found:
        yield from require(value, holds, wanted)


def _of_aurora_postgresql(group: Resource) -> bool:
    """A group of another family is no concern here: none of our stores can take it, see `taken_from_this_stack`."""
    family = group["family"].known
    return not isinstance(family, str) or family.startswith(_ENGINE)


def taken_from_this_stack(user: Resource, resources: Sequence[Resource], _: Terms) -> Iterator[Finding]:
    for path, kind in _GROUPS[user.type].items():
        given = user[path]
        if given.absent or (isinstance(given.raw, str) and given.raw.startswith(f"default.{_ENGINE}")):
            # That a cluster must have a group of its own is another rule's; an instance's default changes nothing.
            continue
        groups = [each for each in resources if each.type == kind and _is(each, user, given)]
        if not groups and given.unknown and not user.uses.get(path):
            # Chosen by nobody, or looked up: after the update it has a name.
            yield Undecided(path)
        elif not groups:
            yield f"{path} is {given.shown}, which is no parameter group of this stack: nobody can see what it sets"
        for group in groups:
            yield from _of_the_same_family(user, group, path)


def _is(group: Resource, user: Resource, given: Value) -> bool:
    """By the dependency where the name is not known yet, otherwise by the name."""
    name = group["name"]
    if given.unknown or name.unknown or name.absent:
        return group.urn in user.uses.get(given.path, frozenset())
    return bool(given.known == name.known)


def _of_the_same_family(user: Resource, group: Resource, path: str) -> Iterator[Finding]:
    family, engine, version = group["family"], user["engine"], user.chosen("engineVersion")
    if engine.absent:
        return  # Another rule's, and AWS's.
    if family.unknown or engine.unknown or version.unknown:
        yield Undecided(f"family of {group.name}" if family.unknown else "engineVersion")
        return
    # Without a version, as on an instance, the engine has to do.
    wanted = f"{engine.known}{str(version.known).split('.')[0] if version.known else ''}"
    matches = str(family.known) == wanted if version.known else str(family.known).startswith(wanted)
    if not matches:
        yield f"{path} is a group of family {family.bare}; one of {wanted} is asked for"
