"""The first categories, and one of them for every event there is (data)."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

CATEGORIES = ("Other", "Food and drink", "Languages", "Music", "Outdoors", "Sports", "Technology")

categories = sa.table("categories", sa.column("id", sa.BigInteger), sa.column("name", sa.Text))
events = sa.table("events", sa.column("category_id", sa.BigInteger))


def upgrade() -> None:
    op.bulk_insert(categories, [{"name": name} for name in CATEGORIES])
    other = sa.select(categories.c.id).where(categories.c.name == "Other").scalar_subquery()
    op.execute(sa.update(events).values(category_id=other))
    op.alter_column("events", "category_id", nullable=False)


def downgrade() -> None:
    op.alter_column("events", "category_id", nullable=True)
    op.execute(sa.update(events).values(category_id=None))
    op.execute(sa.delete(categories).where(categories.c.name.in_(CATEGORIES)))
