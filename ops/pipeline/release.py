"""`release`: the services' Helm release, with what the stack tells their chart."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click

from ops import child
from ops.errors import OpsError
from ops.options import pass_stack
from ops.stack import Stack


@click.command()
@click.argument("chart")
@click.option("--version", "version", required=True, help="The chart's: a release never takes whatever is newest.")
@click.option("--name", default="meetinity", show_default=True, help="The release.")
@click.option("--timeout", default="10m", show_default=True, help="For the services to be ready, as Helm takes it.")
@pass_stack
def release(stack: Stack, chart: str, version: str, name: str, timeout: str) -> None:
    """`helm upgrade --install` CHART into the stack's namespace; undone when the services do not come up.

    The values are the output `helm_values`: names of Secrets and of their keys, and checksums, nothing secret.
    """
    if not (chart and version):
        raise OpsError("CHART or --version is empty: Helm would take whatever is newest")
    outputs = stack.secret_outputs  # the way into the cluster may be one
    if "kubernetes" not in outputs:
        raise OpsError(f"stack {stack.name} has no output `kubernetes`: run `pulumi up` first")
    way = outputs["kubernetes"]
    command = ["helm", "upgrade", "--install", name, chart, "--version", version, "--namespace", way["namespace"]]
    with tempfile.TemporaryDirectory() as directory:  # nobody else can read it
        values, kubeconfig = Path(directory) / "values.json", Path(directory) / "kubeconfig"
        values.write_text(json.dumps(outputs["helm_values"]))
        command += ["--values", str(values), "--atomic", "--timeout", timeout]
        if way.get("kubeconfig"):
            kubeconfig.write_text(way["kubeconfig"])
            command += ["--kubeconfig", str(kubeconfig)]
        elif way.get("context"):
            command += ["--kube-context", way["context"]]
        try:
            code = child.run(command).returncode
        except FileNotFoundError:
            raise OpsError("there is no `helm` on the PATH") from None
    if code:
        raise OpsError(
            f"release {name} of {stack.name} failed as shown above; Helm goes back to the one before, if there is. The"
            " stack is updated and its schemas are migrated"
        )
