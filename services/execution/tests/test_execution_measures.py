"""Who scrapes execution sees its orders by state, and what nobody knows of."""

from decimal import Decimal

from tickbus.events import Instrument, OrderApproved, OrderType, Recovered, Side, SubmitOrder
from tickbus_execution.core import ExecutionCore
from tickbus_execution.measures import measure
from tickbus_execution.venue import OrderReport, Outcome, Request, RequestFailed, VenueStatus

NOW = 1_000
SECOND_NS = 1_000_000_000


def scraped(core: ExecutionCore, now_ns: int) -> dict[str, float]:
    """Numbers by name, orders by their state where there are any."""
    read = list(measure(core, now_ns))
    states = {r.labels["state"]: r.value for r in read if r.name == "orders" and r.value}
    return {**states, **{r.name: r.value for r in read if r.name != "orders"}}


def test_an_order_is_unknown_until_the_venue_speaks() -> None:
    core, tick = ExecutionCore("sim"), Decimal("0.01")
    core.handle(Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", tick, tick))
    core.handle(Recovered(NOW, NOW))
    two, price = Decimal(2), Decimal(100)
    order = SubmitOrder(
        NOW, NOW, "s-r-1", "s", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, two, price
    )
    core.handle(OrderApproved(NOW, NOW, order))
    quiet = {"unknown_seconds_max": 0, "differences_standing": 0}
    assert scraped(core, NOW) == {"PENDING_NEW": 1, **quiet}
    core.handle(
        RequestFailed(NOW, NOW, Request.SUBMIT, Outcome.UNKNOWN, "s-r-1", "BTC-USDT", "-1", "")
    )
    found = scraped(core, NOW + 40 * SECOND_NS)
    assert (found["UNKNOWN"], found["unknown_seconds_max"]) == (1, 40)
    name = ("s-r-1", "BTC-USDT", "7")
    core.handle(OrderReport(NOW, NOW, *name, VenueStatus.NEW, Side.BUY, two, Decimal(0)))
    assert scraped(core, NOW + 50 * SECOND_NS) == {"OPEN": 1, **quiet}
