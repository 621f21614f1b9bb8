"""Ping-pong: bids, waits, offers a little higher, and in the end takes what it gets."""

from decimal import Decimal

from strategy_stories import Story, a_quote

from tickbus.events import CancelOrder, OrderType, Side, TimeInForce
from tickbus_strategy.strategies.ping_pong import PingPong, PingPongParams


def test_it_bids_waits_requotes_and_then_takes_the_ask() -> None:
    story = Story(PingPong, PingPongParams(requote_s=2, patience=1, order_notional=Decimal(50)))
    (bid,) = story.tell(a_quote(0))
    assert (bid.side, bid.price, bid.time_in_force) == (
        Side.BUY, Decimal("100.00"), TimeInForce.GTC,
    )  # fmt: skip
    assert story.tell(a_quote(1)) == [], "patient"
    (cancel,) = story.tell(a_quote(3))
    assert isinstance(cancel, CancelOrder)
    story.cancel(bid)
    (take,) = story.tell(a_quote(4))
    assert (take.price, take.time_in_force) == (Decimal("100.02"), TimeInForce.IOC)
    actions = [decision.inputs["action"] for decision in story.decisions]
    assert actions == ["bid", "requote", "take"]


def test_it_offers_above_entry_fees_and_profit_and_in_the_end_sells_at_market() -> None:
    story = Story(PingPong, PingPongParams(profit_bps=10, hold_s=20, requote_s=100))
    (bid,) = story.tell(a_quote(0))
    story.fill(bid, "100")
    (offer,) = story.tell(a_quote(1))
    assert offer.side is Side.SELL
    assert offer.price == Decimal("100.30"), "20 bps of fees and 10 of profit"
    assert Decimal(offer.inputs["wanted"]) == Decimal("100.30")
    story.tell(a_quote(30))
    story.cancel(offer)
    (sale,) = story.tell(a_quote(30))
    assert (sale.side, sale.order_type) == (Side.SELL, OrderType.MARKET)
    assert sale.inputs["action"] == "sell"


def test_it_offers_at_the_ask_where_that_is_above_what_it_wants() -> None:
    story = Story(PingPong)
    (bid,) = story.tell(a_quote(0))
    story.fill(bid, "100")
    (offer,) = story.tell(a_quote(1, bid=103.0))
    assert offer.price == Decimal("103.02")


def test_it_does_not_repeat_a_refused_order_at_once() -> None:
    story = Story(PingPong)
    (bid,) = story.tell(a_quote(0))
    story.reject(bid)
    assert story.tell(a_quote(0.5)) == []
    assert len(story.tell(a_quote(2))) == 1
