"""All SQL of the history: a table partitioned by day, the upsert, the question."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import asyncpg

from tickbus.history_api import Candle, CandlesQuery
from tickbus_history.core import BarClosed

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 20.0
LOCK = 0x68697374  # "hist": one process at a time changes the partitions
AWAY = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError, asyncpg.InsufficientResourcesError,
        asyncpg.TransactionRollbackError)  # fmt: skip
"""What says that Postgres cannot be used now, and that trying again is right."""

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS history;
CREATE TABLE IF NOT EXISTS history.bars (
    venue          text             NOT NULL,
    instrument_id  text             NOT NULL,
    ts_open        timestamptz      NOT NULL,
    open           double precision,
    high           double precision,
    low            double precision,
    close          double precision,
    volume         double precision NOT NULL,
    notional       double precision NOT NULL,
    buys           double precision NOT NULL,
    trades         bigint           NOT NULL,
    mid            double precision,
    variance       double precision NOT NULL,
    samples        bigint           NOT NULL,
    spread_bps_sum double precision NOT NULL,
    spread_bps_max double precision NOT NULL,
    bid_size_sum   double precision NOT NULL,
    ask_size_sum   double precision NOT NULL,
    PRIMARY KEY (venue, instrument_id, ts_open)
) PARTITION BY RANGE (ts_open);
"""
# A bar that comes twice (late events, a restart in the middle of it) adds up with what is there.
UPSERT = """
INSERT INTO history.bars AS old VALUES
    ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT (venue, instrument_id, ts_open) DO UPDATE SET
    open = coalesce(old.open, excluded.open),
    high = greatest(old.high, excluded.high),
    low = least(old.low, excluded.low),
    close = coalesce(excluded.close, old.close),
    volume = old.volume + excluded.volume,
    notional = old.notional + excluded.notional,
    buys = old.buys + excluded.buys,
    trades = old.trades + excluded.trades,
    mid = coalesce(excluded.mid, old.mid),
    variance = old.variance + excluded.variance,
    samples = old.samples + excluded.samples,
    spread_bps_sum = old.spread_bps_sum + excluded.spread_bps_sum,
    spread_bps_max = greatest(old.spread_bps_max, excluded.spread_bps_max),
    bid_size_sum = old.bid_size_sum + excluded.bid_size_sum,
    ask_size_sum = old.ask_size_sum + excluded.ask_size_sum
"""
QUESTION = """
SELECT
    floor(extract(epoch FROM ts_open) / $5)::bigint * $5 AS opened,
    (array_agg(open ORDER BY ts_open) FILTER (WHERE trades > 0))[1] AS open,
    max(high) AS high,
    min(low) AS low,
    (array_agg(close ORDER BY ts_open DESC) FILTER (WHERE trades > 0))[1] AS close,
    sum(volume) AS volume,
    sum(notional) AS notional,
    sum(buys) AS buys,
    sum(trades)::bigint AS trades,
    (array_agg(mid ORDER BY ts_open DESC) FILTER (WHERE samples > 0))[1] AS mid,
    sqrt(sum(variance)) AS volatility,
    sum(samples)::bigint AS samples,
    sum(spread_bps_sum) / nullif(sum(samples), 0) AS spread_bps,
    max(spread_bps_max) AS spread_bps_max,
    sum(bid_size_sum) / nullif(sum(samples), 0) AS bid_size,
    sum(ask_size_sum) / nullif(sum(samples), 0) AS ask_size
FROM history.bars
WHERE venue = $1 AND instrument_id = $2 AND ts_open >= $3 AND ts_open < $4
GROUP BY opened
ORDER BY opened DESC
LIMIT $6
"""
BEGINNING = datetime(2009, 1, 1, tzinfo=UTC)
END = datetime(2200, 1, 1, tzinfo=UTC)


class Store:
    """The bars in Postgres; made by `Store.open`."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._days: set[date] = set()

    @classmethod
    async def open(cls, dsn: str) -> "Store":
        """Connect and make the table where there is none. Raises one of AWAY."""
        # None kept open at all costs: the driver would try for it with pauses of its own, and fill
        # the log with traces meanwhile.
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=3,
            command_timeout=COMMAND_TIMEOUT_S,
            timeout=CONNECT_TIMEOUT_S,
        )
        try:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
                await connection.execute(SCHEMA)
        except BaseException:
            pool.terminate()
            raise
        return cls(pool)

    async def write(self, bars: Sequence[BarClosed]) -> None:
        """Add bars, all or none. Raises one of AWAY."""
        rows = [_row(bar) for bar in bars]
        await self._make_days({row[2].date() for row in rows})
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.executemany(UPSERT, rows)

    async def _make_days(self, days: set[date]) -> None:
        missing = sorted(days - self._days)
        if not missing:
            return
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            for day in missing:
                after = day + timedelta(days=1)
                await connection.execute(
                    f"CREATE TABLE IF NOT EXISTS history.bars_{day:%Y%m%d} PARTITION OF"
                    f" history.bars FOR VALUES FROM ('{day} 00:00+00') TO ('{after} 00:00+00')"
                )
        self._days |= set(missing)

    async def drop_before(self, day: date) -> list[str]:
        """Drop the partitions of days before `day`; their names."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            rows = await connection.fetch(
                "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
                " WHERE inhparent = 'history.bars'::regclass"
            )
            old = sorted(n for row in rows if (n := row["name"])[-8:] < f"{day:%Y%m%d}")
            for name in old:
                await connection.execute(f"DROP TABLE {name}")
        self._days = {kept for kept in self._days if kept >= day}
        return old

    async def candles(self, query: CandlesQuery) -> tuple[Candle, ...]:
        """Bars put together to the interval asked for, the newest first. Raises one of AWAY."""
        start = _time(query.start_ns) if query.start_ns else BEGINNING
        end = _time(query.end_ns) if query.end_ns else END
        rows = await self._pool.fetch(
            QUESTION, query.venue, query.instrument_id, start, end, query.interval_s, query.limit
        )
        return tuple(_candle(row) for row in rows)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()


def _time(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC) + timedelta(
        microseconds=ns // 1000 % 1_000_000
    )


def _row(b: BarClosed) -> tuple[object, object, datetime, *tuple[object, ...]]:
    return (
        b.venue, b.instrument_id, _time(b.ts_open), b.open, b.high, b.low, b.close, b.volume,
        b.notional, b.buys, b.trades, b.mid, b.variance, b.samples, b.spread_bps_sum,
        b.spread_bps_max, b.bid_size_sum, b.ask_size_sum,
    )  # fmt: skip


def _candle(row: "asyncpg.Record") -> Candle:
    volume = row["volume"]
    return Candle(
        ts_open=int(row["opened"]) * 1_000_000_000,
        open=row["open"],
        high=row["high"],
        low=row["low"],
        close=row["close"],
        volume=volume,
        notional=row["notional"],
        buys=row["buys"],
        trades=row["trades"],
        vwap=row["notional"] / volume if volume else None,
        mid=row["mid"],
        volatility=row["volatility"] if row["samples"] else None,
        spread_bps=row["spread_bps"],
        spread_bps_max=row["spread_bps_max"] if row["samples"] else None,
        bid_size=row["bid_size"],
        ask_size=row["ask_size"],
    )
