"""Subject strings: the only place where they are built or taken apart."""

from functools import lru_cache

from tickbus.events.access import UserActed
from tickbus.events.base import Event
from tickbus.events.book import BookDepth, BookTop, ConsolidatedTop
from tickbus.events.control import RiskState
from tickbus.events.ledger import BalanceAdjusted, PortfolioUpdated, SessionStarted
from tickbus.events.lifecycle import StrategyChanged, StrategyState
from tickbus.events.logs import LogRecorded
from tickbus.events.market import (
    BookDelta,
    BookSnapshot,
    FeedStatus,
    Funding,
    InstrumentChanged,
    KeyframeWanted,
    Liquidation,
    Quote,
    Trade,
)
from tickbus.events.orders import (
    AccountReconciled,
    AccountUpdated,
    BestExecution,
    CancelAllOrders,
    CancelApproved,
    CancelDenied,
    CancelOrder,
    CancelRejected,
    DifferenceFound,
    OrderAccepted,
    OrderApproved,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderUnknown,
    SubmitOrder,
)
from tickbus.events.risk import Heartbeat, RiskAudit, RiskReport
from tickbus.events.strategy import StrategyDecision

ORDERS_STREAM = "ORDERS"
ORDERS_ALL = "orders.>"
INTENTS_ALL = "orders.intent.*"
APPROVED_ALL = "orders.approved.*"
DENIED_ALL = "orders.denied.*"
ORDER_EVENTS_ALL = "orders.event.*.*"
ACCOUNTS_ALL = "orders.account.*"
BOOK_TOP_ALL = "book.top.>"
BOOK_DEPTH_ALL = "book.depth.>"
CONSOLIDATED_ALL = "book.consolidated.*"
RISK_AUDIT_ALL = "orders.risk.*"
STRATEGY_AUDIT_ALL = "orders.strategy.*"
ACTS = "orders.audit.user"
"""What people and their programs did through the gateway."""
SESSIONS = "orders.session"
"""Where it is put on record that somebody began a new session."""
RISK_STATE = "risk.state"
HEARTBEATS_ALL = "control.heartbeat.*"
LEDGER_PORTFOLIO = "ledger.portfolio"
STATUS = "control.status"
STRATEGIES = "control.strategies"
"""Where processes of strategies say what they run, and what could be run."""
STRATEGY_STATES_ALL = "strategy.state.*"
LOGS_ALL = "logs.*"
DECISIONS_ALL = "strategy.decision.*"
DECISIONS_STREAM = "DECISIONS"
"""Keeps what strategies decided, for a while; see `tickbus.bus.streams`."""
READER = "control.reader"
"""Where a strategy asks the doorkeeper, in its own account."""
MANUAL = "manual"
"""The strategy id of orders that people place through the gateway."""
RISK = "risk"
"""The strategy id of orders with which risk itself closes positions; nobody else may use it."""
EXTERNAL = "external"
"""The strategy id of what nobody here ordered: placed at the venue by hand, or by the venue."""

_MARKET = {
    Trade: "md.trade",
    Quote: "md.quote",
    BookDelta: "md.delta",
    BookSnapshot: "md.snapshot",
    FeedStatus: "md.status",
    Liquidation: "md.liquidation",
    Funding: "md.funding",
    InstrumentChanged: "md.instrument",
    KeyframeWanted: "control.keyframe",
    BookTop: "book.top",
    BookDepth: "book.depth",
}
_FLEETING = frozenset(
    (
        *_MARKET, ConsolidatedTop, RiskState, RiskReport, Heartbeat, PortfolioUpdated,
        StrategyDecision, StrategyState, LogRecorded,
    )
)  # fmt: skip
_AT_VENUE = (
    OrderSubmitted,
    OrderReplaced,
    OrderAccepted,
    OrderRejected,
    OrderFilled,
    OrderCanceled,
    OrderExpired,
    CancelRejected,
    OrderUnknown,
    BestExecution,
    DifferenceFound,
)
_cache: dict[tuple[type, str, str], str] = {}


@lru_cache(maxsize=10_000)
def token(text: str) -> str:
    """`text` as one subject token. Raises ValueError where it could not be one.

    Letters of any script are allowed (venues list symbols in Chinese); dots, white space and
    wildcards are not.
    """
    if not text or any(c in ".*>" or c.isspace() or not c.isprintable() for c in text):
        raise ValueError(
            f"{text!r} cannot be part of a subject: it must hold no dot, space, '*' or '>'"
        )
    return text


def market(kind: str, venue: str = "*", instrument_id: str = "*") -> str:
    """`md.<kind>.<venue>.<instrument>`.

    Kinds: trade, quote, delta, snapshot, status, liquidation, funding, instrument.
    """
    return f"md.{kind}.{venue}.{instrument_id}"


