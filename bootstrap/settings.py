"""The bootstrap stack's configuration, checked whole."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from bootstrap.permissions import PROJECT

# GitHub Docs, "OpenID Connect reference": an organization's and a repository's name hold none but these.
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
_Id = Annotated[int, Field(gt=0)]


class _Base(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel)


class GitHub(_Base):
    """The repository whose workflows may take on the roles."""

    organization: _Name
    organization_id: _Id
    repository: _Name
    repository_id: _Id
    old_subjects: bool = False
    """Also trust tokens without the ids: those of repositories made before 2026-07-15. A name can pass to others."""
    provider_arn: str | None = None
    """Of the account's OIDC provider, where it has one already: there can be only one."""

    def subjects(self, environment: str) -> list[str]:
        """What the tokens of a job in this environment are about, in the forms to be trusted."""
        numbered = f"{self.organization}@{self.organization_id}/{self.repository}@{self.repository_id}"
        named = [f"{self.organization}/{self.repository}"] if self.old_subjects else []
        return [f"repo:{each}:environment:{environment}" for each in (numbered, *named)]


class Settings(_Base):
    account: Annotated[str, Field(pattern=r"^\d{12}$")]
    # Amazon S3 User Guide, "General purpose bucket naming rules".
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")]
    stacks: Annotated[list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]], Field(min_length=1)]
    github: GitHub

    @field_validator("stacks")
    @classmethod
    def _apart(cls, stacks: list[str]) -> list[str]:
        """The roles go by the beginning of a name."""
        for each in stacks:
            if each.startswith("preview-"):
                raise ValueError(f"{each} would be deployed from the environment of a preview: rename it")
            if f"{PROJECT}-".startswith(f"{each}-"):
                raise ValueError(f"the roles of {each} would reach the pipeline's own, {PROJECT}-…: rename it")
            if found := [other for other in stacks if other.startswith(f"{each}-")]:
                raise ValueError(f"the roles of {each} would reach the resources of {', '.join(found)}: rename one")
        return stacks
