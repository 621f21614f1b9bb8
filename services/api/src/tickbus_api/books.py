"""The JSON of what is ours: orders, fills, positions, balances; documented in OpenAPI by itself."""

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from pydantic import Field

from tickbus.events.ledger import PositionRecord, StrategyRecord
from tickbus.ledger_api import FillRecord, OrderStep, PortfolioAnswer
from tickbus.order import Order
from tickbus.tracing import trace_id_of
from tickbus_api.views import Exact, View, iso


def rounded(number: Decimal | None) -> Decimal | None:
    """`number` to 12 decimals at most: for quotients, which have no last digit."""
    return None if number is None else round(number, 12).normalize()


def json_or_text(text: str) -> Any:
    """What the JSON `text` holds, its numbers exact; `text` itself where it is no JSON."""
    try:
        return json.loads(text, parse_float=str)
    except ValueError:
        return text


class HopView(View):
    """One service on the way to an event: when it received what led to it, and sent it on."""

    service: str
    received_at: str | None
    sent_at: str | None


class StepView(View):
    """One event of an order's life, and the way that led to it, oldest hop first."""

    sequence: int
    event: str
    at: str | None
    received_at: str | None
    body: Any
    hops: list[HopView]

    @classmethod
    def of(cls, step: OrderStep) -> "StepView":
        """The view of `step`."""
        return cls(
            sequence=step.sequence,
            event=step.kind,
            at=iso(step.ts_event),
            received_at=iso(step.ts_recv),
            body=json_or_text(step.body),
            hops=[
                HopView(service=name, received_at=iso(received), sent_at=iso(sent))
                for name, received, sent in json.loads(step.hops)
            ],
        )


class OrderView(View):
    """One of our orders; `price` and `avg_fill_price` in quote, quantities in base currency."""

    id: str
    strategy: str
    symbol: str
    instrument_id: str
    venue: str
    side: str
    type: str
    quantity: Exact
    price: Exact | None
    time_in_force: str
    post_only: bool
    reduce_only: bool
    trigger_price: Exact | None = None
    expires_at: str | None = None
    replaces: str = Field("", description="the order whose place it took")
    parent: str = Field("", description="the order of which it is a part")
    state: str
    working: bool
    filled_quantity: Exact
    leaves_quantity: Exact
    avg_fill_price: Exact | None
    fees: dict[str, Exact]
    venue_order_id: str
    reason: str
    detail: str
    created_at: str | None
    updated_at: str | None
    trace_id: str = Field(description="of the order's trace, as W3C trace contexts have it")
    inputs: dict[str, str] | None = Field(
        None, description="what was decided on; only where one order is asked for"
    )
    events: list[StepView] | None = Field(None, description="only where one order is asked for")

    @classmethod
    def of(cls, order: Order, symbol: str, steps: Iterable[OrderStep] | None = None) -> "OrderView":
        """The view of `order`, which its venue spells `symbol`."""
        events = None if steps is None else [StepView.of(step) for step in steps]
        return cls(
            id=order.client_order_id,
            strategy=order.strategy_id,
            symbol=symbol,
            instrument_id=order.instrument_id,
            venue=order.venue,
            side=order.side,
            type=order.order_type,
            quantity=order.quantity,
            price=order.price,
            time_in_force=order.time_in_force,
            post_only=order.post_only,
            reduce_only=order.reduce_only,
            trigger_price=order.trigger_price,
            expires_at=iso(order.expires_ns),
            replaces=order.replaces,
            parent=order.parent_id,
            state=order.state,
            working=order.is_working,
            filled_quantity=order.filled_quantity,
            leaves_quantity=order.leaves_quantity,
            avg_fill_price=rounded(order.avg_fill_price),
            fees=order.fees,
            venue_order_id=order.venue_order_id,
            reason=order.reason,
            detail=order.detail,
            created_at=iso(order.ts_created),
            updated_at=iso(order.ts_updated),
            trace_id=trace_id_of(order.client_order_id),
            inputs=None if events is None else _inputs(events),
            events=events,
        )


def _inputs(events: list[StepView]) -> dict[str, str]:
    # What a strategy decided on is in its wish, the first event of the order.
    for step in events:
        if step.event == "SubmitOrder" and isinstance(step.body, dict):
            return dict(step.body.get("inputs") or {})
    return {}


class OrdersView(View):
    """A page of orders, newest first; ask again with `cursor=next_cursor` for the next."""

    orders: list[OrderView]
    next_cursor: str | None


class CancelAllView(View):
    """What a wish to cancel everything has done so far, as order ids."""

    command_id: str
    canceled: list[str]
    closed_otherwise: list[str] = Field(description="filled, or refused by the venue, meanwhile")
    pending: list[str]
    not_checked: list[str] = Field([], description="what could not be looked up; it was sent")


