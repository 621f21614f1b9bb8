"""What an examination finds, and what helps against it."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from enum import StrEnum

CHECK_TIMEOUT_S = 15.0


class Level(StrEnum):
    """How a thing is; SKIPPED says why it could not be looked at, or need not be."""

    OK = "OK"
    SKIPPED = "SKIPPED"
    WARNING = "WARNING"
    BAD = "BAD"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    `remedy` is for what is not well, and for what could not be looked at; "" for the rest.
    """

    check: str
    level: Level
    says: str
    remedy: str = ""

    def plain(self) -> dict[str, str]:
        """For scripts."""
        return asdict(self)


def ok(check: str, says: str) -> Finding:
    """All is well with it."""
    return Finding(check, Level.OK, says)


def skipped(check: str, why: str, give: str = "") -> Finding:
    """It was not looked at; `give` is what that would take, "" where it need not be."""
    return Finding(check, Level.SKIPPED, why, give)


def warning(check: str, says: str, remedy: str) -> Finding:
    """It works, and should be different."""
    return Finding(check, Level.WARNING, says, remedy)


def bad(check: str, says: str, remedy: str) -> Finding:
    """It does not work, or puts money at risk."""
    return Finding(check, Level.BAD, says, remedy)


Check = Callable[[], Awaitable[list[Finding]]]
