"""Workloads: what runs beside the data, above all the Jobs that migrate it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from policies.rule import Finding, Resource, ResourceRule, Rule, Terms
from policies.tokens import CRON_JOB, JOB, POD, WORKLOADS
from policies.value import UNKNOWN, Undecided, Value, between, is_false, is_number, is_true, require

_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_TAG = re.compile(r".+:([A-Za-z0-9_][A-Za-z0-9._-]*)")
# Of a tag's parts: one that follows whatever was pushed last, and ones that do unless a commit or a date stands beside.
_NEWEST = "latest"
_BRANCHES = frozenset(("canary", "current", "dev", "develop", "edge", "lts", "main", "master", "nightly", "stable"))
_COMMIT = re.compile("[0-9a-f]{7,40}|[0-9]{6,}")
_LOWEST_UID = 10000


def pod(resource: Resource) -> Value:
    """The pod's spec, wherever the kind keeps it."""
    if resource.type == POD:
        return resource["spec"]
    if resource.type == CRON_JOB:
        return resource["spec.jobTemplate.spec.template.spec"]
    return resource["spec.template.spec"]


def containers(spec: Value) -> Iterator[Value]:
    for part in ("initContainers", "containers"):
        yield from spec.at(part).each()


def _job(resource: Resource) -> Value:
    return resource["spec.jobTemplate.spec" if resource.type == CRON_JOB else "spec"]


def _no_ttl(resource: Resource, _: Terms) -> Iterator[Finding]:
    ttl = _job(resource).at("ttlSecondsAfterFinished")
    if ttl.unknown:
        yield Undecided(ttl.path)
    elif ttl.known is not None:
        yield f"{ttl.path} is {ttl.shown}; it must not be set"


def _deadline(resource: Resource, terms: Terms) -> Iterable[Finding]:
    return between(_job(resource).at("activeDeadlineSeconds"), 1, terms["longest"], "seconds")


def _backoff(resource: Resource, terms: Terms) -> Iterable[Finding]:
    return between(_job(resource).at("backoffLimit"), 0, terms["most"], "retries")


def _pinned(image: Value, _: Terms) -> Iterable[Finding]:
    def holds(given: object) -> bool:
        if not isinstance(given, str):
            return False
        tag = _TAG.fullmatch(given.rsplit("/", 1)[-1])
        return bool(_DIGEST.fullmatch(given)) or bool(tag and "@" not in given and _names_a_version(tag[1]))

    return require(image, holds, "a digest, or a tag that does not move, is asked for")


def _names_a_version(tag: str) -> bool:
    """A version has a number in it; latest-alpine3.20 is a version of something else."""
    parts = re.split("[-_.]", tag.lower())
    if _NEWEST in parts or (_BRANCHES & set(parts) and not any(_COMMIT.fullmatch(each) for each in parts)):
        return False
    return any(letter.isdigit() for letter in tag)


def _everywhere(
    test: Callable[[Value], Iterable[Finding]],
) -> Callable[[Resource, Terms], Iterator[Finding]]:
    """A check of each container; a workload without one cannot pass."""

    def check(resource: Resource, _: Terms) -> Iterator[Finding]:
        found = list(containers(pod(resource)))
        if not found:
            yield f"{pod(resource).path}.containers is not set; one is asked for"
        for container in found:
            yield from test(container)

    return check


def _inherited(resource: Resource, key: str, holds: Callable[[object], bool], wanted: str) -> Iterator[Finding]:
    """Of each container's security context, or of the pod's where the container does not say."""
    spec = pod(resource)
    found = list(containers(spec))
    if not found:
        yield f"{spec.path}.containers is not set; one is asked for"
    for container in found:
        own = container.at(f"securityContext.{key}")
        value = own if own.unknown or own.known is not None else spec.at(f"securityContext.{key}")
        yield from require(value, holds, wanted)


def _capabilities(container: Value) -> Iterator[Finding]:
    capabilities = container.at("securityContext.capabilities")
    dropped = capabilities.at("drop")
    if dropped.unknown:
        yield Undecided(dropped.path)
    elif "ALL" not in [each.known for each in dropped.each()]:
        yield f"{dropped.path} is {dropped.shown if dropped.known is not None else 'not set'}; ALL must be in it"
    for added in capabilities.at("add").each():
        if added.unknown:
            yield Undecided(added.path)
            continue
        yield f"{added.path} is {added.shown}; none may be added"


