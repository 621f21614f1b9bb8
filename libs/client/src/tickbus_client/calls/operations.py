"""Calls about the platform itself."""

from tickbus_client.answers.operations import (
    DeadLetter,
    DeadLetters,
    Health,
    Installation,
    Logs,
    Reconciliation,
    Status,
)
from tickbus_client.call import Call, Query, When, moment, unless_empty

RECONCILE_TIMEOUT_S = 30.0


def health() -> Call[Health]:
    """Whether the gateway and what it needs are well; needs no credentials."""
    return Call("GET", "/health", Health)


def platform() -> Call[Installation]:
    """Whether real money is at stake, at which venues, and which version runs."""
    return Call("GET", "/api/v1/platform", Installation)


def metrics() -> Call[str]:
    """The gateway's own metrics in Prometheus' text format."""
    return Call("GET", "/metrics", str)


def status() -> Call[Status]:
    """What every running service says of itself, what risk lets pass, what was given up."""
    return Call("GET", "/api/v1/status", Status)


def dead_letters(*, limit: int = 100, everything: bool = False) -> Call[DeadLetters]:
    """Messages that a service gave up; `everything`: also those failing, replayed or dropped."""
    query: Query = {"limit": limit, "all": everything}
    return Call("GET", "/api/v1/dead-letters", DeadLetters, query=query)


def dead_letter(name: str) -> Call[DeadLetter]:
    """One of them, with what it says."""
    return Call("GET", "/api/v1/dead-letters/{name}", DeadLetter, names={"name": name})


def reconcile(venue: str = "") -> Call[Reconciliation]:
    """Compare the account at one venue, or at each, with our books now; takes some seconds."""
    body = {"venue": unless_empty(venue)}
    path = "/api/v1/reconcile"
    return Call("POST", path, Reconciliation, body=body, timeout_s=RECONCILE_TIMEOUT_S)


def logs(
    *, level: str = "info", service: str = "", since: When | None = None, limit: int = 200
) -> Call[Logs]:
    """What services logged at `level` and above, the newest first; `limit` from 1 to 2000.

    Only what they tell the gateway: by default warnings and above.
    """
    query: Query = {"level": level, "service": service, "since": moment(since), "limit": limit}
    return Call("GET", "/api/v1/logs", Logs, query=query)
