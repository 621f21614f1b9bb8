"""What services write into their logs, for whoever listens."""

from enum import StrEnum

import msgspec

from tickbus.events.base import Event


class LogLevel(StrEnum):
    """How much a line matters, the least first."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """The higher, the more it matters."""
        return list(LogLevel).index(self)


class LogRecorded(Event, frozen=True):
    """One line of a service's log, cut to what a page can show; the log itself has all of it.

    `fields` are what the line says apart from its text, `exception` is the traceback. `left_out`
    counts the lines before it that were not told, because there were too many at once.
    """

    service: str
    instance: str
    level: LogLevel
    logger: str
    message: str
    fields: dict[str, str] = msgspec.field(default_factory=dict)
    exception: str = ""
    left_out: int = 0


LogEvent = LogRecorded
