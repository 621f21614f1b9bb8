"""Brings a database to the newest schema: numbered SQL files, each applied once."""

from importlib import resources

import asyncpg
from asyncpg.pool import PoolConnectionProxy

TIMEOUT_S = 3600.0
LOCK = 0x7469636B  # "tick": one migration at a time, whoever starts


def names() -> list[str]:
    """The files of this version, in their order."""
    folder = resources.files("tickbus_ledger.migrations")
    return sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))


async def migrate(connection: "PoolConnectionProxy[asyncpg.Record]") -> list[str]:
    """Apply what is missing, all in one transaction; returns the names of what was applied."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version"
            " (name text PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())"
        )
        rows = await connection.fetch("SELECT name FROM schema_version")
        applied = {row["name"] for row in rows}
        folder = resources.files("tickbus_ledger.migrations")
        done = [name for name in names() if name not in applied]
        for name in done:
            sql = (folder / name).read_text(encoding="utf-8")
            await connection.execute(sql, timeout=TIMEOUT_S)
            await connection.execute("INSERT INTO schema_version VALUES ($1)", name)
        return done
