"""Between the books and database rows, in both directions; no value makes it fail."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from asyncpg import Record

from tickbus.events import EquityPoint, Fill, LiquiditySide, OrderType, Side, TimeInForce
from tickbus.ledger_api import FillRecord
from tickbus.order import Order, OrderState
from tickbus.portfolio import Position
from tickbus_ledger.changes import Account, Changes, Entry, FillRow, Key, Posting, Session
from tickbus_ledger.log import LogRow
from tickbus_ledger.log import text as _text
from tickbus_ledger.log import time as _time
from tickbus_ledger.profits import strategy_of

Row = tuple[Any, ...]

ORDER_COLUMNS = (
    "client_order_id", "sequence", "strategy_id", "venue", "instrument_id", "side", "order_type",
    "quantity", "price", "time_in_force", "post_only", "reduce_only", "state", "venue_order_id",
    "filled_quantity", "filled_notional", "reported_quantity", "fees", "reason", "detail",
    "ts_created", "ts_updated", "trigger_price", "expires_ns", "replaces", "parent_id",
)  # fmt: skip
EVENT_COLUMNS = LogRow._fields
FILL_COLUMNS = (
    "venue", "instrument_id", "fill_id", "sequence", "client_order_id", "venue_order_id",
    "strategy_id", "side", "price", "quantity", "fee", "fee_asset", "liquidity_side", "ts_event",
    "fee_value",
)  # fmt: skip
POSITION_COLUMNS = (
    "venue", "instrument_id", "quantity", "cost", "realized_pnl", "fees", "cash", "other_fees",
    "fills", "ts_updated", "funding", "other_fees_value", "unvalued_fees", "contract_size",
)  # fmt: skip
STRATEGY_POSITION_COLUMNS = ("strategy_id", *POSITION_COLUMNS)
ENTRY_COLUMNS = Entry._fields
POSTING_COLUMNS = Posting._fields
EQUITY_COLUMNS = EquityPoint.__struct_fields__
STRATEGY_EQUITY_COLUMNS = ("strategy_id", *EQUITY_COLUMNS)
SESSION_COLUMNS = Session._fields
BALANCE_COLUMNS = (
    "venue", "asset", "opening", "amount", "ts_opened", "reported", "ts_reported", "ts_touched",
)  # fmt: skip


class Batch(NamedTuple):
    """The rows of one transaction, and the stream position before and after it.

    `head` is the hash of the audit log's last row after it.
    """

    position_before: int
    position: int
    head: bytes
    orders: list[Row]
    events: list[Row]
    fills: list[Row]
    positions: list[Row]
    strategy_positions: list[Row]
    balances: list[Row]
    journal: list[Row]
    postings: list[Row]
    equity: list[Row]
    strategy_equity: list[Row]
    sessions: list[Row]


def batch_of(changes: Changes) -> Batch:
    """The rows of `changes`; nothing in them changes any more."""
    return Batch(
        changes.position_before,
        changes.position,
        changes.head,
        [_order_row(sequence, order) for sequence, order in changes.orders],
        list(changes.log),
        [_fill_row(fill) for fill in changes.fills],
        [_position_row(position) for position in changes.positions],
        [(_text(name), *_position_row(p)) for name, p in changes.strategy_positions],
        [_balance_row(*balance) for balance in changes.balances],
        [_entry_row(entry) for entry in changes.entries],
        [_posting_row(posting) for posting in changes.postings],
        [_point_row(point) for point in changes.equity],
        [(_text(name), *_point_row(point)) for name, point in changes.strategy_equity],
        [(s.sequence, s.ts_started, _text(s.actor), _text(s.reason)) for s in changes.sessions],
    )


def _number(value: Decimal) -> Decimal:
    # A denied order may ask for any number there is; the body of its event keeps it as it was.
    return value if value.is_finite() and abs(value.adjusted()) < 1000 else Decimal("NaN")


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
        None if order.trigger_price is None else _number(order.trigger_price),
        _time(order.expires_ns), _text(order.replaces), _text(order.parent_id),
    )  # fmt: skip


def _fill_row(row: FillRow) -> Row:
    event, fill = row.event, row.event.fill
    return (
        _text(event.venue), _text(event.instrument_id), _text(fill.fill_id), row.sequence,
        _text(event.client_order_id), _text(event.venue_order_id), _text(strategy_of(event)),
        fill.side.value, fill.price, fill.quantity, fill.fee, _text(fill.fee_asset),
        fill.liquidity_side.value, _time(fill.ts_event), row.fee_value,
    )  # fmt: skip


def _position_row(p: Position) -> Row:
    return (
        _text(p.venue), _text(p.instrument_id), p.quantity, p.cost, p.realized_pnl, p.fees, p.cash,
        _amounts(p.other_fees), p.fills, _time(p.ts_updated), p.funding, p.other_fees_value,
        _amounts(p.unvalued_fees), p.contract_size,
    )  # fmt: skip


def _entry_row(entry: Entry) -> Row:
    *texts, ts_event = entry[1:]
    return (entry.sequence, *(_text(value) for value in texts), _time(ts_event))


def _posting_row(p: Posting) -> Row:
    return p._replace(venue=_text(p.venue), asset=_text(p.asset))


def _point_row(point: EquityPoint) -> Row:
    return tuple(getattr(point, name) for name in EQUITY_COLUMNS)


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
        trigger_price=row["trigger_price"],
        expires_ns=row["expires_ns"],
        replaces=row["replaces"],
        parent_id=row["parent_id"],
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
    for name in ("other_fees", "unvalued_fees"):
        values[name] = _read_amounts(values[name])
    return Position(**values)


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
        fee_value=row["fee_value"],
    )
