"""Stand-in for the kubernetes provider, over the real API.

It does what pulumi-kubernetes 4.34 was seen to do: a plain create, server-side apply for updates under a manager of
its own, dry runs in previews, Jobs awaited, deletion in the foreground.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from typing import TYPE_CHECKING, Any

from sandbox.kube_client import KubeClient, StatusError, UnreachableError, active, load
from sandbox.providers import readiness, values
from sandbox.providers.base import (
    Asked,
    Code,
    Difference,
    Invalid,
    PartialError,
    Provider,
    RefusedError,
    from_json,
    serve,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc
    from pulumi.runtime.proto import provider_pb2

    from sandbox.kube_client import Object
    from sandbox.providers.values import Properties

_AUTONAMED, _REPLACE_UNREADY = "pulumi.com/autonamed", "pulumi.com/replaceUnready"
_PATCH_FORCE, _TIMEOUT = "pulumi.com/patchForce", "pulumi.com/timeoutSeconds"
_PROPAGATION = "pulumi.com/deletionPropagationPolicy"
_CREATOR = "pulumi-kubernetes"  # the manager of a plain create; the first apply takes its fields over
_CONFLICT_HELP = (
    "https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply/"
    "#handle-field-conflicts-on-existing-resources"
)
_EXISTS = """

