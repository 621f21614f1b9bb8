"""Tells on the bus what a service logs, for the page that shows it; it never waits or blocks."""

import asyncio
import contextlib
import logging
import traceback
from collections import deque

from tickbus import codec, subjects
from tickbus.bus import BusError
from tickbus.events.logs import LogLevel, LogRecorded
from tickbus.runtime.context import Context

WAITING_MAX = 200
"""Lines that wait to be told; with more the newest are only counted."""
EVERY_S = 0.5
AT_ONCE_MAX = 50
"""Lines told every half second; the rest waits."""
MESSAGE_MAX, EXCEPTION_MAX, FIELDS_MAX, FIELD_MAX = 2_000, 8_000, 20, 500
"""Characters of a text, of a traceback (its end), fields, characters of one."""
_LEVELS = {
    logging.INFO: LogLevel.INFO,
    logging.WARNING: LogLevel.WARNING,
    logging.ERROR: LogLevel.ERROR,
    logging.CRITICAL: LogLevel.CRITICAL,
}


class LogTeller(logging.Handler):
    """An edge that publishes the lines of `level` and above on `logs.<service>`.

    What is logged before the service is on the bus is told then. When the bus is away lines are
    dropped, not kept: the log itself has them.
    """

    def __init__(self, service: str, instance: str, level: LogLevel) -> None:
        super().__init__(level.upper())
        self._service = service
        self._instance = instance
        self._waiting: deque[LogRecorded] = deque()
        self._left_out = 0
        self._context: Context | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Note a line; may be called from any thread. One that cannot be written is passed over."""
        if len(self._waiting) >= WAITING_MAX:
            self._left_out += 1
            return
        try:
            self._note(record)
        except Exception:  # noqa: BLE001 - whoever logs is never harmed by what it logs
            self.handleError(record)

    def _note(self, record: logging.LogRecord) -> None:
        at = int(record.created * 1e9)
        fields = list(getattr(record, "fields", {}).items())[:FIELDS_MAX]
        failure = traceback.format_exception(*record.exc_info) if record.exc_info else []
        self._waiting.append(
            LogRecorded(
                at, at, self._service, self._instance,
                _LEVELS.get(record.levelno // 10 * 10, LogLevel.CRITICAL),
                record.name,
                _plain(record.getMessage()[:MESSAGE_MAX]),
                {_plain(str(n)[:FIELD_MAX]): _plain(str(v)[:FIELD_MAX]) for n, v in fields},
                _plain("".join(failure)[-EXCEPTION_MAX:]),
                self._left_out,
            )
        )  # fmt: skip
        self._left_out = 0

    async def start(self, context: Context) -> None:
        """Begin to tell."""
        self._context = context
        context.spawn(self._run(), "telling the log")

    async def stop(self) -> None:
        """Tell what is left, and note nothing more."""
        logging.getLogger().removeHandler(self)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVERY_S):
                await self.tell()

    async def _run(self) -> None:
        while True:
            await self.tell()
            await asyncio.sleep(EVERY_S)

    async def tell(self) -> None:
        """Publish what waits, as one message."""
        if self._context is None or not self._waiting:
            return
        count = min(len(self._waiting), AT_ONCE_MAX)
        lines = [self._waiting.popleft() for _ in range(count)]
        try:
            await self._context.bus.publish(subjects.logs(self._service), codec.encode(lines))
        except BusError:
            self._context.telemetry.error("log_lines_not_told", count)


def _plain(text: str) -> str:
    # Half a letter cannot be encoded, and one line must not hold up those around it.
    return text.encode(errors="replace").decode()
