"""The whole configuration of a stack."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from settings.access import Access
from settings.acknowledged import Acknowledged
from settings.backup import Backup
from settings.base import Model
from settings.checks import Advice, Verdict, a_list, one_of, text
from settings.database import Database
from settings.defaults import ENVIRONMENTS
from settings.kubernetes import Kubernetes
from settings.migrations import Migration
from settings.monitoring import Monitoring
from settings.names import StoreNames, parameter_group_name, store_name
from settings.network import Network
from settings.redis import Redis
from settings.store import Store

STANDARD_TAGS = ("Environment", "Project", "Name")
# EC2, RDS, IAM and ElastiCache API: Tag; the characters are those that all services take.
TAG_KEY_LENGTH, TAG_VALUE_LENGTH = 128, 256
_TAG_CHARACTERS = "[A-Za-z0-9 +=._:/@-]"


def _own_tag(key: str) -> Verdict:
    # IAM takes keys that differ in case alone for the same key.
    if key.lower().startswith("aws:") or key.lower() in {name.lower() for name in STANDARD_TAGS}:
        return Advice("Choose another key, or take it out")
    return None


TagKey = Annotated[
    str,
    text(
        f"a tag key of at most {TAG_KEY_LENGTH} letters, digits, blanks and + - = . _ : / @, "
        f"without aws: in front and not {', '.join(STANDARD_TAGS)}, which the program sets",
        f"{_TAG_CHARACTERS}+",
        longest=TAG_KEY_LENGTH,
        also=_own_tag,
    ),
]
TagValue = Annotated[
    str,
    text(
        f"a text of at most {TAG_VALUE_LENGTH} letters, digits, blanks and + - = . _ : / @",
        f"{_TAG_CHARACTERS}*",
        longest=TAG_VALUE_LENGTH,
    ),
]


class Settings(Model):
    """Everything the program needs to know, checked. Made by `load_settings`."""

    environment: Annotated[Literal["local", "dev", "staging", "prod"], one_of(*ENVIRONMENTS)]
    tags: Mapping[TagKey, TagValue]
    network: Network
    kubernetes: Kubernetes
    database: Database
    redis: Redis
    migrations: Annotated[tuple[Migration, ...], a_list("migrations: name, image, command")]
    access: Access
    backup: Backup
    monitoring: Monitoring
    acknowledged: Annotated[
        tuple[Acknowledged, ...], a_list("changes that lose something and are meant: change, until, reason")
    ]

    @property
    def standard_tags(self) -> dict[str, str]:
        """What every AWS resource carries besides its `Name`."""
        return {**self.tags, "Environment": self.environment, "Project": "meetinity"}

    @property
    def stores(self) -> dict[str, Database | Redis]:
        return {"database": self.database, "redis": self.redis}

    def names(self, store: Store, generation: str) -> StoreNames:
        """The physical names of one generation of `database` or `redis`."""
        physical = store_name(self.environment, store.name, generation)
        group = parameter_group_name(physical, store.family, store.parameter_group_name, generation)
        return StoreNames(physical, group)

    def acknowledged_changes(self, section: str, today: date) -> frozenset[str]:
        """The keys of `database` or `redis` whose change is acknowledged today."""
        changes = (each.change.partition(".") for each in self.acknowledged if each.counts(today))
        return frozenset(key for above, _, key in changes if above == section)

    def allowed_cidr_blocks(self, store: Store) -> tuple[str, ...]:
        """The network's and the store's own, each once."""
        return tuple(dict.fromkeys((*self.network.allowed_cidr_blocks, *store.allowed_cidr_blocks)))
