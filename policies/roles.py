"""Who may read the Secrets: what roles give, and to whom they are bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.rule import Finding, Resource, ResourceRule, Rule, StackRule, Terms
from policies.tokens import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING
from policies.value import Undecided, Value

_KINDS = {ROLE: "Role", CLUSTER_ROLE: "ClusterRole"}
# Kubernetes' own roles that every cluster has and that read all Secrets.
_BROAD_ROLES = ("cluster-admin", "admin", "edit")
# Kubernetes' own that read none.
_HARMLESS_ROLES = ("view", "system:auth-delegator", "system:monitoring")

_RBAC = "rbac.authorization.k8s.io"
# A ClusterRole with such a label is part of another one (Kubernetes: aggregated ClusterRoles).
_AGGREGATED = f"{_RBAC}/aggregate-to-"
_WRITING = frozenset(("create", "update", "patch"))
_STARTING, _MOUNTS = frozenset(("create",)), "a pod that it starts mounts any Secret"
# What lets its holder become more than it is: group, resources, and the verbs that do it.
_WAYS_UP: tuple[tuple[str, frozenset[str], frozenset[str], str], ...] = (
    (
        "admissionregistration.k8s.io",
        frozenset(("mutatingwebhookconfigurations", "validatingwebhookconfigurations")),
        _WRITING,
        "an admission webhook sees and changes every Secret",
    ),
    (
        "certificates.k8s.io",
        frozenset(("certificatesigningrequests/approval", "signers")),
        frozenset(("update", "patch", "approve", "sign")),
        "a certificate it approves is anybody's",
    ),
    (
        _RBAC,
        frozenset(("roles", "clusterroles", "rolebindings", "clusterrolebindings")),
        _WRITING | {"bind", "escalate"},
        "it gives itself what it has not",
    ),
    ("", frozenset(("users", "groups", "serviceaccounts")), frozenset(("impersonate",)), "it acts as others"),
    ("", frozenset(("pods/exec", "pods/attach")), frozenset(("get", "create")), "it is where every Secret is mounted"),
    ("", frozenset(("pods/ephemeralcontainers",)), _WRITING, "it is where every Secret is mounted"),
    ("", frozenset(("pods", "replicationcontrollers")), _STARTING, _MOUNTS),
    ("batch", frozenset(("jobs", "cronjobs")), _STARTING, _MOUNTS),
    ("apps", frozenset(("daemonsets", "deployments", "replicasets", "statefulsets")), _STARTING, _MOUNTS),
    ("", frozenset(("nodes/proxy",)), frozenset(("get", *_WRITING)), "through it every pod of a node is reached"),
    ("", frozenset(("services/status",)), _WRITING, "it draws another Service's traffic to itself"),
    ("", frozenset(("serviceaccounts/token",)), frozenset(("create",)), "it makes tokens of others"),
)  # fmt: skip


def _read_by_name(role: Resource, _: Terms) -> Iterator[Finding]:
    for rule in role["rules"].each():
        if not _concerns_secrets(rule):
            continue
        for verb in rule.at("verbs").each():
            if verb.known not in ("get", "*"):
                yield f"{verb.path} is {verb.shown}; Secrets are read by get alone"
        if not list(rule.at("resourceNames").each()):
            yield f"{rule.path}.resourceNames is not set; the Secrets are named"
        for label in role["metadata.labels"].named():
            if label.startswith(_AGGREGATED):
                yield f"metadata.labels.{label} gives them to whoever holds the role {label.removeprefix(_AGGREGATED)}"


def _no_wildcard(role: Resource, _: Terms) -> Iterator[Finding]:
    if not role["aggregationRule"].absent:
        yield "aggregationRule is set; what it gathers from other roles cannot be seen"
    for rule in role["rules"].each():
        for part in ("apiGroups", "resources", "verbs"):
            for entry in rule.at(part).each():
                if isinstance(entry.known, str) and "*" in entry.known:
                    yield f"{entry.path} is a wildcard; each is named"


def _no_way_up(role: Resource, _: Terms) -> Iterator[Finding]:
    for rule in role["rules"].each():
        groups, resources, verbs = (_given(rule.at(part)) for part in ("apiGroups", "resources", "verbs"))
        for group, dangerous, doing, why in _WAYS_UP:
            # A wildcard is the other rule's.
            if group in groups and (what := sorted(dangerous & resources)) and (how := sorted(doing & verbs)):
                yield f"{rule.path} gives {', '.join(how)} of {', '.join(what)}: {why}"


def _given(names: Value) -> set[str]:
    return {str(each.known) for each in names.each()}


def _concerns_secrets(rule: Value) -> bool:
    groups, resources = _given(rule.at("apiGroups")), _given(rule.at("resources"))
    named = any(each in ("*", "*/*") or each.split("/")[0] == "secrets" for each in resources)
    return named and bool(groups & {"", "*"})


def _read_by_the_listed(binding: Resource, resources: Sequence[Resource], terms: Terms) -> Iterator[Finding]:
    kind, name = binding["roleRef.kind"], binding["roleRef.name"]
    roles = [each for each in resources if each.type in _KINDS and _refers(binding, each)]
    if roles:
        if any(_reads_secrets(each) for each in roles):
            if binding.type == CLUSTER_ROLE_BINDING:
                yield "it gives the Secrets of every namespace; a RoleBinding gives one's"
            yield from _subjects(binding, terms["subjects"])
    elif name.unknown or kind.unknown:
        yield Undecided(name.path)
    elif kind.known == "ClusterRole" and name.known in _BROAD_ROLES:
        yield f"roleRef.name is {name.shown}, which reads every Secret"
    elif {"kind": kind.known, "name": name.known} not in [dict(each) for each in terms["roles"]]:
        yield f"roleRef is {kind.bare} {name.bare}, which this stack does not make: nobody can see what it reads"


def _refers(binding: Resource, role: Resource) -> bool:
    """By kind, name and namespace, as far as they are known; by the dependency where the name is not known yet."""
    kind, name = binding["roleRef.kind"], binding["roleRef.name"]
    if not kind.unknown and kind.known != _KINDS[role.type]:
        return False
    theirs = role["metadata.name"]
    if name.unknown or theirs.unknown or theirs.absent:
        if role.urn not in binding.uses.get("roleRef", frozenset()):
            return False
    elif name.known != theirs.known:
        return False
    return role.type == CLUSTER_ROLE or _same_namespace(binding["metadata.namespace"], role["metadata.namespace"])


def _same_namespace(ours: Value, theirs: Value) -> bool:
    """Whether they may be one: a namespace that is not known yet may be any."""
    return ours.unknown or theirs.unknown or (ours.known or "default") == (theirs.known or "default")


def _reads_secrets(role: Resource) -> bool:
    return any(_concerns_secrets(rule) for rule in role["rules"].each())


def _subjects(binding: Resource, listed: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for subject in binding["subjects"].each():
        kind, name = subject.at("kind"), subject.at("name")
        namespace = subject.at("namespace") if kind.raw == "ServiceAccount" else Value(None)
        if kind.unknown or name.unknown:
            yield Undecided(name.path)
            continue
        entries = [each for each in listed if (each["kind"], each["name"]) == (kind.known, name.known)]
        # A ServiceAccount of that name is another one in every namespace: the binding's own, unless the list says.
        home = binding["metadata.namespace"]
        if not entries:
            yield f"{subject.path} is {kind.bare} {name.bare}, who is not among the subjects listed"
        elif kind.known == "ServiceAccount" and not any(_at_home(namespace, each, home) for each in entries):
            yield (
                f"{subject.path} is {kind.bare} {name.bare} of namespace {namespace.bare}, "
                "who is not among the subjects listed"
            )


def _at_home(namespace: Value, entry: Mapping[str, Any], home: Value) -> bool:
    if "namespace" in entry:
        return bool(namespace.raw == entry["namespace"])
    return namespace.raw == home.raw or (namespace.absent and not home.absent)


_NAMED = {"kind": {"enum": ["Role", "ClusterRole"]}, "name": {"type": "string"}}

RULES: tuple[Rule, ...] = (
    ResourceRule(
        name="secrets-read-by-name",
        requires="A role reads Secrets by name and get, with no list and no watch",
        why="list shows the content of every Secret of the namespace.",
        fix="name the Secrets in resourceNames, with verbs [get]",
        severity="high",
        controls=("CKV2_K8S_5",),
        types=(ROLE, CLUSTER_ROLE),
        check=_read_by_name,
    ),
    ResourceRule(
        name="role-without-wildcard",
        requires="A role names what it gives, with no wildcard and nothing gathered from other roles",
        why="A wildcard gives Secrets too, and whatever is added to the cluster tomorrow.",
        fix="name the API groups, the resources and the verbs",
        severity="high",
        controls=("CKV_K8S_49",),
        types=(ROLE, CLUSTER_ROLE),
        check=_no_wildcard,
    ),
    ResourceRule(
        name="role-without-way-up",
        requires="A role gives nothing by which its holder becomes more than it is",
        why="Who may bind roles, act as others or sit in the way of requests reads every Secret, listed or not.",
        fix="take the rule out; such a role is the cluster administrators'",
        severity="high",
        controls=("CKV_K8S_155", "CKV_K8S_156", "CKV_K8S_157", "CKV_K8S_158", "CKV2_K8S_2", "CKV2_K8S_3", "CKV2_K8S_4"),
        types=(ROLE, CLUSTER_ROLE),
        check=_no_way_up,
    ),
    StackRule(
        name="secrets-read-by-the-listed",
        requires="Nobody but the listed subjects may read the Secrets",
        why="Who may read production's password is a decision that a reviewer sees.",
        fix="take the subject out of meetinity-data:access.readers, make the role in this stack, or list either in "
        "policies/environments",
        severity="critical",
        options={
            "subjects": {
                "description": "who may; a ServiceAccount without namespace is the binding's own namespace's",
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "kind": {"enum": ["Group", "User", "ServiceAccount"]},
                        "name": {"type": "string"},
                        "namespace": {"type": "string"},
                    },
                    "required": ["kind", "name"],
                    "additionalProperties": False,
                },
                "default": [],
            },
            "roles": {
                "description": "roles from elsewhere that are known to read no Secret",
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": _NAMED,
                    "required": ["kind", "name"],
                    "additionalProperties": False,
                },
                "default": [{"kind": "ClusterRole", "name": name} for name in _HARMLESS_ROLES],
            },
        },
        types=(ROLE_BINDING, CLUSTER_ROLE_BINDING),
        sees=(ROLE, CLUSTER_ROLE),
        check=_read_by_the_listed,
    ),
)
