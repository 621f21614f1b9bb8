"""Puts an exchange together: venue, crowd, protocol, journal. Told the time; does no networking."""

from collections.abc import Callable
from random import Random

from tickbus_exchange.agents.crowd import Crowd
from tickbus_exchange.config import ExchangeConfig
from tickbus_exchange.journal import GAP, Journal, JournalError
from tickbus_exchange.protocol.faults import Faults
from tickbus_exchange.protocol.limits import Limiter
from tickbus_exchange.protocol.operations import Operations
from tickbus_exchange.protocol.rest import Keys, RestApi
from tickbus_exchange.protocol.streams import Hub
from tickbus_exchange.protocol.wsapi import ApiSession, UserStreams
from tickbus_exchange.venue import Venue

COUNTERS_EVERY_MS = 1_000


class Exchange:
    """A whole simulated exchange but for its sockets."""

    def __init__(self, config: ExchangeConfig, clock_ms: Callable[[], int]) -> None:
        self.config = config
        self._right_clock_ms = clock_ms
        self._wrong_by_ms = 0
        self.notes: list[str] = []
        self.connections = 0
        self.slow_clients_total = 0
        self.venue = Venue(config)
        self.journal = Journal(config.state_dir) if config.state_dir is not None else None
        if self.journal is not None:
            self._restore(self.journal)
        self.limiter = Limiter(config.rate_limits)
        self.keys = Keys(config.api_key, config.api_secret)
        self.operations = Operations(self.venue, self.limiter)
        clock_ms = self.clock_ms
        self.rest = RestApi(self.operations, self.limiter, self.keys, clock_ms)
        self.crowd = Crowd(self.venue, Random(config.seed))
        self.faults = Faults()
        self.users = UserStreams(self.venue.rules, self.faults)
        if self.journal is not None:
            self.venue.observers.append(self.journal)
        self.venue.observers += [self.users, self.crowd]
        self.crowd.open(clock_ms())
        self.hub = Hub(self.venue, self.operations.market, clock_ms, self.faults)
        self.venue.observers += [self.hub, self.hub.futures]
        self._paces = (
            (100, self.hub.every_100ms),
            (1_000, self.hub.every_second),
            (2_000, self.hub.every_two_seconds),
            (COUNTERS_EVERY_MS, self._save_counters),
        )
        self._due = [clock_ms() + pace for pace, _ in self._paces]

    def _restore(self, journal: Journal) -> None:
        restored = journal.restore()
        if restored.torn_bytes:
            self.notes.append(
                f"the journal's last line was torn; {restored.torn_bytes} bytes cut off"
            )
        if restored.opening is None:
            journal.open(self.config.balances)
            return
        unlisted = {r.symbol for r in restored.reports} - self.venue.rules.keys()
        if unlisted:
            names = ", ".join(sorted(unlisted))
            raise JournalError(
                f"{self.config.state_dir} holds orders in {names}, which --symbols leaves out; "
                "list them or choose another --state-dir"
            )
        self.venue.resume(restored.reports, restored.opening.balances)
        self.venue.skip_ids(restored.counters, GAP)
        working = sum(len(self.venue.user.working_orders(s)) for s in self.venue.rules)
        self.notes.append(
            f"continued from {self.config.state_dir}: {len(restored.reports)} reports, "
            f"{working} working orders"
        )

    def clock_ms(self) -> int:
        """The venue's clock, in ms UTC; right but for `set_clock`."""
        return self._right_clock_ms() + self._wrong_by_ms

    def set_clock(self, wrong_by_ms: int) -> None:
        """From now on the venue's clock is wrong by so much; above 0 it is ahead."""
        by_ms, self._wrong_by_ms = wrong_by_ms - self._wrong_by_ms, wrong_by_ms
        self.crowd.set_clock(by_ms)
        self._due = [due + by_ms for due in self._due]

    def api_session(self, address: str, write: Callable[[bytes], None]) -> ApiSession:
        """Return a new WebSocket API session."""
        return ApiSession(
            self.operations,
            self.limiter,
            self.keys,
            self.users,
            self.faults,
            self.clock_ms,
            address,
            write,
        )

    def step(self) -> None:
        """Let the crowd act and publish what is due. To be called about every 10 ms."""
        now_ms = self.clock_ms()
        self.crowd.step(now_ms)
        for i, (pace_ms, publish) in enumerate(self._paces):
            if now_ms >= self._due[i]:
                # Stay on the beat, but never replay beats that were slept through.
                self._due[i] = max(self._due[i] + pace_ms, now_ms)
                publish()

    def _save_counters(self) -> None:
        if self.journal is not None:
            self.journal.save_counters(self.venue.counters())

    def close(self) -> None:
        """Save the counters and let go of the state directory."""
        if self.journal is not None:
            self._save_counters()
            self.journal.close()
            self.journal = None
