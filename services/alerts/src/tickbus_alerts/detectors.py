"""What each kind of rule sees in an event: pure functions from an event to signals."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from tickbus.events import (
    SMART_VENUE,
    CancelDenied,
    DifferenceFound,
    FeedState,
    FeedStatus,
    FlattenEnded,
    HeartbeatChanged,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
    PortfolioUpdated,
    RiskReport,
    StrategyChanged,
    StrategyOutcome,
    TradingState,
    TradingStateChanged,
    UserActed,
)
from tickbus_alerts.events import ChannelTried, LetterSeen, ServicesSeen
from tickbus_alerts.rules import Rule, matches

CLEARS_BELOW = Decimal("0.9")
"""A loss has to fall below this part of what raised the alert: one that hovers is told once."""
ONE = ("",)
REFUSED = (401, 429)
"""Answers to who is not known, or has tried too often."""
ADDRESS_REFUSED = "ADDRESS_REFUSED"
"""The code for a key that is right, and is used from where it may not be."""
PAST_GATEWAYS = "bus"
"""How who recovers a user is known: by a login of the bus, not by one of a gateway."""
CHARS_MAX = 300
"""Of what a venue or a service says of itself."""


class Signal(NamedTuple):
    """What an event says of one subject.

    `members` are what it is true of (`bad`) or not true of any more; with `exact` they are all that
    it is true of now. What happens at a moment has neither.
    """

    subject: str
    title: str = ""
    detail: str = ""
    bad: bool = True
    members: tuple[str, ...] = ONE
    exact: bool = False


Signals = Iterator[Signal]
Detect = Callable[[Any, Rule], Signals]


def fill(event: OrderFilled, rule: Rule) -> Signals:
    """A fill of ours; what the router tells again of its parts is not another one."""
    notional = event.fill.price * event.fill.quantity
    if event.venue == SMART_VENUE or notional < rule.notional_min or not _at_venue(event, rule):
        return
    done, price = event.fill, event.fill.price
    yield Signal(
        event.strategy_id,
        f"fill of {event.strategy_id}",
        f"{done.side} {done.quantity:f} {event.instrument_id} at {price:f} ({event.venue}), order"
        f" {event.client_order_id}, {event.leaves_quantity:f} left",
    )


def denial(event: OrderDenied | CancelDenied, rule: Rule) -> Signals:
    """Risk refused an order or a cancel."""
    wish = event.order if isinstance(event, OrderDenied) else event.cancel
    if _at_venue(wish, rule) and matches(rule.reasons, event.reason):
        yield Signal(
            f"{wish.strategy_id} {event.reason}",
            f"denied {wish.strategy_id}: {event.reason}",
            f"{wish.instrument_id} at {wish.venue}, order {wish.client_order_id}: "
            f"{_short(event.detail)}",
        )


def rejection(event: OrderRejected, rule: Rule) -> Signals:
    """A venue said no to an order."""
    if _at_venue(event, rule) and matches(rule.reasons, event.reason):
        yield Signal(
            f"{event.strategy_id} {_short(event.reason)}",
            f"{event.venue} rejected an order of {event.strategy_id}: {_short(event.reason)}",
            f"{event.instrument_id}, order {event.client_order_id}: {_short(event.detail)}",
        )


def unknown(event: Any, rule: Rule) -> Signals:
    """What became of an order is not known, until the venue says it."""
    if _at_venue(event, rule):
        yield Signal(
            event.venue,
            f"{event.venue} does not say what became of an order",
            f"order {event.client_order_id} of {event.strategy_id}: {_short(event.detail)}"
            if isinstance(event, OrderUnknown)
            else "",
            bad=isinstance(event, OrderUnknown),
            members=(event.client_order_id,),
        )


def difference(event: DifferenceFound, rule: Rule) -> Signals:
    """An account was not what the books said."""
    if _at_venue(event, rule) and matches(rule.reasons, event.kind):
        yield Signal(
            f"{event.venue} {event.kind}",
            f"{event.venue} and the books differ: {event.kind}",
            f"{event.instrument_id} {event.client_order_id} {_short(event.detail)}".strip(),
        )


def unexplained(event: PortfolioUpdated, rule: Rule) -> Signals:
    """Balances and positions that nothing known explains, for as long as they differ."""
    found: dict[str, dict[str, str]] = {}
    for balance in event.balances:
        names = found.setdefault(balance.venue, {})
        if balance.difference:
            names[balance.asset] = f"{balance.asset} {balance.difference:+f}"
    for position in event.positions:
        names = found.setdefault(position.venue, {})
        if position.difference:
            names[position.instrument_id] = f"{position.instrument_id} {position.difference:+f}"
    for venue, names in found.items():
        if matches(rule.venues, venue):
            yield Signal(
                venue,
                f"{venue} reports what the books do not explain",
                f"the venue has more (+) or less (-) than the books: {', '.join(names.values())}"
                if names
                else "",
                bad=bool(names),
                members=tuple(names),
                exact=True,
            )


def halt(event: TradingStateChanged, rule: Rule) -> Signals:
    """Everything, or one strategy, may not trade any more."""
    strategy_id = event.scope.removeprefix("strategy:") if ":" in event.scope else ""
    if not matches(rule.strategies, strategy_id):
        return
    numbers = "" if event.limit is None else f" (value {event.value}, limit {event.limit})"
    yield Signal(
        event.scope,
        f"trading is {event.after}: {strategy_id or 'everything'}",
        f"{event.cause} by {event.actor}: {_short(event.reason)}{numbers}",
        bad=event.after is not TradingState.ACTIVE,
    )


def flatten(event: FlattenEnded, rule: Rule) -> Signals:
    """Risk was to close positions, and could not close all."""
    if event.residual:
        left = ", ".join(f"{amount:f} {name} at {venue}" for venue, name, amount in event.residual)
        yield Signal(
            event.scope, f"positions are left open: {event.scope}", f"left: {_short(left)}"
        )


def drawdown(event: RiskReport, rule: Rule) -> Signals:
    """So much of the limit on drawdown is used."""
    yield from _losses(event, rule, "drawdown", "drawdown_max")


def daily_loss(event: RiskReport, rule: Rule) -> Signals:
    """So much of the limit on the day's loss is used."""
    yield from _losses(event, rule, "daily_loss", "daily_loss_max")


