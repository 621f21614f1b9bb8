"""Structured logs: JSON lines for machines, short coloured lines for people at a terminal."""

import json
import logging
import sys
import time
from typing import Any, TextIO

_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31;1m"}


class JsonFormatter(logging.Formatter):
    """One JSON object per record; `extra={"fields": {...}}` adds keys to it."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        entry: dict[str, Any] = {
            "ts": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update(getattr(record, "fields", {}))
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


class ConsoleFormatter(logging.Formatter):
    """`12:00:00.123 risk  text key=value`."""

    def __init__(self, service: str, colour: bool) -> None:
        super().__init__()
        self._service = service
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" {k}={v}" for k, v in getattr(record, "fields", {}).items())
        level = "" if record.levelno <= logging.INFO else f"{record.levelname} "
        stamp = f"{clock}.{int(record.msecs):03d} {self._service:<9}"
        line = f"{stamp} {level}{record.getMessage()}{fields}"
        if self._colour and record.levelname in _COLOURS:
            line = f"{_COLOURS[record.levelname]}{line}\x1b[0m"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def configure(service: str, style: str = "", level: str = "", stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (stderr); `style` json or console, by default by what it is."""
    stream = stream or sys.stderr
    terminal = stream.isatty()
    use_json = style == "json" or (style != "console" and not terminal)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        JsonFormatter(service) if use_json else ConsoleFormatter(service, terminal)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper() or "INFO")
    for chatty in ("httpx", "httpcore", "websockets", "uvicorn", "nats"):
        logging.getLogger(chatty).setLevel("WARNING")
