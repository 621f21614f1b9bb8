"""Brings a database to the newest schema: numbered SQL files, each applied once."""

from importlib import resources

import asyncpg
from asyncpg.pool import PoolConnectionProxy

TIMEOUT_S = 3600.0
LOCK = 0x7469636B  # "tick": one migration at a time, whoever starts


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
        files = sorted(
            (f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name
        )
        done = []
        for file in files:
            if file.name not in applied:
                await connection.execute(file.read_text(encoding="utf-8"), timeout=TIMEOUT_S)
                await connection.execute("INSERT INTO schema_version VALUES ($1)", file.name)
                done.append(file.name)
        return done