def _losses(event: RiskReport, rule: Rule, field: str, name: str) -> Signals:
    limits = {each.scope: each.value for each in event.limits if each.name == name}
    for scope in event.scopes:
        limit = limits.get(scope.scope)
        if not limit or not matches(rule.strategies, scope.scope.removeprefix("strategy:")):
            continue
        value: Decimal = getattr(scope, field)
        bad = value >= limit * rule.share
        if bad or value < limit * rule.share * CLEARS_BELOW:
            words = field.replace("_", " ")
            yield Signal(
                scope.scope,
                f"{words} of {scope.scope} is near its limit",
                f"{words} {value:.2f} {event.currency}, {value / limit:.0%} of {name} {limit:f}",
                bad=bad,
            )


def feed(event: FeedStatus, rule: Rule) -> Signals:
    """What the feed says of a market cannot be trusted."""
    if matches(rule.venues, event.venue) and matches(rule.instruments, event.instrument_id):
        yield Signal(
            event.venue,
            f"market data of {event.venue} is not live",
            f"{event.instrument_id} is {event.state} {_short(event.reason)}".rstrip(),
            bad=event.state is not FeedState.LIVE,
            members=(event.instrument_id,),
        )


def service(event: ServicesSeen, rule: Rule) -> Signals:
    """A service is gone, or is not ready."""
    for word in event.services:
        if matches(rule.services, word.name):
            yield Signal(
                word.name,
                f"{word.name} does not work",
                f"{word.name} {word.waiting_for or ('works' if word.is_ready else 'is not ready')}",
                bad=not word.is_ready,
            )


def silence(event: HeartbeatChanged, rule: Rule) -> Signals:
    """A strategy gives no sign of life."""
    if matches(rule.strategies, event.strategy_id):
        yield Signal(
            event.strategy_id,
            f"strategy {event.strategy_id} is silent",
            f"no heartbeat for {event.silent_ms} ms, limit {event.limit_ms} ms: its orders are"
            " being cancelled"
            if event.lost
            else "heartbeats come again",
            bad=event.lost,
        )


def strategy(event: StrategyChanged, rule: Rule) -> Signals:
    """A strategy raised and was stopped."""
    ended = (StrategyOutcome.FAILED, StrategyOutcome.APPLIED)
    if event.outcome in ended and matches(rule.strategies, event.strategy_id):
        yield Signal(
            event.strategy_id,
            f"strategy {event.strategy_id} failed and was stopped",
            _short(event.problem),
            bad=event.outcome is StrategyOutcome.FAILED,
        )


def login(event: UserActed, rule: Rule) -> Signals:
    """Somebody at one address whom the gateway did not let in."""
    if _is_refused(event):
        yield Signal(
            event.address,
            f"access from {event.address} was refused",
            f"{event.action} as {_whom(event)}: {event.status} {event.code}",
        )


def user_login(event: UserActed, rule: Rule) -> Signals:
    """Somebody, from wherever, who was not let in as one user."""
    if event.user and _is_refused(event):
        yield Signal(
            event.user,
            f"access as {event.user} was refused",
            f"{event.action} as {_whom(event)} from {event.address}: {event.status} {event.code}",
        )


def recovery(event: UserActed, rule: Rule) -> Signals:
    """A user has a new password that no gateway gave: whoever did it owns the bus."""
    if event.via == PAST_GATEWAYS:
        yield Signal(
            event.target,
            f"a new password was given past the gateway: {event.target.rpartition('/')[2]}",
            f"by {event.user} on {event.address}",
        )


def _is_refused(event: UserActed) -> bool:
    return event.status in REFUSED or event.code == ADDRESS_REFUSED


def _whom(event: UserActed) -> str:
    with_key = f" with the key {event.key_id}" if event.key_id else ""
    return f"{event.user or 'nobody who is known'}{with_key}"


def letter(event: LetterSeen, rule: Rule) -> Signals:
    """A service gave up a message."""
    if matches(rule.services, event.service):
        yield Signal(
            event.service,
            f"{event.service} gave up a message",
            f"{event.name}, from {event.subject}: {_short(event.error)}"
            if event.is_dead
            else "somebody has seen to it",
            bad=event.is_dead,
            members=(event.name,),
        )


def channel(event: ChannelTried, rule: Rule) -> Signals:
    """A channel does not take what is sent through it."""
    yield Signal(
        event.channel,
        f"alerts do not get through: channel {event.channel}",
        event.problem or "messages get through again",
        bad=bool(event.problem),
    )


SAYS_OF_ORDER = (OrderAccepted, OrderRejected, OrderFilled, OrderCanceled, OrderExpired)
"""After one of these the venue has said what became of an order."""


def _at_venue(event: Any, rule: Rule) -> bool:
    return (
        matches(rule.strategies, event.strategy_id)
        and matches(rule.venues, event.venue)
        and matches(rule.instruments, event.instrument_id)
    )


def _short(text: str) -> str:
    return text if len(text) <= CHARS_MAX else f"{text[:CHARS_MAX]}..."
