"""`restore`: a new generation beside the live one, verified, promoted; the old one retired.

Each step is an edit of the stack file, shown first, and a `pulumi up` that can be reviewed like any other.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from ops.described import described, first_node, named
from ops.errors import OpsError
from ops.options import pass_stack, store_argument, with_json
from ops.recovery_points import RETAINED, RecoveryPoint, recovery_points, window_of
from ops.snapshot import find
from ops.stack import DATABASE, Generation, Stack
from ops.stack_file import StackFile
from ops.terminal import moment, say, show, table
from ops.verify import verify

# The key of the generation that a drill makes and takes down (ops/drill.py).
DRILL = "drill"
# What the settings allow (settings/store.py): the physical name carries it.
_KEY = re.compile("(?=.{1,12}$)[a-z0-9]+(-[a-z0-9]+)*")
_COMPONENTS = {"database": "meetinity:data:AuroraCluster", "redis": "meetinity:data:RedisReplicationGroup"}
# Those of components/aurora.py: what a restore may leave as the source has it.
NOT_RESTORED = (
    "iamDatabaseAuthenticationEnabled",
    "performanceInsightsEnabled",
    "performanceInsightsRetentionPeriod",
    "performanceInsightsKmsKeyId",
    "databaseInsightsMode",
)
_CLUSTER_TYPES = {
    "database": ("aws:rds/cluster:Cluster", "clusterIdentifier"),
    "redis": ("aws:elasticache/replicationGroup:ReplicationGroup", "replicationGroupId"),
}


@click.group()
def restore() -> None:
    """Bring a store back beside the live one: plan, start, verify, promote, retire."""


@dataclass(frozen=True)
class Plan:
    store: str
    key: str
    identifier: str
    source: str
    point: str
    """In words, for a person."""
    entry: dict[str, Any]
    """What stands in the stack file under the new key."""
    notes: tuple[str, ...]

    def as_document(self) -> dict[str, Any]:
        return {
            "store": self.store,
            "generation": self.key,
            "identifier": self.identifier,
            "source": self.source,
            "point": self.point,
            "entry": self.entry,
            "notes": list(self.notes),
        }

    def as_table(self) -> RenderableType:
        rows = [
            ("restores", f"{self.store} from {self.point}"),
            ("into", f"generation {self.key}, {self.identifier}, and nothing that serves is touched"),
            *(("note", note) for note in self.notes),
        ]
        return table("", ("", ""), rows)


def _what_to_restore(command: Any) -> Any:
    for option in (
        click.option("--snapshot", "name", help="From this snapshot."),
        click.option("--at", "at", metavar="TIME", help="To this moment (RFC 3339 with its zone). Database only."),
        click.option("--latest", is_flag=True, help="To the newest moment, or from Redis's newest snapshot."),
        click.option("--clone", is_flag=True, help="A copy-on-write clone of now. Database only."),
        click.option("--from", "source", metavar="KEY", help="Of this generation; the serving one if not given."),
        click.option("--as", "key", metavar="KEY", help="Under this new key; the next free one if not given."),
        store_argument,
    ):
        command = option(command)
    return command


@restore.command()
@_what_to_restore
@with_json
@pass_stack
def plan(stack: Stack, /, *, as_json: bool, **what: Any) -> None:
    """Check whether STORE can be restored so, and show what `start` would do. Writes nothing."""
    made = make_plan(stack, **what)
    file = StackFile(stack)
    _add(file, stack, made)
    show({**made.as_document(), "diff": file.diff()}, [made.as_table(), Text(file.diff())], as_json=as_json)


@restore.command()
@_what_to_restore
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_json
@pass_stack
def start(stack: Stack, /, *, yes: bool, as_json: bool, **what: Any) -> None:
    """Write the new generation of STORE into the stack file; `pulumi up` then restores it."""
    made = make_plan(stack, **what)
    file = StackFile(stack)
    _add(file, stack, made)
    if not as_json:
        show({}, [made.as_table()], as_json=False)
    again = " (twice if it warns)" if made.store == DATABASE else ""
    then = f"pulumi up{again}, then: python -m ops restore verify {made.store} {made.key}"
    _write(file, yes=yes, then=then, document=made.as_document() if as_json else None)


def _add(file: StackFile, stack: Stack, made: Plan) -> None:
    file.add_generation(made.store, made.key, made.entry, [each.key for each in stack.generations(made.store)])


def _write(file: StackFile, *, yes: bool, then: str, document: dict[str, Any] | None) -> None:
    """Show the edit, ask, write it, and say how to go on; with `document` also to a program, once it is done."""
    diff = file.diff()
    say(diff)
    if not yes and not click.confirm(f"Write this to {file.path.name}?", err=True):
        raise OpsError(f"{file.path.name} is as it was")
    file.write()
    say(f"{file.path.name} is written. Next: {then}")
    if document is not None:
        show({**document, "diff": diff, "next": then}, [], as_json=True)


def make_plan(
    stack: Stack,
    *,
    store: str,
    name: str | None = None,
    at: str | None = None,
    latest: bool = False,
    clone: bool = False,
    source: str | None = None,
    key: str | None = None,
    drill: bool = False,
) -> Plan:
    """Everything that can be known to go wrong is refused here, before anything is written.

    Raises OpsError in one line.
    """
    if sum((name is not None, at is not None, latest, clone)) != 1:
        raise OpsError("say exactly one of --snapshot NAME, --at TIME, --latest and --clone")
    if store != DATABASE and (at is not None or clone):
        raise OpsError("Redis is restored from snapshots alone: say --snapshot NAME or --latest")
    of = stack.generation(store, source)
    key = DRILL if drill else _free_key(stack, store, key)
    identifier = stack.store_name(store, key)
    _refuse_taken(stack, store, identifier)
    notes: tuple[str, ...] = ()
    if name is None and store != DATABASE:
        name = _newest(stack, of).name
    if name is not None:
        point = find(stack, name)
        if point.store != store:
            raise OpsError(f"snapshot {name} is of {point.store}, not of {store}")
        notes = _check_snapshot(stack, point)
        entry: dict[str, Any] = {"restore": {"snapshot": name}}
        words = f"snapshot {name} of {moment(point.taken_at)}"
    elif clone:
        _standing(of)
        entry, words = {"restore": {"generation": of.key, "clone": True}}, f"a clone of {of.identifier} as it is then"
    else:
        wanted = _check_moment(of, at)
        entry = {"restore": {"generation": of.key, "pointInTime": wanted}}
        words = f"{of.identifier} at {wanted if at else 'its latest restorable moment'}"
    return Plan(store, key, identifier, of.identifier, words, entry, notes)


def _free_key(stack: Stack, store: str, key: str | None) -> str:
    deployed, written = {each.key for each in stack.generations(store)}, set(StackFile(stack).generations(store))
    if key is None and (waiting := sorted(written - deployed)):
        # Whoever runs the command again after an interrupt would otherwise get a second one.
        raise OpsError(
            f"generation {waiting[0]} of {store} is in the stack file and not deployed: run `pulumi up`, or take it "
            f"out with `python -m ops restore retire {store} {waiting[0]}`"
        )
    if key is None:
        return _unused(stack, store)
    if key == DRILL or key.startswith(f"{DRILL}-"):
        raise OpsError(f"{key!r} is a name that `ops drill` takes, and takes down: say --as another")
    if not _KEY.fullmatch(key):
        raise OpsError(f"{key!r} is no key: at most 12 lower-case letters, digits and single hyphens inside")
    if key in deployed | written:
        raise OpsError(f"the name is taken: {store} has a generation {key} already; say --as another, or leave it out")
    return key


def _unused(stack: Stack, store: str) -> str:
    """A key that none had before: the recovery points of its predecessor would pass for its own."""
    names = {
        *(each.identifier for each in stack.generations(store)),
        *(e.source for e in recovery_points(stack, store)),
    }
    return next(key for number in itertools.count(1) if stack.store_name(store, key := f"r{number}") not in names)


def _refuse_taken(stack: Stack, store: str, identifier: str) -> None:
    if named(store, identifier, stack.region) is not None:
        raise OpsError(f"the name is taken: AWS has a {identifier} that this stack does not know; say --as another key")


def _newest(stack: Stack, of: Generation) -> RecoveryPoint:
    for point in recovery_points(stack, of.store):
        if point.usable and point.source == of.identifier:
            return point
    raise OpsError(f"{of.identifier} has no snapshot yet: take one with `python -m ops snapshot create {of.store}`")


def _version(text: str) -> list[int]:
    return [int(each) for each in re.findall("[0-9]+", text)[:2]]


def _check_snapshot(stack: Stack, point: RecoveryPoint) -> tuple[str, ...]:
    """Notes on a snapshot that can be restored. Raises OpsError for one that cannot."""
    if point.kind == RETAINED:
        raise OpsError(
            f"{point.name} is what AWS retains of {point.source}, which was deleted, and no snapshot: restore from one "
            'of its snapshots (`python -m ops backups`), or see docs/runbook.md, "A store that was deleted"'
        )
    if not point.usable:
        raise OpsError(f"snapshot {point.name} is {point.state}: `python -m ops snapshot wait {point.name}`")
    serving = stack.generation(point.store)
    recorded, version = _recorded_inputs(stack, serving), _running_version(serving)
    if point.store == DATABASE:
        _check_database_snapshot(point, recorded["masterUsername"])
    notes = []
    if version is None:
        version = recorded["engineVersion"]
        notes.append(f"AWS has no {serving.identifier}: the snapshot is held against what the stack has recorded of it")
    theirs, ours = _version(point.engine_version), _version(version)
    if theirs > ours:
        raise OpsError(
            f"snapshot {point.name} is of version {point.engine_version}, newer than the stack's {version}: AWS never "
            f"lowers a version; raise {point.store}.engineVersion first"
        )
    if theirs[0] < ours[0]:
        notes.append(f"the restore upgrades it from {point.engine_version} to {version}, which takes longer")
    return tuple(notes)


def _running_version(serving: Generation) -> str | None:
    """None where AWS has the store no more."""
    standing = described(serving)
    if standing is None:
        return None
    return str((standing if serving.store == DATABASE else first_node(serving, standing))["EngineVersion"])


def _check_database_snapshot(point: RecoveryPoint, user: str) -> None:
    if point.details.get("MasterUsername") != user:
        raise OpsError(
            f"snapshot {point.name} belongs to masterUsername {point.details.get('MasterUsername')}, the stack has "
            f"{user}: a restore keeps the snapshot's, and the next update would replace the cluster"
        )
    if not point.details.get("StorageEncrypted"):
        raise OpsError(
            f"snapshot {point.name} is not encrypted: copy it with a KMS key first "
            "(aws rds copy-db-cluster-snapshot --kms-key-id …), and restore the copy"
        )


def _standing(of: Generation) -> dict[str, Any]:
    """AWS's view of the source. Raises OpsError where AWS has none: what is left to restore from is a snapshot."""
    if (found := described(of)) is None:
        raise OpsError(f"AWS has no {of.identifier}: restore from a snapshot (`python -m ops backups` lists them)")
    return found


