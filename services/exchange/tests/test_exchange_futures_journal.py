"""The futures journal: a killed exchange goes on with the same orders, positions and wallet."""

from pathlib import Path

import pytest

from tickbus_exchange.app import Exchange
from tickbus_exchange.config import DEFAULT_BALANCES, DEFAULT_LISTINGS, ExchangeConfig
from tickbus_exchange.engine.futures_types import FuturesOrder, FuturesRequest, FuturesType
from tickbus_exchange.engine.numbers import parse
from tickbus_exchange.engine.orders import OrderStatus, Side
from tickbus_exchange.journal import JournalError
from tickbus_exchange.protocol.futures_requests import new_algo

START_MS = 1_800_000_000_000
BTC = "BTCUSDT"
STOP = {
    "algoType": "CONDITIONAL", "symbol": BTC, "side": "SELL", "type": "STOP_MARKET",
    "triggerPrice": "40000", "quantity": "0.01",
}  # fmt: skip


class Clock:
    """Milliseconds that the test moves."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


def an_exchange(directory: Path, clock: Clock) -> Exchange:
    config = ExchangeConfig(
        listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES, state_dir=directory, intensity=5
    )
    return Exchange(config, clock)


def order(exchange: Exchange, side: Side, quantity: str, price: str = "") -> FuturesOrder:
    kind = FuturesType.LIMIT if price else FuturesType.MARKET
    request = FuturesRequest(
        symbol=BTC, side=side, type=kind, quantity=parse(quantity), price=parse(price or "0")
    )
    placed = exchange.futures.user.desk.place(request, exchange.clock_ms())
    assert isinstance(placed, FuturesOrder), placed
    return exchange.futures.user.desk.books.orders[placed.order_id]


def trade(exchange: Exchange, clock: Clock) -> FuturesOrder:
    """Leave fills, income, a conditional order and a working order; return the last."""
    user = exchange.futures.user
    for side, quantity in ((Side.BUY, "0.3"), (Side.SELL, "0.1")):
        order(exchange, side, quantity)
    for _ in range(50):
        clock.now_ms += 20
        exchange.step()
    now_ms = clock.now_ms
    exchange.futures.transfer("user", parse("1000"), now_ms)
    user.desk.set_leverage(BTC, 33, now_ms)
    user.keeper.fund(10_000, now_ms)
    user.keeper.arm("ETHUSDT", 5_000, now_ms)
    books = {s: m.book for s, m in exchange.venue.engine.markets.items()}
    algo = new_algo(STOP, user.desk, books, user.algos.next_id(), now_ms)
    user.algos.place(algo, now_ms)
    working = order(exchange, Side.BUY, "0.05", "50000")
    amended = user.desk.amend(working, parse("0.06"), parse("50001"), now_ms)
    assert isinstance(amended, FuturesOrder)
    return amended


def kill(exchange: Exchange) -> None:
    """End without any clean-up but the operating system's."""
    assert exchange.journal is not None
    exchange.journal.close()


def spot(exchange: Exchange) -> dict[str, tuple[int, int]]:
    return {a: (b.free, b.locked) for a, b in exchange.venue.user.balances.items()}


def test_a_killed_exchange_continues_with_the_same_futures_books(tmp_path: Path) -> None:
    clock = Clock()
    first = an_exchange(tmp_path, clock)
    working = trade(first, clock)
    before, balances = vars(first.futures.user.desk.books), spot(first)
    kill(first)
    second = an_exchange(tmp_path, clock)
    desk = second.futures.user.desk
    assert vars(desk.books) == before
    assert spot(second) == balances, "the transfer out of the spot wallet too"
    assert [t.amount for t in second.venue.ledger.transfers] == [-parse("1000")]
    assert desk.account.held("BTC") == parse("0.2")
    book = second.venue.engine.markets[BTC].book
    assert book.bids.levels[parse("50001")].quantity == parse("0.06")
    assert desk.books.countdowns["ETHUSDT"].due_ms == clock.now_ms + 5_000
    # What stood can be cancelled, and ids go on where they were.
    assert desk.cancel(working, clock.now_ms).status is OrderStatus.CANCELED
    newer = order(second, Side.SELL, "0.2")
    assert newer.order_id == working.order_id + 1
    trades = [f.trade_id for f in desk.books.fills[BTC]]
    assert trades == sorted(set(trades))
    assert desk.books.position(BTC).quantity == 0
    second.close()


