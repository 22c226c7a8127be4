"""AWS Backup: a vault, a plan with one rule, the role it acts with, and what it backs up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

# IAM User Guide, AWS managed policies of AWS Backup: what backing up needs, and what restoring needs.
SERVICE_POLICIES = {
    "backup": "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup",
    "restore": "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForRestores",
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "backup.amazonaws.com"}},
    ],
}


@dataclass(frozen=True, kw_only=True)
class VaultLock:
    """Keeps recovery points from being deleted before their time.

    With `changeable_for_days` (3 or more) it is in compliance mode: after so many days nobody can lift it, AWS
    included. Without, in governance mode, it goes when this resource goes.
    """

    changeable_for_days: int | None = None
    min_retention_days: int | None = None
    """A job that keeps its points for less fails; so does one above `max_retention_days`."""
    max_retention_days: int | None = None


@dataclass(frozen=True, kw_only=True)
class CopyAction:
    """A second copy of every recovery point, in a vault of another region or account that exists already."""

    vault_arn: pulumi.Input[str]
    delete_after: int
    """Days."""
    cold_storage_after: int | None = None
    """Days; None keeps the copies warm."""


@dataclass(frozen=True, kw_only=True)
class BackupPlanArgs:
    """What a `BackupPlan` is made of."""

    vault_name: str
    plan_name: str
    """At most 45 characters: its rule is called the same, with `-rule` behind."""
    role_name: str
    selection_name: str
    """Selections by tag are called the same, with `-by-tag` behind."""
    resource_arns: Sequence[pulumi.Input[str]] = ()
    """What is backed up. AWS Backup does not know ElastiCache."""
    generation_arns: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Likewise, each in a selection of its own, called the same with `-of-KEY` behind: AWS changes none in place, so
    that one more or less would leave all of them without backups for a moment."""
    selection_tags: Mapping[str, str] = field(default_factory=dict)
    """Whatever carries one of these tags is backed up as well."""
    tags: Mapping[str, str] = field(default_factory=dict)

    kms_key_id: pulumi.Input[str] | None = None
    """Encrypts the vault; None for AWS's own `aws/backup` key."""
    schedule: str = "cron(0 3 * * ? *)"
    """UTC."""
    start_window: int = 60
    """Minutes that a backup may wait before it begins, at least 60."""
    completion_window: int = 360
    """Minutes in which it must be done, at least 60 more than `start_window`."""
    delete_after: int = 35
    """Days."""
    cold_storage_after: int | None = None
    """Days; None keeps recovery points warm, as Aurora's always are."""
    enable_continuous_backup: bool = False
    """Point-in-time recovery by AWS Backup, for at most 35 days. It then sets the retention and the backup window of an
    Aurora cluster itself: create the cluster with `backups_managed_by_aws_backup`."""
    vault_lock: VaultLock | None = None
    copy_to: CopyAction | None = None
    protect: bool = True
    """Pulumi's `protect` on the vault. AWS refuses to delete one that still holds recovery points."""


