"""A schema migration as a Job that proves itself, and says why when it fails."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pulumi
import pulumi_kubernetes as kubernetes

from components.migration_report import Cluster, report_failure, report_success
from components.secrets import DATABASE_SECRET, LABELS

# Any image with psql does; this one is small, official and pinned.
CHECK_IMAGE = "public.ecr.aws/docker/library/postgres:17.6-alpine"

# Longer than the Job's own deadline, so that the Job's verdict arrives before Pulumi stops waiting.
AWAIT_MARGIN_SECONDS = 120

DEFAULT_RESOURCES: Mapping[str, Mapping[str, str]] = {
    # Inside the LimitRange of every environment: prod asks for at least 150m/256Mi, dev allows at most 2/2Gi.
    "requests": {"cpu": "200m", "memory": "256Mi"},
    "limits": {"cpu": "1", "memory": "1Gi"},
}

# A tag behind the last slash, or a digest: what an untagged image holds changes without its name.
_PINNED = re.compile(r"[^@]*:[^/@:]+(@sha256:[0-9a-f]{64})?|[^@]+@sha256:[0-9a-f]{64}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")

_REFUSE_OTHER_ENGINES = """\
case "$DATABASE_URL" in
  postgresql://*|postgres://*) ;;
  *) echo "DATABASE_URL is not a PostgreSQL URL: refusing to migrate" >&2; exit 64 ;;
esac
psql --no-psqlrc --quiet --tuples-only --command 'SELECT 1' >/dev/null
"""

_PROVE_THE_REVISION = """\
revision=$(psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 \
  --command "SELECT string_agg(version_num, ',' ORDER BY version_num) FROM $VERSION_TABLE")
if [ -z "$revision" ]; then
  echo "version table $VERSION_TABLE of database $PGDATABASE on $PGHOST is empty: nothing was migrated there" >&2
  exit 65
fi
if [ -n "$EXPECTED_REVISION" ] && [ "$revision" != "$EXPECTED_REVISION" ]; then
  echo "database $PGDATABASE on $PGHOST is at revision $revision, expected $EXPECTED_REVISION" >&2
  exit 66
fi
echo "database $PGDATABASE on $PGHOST is at revision $revision"
printf '%s' "$revision" > /dev/termination-log
"""


@dataclass(frozen=True, kw_only=True)
class MigrationJobArgs:
    service: str
    """Whose schema it is; the Job's name starts with it."""
    namespace: pulumi.Input[str]
    image: str
    """Carries a tag or a digest: the Job's identity is its content."""
    command: Sequence[str]
    target: str
    """Which database is meant (its cluster identifier): another target is another Job."""
    revision: str | None = None
    """The revision that must stand afterwards; None accepts whatever the version table says."""
    version_table: str = "alembic_version"
    secret_name: str = DATABASE_SECRET
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: DEFAULT_RESOURCES)
    deadline_seconds: int = 900
    backoff_limit: int = 1
    """One retry, for a database that fails over at the wrong moment."""
    check_image: str = CHECK_IMAGE
    kubeconfig: pulumi.Input[str] | None = None
    """For the report on success or failure; None uses the machine's own Kubernetes configuration."""
    context: str | None = None
    """Of the machine's own configuration; None is its current one."""


