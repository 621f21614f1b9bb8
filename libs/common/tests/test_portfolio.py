"""What fills amount to, checked against money that is simply counted."""

import random
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import Fill, LiquiditySide, Side
from tickbus.portfolio import Drawdown, Portfolio, Position, assets, balance_changes

D = Decimal


def a_fill(
    side: str,
    quantity: str,
    price: str,
    fee: str = "0",
    fee_asset: str = "USDT",
    fill_id: str = "1",
) -> Fill:
    return Fill(
        fill_id, Side(side), D(price), D(quantity), D(fee), fee_asset, LiquiditySide.TAKER, 7
    )


def a_position(*fills: Fill) -> Position:
    position = Position(venue="sim", instrument_id="BTC-USDT")
    for fill in fills:
        position.apply(fill)
    return position


def test_buying_twice_averages_the_entry() -> None:
    position = a_position(a_fill("BUY", "1", "100"), a_fill("BUY", "3", "120"))
    assert (position.quantity, position.avg_entry_price) == (D(4), D(115))
    assert position.unrealized_pnl(D(116)) == D(4)


def test_selling_a_part_realises_it_and_keeps_the_entry() -> None:
    position = a_position(a_fill("BUY", "4", "100"), a_fill("SELL", "1", "110"))
    assert position.realized_pnl == D(10)
    assert (position.quantity, position.avg_entry_price) == (D(3), D(100))


def test_a_flip_through_zero_closes_all_and_opens_the_rest_at_the_new_price() -> None:
    position = a_position(a_fill("BUY", "1", "100"), a_fill("SELL", "3", "90"))
    assert position.realized_pnl == D(-10)
    assert (position.quantity, position.avg_entry_price) == (D(-2), D(90))
    position.apply(a_fill("BUY", "2", "80"))
    assert (position.realized_pnl, position.quantity, position.cost) == (D(10), D(0), D(0))
    assert position.avg_entry_price is None


def test_a_fee_in_the_base_asset_reduces_the_quantity_and_is_booked_in_quote() -> None:
    position = a_position(a_fill("BUY", "1", "100", "0.001", "BTC"))
    assert position.quantity == D("0.999")
    assert position.avg_entry_price == D(100)
    assert position.fees == D("0.1")
    assert position.net_pnl(D(100)) == D("-0.1")


def test_a_fee_in_the_quote_asset_reduces_the_cash() -> None:
    position = a_position(a_fill("SELL", "1", "100", "0.1", "USDT"))
    assert (position.cash, position.fees, position.quantity) == (D("99.9"), D("0.1"), D(-1))


def test_a_fee_in_a_third_asset_is_kept_apart() -> None:
    position = a_position(a_fill("BUY", "1", "100", "0.01", "BNB"))
    assert (position.fees, position.other_fees) == (D(0), {"BNB": D("0.01")})
    assert ("BNB", D("-0.01")) in balance_changes(
        "BTC-USDT", a_fill("BUY", "1", "1", "0.01", "BNB")
    )


def test_a_third_of_a_cost_that_no_decimal_can_write_loses_nothing() -> None:
    position = a_position(a_fill("BUY", "3", "0.1"), a_fill("SELL", "1", "0.2"))
    position.apply(a_fill("BUY", "1", "0.1000001"))
    position.apply(a_fill("SELL", "1", "0.3"))
    position.apply(a_fill("SELL", "2", "0.3"))
    assert (position.quantity, position.cost) == (D(0), D(0))
    assert position.realized_pnl == position.cash


@pytest.mark.parametrize("text", ["BTCUSDT", "-USDT", "BTC-", ""])
def test_what_is_no_instrument_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected BASE-QUOTE"):
        assets(text)


PRICES = st.decimals(D("0.00000001"), D("200000"), places=8)
QUANTITIES = st.decimals(D("0.00000001"), D("9000"), places=8)
FILLS = st.builds(
    lambda side, quantity, price, rate, asset: Fill(
        "f",
        side,
        price,
        quantity,
        (quantity if asset == "BTC" else quantity * price) * rate,
        asset,
        LiquiditySide.MAKER,
        1,
    ),
    st.sampled_from(Side),
    QUANTITIES,
    PRICES,
    st.sampled_from([D("0"), D("0.001"), D("0.00075"), D("-0.0001")]),
    st.sampled_from(["BTC", "USDT"]),
)


