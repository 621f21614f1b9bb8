"""Double entry, strategies, payments and perpetuals: every balance and profit explained."""

import json
import typing
from decimal import Decimal, localcontext
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_story import (
    PERP,
    SPOT,
    D,
    S,
    a_core,
    a_day,
    a_fill,
    a_payment,
    a_top,
    an_opening,
)

from tickbus import codec
from tickbus.events import (
    AdjustmentCause,
    Event,
    Instrument,
    StrategyRecord,
    TimerFired,
    UserActed,
)
from tickbus.events.orders import OrderPathEvent
from tickbus_ledger.changes import Changes
from tickbus_ledger.core import LedgerCore
from tickbus_ledger.log import GENESIS, NOTHING, chained, event_from, notes_from, row_of

GOLDEN = Path(__file__).parents[3] / "libs/common/tests/golden.json"


def folded(*events: Event, core: LedgerCore | None = None) -> LedgerCore:
    core = core or a_core()
    for sequence, event in enumerate(events, start=core.position + 1):
        core.fold(sequence, event)
    return core


def balance(core: LedgerCore, asset: str) -> Decimal:
    return next(b.amount for b in core.portfolio().balances if b.asset == asset)


def strategy(core: LedgerCore, strategy_id: str) -> StrategyRecord:
    return next(s for s in core.portfolio().strategies if s.strategy_id == strategy_id)


def lines(changes: Changes, cause: str) -> list[tuple[str, str, Decimal]]:
    """(account, asset, amount) of the postings with that cause."""
    chosen = {entry.sequence for entry in changes.entries if entry.cause == cause}
    return [(p.account, p.asset, p.amount) for p in changes.postings if p.sequence in chosen]


OUTSIDE = {"TRANSFER", "INTEREST", "CONVERSION", "ADJUSTMENT"}


# -- double entry ----------------------------------------------------------------------------------


def test_a_fill_is_written_on_the_balance_and_on_what_it_was_for() -> None:
    core = folded(a_fill(1, quantity="2", price="1000", fee="0.002", fee_asset="BTC"))
    assert lines(core.take_changes(), "FILL") == [
        ("balance", "BTC", D(2)), ("trading", "BTC", D(-2)),
        ("balance", "USDT", D(-2000)), ("trading", "USDT", D(2000)),
        ("balance", "BTC", D("-0.002")), ("fees", "BTC", D("0.002")),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cause", "account"),
    [
        ("FUNDING", "funding"),
        ("TRANSFER", "transfers"),
        ("COMMISSION", "fees"),
        ("REBATE", "fees"),
        ("INTEREST", "adjustment"),
    ],
)
def test_a_payment_is_written_on_the_account_of_its_cause(cause: str, account: str) -> None:
    core = folded(an_opening(USDT="10"), a_payment(cause, "USDT", "2.5", "x"))
    assert lines(core.take_changes(), cause) == [
        ("balance", "USDT", D("2.5")),
        (account, "USDT", D("-2.5")),
    ]
    assert balance(core, "USDT") == D("12.5")


def test_a_payment_told_again_counts_once() -> None:
    payment = a_payment("TRANSFER", "USDT", "7", "t1")
    core = folded(an_opening(USDT="10"), payment, payment)
    core = folded(a_payment("REBATE", "USDT", "1", "t1"), core=core)  # another cause, another fact
    assert balance(core, "USDT") == D(18)


def test_a_payment_from_before_the_opening_is_in_it_and_says_so() -> None:
    core = folded(an_opening(USDT="10", ts=5 * S), a_payment("TRANSFER", "USDT", "7", "t1"))
    assert balance(core, "USDT") == D(10)
    assert lines(core.take_changes(), "TRANSFER") == [
        ("balance", "USDT", D(7)), ("transfers", "USDT", D(-7)),
        ("balance", "USDT", D(-7)), ("opening", "USDT", D(7)),
    ]  # fmt: skip


def test_a_complete_report_opens_what_it_does_not_list_at_nothing() -> None:
    core = folded(a_fill(1, ts=S), an_opening(USDT="10", ts=2 * S))
    assert balance(core, "BTC") == 0


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e30"])
def test_an_unsound_payment_is_refused_before_it_changes_anything(amount: str) -> None:
    core = a_core()
    with pytest.raises(ValueError, match="TRANSFER 't1': amount"):
        core.fold(1, a_payment("TRANSFER", "USDT", amount, "t1"))
    assert (core.position, core.portfolio().balances) == (0, ())