def _check_moment(of: Generation, at: str | None) -> str:
    """`latest`, or the moment as the stack file takes it. Raises OpsError for one outside the window."""
    window = window_of(_standing(of))
    if window is None:
        raise OpsError(f"{of.identifier} has no restorable window yet: restore from a snapshot")
    if at is None:
        return "latest"
    try:
        wanted = datetime.fromisoformat(at)
    except ValueError:
        raise OpsError(f"{at!r} is no time: write it like {moment(datetime.now(UTC))}") from None
    if wanted.tzinfo is None:
        raise OpsError(f"{at!r} has no zone: write it like {moment(datetime.now(UTC))}")
    if wanted not in window:
        raise OpsError(
            f"{at} is outside what {of.identifier} can be restored to: "
            f"{moment(window.earliest)} to {moment(window.latest)}"
        )
    return moment(wanted) or ""


@restore.command()
@store_argument
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_json
@pass_stack
def promote(stack: Stack, store: str, key: str, *, yes: bool, as_json: bool) -> None:
    """Let generation KEY of STORE serve: `pulumi up` then moves the Secret and migrates."""
    generation = stack.generation(store, key)
    if generation.serving:
        raise OpsError(f"{generation} serves already")
    file = StackFile(stack)
    if (written := file.generations(store)) and key not in written:
        raise OpsError(f"{generation} is taken out of the stack file, and goes with the next `pulumi up`")
    if (file.generations(store).get(key) or {}).get("retiring"):
        raise OpsError(f"{generation} is retiring: take `retiring` out of the stack file and run `pulumi up` first")
    standing = described(generation)
    state = standing["Status"] if standing else "missing in AWS"
    if state != "available":
        raise OpsError(f"{generation} is {state}: it can serve once it is available")
    _check_whole(stack, generation)
    _check_restored_as_written(stack, file, generation)
    old = stack.generation(store)
    file.serve(store, key)
    # What the stack has and AWS does not cannot be updated: a refresh finds that out, and it is made anew, empty.
    up = "pulumi up" if described(old) else f"pulumi up --refresh, which makes {old.identifier} anew and empty"
    then = (
        f"{up}, roll the services (helm_values has the Secret's new checksum), and later: "
        f"python -m ops restore retire {store} {old.key}"
    )
    document = {"store": store, "generation": key, "identifier": generation.identifier, "replaces": old.key}
    _write(file, yes=yes, then=then, document=document if as_json else None)


