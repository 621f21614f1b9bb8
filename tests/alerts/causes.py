"""What makes each alert fire: things that are done to a platform that runs, and undone again."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from decimal import Decimal
from threading import Thread
from typing import Any, NamedTuple

import httpx
from fragile_risk import POISON
from scrapes import Scrape
from stage import ROOT, START_S, Stage

from tickbus import codec
from tickbus.events import OrderApproved, OrderType, Side, SubmitOrder
from tickbus_testkit.story import wait_for

WEIGHT = 6_000
"""What the exchange takes in a minute."""


class Cause(NamedTuple):
    """`bring` yields while the condition holds; `fires` says of which alert for which services.

    What it yields are scrapes from its course, which come before the one that is judged.
    """

    bring: Callable[[Stage], AbstractContextManager[Sequence[Scrape] | None]]
    fires: dict[str, tuple[str, ...]]
    poke: Callable[[Stage], object] | None = None
    """Done before each look, where the condition does not hold by itself."""


def value(scrape: Scrape, name: str, **labels: str) -> float:
    """The largest value of a metric; -1 where there is none."""
    wanted = labels.items()
    found = [v for s, v in scrape.items() if s.name == name and wanted <= dict(s.labels).items()]
    return max(found, default=-1.0)


# -- processes and servers -------------------------------------------------------------------------


@contextmanager
def history_is_killed(stage: Stage) -> Iterator[None]:
    stage.processes["history"].kill()
    yield
    stage.restart("history")


@contextmanager
def history_restarts(stage: Stage) -> Iterator[list[Scrape]]:
    seen: list[Scrape] = []
    for _ in range(3):
        stage.restart("history")
        seen.append(stage.scrape())
    yield seen


@contextmanager
def the_bus_is_away(stage: Stage) -> Iterator[None]:
    stage.stop_server("nats")
    yield
    stage.start_server("nats")
    stage.ready()


def is_connected(stage: Stage) -> bool:
    """Whether risk has the bus."""
    return value(stage.scrape(), "tickbus_risk_bus_connected") > 0


@contextmanager
def the_bus_comes_and_goes(stage: Stage) -> Iterator[None]:
    for _ in range(5):
        stage.stop_server("nats")
        stage.start_server("nats")
        wait_for("the bus to be back", lambda: is_connected(stage))
    yield
    stage.ready()


@contextmanager
def postgres_is_away(stage: Stage) -> Iterator[None]:
    stage.stop_server("postgres")
    yield
    stage.start_server("postgres")
    stage.ready()


@contextmanager
def nothing(stage: Stage) -> Iterator[None]:
    yield
    stage.ready()


def book_stands_still(stage: Stage) -> None:
    with stage.processes["book"].paused():
        time.sleep(1)


@contextmanager
def the_stream_is_nearly_full(stage: Stage) -> Iterator[None]:
    now = value(stage.scrape(), "tickbus_ledger_stream_bytes")
    stage.limit_the_stream(round(now * 1.1))
    yield
    stage.limit_the_stream(1_000_000_000)


@contextmanager
def the_stream_is_full(stage: Stage) -> Iterator[None]:
    stage.limit_the_stream(1_000)
    yield
    stage.limit_the_stream(1_000_000_000)
    stage.ready()


def orders_by_hand(stage: Stage) -> None:
    """One that is sent and not waited for."""
    with suppress(httpx.TimeoutException), httpx.Client(timeout=1) as client:
        body = {"symbol": "ETHUSDT", "side": "Buy", "quantity": 0.01, "price": None}
        client.post(f"{stage.platform.api_url}/api/v1/orders", json=body)


# -- the venue -------------------------------------------------------------------------------------


@contextmanager
def the_exchange_is_down(stage: Stage) -> Iterator[None]:
    stage.processes["exchange"].kill()
    yield
    stage.processes["exchange"].start()
    stage.ready()


@contextmanager
def faulty(stage: Stage, **faults: Any) -> Iterator[None]:
    stage.exchange("faults", **faults)
    yield
    stage.exchange("faults")
    stage.ready()


@contextmanager
def the_key_is_revoked(stage: Stage) -> Iterator[None]:
    stage.exchange("keys", "DELETE", key="sim-key")
    yield
    stage.restart("exchange")
    stage.restart("execution")  # a person has it look at the key again
    stage.ready()


@contextmanager
def somebody_deposits_untold(stage: Stage) -> Iterator[None]:
    stage.exchange("faults", drop_user=1.0)
    stage.exchange("transfer", asset="USDT", amount="50")
    yield
    stage.exchange("transfer", asset="USDT", amount="-50")
    stage.exchange("faults")
    stage.ready()


# -- risk, strategies and the kill switch ----------------------------------------------------------


@contextmanager
def state(stage: Stage, **wish: str) -> Iterator[None]:
    stage.api("PUT", "risk/state", **wish)
    yield
    stage.api("PUT", "risk/state", **{**wish, "state": "ACTIVE"})


@contextmanager
def limits(stage: Stage) -> Iterator[None]:
    yield
    for name in ("gross_exposure_max", "drawdown_max"):
        stage.api("PUT", "risk/limits", scope="global", name=name, value=None)
    stage.api("PUT", "risk/state", state="ACTIVE")


def nearly_use(name: str, share: float) -> Callable[[Stage], None]:
    """Sets a limit of which `share` is used now."""

    def set_it(stage: Stage) -> None:
        scrape = stage.scrape()
        used = value(scrape, "tickbus_risk_limit_used", scope="global", limit=name)
        if used > 0:
            body = {"scope": "global", "name": name, "value": used / share}
            stage.api("PUT", "risk/limits", **body)

    return set_it


@contextmanager
def a_strategy_breaks(stage: Stage) -> Iterator[None]:
    kind = f"{ROOT / 'tests' / 'chaos' / 'restless.py'}"
    fuse = {"every": 1, "notional": 20}
    stage.api("PUT", "strategies/wild", kind=f"{kind}:Fuse", instruments=["BTC-USDT"], params=fuse)
    yield
    stage.api("PUT", "strategies/wild", kind=f"{kind}:Wild", instruments=["BTC-USDT"],
              params={"every": 10, "notional": 100, "resting_max": 6})  # fmt: skip
    stage.api("POST", "strategies/wild/start")


@contextmanager
def somebody_forges(stage: Stage) -> Iterator[None]:
    now = time.time_ns()
    order = SubmitOrder(
        now, now, "wild-forged-1", "wild", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET,
        Decimal("0.001"),
    )  # fmt: skip
    stage.publish("orders.approved.sim", codec.encode([OrderApproved(now, now, order)]))
    yield


@contextmanager
def an_order_ends_risk(stage: Stage) -> Iterator[None]:
    def order() -> None:
        with suppress(httpx.HTTPError):
            stage.desk.order(symbol="BTCUSDT", side="Buy", quantity=POISON, price=None)

    # Once, and not given up: a gateway that stood still meanwhile would never send it.
    waiting = Thread(target=order)
    waiting.start()
    risk = stage.processes["risk"]
    for _ in range(3):
        wait_for("risk to end", lambda: not risk.lives(), START_S)
        risk.start()
    risk.until_ready(START_S)
    yield
    waiting.join()


def until_killed(stage: Stage) -> None:
    """It has six seconds, and whoever is told that it is not verified repeats it."""
    wait_for("a kill that is verified", lambda: stage.kill() == 200)


@contextmanager
def a_kill(stage: Stage) -> Iterator[None]:
    until_killed(stage)
    yield
    stage.api("PUT", "risk/state", state="ACTIVE")


@contextmanager
def a_kill_without_the_venue(stage: Stage) -> Iterator[None]:
    stage.processes["exchange"].kill()
    assert stage.kill() == 502
    yield
    stage.processes["exchange"].start()
    stage.ready()
    until_killed(stage)
    stage.api("PUT", "risk/state", state="ACTIVE")


@contextmanager
def the_kill_switch_has_no_key(stage: Stage) -> Iterator[None]:
    stage.restart("killswitch", TICKBUS_VENUE_API_KEY="")
    yield
    stage.restart("killswitch", TICKBUS_VENUE_API_KEY="sim-key")


@contextmanager
def nobody_hears_alerts(stage: Stage) -> Iterator[None]:
    stage.restart("alerts", TICKBUS_ALERTS_NOBODY="json://127.0.0.1:1/")
    stage.api("PUT", "risk/state", state="HALTED")
    yield
    stage.api("PUT", "risk/state", state="ACTIVE")
    stage.restart("alerts", TICKBUS_ALERTS_NOBODY="")


@contextmanager
def nobody_collects_traces(stage: Stage) -> Iterator[None]:
    stage.restart("risk", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    yield
    stage.restart("risk", OTEL_EXPORTER_OTLP_ENDPOINT="")


def spend_weight(stage: Stage) -> None:
    """Somebody else at our address asks for whole books, until little is left."""
    url = f"{stage.platform.exchange_url}/api/v3/depth"
    with httpx.Client(timeout=30) as client:
        for _ in range(100):
            answer = client.get(url, params={"symbol": "BTCUSDT", "limit": 5000})
            used = int(answer.headers.get("X-MBX-USED-WEIGHT-1M", WEIGHT))
            if used > WEIGHT * 0.92:
                return


def orders_that_are_denied(stage: Stage) -> None:
    for _ in range(40):
        stage.desk.order(symbol="BTCUSDT", side="Buy", quantity=1_000, price=None)


@contextmanager
def risk_denies(stage: Stage) -> Iterator[list[Scrape]]:
    stage.api("POST", "strategies/wild/stop")
    orders_that_are_denied(stage)
    yield [stage.scrape()]
    stage.api("POST", "strategies/wild/start")


@contextmanager
def the_venue_rejects(stage: Stage) -> Iterator[list[Scrape]]:
    def rejected() -> float:
        labels = {"type": "OrderRejected"}
        return value(stage.scrape(), "tickbus_execution_reasons_total", **labels)

    stage.exchange("faults", refuse=1.0, refuse_codes=[-1015])
    wait_for("a rejected order", lambda: rejected() > 0)
    yield [stage.scrape()]
    stage.exchange("faults")
    stage.ready()


def _faults(**faults: Any) -> Callable[[Stage], AbstractContextManager[None]]:
    return lambda stage: faulty(stage, **faults)


def _state(**wish: str) -> Callable[[Stage], AbstractContextManager[None]]:
    return lambda stage: state(stage, **wish)


SERVERS = (
    Cause(history_is_killed, {"TickbusServiceDown": ("history",)}),
    Cause(history_restarts, {"TickbusServiceRestarting": ("history",)}),
    Cause(nothing, {"TickbusEventLoopSlow": ("book",)}, book_stands_still),
    Cause(the_bus_is_away, {"TickbusBusAway": ("book", "feed", "ledger", "risk")}),
    Cause(the_bus_comes_and_goes, {"TickbusBusReconnects": ("book", "feed", "ledger", "risk")}),
    Cause(postgres_is_away, {"TickbusPostgresAway": ("ledger",)}, orders_by_hand),
    Cause(the_stream_is_nearly_full, {"TickbusStreamNearlyFull": ("",)}),
    Cause(the_stream_is_full, {"TickbusStoreRefuses": ("api",)}, orders_by_hand),
)
VENUE = (
    Cause(
        the_exchange_is_down,
        {
            "TickbusFeedDown": ("feed",),
            "TickbusFeedStale": ("feed",),
            "TickbusBookStale": ("book",),
            "TickbusServiceNotReady": ("feed",),
        },
    ),
    Cause(the_venue_rejects, {"TickbusOrdersRejected": ("",)}),
    Cause(
        _faults(lose_answer=1.0, drop_user=1.0),
        {"TickbusOrderUnknown": ("execution",)},
        orders_by_hand,
    ),
    Cause(
        somebody_deposits_untold,
        {
            "TickbusBalanceDifference": ("ledger",),
            "TickbusReconciliationDifference": ("execution",),
        },
    ),
    Cause(
        _faults(throttle=1.0, throttle_s=20),
        {"TickbusVenueWantsSilence": ("execution",)},
        orders_by_hand,
    ),
    Cause(_faults(clock_ms=600), {"TickbusClockOff": ("feed",)}),
    Cause(
        _faults(drop_user=1.0),
        {"TickbusDifferenceCorrected": ("execution",)},
        Stage.cancel_by_hand,
    ),
    Cause(the_key_is_revoked, {"TickbusTradingBlocked": ("execution",)}, orders_by_hand),
    Cause(nothing, {"TickbusRestWeightLow": ("execution",)}, spend_weight),
)
TRADING = (
    Cause(an_order_ends_risk, {"TickbusDeadLetters": ("risk",)}),
    Cause(_state(state="REDUCING", strategy="wild"), {"TickbusStrategyHalted": ("risk",)}),
    Cause(_state(state="REDUCING"), {"TickbusTradingReducing": ("risk",)}),
    Cause(_state(state="HALTED"), {"TickbusTradingHalted": ("risk",)}),
    Cause(limits, {"TickbusLimitNearlyUsed": ("risk",)}, nearly_use("gross_exposure_max", 0.96)),
    Cause(limits, {"TickbusLossLimitNearlyUsed": ("risk",)}, nearly_use("drawdown_max", 0.9)),
    Cause(risk_denies, {"TickbusOrdersDenied": ("",)}, orders_that_are_denied),
    Cause(nobody_collects_traces, {"TickbusTracesLost": ("risk",)}),
    Cause(somebody_forges, {"TickbusForgery": ("execution",)}),
    Cause(a_strategy_breaks, {"TickbusStrategyFailed": ("strategy",)}),
    Cause(a_kill, {"TickbusKillSwitchUsed": ("killswitch",)}),
    Cause(the_kill_switch_has_no_key, {"TickbusKillSwitchBlind": ("killswitch",)}),
    Cause(nobody_hears_alerts, {"TickbusChannelFailing": ("alerts",)}),
    Cause(a_kill_without_the_venue, {"TickbusKillUnverified": ("killswitch",)}),
)
