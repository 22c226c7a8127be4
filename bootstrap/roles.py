"""The roles that a stack's workflows take on."""

from __future__ import annotations

import json

import pulumi
import pulumi_aws as aws

from bootstrap import permissions
from bootstrap.settings import GitHub

PREVIEW_SECONDS = 3600
DEPLOY_SECONDS = 14400
"""As long as the drill's workflow may run; a major upgrade can take more than one hour."""


class StackRoles(pulumi.ComponentResource):
    """`meetinity-data-STACK-preview`, which looks, and `meetinity-data-STACK-deploy`, which may do the rest as well.

    Each is for the jobs of one environment of one repository: `preview-STACK`, and `STACK`. What they may do stands in
    managed policies, which have room for it (6,144 characters each, without blanks).
    """

    preview: pulumi.Output[str]
    deploy: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        stack: permissions.Stack,
        key: pulumi.Input[str],
        provider: pulumi.Input[str],
        github: GitHub,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("meetinity:data:StackRoles", name, None, opts)
        self._stack, self._github = stack, github
        self._issuer = pulumi.Output.from_input(provider)
        look = self._policy(
            f"{name}-look", pulumi.Output.from_input(key).apply(lambda arn: permissions.look(stack, arn))
        )
        around = self._policy(f"{name}-around", permissions.change_around(stack))
        stores = self._policy(f"{name}-stores", permissions.change_stores(stack))
        backups = self._policy(f"{name}-backups", permissions.change_backups(stack))
        self.preview = self._role(f"{name}-preview", f"preview-{stack.name}", PREVIEW_SECONDS, {"look": look})
        changes = {"around": around, "stores": stores, "backups": backups}
        self.deploy = self._role(f"{name}-deploy", stack.name, DEPLOY_SECONDS, {"look": look, **changes})
        self.register_outputs({"preview": self.preview, "deploy": self.deploy})

    def _policy(self, name: str, document: pulumi.Input[permissions.Document]) -> aws.iam.Policy:
        made = pulumi.Output.from_input(document).apply(lambda it: json.dumps(it, separators=(",", ":")))
        return aws.iam.Policy(
            name, name=f"{permissions.PROJECT}-{name}", policy=made, opts=pulumi.ResourceOptions(parent=self)
        )

    def _role(
        self, name: str, environment: str, seconds: int, policies: dict[str, aws.iam.Policy]
    ) -> pulumi.Output[str]:
        def trusted(arn: str) -> str:
            return json.dumps(permissions.trust(arn, self._github.subjects(environment)))

        role = aws.iam.Role(
            name,
            name=f"{permissions.PROJECT}-{name}",
            description=f"Jobs of {self._github.repository} in the environment {environment}",
            assume_role_policy=self._issuer.apply(trusted),
            max_session_duration=seconds,
            opts=pulumi.ResourceOptions(parent=self),
        )
        for kind, policy in policies.items():
            aws.iam.RolePolicyAttachment(
                f"{name}-{kind}", role=role.name, policy_arn=policy.arn, opts=pulumi.ResourceOptions(parent=role)
            )
        return role.arn