def _check_restored_as_written(stack: Stack, file: StackFile, generation: Generation) -> None:
    """Raises OpsError where the stack file names another point than the one that the generation was restored from.

    A restore happens once, at creation: an edit of it afterwards is ignored, on purpose and without a word.
    """
    wanted = (file.generations(generation.store).get(generation.key) or {}).get("restore")
    recorded = _recorded(stack, *_CLUSTER_TYPES[generation.store], generation.identifier) or {}
    inputs = recorded.get("inputs", {})
    moment_of = inputs.get("restoreToPointInTime") or {}
    snapshot = inputs.get("snapshotIdentifier") or inputs.get("snapshotName")
    if not wanted or not (snapshot or moment_of):  # one that was imported does not tell
        return
    clone, latest = moment_of.get("restoreType") == "copy-on-write", moment_of.get("useLatestRestorableTime")
    when = "clone" if clone else latest or moment_of.get("restoreToTime")
    was = (snapshot, moment_of.get("sourceClusterIdentifier"), when)
    source, at = wanted.get("generation"), wanted.get("pointInTime")
    asked = (
        wanted.get("snapshot"),
        stack.store_name(generation.store, source) if source else None,
        "clone" if wanted.get("clone") else True if at == "latest" else at,
    )
    if was != asked:
        raise OpsError(
            f"{generation} was not restored from what {file.path.name} says of it now: a restore happens once. Restore "
            f"into a new key (python -m ops restore start {generation.store} …), or put the entry back as it was"
        )


