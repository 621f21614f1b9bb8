"""What risk answers to who asks how much of a limit is used, and what it would say of an order."""

from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import pytest
from risk_cores import a_config, a_core, a_loser

from tickbus import codec, risk_api
from tickbus.events import (
    DenialReason,
    Heartbeat,
    OrderApproved,
    OrderType,
    SetTradingState,
    Side,
    TradingState,
)
from tickbus.limits import InstrumentLimits, StrategyLimits
from tickbus.risk_api import (
    LimitUsage,
    PreviewAnswer,
    PreviewQuery,
    RiskRefusal,
    UsageAnswer,
    UsageQuery,
)
from tickbus_risk.answers import Answers
from tickbus_risk.core import RiskCore
from tickbus_risk.measures import measure
from tickbus_testkit.trading import D, S, a_top, an_order, tick

A = TypeVar("A", bound=msgspec.Struct)


async def ask(core: RiskCore, subject: str, query: msgspec.Struct, kind: type[A]) -> A:
    answer = await Answers(core).responders()[subject](codec.encode_value(query))
    assert answer is not None
    return codec.decode_value(answer, kind)


async def usage(core: RiskCore, scope: str = "global") -> dict[str, LimitUsage]:
    answer = await ask(core, risk_api.USAGE, UsageQuery(scope=scope), UsageAnswer)
    assert answer.currency == "USDT"
    assert {limit.scope for limit in answer.limits} <= {scope}
    return {limit.name: limit for limit in answer.limits}


async def preview(core: RiskCore, n: int = 7, **changes: Any) -> PreviewAnswer:
    query = PreviewQuery(order=msgspec.structs.replace(an_order(n), **changes))
    return await ask(core, risk_api.PREVIEW, query, PreviewAnswer)


async def test_usage_is_what_the_checks_would_measure() -> None:
    core = a_loser()  # it holds 1 BTC and works an order for another, at 990
    used = await usage(core)
    position = used["position_notional_max"]
    assert (position.used, position.where) == (D(2000), "sim.BTC-USDT")
    assert used["gross_exposure_max"].used == D(2000)
    assert used["net_exposure_max"].used == D(2000)
    assert (used["open_orders_max"].used, used["open_orders_max"].where) == (D(1), "pp")
    assert (used["order_rate_per_s_max"].used, used["order_rate_per_s_max"].where) == (D(2), "pp")
    assert used["total_order_rate_per_s_max"].used == 2
    assert used["daily_loss_max"].used == D(1)
    assert used["drawdown_max"].used == D(1)
    assert used["order_notional_max"].used is None
    assert used["price_deviation_bps_max"].used is None
    assert set(used) == {name for _, name, value in a_config().all_limits() if value is not None}


async def test_usage_follows_time_and_the_market() -> None:
    core = a_loser()
    core.handle(a_top(mid=1100.0, ts=5 * S))
    used = await usage(core)
    assert used["gross_exposure_max"].used == D(2200)
    assert (used["daily_loss_max"].used, used["total_order_rate_per_s_max"].used) == (D(0), D(0))
    age = used["market_data_age_ms_max"]
    assert (age.used, age.where) == (D(4000), "sim.ETH-USDT")


async def test_limits_of_one_scope_are_measured_there() -> None:
    core = a_loser(
        strategies={
            "pp": StrategyLimits(daily_loss_max=D(5), open_orders_max=3, orders_per_fill_max=4)
        },
        instruments={"ETH-USDT": InstrumentLimits(position_notional_max=D(500))},
    )
    own = await usage(core, "strategy:pp")
    assert own["daily_loss_max"] == LimitUsage(
        scope="strategy:pp", name="daily_loss_max", limit=D(5), used=D(1)
    )
    assert own["open_orders_max"].used == 1
    assert own["orders_per_fill_max"].used == 2
    (eth,) = (await usage(core, "instrument:ETH-USDT")).values()
    assert (eth.used, eth.where) == (D(0), "")
    assert await usage(core, "strategy:nobody") == {}


