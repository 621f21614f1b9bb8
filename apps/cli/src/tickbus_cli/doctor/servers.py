"""What the platform stands on: NATS with JetStream, the services, Postgres."""

import asyncio
import time
from collections.abc import Mapping

import asyncpg

from tickbus import codec
from tickbus.alerts_api import LIST, Alert, AlertsAnswer, AlertsQuery
from tickbus.bus import Bus, BusError, NatsBus
from tickbus.codec import MalformedMessage
from tickbus.login import Login
from tickbus_cli.doctor import clocks, streams
from tickbus_cli.doctor.answering import services
from tickbus_cli.doctor.finding import Finding, Level, bad, ok, skipped, warning
from tickbus_ledger.migrate import names

WAIT_S = 3.0
FULL = 0.8
POSTGRES_MIN = 140_000
MIGRATED = "SELECT name FROM schema_version"


async def bus(
    url: str, login: Login | None, *, expected: bool, wanted: Mapping[str, Level] | None = None
) -> list[Finding]:
    """NATS at `url`, its JetStream, and who answers there; not `expected` where nothing runs.

    `wanted` are the processes that should answer: see `services`.
    """
    try:
        async with asyncio.timeout(WAIT_S):
            connected = await NatsBus.connect(url, "tickbus-doctor", login)
    except (BusError, TimeoutError, OSError) as error:
        if not expected:
            why = f"nothing answers at {url}: no platform runs here"
            return [skipped("nats", why, "start it, or say with --bus where it is")]
        why = str(error) or f"no answer within {WAIT_S:g} s"
        return [bad("nats", why, "start NATS, or set TICKBUS_NATS_URL and the login of a user")]
    try:
        found = [ok("nats", f"answers at {url}")]
        found += await streams.examine(connected)
        found += await services(connected, wanted or {})
        found += await alerts(connected)
        return found
    finally:
        await connected.close()


async def alerts(connected: Bus) -> list[Finding]:
    """What is wrong with the trading itself, as the service `alerts` sees it."""
    query = codec.encode_value(AlertsQuery(limit=0))
    try:
        answer = codec.decode_value(await connected.request(LIST, query, WAIT_S), AlertsAnswer)
    except (BusError, MalformedMessage) as error:
        return [skipped("alerts", f"the service alerts does not answer: {error}")]
    found = [warning(f"alert {each.rule}", _said(each), each.remedy) for each in answer.active]
    return found or [ok("alerts", "none is on")]


def _said(alert: Alert) -> str:
    return f"{alert.title}: {alert.detail}" if alert.detail else alert.title


async def postgres(dsn: str) -> list[Finding]:
    """The database of the books; its password is never shown."""
    if not dsn:
        why = "none runs here and TICKBUS_POSTGRES_DSN is not set: the books are not looked at"
        return [skipped("postgres", why, "set it: postgresql://USER:PASSWORD@HOST:5432/tickbus")]
    try:
        async with asyncio.timeout(WAIT_S):
            connection = await asyncpg.connect(dsn, timeout=WAIT_S)
    except (asyncpg.PostgresError, OSError, ValueError, TimeoutError) as error:
        why = type(error).__name__  # its text may quote the address with the password
        remedy = "start it, and see host, user, password and database in TICKBUS_POSTGRES_DSN"
        return [bad("postgres", f"cannot be reached: {why}", remedy)]
    try:
        async with asyncio.timeout(WAIT_S):
            began = time.time_ns()
            theirs = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())")
            clock = clocks.judge("postgres", began, time.time_ns(), int(theirs * 1_000_000_000))
            version = int(await connection.fetchval("SHOW server_version_num"))
            size = int(await connection.fetchval("SELECT pg_database_size(current_database())"))
            at_most = int(await connection.fetchval("SHOW max_connections"))
            taken = int(await connection.fetchval("SELECT count(*) FROM pg_stat_activity"))
            applied = await _applied(connection)
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        remedy = "see the log of Postgres"
        return [bad("postgres", f"does not answer: {type(error).__name__}", remedy)]
    finally:
        connection.terminate()
    return [*database(version, size, taken, at_most), books(applied), clock]


async def _applied(connection: "asyncpg.Connection[asyncpg.Record]") -> set[str] | None:
    """The migrations that the books have had; None where there are no books yet."""
    try:
        return {row["name"] for row in await connection.fetch(MIGRATED)}
    except asyncpg.UndefinedTableError:
        return None


def books(applied: set[str] | None) -> Finding:
    """Whether the books in the database are of this version; `applied` is None where none are."""
    if applied is None:
        return warning("books", "there are none yet", "start the ledger, which makes them")
    known = names()
    newer = sorted(applied - set(known))
    if newer:
        says = f"they are of a newer version: {', '.join(newer)}"
        return bad("books", says, "run the version that wrote them, or a newer one")
    missing = [name for name in known if name not in applied]
    if missing:
        says = f"they lack {', '.join(missing)}"
        return bad(
            "books", says, "restart the ledger of this version, which brings them up to date"
        )
    return ok("books", f"{len(known)} migrations, all applied")


def database(version: int, size: int, taken: int, at_most: int) -> list[Finding]:
    """What Postgres says of itself."""
    says = f"version {version // 10_000}, {size / 1e6:.0f} MB, {taken} of {at_most} connections"
    if version < POSTGRES_MIN:
        return [bad("postgres", says, f"run version {POSTGRES_MIN // 10_000} or newer")]
    if taken > FULL * at_most:
        return [warning("postgres", says, "raise max_connections, or find who holds so many")]
    return [ok("postgres", says)]
