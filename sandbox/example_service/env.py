"""Runs the migrations against the PostgreSQL that DATABASE_URL names, one runner at a time."""

import os
import sys
from logging.config import fileConfig

from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

# Any constant will do, as long as every runner of this history uses the same one.
MIGRATION_LOCK = 0x6D656574


def database_url() -> URL:
    """Return DATABASE_URL with this service's driver; ends the program unless it is a PostgreSQL URL."""
    try:
        url = make_url(os.environ["DATABASE_URL"])
    except KeyError:
        sys.exit("DATABASE_URL is not set: there is no database to migrate")
    except ArgumentError:
        sys.exit("DATABASE_URL is not a URL: expected postgresql://USER:PASSWORD@HOST:PORT/NAME")
    if url.get_backend_name() not in ("postgresql", "postgres"):
        sys.exit(f"DATABASE_URL is of a {url.get_backend_name()} database: these migrations are for PostgreSQL")
    return url.set(drivername="postgresql+psycopg")


def run_migrations() -> None:
    # Straight to the engine: on the way through alembic.ini a `%` in the password would be read as an interpolation.
    engine = create_engine(database_url(), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()


if context.config.config_file_name:
    fileConfig(context.config.config_file_name)
if context.is_offline_mode():
    sys.exit("these migrations change data and need the database: run them without --sql")
run_migrations()
