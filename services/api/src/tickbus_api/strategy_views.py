"""The JSON in which the gateway tells of strategies."""

import json
from typing import Any

from pydantic import Field

from tickbus.events import StrategyDecision, StrategyTerms
from tickbus.strategy_api import KindReport, MarketReport, OrderReport, StrategyReport
from tickbus_api.views import Exact, View, iso


class TermsView(View):
    """What a strategy is to run, as it was wished for."""

    kind: str
    instruments: list[str]
    params: dict[str, Any]
    is_running: bool
    venue: str
    venues: list[str]

    @classmethod
    def of(cls, terms: StrategyTerms) -> "TermsView":
        """The view of `terms`."""
        return cls(
            kind=terms.kind,
            instruments=list(terms.instruments),
            params=terms.params,
            is_running=terms.is_running,
            venue=terms.venue,
            venues=list(terms.venues),
        )


class StrategyMarketView(View):
    """What a strategy did in one market, in its quote currency; fees are positive when we pay."""

    venue: str
    instrument_id: str
    quantity: Exact
    avg_entry_price: Exact | None
    realized_pnl: Exact
    unrealized_pnl: Exact
    fees: Exact
    working_orders: int

    @classmethod
    def of(cls, report: MarketReport) -> "StrategyMarketView":
        """The view of `report`."""
        return cls(
            venue=report.venue,
            instrument_id=report.instrument_id,
            quantity=report.quantity,
            avg_entry_price=report.avg_entry_price,
            realized_pnl=report.realized,
            unrealized_pnl=report.unrealized,
            fees=report.fees,
            working_orders=report.working_orders,
        )


class StrategyOrderView(View):
    """One order of a strategy that has not ended."""

    id: str
    venue: str
    instrument_id: str
    side: str
    type: str
    quantity: Exact
    price: Exact | None
    filled_quantity: Exact
    state: str

    @classmethod
    def of(cls, report: OrderReport) -> "StrategyOrderView":
        """The view of `report`."""
        return cls(
            id=report.client_order_id,
            venue=report.venue,
            instrument_id=report.instrument_id,
            side=report.side,
            type=report.order_type,
            quantity=report.quantity,
            price=report.price,
            filled_quantity=report.filled_quantity,
            state=report.state,
        )


class DecisionView(View):
    """What a strategy looked at when it decided, and the orders that it wished for then."""

    decided_at: str | None
    venue: str
    instrument_id: str
    inputs: dict[str, str]
    orders: list[str]

    @classmethod
    def of(cls, decision: StrategyDecision) -> "DecisionView":
        """The view of `decision`."""
        return cls(
            decided_at=iso(decision.ts_recv),
            venue=decision.venue,
            instrument_id=decision.instrument_id,
            inputs=decision.inputs,
            orders=list(decision.client_order_ids),
        )


class StrategyView(View):
    """One strategy: what it runs, where it is, what it holds and made."""

    id: str
    phase: str = Field(description="STARTING, RUNNING, STOPPING, STOPPED or FAILED")
    terms: TermsView | None
    params: dict[str, Any] = Field(description="those in force, with what was not given")
    revision: int = Field(description="of the newest wish; 0 while the files say it all")
    configured: bool = Field(description="whether the configuration files know it")
    error: str
    markets: list[StrategyMarketView]
    orders: list[StrategyOrderView] | None = Field(None, description="only where one is asked for")
    decisions: list[DecisionView] | None = Field(None, description="the newest first")

    @classmethod
    def of(cls, report: StrategyReport, *, whole: bool = False) -> "StrategyView":
        """The view of `report`, `whole` with its orders and decisions."""
        return cls(
            id=report.strategy_id,
            phase=report.phase,
            terms=None if report.terms is None else TermsView.of(report.terms),
            params=json.loads(report.params),
            revision=report.revision,
            configured=report.configured,
            error=report.error,
            markets=[StrategyMarketView.of(market) for market in report.markets],
            orders=[StrategyOrderView.of(each) for each in report.orders] if whole else None,
            decisions=[DecisionView.of(each) for each in report.decisions] if whole else None,
        )


class StrategiesView(View):
    """Every strategy of every process that runs some."""

    strategies: list[StrategyView]


class ChangedView(View):
    """What became of a wish: applied, or kept until a process is there to apply it."""

    id: str
    revision: int
    applied: bool
    strategy: StrategyView | None = Field(description="as it is right afterwards")


class KindView(View):
    """What can be run; `params` is a JSON schema."""

    kind: str
    title: str
    doc: str
    params_doc: str
    params: dict[str, Any]
    spanning: bool = Field(description="one instance over all its markets")
    problem: str = Field(description="why it cannot be run; empty when it can")

    @classmethod
    def of(cls, report: KindReport) -> "KindView":
        """The view of `report`."""
        return cls(
            kind=report.kind,
            title=report.title,
            doc=report.doc,
            params_doc=report.params_doc,
            params=json.loads(report.params),
            spanning=report.spanning,
            problem=report.problem,
        )


class KindsView(View):
    """Everything that a process of strategies here can run."""

    kinds: list[KindView]
