"""Puts an exchange together: venue, crowd, protocol, journal. Told the time; does no networking."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from tickbus_exchange.agents.crowd import Crowd
from tickbus_exchange.config import ExchangeConfig
from tickbus_exchange.futures import Futures, FuturesJournals
from tickbus_exchange.journal import ACCOUNTS, GAP, Journal, JournalError, Restored
from tickbus_exchange.protocol.faults import Faults
from tickbus_exchange.protocol.keys import Keys
from tickbus_exchange.protocol.later import Later
from tickbus_exchange.protocol.limits import FirstFills, Limiter
from tickbus_exchange.protocol.operations import Operations
from tickbus_exchange.protocol.rest import RestApi
from tickbus_exchange.protocol.streams import Hub
from tickbus_exchange.protocol.wsapi import ApiSession, UserStreams
from tickbus_exchange.venue import USER, SavedCounters, Venue

COUNTERS_EVERY_MS = 1_000


class Exchange:
    """A whole simulated exchange but for its sockets."""

    def __init__(self, config: ExchangeConfig, clock_ms: Callable[[], int]) -> None:
        self.config = config
        self._right_clock_ms = clock_ms
        self._wrong_by_ms = 0
        self._out_until_ms = 0
        self.notes: list[str] = []
        self.connections = 0
        self.slow_clients_total = 0
        self.venue = Venue(config)
        self.journal: Journal | None = None
        self._journals: dict[str, Journal] = {}
        self._futures_journals = FuturesJournals(config)
        if config.state_dir is not None:
            self._open_journals(config.state_dir)
        self.limiter = Limiter(config.rate_limits)
        self.keys = Keys(config)
        self.operations = Operations(self.venue, self.limiter)
        self.tables = {USER: self.operations} | {
            name: Operations(self.venue, self.limiter, name, self.operations.market)
            for name in self.venue.users
            if name != USER
        }
        """What each account may ask for."""
        clock_ms = self.clock_ms
        self.faults = Faults()
        self.later = Later()
        self.rest = RestApi(self.tables, self.limiter, self.keys, self.faults, clock_ms)
        self.crowd = Crowd(self.venue, Random(config.seed))
        self.users = UserStreams(self.venue.rules, self.faults, self.later, self._right_clock_ms)
        for journal in self._journals.values():
            self.venue.observers.append(journal)
            self.venue.transfer_observers.append(journal.on_transfer)
        self.futures = Futures(
            self.venue,
            self._futures_journals,
            self.users,
            self.faults,
            self.later,
            (clock_ms, self._right_clock_ms),
        )
        self.futures.serve(self.operations.market, self.keys)
        self.venue.observers += [
            self.users, self.futures, self.crowd, FirstFills(self.limiter, self.venue.users),
        ]  # fmt: skip
        self.venue.transfer_observers.append(self.users.on_transfer)
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

    def _open_journals(self, directory: Path) -> None:
        """Take hold of every account's journal and continue from them."""
        names = list(self.venue.opening)
        known = {p.name for p in (directory / ACCOUNTS).glob("*") if p.is_dir()}
        missing = sorted(known - set(names))
        if missing:
            raise JournalError(
                f"{directory} holds an account {missing[0]!r}, which --accounts leaves out; "
                "name it or choose another --state-dir"
            )
        self.journal = self._journals[USER] = Journal(directory)
        for name in names[1:]:
            self._journals[name] = Journal(directory / ACCOUNTS / name, name)
        counters: SavedCounters | None = None
        continued = False
        for name, journal in self._journals.items():
            restored = journal.restore()
            home = directory if name == USER else directory / ACCOUNTS / name
            books = self._futures_journals.restore(name, home)
            restored.transfers += books.transfers
            counters = restored.counters or counters
            continued = self._restore(name, journal, restored) or continued
        if continued:
            self.venue.skip_ids(counters, GAP)
        self.notes += self._futures_journals.notes

    def _restore(self, name: str, journal: Journal, restored: Restored) -> bool:
        """Continue one account from its journal; False where there was none yet."""
        if restored.torn_bytes:
            self.notes.append(
                f"the journal's last line was torn; {restored.torn_bytes} bytes cut off"
            )
        if restored.opening is None:
            journal.open(self.venue.opening[name])
            return False
        unlisted = {r.symbol for r in restored.reports} - self.venue.rules.keys()
        if unlisted:
            names = ", ".join(sorted(unlisted))
            raise JournalError(
                f"{self.config.state_dir} holds orders in {names}, which --symbols leaves out; "
                "list them or choose another --state-dir"
            )
        venue = self.venue
        venue.resume(name, restored.reports, restored.transfers, restored.opening.balances)
        working = sum(len(venue.users[name].working_orders(s)) for s in venue.rules)
        self.notes.append(
            f"continued {'' if name == USER else f'account {name} '}from {self.config.state_dir}: "
            f"{len(restored.reports)} reports, {working} working orders"
        )
        return True

    def clock_ms(self) -> int:
        """The venue's clock, in ms UTC; right but for `set_clock`."""
        return self._right_clock_ms() + self._wrong_by_ms

    def set_clock(self, wrong_by_ms: int) -> None:
        """From now on the venue's clock is wrong by so much; above 0 it is ahead."""
        by_ms, self._wrong_by_ms = wrong_by_ms - self._wrong_by_ms, wrong_by_ms
        self.crowd.set_clock(by_ms)
        self.futures.set_clock()
        self._due = [due + by_ms for due in self._due]

    def go_out(self, for_ms: int) -> None:
        """Answer nobody for so long; 0 ends an outage."""
        self._out_until_ms = self._right_clock_ms() + for_ms

    def is_out(self) -> bool:
        """Whether there is an outage."""
        return self._right_clock_ms() < self._out_until_ms

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Do `action` so much later, in a step."""
        self.later.add(self._right_clock_ms() + delay_ms, action)

    def api_session(self, address: str, write: Callable[[bytes], None]) -> ApiSession:
        """Return a new WebSocket API session."""
        return ApiSession(
            self.tables,
            self.limiter,
            self.keys,
            self.users,
            self.faults,
            self.clock_ms,
            address,
            write,
            lambda delay_ms, frame: self.after(delay_ms, lambda: write(frame)),
        )

    def futures_session(self, address: str, write: Callable[[bytes], None]) -> ApiSession:
        """Return a new session of the futures WebSocket API."""
        return self.futures.api_session(
            address, write, lambda delay_ms, frame: self.after(delay_ms, lambda: write(frame))
        )

    def step(self) -> None:
        """Let the crowd act and publish what is due. To be called about every 10 ms."""
        now_ms = self.clock_ms()
        self.later.run(self._right_clock_ms())
        self.crowd.step(now_ms)
        self.futures.step(now_ms)
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
            for journal in self._journals.values():
                journal.close()
            self.futures.close()
            self.journal = None
