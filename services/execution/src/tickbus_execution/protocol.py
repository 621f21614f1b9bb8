"""What order entry at a venue has to say and to read: requests out, reports in, no IO."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from tickbus.events import CancelOrder, Event, SubmitOrder
from tickbus_execution.venue import AccountReport, ForeignFill, OrderReport, Payment
from tickbus_execution.wire import Ask

InstrumentOf = Callable[[str], str | None]


class Heard(NamedTuple):
    """What an event of the user stream says.

    `ending`: why no more events will follow on this stream. `alarm`: what people must be told.
    `unknown_symbol`: a report on something that is not configured here. None of them: not for us.
    """

    reports: tuple[Event, ...] = ()
    ending: str = ""
    alarm: str = ""
    unknown_symbol: str = ""


class VenueProtocol(Protocol):
    """One venue's dialect. What it reads raises one of `wire.UNREADABLE` for another shape."""

    name: str
    dialect: str
    """Whose error codes it speaks: `refusals.SPOT` or `refusals.USDM`."""
    time: Ask
    account: Ask
    trades_page: int
    trades_window_ms: int
    """The longest span of time that one question for trades may cover."""
    unfilled_kept_ms: int
    """How old an order may be that ended unfilled before the venue denies that it ever was; 0 for a
    venue that says of such an order that it was archived."""
    kept_ms: int
    """The same of any order that has ended."""
    subscribe: Ask | None
    """Begins the user stream on the WebSocket API's session; None where it has its own line."""
    new_listen_key: Ask | None
    keep_listen_key: Ask | None
    position_mode: Ask | None
    """Asks whether positions are netted, which is what the ledger's books assume."""
    has_countdown: bool

    def limits(self, symbol: str) -> Ask:
        """Ask for the rate limits, and whether `symbol` trades."""
        ...

    def private_url(self, ws_url: str, listen_key: str) -> str:
        """Where the user stream of `listen_key` is."""
        ...

    def note_conditional(self, client_order_id: str) -> None:
        """This order, perhaps of an earlier process, waits or waited for a trigger price."""
        ...

    def place(self, order: SubmitOrder, symbol: str) -> Ask:
        """The request that places `order`."""
        ...

    def cancel(self, cancel: CancelOrder, symbol: str) -> Ask:
        """The request that cancels one order."""
        ...

    def status(self, client_order_id: str, symbol: str) -> Ask:
        """Ask for one order; an external one is asked for by the venue's own id."""
        ...

    def trades_of(self, symbol: str, venue_order_id: str) -> Ask:
        """Ask for the fills of one order."""
        ...

    def open_orders(self, symbol: str) -> tuple[Ask, ...]:
        """Ask for everything that works: plain orders, and conditional ones where they differ."""
        ...

    def triggered(self, symbol: str) -> Ask | None:
        """Ask for what came of conditional orders; `read_order` remembers whose fills those are."""
        ...

    def trades(
        self, symbol: str, *, from_id: int | None = None, start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> Ask:  # fmt: skip
        """Ask for fills, oldest first: from an id on, or of a span of time."""
        ...

    def countdown(self, symbol: str, after_ms: int) -> Ask:
        """Have the venue cancel everything in `symbol` after `after_ms`, unless told again."""
        ...

    def read_order(
        self, body: dict[str, Any], instrument_id: str, ts_recv: int
    ) -> OrderReport | None:
        """From the answer to `place`, `cancel`, `status` or `open_orders`.

        None for an answer that says only that the request was taken.
        """
        ...

    def read_trade(self, body: dict[str, Any], instrument_id: str) -> ForeignFill:
        """From an entry of the answer to `trades` or `trades_of`."""
        ...

    def read_account(
        self, body: dict[str, Any], ts_recv: int, ts_asked: int, instrument_of: InstrumentOf
    ) -> AccountReport:
        """From the answer to `account`; `ts_asked` is the venue's time when the question left."""
        ...

    def read_trading(self, body: dict[str, Any], symbol: str) -> bool:
        """Whether `symbol` trades, from the answer to `limits`."""
        ...

    def symbol_of(self, instrument_id: str) -> str:
        """How the venue most likely spells an instrument that nobody described."""
        ...

    def read_instrument(self, body: dict[str, Any], symbol: str) -> str | None:
        """The canonical id of `symbol`, from the answer to `limits`; None when it is not there."""
        ...

    def symbols_held(self, body: dict[str, Any]) -> tuple[str, ...]:
        """The symbols of the positions in the answer to `account`."""
        ...

    def payments(self, start_ms: int, end_ms: int, page: int) -> Ask | None:
        """Ask for what moved balances beside fills, page by page from 1, of a span of time.

        None where keys that trade may not ask.
        """
        ...

    def read_payment(self, body: dict[str, Any], instrument_of: InstrumentOf) -> Payment | None:
        """From an entry of the answer to `payments`; None for what fills tell."""
        ...

    def read_event(self, event: dict[str, Any], ts_recv: int, instrument_of: InstrumentOf) -> Heard:
        """From an event of the user stream."""
        ...
