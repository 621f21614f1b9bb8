"""The journal: a restart continues with the same books and never reuses an id."""

import json
from pathlib import Path

import pytest

from tickbus_exchange.app import Exchange
from tickbus_exchange.config import DEFAULT_BALANCES, DEFAULT_LISTINGS, ExchangeConfig
from tickbus_exchange.engine.numbers import parse
from tickbus_exchange.engine.orders import Order, OrderRequest, OrderType, Side
from tickbus_exchange.journal import JournalError
from tickbus_exchange.ledger import Ledger
from tickbus_exchange.venue import USER

START_MS = 1_800_000_000_000


class Clock:
    """Milliseconds that the test moves."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


def an_exchange(directory: Path, clock: Clock, *, usdt: str = "100000") -> Exchange:
    config = ExchangeConfig(
        listings=DEFAULT_LISTINGS,
        balances=DEFAULT_BALANCES | {"USDT": parse(usdt)},
        state_dir=directory,
    )
    return Exchange(config, clock)


def submit(exchange: Exchange, request: OrderRequest) -> Order:
    result = exchange.venue.submit(USER, request, exchange.clock_ms())
    assert isinstance(result, Order), result
    return result


def trade_a_little(exchange: Exchange, clock: Clock, name: str = "far") -> Order:
    """Leave some fills behind and one working order; return that."""
    for side in (Side.BUY, Side.SELL, Side.BUY):
        submit(exchange, OrderRequest("BTCUSDT", side, OrderType.MARKET, parse("0.3")))
    for _ in range(100):
        clock.now_ms += 20
        exchange.step()
    far = OrderRequest(
        "ETHUSDT", Side.BUY, OrderType.LIMIT, parse("1.5"), parse("2000"), client_order_id=name
    )
    return submit(exchange, far)


def books(exchange: Exchange) -> tuple[object, ...]:
    balances = {a: (b.free, b.locked) for a, b in exchange.venue.user.balances.items()}
    ledger: Ledger = exchange.venue.ledger
    return balances, ledger.orders, ledger.fills, ledger.fees, ledger.initial


def kill(exchange: Exchange) -> None:
    """End without any clean-up but the operating system's."""
    assert exchange.journal is not None
    exchange.journal.close()


def test_a_killed_exchange_continues_with_the_same_books(tmp_path: Path) -> None:
    clock = Clock()
    first = an_exchange(tmp_path, clock)
    order = trade_a_little(first, clock)
    before = books(first)
    last_price = first.venue.engine.markets["BTCUSDT"].last_price
    kill(first)
    second = an_exchange(tmp_path, clock, usdt="5")
    assert books(second) == before
    restored = second.venue.user.working_orders("ETHUSDT")[order.order_id]
    assert (restored.client_order_id, restored.leaves) == ("far", parse("1.5"))
    book = second.venue.engine.markets["ETHUSDT"].book
    assert order.order_id in book.bids.levels[parse("2000")].orders
    fresh = second.venue.engine.markets["BTCUSDT"].book.bids.best_price()
    assert abs(fresh / last_price - 1) < 0.01


def test_ids_only_rise_over_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    first = an_exchange(tmp_path, clock)
    order = trade_a_little(first, clock)
    market = first.venue.engine.markets["BTCUSDT"]
    before = (market.trade_id, market.book.update_id, first.venue.tapes["BTCUSDT"].agg_id)
    kill(first)
    second = an_exchange(tmp_path, clock)
    market = second.venue.engine.markets["BTCUSDT"]
    after = (market.trade_id, market.book.update_id, second.venue.tapes["BTCUSDT"].agg_id)
    assert all(b < a for b, a in zip(before, after, strict=True))
    assert trade_a_little(second, clock, "later").order_id > order.order_id


def test_ids_rise_even_when_the_counters_are_lost(tmp_path: Path) -> None:
    clock = Clock()
    first = an_exchange(tmp_path, clock)
    order = trade_a_little(first, clock)
    kill(first)
    (tmp_path / "counters.json").unlink()
    second = an_exchange(tmp_path, clock)
    assert trade_a_little(second, clock, "later").order_id > order.order_id


def test_a_torn_last_line_is_cut_off_and_reported(tmp_path: Path) -> None:
    clock = Clock()
    first = an_exchange(tmp_path, clock)
    trade_a_little(first, clock)
    before = books(first)
    kill(first)
    journal = tmp_path / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"account_id":"user","sym')
    second = an_exchange(tmp_path, clock)
    assert books(second) == before
    assert "torn; 25 bytes" in second.notes[0]
    assert journal.read_bytes() == whole


def test_the_journal_alone_gives_the_balances(tmp_path: Path) -> None:
    clock = Clock()
    exchange = an_exchange(tmp_path, clock)
    trade_a_little(exchange, clock)
    pairs = {r.symbol: (r.base, r.quote) for r in exchange.venue.rules.values()}
    held = {a: b.free + b.locked for a, b in exchange.venue.user.balances.items()}
    assert exchange.venue.ledger.holdings(pairs) == held
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    eth, usdt = (exchange.venue.user.balances[a] for a in ("ETH", "USDT"))
    assert (last["base_free"], last["quote_locked"]) == (eth.free, usdt.locked)


@pytest.mark.parametrize("line", ["nonsense", '{"order_id":1}'])
def test_a_damaged_journal_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    clock = Clock()
    exchange = an_exchange(tmp_path, clock)
    trade_a_little(exchange, clock)
    kill(exchange)
    journal = tmp_path / "journal.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:2], line, *lines[2:]]) + "\n")
    with pytest.raises(JournalError, match="line 3 cannot be read"):
        an_exchange(tmp_path, clock)


def test_a_symbol_of_the_journal_must_stay_listed(tmp_path: Path) -> None:
    clock = Clock()
    exchange = an_exchange(tmp_path, clock)
    trade_a_little(exchange, clock)
    kill(exchange)
    config = ExchangeConfig(
        listings=DEFAULT_LISTINGS[:1], balances=DEFAULT_BALANCES, state_dir=tmp_path
    )
    with pytest.raises(JournalError, match="orders in ETHUSDT"):
        Exchange(config, clock)


def test_a_state_directory_serves_one_exchange_at_a_time(tmp_path: Path) -> None:
    clock = Clock()
    first = an_exchange(tmp_path, clock)
    with pytest.raises(JournalError, match="in use by another exchange"):
        an_exchange(tmp_path, clock)
    kill(first)
    kill(an_exchange(tmp_path, clock))