def _unprivileged(container: Value) -> Iterator[Finding]:
    yield from is_false(container.at("securityContext.allowPrivilegeEscalation"))
    privileged = container.at("securityContext.privileged")
    if privileged.unknown or privileged.known is not None:
        yield from is_false(privileged)


def _resources(container: Value) -> Iterator[Finding]:
    for kind in ("requests", "limits"):
        for what in ("cpu", "memory"):
            yield from require(
                container.at(f"resources.{kind}.{what}"),
                lambda given: is_number(given) or (isinstance(given, str) and given != ""),
                "an amount is asked for",
            )


def _apart_from_the_host(resource: Resource, _: Terms) -> Iterator[Finding]:
    spec = pod(resource)
    for flag in ("hostPID", "hostIPC", "hostNetwork"):
        if spec.at(flag).unknown or spec.at(flag).known is not None:
            yield from is_false(spec.at(flag))
    for volume in spec.at("volumes").each():
        host = volume.at("hostPath").raw
        if host is UNKNOWN:
            yield Undecided(f"{volume.path}.hostPath")
        elif host is not None:
            yield f"{volume.path} mounts a hostPath; no part of the host may be mounted"
    for container in containers(spec):
        for port in container.at("ports").each():
            if port.at("hostPort").unknown or port.at("hostPort").known is not None:
                yield f"{port.path}.hostPort is set; no port of the host may be taken"


def _namespace(resource: Resource, _: Terms) -> Iterable[Finding]:
    return require(
        resource["metadata.namespace"],
        lambda given: isinstance(given, str) and given not in ("", "default"),
        "a namespace other than default is asked for",
    )


def _own_account(resource: Resource, _: Terms) -> Iterator[Finding]:
    spec = pod(resource)
    yield from is_false(spec.at("automountServiceAccountToken"))
    yield from require(
        spec.at("serviceAccountName"),
        lambda given: isinstance(given, str) and given not in ("", "default"),
        "an account other than default is asked for",
    )


