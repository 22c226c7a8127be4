"""Pull requests, each an edit of the deployed stack and what its author would see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Config = dict[str, Any]
Edit = Callable[[Config], None]

CLUSTER = "urn:pulumi:local::meetinity-data::meetinity:data:AuroraCluster$aws:rds/cluster:Cluster::database-cluster"


def section(key: str, /, **values: Any) -> Edit:
    def edit(config: Config) -> None:
        config[key] = {**config.get(key, {}), **values}

    return edit


def both(*edits: Edit) -> Edit:
    def edit(config: Config) -> None:
        for each in edits:
            each(config)

    return edit


def nothing(config: Config) -> None:
    """The stack file stays as it is."""


def tagged(config: Config) -> None:
    config["tags"] = {"Team": "data"}


def migrated(config: Config) -> None:
    config["migrations"] = [{**config["migrations"][0], "image": "meetinity/example-service:1.1.0"}]


def acknowledged(change: str) -> Edit:
    def edit(config: Config) -> None:
        config["acknowledged"] = [{"change": change, "until": config["tomorrow"], "reason": "agreed with data-ops"}]

    return edit


RESTORED = {"main": {}, "r1": {"restore": {"generation": "main", "pointInTime": "latest"}}}

# What stands before the pull request: the committed stack file, with more backups and not the newest minor.
DEPLOYED: Edit = section("database", backupRetentionPeriod=14, engineVersion="16.14")


@dataclass(frozen=True)
class Scenario:
    title: str
    code: int
    """Of `ops plan check`."""
    edit: Edit = nothing
    waivers: tuple[Mapping[str, Any], ...] = ()
    secret: str = ""
    """A path in the configuration that gets a new secret value."""
    environment: Mapping[str, str] = field(default_factory=dict)
    program: str = ""
    """Another program in the place of ours."""
    policies: int = 0
    """The exit code of `make policy`."""


FIRST: Mapping[str, Scenario] = {
    "no-change": Scenario("A comment in the README", 0),
    "harmless": Scenario("A tag on everything", 0, tagged),
    "instance-class": Scenario("A larger instance class", 0, section("database", instanceClass="db.t4g.large")),
    "engine-minor": Scenario("The next minor version", 0, section("database", engineVersion="16.15")),
    "engine-major": Scenario(
        "The next major version",
        3,
        section("database", engineVersion="17.11", allowMajorVersionUpgrade=True, applyImmediately=True),
    ),
    "retention-shrink": Scenario("Backups for three days", 3, section("database", backupRetentionPeriod=3), policies=1),
    "retention-waived": Scenario(
        "Backups for three days, waived at the plan gate alone",
        0,
        section("database", backupRetentionPeriod=3),
        waivers=(
            {"urn": CLUSTER, "kind": "retention-shrinks", "owner": "data-ops", "reason": "agreed, storage costs"},
        ),
        policies=1,
    ),
    "insights-off": Scenario(
        "No Performance Insights", 3, section("database", performanceInsightsEnabled=False), policies=1
    ),
    "unprotect": Scenario("No deletion protection", 3, section("database", deletionProtection=False), policies=1),
    "rename": Scenario("Another name for the database", 1, section("database", name="pg")),
    "rename-acknowledged": Scenario(
        "Another name, acknowledged", 3, both(section("database", name="pg"), acknowledged("database.name"))
    ),
    "fewer-instances": Scenario("One instance less", 3, section("database", instanceCount=1), policies=1),
    "redis-node-type": Scenario("Larger Redis nodes", 0, section("redis", nodeType="cache.t4g.small")),
    "restore-generation": Scenario("A restore beside the live store", 0, section("database", generations=RESTORED)),
    "migration": Scenario("A new migration", 0, migrated),
    "secret-rotation": Scenario("A new master password", 3, secret="database.masterPassword"),
    "broken-configuration": Scenario("A key that there is not", 1, section("database", colour="red"), policies=2),
    "broken-program": Scenario(
        "A program that fails and tells too much",
        1,
        program='raise RuntimeError("cannot connect to postgresql://meetinity_app:correct-horse-battery@db/meetinity")\n',
    ),
    "policy-violation": Scenario(
        "The database open to the world", 0, section("database", allowedCidrBlocks=["0.0.0.0/0"]), policies=1
    ),
    "no-preview": Scenario(
        "A stack that cannot be opened", 1, environment={"PULUMI_CONFIG_PASSPHRASE": "not-this-one"}
    ),
}

# When the restored generation of `restore-generation` is deployed.
SECOND: Mapping[str, Scenario] = {
    "promote": Scenario("The restored store serves", 0, section("database", generations=RESTORED, serving="r1")),
    "serving-removed": Scenario(
        "The restored store serves, and the old one goes at once",
        1,
        section("database", generations={"r1": {}}, serving="r1"),
    ),
}

# While the API server is gone.
AWAY: Mapping[str, Scenario] = {
    "cluster-unreachable": Scenario("A new migration while the cluster is away", 0, migrated),
}
