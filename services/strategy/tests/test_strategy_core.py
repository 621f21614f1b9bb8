"""Strategies: given a market and orders, when something happens, then wishes."""

import inspect
import sys
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tickbus.config import ConfigError, Settings
from tickbus.events import (
    BookTop,
    CancelAllOrders,
    CancelDenied,
    CancelOrder,
    CancelRejected,
    DenialReason,
    Event,
    FeedState,
    FeedStatus,
    FeeSchedule,
    Fill,
    Instrument,
    LiquiditySide,
    OrderDenied,
    OrderFilled,
    OrderType,
    Quote,
    Recovered,
    SetTimer,
    Side,
    SubmitOrder,
    TimeInForce,
    TimerFired,
)
from tickbus_strategy import Strategy
from tickbus_strategy.config import entries, find, seats
from tickbus_strategy.core import Seat, StrategyCore, StrategyFailed
from tickbus_strategy.desk import Desk, Market
from tickbus_strategy.service import build

SECOND = 1_000_000_000
NOW = 1_000 * SECOND
FEES = FeeSchedule(maker=Decimal("0.001"), taker=Decimal("0.001"))
INSTRUMENT = Instrument(
    "sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.0001"),
    quantity_min=Decimal("0.0001"), notional_min=Decimal(5),
)  # fmt: skip


def a_quote(bid: float = 100.0, ts: int = NOW, spread: float = 0.02) -> Quote:
    return Quote(ts, ts, "sim", "BTC-USDT", bid, 5.0, round(bid + spread, 2), 5.0, 1)


def a_top(ts: int = NOW, *, stale: bool = False) -> BookTop:
    return BookTop(ts, ts, "sim", "BTC-USDT", 100.0, 5.0, 100.02, 5.0, 1, 1, stale)


def a_core(
    kind: Any, params: Any = None, *, run_id: str = "r", start: bool = True,
    strategy_id: str = "s",
) -> Any:  # fmt: skip
    """A StrategyCore; untyped, as tests look into whatever it returns."""
    desk, market = Desk(strategy_id, run_id, FEES), Market("sim", "BTC-USDT")
    core = StrategyCore([Seat(kind(desk, market, params or kind.Params()), desk, market)])
    if start:
        core.handle(INSTRUMENT)
        core.handle(Recovered(NOW, NOW))
    return core


def filled(order: SubmitOrder, price: str, ts: int = NOW, fill_id: str = "1") -> OrderFilled:
    base_fee = order.quantity * FEES.taker if order.side is Side.BUY else Decimal(0)
    fill = Fill(
        fill_id, order.side, Decimal(price), order.quantity, base_fee, "BTC",
        LiquiditySide.TAKER, ts,
    )  # fmt: skip
    return OrderFilled(
        ts, ts, order.client_order_id, order.strategy_id, "sim", "BTC-USDT", "1", fill,
        order.quantity, Decimal(0),
    )  # fmt: skip


def wishes(kind: type, events: Iterable[Event]) -> list[Any]:
    return [event for event in events if type(event) is kind]


class Buyer(Strategy):
    """Buys at each quote, cancels at each book view, sells at its timer."""

    def on_quote(self, quote: Quote) -> None:
        self.buy(1.00019, quote.bid + 0.0049)

    def on_book(self, top: BookTop) -> None:
        self.cancel_all()

    def on_timer(self, key: str) -> None:
        self.sell(1)


class Broken(Strategy):
    """Wishes something, then fails."""

    def on_quote(self, quote: Quote) -> None:
        self.buy(1)
        raise ZeroDivisionError("no luck")


def test_wish_is_quantised_and_its_id_is_derived() -> None:
    (order,) = a_core(Buyer).handle(a_quote())
    assert isinstance(order, SubmitOrder)
    assert order.client_order_id == "s-r-1"
    assert (order.quantity, order.price) == (Decimal("1.0001"), Decimal("100.00"))
    assert (order.order_type, order.time_in_force) == (OrderType.LIMIT, TimeInForce.GTC)


def test_ids_never_repeat_also_not_after_a_restart_with_the_same_run() -> None:
    first = a_core(Buyer)
    given = [*first.handle(a_quote()), *first.handle(a_quote())]
    again = a_core(Buyer, start=False)
    again.handle(INSTRUMENT)
    for event in given:
        again.handle(event)
    again.handle(Recovered(NOW, NOW))
    (order,) = again.handle(a_quote())
    assert isinstance(order, SubmitOrder)
    assert order.client_order_id == "s-r-3"