RULES: tuple[Rule, ...] = (
    ResourceRule(
        name="job-without-ttl",
        requires="A Job has no time to live",
        why="The cluster deletes a Job that Pulumi believes it owns; after a refresh the next up migrates again.",
        fix="take ttlSecondsAfterFinished out",
        severity="high",
        types=(JOB,),
        check=_no_ttl,
    ),
    ResourceRule(
        name="job-deadline",
        requires="A Job has a deadline",
        why="A migration that hangs on a lock holds up the rollout, and everybody behind the lock, without end.",
        fix="set activeDeadlineSeconds to {longest} or less",
        severity="high",
        options={"longest": {"description": "seconds", "type": "integer", "minimum": 1, "default": 3600}},
        types=(JOB, CRON_JOB),
        check=_deadline,
    ),
    ResourceRule(
        name="job-backoff",
        requires="A Job gives up after a few tries",
        why="The default is six, each as long as the first; a migration that failed twice fails again.",
        fix="set backoffLimit to {most} or less",
        severity="medium",
        options={"most": {"description": "retries", "type": "integer", "minimum": 0, "maximum": 6, "default": 2}},
        types=(JOB, CRON_JOB),
        check=_backoff,
    ),
    ResourceRule(
        name="image-pinned",
        requires="Every image is pinned",
        why="What ran in staging must be what runs in production.",
        fix="give the image a digest, or a tag that does not move",
        severity="high",
        controls=("CKV_K8S_14",),
        types=WORKLOADS,
        check=lambda it, terms: _everywhere(lambda container: _pinned(container.at("image"), terms))(it, terms),
    ),
    ResourceRule(
        name="image-by-digest",
        requires="Every image is pinned by digest",
        why="Whoever may push to the registry may move a tag.",
        fix="give the image a digest, @sha256:…",
        severity="medium",
        level="advisory",
        controls=("CKV_K8S_43",),
        types=WORKLOADS,
        check=_everywhere(
            lambda container: require(
                container.at("image"),
                lambda given: isinstance(given, str) and _DIGEST.fullmatch(given) is not None,
                "a digest is asked for",
            )
        ),
    ),
    ResourceRule(
        name="container-not-root",
        requires="No container runs as root, nor under a low user id",
        why="Root in a container is one mistake away from root on the node; low ids are the node's own users'.",
        fix=f"set securityContext.runAsNonRoot to true and runAsUser to {_LOWEST_UID} or more",
        severity="high",
        controls=("CKV_K8S_23", "CKV_K8S_29", "CKV_K8S_40"),
        types=WORKLOADS,
        check=lambda it, _: [
            *_inherited(it, "runAsNonRoot", lambda given: given is True, "it must be true"),
            *_inherited(
                it, "runAsUser", lambda given: is_number(given) and given >= _LOWEST_UID,  # type: ignore[operator]
                f"at least {_LOWEST_UID} is asked for",
            ),
        ],
    ),
    ResourceRule(
        name="container-read-only",
        requires="No container writes to its own image",
        why="What breaks in cannot stay.",
        fix="set securityContext.readOnlyRootFilesystem to true, and mount an emptyDir where it writes",
        severity="medium",
        controls=("CKV_K8S_22", "CKV_K8S_30"),
        types=WORKLOADS,
        check=_everywhere(lambda container: is_true(container.at("securityContext.readOnlyRootFilesystem"))),
    ),
    ResourceRule(
        name="container-unprivileged",
        requires="No container is privileged or can become so",
        why="A privileged container is the node.",
        fix="set securityContext.allowPrivilegeEscalation to false, and privileged not at all",
        severity="high",
        controls=("CKV_K8S_16", "CKV_K8S_20"),
        types=WORKLOADS,
        check=_everywhere(_unprivileged),
    ),
    ResourceRule(
        name="container-without-capabilities",
        requires="Every container drops all capabilities and adds none",
        why="None of what runs here needs one.",
        fix="set securityContext.capabilities.drop to [ALL], and add nothing",
        severity="medium",
        controls=("CKV_K8S_25", "CKV_K8S_28", "CKV_K8S_37", "CKV_K8S_39"),
        types=WORKLOADS,
        check=_everywhere(_capabilities),
    ),
    ResourceRule(
        name="container-seccomp",
        requires="Every container runs under the runtime's seccomp profile",
        why="It takes away the system calls that exploits are made of.",
        fix="set securityContext.seccompProfile.type to RuntimeDefault",
        severity="medium",
        controls=("CKV_K8S_31",),
        types=WORKLOADS,
        check=lambda it, _: _inherited(
            it, "seccompProfile.type", lambda given: given in ("RuntimeDefault", "Localhost"),
            "RuntimeDefault is asked for",
        ),
    ),
    ResourceRule(
        name="container-resources",
        requires="Every container asks for CPU and memory, and has a limit of both",
        why="Without them it gets the namespace's default, or takes the node from everybody else.",
        fix="set resources.requests and resources.limits, cpu and memory each",
        severity="medium",
        controls=("CKV_K8S_10", "CKV_K8S_11", "CKV_K8S_12", "CKV_K8S_13"),
        types=WORKLOADS,
        check=_everywhere(_resources),
    ),
    ResourceRule(
        name="pod-apart-from-the-host",
        requires="No pod shares the host's processes, network, ports or files",
        why="Whoever is in the pod is then on the node; the runtime's socket is the whole node.",
        fix="take hostPID, hostIPC, hostNetwork, hostPort and hostPath out",
        severity="high",
        controls=("CKV_K8S_17", "CKV_K8S_18", "CKV_K8S_19", "CKV_K8S_26", "CKV_K8S_27"),
        types=WORKLOADS,
        check=_apart_from_the_host,
    ),
    ResourceRule(
        name="pod-own-account",
        requires="Every pod has a ServiceAccount of its own, and no token of it mounted",
        why="A migration needs no Kubernetes API; what it does not have cannot be stolen from it.",
        fix="set serviceAccountName, and automountServiceAccountToken to false",
        severity="medium",
        controls=("CKV_K8S_38", "CKV_K8S_41"),
        types=WORKLOADS,
        check=_own_account,
    ),
    ResourceRule(
        name="namespace-named",
        requires="Nothing goes into the default namespace",
        why="Quotas, limits and network policies are on the environment's own namespace.",
        fix="set metadata.namespace",
        severity="low",
        controls=("CKV_K8S_21",),
        types=(*WORKLOADS, "kubernetes:core/v1:Secret", "kubernetes:core/v1:ServiceAccount"),
        check=_namespace,
    ),
)  # fmt: skip
