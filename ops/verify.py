"""`restore verify`: a restored generation against its source, looked at from inside the cluster.

The structure must be the same: schema revision, tables, extensions, roles. Rows and keys may differ, for the
source has lived on since: they are told, and count as wrong only with `--exact`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import click
from rich.console import RenderableType

from ops import in_cluster, trust
from ops.errors import FoundError, OpsError
from ops.options import pass_stack, store_argument, with_json
from ops.stack import DATABASE, Generation, Stack
from ops.terminal import show, table

POSTGRESQL_IMAGE = "public.ecr.aws/docker/library/postgres:17.6-alpine"
REDIS_IMAGE = "public.ecr.aws/docker/library/redis:7.2.5-alpine"
SAMPLED_KEYS = 200
_CA = "ca.pem"
# Kinds of facts that a restore must bring back as they are in the source.
STRUCTURE = ("revision", "extension", "role")
CONTENT = ("table", "keys", "key")

# One line a fact: kind, name, value. One snapshot for all of them, and nothing can be written.
_POSTGRESQL = r"""
psql --no-psqlrc --quiet --tuples-only --no-align --field-separator '|' --set ON_ERROR_STOP=1 <<'SQL'
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT 'extension', extname, extversion FROM pg_extension ORDER BY 2;
SELECT 'role', rolname, CASE WHEN rolcanlogin THEN 'login' ELSE 'group' END FROM pg_roles
 WHERE rolname !~ '^(pg_|rds)' ORDER BY 2;