def test_ids_of_cancels_do_not_repeat_either() -> None:
    first = a_core(Buyer)
    given = first.handle(a_quote())
    given += first.handle(a_top())
    again = a_core(Buyer, start=False)
    again.handle(INSTRUMENT)
    for event in given:
        again.handle(event)
    again.handle(Recovered(NOW, NOW))
    cancels = wishes(CancelOrder, [*given, *again.handle(a_top())])
    assert len(cancels) == 2
    assert cancels[0].command_id != cancels[1].command_id


def test_nothing_is_asked_of_it_before_history_and_instrument_are_known() -> None:
    core = a_core(Buyer, start=False)
    assert core.handle(a_quote()) == []
    core.handle(Recovered(NOW, NOW))
    assert core.handle(a_quote()) == []
    core.handle(INSTRUMENT)
    assert len(core.handle(a_quote())) == 1


@pytest.mark.parametrize(
    "trouble",
    [a_top(stale=True), FeedStatus(NOW, NOW, "sim", "BTC-USDT", FeedState.DISCONNECTED)],
)
def test_no_order_leaves_on_a_book_that_cannot_be_trusted(trouble: Event) -> None:
    core = a_core(Buyer)
    core.handle(trouble)
    assert core.handle(a_quote()) == []
    assert wishes(SubmitOrder, core.handle(TimerFired(NOW, NOW, "s/sim/BTC-USDT/x"))) == []


def test_timer_reaches_its_strategy() -> None:
    (order,) = a_core(Buyer).handle(TimerFired(NOW, NOW, "s/sim/BTC-USDT/x"))
    assert isinstance(order, SubmitOrder)
    assert (order.side, order.order_type) == (Side.SELL, OrderType.MARKET)


def test_cancel_is_wished_once_until_it_is_answered() -> None:
    core = a_core(Buyer)
    (order,) = core.handle(a_quote())
    assert isinstance(order, SubmitOrder)
    assert [type(e) for e in core.handle(a_top())] == [CancelOrder]
    assert core.handle(a_top()) == []
    core.handle(
        CancelRejected(NOW, NOW, order.client_order_id, "s", "sim", "BTC-USDT", "c", "-2011", "")
    )
    assert [type(e) for e in core.handle(a_top())] == [CancelOrder]


def test_strategy_that_raises_is_stopped_and_its_orders_cancelled_and_others_go_on() -> None:
    desks = [Desk("bad", "r", FEES), Desk("good", "r", FEES)]
    market = Market("sim", "BTC-USDT")
    core = StrategyCore(
        [
            Seat(Broken(desks[0], market, None), desks[0], market),
            Seat(Buyer(desks[1], market, None), desks[1], market),
        ]
    )
    core.handle(INSTRUMENT)
    core.handle(Recovered(NOW, NOW))
    out = core.handle(a_quote())
    assert [type(event) for event in out] == [StrategyFailed, CancelAllOrders, SubmitOrder]
    assert wishes(CancelAllOrders, out)[0].strategy_id == "bad"
    (failure,) = wishes(StrategyFailed, out)
    line = inspect.getsourcelines(Broken.on_quote)[1] + 2
    assert failure.error == f"ZeroDivisionError('no luck') in line {line} of test_strategy_core.py"
    assert [e.strategy_id for e in wishes(SubmitOrder, core.handle(a_quote()))] == ["good"]


def test_fills_make_the_position_once_each() -> None:
    core = a_core(Buyer)
    (order,) = core.handle(a_quote())
    assert isinstance(order, SubmitOrder)
    for _ in range(2):
        core.handle(filled(order, "100"))
    desk = core._by_strategy["s"][0].desk
    position = desk.portfolio.position("sim", "BTC-USDT")
    assert position.quantity == order.quantity * (1 - FEES.taker)


# -- configuration -----------------------------------------------------------------------------


def settings(**entry: Any) -> Settings:
    base = {"id": "a", "kind": "momentum", "instruments": ["BTC-USDT"], **entry}
    venue = {
        "name": "sim", "adapter": "binance", "rest_url": "", "ws_url": "", "ws_api_url": "",
        "instruments": ["BTC-USDT"], "fees": {"maker": "0", "taker": "0"},
    }  # fmt: skip
    return Settings({"strategies": [base], "venue": venue})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"params": {"windows_s": 3}}, "did you mean 'window_s'"),
        ({"params": {"order_notional": -3}}, "order_notional"),
        ({"kind": "momentun"}, "did you mean 'momentum'"),
        ({"kind": "nothing-like-it"}, "ping-pong"),
        ({"kind": "nowhere.py:X"}, "nowhere.py"),
        ({"id": "far-too-long-for-an-order-id"}, "id"),
        ({"instrument": "BTC-USDT"}, "did you mean 'instruments'"),
    ],
)
def test_mistake_in_the_configuration_is_named(entry: dict[str, Any], said: str) -> None:
    config = settings(**entry)
    with pytest.raises(ConfigError, match=said):
        seats(config, entries(config))


