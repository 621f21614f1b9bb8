"""The second core of a rehearsal: it says what the real one would, and never remembers for long."""

from decimal import Decimal

from tickbus.events import OrderSubmitted, OrderType, Side, SubmitOrder, TimeInForce
from tickbus_execution import understudy
from tickbus_execution.understudy import Understudy
from tickbus_execution.venue import VenueSubmit

ORDER = SubmitOrder(
    ts_event=0, ts_recv=0, client_order_id="r", strategy_id="r", venue="sim",
    instrument_id="BTC-USDT", side=Side.BUY, order_type=OrderType.LIMIT, quantity=Decimal(1),
    price=Decimal(1), time_in_force=TimeInForce.IOC,
)  # fmt: skip


def test_each_order_is_taken_as_a_new_one_also_after_it_forgot_them_all() -> None:
    core = Understudy("sim")
    for _ in range(2 * understudy.ORDERS_MAX + 1):
        request, submitted = core.approve(ORDER)
        assert isinstance(request, VenueSubmit)
        assert isinstance(submitted, OrderSubmitted)
    assert len(core._core.orders) == 1