def _check_whole(stack: Stack, generation: Generation) -> None:
    """Raises OpsError while settings are still as the restore left them.

    Of a store that serves they may wait for its maintenance window, and until then every preview shows them.
    """
    found = _recorded(stack, *_CLUSTER_TYPES[generation.store], generation.identifier)
    if found is None or generation.store != DATABASE:
        return
    wanted, has = found["inputs"], found.get("outputs", {})
    if left := [key for key in NOT_RESTORED if wanted.get(key) is not None and has.get(key) != wanted[key]]:
        raise OpsError(f"{generation} still has of its source {', '.join(left)}: run `pulumi up` once more first")


@restore.command()
@store_argument
@click.argument("key")
@click.option("--confirm", metavar="NAME", help="The store's physical name, instead of being asked.")
@with_json
@pass_stack
def retire(stack: Stack, store: str, key: str, confirm: str | None, *, as_json: bool) -> None:
    """Take generation KEY of STORE out, in two steps: run it, `pulumi up`, and both once more.

    The first step lifts the protection, the second deletes the store, which leaves a final snapshot.
    """
    file = StackFile(stack)
    standing = {each.key: each for each in stack.generations(store)}
    if key not in standing and key not in file.generations(store):
        stack.generation(store, key)  # says which there are
    never_was = Generation(store, key, stack.store_name(store, key), arn="", serving=False)
    generation = standing.get(key, never_was)
    _check_dispensable(file, generation)
    if confirm not in (None, generation.identifier):
        raise OpsError(f"{confirm!r} is not {generation.identifier}. Nothing was written")
    if generation is not never_was and is_protected(stack, generation):
        if (file.generations(store).get(key) or {}).get("retiring"):
            raise OpsError(f"{generation} is retiring in the stack file: run `pulumi up`, then this once more")
        file.retire(store, key, list(standing))
        becomes = "unprotected"
        then = f"pulumi up, which lifts its protection, then once more: python -m ops restore retire {store} {key}"
    else:
        _check_not_awaited(file, generation, standing)
        file.remove_generation(store, key, list(standing))
        becomes, then = "removed", "nothing: it was never deployed"
        if generation is not never_was:
            then = "pulumi up, which takes the final snapshot and deletes it"
            confirm = confirm or _typed_name(generation)
    document = {"store": store, "generation": key, "identifier": generation.identifier, "becomes": becomes}
    _write(file, yes=confirm is not None, then=then, document=document if as_json else None)