def test_rehearsal_uses_a_desk_of_its_own() -> None:
    spec = build(settings())
    assert spec.rehearse is not None
    order = a_core(Buyer).handle(a_quote())[0]
    ids = [getattr(spec.rehearse(order), "client_order_id", "") for _ in range(3)]
    assert ids == ["s-0-1"] * 3


def test_strategy_is_loaded_from_a_file(tmp_path: Any) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from tickbus_strategy import Strategy\nclass Mine(Strategy):\n    pass\n")
    assert find(f"{file}:Mine").__name__ == "Mine"
    with pytest.raises(ConfigError, match="defines no Yours"):
        find(f"{file}:Yours")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef broken(:\n", "line 2: invalid syntax: def broken(:"),
        ("import msgspecc\n", "line 1: ModuleNotFoundError(\"No module named 'msgspecc'\")"),
        ("def f():\n    return 1 / 0\n\nf()\n", "line 2: ZeroDivisionError('division by zero')"),
    ],
)
def test_file_that_cannot_be_loaded_is_told_with_the_line(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        find(f"{file}:Mine")
    assert str(refused.value).endswith(f"mine.py cannot be loaded: {said}")


def test_strategy_finds_what_lies_beside_it_and_that_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "beside_mine.py").write_text("AT_MOST = 7\n")
    (tmp_path / "msgspec.py").write_text("raise RuntimeError('hidden')\n")
    file = tmp_path / "mine.py"
    file.write_text(
        "import importlib, sys\nfrom beside_mine import AT_MOST\n"
        "from tickbus_strategy import Strategy\n"
        "MSGSPEC = importlib.machinery.PathFinder.find_spec('msgspec').origin\n"
        "class Mine(Strategy):\n    at_most = AT_MOST\n    msgspec = MSGSPEC\n"
    )
    mine: Any = find(f"{file}:Mine")
    assert mine.at_most == 7
    assert not mine.msgspec.startswith(str(tmp_path))


def test_timer_key_carries_whose_it_is() -> None:
    class Sleeper(Strategy):
        """Sets a timer when it starts."""

        def on_start(self) -> None:
            self.set_timer("wake", 2.5)

    core = a_core(Sleeper, start=False)
    core.handle(INSTRUMENT)
    (timer,) = core.handle(Recovered(NOW, NOW))
    assert timer == SetTimer(NOW, NOW, "s/sim/BTC-USDT/wake", NOW + 5 * SECOND // 2)


def test_parts_of_our_orders_are_not_our_orders_and_their_fills_count_once() -> None:
    core = a_core(Buyer, start=False)
    terms = (Side.BUY, OrderType.MARKET, Decimal(1))
    whole = SubmitOrder(NOW, NOW, "s-r-1", "s", "smart", "BTC-USDT", *terms)
    part = SubmitOrder(
        NOW, NOW, "s-r-1-1", "s", "sim", "BTC-USDT", *terms, parent_id="s-r-1"
    )  # fmt: skip
    refused = msgspec.structs.replace(part, client_order_id="s-r-1-2")
    of_part, of_whole = filled(part, "100"), filled(whole, "100", fill_id="sim-1")
    of_whole = msgspec.structs.replace(of_whole, venue="smart")
    denied = OrderDenied(NOW, NOW, refused, DenialReason.BALANCE_INSUFFICIENT, "")
    for event in (whole, part, refused, denied, of_part, of_whole):
        assert core.handle(event) == ()
    memory = core.snapshot()
    assert [order.client_order_id for order in memory.orders] == ["s-r-1"]
    assert [position.venue for position in memory.desks[0].positions] == ["smart"]


def test_a_cancel_that_risk_refused_may_be_wished_for_again() -> None:
    core = a_core(Buyer)
    core.handle(a_quote())
    (cancel,) = core.handle(a_top())
    assert core.handle(a_top()) == []
    reason = DenialReason.CANCEL_ORDER_UNKNOWN
    assert core.handle(CancelDenied(NOW, NOW, cancel, reason, "")) == ()
    (again,) = core.handle(a_top())
    assert again.client_order_id == cancel.client_order_id