def test_a_triggered_order_s_end_is_noted_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    first = an_exchange(tmp_path, clock)
    user = first.futures.user
    books = {s: m.book for s, m in first.venue.engine.markets.items()}
    rising = STOP | {"side": "BUY", "type": "STOP", "triggerPrice": "60100", "price": "55000"}
    algo = new_algo(rising, user.desk, books, 1, clock.now_ms)
    user.algos.place(algo, clock.now_ms)
    user.algos._hit[1] = parse("60100")
    clock.now_ms += 10
    first.futures.step(clock.now_ms)
    kill(first)
    second = an_exchange(tmp_path, clock)
    desk = second.futures.user.desk
    triggered = desk.books.algos[1]
    assert triggered.status == "TRIGGERED"
    desk.cancel(desk.books.orders[triggered.order_id], clock.now_ms)
    assert desk.books.algos[1].status == "FINISHED"
    second.close()


def test_a_state_directory_of_before_futures_opens_with_a_new_wallet(tmp_path: Path) -> None:
    clock = Clock()
    kill(an_exchange(tmp_path, clock))
    (tmp_path / "futures.jsonl").unlink()
    second = an_exchange(tmp_path, clock)
    assert second.futures.user.desk.books.wallet == parse("100000")
    second.close()


def test_a_torn_line_is_cut_off_and_a_damaged_one_refused(tmp_path: Path) -> None:
    clock = Clock()
    first = an_exchange(tmp_path, clock)
    trade(first, clock)
    before = vars(first.futures.user.desk.books)
    kill(first)
    path = tmp_path / "futures.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"time_ms":1,"fil')
    second = an_exchange(tmp_path, clock)
    assert vars(second.futures.user.desk.books) == before
    assert any("futures journal's last line was torn; 17 bytes" in n for n in second.notes)
    assert path.read_bytes() == whole
    kill(second)
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"nonsense\n", *lines[2:]]))
    with pytest.raises(JournalError, match=r"futures.jsonl line 3 cannot be read"):
        an_exchange(tmp_path, clock)


def test_the_crowd_fills_futures_orders_and_the_books_stay_exact(tmp_path: Path) -> None:
    clock = Clock()
    exchange = an_exchange(tmp_path, clock)
    user = exchange.futures.user
    mark = user.desk.mark(BTC)
    for tick in range(1, 30):
        step = parse("0.01") * tick * 100
        for side, price in ((Side.BUY, mark - step), (Side.SELL, mark + step)):
            level = price - price % parse("0.01")
            request = FuturesRequest(
                symbol=BTC, side=side, type=FuturesType.LIMIT, quantity=parse("0.02"), price=level
            )
            user.desk.place(request, clock.now_ms)
    for _ in range(2_000):
        clock.now_ms += 20
        exchange.step()
    books = user.desk.books
    fills = books.fills[BTC]
    assert any(f.is_maker for f in fills)
    assert books.wallet == books.opening_wallet + sum(i.amount for i in books.income)
    earned = sum(f.quote if f.side is Side.SELL else -f.quote for f in fills)
    position = books.position(BTC)
    tied = position.cost if position.quantity > 0 else -position.cost
    assert position.realized - tied == earned
    kill(exchange)
    again = an_exchange(tmp_path, clock)
    assert vars(again.futures.user.desk.books) == vars(books)
    again.close()
