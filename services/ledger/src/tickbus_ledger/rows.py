"""Between the books and database rows, in both directions; no value makes it fail."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from asyncpg import Record

from tickbus.events import Fill, LiquiditySide, OrderFilled, OrderType, Side, TimeInForce
from tickbus.ledger_api import FillRecord
from tickbus.order import Order, OrderState
from tickbus.portfolio import Position
from tickbus_ledger.core import Account, Changes, Key, Logged

Row = tuple[Any, ...]
_BIGINT_MAX = 2**63 - 1

ORDER_COLUMNS = (
    "client_order_id", "sequence", "strategy_id", "venue", "instrument_id", "side", "order_type",
    "quantity", "price", "time_in_force", "post_only", "reduce_only", "state", "venue_order_id",
    "filled_quantity", "filled_notional", "reported_quantity", "fees", "reason", "detail",
    "ts_created", "ts_updated",
)  # fmt: skip
EVENT_COLUMNS = ("sequence", "client_order_id", "kind", "ts_event", "ts_recv", "body", "hops")
FILL_COLUMNS = (
    "venue", "instrument_id", "fill_id", "sequence", "client_order_id", "venue_order_id",
    "strategy_id", "side", "price", "quantity", "fee", "fee_asset", "liquidity_side", "ts_event",
)  # fmt: skip
POSITION_COLUMNS = (
    "venue", "instrument_id", "quantity", "cost", "realized_pnl", "fees", "cash", "other_fees",
    "fills", "ts_updated",
)  # fmt: skip
BALANCE_COLUMNS = (
    "venue", "asset", "opening", "amount", "ts_opened", "reported", "ts_reported", "ts_touched",
)  # fmt: skip


class Batch(NamedTuple):
    """The rows of one transaction, and the stream position before and after it."""

    position_before: int
    position: int
    orders: list[Row]
    events: list[Row]
    fills: list[Row]
    positions: list[Row]
    balances: list[Row]
    equity: list[Row]


def batch_of(changes: Changes) -> Batch:
    """The rows of `changes`; nothing in them changes any more."""
    return Batch(
        changes.position_before,
        changes.position,
        [_order_row(sequence, order) for sequence, order in changes.orders],
        [_event_row(logged) for logged in changes.events],
        [_fill_row(sequence, event) for sequence, event in changes.fills],
        [_position_row(position) for position in changes.positions],
        [_balance_row(*balance) for balance in changes.balances],
        [(point.ts, point.equity, point.net_pnl, point.drawdown) for point in changes.equity],
    )


def _text(value: str) -> str:
    # Postgres keeps every character but NUL.
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _number(value: Decimal) -> Decimal:
    # A denied order may ask for any number there is; the body of its event keeps it as it was.
    return value if value.is_finite() and abs(value.adjusted()) < 1000 else Decimal("NaN")


def _time(value: int) -> int:
    return max(-_BIGINT_MAX, min(value, _BIGINT_MAX))


def _amounts(values: Mapping[str, Decimal]) -> str:
    return json.dumps({asset: str(amount) for asset, amount in values.items()})


def _read_amounts(text: str) -> dict[str, Decimal]:
    return {asset: Decimal(amount) for asset, amount in json.loads(text).items()}


def _order_row(sequence: int, order: Order) -> Row:
    return (
        _text(order.client_order_id), sequence, _text(order.strategy_id), _text(order.venue),
        _text(order.instrument_id), order.side.value, order.order_type.value,
        _number(order.quantity), None if order.price is None else _number(order.price),
        order.time_in_force.value, order.post_only, order.reduce_only, order.state.value,
        _text(order.venue_order_id), order.filled_quantity, order.filled_notional,
        _number(order.reported_quantity), _amounts(order.fees), _text(order.reason),
        _text(order.detail), _time(order.ts_created), _time(order.ts_updated),
    )  # fmt: skip


def _event_row(logged: Logged) -> Row:
    event = logged.event
    body = msgspec.json.encode(_named(event)).decode()
    hops = msgspec.json.encode(logged.hops).decode()
    kind, order_id = type(event).__name__, _text(logged.client_order_id)
    times = (_time(event.ts_event), _time(event.ts_recv))
    return (logged.sequence, order_id, kind, *times, body, hops)


def _named(value: Any) -> Any:
    # Structs travel as arrays; what is kept for years has its fields' names.
    if isinstance(value, msgspec.Struct):
        return {name: _named(getattr(value, name)) for name in value.__struct_fields__}
    return [_named(item) for item in value] if isinstance(value, tuple) else value


def _fill_row(sequence: int, event: OrderFilled) -> Row:
    fill = event.fill
    return (
        _text(event.venue), _text(event.instrument_id), _text(fill.fill_id), sequence,
        _text(event.client_order_id), _text(event.venue_order_id), _text(event.strategy_id),
        fill.side.value, fill.price, fill.quantity, fill.fee, _text(fill.fee_asset),
        fill.liquidity_side.value, _time(fill.ts_event),
    )  # fmt: skip


def _position_row(p: Position) -> Row:
    return (
        _text(p.venue), _text(p.instrument_id), p.quantity, p.cost, p.realized_pnl, p.fees, p.cash,
        _amounts(p.other_fees), p.fills, _time(p.ts_updated),
    )  # fmt: skip


def _balance_row(key: Key, account: Account, amount: Decimal) -> Row:
    return (
        _text(key[0]), _text(key[1]), _number(account.opening), _number(amount),
        _time(account.ts_opened),
        None if account.reported is None else _number(account.reported),
        _time(account.ts_reported), _time(account.ts_touched),
    )  # fmt: skip


def order_from(row: Record, fill_ids: set[str] | None = None) -> Order:
    """The order in a row of `orders`."""
    return Order(
        client_order_id=row["client_order_id"],
        strategy_id=row["strategy_id"],
        venue=row["venue"],
        instrument_id=row["instrument_id"],
        side=Side(row["side"]),
        order_type=OrderType(row["order_type"]),
        quantity=row["quantity"],
        price=row["price"],
        time_in_force=TimeInForce(row["time_in_force"]),
        post_only=row["post_only"],
        reduce_only=row["reduce_only"],
        state=OrderState(row["state"]),
        venue_order_id=row["venue_order_id"],
        filled_quantity=row["filled_quantity"],
        filled_notional=row["filled_notional"],
        reported_quantity=row["reported_quantity"],
        fees=_read_amounts(row["fees"]),
        fill_ids=fill_ids or set(),
        reason=row["reason"],
        detail=row["detail"],
        ts_created=row["ts_created"],
        ts_updated=row["ts_updated"],
    )


def position_from(row: Record) -> Position:
    """The position in a row of `positions`."""
    values = {name: row[name] for name in POSITION_COLUMNS}
    return Position(**values | {"other_fees": _read_amounts(row["other_fees"])})


def balance_from(row: Record) -> tuple[Key, Account, Decimal]:
    """The balance in a row of `balances`."""
    account = Account(
        opening=row["opening"],
        ts_opened=row["ts_opened"],
        reported=row["reported"],
        ts_reported=row["ts_reported"],
        ts_touched=row["ts_touched"],
    )
    return (row["venue"], row["asset"]), account, row["amount"]


def fill_from(row: Record) -> FillRecord:
    """The fill in a row of `fills`."""
    return FillRecord(
        client_order_id=row["client_order_id"],
        strategy_id=row["strategy_id"],
        venue=row["venue"],
        instrument_id=row["instrument_id"],
        venue_order_id=row["venue_order_id"],
        fill=Fill(
            row["fill_id"],
            Side(row["side"]),
            row["price"],
            row["quantity"],
            row["fee"],
            row["fee_asset"],
            LiquiditySide(row["liquidity_side"]),
            row["ts_event"],
        ),
    )
