"""Answers about risk and the kill switch."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from tickbus_client.answers.base import Answer, Page


class RiskScope(Answer, frozen=True, kw_only=True):
    """One scope, in quote currency; exposures with every working order filled on the worse side."""

    scope: str
    state: str
    reason: str
    gross_exposure: Decimal
    net_exposure: Decimal
    net_pnl: Decimal
    daily_loss: Decimal
    drawdown: Decimal
    heartbeat_lost: bool


class RiskState(Answer, frozen=True, kw_only=True):
    """What risk lets pass (ACTIVE, REDUCING or HALTED), and where every scope stands.

    `unconfirmed`: what was just wished for is kept, but risk does not enforce it yet.
    """

    state: str
    reason: str
    working_orders: int
    denials: int
    currency: str
    scopes: tuple[RiskScope, ...]
    updated_at: datetime | None
    unconfirmed: bool = False


class RiskLimit(Answer, frozen=True, kw_only=True):
    """One limit in force; `configured` is the one of the files, None where they have none."""

    scope: str
    name: str
    value: Decimal | None
    configured: Decimal | None
    actor: str
    reason: str
    changed_at: datetime | None


class RiskLimits(Answer, frozen=True, kw_only=True):
    """Every limit that is set, those of everything first.

    `unconfirmed`: the change is kept, but risk does not enforce it yet.
    """

    limits: tuple[RiskLimit, ...]
    unconfirmed: bool = False


class LimitUsage(Answer, frozen=True, kw_only=True):
    """One limit and the most that is used of it; None where each order meets it anew.

    `used_part` is a fraction of the limit and may be above 1. `unit` is a currency, orders,
    orders/s, ms, s or bps. `where` is what uses most: an instrument at its venue, or a strategy.
    """

    scope: str
    name: str
    limit: Decimal
    used: Decimal | None
    used_part: Decimal | None
    unit: str
    where: str


class Usage(Answer, frozen=True, kw_only=True):
    """Every limit that is set and how much of it is used, as risk has it now."""

    currency: str
    at: datetime | None
    limits: tuple[LimitUsage, ...]


class Denial(Answer, frozen=True, kw_only=True):
    """One refusal; `what` was refused, for `reason`: `value` met `limit`, of `scope` if it has one.

    `wish` is the whole command, its fields by name.
    """

    sequence: int
    at: datetime | None
    what: str
    order_id: str
    strategy: str
    symbol: str
    instrument_id: str
    venue: str
    reason: str
    detail: str
    limit: str
    value: str
    scope: str
    wish: Any


class DenialPage(Page, frozen=True, kw_only=True):
    """A page of refusals, newest first."""

    denials: tuple[Denial, ...]


class Closing(Answer, frozen=True, kw_only=True):
    """A position that would be closed: what it takes; `value` in quote currency at `mark`."""

    venue: str
    symbol: str
    instrument_id: str
    side: str
    quantity: Decimal
    mark: Decimal | None
    value: Decimal | None


class FlattenPlan(Answer, frozen=True, kw_only=True):
    """What `confirm_flatten` of `token` would do, once, until `expires_at`.

    `strategy` is None for everything; `cancels` are ids of orders; `value` in `currency`.
    """

    token: str
    expires_at: datetime | None
    strategy: str | None
    cancels: tuple[str, ...]
    closes: tuple[Closing, ...]
    value: Decimal
    currency: str


class VenueOrder(Answer, frozen=True, kw_only=True):
    """An order as the venue lists it, in the venue's own ids."""

    symbol: str
    order_id: str
    client_order_id: str = ""
    kind: str = "PLAIN"


class Exposure(Answer, frozen=True, kw_only=True):
    """What an account still holds, long above 0; `value` in `currency`, None without a price.

    `dust` is too little for the venue to trade.
    """

    name: str
    quantity: Decimal
    value: Decimal | None = None
    currency: str = ""
    dust: bool = False
    ours: bool = False


class KilledAccount(Answer, frozen=True, kw_only=True):
    """What became of one account; `verified`: none of its orders works, seen twice in a row.

    `unverified` says what is not known, and why; `first_cancel_ms` is -1 where none was sent.
    """

    account: str
    verified: bool
    cleared: tuple[VenueOrder, ...] = ()
    left: tuple[VenueOrder, ...] = ()
    closed: tuple[str, ...] = ()
    exposure: tuple[Exposure, ...] = ()
    exposure_known: bool = False
    unverified: tuple[str, ...] = ()
    detail: str = ""
    first_cancel_ms: int = -1


class Killed(Answer, frozen=True, kw_only=True):
    """What the kill switch did; it took `seconds`."""

    exit_code: int
    summary: str
    reason: str
    flatten: bool
    halted: bool
    halt_detail: str
    accounts: tuple[KilledAccount, ...]
    seconds: float
    not_told: tuple[str, ...] = ()