AMOUNTS = st.decimals(D("0.001"), D(9), places=3)
EVENTS = st.lists(
    st.one_of(
        st.builds(
            lambda n, side, quantity, price, fee, asset, name, instrument, ts: a_fill(
                n, side, str(quantity), str(price), str(fee), asset, name, instrument, ts * S
            ),
            st.integers(1, 12),
            st.sampled_from(["BUY", "SELL"]),
            AMOUNTS,
            st.decimals(D("0.01"), D(9999), places=2),
            st.sampled_from([D(0), D("0.001"), D("-0.0007")]),
            st.sampled_from(["BTC", "USDT", "BNB"]),
            st.sampled_from(["pp", "mm", ""]),
            st.sampled_from([SPOT, PERP]),
            st.integers(1, 9),
        ),
        st.builds(
            lambda cause, asset, amount, reference, instrument, ts: a_payment(
                cause, asset, str(amount), reference, instrument, ts * S
            ),
            st.sampled_from([cause.value for cause in AdjustmentCause]),
            st.sampled_from(["USDT", "BNB"]),
            st.decimals(D(-5), D(5), places=4),
            st.sampled_from("abc"),
            st.sampled_from(["", PERP]),
            st.integers(1, 9),
        ),
        st.builds(lambda ts: an_opening(ts * S, BTC="5", USDT="10000"), st.integers(1, 9)),
    ),
    max_size=25,
)


@given(EVENTS)
def test_every_entry_sums_to_zero_and_every_balance_is_the_sum_of_its_postings(
    events: list[Event],
) -> None:
    core = folded(*events, core=a_core(a_top(600.0, "BNB-USDT")))
    changes = core.take_changes()
    sums: dict[tuple[int, str], Decimal] = {}
    held: dict[tuple[str, str], Decimal] = {}
    with localcontext(prec=60):
        for p in changes.postings:
            sums[p.sequence, p.asset] = sums.get((p.sequence, p.asset), D(0)) + p.amount
            if p.account == "balance":
                held[p.venue, p.asset] = held.get((p.venue, p.asset), D(0)) + p.amount
                assert p.balance == held[p.venue, p.asset]
    assert set(sums.values()) <= {D(0)}
    reported = {(b.venue, b.asset): b.amount for b in core.portfolio().balances if b.amount}
    assert reported == {key: amount for key, amount in held.items() if amount}
    assert {entry.sequence for entry in changes.entries} == {p.sequence for p in changes.postings}


@given(EVENTS)
def test_strategies_add_up_to_the_account(events: list[Event]) -> None:
    core = folded(
        *events, core=a_core(a_top(1500.0), a_top(1400.0, PERP), a_top(600.0, "BNB-USDT"))
    )
    portfolio = core.portfolio()
    with localcontext(prec=60):
        for name in ("fees", "funding", "net_pnl"):
            parts = sum((getattr(s, name) for s in portfolio.strategies), D(0))
            assert parts == getattr(portfolio, name), name
        for position in portfolio.positions:
            of = [
                p
                for s in portfolio.strategies
                for p in s.positions
                if p.instrument_id == position.instrument_id
            ]
            assert sum((p.quantity for p in of), D(0)) == position.quantity
            assert sum((p.fills for p in of), 0) == position.fills
    assert portfolio.net_pnl == (
        portfolio.realized_pnl + portfolio.unrealized_pnl - portfolio.fees + portfolio.funding
    )


@given(EVENTS)
def test_the_log_alone_gives_the_same_books(events: list[Event]) -> None:
    first = folded(*events, core=a_core(a_top(1500.0), a_top(600.0, "BNB-USDT")))
    changes = first.take_changes()
    again, head = a_core(), GENESIS
    for row in changes.log:
        head = chained(head, *row[:-1])
        assert head == row.hash
        event = event_from(row.kind, row.body)
        assert event is not None
        again.apply(row.sequence, event, notes_from(row.notes))
    repeated = again.take_changes()
    for name in ("fills", "positions", "strategy_positions", "balances", "entries", "postings"):
        assert getattr(repeated, name) == getattr(changes, name), name


