"""The kill switch at the simulated exchange, with nothing else of the platform alive."""

import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sized
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tickbus.config import ConfigError, Settings
from tickbus.kill_api import (
    EXIT_DONE,
    EXIT_EXPOSED,
    EXIT_WORKING,
    AccountReport,
    KillReport,
    KillRequest,
)
from tickbus_exchange.config import DEFAULT_BALANCES as BALANCES
from tickbus_exchange.config import DEFAULT_LISTINGS, ExchangeConfig
from tickbus_exchange.server import Server
from tickbus_killswitch.account import KEY_TRIES
from tickbus_killswitch.config import KillConfig
from tickbus_killswitch.kill import Target, kill, targets_of
from tickbus_testkit.scripted import Asked, Told, passed_on, scripted

DEAD = "nats://127.0.0.1:1"
# Patient with each request, as other tests take the machine.
USUAL = KillConfig(timeout_s=60.0, settle_s=0.05, request_timeout_s=20.0, halt_wait_s=30.0)
# Where one round says all that ever will be said; that one is finished however long it takes.
BRIEF = KillConfig(timeout_s=3.0, settle_s=0.05, request_timeout_s=20.0, halt_wait_s=30.0)
OverAfter = Callable[[Sized, int], None]
UNAVAILABLE = Told(503, b"Service Unavailable.")


