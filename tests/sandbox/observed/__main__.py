"""A Pulumi program that does what program.json says, so that tests can change it from run to run."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pulumi

HERE = Path(os.environ["OBSERVED"])
PROGRAM = json.loads((HERE / "program.json").read_text())


def hook(name: str, *, fails: str = "", on_error: bool = False, retries: int = 0) -> Any:
    """A hook that writes down what it was given, then fails, or asks for another try, if it is to."""

    def run(args: Any) -> bool | None:
        shown = ("id", "name", "old_inputs", "new_inputs", "new_outputs", "errors")
        seen = {each: getattr(args, each, None) for each in shown}
        with (HERE / "hooks.jsonl").open("a") as file:
            file.write(json.dumps({"hook": name, **seen}, default=str) + "\n")
        if fails:
            raise RuntimeError(fails)
        return len(args.errors) <= retries if on_error else None

    if on_error:
        return pulumi.ErrorHook(name, run)
    return pulumi.ResourceHook(name, run, pulumi.ResourceHookOptions(on_dry_run=True))


hooks = {name: hook(name, **options) for name, options in PROGRAM["hooks"].items()}
provider = pulumi.ProviderResource("kubernetes", "provider", PROGRAM["provider"])

for name, each in PROGRAM["resources"].items():
    version, kind = each["type"].removeprefix("kubernetes:").removeprefix("core/").rsplit(":", 1)
    # The SDK's classes say both; so do we.
    properties, options = {"apiVersion": version, "kind": kind, **each["properties"]}, each.get("options", {})
    if "stringData" in properties:
        properties["stringData"] = pulumi.Output.secret(properties["stringData"])
    bound = {when: [hooks[name]] for when, name in options.pop("hooks", {}).items()}
    resource_options = pulumi.ResourceOptions(
        provider=provider,
        additional_secret_outputs=["data", "stringData"] if "stringData" in properties else None,
        hooks=pulumi.ResourceHookBinding(**bound) if bound else None,
        **options,
    )
    pulumi.CustomResource(each["type"], name, properties, resource_options)

if PROGRAM["interrupted"]:
    os.kill(os.getpid(), signal.SIGINT)