class BackupPlan(pulumi.ComponentResource):
    """Scheduled backups in a vault, out of reach of whoever can only delete the stores.

    Creates the vault (locked if asked for), a plan with one rule, a role with AWS's own policies for backup and
    restore, and selections: one by ARN, one for each generation and one by tag, as far as each names anything.
    """

    vault_arn: pulumi.Output[str]
    vault_name: pulumi.Output[str]
    plan_id: pulumi.Output[str]

    def __init__(self, name: str, args: BackupPlanArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("meetinity:data:BackupPlan", name, {}, opts)
        self._name = name
        self._args = args
        self._children = pulumi.ResourceOptions(parent=self)

        vault = self._vault()
        plan = self._plan(vault)
        self._selections(plan, *self._role())

        self.vault_arn = vault.arn
        self.vault_name = vault.name
        self.plan_id = plan.id
        self.register_outputs({"vaultArn": self.vault_arn, "vaultName": self.vault_name, "planId": self.plan_id})

    def _tags(self, physical_name: str) -> dict[str, str]:
        return {**self._args.tags, "Name": physical_name}

    def _vault(self) -> aws.backup.Vault:
        args = self._args
        vault = aws.backup.Vault(
            f"{self._name}-vault",
            name=args.vault_name,
            kms_key_arn=args.kms_key_id,
            tags=self._tags(args.vault_name),
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        if args.vault_lock:
            aws.backup.VaultLockConfiguration(
                f"{self._name}-vault-lock",
                backup_vault_name=vault.name,
                changeable_for_days=args.vault_lock.changeable_for_days,
                min_retention_days=args.vault_lock.min_retention_days,
                max_retention_days=args.vault_lock.max_retention_days,
                opts=self._children,
            )
        return vault

    def _plan(self, vault: aws.backup.Vault) -> aws.backup.Plan:
        args = self._args
        copies = (
            [
                aws.backup.PlanRuleCopyActionArgs(
                    destination_vault_arn=args.copy_to.vault_arn,
                    lifecycle=aws.backup.PlanRuleCopyActionLifecycleArgs(
                        cold_storage_after=args.copy_to.cold_storage_after, delete_after=args.copy_to.delete_after
                    ),
                )
            ]
            if args.copy_to
            else None
        )
        return aws.backup.Plan(
            f"{self._name}-plan",
            name=args.plan_name,
            rules=[
                aws.backup.PlanRuleArgs(
                    rule_name=f"{args.plan_name}-rule",
                    target_vault_name=vault.name,
                    schedule=args.schedule,
                    start_window=args.start_window,
                    completion_window=args.completion_window,
                    enable_continuous_backup=args.enable_continuous_backup,
                    lifecycle=aws.backup.PlanRuleLifecycleArgs(
                        cold_storage_after=args.cold_storage_after, delete_after=args.delete_after
                    ),
                    copy_actions=copies,
                )
            ],
            tags=self._tags(args.plan_name),
            opts=self._children,
        )

    def _role(self) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
        """The role, and the rights without which it is of no use."""
        args = self._args
        role = aws.iam.Role(
            f"{self._name}-role",
            name=args.role_name,
            description=f"Lets AWS Backup carry out {args.plan_name}",
            assume_role_policy=json.dumps(TRUST),
            tags=self._tags(args.role_name),
            opts=self._children,
        )
        rights: list[pulumi.Resource] = [
            aws.iam.RolePolicyAttachment(
                f"{self._name}-{what}-policy", role=role.name, policy_arn=policy, opts=self._children
            )
            for what, policy in SERVICE_POLICIES.items()
        ]
        return role, rights

    def _selections(self, plan: aws.backup.Plan, role: aws.iam.Role, rights: Sequence[pulumi.Resource]) -> None:
        """By ARN and by tag apart, so that each says by itself what it takes."""
        args, options = self._args, pulumi.ResourceOptions(parent=self, depends_on=rights)
        by_arn = {"": list(args.resource_arns), **{f"-of-{key}": [arn] for key, arn in args.generation_arns.items()}}
        for suffix, arns in by_arn.items():
            if arns:
                aws.backup.Selection(
                    f"{self._name}-selection{suffix}",
                    name=f"{args.selection_name}{suffix}",
                    plan_id=plan.id,
                    iam_role_arn=role.arn,
                    resources=arns,
                    opts=options,
                )
        if args.selection_tags:
            aws.backup.Selection(
                f"{self._name}-selection-by-tag",
                name=f"{args.selection_name}-by-tag",
                plan_id=plan.id,
                iam_role_arn=role.arn,
                selection_tags=[
                    aws.backup.SelectionSelectionTagArgs(type="STRINGEQUALS", key=key, value=value)
                    for key, value in sorted(args.selection_tags.items())
                ],
                opts=options,
            )