The resource already exists in the cluster. It can be
  - kept under another resource's name: use an alias, or deleteBeforeReplace if it is to be replaced;
  - changed in part without being owned: use a Patch resource (such as SecretPatch);
  - adopted: use `pulumi import`;
  - taken over by creating it: set upsertExistingObjects on the provider."""
_UNREACHABLE = "configured Kubernetes cluster is unreachable"
_OFFER = (
    ". If the cluster was deleted, you can remove this resource from Pulumi state by rerunning the operation with the"
    ' PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"'
)
_READ_ONLY = (
    "creationTimestamp deletionGracePeriodSeconds deletionTimestamp generation managedFields resourceVersion uid"
)
# Kinds whose deletion is not waited for either when `skipAwait` says so (pulumi-kubernetes #3154).
_SKIPS_DELETION = ("DaemonSet", "Deployment", "Job", "Namespace", "Pod", "ReplicationController", "StatefulSet")
# Kind → the fields whose change forces replacement, besides name and namespace. A Secret's and a ConfigMap's data
# belong here too, unless the provider's settings call them mutable.
_FORCE_NEW = {
    "ClusterRoleBinding": "roleRef",
    "DaemonSet": "spec.selector",
    "Deployment": "spec.selector",
    "Job": "spec.completions spec.parallelism spec.selector spec.template",
    "PersistentVolumeClaim": "spec.accessModes spec.selector spec.storageClassName spec.volumeName",
    "ResourceQuota": "spec.scopes",
    "RoleBinding": "roleRef",
    "Secret": "type",
    "Service": "spec.clusterIP",
    "StatefulSet": "spec.podManagementPolicy spec.revisionHistoryLimit spec.selector spec.serviceName"
    " spec.volumeClaimTemplates",
    "StorageClass": "parameters provisioner",
}


class Kubernetes(Provider):
    name = "kubernetes"
    settings = """cluster clusterIdentifier context deleteUnreachable enableConfigMapMutable enablePatchForce
        enableSecretMutable enableServerSideApply kubeconfig suppressDeprecationWarnings
        suppressHelmHookWarnings upsertExistingObjects"""

    def __init__(self) -> None:
        super().__init__()
        self.given: Properties = {}
        self.unreachable = ""
        self._cluster: KubeClient | None = None

    # The provider resource.

    def configure(self, given: Properties) -> None:
        self.given = given
        if not self.setting("enableServerSideApply", default=True):
            raise RefusedError("enableServerSideApply=false is not supported by the sandbox", Code.INVALID_ARGUMENT)
        try:
            self._cluster = KubeClient(*_active(given))
            self._cluster.probe()
        except UnreachableError as error:
            self.lost(error)

    def setting(self, name: str, *, default: bool = False) -> bool:
        value = from_json(self.given.get(name))
        return default if value is None else bool(value)

    def lost(self, error: UnreachableError) -> None:
        """Take note that there is no way to the cluster, and say so once."""
        if not self.unreachable:
            self.unreachable = f"unable to load schema information from the API server: {error}"
            self.log(f"{_UNREACHABLE}: {self.unreachable}", warning=True)

    @property
    def cluster(self) -> KubeClient:
        if self._cluster is None or self.unreachable:
            raise RefusedError(f"{_UNREACHABLE}: {self.unreachable}", Code.UNAVAILABLE)
        return self._cluster

    def diff_configuration(self, olds: Properties, news: Properties) -> Difference:
        """Another cluster means other objects: told by clusterIdentifier or, failing that, by the kubeconfig."""
        found = super().diff_configuration(olds, news)
        before, after = olds.get("clusterIdentifier"), news.get("clusterIdentifier")
        identity = ("kubeconfig", "context", "cluster")
        changed = [name for name in identity if olds.get(name) != news.get(name)]
        if before and before == after:
            found.replaces = []
        elif before and after:
            found.replaces = ["clusterIdentifier"]
        elif any(news.get(name) == values.UNKNOWN for name in identity):
            found.replaces = [name for name in identity if news.get(name) == values.UNKNOWN]
        elif changed and _active(olds)[0] != _active(news)[0]:
            found.replaces = changed
        return found

    # Resources.

    def explain(self, error: Exception) -> tuple[grpc.StatusCode, str]:
        if isinstance(error, UnreachableError):
            return Code.UNAVAILABLE, f"{_UNREACHABLE}: {error}"
        if isinstance(error, StatusError):
            return (Code.INTERNAL if error.code >= 500 else Code.FAILED_PRECONDITION), str(error)
        return super().explain(error)

    def check(self, asked: Asked) -> tuple[Properties, list[Invalid]]:
        module, kind = asked.type.split(":")[1:]
        if kind.endswith(("List", "Patch")) or module.startswith(("helm.sh", "yaml", "kustomize")):
            return asked.news, [Invalid("", f"type {asked.type!r} is not supported by the sandbox")]
        inputs = {"apiVersion": module.removeprefix("core/"), "kind": kind, **asked.news}
        metadata = inputs.get("metadata") or {}
        if isinstance(metadata, dict) and not values.is_secret(metadata):
            metadata = {name: value for name, value in metadata.items() if name not in _READ_ONLY.split()}
            if "generateName" in metadata and "name" not in metadata:
                reason = "the `.metadata.generateName` field is not supported in Server-Side Apply mode"
                return inputs, [Invalid("metadata.generateName", reason)]
            if not metadata.get("name"):
                was = values.plain(asked.olds.get("metadata") or {})
                suffix = hashlib.sha256(asked.seed + asked.urn.encode()).hexdigest()[:8]
                kept = was.get("name") if _annotation(was, _AUTONAMED) == "true" else None
                metadata["name"] = kept or f"{asked.name}-{suffix}"
                metadata["annotations"] = {**(metadata.get("annotations") or {}), _AUTONAMED: "true"}
            inputs["metadata"] = metadata
        return _with_secret_data(inputs) if kind == "Secret" else inputs, []

    def diff(self, asked: Asked) -> Difference:
        """What the program wants against what it wanted last, or what Read found instead (see `_refreshed`)."""
        old, new = (_in_namespace(values.plain(side)) for side in (asked.olds.get("__inputs", {}), asked.news))
        kind, metadata, found = new["kind"], new["metadata"], Difference()
        forced = ["metadata.name", "metadata.namespace", *_FORCE_NEW.get(kind, "").split()]
        mutable = {"Secret": "enableSecretMutable", "ConfigMap": "enableConfigMapMutable"}
        if kind in mutable and (new.get("immutable") or not self.setting(mutable[kind])):
            forced += ["data", "stringData", "binaryData"]
        for path, how in values.changes(old, new):
            if not values.covers(asked.ignored, path):
                found.changes[path] = how
                found.replaces += [path] if values.covers(forced, path) else []
        if kind == "Job" and _annotation(metadata, _REPLACE_UNREADY) == "true" and self.is_unready(asked):
            found.replaces.append(f'metadata.annotations["{_REPLACE_UNREADY}"]')
        live = values.plain(asked.olds.get("metadata") or {})
        same = all(metadata.get(each) == live.get(each, metadata.get(each)) for each in ("name", "namespace"))
        found.delete_first = same and _annotation(metadata, _AUTONAMED) != "true"
        return found

    def on_diff(self, request: Any) -> provider_pb2.DiffResponse:
        """The real provider names no top-level properties beside the detailed differences."""
        answer = super().on_diff(request)
        answer.ClearField("diffs")
        return answer

    def is_unready(self, asked: Asked) -> bool:
        if self.unreachable:
            self.log("Cluster is unreachable, skipping replaceUnready check", urn=asked.urn, warning=True)
            return False
        try:
            return not readiness.job(self.live(values.plain(asked.olds))).ready
        except (StatusError, UnreachableError):
            return False

    def create(self, asked: Asked) -> tuple[str, Properties]:
        new = values.plain(asked.news)
        if asked.preview and (self.unreachable or values.has_unknown(new)):
            return "", asked.news
        manager = f"{_CREATOR}-{os.urandom(4).hex()}"
        try:
            made = self.post(asked, new, manager)
        except UnreachableError as error:
            return self.echo(asked, error)
        except StatusError as error:
            echo = ("NotFound", "NoMatch", "AlreadyExists", "Forbidden")
            if asked.preview and error.reason in echo:
                return "", asked.news
            message = f"{_not_created(asked)}: {error}" + (_EXISTS if error.reason == "AlreadyExists" else "")
            raise RefusedError(message, self.explain(error)[0]) from error
        if asked.preview:
            made.pop("status", None)
            return "", _checkpoint(made, asked.news, asked.news, manager)
        what = f'resource "{asked.urn}" was successfully created, but the Kubernetes API server reported that it failed'
        return _id(made), self.ready(asked, made, manager, f"{what} to fully initialize or become live")

    def echo(self, asked: Asked, error: UnreachableError) -> tuple[str, Properties]:
        """A preview without a cluster says what the program says; anything else fails."""
        if not asked.preview:
            raise error
        self.lost(error)
        return "", asked.news

    def post(self, asked: Asked, new: Object, manager: str) -> Object:
        """Create it; a namespace or kind that is not there yet may be on its way."""
        dry = {"dryRun": "All"} if asked.preview else {}
        for attempt in range(6):
            try:
                path = self.cluster.path(new["apiVersion"], new["kind"], new["metadata"].get("namespace", ""))
                if self.setting("upsertExistingObjects"):
                    return self.apply(new, manager, force=_annotation(new["metadata"], _PATCH_FORCE) == "true", **dry)
                return self.cluster.request("POST", path, new, fieldManager=_CREATOR, fieldValidation="Strict", **dry)
            except StatusError as error:
                self.log(f"Retry #{attempt}; creation failed: {error}", urn=asked.urn, status=True)
                if asked.preview or attempt == 5 or error.reason not in ("NotFound", "NoMatch"):
                    raise
                self.pause(0.1 * 2**attempt)
        raise AssertionError

    def read(self, asked: Asked) -> tuple[str, Properties, Properties] | None:
        if self.unreachable:
            if self.deletes_unreachable():
                return None
            raise RefusedError(f"failed to read resource state due to unreachable cluster{_OFFER}", Code.UNAVAILABLE)
        olds, inputs = values.plain(asked.olds), values.plain(asked.inputs)
        namespace, _, name = asked.id.rpartition("/")
        module, kind = asked.type.split(":")[1:]
        version = inputs.get("apiVersion") or module.removeprefix("core/")
        live = self.find({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}})
        if live is None:
            return None
        if asked.olds:
            found = _refreshed(inputs, olds, live)
        else:
            metadata = {key: value for key, value in live["metadata"].items() if key not in _READ_ONLY.split()}
            found = {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}
        manager = olds.get("__fieldManager") or f"{_CREATOR}-{os.urandom(4).hex()}"
        outputs, found = _checkpoint(live, found, asked.inputs, manager), _marked(found, asked.inputs)
        if asked.olds and kind == "Job" and _annotation(live["metadata"], readiness.SKIP_AWAIT) != "true":
            done, _, errors = readiness.job(live)
            if not done:
                raise PartialError(asked.id, outputs, [_failed(live), *errors], found)
        return asked.id, found, outputs

    def update(self, asked: Asked) -> Properties:
        new, manager = values.plain(asked.news), values.plain(asked.olds.get("__fieldManager", _CREATOR))
        if asked.preview and (self.unreachable or values.has_unknown(new)):
            return asked.news
        dry = {"dryRun": "All"} if asked.preview else {}
        try:
            live = self.live(values.plain(asked.olds))
        except UnreachableError as error:
            return self.echo(asked, error)[1]
        except StatusError as error:
            raise RefusedError(f'update of resource "{asked.urn}" failed: {error}', self.explain(error)[0]) from error
        what = f'the Kubernetes API server reported that "{_id(live)}" failed to fully initialize or become live'
        try:
            owners = [each for each in live["metadata"].get("managedFields", []) if _ours(each)]
            if owners and not asked.preview:
                live = self.take_over(live, owners, manager)
            force = self.setting("enablePatchForce") or _annotation(new["metadata"], _PATCH_FORCE) == "true"
            mine = any(each["manager"] == _CREATOR for each in owners)
            body = _keeping(new, live, asked.ignored, manager)
            made = self.apply(body, manager, force=force or (asked.preview and mine), **dry)
        except StatusError as error:
            if asked.preview and error.reason == "Forbidden":
                return asked.news
            reason = str(error)
            if error.reason == "Conflict":
                reason = f"""server-side apply field conflict detected, see {_CONFLICT_HELP} for troubleshooting help