@given(EVENTS)
def test_equity_moves_by_net_pnl_and_by_what_was_paid_in(events: list[Event]) -> None:
    """Nothing is earned or lost but what profit and payments from outside say."""
    prices = {"USDT": D(1), "BNB": D(600), "BTC": D(1500)}
    core = a_core(a_top(1500.0), a_top(1400.0, PERP), a_top(600.0, "BNB-USDT"))
    core = folded(an_opening(ts=1, BTC="5", USDT="10000", BNB="100"), core=core)
    before = core.portfolio().equity
    # A fee in an asset that is no part of the instrument is valued at its mark, as equity is.
    core = folded(*(event for event in events if not hasattr(event, "balances")), core=core)
    changes = core.take_changes()
    outside = {e.sequence for e in changes.entries if not e.instrument_id or e.cause in OUTSIDE}
    with localcontext(prec=60):
        paid_in = sum(
            (
                p.amount * prices[p.asset]
                for p in changes.postings
                if p.account == "balance" and p.sequence in outside and p.sequence > 1
            ),
            D(0),
        )
        assert core.portfolio().equity - before == core.portfolio().net_pnl + paid_in


# -- strategies ------------------------------------------------------------------------------------


def test_what_strategies_close_against_each_other_is_realised_in_the_account_alone() -> None:
    core = folded(
        a_fill(1, price="100", strategy="pp"),
        a_fill(2, "SELL", price="110", strategy="mm"),
        core=a_core(a_top(120.0)),
    )
    portfolio = core.portfolio()
    assert (portfolio.realized_pnl, portfolio.unrealized_pnl) == (D(10), D(0))
    assert (strategy(core, "pp").unrealized_pnl, strategy(core, "mm").unrealized_pnl) == (
        D(20),
        D(-10),
    )


def test_a_fill_that_nobody_here_ordered_is_external() -> None:
    core = folded(a_fill(1, strategy=""))
    assert [s.strategy_id for s in core.portfolio().strategies] == ["external"]
    assert core.take_changes().entries[0].strategy_id == "external"


def test_each_strategy_has_its_own_curve() -> None:
    core = folded(an_opening(USDT="10000", BTC="0"), a_fill(1, price="100"), core=a_core())
    for ts, price in ((10, 100.0), (20, 130.0), (30, 90.0)):
        core.handle(a_top(price, ts=ts * S))
        core.handle(TimerFired(ts * S, ts * S, "portfolio"))
    points = [(p.equity, p.drawdown) for name, p in core.take_changes().strategy_equity]
    assert points == [(D(0), D(0)), (D(30), D(0)), (D(-10), D(40))]
    assert strategy(core, "pp").drawdown_max == D(40)


# -- perpetuals, funding, fees in other assets -----------------------------------------------------


def test_a_perpetual_moves_the_quote_balance_only_by_what_it_realises() -> None:
    core = folded(
        an_opening(USDT="1000"),
        a_fill(1, quantity="2", price="100", fee="0.5", instrument_id=PERP),
        core=a_core(a_top(120.0, PERP)),
    )
    assert {b.asset: b.amount for b in core.portfolio().balances} == {"USDT": D("999.5")}
    assert core.portfolio().equity == D("1039.5")
    core = folded(a_fill(2, "SELL", "1", "110", instrument_id=PERP), core=core)
    assert balance(core, "USDT") == D("1009.5")
    assert core.portfolio().equity == D("1029.5")
    assert core.portfolio().net_pnl == D("29.5")


def test_what_a_venue_settled_is_booked_to_its_last_digit_and_equity_is_whole() -> None:
    """A third of a cost cannot be written; the venue rounds it, and its balance moves by that."""
    core = a_core(a_top(120.0, PERP))
    sold = a_fill(2, "SELL", "1", "110", instrument_id=PERP)
    told = msgspec.structs.replace(sold.fill, realized=D("9.66666666"))
    core = folded(
        an_opening(USDT="1000"),
        a_fill(1, quantity="3", price="100", fee="0.5", instrument_id=PERP),
        a_fill(3, quantity="0.000001", price="100.001", instrument_id=PERP),
        msgspec.structs.replace(sold, fill=told),
        core=core,
    )
    assert balance(core, "USDT") == D("1009.16666666")
    (position,) = core.portfolio().positions
    assert position.realized_pnl == D("9.66666666")
    # What came in and went out, and the value of what is held: nothing was lost by rounding.
    assert core.portfolio().equity == 1000 + 110 - 300 - D("0.000100001") - D("0.5") + 2 * 120 + (
        D("0.000001") * 120
    )


def test_contracts_count_as_much_as_their_size() -> None:
    core = a_core(a_top(120.0, PERP))
    core.handle(
        Instrument("sim", PERP, "BTCUSDT", "BTC", "USDT", D("0.1"), D(1), contract_size=D("0.01"))
    )
    core = folded(
        an_opening(USDT="1000"),
        a_fill(1, quantity="100", price="100", instrument_id=PERP),
        a_fill(2, "SELL", "50", "110", instrument_id=PERP),
        core=core,
    )
    (position,) = core.portfolio().positions
    assert (position.quantity, position.avg_entry_price) == (D(50), D(100))
    assert (position.realized_pnl, position.unrealized_pnl) == (D(5), D(10))
    assert balance(core, "USDT") == D(1005)


