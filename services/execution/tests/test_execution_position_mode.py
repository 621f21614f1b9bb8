"""An account in the wrong position mode: waited for, with the remedy, and nothing is sent."""

import pytest
from execution_bench import Bench, impatient, until
from usdm_account import a_futures_account, futures, placed, trading

from tickbus.events import (
    OrderAccepted,
    OrderRejected,
)
from tickbus_testkit.scripted_venue import ScriptedVenue, a_scripted_venue

MODE = "GET /fapi/v1/positionSide/dual"


async def test_account_in_hedge_mode_is_waited_for_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tickbus_execution.session.UNFIT_AGAIN_S", 0.1)

    def hedged(venue: ScriptedVenue) -> None:
        a_futures_account(venue)
        venue.rest[MODE] = {"dualSidePosition": True}

    async with a_scripted_venue(hedged) as venue, Bench(futures(venue)) as execution:
        shell = execution.running
        await until(lambda: "switch it to one-way mode" in str(shell.waiting()))
        await until(lambda: venue.count(MODE) >= 2)
        assert shell.failure is None, "it stays up, and looks again"
        assert execution.errors("account_unfit") >= 1
        with impatient():
            await execution.order(1, "60000")
            refused = await execution.hear(OrderRejected)
        assert refused.reason == "VENUE_DISCONNECTED"
        venue.rest[MODE] = {"dualSidePosition": False}
        await execution.ready()
        await execution.order(2, "60000")
        await execution.hear(OrderAccepted)


async def test_what_the_position_mode_halted_goes_on_when_it_is_one_way_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tickbus_execution.session.UNFIT_AGAIN_S", 0.1)
    monkeypatch.setattr("tickbus_execution.guard.KEY_PAUSE_S", 0.1)
    async with trading() as (venue, execution):
        venue.rest[MODE] = {"dualSidePosition": True}  # by hand, in the middle of it
        venue.api["order.place"] = {"status": 400, "error": {"code": -4061, "msg": "mode"}}
        await execution.order(1, "60000")
        assert (await execution.hear(OrderRejected)).reason == "POSITION_MODE_MISMATCH"
        await until(lambda: "hedge mode" in str(execution.running.waiting()))
        venue.rest[MODE], venue.api["order.place"] = {"dualSidePosition": False}, placed
        await execution.ready()
        await execution.order(2, "60000")
        await execution.hear(OrderAccepted)