The resource managed by field manager "{manager}" had an apply conflict: {error}"""
            # The recorded inputs stay: what could not be applied is a difference next time, too.
            state = _checkpoint(live, asked.olds.get("__inputs", {}), asked.olds.get("__inputs", {}), manager)
            raise PartialError(_id(live), state, [f"{what}: {reason}"]) from error
        if asked.preview:
            return _checkpoint(made, asked.news, asked.news, manager)
        return self.ready(asked, made, manager, what)

    def delete(self, asked: Asked) -> None:
        if self.unreachable:
            self.log(f"{_UNREACHABLE}: {self.unreachable}", urn=asked.urn, warning=True)
            if self.deletes_unreachable():
                return
            raise RefusedError(f"{_UNREACHABLE}{_OFFER}", Code.UNAVAILABLE)
        old, manager = values.plain(asked.olds), values.plain(asked.olds.get("__fieldManager", _CREATOR))
        metadata = old.get("__inputs", old).get("metadata", {})
        policy = (_annotation(metadata, _PROPAGATION) or "foreground").title()
        try:
            body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy}
            self.cluster.request("DELETE", self.path(old), body)
        except StatusError as error:
            if error.reason in ("NotFound", "NoMatch"):
                return
            raise
        if _annotation(metadata, readiness.SKIP_AWAIT) == "true" and old["kind"] in _SKIPS_DELETION:
            return
        seen, errors = self.wait(asked, old, readiness.absence(old))
        if errors:
            raise PartialError(asked.id, _checkpoint(seen, old.get("__inputs", {}), asked.olds, manager), errors)

    # How it is done.

    def path(self, thing: Object) -> str:
        metadata = thing["metadata"]
        return self.cluster.path(thing["apiVersion"], thing["kind"], metadata.get("namespace", ""), metadata["name"])

    def live(self, thing: Object) -> Object:
        return self.cluster.get(self.path(thing))

    def find(self, thing: Object) -> Object | None:
        try:
            return self.live(thing)
        except StatusError as error:
            if error.reason in ("NotFound", "NoMatch"):
                return None
            raise

    def apply(self, thing: Object, manager: str, *, force: bool, **query: str) -> Object:
        query |= {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        return self.cluster.request("PATCH", self.path(thing), thing, "application/apply-patch+yaml", **query)

    def take_over(self, live: Object, owners: list[Object], manager: str) -> Object:
        """Make the fields of a plain create and of kubectl this manager's, so that applying them is no conflict."""
        fields: Object = {}
        for each in [*owners, *(each for each in live["metadata"]["managedFields"] if each["manager"] == manager)]:
            _merge(fields, each.get("fieldsV1", {}))
        kept = [each for each in live["metadata"]["managedFields"] if not _ours(each) and each["manager"] != manager]
        mine = {**owners[0], "manager": manager, "operation": "Apply", "fieldsV1": fields}
        patch = [
            {"op": "replace", "path": "/metadata/managedFields", "value": [*kept, mine]},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
        ]
        return self.cluster.request("PATCH", self.path(live), patch, "application/json-patch+json")

    def ready(self, asked: Asked, made: Object, manager: str, what: str) -> Properties:
        """The state of an object once it is as ready as its kind, or its annotations, ask for."""
        try:
            wait = readiness.wait_for(made)
        except ValueError as error:
            raise RefusedError(f"{_not_created(asked)}: {error}", Code.INVALID_ARGUMENT) from error
        seen, errors = self.wait(asked, made, wait) if wait else (made, [])
        state = _checkpoint(seen, asked.news, asked.news, manager)
        if errors:
            raise PartialError(_id(made), state, [f"{what}: {errors[0]}", *errors[1:]])
        return state

    def wait(self, asked: Asked, thing: Object, wait: readiness.Wait) -> tuple[Object, list[str]]:
        """How the object was seen last, and what went wrong, if anything did.

        It is looked for until time is up, whatever becomes of the API server and of it: so do real informers.
        """
        deadline = time.monotonic() + (asked.timeout or float(_annotation(thing["metadata"], _TIMEOUT) or 600))
        seen, live, said = thing, thing, ""
        while True:
            ready, line, errors = wait.judge(live)
            seen = live or seen
            if ready or errors:
                self.log("", urn=asked.urn, status=True)
                return seen, [_failed(seen), *errors] if errors else []
            if line != said:
                self.log(line, urn=asked.urn, status=True)
                said = line
            if time.monotonic() > deadline:
                return seen, [wait.late]
            try:
                self.pause(0.1)
                live = self.find(thing) or ({} if wait.until_gone else seen)
            except RefusedError:
                return seen, [f'Resource operation was cancelled for "{seen["metadata"]["name"]}"']
            except (UnreachableError, StatusError) as error:
                self.log(f"Waiting for the API server: {error}", urn=asked.urn, status=True)

    def deletes_unreachable(self) -> bool:
        return self.setting("deleteUnreachable") or os.environ.get("PULUMI_K8S_DELETE_UNREACHABLE") == "true"