async def test_silence_is_that_of_who_was_heard() -> None:
    core = a_core(heartbeat_timeout_s=D(10))
    core.handle(Heartbeat(S, S, "pp"))
    core.handle(Heartbeat(3 * S, 3 * S, "risk"))
    silent = (await usage(core))["heartbeat_timeout_s"]
    assert (silent.used, silent.where) == (D(2), "pp")


async def test_preview_says_what_the_verdict_would_be() -> None:
    core = a_loser(order_notional_max=D(3000))
    found = await preview(core, quantity=D(2), price=D(1000))
    assert found == PreviewAnswer(
        reason="", detail="", price=D(1000), notional=D(2000), position=D(1),
        position_after=D(3),
    )  # fmt: skip
    found = await preview(core, quantity=D(4), price=D(1000))
    assert (found.reason, found.notional) == (DenialReason.NOTIONAL_ABOVE_MAX, D(4000))
    assert found.detail == "limit=3000 value=4000 scope=global"
    found = await preview(core, side=Side.SELL, order_type=OrderType.MARKET, price=None)
    assert (found.reason, found.position_after) == ("", D(0))
    assert found.price is not None
    assert found.price < 1000


async def test_preview_is_remembered_by_nobody() -> None:
    core, twin = a_core(order_rate_per_s_max=1), a_core(order_rate_per_s_max=1)
    for _ in range(3):
        assert (await preview(core, 1)).reason == ""
    for n in (1, 1, 2):  # approved; its id is used; the rate is
        assert core.handle(an_order(n)) == twin.handle(an_order(n))


async def test_preview_counts_the_order_just_approved() -> None:
    core = a_core(order_rate_per_s_max=1)
    (approved,) = core.handle(an_order(1))
    assert isinstance(approved, OrderApproved)
    assert (await preview(core)).reason == DenialReason.ORDER_RATE_ABOVE_MAX


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"instrument_id": "XRP-USDT"}, DenialReason.INSTRUMENT_UNKNOWN),
        ({"quantity": Decimal("NaN")}, DenialReason.QUANTITY_NOT_POSITIVE),
        ({"price": Decimal("Infinity")}, DenialReason.PRICE_NOT_POSITIVE),
        ({"quantity": Decimal("1e999999")}, DenialReason.QUANTITY_ABOVE_MAX),
    ],
)
async def test_preview_of_what_is_no_order_is_a_refusal(
    changes: dict[str, Any], reason: DenialReason
) -> None:
    assert (await preview(a_core(), **changes)).reason == reason


async def test_questions_before_risk_is_live_or_beyond_it_get_a_reason() -> None:
    core = RiskCore(a_config())
    refusal = await ask(core, risk_api.USAGE, UsageQuery(), RiskRefusal)
    assert "try again" in refusal.reason
    tick(core, S)
    answer = await Answers(a_core()).responders()[risk_api.PREVIEW](b"\x00")
    assert answer is not None
    assert "PreviewQuery" in codec.decode_value(answer, RiskRefusal).reason


def test_who_scrapes_sees_limits_with_what_is_used_and_who_may_trade() -> None:
    core = a_loser()
    read = {(r.name, *r.labels.values()): r.value for r in measure(core, 0)}
    assert read["trading_state", "global"] == 0
    assert read["working_orders",] == 1
    assert read["limit_used", "global", "gross_exposure_max"] == 2000
    assert read["limit", "global", "gross_exposure_max"] == float(a_config().gross_exposure_max)
    assert ("limit", "global", "order_notional_max") in read
    assert ("limit_used", "global", "order_notional_max") not in read, "each order meets it anew"
    halt = SetTradingState(S, S, TradingState.HALTED, "me", "a test")
    core.handle(halt)
    assert next(r.value for r in measure(core, 0) if r.name == "trading_state") == 2
