"""A key that may withdraw trades nothing real, unless that is allowed; the remedy is told."""

from collections.abc import Callable
from typing import Any

import pytest
from execution_bench import Bench, impatient, until
from usdm_account import a_futures_account, futures

from tickbus import venue_keys
from tickbus.events import OrderAccepted, OrderRejected
from tickbus_testkit.scripted_venue import ScriptedVenue, a_scripted_venue

ASKED = f"GET {venue_keys.RESTRICTIONS}"
SOUND = {"enableWithdrawals": False, "enableFutures": True}
Real = Callable[[ScriptedVenue], None]


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Real:
    """Makes a scripted venue one of real money."""
    monkeypatch.setattr("tickbus_execution.session.UNFIT_AGAIN_S", 0.1)

    def make(venue: ScriptedVenue) -> None:
        url = f"http://127.0.0.1:{venue.rest_port}"
        monkeypatch.setitem(venue_keys.REAL, "127.0.0.1", url)

    return make


async def test_a_key_that_may_withdraw_is_refused_until_it_may_not(real: Real) -> None:
    async with a_scripted_venue(a_futures_account) as venue:
        real(venue)
        venue.rest[ASKED] = SOUND | {"enableWithdrawals": True}
        async with Bench(futures(venue)) as execution:
            await until(lambda: "may WITHDRAW" in str(execution.running.waiting()))
            assert "take that permission from it" in str(execution.running.waiting())
            assert execution.errors("account_unfit") >= 1
            with impatient():
                await execution.order(1, "60000")
                assert (await execution.hear(OrderRejected)).reason == "VENUE_DISCONNECTED"
            assert not venue.count("order.place")
            assert execution.running.failure is None, "it stays up, and looks again"
            venue.rest[ASKED] = SOUND
            await execution.ready()
            await execution.order(2, "60000")
            await execution.hear(OrderAccepted)


async def test_a_good_answer_is_asked_for_once_and_signed(real: Real) -> None:
    async with a_scripted_venue(a_futures_account) as venue:
        real(venue)
        venue.rest[ASKED] = SOUND
        async with Bench(futures(venue)) as execution:
            await execution.ready()
            await venue.user_lines[-1].close()
            await until(lambda: len(venue.user_lines) >= 2)
            await execution.ready()
            (params,) = venue.params(ASKED)
            assert {"timestamp", "signature"} <= params.keys()


@pytest.mark.parametrize(
    "answer",
    [
        ["?"], {"enableFutures": True}, "no JSON",
        {"status": 400, "error": {"code": -1002, "msg": "not authorized"}},
        {"status": 401, "error": {"code": -2015, "msg": "Invalid API-key"}},
    ],
)  # fmt: skip
async def test_what_the_venue_does_not_say_is_no_permission_to_trade(
    real: Real, answer: Any
) -> None:
    async with a_scripted_venue(a_futures_account) as venue:
        real(venue)
        venue.rest[ASKED] = answer
        async with Bench(futures(venue)) as execution:
            await until(lambda: venue.count(ASKED) >= 1)
            await until(
                lambda: venue_keys.RESTRICTIONS in says(execution) or "key" in says(execution)
            )
            assert not venue.count("GET /fapi/v3/account"), "nothing more is begun"


def says(execution: Bench) -> str:
    return str(execution.running.waiting())


async def test_who_allows_it_is_not_asked(real: Real) -> None:
    async with a_scripted_venue(a_futures_account) as venue:
        real(venue)
        venue.rest[ASKED] = SOUND | {"enableWithdrawals": True}
        async with Bench(futures(venue), withdrawing_key="allow") as execution:
            await execution.ready()
            assert not venue.count(ASKED)


def test_only_hosts_of_real_money_are_asked() -> None:
    asked = venue_keys.asked_at
    assert asked("https://fapi.binance.com") == "https://api.binance.com"
    assert asked("https://api3.binance.com/") == "https://api.binance.com"
    for other in ("https://testnet.binance.vision", "http://127.0.0.1:8090", "", "http://::"):
        assert asked(other) is None, other