def _active(given: Properties) -> tuple[Object, Object]:
    return active(load(given.get("kubeconfig")), given.get("context") or "", given.get("cluster") or "")


def _annotation(metadata: Object, name: str) -> str:
    return str(values.plain((metadata.get("annotations") or {}).get(name, "")))


def _id(live: Object) -> str:
    metadata = live["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def _failed(live: Object) -> str:
    return f"Resource '{live['metadata']['name']}' was created but failed to initialize"


def _not_created(asked: Asked) -> str:
    return f'resource "{asked.urn}" was not successfully created by the Kubernetes API server'


def _in_namespace(inputs: Object) -> Object:
    """With the namespace that goes without saying, so that saying it is no difference."""
    return {**inputs, "metadata": {"namespace": "default", **(inputs.get("metadata") or {})}}


def _with_secret_data(inputs: Properties) -> Properties:
    """A Secret's `stringData` as the API server will store it, base64 in `data`; all of it one secret."""
    text, data = (values.plain(inputs.get(name)) or {} for name in ("stringData", "data"))
    if isinstance(text, dict) and isinstance(data, dict):
        encoded = {
            name: value if value == values.UNKNOWN else base64.b64encode(str(value).encode()).decode()
            for name, value in text.items()
        }
        inputs = {name: value for name, value in inputs.items() if name not in ("stringData", "data")}
        return {**inputs, "data": values.secret({**data, **encoded})} if text or data else inputs
    return {**inputs, **{name: values.secret(inputs[name]) for name in ("stringData", "data") if name in inputs}}


def _checkpoint(live: Object, inputs: Properties, like: Properties, manager: str) -> Properties:
    """The state of an object: as it lives, with the inputs it was made from."""
    plain = values.plain(inputs)
    return {
        **_marked(live, like),
        "__inputs": _marked(plain, like),
        "__initialApiVersion": plain.get("apiVersion", live["apiVersion"]),
        "__fieldManager": manager,
    }


def _marked(thing: Any, like: Any) -> Any:
    """`thing` with each part secret that is so in `like`; a Secret's data always is."""
    if not isinstance(thing, dict):
        return values.secret(thing) if values.has_secret(like) else thing
    if values.is_secret(like):
        return values.secret(thing)
    guide = like if isinstance(like, dict) else {}
    marked = {name: _marked(value, guide.get(name)) for name, value in thing.items()}
    for name in ("data", "stringData") if thing.get("kind") == "Secret" else ():
        if name in marked:
            marked[name] = values.secret(marked[name])
    return marked


def _refreshed(inputs: Any, old: Any, live: Any) -> Any:
    """Inputs as they would have to be to give `live`: each stands where the object still is as it was after them."""
    if live == old:
        return inputs
    if isinstance(inputs, dict) and isinstance(live, dict):
        before = old if isinstance(old, dict) else {}
        return {key: _refreshed(value, before.get(key), live[key]) for key, value in inputs.items() if key in live}
    if (
        isinstance(inputs, list)
        and isinstance(live, list)
        and isinstance(old, list)
        and len(inputs) == len(live) == len(old)
    ):
        return [_refreshed(*items) for items in zip(inputs, old, live, strict=True)]
    return live


def _ours(entry: Object) -> bool:
    """Whether the first apply takes these fields over: those of a plain create, and of kubectl."""
    if entry.get("subresource"):
        return False
    name, operation = entry["manager"], entry["operation"]
    updates = (_CREATOR, "pulumi-resource-kubernetes", "kubectl", "before-first-apply")
    return bool(name.startswith("kubectl") if operation == "Apply" else name.startswith(updates))


def _merge(into: Object, fields: Object) -> None:
    for name, inner in fields.items():
        _merge(into.setdefault(name, {}), inner)


def _keeping(new: Object, live: Object, ignored: Sequence[str], manager: str) -> Object:
    """`new` with the live value of each ignored path, and without those that only others own."""
    for path in ignored:
        names = path.split(".")
        *parents, last = names
        target, source = new, live
        for name in parents:
            target, source = target.get(name, {}), source.get(name, {})
        entries = live["metadata"].get("managedFields", [])
        owners = {each["manager"] for each in entries if _owns(each.get("fieldsV1", {}), names)}
        if owners and manager not in owners:
            target.pop(last, None)
        elif last in source:
            target[last] = source[last]
    return new


def _owns(fields: Object, names: Sequence[str]) -> bool:
    return not names or (f"f:{names[0]}" in fields and _owns(fields[f"f:{names[0]}"], names[1:]))


if __name__ == "__main__":
    serve(Kubernetes())