class MigrationJob(pulumi.ComponentResource):
    """One Job that migrates one service's schema, and the ServiceAccount it runs as.

    The pod first refuses anything that is not a reachable PostgreSQL, then runs `command` in `image`
    with `DATABASE_URL`, then reads the version table of the database that the Secret names and
    leaves the revision as its termination message: no version table, no success. The Job's name is
    a digest of all this, so a change makes a new Job and no change makes none. A failed Job stays,
    with its logs, until the next run replaces it.

    On success the applied revision is reported, on failure the pod, its exit code and its last lines.

    Raises ValueError for an image without tag or digest, or a `version_table` that is no identifier.
    """

    job_name: pulumi.Output[str]

    def __init__(self, name: str, args: MigrationJobArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("meetinity:data:MigrationJob", name, None, opts)
        if not _IDENTIFIER.fullmatch(args.version_table):
            raise ValueError(f"version_table {args.version_table!r} of {name} is not an identifier like schema.table")
        if not _PINNED.fullmatch(args.image):
            raise ValueError(
                f"image {args.image!r} of {name} has neither tag nor digest: the Job would not know a change"
            )
        children = pulumi.ResourceOptions(parent=self)
        account_name = f"{args.service}-migration"
        account = kubernetes.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(name=account_name, namespace=args.namespace, labels=LABELS),
            # The pod needs no Kubernetes API; the account is there so that nothing runs as `default`.
            automount_service_account_token=False,
            opts=children,
        )
        template = pod_template(args, account_name)
        job = kubernetes.batch.v1.Job(
            f"{name}-job",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=content_name(args.service, template),
                namespace=args.namespace,
                labels={**LABELS, "app.kubernetes.io/name": args.service},
                # The next run replaces a failed Job instead of waiting on it again.
                annotations={"pulumi.com/replaceUnready": "true"},
            ),
            spec=kubernetes.batch.v1.JobSpecArgs(
                backoff_limit=args.backoff_limit,
                active_deadline_seconds=args.deadline_seconds,
                # Plain values rather than typed ones, because the name is their digest.
                template=cast("Any", template),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[account],
                custom_timeouts=pulumi.CustomTimeouts(create=f"{args.deadline_seconds + AWAIT_MARGIN_SECONDS}s"),
                hooks=_hooks(name, args),
            ),
        )
        self.job_name = job.metadata.name
        self.register_outputs({"jobName": self.job_name})


def content_name(service: str, template: Mapping[str, Any]) -> str:
    """`<service>-migration-<8 hex>`: the same template has the same name, for ever."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
    return f"{service}-migration-{digest}"


def pod_template(args: MigrationJobArgs, service_account: str) -> dict[str, Any]:
    """Everything that makes the Job what it is, in plain values, so that its name can be its digest."""

    def from_secret(variable: str, key: str) -> dict[str, Any]:
        return {"name": variable, "valueFrom": {"secretKeyRef": {"name": args.secret_name, "key": key}}}

    database_url = from_secret("DATABASE_URL", "DATABASE_URL")
    # The parts, not the URL: what the check reaches does not hang on how a service reads its URL, and
    # libpq takes the password from the environment, where `psql $DATABASE_URL` would show it in argv.
    libpq = [
        from_secret("PGHOST", "host"),
        from_secret("PGPORT", "port"),
        from_secret("PGDATABASE", "database"),
        from_secret("PGUSER", "username"),
        from_secret("PGPASSWORD", "password"),
        {"name": "PGSSLMODE", "value": "require"},
        {"name": "PGCONNECT_TIMEOUT", "value": "10"},
    ]

    def container(name: str, image: str, command: Sequence[str], environment: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "name": name,
            "image": image,
            "command": list(command),
            "env": [*environment, {"name": "HOME", "value": "/tmp"}],  # noqa: S108 - the pod's own emptyDir
            "resources": {kind: dict(amounts) for kind, amounts in args.resources.items()},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }

    def shell(script: str) -> list[str]:
        return ["/bin/sh", "-euc", script]

    expectation = [
        {"name": "VERSION_TABLE", "value": args.version_table},
        {"name": "EXPECTED_REVISION", "value": args.revision or ""},
    ]
    return {
        "metadata": {
            "labels": {**LABELS, "app.kubernetes.io/name": args.service, "app.kubernetes.io/component": "migration"},
            "annotations": {"meetinity.io/migration-target": args.target},
        },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": service_account,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "initContainers": [
                container("guard", args.check_image, shell(_REFUSE_OTHER_ENGINES), [database_url, *libpq]),
                container("migrate", args.image, args.command, [database_url]),
            ],
            "containers": [container("check", args.check_image, shell(_PROVE_THE_REVISION), [*libpq, *expectation])],
        },
    }


def _hooks(name: str, args: MigrationJobArgs) -> pulumi.ResourceHookBinding:
    """The Kubernetes provider's own error names neither pod nor cause, so the program asks the cluster."""

    async def cluster() -> Cluster:
        return Cluster(await pulumi.Output.from_input(args.kubeconfig).future(), args.context)

    async def on_success(hook: pulumi.ResourceHookArgs) -> None:
        await report_success(hook.new_outputs or {}, args.service, await cluster())

    async def on_error(hook: pulumi.ErrorHookArgs) -> bool:
        await report_failure(hook.new_inputs or {}, args.service, args.secret_name, await cluster())
        return False

    return pulumi.ResourceHookBinding(
        after_create=[pulumi.ResourceHook(f"{name}-report-revision", on_success)],
        on_error=[pulumi.ErrorHook(f"{name}-report-failure", on_error)],
    )
