"""`snapshot`: recovery points taken by hand. They never expire, and outlive their store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
from botocore.exceptions import ClientError

from ops.aws import client, code_of
from ops.backups import as_document, points_table
from ops.errors import OpsError
from ops.options import pass_stack, store_argument, with_json
from ops.recovery_points import MANUAL, RecoveryPoint, recovery_points
from ops.stack import DATABASE, STORES, Generation, Stack
from ops.terminal import say, show, span, wait_until

# Hours, for terabytes; the first snapshot of a store is the slow one.
TIMEOUT = timedelta(hours=6)
GOOD, BAD = "available", ("failed", "error", "incompatible-restore")


@click.group()
def snapshot() -> None:
    """Take, list, wait for and delete snapshots."""


@snapshot.command()
@store_argument
@click.option("--generation", "key", help="Of this generation; the serving one if not given.")
@click.option("--no-wait", is_flag=True, help="Return as soon as AWS has begun.")
@with_json
@pass_stack
def create(stack: Stack, store: str, key: str | None, *, no_wait: bool, as_json: bool) -> None:
    """Take a snapshot of STORE, named after it and the time, with its tags."""
    generation = stack.generation(store, key)
    name = begin(generation, datetime.now(UTC))
    say(f"snapshot {name} of {generation} has begun")
    if not no_wait:
        took = wait_for(stack, store, name)
        say(f"snapshot {name} is available after {span(took)}")
    now = datetime.now(UTC)
    document = as_document(find(stack, name), now)
    show(document, [points_table("", [document])], as_json=as_json)


def begin(generation: Generation, now: datetime) -> str:
    """Ask AWS for a snapshot; returns its name, `<physical name>-<yyyymmdd>-<hhmmss>`."""
    name = f"{generation.identifier}-{now:%Y%m%d-%H%M%S}"
    if generation.store == DATABASE:
        rds = client("rds", generation.region)
        rds.create_db_cluster_snapshot(
            DBClusterIdentifier=generation.identifier,
            DBClusterSnapshotIdentifier=name,
            Tags=_tags(rds.list_tags_for_resource(ResourceName=generation.arn)["TagList"], name),
        )
        return name
    elasticache = client("elasticache", generation.region)
    (group,) = elasticache.describe_replication_groups(ReplicationGroupId=generation.identifier)["ReplicationGroups"]
    members = group["NodeGroups"][0]["NodeGroupMembers"]
    # Of a replica where there is one: the fork costs the primary memory (ElastiCache User Guide, "Manual backups").
    replicas = [each["CacheClusterId"] for each in members if each.get("CurrentRole") == "replica"]
    elasticache.create_snapshot(
        CacheClusterId=(replicas or [members[0]["CacheClusterId"]])[0],
        SnapshotName=name,
        Tags=_tags(elasticache.list_tags_for_resource(ResourceName=generation.arn)["TagList"], name),
    )
    return name


def _tags(of_store: list[dict[str, str]], name: str) -> list[dict[str, str]]:
    """The store's own, under the snapshot's name. AWS keeps `aws:` for itself."""
    kept = [each for each in of_store if each["Key"] != "Name" and not each["Key"].startswith("aws:")]
    return [*kept, {"Key": "Name", "Value": name}]


@snapshot.command("list")
@click.option("--store", type=click.Choice(STORES), help="Of this store only.")
@with_json
@pass_stack
def list_(stack: Stack, store: str | None, *, as_json: bool) -> None:
    """Snapshots taken by hand, final ones among them."""
    now = datetime.now(UTC)
    points = [
        as_document(point, now)
        for each in ([store] if store else STORES)
        for point in recovery_points(stack, each)
        if point.kind == MANUAL
    ]
    show({"stack": stack.name, "snapshots": points}, [points_table("Snapshots", points)], as_json=as_json)


@snapshot.command()
@click.argument("name")
@with_json
@pass_stack
def wait(stack: Stack, name: str, *, as_json: bool) -> None:
    """Wait until snapshot NAME is available."""
    took = wait_for(stack, find(stack, name).store, name)
    say(f"snapshot {name} is available after {span(took)}")
    document = as_document(find(stack, name), datetime.now(UTC))
    show(document, [points_table("", [document])], as_json=as_json)


@snapshot.command()
@click.argument("name")
@click.option("--confirm", metavar="STORE", help="The name of the store it was taken of, instead of being asked.")
@with_json
@pass_stack
def delete(stack: Stack, name: str, confirm: str | None, *, as_json: bool) -> None:
    """Delete snapshot NAME, which cannot be undone; asks for the name of the store it was taken of."""
    point = find(stack, name)
    if point.kind != MANUAL:
        expiry = "with the store's retention" if point.expires_at else "by its plan"
        raise OpsError(f"snapshot {name} is {point.kind}: AWS deletes it itself, {expiry}. Nothing was deleted")
    if confirm is None:
        confirm = click.prompt(
            f"Deleting {name} cannot be undone. Type the name of the store it was taken of", err=True, default=""
        )
    if confirm != point.source:
        raise OpsError(f"{confirm!r} is not the store that {name} was taken of ({point.source}). Nothing was deleted")
    region = stack.region
    if point.store == DATABASE:
        client("rds", region).delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
    else:
        client("elasticache", region).delete_snapshot(SnapshotName=name)
    say(f"snapshot {name} is deleted")
    show({"deleted": name, "store": point.store, "source": point.source}, [], as_json=as_json)


def find(stack: Stack, name: str) -> RecoveryPoint:
    """The recovery point of that name, of either store. Raises OpsError if this stack's stores have none."""
    for store in STORES:
        for point in recovery_points(stack, store):
            if point.name == name:
                return point
    raise OpsError(f"stack {stack.name} has no snapshot {name!r}: `python -m ops backups` lists what there is")


def wait_for(stack: Stack, store: str, name: str) -> timedelta:
    """Until the snapshot is available; returns how long that took. Raises OpsError if it fails or vanishes."""

    def look() -> tuple[str, bool]:
        try:
            state, percent = _look(stack.region, store, name)
        except ClientError as error:
            if code_of(error) not in ("DBClusterSnapshotNotFoundFault", "SnapshotNotFoundFault"):
                raise
            raise OpsError(f"snapshot {name} is gone: somebody deleted it") from error
        if state in BAD:
            raise OpsError(f"snapshot {name} is {state}: delete it and take another")
        return f"{state} {percent}%" if percent is not None and state != GOOD else state, state == GOOD

    then = f"It goes on at AWS; wait on with: python -m ops snapshot wait {name}"
    return wait_until(f"snapshot {name}", look, then=then, timeout=TIMEOUT)


def _look(region: str, store: str, name: str) -> tuple[str, int | None]:
    if store == DATABASE:
        (row,) = client("rds", region).describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=name)[
            "DBClusterSnapshots"
        ]
        return row["Status"], row.get("PercentProgress")
    rows = client("elasticache", region).describe_snapshots(SnapshotName=name)["Snapshots"]
    if not rows:  # ElastiCache answers an unknown name with nothing, RDS with an error
        raise OpsError(f"snapshot {name} is gone: somebody deleted it")
    return rows[0]["SnapshotStatus"], None