SELECT format('SELECT ''table'', %L, count(*) || '' rows, checksum ''
   || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM %I.%I t',
   nspname || '.' || relname, nspname, relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE relkind = 'r' AND nspname !~ '^(pg_|information_schema)' ORDER BY 1 \gexec
SELECT format('SELECT ''revision'', %L, string_agg(version_num, '','' ORDER BY version_num) FROM %I.%I',
   nspname || '.' || relname, nspname, relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE relkind = 'r' AND (SELECT array_agg(attname::text) FROM pg_attribute
   WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) = ARRAY['version_num'] \gexec
COMMIT;
SQL
"""

# The same keys on both sides: the first in order.
_REDIS = rf"""
tls=; [ "$REDIS_TLS" = no ] || tls="--tls${{REDIS_CA:+ --cacert $REDIS_CA}}"
ask() {{ redis-cli $tls -h "$REDIS_HOST" -p "$REDIS_PORT" --no-auth-warning "$@"; }}
[ "$(ask PING)" = PONG ]
echo "keys|all|$(ask DBSIZE)"
ask --scan | LC_ALL=C sort | head -n {SAMPLED_KEYS} | while IFS= read -r key; do
  echo "key|$key|$(ask TYPE "$key") $(ask DUMP "$key" | md5sum | cut -c1-32)"
done
"""


@click.command()
@store_argument
@click.argument("key")
@click.option("--against", metavar="KEY", help="Compare with this generation; the serving one if not given.")
@click.option("--exact", is_flag=True, help="Rows and keys must be the same too.")
@with_json
@pass_stack
def verify(stack: Stack, store: str, key: str, against: str | None, *, exact: bool, as_json: bool) -> None:
    """Compare generation KEY of STORE with its source, from a Job in the cluster. Exits 3 when it falls short."""
    restored, source = stack.generation(store, key), stack.generation(store, against)
    if restored == source:
        raise OpsError(f"{restored} would be compared with itself: name the restored one, or another --against")
    report = compare(stack, restored, source)
    show(report.as_document(), report.as_tables(), as_json=as_json)
    if wrong := report.wrong(exact=exact):
        raise FoundError(f"{report.restored} is not as {report.source}: {'; '.join(wrong)}")


Facts = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Report:
    restored: str
    source: str
    facts: Facts
    """Of the restored one: (kind, name) to value."""
    expected: Facts
    differences: list[dict[str, str | None]] = field(init=False)

    def __post_init__(self) -> None:
        found = [
            {
                "kind": kind,
                "name": name,
                "source": self.expected.get((kind, name)),
                "restored": self.facts.get((kind, name)),
            }
            for kind, name in sorted({*self.facts, *self.expected})
            if self.facts.get((kind, name)) != self.expected.get((kind, name))
        ]
        object.__setattr__(self, "differences", found)

    def wrong(self, *, exact: bool) -> list[str]:
        """What a restore should have brought back. A table that is missing is structure; its rows are content."""
        found = [
            f"{each['kind']} {each['name']}: {each['restored'] or 'missing'} instead of {each['source'] or 'nothing'}"
            for each in self.differences
            if exact or each["kind"] in STRUCTURE or (each["kind"] == "table" and None in each.values())
        ]
        # Rows and keys may have come since. All of them cannot, or hardly: then nothing was restored.
        nothing = _holds(self.expected) and not _holds(self.facts)
        return [*found, f"it holds nothing, and {self.source} does"] if nothing and not found else found

    def as_document(self) -> dict[str, Any]:
        return {
            "restored": self.restored,
            "source": self.source,
            "same": not self.differences,
            "structureAsExpected": not self.wrong(exact=False),
            "counts": {kind: sum(each == kind for each, _ in self.facts) for kind in (*STRUCTURE, *CONTENT)},
            "differences": self.differences,
        }

    def as_tables(self) -> list[RenderableType]:
        counts = {kind: sum(each == kind for each, _ in self.facts) for kind in (*STRUCTURE, *CONTENT)}
        compared = ", ".join(f"{count} of kind {kind}" for kind, count in counts.items() if count)
        title = f"{self.restored} against {self.source}: {compared}; {len(self.differences) or 'no'} differences"
        rows = [(each["kind"], each["name"], each["source"], each["restored"]) for each in self.differences]
        return [table(title, ("kind", "name", "source", "restored"), rows)]


def _holds(facts: Facts) -> bool:
    """Whether there is a key, or a row in any table but those that tell the schema's revision."""
    return any(
        (kind == "keys" and value not in ("0", ""))
        or (kind == "table" and ("revision", name) not in facts and not value.startswith("0 rows"))
        for (kind, name), value in facts.items()
    )


def compare(stack: Stack, restored: Generation, source: Generation) -> Report:
    """Run the Job and compare what its two containers found."""
    sides = {"restored": restored, "source": source}
    written = in_cluster.run(stack, "verify", [_container(stack, name, each) for name, each in sides.items()])
    facts, expected = (common_sample(parse(written[one]), parse(written[other])) for one, other in _BOTH_WAYS)
    return Report(restored.identifier, source.identifier, facts, expected)


_BOTH_WAYS = (("restored", "source"), ("source", "restored"))


def common_sample(facts: Facts, others: Facts) -> Facts:
    """Without the keys that lie past the end of the other side's sample: whether it has them is not known."""
    sampled = [name for kind, name in others if kind == "key"]
    last = max(sampled) if len(sampled) >= SAMPLED_KEYS else None
    return {(kind, name): value for (kind, name), value in facts.items() if kind != "key" or not last or name <= last}


def _container(stack: Stack, name: str, generation: Generation) -> in_cluster.Container:
    way = stack.secret_outputs["stores"][generation.store]["generations"][generation.key]
    # A reader: counting every row is work that the writer need not do.
    host, port = str(way["readerHost"]), str(int(way["port"]))
    if generation.store == DATABASE:
        environment = {
            "PGHOST": host,
            "PGPORT": port,
            "PGDATABASE": way["database"],
            "PGUSER": way["username"],
            "PGPASSWORD": way["password"],
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": f"{in_cluster.FILES}/{_CA}",
            "PGCONNECT_TIMEOUT": "10",
        }
        files = {_CA: trust.of_rds(generation.region)}
        return in_cluster.Container(name, POSTGRESQL_IMAGE, _POSTGRESQL, environment, files)
    tls = "yes" if way["tls"] else "no"
    environment = {"REDIS_HOST": host, "REDIS_PORT": port, "REDIS_TLS": tls}
    if way.get("password"):
        environment["REDISCLI_AUTH"] = way["password"]
    # ElastiCache's certificates come from public roots, which the image has. redis-cli checks who signed a certificate,
    # not its name: hiredis does not either.
    files = {_CA: named} if (named := trust.named()) else {}
    if files:
        environment["REDIS_CA"] = f"{in_cluster.FILES}/{_CA}"
    return in_cluster.Container(name, REDIS_IMAGE, _REDIS, environment, files)


def parse(text: str) -> Facts:
    """Lines of `kind|name|value`; a name may hold a bar, kind and value do not."""
    facts = {}
    for line in text.splitlines():
        kind, bar, rest = line.partition("|")
        name, last, value = rest.rpartition("|")
        if bar and last and kind in (*STRUCTURE, *CONTENT):
            facts[kind, name] = value
    return facts
