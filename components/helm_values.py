"""What the services' umbrella chart needs to know, ready for `helm upgrade --values`."""

from __future__ import annotations

from typing import Any

from components.secrets import ConnectionSecrets

# The chart's own names for the keys of the Secrets.
DATABASE_SECRET_KEYS = {
    "host": "host",
    "readerHost": "reader_host",
    "port": "port",
    "name": "database",
    "username": "username",
    "password": "password",
    "url": "url",
    "readerUrl": "reader_url",
}
REDIS_SECRET_KEYS = {key: name for key, name in DATABASE_SECRET_KEYS.items() if key != "name"}


def helm_values(environment: str, secrets: ConnectionSecrets) -> dict[str, Any]:
    """`global.environment`, and for each store the Secret's name, the names of its keys, and its checksum.

    A chart that puts the checksum into its pods' annotations restarts them exactly when the Secret changes.
    """
    return {
        "global": {
            "environment": environment,
            "database": {
                "secretName": secrets.database_secret_name,
                "secretKeys": DATABASE_SECRET_KEYS,
                "secretChecksum": secrets.database_checksum,
            },
            "redis": {
                "secretName": secrets.redis_secret_name,
                "secretKeys": REDIS_SECRET_KEYS,
                "secretChecksum": secrets.redis_checksum,
            },
        }
    }