class FillView(View):
    """One execution of one of our orders; `fee` is positive when we pay."""

    id: str
    order_id: str
    strategy: str
    symbol: str
    instrument_id: str
    venue: str
    venue_order_id: str
    side: str
    price: Exact
    quantity: Exact
    fee: Exact
    fee_asset: str
    liquidity: str
    at: str | None
    fee_value: Exact | None = Field(description="of a fee in a third asset, in quote currency")

    @classmethod
    def of(cls, record: FillRecord, symbol: str) -> "FillView":
        """The view of `record`, whose venue spells the instrument `symbol`."""
        fill = record.fill
        return cls(
            id=fill.fill_id,
            order_id=record.client_order_id,
            strategy=record.strategy_id,
            symbol=symbol,
            instrument_id=record.instrument_id,
            venue=record.venue,
            venue_order_id=record.venue_order_id,
            side=fill.side,
            price=fill.price,
            quantity=fill.quantity,
            fee=fill.fee,
            fee_asset=fill.fee_asset,
            liquidity=fill.liquidity_side,
            at=iso(fill.ts_event),
            fee_value=record.fee_value,
        )


class FillsView(View):
    """A page of fills, newest first; ask again with `cursor=next_cursor` for the next."""

    fills: list[FillView]
    next_cursor: str | None


class PositionView(View):
    """One position, valued at `mark`; P&L in quote currency, fees only in `net_pnl`.

    `reported` is what the venue says of a derivative's quantity; `difference` needs a person.
    """

    symbol: str
    instrument_id: str
    venue: str
    quantity: Exact
    avg_entry_price: Exact | None
    mark: Exact | None
    realized_pnl: Exact
    unrealized_pnl: Exact
    fees: Exact
    net_pnl: Exact
    fills: int
    updated_at: str | None
    reported: Exact | None
    difference: Exact | None

    @classmethod
    def of(cls, record: PositionRecord, symbol: str) -> "PositionView":
        """The view of `record`, whose venue spells the instrument `symbol`."""
        names = set(cls.model_fields) - {"symbol", "updated_at"}
        members = {name: getattr(record, name) for name in names}
        return cls(symbol=symbol, updated_at=iso(record.ts_updated), **members)


class StrategyView(View):
    """One strategy's positions and sums; net P&L of all strategies adds up to the account's."""

    strategy: str
    realized_pnl: Exact
    unrealized_pnl: Exact
    fees: Exact
    funding: Exact
    net_pnl: Exact
    drawdown: Exact
    drawdown_max: Exact
    fills: int
    positions: list[PositionView]

    @classmethod
    def of(cls, record: StrategyRecord, symbol: Callable[[str, str], str]) -> "StrategyView":
        """The view of `record`; `symbol` spells (venue, instrument id) as the venue does."""
        names = set(cls.model_fields) - {"strategy", "positions"}
        return cls(
            strategy=record.strategy_id,
            positions=[
                PositionView.of(p, symbol(p.venue, p.instrument_id)) for p in record.positions
            ],
            **{name: getattr(record, name) for name in names},
        )


class BalanceView(View):
    """What an account at `venue` holds of one asset."""

    venue: str
    asset: str
    free: Exact
    locked: Exact
    total: Exact


class DifferenceView(View):
    """A balance on which the books and the venue disagree: `difference` = reported - amount.

    Or a position: then `instrument_id` is set and `asset` is empty.
    """

    venue: str
    asset: str
    amount: Exact
    reported: Exact | None
    difference: Exact | None
    instrument_id: str = ""


class PortfolioView(View):
    """The whole account, valued now, in `currency`.

    `net_pnl` = realised + unrealised - fees + funding; `unvalued_fees` are in no P&L. `audit_head`
    anchors the audit log: keep it, and give it to `tickbus audit verify --expect-head`.
    """

    currency: str
    realized_pnl: Exact
    unrealized_pnl: Exact
    fees: Exact
    net_pnl: Exact
    equity: Exact | None
    equity_peak: Exact | None
    drawdown: Exact
    drawdown_max: Exact
    orders: int
    working_orders: int
    fills: int
    updated_at: str | None
    positions: list[PositionView]
    balances: list[BalanceView]
    differences: list[DifferenceView]
    funding: Exact
    unvalued_fees: dict[str, Exact]
    strategies: list[StrategyView]
    audit_head: str

    @classmethod
    def of(cls, answer: PortfolioAnswer, symbol: Callable[[str, str], str]) -> "PortfolioView":
        """The view of `answer`; `symbol` spells (venue, instrument id) as the venue does."""
        made = {"updated_at", "positions", "balances", "differences", "strategies"}
        names = set(cls.model_fields) - made
        return cls(
            strategies=[StrategyView.of(record, symbol) for record in answer.strategies],
            updated_at=iso(answer.ts),
            positions=[
                PositionView.of(p, symbol(p.venue, p.instrument_id)) for p in answer.positions
            ],
            balances=[
                BalanceView(venue=venue, asset=b.asset, free=b.free, locked=b.locked, total=b.total)
                for venue, balances in answer.balances.items()
                for b in balances
            ],
            differences=[
                DifferenceView(
                    venue=d.venue,
                    asset=d.asset,
                    amount=d.amount,
                    reported=d.reported,
                    difference=d.difference,
                )
                for d in answer.differences
            ]
            + [
                DifferenceView(
                    venue=p.venue,
                    asset="",
                    amount=p.quantity,
                    reported=p.reported,
                    difference=p.difference,
                    instrument_id=p.instrument_id,
                )
                for p in answer.positions
                if p.difference
            ],
            **{name: getattr(answer, name) for name in names},
        )