def _check_dispensable(file: StackFile, generation: Generation) -> None:
    """Raises OpsError for a generation that serves, is about to, or is on its way out already."""
    if generation.serving:
        raise OpsError(f"{generation} serves: promote another generation first")
    if file.serving(generation.store) == generation.key:
        raise OpsError(f"{generation} serves after the next `pulumi up`: promote another generation first")
    if (written := file.generations(generation.store)) and generation.key not in written:
        raise OpsError(f"{generation} is taken out of the stack file already: run `pulumi up`")


def _check_not_awaited(file: StackFile, generation: Generation, standing: Mapping[str, Generation]) -> None:
    """Raises OpsError where a restore that has yet to happen names it as its source: it would come up empty."""
    for waiting in file.restored_from(generation.store, generation.key):
        if waiting not in standing:
            raise OpsError(
                f"generation {waiting} of {generation.store} is restored from {generation} by the next `pulumi up`: "
                f"run that first, or take it out with `python -m ops restore retire {generation.store} {waiting}`"
            )


def _typed_name(generation: Generation) -> str:
    say(f"{generation} will be deleted by the next `pulumi up`, and leaves a final snapshot.")
    typed = str(click.prompt("Type its name", err=True, default=""))
    if typed != generation.identifier:
        raise OpsError(f"{typed!r} is not {generation.identifier}. Nothing was written")
    return typed


def is_protected(stack: Stack, generation: Generation) -> bool:
    """As the state has it: what the next update would be held to."""
    found = _recorded(stack, *_CLUSTER_TYPES[generation.store], generation.identifier)
    return bool(found and found.get("protect"))


def _recorded(stack: Stack, type_: str, name: str, identifier: str) -> dict[str, Any] | None:
    """The resource in the state with that physical name."""
    for each in stack.resources:
        if each["type"] == type_ and each.get("inputs", {}).get(name) == identifier:
            return each
    return None


def _recorded_inputs(stack: Stack, generation: Generation) -> dict[str, Any]:
    """What the guard compares (components/guards.py): unlike the store itself, its component outlives a refresh."""
    component = _recorded(stack, _COMPONENTS[generation.store], "identifier", generation.identifier)
    if component is None:
        raise OpsError(f"the state of stack {stack.name} has no {generation}: run `pulumi up` once with this version")
    inputs: dict[str, Any] = component["inputs"]
    return inputs


restore.add_command(verify)
