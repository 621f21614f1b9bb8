"""What a running platform says of itself, gathered over the bus."""

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field

import nats.errors

from tickbus import codec, ledger_api, ledger_client, subjects
from tickbus.bus import Bus, BusError
from tickbus.codec import MalformedMessage
from tickbus.events import ServiceStatus
from tickbus.ledger_api import PortfolioAnswer
from tickbus_cli.further import service_of
from tickbus_cli.profile import SERVICES

log = logging.getLogger("tickbus.monitor")

GATHER_S = 0.2
ASKS = 6
"""Who is silent and is wanted is asked so often: a busy process may be late."""
LEDGER_TIMEOUT_S = 0.5
TICKS = frozenset({"Trade", "Quote", "BookDelta", "BookSnapshot"})
TICK_TO_ORDER = "tick_to_order"
LEDGER = "ledger"

Latency = tuple[float, float, int]
"""(p50, p99, count), microseconds."""


@dataclass(frozen=True)
class Snapshot:
    """The platform at one moment (`taken_s`, monotonic); no portfolio when the ledger is silent."""

    taken_s: float
    services: dict[str, ServiceStatus] = field(default_factory=dict)
    portfolio: PortfolioAnswer | None = None
    unreadable: int = 0
    """Services whose answer could not be read: of another version, or with a bug."""
    expected: tuple[str, ...] = SERVICES
    """The processes that should be there."""

    @property
    def ticks(self) -> int:
        """Market events that all feeds have published since their start."""
        feeds = (s for n, s in self.services.items() if service_of(n) == "feed")
        return sum(published(feed, TICKS) for feed in feeds)

    @property
    def tick_to_order(self) -> Latency:
        """From the venue's frame to the order request; zeros before the first order.

        Of several venues that with the most orders.
        """
        return self._busiest().get(TICK_TO_ORDER, (0.0, 0.0, 0))

    @property
    def hops(self) -> dict[str, Latency]:
        """Every measured hop but tick-to-order, in order of the services."""
        return {hop: x for hop, x in self._busiest().items() if hop != TICK_TO_ORDER}

    def _busiest(self) -> dict[str, Latency]:
        found: dict[str, Latency] = {}
        for status in self.services.values():
            for hop, latency in status.latency_us.items():
                if hop not in found or latency[2] > found[hop][2]:
                    found[hop] = latency
        return found

    @property
    def errors(self) -> dict[str, dict[str, int]]:
        """What went wrong, by service and kind; services without errors are left out."""
        wrong = {n: dict(s.errors) for n, s in self.services.items() if any(s.errors.values())}
        return {**wrong, "?": {"unreadable_status": self.unreadable}} if self.unreadable else wrong


def published(status: ServiceStatus, kinds: frozenset[str]) -> int:
    """How many events of these types the service has published."""
    return sum(status.counts.get(f"{kind}/published", 0) for kind in kinds)


def events(status: ServiceStatus) -> int:
    """How many events went through the service: taken in, or published where it takes none in."""
    handled = sum(n for key, n in status.counts.items() if key.endswith("/handled"))
    sent = sum(n for key, n in status.counts.items() if key.endswith("/published"))
    return max(handled, sent)


def rate(before: float, after: float, seconds: float) -> float:
    """Change per second; 0 when a restart made the count smaller."""
    return max(0.0, after - before) / seconds if seconds > 0 else 0.0


def name_of(status: ServiceStatus, expected: tuple[str, ...] = ()) -> str:
    """The name of the process: that of its service, and of its venue where it is a further one.

    One of several of a service that are told apart by their instances has a name in `expected`.
    """
    by_instance = f"{status.service}-{status.instance}"
    if by_instance in expected:
        return by_instance
    return f"{status.service}-{status.venue}" if status.venue else status.service


async def observe(
    bus: Bus, expected: tuple[str, ...] = SERVICES, wanted: Collection[str] = ()
) -> Snapshot:
    """Ask every service and the ledger; who does not answer in time is left out.

    The processes of `wanted` are asked again, up to `ASKS` times in all.
    """
    (statuses, unreadable), portfolio = await asyncio.gather(_statuses(bus), portfolio_of(bus))
    services = {name_of(status, expected): status for status in statuses}
    for _ in range(ASKS - 1):
        has_books = portfolio is not None or LEDGER not in wanted
        if has_books and services.keys() >= set(wanted):
            break
        (statuses, broken), books = await asyncio.gather(_statuses(bus), portfolio_of(bus))
        services |= {name_of(status, expected): status for status in statuses}
        unreadable, portfolio = max(unreadable, broken), books or portfolio
    return Snapshot(time.monotonic(), services, portfolio, unreadable, expected)


async def portfolio_of(bus: Bus) -> PortfolioAnswer | None:
    """The books as the ledger sees them now; None while it does not answer."""
    query = ledger_api.PortfolioQuery()
    try:
        return await ledger_client.ask(
            bus, ledger_api.PORTFOLIO, query, PortfolioAnswer, LEDGER_TIMEOUT_S
        )
    except (BusError, nats.errors.Error, MalformedMessage, ledger_client.LedgerRefused):
        return None


async def _statuses(bus: Bus) -> tuple[list[ServiceStatus], int]:
    """What the services say of themselves, and how many answers nobody could read."""
    try:
        answers = await bus.gather(subjects.STATUS, b"", GATHER_S)
    except (BusError, nats.errors.Error, OSError):
        return [], 0
    statuses, unreadable = [], 0
    for payload in answers:
        try:
            statuses.append(codec.decode_value(payload, ServiceStatus))
        except MalformedMessage as error:
            unreadable += 1
            log.warning("a service's status cannot be read: %s; %r", error, payload[:120])
    return sorted(statuses, key=name_of), unreadable
