"""Writes closed bars, drops old days, and answers what was kept."""

import asyncio
import time
from collections import deque
from datetime import UTC, datetime, timedelta

from tickbus import codec
from tickbus.backoff import delays_s
from tickbus.codec import Hop, MalformedMessage
from tickbus.history_api import CandlesAnswer, CandlesQuery, HistoryRefusal
from tickbus.runtime import Context
from tickbus_history.config import HistoryConfig
from tickbus_history.core import BarClosed, HistoryCore
from tickbus_history.store import AWAY, Store

WRITE_EVERY_S = 1.0
BATCH_MAX = 5_000
CLEAN_EVERY_S = 3600.0
SAID_EVERY_S = 10.0


class Writer:
    """The edge to Postgres. Away, it tries again for ever; the buffer is bounded by the config."""

    def __init__(self, core: HistoryCore, config: HistoryConfig, dsn: str) -> None:
        self._core = core
        self._config = config
        self._dsn = dsn
        self._bars: deque[BarClosed] = deque(maxlen=config.buffer_bars_max)
        self._store: Store | None = None
        self._said_s = 0.0

    async def start(self, context: Context) -> None:
        """Begin in the background: Postgres may take its time."""
        self._context = context
        context.set_ready(False, "Postgres")
        context.spawn(self._run(), "history writer")

    async def stop(self) -> None:
        """Write what was summed up so far, as far as Postgres lets us within a few seconds."""
        store, self._store = self._store, None
        if store is None:
            return
        self._bars.extend(self._core.close_all(self._context.clock.now_ns()))
        try:
            async with asyncio.timeout(4):
                while self._bars:
                    await self._write(store)
        except (TimeoutError, *AWAY) as error:
            self._context.log.warning("%d bars are lost: %r", len(self._bars), error)
        await store.close()

    async def keep(self, bar: BarClosed, _: tuple[Hop, ...]) -> None:
        """Take a closed bar."""
        if len(self._bars) == self._bars.maxlen:
            self._context.telemetry.error("bars_lost")
        self._bars.append(bar)

    async def answer(self, payload: bytes) -> bytes:
        """Candles, or why there are none."""
        try:
            query = codec.decode_value(payload, CandlesQuery)
            base = self._config.base_interval_s
            if query.interval_s % base:
                return codec.encode_value(
                    HistoryRefusal(f"interval_s = {query.interval_s}: a multiple of {base} it is")
                )
            if self._store is None:
                return codec.encode_value(HistoryRefusal("waiting for Postgres"))
            return codec.encode_value(CandlesAnswer(await self._store.candles(query)))
        except MalformedMessage as error:
            return codec.encode_value(HistoryRefusal(str(error)))
        except AWAY as error:
            return codec.encode_value(HistoryRefusal(f"Postgres is away: {error}"))

    async def _run(self) -> None:
        store = await self._open()
        self._store = store
        self._context.set_ready(True)
        cleaned = 0.0
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            try:
                while self._bars:
                    await self._write(store)
                if time.monotonic() - cleaned > CLEAN_EVERY_S:
                    cleaned = time.monotonic()
                    await self._clean(store)
            except AWAY as error:
                self._context.telemetry.error("postgres_away")
                self._context.set_ready(False, "Postgres")
                self._say("Postgres does not take the bars, trying again: %s", error)
                continue
            self._context.set_ready(True)
            self._context.telemetry.gauge("bars_waiting", len(self._bars))

    async def _write(self, store: Store) -> None:
        batch = [self._bars.popleft() for _ in range(min(BATCH_MAX, len(self._bars)))]
        try:
            await store.write(batch)
        except BaseException:
            self._put_back(batch)
            raise
        self._context.telemetry.count("Bar", "written")

    def _put_back(self, batch: list[BarClosed]) -> None:
        """What was not written waits again, the oldest of it lost where there is no room."""
        room = (self._bars.maxlen or 0) - len(self._bars)
        if len(batch) > room:
            self._context.telemetry.error("bars_lost", len(batch) - room)
            batch = batch[len(batch) - room :]
        self._bars.extendleft(reversed(batch))

    async def _clean(self, store: Store) -> None:
        oldest = datetime.now(UTC).date() - timedelta(days=self._config.retention_days)
        for name in await store.drop_before(oldest):
            self._context.log.info("dropped %s: older than %s", name, oldest)

    async def _open(self) -> Store:
        for delay_s in delays_s(0.2, 5.0):
            try:
                return await Store.open(self._dsn)
            except AWAY as error:
                self._say("waiting for Postgres: %s", error)
            await asyncio.sleep(delay_s)
        raise AssertionError("delays_s is endless")

    def _say(self, text: str, error: BaseException) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s > SAID_EVERY_S:
            self._said_s = now_s
            self._context.log.warning(text, str(error) or type(error).__name__)
