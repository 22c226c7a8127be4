"""What a pipeline stands on, once for each AWS account; docs/ci.md says how it is brought up."""

import sys
from pathlib import Path

# Pulumi puts this directory on the path; the modules are a package, imported from the checkout.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import pulumi  # noqa: E402
import pulumi_aws as aws  # noqa: E402
from pydantic import ValidationError  # noqa: E402

from bootstrap.permissions import AUDIENCE, ISSUER, Stack  # noqa: E402
from bootstrap.roles import StackRoles  # noqa: E402
from bootstrap.settings import Settings  # noqa: E402
from bootstrap.state import State  # noqa: E402

config = pulumi.Config()
given = {"account": config.get("account"), "bucket": config.get("bucket")}
try:
    settings = Settings.model_validate(
        {**given, "stacks": config.get_object("stacks"), "github": config.get_object("github")}
    )
except ValidationError as error:
    wrong = [f"{config.name}:{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    raise pulumi.RunError("the configuration of the bootstrap stack is refused:\n" + "\n".join(wrong)) from None

# Its own key among them: where its state goes once there is a bucket.
state = State("state", bucket=settings.bucket, stacks=[*settings.stacks, "bootstrap"])
provider = (
    settings.github.provider_arn
    or aws.iam.OpenIdConnectProvider("github", url=f"https://{ISSUER}", client_id_lists=[AUDIENCE]).arn
)
roles = {
    name: StackRoles(
        name,
        stack=Stack(name, settings.account, settings.bucket),
        key=state.keys[name],
        provider=provider,
        github=settings.github,
    )
    for name in settings.stacks
}
pulumi.export("backend", pulumi.Output.concat("s3://", state.bucket))
pulumi.export("roles", {name: {"preview": each.preview, "deploy": each.deploy} for name, each in roles.items()})
