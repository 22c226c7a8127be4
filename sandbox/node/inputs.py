"""What a container is given: environment, command line and volumes, resolved as a kubelet resolves them.

Volumes are written when the pod starts and not updated afterwards.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.node.api import Api, Object, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class ConfigError(Exception):
    """A kubelet would keep the container waiting for this, with this reason; the message is what its status says."""

    reason = "CreateContainerConfigError"
    event = "Failed"


class MountError(ConfigError):
    reason = "ContainerCreating"
    event = "FailedMount"


class ImageError(ConfigError):
    reason = "ErrImagePull"


class Sources:
    """The Secrets and ConfigMaps of one namespace, read once each."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._read: dict[tuple[str, str], dict[str, bytes] | None] = {}

    def data(self, kind: str, reference: Mapping[str, Any]) -> dict[str, bytes] | None:
        """Every key of a Secret or ConfigMap; None when it does not exist and need not."""
        name = reference["name"]
        if (kind, name) not in self._read:
            self._read[kind, name] = self._fetch(kind, name)
        data = self._read[kind, name]
        if data is None and not reference.get("optional"):
            raise ConfigError(f'{kind} "{name}" not found')
        return data

    def value(self, kind: str, reference: Mapping[str, Any]) -> bytes | None:
        data = self.data(kind, reference)
        if data is None:
            return None
        if reference["key"] not in data and not reference.get("optional"):
            title = {"secret": "Secret", "configmap": "ConfigMap"}[kind]
            raise ConfigError(f"couldn't find key {reference['key']} in {title} {self._namespace}/{reference['name']}")
        return data.get(reference["key"])

    def token(self, account: str, request: Mapping[str, Any], pod: Object) -> bytes:
        """A ServiceAccount token bound to the pod."""
        bound = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        spec: Object = {"boundObjectRef": bound, "expirationSeconds": request.get("expirationSeconds", 3600)}
        if audience := request.get("audience"):
            spec["audiences"] = [audience]
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        token: str = self._api.request("POST", path, body)["status"]["token"]
        return token.encode()

    def _fetch(self, kind: str, name: str) -> dict[str, bytes] | None:
        try:
            found = self._api.get(f"/api/v1/namespaces/{self._namespace}/{kind}s/{name}")
        except RefusedError as error:
            if error.status == 404:
                return None
            raise ConfigError(f'{kind} "{name}": {error}') from error
        encoded = found.get("data" if kind == "secret" else "binaryData") or {}
        plain = {} if kind == "secret" else found.get("data") or {}
        return {key: base64.b64decode(value) for key, value in encoded.items()} | {
            key: value.encode() for key, value in plain.items()
        }


# Environment and command line


def environment(container: Object, pod: Object, sources: Sources, base: Mapping[str, str]) -> dict[str, str]:
    """The image's variables, then `envFrom`, then `env`; a later one wins and may refer to earlier ones."""
    values = dict(base)
    for source in container.get("envFrom", []):
        for kind, name in (("configmap", "configMapRef"), ("secret", "secretRef")):
            if name in source:
                for key, data in (sources.data(kind, source[name]) or {}).items():
                    values[source.get("prefix", "") + key] = _text(data)
    for variable in container.get("env", []):
        value = _variable(variable, pod, sources)
        if value is not None:
            values[variable["name"]] = expand(value, values) if "valueFrom" not in variable else value
    return values


def _variable(variable: Object, pod: Object, sources: Sources) -> str | None:
    origin = variable.get("valueFrom")
    if origin is None:
        return str(variable.get("value", ""))
    for kind, name in (("configmap", "configMapKeyRef"), ("secret", "secretKeyRef")):
        if name in origin:
            value = sources.value(kind, origin[name])
            return None if value is None else _text(value)
    if "fieldRef" in origin:
        return pod_field(pod, origin["fieldRef"]["fieldPath"])
    raise ConfigError(f"env {variable['name']}: the process node does not resolve {', '.join(origin)}")


def pod_field(pod: Object, path: str) -> str:
    """Look up a downward-API field, `metadata.labels['x']` included."""
    if keyed := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str(pod["metadata"].get(keyed[1], {}).get(keyed[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries: dict[str, str] = pod["metadata"].get(path.rpartition(".")[2], {})
        return "\n".join(f'{key}="{value}"' for key, value in sorted(entries.items()))
    value: Any = pod
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise ConfigError(f"fieldRef {path}: the process node does not know this field")
    return value


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; an unknown name stays as it is, and `$$(NAME)` is the way to write `$(NAME)`."""

    def replace(match: re.Match[str]) -> str:
        if match[0].startswith("$$"):
            return match[0][1:]
        return values.get(match[1], match[0])

    return re.sub(r"\$?\$\(([^()]+)\)", replace, text)


def command_line(container: Object, image_command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    command = container.get("command") or ([] if container.get("args") and not image_command else list(image_command))
    return [expand(part, values) for part in [*command, *container.get("args", [])]]


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


# Volumes


def write_volumes(pod: Object, sources: Sources, directory: Path) -> dict[str, Path]:
    """Make every volume of the pod below `directory`; where each is, by name."""
    made: dict[str, Path] = {}
    for volume in pod["spec"].get("volumes", []):
        name = volume["name"]
        if "hostPath" in volume:
            made[name] = Path(volume["hostPath"]["path"])
            continue
        made[name] = directory / name
        made[name].mkdir(parents=True, exist_ok=True)
        if "emptyDir" in volume:
            continue
        try:
            for path, data in _volume_files(volume, pod, sources):
                target = made[name] / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        except ConfigError as error:
            raise MountError(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
    return made


def _volume_files(volume: Object, pod: Object, sources: Sources) -> Iterator[tuple[str, bytes]]:
    if "projected" in volume:
        for source in volume["projected"]["sources"]:
            yield from _volume_files(source, pod, sources)
    elif "secret" in volume:
        reference = volume["secret"]
        yield from _items("secret", {"name": reference.get("secretName"), **reference}, sources)
    elif "configMap" in volume:
        yield from _items("configmap", volume["configMap"], sources)
    elif "downwardAPI" in volume:
        for item in volume["downwardAPI"].get("items", []):
            yield item["path"], pod_field(pod, item.get("fieldRef", {}).get("fieldPath", "")).encode()
    elif "serviceAccountToken" in volume:
        request = volume["serviceAccountToken"]
        yield request["path"], sources.token(pod["spec"].get("serviceAccountName", "default"), request, pod)
    else:
        kinds = ", ".join(key for key in volume if key != "name")
        raise ConfigError(f"the process node has no volumes of kind {kinds}")


def _items(kind: str, reference: Object, sources: Sources) -> Iterator[tuple[str, bytes]]:
    if "items" not in reference:
        yield from (sources.data(kind, reference) or {}).items()
        return
    for item in reference["items"]:
        value = sources.value(kind, {**reference, "key": item["key"]})
        if value is not None:
            yield item["path"], value


def mounts(container: Object, volumes: Mapping[str, Path], values: Mapping[str, str]) -> list[Object]:
    """Bind mounts for a container's volumeMounts, as sandbox.node.container takes them."""
    found = []
    for mount in container.get("volumeMounts", []):
        source = volumes[mount["name"]]
        if part := mount.get("subPath") or expand(mount.get("subPathExpr", ""), values):
            source = source / part
            if not source.exists():
                source.mkdir(parents=True)
        path = "/" + mount["mountPath"].strip("/")
        found.append({"path": path, "source": str(source), "readOnly": bool(mount.get("readOnly"))})
    return found
