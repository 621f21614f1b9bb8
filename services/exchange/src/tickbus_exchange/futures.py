"""The futures side of an exchange: every user's desk, what keeps it, and the ways to ask for it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tickbus_exchange.config import ExchangeConfig
from tickbus_exchange.engine.futures_algos import FuturesAlgos
from tickbus_exchange.engine.futures_books import FuturesBooks
from tickbus_exchange.engine.futures_desk import FuturesDesk
from tickbus_exchange.engine.futures_keeper import FuturesKeeper
from tickbus_exchange.engine.futures_types import ASSET, Changes
from tickbus_exchange.engine.orders import Report, Trade, Transfer
from tickbus_exchange.futures_journal import FuturesJournal
from tickbus_exchange.protocol.faults import Faults
from tickbus_exchange.protocol.futures import FuturesData
from tickbus_exchange.protocol.futures_account import FuturesAccount
from tickbus_exchange.protocol.futures_limits import FuturesLimiter
from tickbus_exchange.protocol.futures_operations import FuturesOperations
from tickbus_exchange.protocol.futures_rest import FuturesRest, FuturesSession
from tickbus_exchange.protocol.futures_trading import FuturesTrading
from tickbus_exchange.protocol.futures_user import (
    ListenKeys,
    PrivateHub,
    PrivateStream,
    session_target,
)
from tickbus_exchange.protocol.keys import Keys
from tickbus_exchange.protocol.later import Later
from tickbus_exchange.protocol.market_data import MarketData
from tickbus_exchange.protocol.market_session import MarketSession
from tickbus_exchange.protocol.wsapi import UserStreams
from tickbus_exchange.tape import AggTrade
from tickbus_exchange.venue import USER, Venue


class FuturesJournals:
    """The futures journal of every user, if there is a state directory, and what was in it."""

    def __init__(self, config: ExchangeConfig) -> None:
        self._wallet = config.futures.wallet
        self._open: dict[str, FuturesJournal] = {}
        self._books: dict[str, FuturesBooks] = {}
        self.notes: list[str] = []

    def restore(self, user: str, directory: Path) -> FuturesBooks:
        """Take hold of a user's journal and return the books in it. Raises JournalError."""
        journal = self._open[user] = FuturesJournal(directory)
        books = self._books[user] = journal.restore(self._wallet)
        if journal.torn_bytes:
            self.notes.append(
                f"the futures journal's last line was torn; {journal.torn_bytes} bytes cut off"
            )
        return books

    def books(self, user: str) -> FuturesBooks:
        """Return what was restored, or new books."""
        return self._books.get(user) or FuturesBooks(self._wallet)

    def listener(self, user: str) -> Callable[[Changes], None] | None:
        """Return what keeps a user's changes, None where nothing does."""
        journal = self._open.get(user)
        return journal.append if journal is not None else None

    def close(self) -> None:
        """Let go of every file."""
        for journal in self._open.values():
            journal.close()
        self._open.clear()


class FuturesUser:
    """One user's desk and what belongs to it."""

    def __init__(
        self, name: str, venue: Venue, journals: FuturesJournals, hub: PrivateHub, now_ms: int
    ) -> None:
        config = venue.config.futures
        fees = config.maker_fee, config.taker_fee
        self.name = name
        self.desk = FuturesDesk(venue, venue.rules, journals.books(name), fees, name)
        self.keys = ListenKeys(f"{venue.config.seed} {name}")
        self.stream = PrivateStream(hub, self.desk, self.keys)
        # First it is kept, then it is told, then it has consequences.
        keep = journals.listener(name)
        self.desk.listeners += [keep] if keep is not None else []
        self.desk.listeners.append(self.stream.on_changes)
        self.algos = FuturesAlgos(self.desk)
        self.keeper = FuturesKeeper(
            self.desk, self.algos, config.funding_interval_ms, config.funding_rate
        )
        venue.elsewhere[self.desk.account_id] = self.desk.on_reports
        self.desk.resume(now_ms)

    def step(self, now_ms: int) -> None:
        """Do what is due by `now_ms`."""
        self.keeper.step(now_ms)
        self.stream.step(now_ms)


class Futures:
    """Everything about futures but the public streams. An Observer of the venue."""

    def __init__(
        self,
        venue: Venue,
        journals: FuturesJournals,
        spot: UserStreams,
        faults: Faults,
        later: Later,
        clocks: tuple[Callable[[], int], Callable[[], int]],
    ) -> None:
        self._clock_ms, steady_ms = clocks
        self._venue = venue
        self._journals = journals
        self._spot = spot
        self._faults = faults
        self.hub = PrivateHub(faults, later, steady_ms)
        now_ms = self._clock_ms()
        self.users = {
            name: FuturesUser(name, venue, journals, self.hub, now_ms) for name in venue.users
        }
        self.limiter = FuturesLimiter(venue.config.futures)

    def serve(self, market: MarketData, keys: Keys) -> None:
        """Make the tables of what can be asked."""
        self._keys = keys
        data = FuturesData(self._venue, self.limiter)
        self.tables = {
            name: FuturesOperations(
                market, data,
                FuturesTrading(u.desk, u.algos, u.keeper, self.limiter, self._venue, name),
                FuturesAccount(u.desk), u.keys,
            )
            for name, u in self.users.items()
        }  # fmt: skip
        self.rest = FuturesRest(self.tables, self.limiter, keys, self._faults, self._clock_ms)

    @property
    def user(self) -> FuturesUser:
        """The first user."""
        return self.users[USER]

    def api_session(
        self,
        address: str,
        write: Callable[[bytes], None],
        send_later: Callable[[int, bytes], None],
    ) -> FuturesSession:
        """Return a new WebSocket API session."""
        return FuturesSession(
            self.tables, self.limiter, self._keys, self._spot, self._faults, self._clock_ms,
            address, write, send_later,
        )  # fmt: skip

    def private_session(
        self, write: Callable[[bytes], None], path: str, query: str
    ) -> MarketSession:
        """Return a new session on the /private route."""
        return MarketSession(self.hub, write, *session_target(path, query))

    def transfer(self, name: str, amount: int, now_ms: int) -> Transfer | None:
        """Move USDT from the spot wallet, or (below 0) to it; None where there is too little."""
        balance, desk = self._venue.users[name].balance(ASSET), self.users[name].desk
        if amount > balance.free or -amount > desk.withdrawable():
            return None
        engine = self._venue.engine
        engine.execution_id += 1
        transfer = Transfer(
            name, engine.execution_id, ASSET, -amount, now_ms, balance.free - amount,
            balance.locked,
        )  # fmt: skip
        # One line of one journal holds both sides, so no kill can part them.
        desk.transfer(transfer, now_ms)
        balance.free -= amount
        self._venue.ledgers[name].move(transfer)
        self._spot.on_transfer(transfer)
        return transfer

    def step(self, now_ms: int) -> None:
        """Do what is due by `now_ms`."""
        for user in self.users.values():
            user.step(now_ms)

    def set_clock(self) -> None:
        """The clock was set."""
        for user in self.users.values():
            user.keeper.set_clock()

    def close(self) -> None:
        """Let go of the journals."""
        self._journals.close()

    # -- observer ------------------------------------------------------------------------------

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Spot orders are not our business."""

    def on_trades(self, symbol: str, trades: list[Trade], aggregates: list[AggTrade]) -> None:
        """Let conditional orders see what was traded."""
        for user in self.users.values():
            user.algos.on_trades(symbol, trades)

    def on_book(self, symbol: str) -> None:
        """The mark is looked up when it is needed."""