def book(kind: str, venue: str = "*", instrument_id: str = "*") -> str:
    """`book.<kind>.<venue>.<instrument>`; kind is top or depth."""
    return f"book.{kind}.{venue}.{instrument_id}"


def instrument_of(subject: str) -> str:
    """The instrument that a subject of market data or of views ends in."""
    return subject.rpartition(".")[2]


def keyframe_wishes(venue: str) -> str:
    """Where consumers ask the feed of `venue` for whole books."""
    return f"control.keyframe.{token(venue)}.*"


def book_snapshot_request(venue: str) -> str:
    """Where the book service answers requests for a whole book of `venue`."""
    return f"control.book.snapshot.{venue}"


def approved(venue: str) -> str:
    """What execution of `venue` consumes."""
    return f"orders.approved.{token(venue)}"


def order_events(venue: str = "*", strategy_id: str = "*") -> str:
    """What happened at a venue to the orders of a strategy."""
    return f"orders.event.{venue}.{strategy_id}"


def denied(strategy_id: str) -> str:
    """What risk refused of a strategy."""
    return f"orders.denied.{strategy_id}"


def risk_records(strategy_id: str = "") -> str:
    """What risk puts on record of a strategy, or of everything: stops and resumes among it."""
    return f"orders.risk.strategy:{token(strategy_id)}" if strategy_id else "orders.risk.global"


def strategy_questions(strategy_id: str = "*") -> str:
    """Where questions about one strategy are asked, and only who may speak for it answers."""
    return f"control.strategy.{strategy_id}"


def strategy_audit(strategy_id: str) -> str:
    """Where it is put on record what a strategy was changed to."""
    return f"orders.strategy.{strategy_id}"


def strategy_state(strategy_id: str) -> str:
    """Where a strategy's process says where the strategy is."""
    return f"strategy.state.{token(strategy_id)}"


def heartbeat(strategy_id: str) -> str:
    """Where a strategy says that it is alive."""
    return f"control.heartbeat.{token(strategy_id)}"


def decision(strategy_id: str) -> str:
    """Where a strategy says what it decided on."""
    return f"strategy.decision.{token(strategy_id)}"


def logs(service: str) -> str:
    """Where a service tells what it logs."""
    return f"logs.{token(service)}"


def rehearsal(service: str, instance: str) -> str:
    """Where one process sends itself orders that are not meant."""
    return f"rehearsal.{token(service)}.{token(instance)}"


def ledger_query(name: str) -> str:
    """Where the ledger answers the query `name`."""
    return f"control.ledger.{name}"


def of(event: Event) -> str:
    """The subject on which `event` is published. Raises TypeError for one that never is."""
    kind = type(event)
    if kind in _MARKET:
        return _market_subject(event)
    match event:
        case SubmitOrder() | CancelOrder():
            return f"orders.intent.{token(event.strategy_id)}"
        case CancelAllOrders():
            return f"orders.intent.{token(event.wisher or event.strategy_id or MANUAL)}"
        case OrderApproved():
            return approved(event.order.venue)
        case CancelApproved():
            return approved(event.cancel.venue)
        case OrderDenied():
            return denied(token(event.order.strategy_id))
        case CancelDenied():
            return denied(token(event.cancel.strategy_id))
        case AccountUpdated() | AccountReconciled() | BalanceAdjusted():
            return f"orders.account.{token(event.venue)}"
        case SessionStarted():
            return SESSIONS
        case ConsolidatedTop():
            return f"book.consolidated.{token(event.instrument_id)}"
        case RiskState() | RiskReport():
            return RISK_STATE
        case RiskAudit():
            return f"orders.risk.{token(event.scope)}"
        case StrategyChanged():
            return strategy_audit(token(event.strategy_id))
        case StrategyState():
            return strategy_state(event.strategy_id)
        case Heartbeat():
            return heartbeat(event.strategy_id)
        case StrategyDecision():
            return decision(event.strategy_id)
        case LogRecorded():
            return logs(event.service)
        case UserActed():
            return ACTS
        case PortfolioUpdated():
            return LEDGER_PORTFOLIO
    if isinstance(event, _AT_VENUE):
        return order_events(token(event.venue), token(event.strategy_id))
    raise TypeError(f"{kind.__name__} has no subject")


def _market_subject(event: Event) -> str:
    # One string per (type, venue, instrument), built once: this is the hot path of the feed.
    key = (type(event), event.venue, event.instrument_id)  # type: ignore[attr-defined]
    subject = _cache.get(key)
    if subject is None:
        subject = f"{_MARKET[key[0]]}.{token(key[1])}.{token(key[2])}"
        _cache[key] = subject
    return subject


def is_durable(event: Event) -> bool:
    """Whether the event travels on the order path (JetStream), where nothing may be lost."""
    return type(event) not in _FLEETING
