"""Where the stacks' state is kept, and the key of each stack's secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from bootstrap.permissions import PROJECT, only_encrypted_transport

KEPT_DAYS = 365
"""How long a state that was overwritten can be brought back."""


class State(pulumi.ComponentResource):
    """A bucket for the state of every stack, and a KMS key for the secrets of each.

    Creates: the bucket, protected, with versions, encryption, no public access, TLS only, and old versions kept for
    KEPT_DAYS; `alias/meetinity-data-STACK` and its key, protected, for each stack. Pulumi writes its own lock objects,
    so the bucket needs no object lock. The bucket's own encryption is S3's: what is secret in a state is encrypted
    already, with the stack's key.
    """

    bucket: pulumi.Output[str]
    keys: Mapping[str, pulumi.Output[str]]
    """The ARN of each stack's key."""

    def __init__(
        self, name: str, *, bucket: str, stacks: Sequence[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("meetinity:data:State", name, None, opts)
        inside = pulumi.ResourceOptions(parent=self)
        kept = pulumi.ResourceOptions(parent=self, protect=True)
        made = aws.s3.Bucket(f"{name}-bucket", bucket=bucket, opts=kept)
        aws.s3.BucketVersioning(
            f"{name}-versions",
            bucket=made.bucket,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=inside,
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=made.bucket,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=(
                        aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                            sse_algorithm="AES256"
                        )
                    )
                )
            ],
            opts=inside,
        )
        private = aws.s3.BucketPublicAccessBlock(
            f"{name}-private",
            bucket=made.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=inside,
        )
        aws.s3.BucketPolicy(
            f"{name}-tls",
            bucket=made.bucket,
            policy=json.dumps(only_encrypted_transport(bucket)),
            # S3 refuses two such changes of a bucket at once.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[private]),
        )
        aws.s3.BucketLifecycleConfiguration(
            f"{name}-old-versions",
            bucket=made.bucket,
            rules=[
                aws.s3.BucketLifecycleConfigurationRuleArgs(
                    id="old-versions",
                    status="Enabled",
                    filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    noncurrent_version_expiration=(
                        aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                            noncurrent_days=KEPT_DAYS
                        )
                    ),
                )
            ],
            opts=inside,
        )
        self.bucket = made.bucket
        self.keys = {}
        for stack in stacks:
            key = aws.kms.Key(
                f"{name}-key-{stack}",
                description=f"Secrets of the Pulumi stack {stack} of {PROJECT}",
                enable_key_rotation=True,
                # The longest that KMS offers: without the key no secret of the stack can be read again.
                deletion_window_in_days=30,
                opts=kept,
            )
            aws.kms.Alias(
                f"{name}-key-{stack}-alias", name=f"alias/{PROJECT}-{stack}", target_key_id=key.key_id, opts=inside
            )
            self.keys[stack] = key.arn
        self.register_outputs({"bucket": self.bucket, "keys": self.keys})
