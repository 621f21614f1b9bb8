"""The books without a database: given events in stream order, then positions, balances, equity."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import (
    AccountUpdated,
    Balance,
    BalanceReport,
    BookTop,
    Fill,
    LiquiditySide,
    OrderApproved,
    OrderFilled,
    OrderType,
    PortfolioUpdated,
    Recovered,
    SetTimer,
    Side,
    SubmitOrder,
    TimerFired,
)
from tickbus.order import OrderState
from tickbus_ledger.changes import Books
from tickbus_ledger.config import LedgerConfig
from tickbus_ledger.core import LedgerCore

D = Decimal
S = 1_000_000_000


def a_core() -> LedgerCore:
    return LedgerCore(LedgerConfig(), ("BTC-USDT",))


def an_order(n: int = 1, side: Side = Side.BUY) -> SubmitOrder:
    return SubmitOrder(
        S, S, f"pp-r-{n}", "pp", "sim", "BTC-USDT", side, OrderType.LIMIT, D(2), D(1000)
    )


def a_fill(
    fill_id: str, quantity: str = "1", price: str = "1000", side: Side = Side.BUY,
    n: int = 1, ts: int = 2 * S, fee: str = "0",
) -> OrderFilled:  # fmt: skip
    asset = "BTC" if side is Side.BUY else "USDT"
    fill = Fill(fill_id, side, D(price), D(quantity), D(fee), asset, LiquiditySide.MAKER, ts)
    return OrderFilled(
        ts, ts, f"pp-r-{n}", "pp", "sim", "BTC-USDT", "v1", fill, D(quantity), D(1)
    )  # fmt: skip


def a_report(ts: int, btc: str, usdt: str, *, complete: bool = True) -> AccountUpdated:
    balances = (Balance("BTC", D(btc), D(0)), Balance("USDT", D(usdt), D(0)))
    return AccountUpdated(ts, ts, "sim", balances, complete)


def a_top(price: float, ts: int = S) -> BookTop:
    return BookTop(ts, ts, "sim", "BTC-USDT", price - 1, 1.0, price + 1, 1.0, 1, 1)


def balances(core: LedgerCore) -> dict[str, BalanceReport]:
    return {report.asset: report for report in core.portfolio().balances}


def test_an_order_and_its_fills_become_the_books() -> None:
    core = a_core()
    core.fold(1, an_order())
    core.fold(2, OrderApproved(S, S, an_order()))
    core.fold(3, a_report(S, "5", "10000"))
    core.fold(4, a_fill("f1", fee="0.001"))
    core.handle(a_top(1100.0))
    portfolio = core.portfolio()
    (position,) = portfolio.positions
    assert (position.quantity, position.avg_entry_price) == (D("0.999"), D(1000))
    assert (position.fees, position.unrealized_pnl) == (D(1), D("99.9"))
    assert portfolio.net_pnl == D("98.9")
    assert portfolio.equity == D(9000) + D("5.999") * 1100
    assert (portfolio.orders, portfolio.working_orders, portfolio.fills) == (1, 1, 1)
    assert portfolio.sequence == 4


def test_an_event_read_again_changes_nothing() -> None:
    core = a_core()
    core.fold(1, an_order())
    core.fold(2, a_fill("f1"))
    before = core.portfolio()
    core.fold(2, a_fill("f1"))
    core.fold(1, an_order())
    assert core.portfolio() == before
    core.fold(3, a_fill("f1"))  # the same fill told again
    assert core.portfolio().positions == before.positions
    assert core.portfolio().fills == 1


def test_a_fill_of_an_order_never_seen_still_counts() -> None:
    core = a_core()
    core.fold(1, a_fill("f1"))
    assert core.portfolio().positions[0].quantity == D(1)
    assert core.take_changes().orders == []


@pytest.mark.parametrize("quantity", ["NaN", "0", "-1", "1e30"])
def test_an_unsound_fill_is_refused_before_it_changes_anything(quantity: str) -> None:
    core = a_core()
    with pytest.raises(ValueError, match="fill 'f1'"):
        core.fold(1, a_fill("f1", quantity))
    assert core.portfolio().positions == ()
    assert core.position == 0


# -- balances --------------------------------------------------------------------------------------


def at(core: LedgerCore, seconds: int) -> None:
    core.handle(TimerFired(seconds * S, seconds * S, "portfolio"))


def test_the_first_complete_report_opens_the_books_and_later_ones_are_compared() -> None:
    core = a_core()
    core.fold(1, a_report(S, "9", "9", complete=False))
    assert balances(core)["USDT"].difference is None
    core.fold(2, a_report(S, "5", "10000"))
    core.fold(3, a_fill("f1", ts=2 * S))
    core.fold(4, a_report(2 * S, "6", "9000", complete=False))
    at(core, 4)
    assert balances(core)["USDT"] == BalanceReport(
        venue="sim", asset="USDT", opening=D(10000), amount=D(9000), reported=D(9000),
        difference=D(0),
    )  # fmt: skip


def test_a_report_ahead_of_its_fill_is_no_difference() -> None:
    core = a_core()
    core.fold(1, a_report(S, "5", "10000"))
    core.fold(2, a_report(2 * S, "6", "9000"))
    at(core, 3)
    assert balances(core)["BTC"].difference == 0  # the opening's own
    core.fold(3, a_fill("f1", ts=2 * S))
    at(core, 4)
    assert balances(core)["BTC"].difference == 0


def test_a_fill_ahead_of_its_report_is_no_difference() -> None:
    core = a_core()
    core.fold(1, a_report(S, "5", "10000"))
    core.fold(2, a_fill("f1", ts=2 * S))
    at(core, 60)
    assert balances(core)["BTC"].difference == 0


def test_a_difference_is_seen_however_busily_the_account_trades() -> None:
    core = a_core()
    core.fold(1, a_report(S, "5", "10000"))
    for n in range(2, 40):
        core.fold(2 * n, a_fill(f"f{n}", ts=n * S, price="1"))
        core.fold(2 * n + 1, a_report(n * S, str(4 + n), str(10_001 - n + 7), complete=False))
    assert balances(core)["BTC"].difference == 0
    assert balances(core)["USDT"].difference == 7


@pytest.mark.parametrize("told_first", [True, False])
def test_a_fill_from_before_the_opening_is_in_the_opening(told_first: bool) -> None:
    core = a_core()
    fill, opening = a_fill("f1", ts=S), a_report(2 * S, "6", "9000")
    for n, event in enumerate([fill, opening] if told_first else [opening, fill]):
        core.fold(n + 1, event)
    at(core, 9)
    found = balances(core)
    assert (found["BTC"].opening, found["BTC"].amount, found["BTC"].difference) == (
        D(5),
        D(6),
        D(0),
    )
    assert (found["USDT"].opening, found["USDT"].amount) == (D(10000), D(9000))


@pytest.mark.parametrize("told_first", [True, False])
def test_a_fill_from_after_the_opening_comes_on_top_of_it(told_first: bool) -> None:
    core = a_core()
    fill, opening = a_fill("f1", ts=3 * S), a_report(2 * S, "5", "10000")
    for n, event in enumerate([fill, opening] if told_first else [opening, fill]):
        core.fold(n + 1, event)
    at(core, 9)
    found = balances(core)
    assert (found["BTC"].opening, found["BTC"].amount, found["BTC"].difference) == (
        D(5),
        D(6),
        D(0),
    )


def test_a_report_from_before_a_restart_is_not_compared_with_what_came_after_it() -> None:
    core = a_core()
    core.fold(1, a_report(S, "5", "10000"))
    core.fold(2, a_fill("f1", ts=3 * S))
    books = Books(position=core.position, balances=core.take_changes().balances)
    again = a_core()
    again.load(books)
    again.fold(3, a_report(2 * S, "5", "10000", complete=False))
    at(again, 9)
    assert balances(again)["BTC"].difference is None
    again.fold(4, a_report(3 * S, "6", "9000", complete=False))
    at(again, 19)
    assert balances(again)["BTC"].difference == 0


def test_what_no_fill_explains_is_shown_and_not_overwritten() -> None:
    core = a_core()
    core.fold(1, a_report(S, "5", "10000"))
    core.fold(2, a_report(2 * S, "5", "10007"))
    at(core, 5)
    assert balances(core)["USDT"].amount == D(10000)
    assert [(b.asset, b.difference) for b in core.portfolio().differences] == [("USDT", D(7))]


def test_an_older_report_does_not_replace_a_newer_one() -> None:
    core = a_core()
    core.fold(1, a_report(3 * S, "5", "10000"))
    core.fold(2, a_report(2 * S, "4", "1"))
    assert balances(core)["USDT"].reported == D(10000)


# -- equity ----------------------------------------------------------------------------------------


def test_equity_is_sampled_only_when_all_of_it_is_known() -> None:
    core = a_core()
    core.handle(TimerFired(10 * S, 10 * S, "portfolio"))
    core.fold(1, a_report(S, "5", "10000"))
    core.handle(TimerFired(20 * S, 20 * S, "portfolio"))
    assert core.take_changes().equity == []
    core.handle(a_top(100.0))
    core.handle(TimerFired(30 * S, 30 * S, "portfolio"))
    core.handle(TimerFired(31 * S, 31 * S, "portfolio"))
    (point,) = core.take_changes().equity
    assert (point.ts, point.equity, point.drawdown) == (30 * S, D(10500), D(0))


def test_drawdown_follows_the_market() -> None:
    core = a_core()
    core.fold(1, a_report(S, "5", "0"))
    for price in (100.0, 120.0, 90.0, 110.0):
        core.handle(a_top(price))
        portfolio = core.portfolio()
    assert portfolio.equity_peak == D(600)
    assert (portfolio.drawdown, portfolio.drawdown_max) == (D(50), D(150))


def test_the_portfolio_is_told_by_timer() -> None:
    core = a_core()
    (timer,) = core.handle(Recovered(S, S))
    assert isinstance(timer, SetTimer)
    portfolio, again = core.handle(TimerFired(2 * S, 2 * S, timer.key))
    assert isinstance(portfolio, PortfolioUpdated)
    assert isinstance(again, SetTimer)


# -- changes ---------------------------------------------------------------------------------------


def test_changes_are_what_happened_since_the_last_time() -> None:
    core = a_core()
    core.fold(1, an_order())
    core.fold(2, a_fill("f1"))
    changes = core.take_changes()
    assert (changes.position_before, changes.position) == (0, 2)
    assert [(sequence, order.state) for sequence, order in changes.orders] == [
        (1, OrderState.PARTIALLY_FILLED)
    ]
    assert [fill.sequence for fill in changes.fills] == [2]
    assert len(changes.log) == 2
    assert not core.take_changes()


@given(
    st.lists(
        st.tuples(
            st.integers(1, 9),
            st.sampled_from(Side),
            st.decimals(D("0.001"), D(9), places=3),
            st.decimals(D("0.01"), D(9999), places=2),
        ),
        max_size=30,
    )
)
def test_balances_are_opening_plus_fills_each_counted_once(
    fills: list[tuple[int, Side, Decimal, Decimal]],
) -> None:
    core = a_core()
    core.fold(1, a_report(S, "5", "10000"))
    btc, usdt, seen = D(5), D(10000), set()
    for sequence, (fill_id, side, quantity, price) in enumerate(fills, start=2):
        core.fold(sequence, a_fill(str(fill_id), str(quantity), str(price), side))
        if fill_id not in seen:
            seen.add(fill_id)
            btc += side.sign * quantity
            usdt -= side.sign * quantity * price
    assert balances(core)["BTC"].amount == btc
    assert balances(core)["USDT"].amount == usdt
    assert core.portfolio().fills == len(seen)
