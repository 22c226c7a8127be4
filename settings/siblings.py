"""Rules between entries: names that must differ, names that must fit, names that must exist.

They look at the configuration as given, so that they speak up beside errors of other kinds: a model's
own validators stay silent until all its fields are right.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from settings.names import (
    CLUSTER_IDENTIFIER_LENGTH,
    MAIN,
    REPLICATION_GROUP_ID_LENGTH,
    ROLE_NAME_LENGTH,
    StoreNames,
    store_name,
)
from settings.problems import Location


class Clash(NamedTuple):
    location: Location
    value: Any
    allowed: str
    do: str


def sibling_clashes(values: Mapping[str, Any], *, environment: str | None) -> Iterator[Clash]:
    """What is wrong between the entries of a configuration completed with its defaults."""
    yield from _repeated((), values)
    yield from _network_without_cluster(values)
    yield from _two_retentions(values)
    for store in ("database", "redis"):
        yield from _generations(store, _mapping(values.get(store)))
    if environment is not None:
        yield from _physical_names(values, environment)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _repeated(location: Location, value: Any) -> Iterator[Clash]:
    """Entries that stand twice in one list; `name` (with kind and namespace) is what tells entries apart."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key != "command":
                yield from _repeated((*location, key), below)
    elif isinstance(value, list):
        seen: set[str] = set()
        for index, entry in enumerate(value):
            yield from _repeated((*location, index), entry)
            named = isinstance(entry, dict) and isinstance(entry.get("name"), str)
            identity = json.dumps(
                [entry.get(key) for key in ("kind", "namespace", "name")] if named else entry, sort_keys=True
            )
            if identity in seen:
                where: Location = (*location, index, "name") if named else (*location, index)
                received = entry["name"] if named else entry
                yield Clash(where, received, "every entry once", "Take one out, or give it another name")
            seen.add(identity)


def _network_without_cluster(values: Mapping[str, Any]) -> Iterator[Clash]:
    kubernetes, network = _mapping(values.get("kubernetes")), _mapping(values.get("network"))
    if kubernetes.get("clusterName") is None and isinstance(values.get("kubernetes"), dict):
        for key in ("vpcId", "privateSubnetIds"):
            if network.get(key) is None:
                yield Clash(
                    ("network", key),
                    None,
                    "the network's ids, where kubernetes has no clusterName to look them up from",
                    f"Set {key}, or reach Kubernetes by clusterName",
                )


def _two_retentions(values: Mapping[str, Any]) -> Iterator[Clash]:
    """AWS Backup's continuous mode sets the cluster's retention to its own: two numbers would be at war."""
    backup, database = _mapping(values.get("backup")), _mapping(values.get("database"))
    kept, wanted = backup.get("deleteAfter"), database.get("backupRetentionPeriod")
    if backup.get("enabled") is True and backup.get("enableContinuousBackup") is True and kept != wanted:
        yield Clash(
            ("backup", "deleteAfter"),
            kept,
            f"database.backupRetentionPeriod ({wanted}) with enableContinuousBackup, which keeps both the same",
            "Write the same number of days at both keys",
        )


def _generations(store: str, values: Mapping[str, Any]) -> Iterator[Clash]:
    generations = values.get("generations")
    if not isinstance(generations, dict):
        return
    standing = f"one of the generations: {', '.join(generations) or 'there is none'}"
    serving = values.get("serving")
    if isinstance(serving, str) and serving not in generations:
        yield Clash((store, "serving"), serving, standing, "Name one that stands in the map, or add it")
    elif isinstance(serving, str) and _mapping(generations[serving]).get("retiring") is True:
        where: Location = (store, "generations", serving, "retiring")
        yield Clash(where, True, "false on the generation that serves", "Let another one serve first")
    sources = {key: _mapping(_mapping(value).get("restore")).get("generation") for key, value in generations.items()}
    for key, source in sources.items():
        if not isinstance(source, str):
            continue
        where = (store, "generations", key, "restore", "generation")
        spent = "Name another, or take restore out if it is spent: it is used at creation only"
        if source not in generations:
            yield Clash(where, source, standing, spent)
        elif key in _ancestry(sources, source):
            yield Clash(where, source, "a generation that does not itself come from this one", spent)


def _ancestry(sources: Mapping[str, Any], generation: Any) -> list[str]:
    line: list[str] = []
    while isinstance(generation, str) and generation not in line:
        line.append(generation)
        generation = sources.get(generation)
    return line


def _physical_names(values: Mapping[str, Any], environment: str) -> Iterator[Clash]:
    taken: dict[str, Location] = {}
    for store in ("database", "redis"):
        section = _mapping(values.get(store))
        name = section.get("name")
        if not isinstance(name, str):
            continue
        for generation in _mapping(section.get("generations")) or (MAIN,):
            where: Location = (store, "name") if generation == MAIN else (store, "generations", generation)
            value = name if generation == MAIN else generation
            names = StoreNames(store_name(environment, name, generation), "")
            if names.store in taken:
                do = "Give the two stores different names"
                yield Clash(where, value, "physical names that no other store of the stack has", do)
            taken.setdefault(names.store, where)
            for built, longest in _lengths(store, names, section):
                if len(built) > longest:
                    yield Clash(
                        where,
                        value,
                        f"an identifier of at most {longest} characters; this makes one of {len(built)}",
                        f"Shorten it by {len(built) - longest}",
                    )
                    break


def _lengths(store: str, names: StoreNames, section: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    if store == "redis":
        yield names.store, REPLICATION_GROUP_ID_LENGTH
        return
    count = section.get("instanceCount")
    yield names.instance(count if isinstance(count, int) else 1), CLUSTER_IDENTIFIER_LENGTH
    if section.get("monitoringInterval") != 0:
        yield names.monitoring_role, ROLE_NAME_LENGTH