@given(st.lists(FILLS, max_size=30), PRICES)
def test_cash_and_position_value_equal_net_pnl_to_the_last_digit(
    fills: list[Fill], mark: Decimal
) -> None:
    position = a_position(*fills)
    with localcontext(prec=80):
        base, cash = D(0), D(0)
        for fill in fills:
            base += fill.side.sign * fill.quantity - (fill.fee if fill.fee_asset == "BTC" else 0)
            cash -= fill.side.sign * fill.quantity * fill.price
            cash -= fill.fee if fill.fee_asset == "USDT" else 0
        assert position.quantity == base
        assert position.cash == cash
        assert position.net_pnl(mark) == cash + base * mark
        assert (position.cost == 0) or (position.quantity != 0)


class AVenue:
    """A futures venue's position, in signed units of 1e-8; a part of its cost leaves rounded."""

    def __init__(self) -> None:
        self.quantity = self.cost = D(0)

    def settle(self, fill: Fill) -> Decimal:
        """What it pays out for `fill`."""
        change, realized = fill.quantity * fill.side.sign, D(0)
        if self.quantity * change < 0:
            closed = -self.quantity if abs(change) >= abs(self.quantity) else change
            released = (self.cost * -closed / self.quantity).quantize(D("1e-8"))
            realized = -closed * fill.price - released
            self.quantity, self.cost, change = (
                self.quantity + closed, self.cost - released, change - closed,
            )  # fmt: skip
        self.quantity += change
        self.cost += change * fill.price
        return realized


PERPETUAL = st.builds(
    lambda side, lots, ticks: a_fill(side, str(D(lots) / 1000), str(D(ticks) / 100)),
    st.sampled_from(["BUY", "SELL"]), st.integers(1, 50), st.integers(5_000_000, 6_000_000),
)  # fmt: skip


@given(st.lists(PERPETUAL, min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_what_the_venue_settled_is_realised_to_its_last_digit_in_whatever_order_it_is_told(
    fills: list[Fill], chance: random.Random
) -> None:
    venue, position = AVenue(), Position(venue="sim", instrument_id="BTC-USDT-PERP")
    settled = [(fill, venue.settle(fill)) for fill in fills]
    chance.shuffle(settled)
    paid_out = [position.apply(fill, settled=realized) for fill, realized in settled]
    assert paid_out == [realized for _, realized in settled]
    assert position.realized_pnl == sum(paid_out)
    assert (position.quantity, position.cost) == (venue.quantity, venue.cost)
    assert position.net_pnl(D(55_000)) == position.cash + position.quantity * 55_000


@given(st.lists(FILLS, max_size=20))
def test_balances_move_by_what_the_position_says(fills: list[Fill]) -> None:
    portfolio = Portfolio()
    portfolio.add_opening("sim", {"USDT": D(1000), "BTC": D(1)})
    for fill in fills:
        portfolio.apply("sim", "BTC-USDT", fill)
    position = portfolio.position("sim", "BTC-USDT")
    with localcontext(prec=80):
        assert portfolio.balances["sim", "BTC"] == 1 + position.quantity
        assert portfolio.balances["sim", "USDT"] == 1000 + position.cash


def test_equity_values_every_balance_at_its_mark() -> None:
    portfolio = Portfolio()
    portfolio.add_opening("sim", {"USDT": D(1000), "BTC": D(2), "DUST": D(5)})
    assert portfolio.unvalued("USDT") == [("sim", "BTC"), ("sim", "DUST")]
    portfolio.mark("sim", "BTC-USDT", D(100))
    assert portfolio.equity("USDT") == D(1200)
    portfolio.apply("sim", "BTC-USDT", a_fill("BUY", "1", "90", "0.09"))
    assert portfolio.equity("USDT") == D("1209.91")
    assert portfolio.net_pnl() == D("9.91")


def test_drawdown_is_measured_from_the_peak() -> None:
    drawdown = Drawdown()
    for equity in ("100", "120", "90", "110", "115"):
        drawdown.update(D(equity))
    assert (drawdown.equity_peak, drawdown.drawdown, drawdown.drawdown_max) == (
        D(120), D(5), D(30),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["BTC-USDT", "BTC-USDT-260327"])
def test_an_id_names_its_assets(name: str) -> None:
    assert assets(name) == ("BTC", "USDT")


@pytest.mark.parametrize("name", ["", "BTC", "BTC-", "-USDT", "BTC-USDT-"])
def test_what_is_no_id_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="BASE-QUOTE"):
        assets(name)