def test_inverse_contracts_are_refused_by_name() -> None:
    core = a_core()
    core.handle(Instrument("sim", "BTC-USD-PERP", "BTCUSD", "BTC", "USD", D(1), D(1), inverse=True))
    with pytest.raises(ValueError, match="BTC-USD-PERP: the books keep no inverse contracts"):
        core.fold(1, a_fill(1, instrument_id="BTC-USD-PERP"))
    assert core.portfolio().positions == ()


def test_funding_is_shared_by_what_each_strategy_holds() -> None:
    core = folded(
        an_opening(USDT="1000"),
        a_fill(1, quantity="3", instrument_id=PERP, strategy="pp"),
        a_fill(2, "SELL", quantity="1", instrument_id=PERP, strategy="mm"),
        a_payment("FUNDING", "USDT", "-2", "f1", PERP),
        core=a_core(a_top(1000.0, PERP)),
    )
    assert core.portfolio().funding == D(-2)
    assert (strategy(core, "pp").funding, strategy(core, "mm").funding) == (D(-3), D(1))
    assert (strategy(core, "pp").net_pnl, balance(core, "USDT")) == (D(-3), D(998))


def test_funding_of_what_nobody_holds_is_external() -> None:
    core = folded(an_opening(USDT="1000"), a_payment("FUNDING", "USDT", "2", "f1", PERP))
    assert strategy(core, "external").funding == D(2)


def test_a_fee_in_a_third_asset_costs_what_it_was_worth_then() -> None:
    core = folded(a_fill(1, fee="0.01", fee_asset="BNB"), core=a_core(a_top(600.0, "BNB-USDT")))
    core.handle(a_top(900.0, "BNB-USDT", 9 * S))
    portfolio = core.portfolio()
    assert (portfolio.fees, portfolio.net_pnl, portfolio.unvalued_fees) == (D(6), D(-6), {})
    assert strategy(core, "pp").fees == D(6)
    changes = core.take_changes()
    assert changes.fills[0].fee_value == D(6)
    assert changes.positions[0].other_fees == {"BNB": D("0.01")}


def test_a_fee_that_nothing_values_is_listed() -> None:
    core = folded(a_fill(1, fee="0.01", fee_asset="BNB"))
    portfolio = core.portfolio()
    assert (portfolio.fees, portfolio.unvalued_fees) == (D(0), {"BNB": D("0.01")})


def test_a_withdrawal_is_no_drawdown() -> None:
    core = folded(an_opening(USDT="1000", BTC="1"), core=a_core(a_top(100.0)))
    assert core.portfolio().equity_peak == D(1100)
    core = folded(a_payment("TRANSFER", "USDT", "-400", "t1"), core=core)
    portfolio = core.portfolio()
    assert (portfolio.equity, portfolio.equity_peak, portfolio.drawdown) == (D(700), D(700), D(0))


# -- the log ---------------------------------------------------------------------------------------


def test_every_event_of_a_day_is_read_back_from_its_row() -> None:
    events = a_day()
    rows = folded(*events).take_changes().log
    assert [event_from(row.kind, row.body) for row in rows] == events


@pytest.mark.parametrize(
    "kind", [*typing.get_args(OrderPathEvent), UserActed], ids=lambda kind: kind.__name__
)
def test_every_event_of_the_order_path_is_read_back_from_its_row(kind: type[Event]) -> None:
    golden = json.loads(GOLDEN.read_text())[kind.__name__]
    event = codec.decode_value(bytes.fromhex(golden), kind)
    row = row_of(GENESIS, 1, "", event, (), NOTHING)
    assert event_from(row.kind, row.body) == event


def test_a_row_of_an_older_version_lacks_the_newest_fields() -> None:
    payment = a_payment("TRANSFER", "USDT", "1", "t1")
    (row,) = folded(payment).take_changes().log
    older = row.body.replace(',"instrument_id":"","detail":""', "")
    assert older != row.body
    assert event_from(row.kind, older) == payment


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("Nonsense", "{}", "no event of this version"),
        ("BalanceAdjusted", '{"ts_event":1,"venue":"sim"}', "a field in the middle is missing"),
        ("BalanceAdjusted", '{"colour":"red"}', "colour: use a newer version"),
        ("BalanceAdjusted", "{", "not the fields"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(kind: str, body: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        event_from(kind, body)
