"""NATS and Postgres servers that run as child processes and need no installation."""

from tickbus_embedded.errors import EmbeddedError
from tickbus_embedded.nats import EmbeddedNats
from tickbus_embedded.ports import free_offset, free_port
from tickbus_embedded.postgres import EmbeddedPostgres, running_dsn

__all__ = [
    "EmbeddedError", "EmbeddedNats", "EmbeddedPostgres", "free_offset", "free_port", "running_dsn",
]  # fmt: skip
