"""An intent that risk can never handle is answered all the same."""

from decimal import Decimal
from pathlib import Path

from tickbus.config import load
from tickbus.events import (
    DenialReason,
    MessageDead,
    OrderDenied,
    OrderType,
    Recovered,
    Side,
    SubmitOrder,
)
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore

NOW = 9_000_000_000
CONFIG = Path(__file__).parents[3] / "config" / "default.yaml"


def an_order(order_id: str) -> SubmitOrder:
    return SubmitOrder(
        NOW, NOW, order_id, order_id.partition("-")[0], "sim", "BTC-USDT", Side.BUY,
        OrderType.LIMIT, Decimal(1), Decimal(100),
    )  # fmt: skip


def test_intent_that_cannot_be_handled_is_denied_and_its_id_used_up() -> None:
    core = RiskCore(load([CONFIG], {}).section("risk", RiskConfig))
    core.handle(Recovered(NOW, NOW))
    (denied,) = core.handle(MessageDead(NOW, NOW, an_order("pp-r-1"), "ValueError: x"))
    assert isinstance(denied, OrderDenied)
    assert (denied.reason, denied.detail) == (DenialReason.INTERNAL_ERROR, "ValueError: x")
    (again,) = core.handle(an_order("pp-r-1"))
    assert isinstance(again, OrderDenied)
    (invalid,) = core.handle(MessageDead(NOW, NOW, an_order("p p.*"), "ValueError: x"))
    assert isinstance(invalid, OrderDenied)
    assert invalid.order.client_order_id == "p_p__"
    assert core.handle(MessageDead(NOW, NOW, denied, "x")) == ()
