"""What a container is given: environment, command line and volumes, resolved as a kubelet resolves them.

Volumes are written when the pod starts and not updated afterwards.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from sandbox.kube_client import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sandbox.kube_client import KubeClient, Object

_KINDS = {"Secret": "secrets", "ConfigMap": "configmaps"}
# Where a container and a volume name the kinds; the ServiceAccount's token comes as a projected volume.
_ENV_FROM = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
_VALUE_FROM = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
_VOLUMES = {"configMap": "ConfigMap", "secret": "Secret"}


class ConfigError(Exception):
    """Why a kubelet keeps a container waiting: `reason` is the state's, the message what status and event say."""

    def __init__(self, message: str, reason: str = "CreateContainerConfigError", event: str = "Failed") -> None:
        super().__init__(message)
        self.reason, self.event = reason, event


class Sources:
    """The objects of a pod's namespace that its containers' inputs come from, read once each."""

    def __init__(self, api: KubeClient, pod: Object) -> None:
        self._api, self._pod = api, pod
        self._root = f"/api/v1/namespaces/{pod['metadata']['namespace']}"
        self._read: dict[tuple[str, str], dict[str, bytes] | None] = {}

    def data(self, kind: str, reference: Mapping[str, Any]) -> dict[str, bytes]:
        """Every key of a Secret or ConfigMap; empty when it does not exist and need not."""
        name = reference.get("name") or reference["secretName"]
        if (kind, name) not in self._read:
            self._read[kind, name] = self._fetch(kind, name)
        data = self._read[kind, name]
        if data is None and not reference.get("optional"):
            raise ConfigError(f'{kind.lower()} "{name}" not found')
        return data or {}

    def value(self, kind: str, reference: Mapping[str, Any], key: str) -> bytes | None:
        data = self.data(kind, reference)
        if key not in data and not reference.get("optional"):
            name = reference.get("name") or reference["secretName"]
            raise ConfigError(f"couldn't find key {key} in {kind} {self._pod['metadata']['namespace']}/{name}")
        return data.get(key)

    def field(self, path: str) -> str:
        """Look up a downward-API field, `metadata.labels['x']` included."""
        keyed = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
        value: Any = self._pod
        for part in ("metadata", keyed[1]) if keyed else path.split("."):
            value = value.get(part, {}) if isinstance(value, dict) else None
        if keyed:
            return str(value.get(keyed[2], ""))
        if not isinstance(value, str):
            raise ConfigError(f"fieldRef {path}: the process node does not know this field")
        return value

    def token(self, request: Mapping[str, Any]) -> bytes:
        """A ServiceAccount token bound to the pod."""
        identity = {key: self._pod["metadata"][key] for key in ("name", "uid")}
        spec: Object = {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", **identity}}
        spec["expirationSeconds"] = request["expirationSeconds"]
        if audience := request.get("audience"):
            spec["audiences"] = [audience]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        account = self._pod["spec"]["serviceAccountName"]
        answer = self._api.request("POST", f"{self._root}/serviceaccounts/{account}/token", body)
        return str(answer["status"]["token"]).encode()

    def _fetch(self, kind: str, name: str) -> dict[str, bytes] | None:
        try:
            found = self._api.get(f"{self._root}/{_KINDS[kind]}/{name}")
        except StatusError as error:
            if error.code == 404:
                return None
            raise ConfigError(f'{kind.lower()} "{name}": {error}') from error
        plain, encoded = ("", "data") if kind == "Secret" else ("data", "binaryData")
        data = {key: base64.b64decode(value) for key, value in (found.get(encoded) or {}).items()}
        return data | {key: value.encode() for key, value in (found.get(plain) or {}).items()}


def environment(container: Object, sources: Sources, base: Mapping[str, str]) -> dict[str, str]:
    """The image's variables, then `envFrom`, then `env`; a later one wins and may refer to earlier ones."""
    values = dict(base)
    for source in container.get("envFrom", []):
        [(kind, reference)] = [(_ENV_FROM[name], source[name]) for name in _ENV_FROM if name in source]
        for key, data in sources.data(kind, reference).items():
            values[source.get("prefix", "") + key] = _text(data)
    for variable in container.get("env", []):
        name, origin = variable["name"], variable.get("valueFrom")
        if origin is None:
            values[name] = expand(variable.get("value", ""), values)
            continue
        [(how, reference)] = origin.items()
        if how == "fieldRef":
            values[name] = sources.field(reference["fieldPath"])
        elif how not in _VALUE_FROM:
            raise ConfigError(f"env {name}: the process node does not resolve {how}")
        elif (value := sources.value(_VALUE_FROM[how], reference, reference["key"])) is not None:
            values[name] = _text(value)
    return values


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; an unknown name stays as it is, and `$$(NAME)` is the way to write `$(NAME)`."""

    def replace(match: re.Match[str]) -> str:
        return match[0][1:] if match[0].startswith("$$") else values.get(match[1], match[0])

    return re.sub(r"\$?\$\(([^()]+)\)", replace, text)


def command_line(container: Object, image_command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    command = container.get("command") or image_command
    return [expand(part, values) for part in [*command, *container.get("args", [])]]


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def write_volumes(pod: Object, sources: Sources, directory: Path) -> dict[str, Path]:
    """Make every volume of the pod below `directory`; where each is, by name."""
    made = {volume["name"]: directory / volume["name"] for volume in pod["spec"].get("volumes", [])}
    for volume in pod["spec"].get("volumes", []):
        made[volume["name"]].mkdir(parents=True, exist_ok=True)
        try:
            for path, data in _files(volume, sources):
                target = made[volume["name"]] / path
                target.parent.mkdir(parents=True, exist_ok=True)
                # Whole: the pod's other containers may be reading it.
                (whole := directory / f".{volume['name']}").write_bytes(data)
                whole.replace(target)
        except ConfigError as error:
            message = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
            raise ConfigError(message, "ContainerCreating", "FailedMount") from error
    return made


def _files(volume: Object, sources: Sources) -> Iterator[tuple[str, bytes]]:
    [(how, content)] = [(key, value) for key, value in volume.items() if key != "name"]
    if how == "projected":
        for source in content["sources"]:
            yield from _files(source, sources)
    elif how == "serviceAccountToken":
        yield content["path"], sources.token(content)
    elif how == "downwardAPI":
        for item in content.get("items", []):
            yield item["path"], sources.field(item.get("fieldRef", {}).get("fieldPath", "")).encode()
    elif how in _VOLUMES:
        paths = {item["key"]: item["path"] for item in content.get("items", [])}
        for key in paths or sources.data(_VOLUMES[how], content):
            if (value := sources.value(_VOLUMES[how], content, key)) is not None:
                yield paths.get(key, key), value
    elif how != "emptyDir":
        raise ConfigError(f"the process node has no volumes of kind {how}")


def mounts(container: Object, volumes: Mapping[str, Path]) -> list[Object]:
    """Bind mounts for a container's volumeMounts, as sandbox.node.container takes them."""
    found = []
    for mount in container.get("volumeMounts", []):
        source = volumes[mount["name"]] / mount.get("subPath", "")
        if not source.exists():
            source.mkdir(parents=True)
        path = "/" + mount["mountPath"].strip("/")
        found.append({"path": path, "source": str(source), "readOnly": bool(mount.get("readOnly"))})
    return found
