"""The kinds of rules there are: one table, from which the defaults and the documentation come."""

from typing import NamedTuple

from tickbus.alerts_api import Severity
from tickbus.events import (
    CancelDenied,
    DifferenceFound,
    FeedStatus,
    FlattenEnded,
    HeartbeatChanged,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
    PortfolioUpdated,
    RiskReport,
    StrategyChanged,
    TradingStateChanged,
    UserActed,
)
from tickbus_alerts import detectors as see
from tickbus_alerts.detectors import SAYS_OF_ORDER, Detect
from tickbus_alerts.events import ChannelTried, LetterSeen, ServicesSeen
from tickbus_alerts.rules import Rule

INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
_ORDERS = ("strategies", "venues", "instruments")


class Kind(NamedTuple):
    """What rules of one kind look for.

    `lasts`: it is a state that ends, rather than something that happens. `filters`: the settings
    that apply to it. `wait_s`, `cooldown_s`, `severity` and `enabled` are the defaults.
    `repeats`: who says it says it again all the time, so that what is not said again is over.
    """

    says: str
    remedy: str
    detect: Detect
    events: tuple[type, ...]
    severity: Severity
    lasts: bool = False
    wait_s: float = 1.0
    cooldown_s: float = 300.0
    filters: tuple[str, ...] = ()
    enabled: bool = True
    repeats: bool = False
    at_least: int = 1


KINDS = {
    "fill": Kind(
        "an order of ours filled", "see `tickbus history fills`", see.fill, (OrderFilled,), INFO,
        filters=(*_ORDERS, "notional_min"), cooldown_s=60.0, enabled=False,
    ),
    "denial": Kind(
        "risk refused an order or a cancel", "docs/denial-reasons.md says what each reason means",
        see.denial, (OrderDenied, CancelDenied), WARNING, filters=(*_ORDERS, "reasons"),
    ),
    "rejection": Kind(
        "a venue refused an order", "see `tickbus history orders` and the log of execution",
        see.rejection, (OrderRejected,), WARNING, filters=(*_ORDERS, "reasons"),
    ),
    "order_unknown": Kind(
        "a venue does not say what became of an order",
        "execution goes on asking; look at the venue if it lasts", see.unknown,
        (OrderUnknown, *SAYS_OF_ORDER), CRITICAL, lasts=True, wait_s=10.0, filters=_ORDERS,
    ),
    "difference": Kind(
        "an account was not what the books said", "docs/reconciliation.md says what to do",
        see.difference, (DifferenceFound,), WARNING, filters=("venues", "instruments", "reasons"),
    ),
    "unexplained": Kind(
        "balances or positions at a venue that the books do not explain",
        "find out why: docs/reconciliation.md", see.unexplained, (PortfolioUpdated,), CRITICAL,
        lasts=True, wait_s=30.0, filters=("venues",),
    ),
    "halt": Kind(
        "trading of everything or of a strategy was stopped: kill switch, halt, a limit on losses",
        "when it is safe: `tickbus resume`", see.halt, (TradingStateChanged,), CRITICAL,
        lasts=True, wait_s=0.0, cooldown_s=0.0, filters=("strategies",),
    ),
    "flatten": Kind(
        "positions that were to be closed are still open", "close them at the venue", see.flatten,
        (FlattenEnded,), CRITICAL, wait_s=0.0,
    ),
    "drawdown": Kind(
        "so much of `drawdown_max` is used", "see `tickbus risk`", see.drawdown, (RiskReport,),
        WARNING, lasts=True, wait_s=0.0, filters=("strategies", "share"),
    ),
    "daily_loss": Kind(
        "so much of `daily_loss_max` is used", "see `tickbus risk`", see.daily_loss, (RiskReport,),
        WARNING, lasts=True, wait_s=0.0, filters=("strategies", "share"),
    ),
    "feed": Kind(
        "market data of a venue is stale or away", "see `tickbus status` and the log of feed",
        see.feed, (FeedStatus,), WARNING, lasts=True, wait_s=15.0,
        filters=("venues", "instruments"), repeats=True,
    ),
    "service": Kind(
        "a service that was there is gone, or is not ready", "see `tickbus status` and its log",
        see.service, (ServicesSeen,), CRITICAL, lasts=True, wait_s=20.0, filters=("services",),
    ),
    "silence": Kind(
        "a strategy gives no sign of life", "see `tickbus strategies` and the log of strategy",
        see.silence, (HeartbeatChanged,), CRITICAL, lasts=True, wait_s=0.0,
        filters=("strategies",),
    ),
    "strategy": Kind(
        "a strategy failed and was stopped", "see `tickbus strategies`", see.strategy,
        (StrategyChanged,), CRITICAL, lasts=True, wait_s=0.0, filters=("strategies",),
    ),
    "login": Kind(
        "somebody at one address without the right password or key",
        "see who has access, and take it from who should not have it: docs/access.md",
        see.login, (UserActed,), WARNING, wait_s=60.0,
        at_least=5,
    ),
    # More often than the gateway lets one address try: of one address only `login` speaks.
    "user_login": Kind(
        "somebody, from several addresses, without the right password or key of one user",
        "see who it is: docs/access.md; a new password ends every login of the user",
        see.user_login, (UserActed,), WARNING, wait_s=60.0, at_least=20,
    ),
    "recovery": Kind(
        "a user was given a new password past the gateway, by `tickbus users recover` or its like",
        "if it was none of you: change the passwords of the bus (docs/operations.md), then the"
        " user's", see.recovery, (UserActed,), CRITICAL, wait_s=0.0,
    ),
    "dead_letter": Kind(
        "a service gave up a message", "see `tickbus dead-letters`", see.letter, (LetterSeen,),
        CRITICAL, lasts=True, wait_s=0.0, filters=("services",),
    ),
    "channel": Kind(
        "a channel takes no alerts; the others are told", "`tickbus alerts test CHANNEL` tries it",
        see.channel, (ChannelTried,), WARNING, lasts=True, wait_s=0.0,
    ),
}  # fmt: skip


def default_rules() -> tuple[Rule, ...]:
    """One rule of each kind, named like it."""
    return tuple(rule_of(name, name) for name in KINDS)


def rule_of(name: str, when: str) -> Rule:
    """A rule of a kind as it is when nothing else is said."""
    kind = KINDS[when]
    return Rule(
        name=name, when=when, enabled=kind.enabled, severity=kind.severity, wait_s=kind.wait_s,
        cooldown_s=kind.cooldown_s, at_least=kind.at_least,
    )  # fmt: skip
