"""Answers about strategies."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from tickbus_client.answers.base import Answer, Page


class Terms(Answer, frozen=True, kw_only=True):
    """What a strategy is to run, as it was wished for; `venue` or, spanning several, `venues`."""

    kind: str
    instruments: tuple[str, ...]
    params: dict[str, Any]
    is_running: bool
    venue: str
    venues: tuple[str, ...]


class StrategyMarket(Answer, frozen=True, kw_only=True):
    """What a strategy holds and made in one market, in its quote currency; fees above 0 are paid.

    P&L is without fees.
    """

    venue: str
    instrument_id: str
    quantity: Decimal
    avg_entry_price: Decimal | None
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    working_orders: int

    @property
    def net_pnl(self) -> Decimal:
        """Realized and unrealized, less fees."""
        return self.realized_pnl + self.unrealized_pnl - self.fees


class StrategyOrder(Answer, frozen=True, kw_only=True):
    """One order of a strategy that has not ended."""

    id: str
    venue: str
    instrument_id: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal | None
    filled_quantity: Decimal
    state: str


class Decision(Answer, frozen=True, kw_only=True):
    """What a strategy looked at when it decided, and the ids of the orders it wished for."""

    decided_at: datetime | None
    venue: str
    instrument_id: str
    inputs: dict[str, str]
    orders: tuple[str, ...]


class Decisions(Page, frozen=True, kw_only=True):
    """What a strategy decided, the oldest first."""

    decisions: tuple[Decision, ...]


class Strategy(Answer, frozen=True, kw_only=True):
    """One strategy: what it runs, where it is, what it holds and made.

    `phase` is STARTING, RUNNING, STOPPING, STOPPED or FAILED (then `error` says why). `params` are
    those in force. `revision` counts the wishes, 0 while the files say it all. `orders` and
    `decisions` (newest first) only where one is asked for.
    """

    id: str
    phase: str
    terms: Terms | None
    params: dict[str, Any]
    revision: int
    configured: bool
    error: str
    markets: tuple[StrategyMarket, ...]
    orders: tuple[StrategyOrder, ...] | None = None
    decisions: tuple[Decision, ...] | None = None


class Strategies(Answer, frozen=True, kw_only=True):
    """Every strategy of every process that runs some."""

    strategies: tuple[Strategy, ...]


class Changed(Answer, frozen=True, kw_only=True):
    """What became of a wish: applied, or kept until a process is there to apply it.

    `strategy` is as it is right afterwards, None while it is not applied.
    """

    id: str
    revision: int
    applied: bool
    strategy: Strategy | None


class Kind(Answer, frozen=True, kw_only=True):
    """What can be run; `params` is a JSON schema, `problem` says why it cannot be run, if so."""

    kind: str
    title: str
    doc: str
    params_doc: str
    params: dict[str, Any]
    spanning: bool
    problem: str


class Kinds(Answer, frozen=True, kw_only=True):
    """Everything that a process of strategies here can run."""

    kinds: tuple[Kind, ...]


class Engine(Answer, frozen=True, kw_only=True):
    """Every strategy, as ids; those on their way are with the goal.

    `silent`: of the files, or wished for, and no process says how they are.
    """

    running: tuple[str, ...]
    stopped: tuple[str, ...]
    failed: tuple[str, ...]
    silent: tuple[str, ...]


class Refused(Answer, frozen=True, kw_only=True):
    """A strategy that could not be told, and why."""

    id: str
    code: str
    detail: str


class EngineChanged(Answer, frozen=True, kw_only=True):
    """What became of a wish for all strategies, as ids; `pending` wait for their process.

    `unchanged` were so already.
    """

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    unchanged: tuple[str, ...]
    refused: tuple[Refused, ...]