class Trader:
    """Somebody with the account's key: execution, say, before it died."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def ask(self, method: str, path: str, **params: Any) -> Any:
        query = urlencode(
            {**params, "recvWindow": 60_000, "timestamp": time.time_ns() // 1_000_000}
        )
        mac = hmac.new(b"sim-secret", query.encode(), hashlib.sha256).hexdigest()
        async with httpx.AsyncClient(headers={"X-MBX-APIKEY": "sim-key"}, timeout=30) as client:
            answer = await client.request(method, f"{self.url}{path}?{query}&signature={mac}")
            return answer.raise_for_status().json()

    async def rest(self, symbol: str = "BTCUSDT", n: int = 1) -> None:
        """Orders far from the market."""
        price, quantity = ("50000", "0.001") if symbol == "BTCUSDT" else ("100", "1")
        for _ in range(n):
            await self.ask(
                "POST", "/api/v3/order", symbol=symbol, side="BUY", type="LIMIT",
                timeInForce="GTC", quantity=quantity, price=price,
            )  # fmt: skip

    async def working(self) -> int:
        return len(await self.ask("GET", "/api/v3/openOrders"))


@pytest.fixture
async def exchange() -> AsyncIterator[Trader]:
    server = Server(ExchangeConfig(listings=DEFAULT_LISTINGS, balances=BALANCES))
    await server.start()
    yield Trader(f"http://127.0.0.1:{server.port}")
    await server.close()


def an_account(url: str, name: str = "sim", **changes: Any) -> Target:
    target = Target(
        name=name, adapter="binance", rest_url=url, instruments=("BTC-USDT", "ETH-USDT"),
        mode="simulated", orders="venue", key="sim-key", secret="sim-secret", bus_url=DEAD,
    )  # fmt: skip
    return target._replace(**changes)


async def killed(
    *targets: Target, flatten: bool = False, config: KillConfig = USUAL
) -> tuple[KillReport, list[str]]:
    said: list[str] = []
    report = await kill(targets, KillRequest(reason="test", flatten=flatten), config, said.append)
    return report, said


def the(report: KillReport, name: str = "sim") -> AccountReport:
    return next(account for account in report.accounts if account.account == name)


def between(upstream: Trader, rule: Callable[[Asked], Awaitable[Told | str | None]]) -> Any:
    """A wire that does as `rule` says: "" passes on, "lose" does too and loses the answer."""

    async def answer(asked: Asked) -> Told | None:
        fate = await rule(asked)
        if not isinstance(fate, str):
            return fate
        told = await passed_on(upstream.url, asked)
        return None if fate == "lose" else told

    return scripted(answer)


async def test_resting_orders_are_gone_with_every_other_process_dead(exchange: Trader) -> None:
    await exchange.rest(n=4)
    await exchange.rest("SOLUSDT")  # of no configured instrument: found by listing
    report, said = await killed(an_account(exchange.url))
    assert report.exit_code == EXIT_DONE, said
    assert await exchange.working() == 0
    account = the(report)
    assert (account.verified, len(account.cleared), account.left) == (True, 5, ())
    assert account.first_cancel_ms >= 0
    assert not report.halted
    assert "not halted" in report.halt_detail
    btc = next(each for each in account.exposure if each.name == "BTC")
    assert (btc.quantity, btc.currency, btc.ours, btc.dust) == (Decimal(1), "USDT", True, False)
    assert btc.value is not None
    assert 30_000 < btc.value < 120_000


async def test_conditional_orders_are_cancelled_with_the_plain_ones(exchange: Trader) -> None:
    await exchange.rest(n=2)
    far = {"symbol": "BTCUSDT", "timeInForce": "GTC", "quantity": "0.001"}
    for kind, price in (("STOP_LOSS_LIMIT", "140000"), ("TAKE_PROFIT_LIMIT", "30000")):
        terms = {"side": "BUY", "type": kind, "price": price, "stopPrice": price}
        await exchange.ask("POST", "/api/v3/order", **far, **terms)
    assert await exchange.working() == 4
    report, _ = await killed(an_account(exchange.url))
    assert report.exit_code == EXIT_DONE
    assert (len(the(report).cleared), await exchange.working()) == (4, 0)


async def test_nothing_to_cancel_is_verified_too(exchange: Trader) -> None:
    report, _ = await killed(an_account(exchange.url))
    assert (report.exit_code, the(report).cleared) == (EXIT_DONE, ())


async def test_errors_of_the_venue_for_a_while_are_sat_out(exchange: Trader) -> None:
    await exchange.rest(n=2)
    asked: list[Asked] = []

    async def rule(request: Asked) -> Told | str:
        asked.append(request)
        return UNAVAILABLE if len(asked) <= 12 else ""

    async with between(exchange, rule) as url:
        report, _ = await killed(an_account(url))
    assert report.exit_code == EXIT_DONE
    assert await exchange.working() == 0


async def test_errors_that_last_are_never_called_none_left(exchange: Trader) -> None:
    await exchange.rest()

    async def rule(_: Asked) -> Told | str:
        return UNAVAILABLE

    async with between(exchange, rule) as url:
        report, _ = await killed(an_account(url), config=BRIEF)
    assert report.exit_code == EXIT_WORKING
    assert "MAY STILL BE WORKING on sim" in report.summary
    assert not the(report).verified
    assert any("whether orders work is not known" in why for why in the(report).unverified)
    assert any("BTCUSDT" in why for why in the(report).unverified)


@pytest.mark.parametrize("body", [b"[{", b"{}", b"null", b"", b'[{"orderId": 1}]'])
async def test_list_that_cannot_be_read_is_never_called_none_left(
    exchange: Trader, body: bytes
) -> None:
    await exchange.rest()

    async def rule(request: Asked) -> Told | str:
        return Told(200, body) if request.path == "/api/v3/openOrders" else ""

    async with between(exchange, rule) as url:
        report, _ = await killed(an_account(url), config=BRIEF)
    assert report.exit_code == EXIT_WORKING
    assert not the(report).verified


async def test_lost_answers_to_the_cancels_change_nothing(exchange: Trader) -> None:
    await exchange.rest(n=3)
    lost: list[Asked] = []

    async def rule(request: Asked) -> str:
        if request.method == "DELETE" and len(lost) < 3:
            lost.append(request)
            return "lose"
        return ""

    async with between(exchange, rule) as url:
        report, _ = await killed(an_account(url))
    assert len(lost) == 3
    assert report.exit_code == EXIT_DONE
    assert len(the(report).cleared) == 3
    assert await exchange.working() == 0


@pytest.mark.parametrize("at_look", [2, 3])
async def test_order_that_slips_in_before_or_between_the_looks_is_caught(
    exchange: Trader, at_look: int
) -> None:
    await exchange.rest()
    looks: list[Asked] = []

    async def rule(request: Asked) -> str:
        if (request.method, request.path) == ("GET", "/api/v3/openOrders"):
            looks.append(request)
            if len(looks) == at_look:
                await exchange.rest("SOLUSDT")  # it was on its way all the time
        return ""

    async with between(exchange, rule) as url:
        report, _ = await killed(an_account(url))
    assert report.exit_code == EXIT_DONE
    assert {order.symbol for order in the(report).cleared} == {"BTCUSDT", "SOLUSDT"}
    assert await exchange.working() == 0


async def test_symbol_that_the_venue_does_not_know_keeps_nothing_back(exchange: Trader) -> None:
    await exchange.rest()
    target = an_account(exchange.url, instruments=("NOPE-USDT", "BTC-USDT"))
    report, said = await killed(target)
    assert report.exit_code == EXIT_DONE, said
    assert await exchange.working() == 0


async def test_order_that_cannot_be_cancelled_is_named(exchange: Trader) -> None:
    await exchange.rest()

    async def rule(request: Asked) -> Told | str:
        return UNAVAILABLE if request.method == "DELETE" else ""

    async with between(exchange, rule) as url:
        report, _ = await killed(an_account(url), config=BRIEF)
    assert report.exit_code == EXIT_WORKING
    assert [order.symbol for order in the(report).left] == ["BTCUSDT"]
    assert the(report).exposure_known


async def test_key_without_permission_is_told_and_not_tried_for_long(exchange: Trader) -> None:
    await exchange.rest()
    refusal = b'{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}'
    tried: list[Asked] = []

    async def rule(request: Asked) -> Told | str:
        if request.method != "DELETE":
            return ""
        tried.append(request)
        return Told(401, refusal)

    async with between(exchange, rule) as url:
        report, said = await killed(an_account(url))
    assert report.exit_code == EXIT_WORKING
    assert len(tried) <= 2 * (KEY_TRIES + 1), "at each of two symbols; in a minute it were many"
    assert any("refuses the key" in why and "allowed to trade" in why for why in said)
    assert any("-2015" in why for why in the(report).unverified)
    assert len(the(report).left) == 1


async def test_wrong_secret_and_no_key_are_told(exchange: Trader) -> None:
    await exchange.rest()
    targets = an_account(exchange.url, secret="x"), an_account(exchange.url, "other-1", key="")
    report, _ = await killed(*targets)
    assert report.exit_code == EXIT_WORKING
    assert any("-1022" in why for why in the(report).unverified)
    assert "TICKBUS_OTHER_1_API_KEY" in the(report, "other-1").unverified[0]


async def test_account_that_cannot_be_reached_does_not_keep_the_other(
    exchange: Trader, over_after: OverAfter
) -> None:
    await exchange.rest(n=2)
    verified: list[Asked] = []

    async def rule(request: Asked) -> str:
        if request.path == "/api/v3/account":  # what it holds is asked for when no order works
            verified.append(request)
        return ""

    over_after(verified, 1)
    async with between(exchange, rule) as url:
        report, _ = await killed(an_account("http://127.0.0.1:1", "dark"), an_account(url))
    assert report.exit_code == EXIT_WORKING
    assert "on dark:" in report.summary
    assert (the(report).verified, the(report, "dark").verified) == (True, False)
    assert await exchange.working() == 0


async def test_limit_that_asks_to_wait_is_waited_for(exchange: Trader) -> None:
    await exchange.rest()
    limit = Told(429, b'{"code":-1003,"msg":"Too many."}', (("retry-after", "0.3"),))
    asked: list[float] = []

    async def rule(_: Asked) -> Told | str:
        asked.append(time.monotonic())
        return limit if len(asked) == 1 else ""

    async with between(exchange, rule) as url:
        report, _ = await killed(an_account(url))
    assert report.exit_code == EXIT_DONE
    assert asked[-1] - asked[0] > 0.25


async def test_ban_longer_than_there_is_time_is_told(exchange: Trader) -> None:
    ban = Told(418, b'{"code":-1003,"msg":"Way too many."}', (("retry-after", "120"),))

    async def rule(_: Asked) -> Told | str:
        return ban

    async with between(exchange, rule) as url:
        report, _ = await killed(an_account(url), config=BRIEF)
    assert report.exit_code == EXIT_WORKING
    assert any("s without requests" in why for why in the(report).unverified)


async def test_clock_that_is_wrong_is_measured(exchange: Trader) -> None:
    await exchange.rest()
    async with httpx.AsyncClient(timeout=30) as client:
        faults = f"{exchange.url}/admin/faults"
        (await client.post(faults, json={"clock_ms": -3_600_000})).raise_for_status()
        report, _ = await killed(an_account(exchange.url))
        (await client.post(faults, json={})).raise_for_status()
    assert report.exit_code == EXIT_DONE
    assert len(the(report).cleared) == 1


async def test_flatten_sells_the_bases_and_leaves_dust(exchange: Trader) -> None:
    await exchange.rest(n=2)
    report, said = await killed(an_account(exchange.url), flatten=True)
    assert report.exit_code == EXIT_DONE, said
    account = the(report)
    assert len(account.closed) == 2
    held = {each.name: each for each in account.exposure}
    assert all(each.dust for each in held.values() if each.ours)
    assert held["SOL"].quantity == 300  # no instrument of ours names it
    assert not held["SOL"].ours
    assert await exchange.working() == 0


async def test_lost_answer_to_a_sale_is_asked_about_not_repeated(exchange: Trader) -> None:
    lost: list[Asked] = []

    async def rule(request: Asked) -> str:
        if request.method == "POST" and not lost:
            lost.append(request)
            return "lose"
        return ""

    async with between(exchange, rule) as url:
        target = an_account(url, instruments=("BTC-USDT",))
        report, said = await killed(target, flatten=True)
    assert report.exit_code == EXIT_DONE, said
    trades = await exchange.ask("GET", "/api/v3/myTrades", symbol="BTCUSDT")
    assert sum(Decimal(trade["qty"]) for trade in trades) == 1
    assert len(the(report).closed) == 1


async def test_sale_of_unknown_outcome_ends_the_selling_and_is_told(
    exchange: Trader, over_after: OverAfter
) -> None:
    unanswered: list[Asked] = []

    async def rule(request: Asked) -> Told | str | None:
        if request.path != "/api/v3/order":
            return ""
        unanswered.append(request)
        return None

    over_after(unanswered, 4)  # the sale, and what became of it
    async with between(exchange, rule) as url:
        target = an_account(url, instruments=("BTC-USDT",))
        report, _ = await killed(target, flatten=True)
    assert [request.method for request in unanswered[:4]] == ["POST", "GET", "GET", "GET"]
    assert report.exit_code == EXIT_EXPOSED
    assert the(report).verified
    assert any("not known whether it was done" in why for why in the(report).unverified)


async def test_refused_sale_is_an_exposure_with_its_reason(exchange: Trader) -> None:
    refusal = Told(400, b'{"code":-2010,"msg":"Market is closed."}')

    async def rule(request: Asked) -> Told | str:
        return refusal if request.method == "POST" else ""

    async with between(exchange, rule) as url:
        report, _ = await killed(an_account(url), flatten=True)
    assert report.exit_code == EXIT_EXPOSED
    assert any("Market is closed." in why for why in the(report).unverified)


async def test_bug_in_the_kill_switch_itself_is_told_and_the_rest_goes_on(
    exchange: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    await exchange.rest(n=2)

    async def broken(*_: Any) -> Any:
        raise AttributeError("a bug")

    monkeypatch.setattr("tickbus_killswitch.spot.Spot.exposure", broken)
    report, _ = await killed(an_account(exchange.url))
    assert await exchange.working() == 0
    assert report.exit_code == EXIT_EXPOSED
    assert any("a bug" in why for why in the(report).unverified)


async def test_paper_account_is_left_alone_and_says_so(exchange: Trader) -> None:
    await exchange.rest()
    report, _ = await killed(an_account(exchange.url, orders="paper"))
    assert report.exit_code == EXIT_DONE
    assert "(paper)" in the(report).detail
    assert await exchange.working() == 1


def test_every_venue_of_a_configuration_is_an_account_with_its_own_keys() -> None:
    venue: dict[str, Any] = {
        "name": "sim", "adapter": "binance", "rest_url": "http://a", "ws_url": "x",
        "ws_api_url": "x", "instruments": ["BTC-USDT"], "fees": {"maker": 0, "taker": 0},
    }  # fmt: skip
    further = [
        venue | {"name": "usdm-2", "adapter": "binance-usdm", "rest_url": "http://b"},
        venue | {"name": "okx", "adapter": "okx"},
        venue | {"name": "okx-2", "adapter": "okx"},
    ]
    environment = {
        "TICKBUS_VENUE_API_KEY": "k", "TICKBUS_VENUE_API_SECRET": "s",
        "TICKBUS_USDM_2_API_KEY": "k2", "TICKBUS_USDM_2_API_SECRET": "s2",
        "TICKBUS_OKX_2_API_KEY": "k3", "TICKBUS_OKX_2_API_SECRET": "s3",
    }  # fmt: skip
    raw = {"platform": {"mode": "live"}, "venue": venue, "venues": further}
    targets = targets_of([Settings(raw, environment)])
    assert [(t.name, t.key, t.secret, t.orders) for t in targets] == [
        ("sim", "k", "s", "venue"),
        ("usdm-2", "k2", "s2", "venue"),
        ("okx", "k", "s", "market data only"),
        ("okx-2", "k3", "s3", "venue"),
    ]
    with pytest.raises(ConfigError, match="two configurations describe the account 'sim'"):
        targets_of([Settings(raw, environment), Settings(raw, environment)])


async def test_venue_without_a_kill_path_is_not_called_done() -> None:
    report, _ = await killed(an_account("http://127.0.0.1:1", adapter="okx"))
    assert report.exit_code == EXIT_WORKING
    assert "'okx'" in the(report).unverified[0]
