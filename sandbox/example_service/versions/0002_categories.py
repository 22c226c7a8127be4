"""Categories that an event can be in."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "categories",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
    )
    op.add_column("events", sa.Column("category_id", sa.BigInteger, sa.ForeignKey("categories.id")))


def downgrade() -> None:
    op.drop_column("events", "category_id")
    op.drop_table("categories")
