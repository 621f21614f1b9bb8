"""The route of logs: what services told of theirs."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from tickbus.events import LogLevel, LogRecorded
from tickbus_api.access import READ
from tickbus_api.core import LOGS_MAX
from tickbus_api.parsing import choice
from tickbus_api.reading import Operations, Since, ns_of
from tickbus_api.views import View, iso

router = APIRouter(prefix="/api/v1/logs", tags=["operations"])


class LogView(View):
    """One line of a service's log, cut where it is long; the log itself has all of it."""

    at: str | None
    service: str
    instance: str
    level: str = Field(description=", ".join(LogLevel))
    logger: str
    message: str
    fields: dict[str, str]
    exception: str = Field(description="the end of the traceback; empty for none")
    left_out: int = Field(description="lines before it that were too many at once to be told")

    @classmethod
    def of(cls, line: LogRecorded) -> "LogView":
        """The view of `line`."""
        return cls(
            at=iso(line.ts_event),
            service=line.service,
            instance=line.instance,
            level=line.level,
            logger=line.logger,
            message=line.message,
            fields=line.fields,
            exception=line.exception,
            left_out=line.left_out,
        )


class LogsView(View):
    """Lines of logs, the newest first."""

    logs: list[LogView]


@router.get("", dependencies=READ)
async def logs(
    gateway: Operations,
    level: Annotated[str, Query(description="this one and above")] = LogLevel.INFO,
    service: Annotated[str, Query(max_length=64, description="only of this one")] = "",
    since: Since = "",
    limit: Annotated[int, Query(ge=1, le=LOGS_MAX)] = 200,
) -> LogsView:
    """What services logged, as far as they tell it (`platform.logs_told`), the newest first."""
    is_wanted, since_ns = at_least(level), ns_of("since", since)
    found = [
        line
        for line in reversed(gateway.core.logs)
        if is_wanted(line) and service in ("", line.service) and line.ts_event >= since_ns
    ]
    return LogsView(logs=[LogView.of(line) for line in found[:limit]])


def at_least(level: str) -> Callable[[LogRecorded], bool]:
    """Whether a line is of this level or above. Raises Problem for what is none."""
    rank = choice("level", level, LogLevel).rank
    return lambda line: line.level.rank >= rank
