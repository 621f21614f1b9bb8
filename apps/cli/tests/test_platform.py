"""The whole platform, as `tickbus up` runs it: trades, refuses, stops, and goes on where it was."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tickbus_cli.further import Further
from tickbus_cli.profile import Ports
from tickbus_embedded import free_offset, free_port
from tickbus_testkit.stillness import watching
from tickbus_testkit.story import Desk, wait_for

ROOT = Path(__file__).parents[3]
PATIENT = ROOT / "tests" / "patient.yaml"

pytestmark = [pytest.mark.slow(30), pytest.mark.timeout(600)]


def a_free_offset() -> int:
    """An offset at which all ports of the platform are free, those of a further venue as well."""
    further = (Further("sim2", 8091),)
    return free_offset(Ports(further=further).all(True).values())


@contextmanager
def a_platform(data: Path, offset: int, *arguments: str) -> Iterator[tuple[Desk, dict[str, Any]]]:
    """A running platform; leaving stops it with Ctrl-C and fills in its summary.

    Of the errors only those that are not due to a machine that stood still.
    """
    summary: dict[str, Any] = {}
    with watching() as stillness, _running(data, offset, summary, *arguments) as desk:
        yield desk, summary
    if "errors" in summary:
        summary["errors"] = stillness.blamed(summary["errors"])


@contextmanager
def _running(data: Path, offset: int, summary: dict[str, Any], *arguments: str) -> Iterator[Desk]:
    process = subprocess.Popen(
        [
            sys.executable, "-m", "tickbus_cli", "up", "--json", "--data-dir", str(data),
            "--port-offset", str(offset), "--config", str(PATIENT), *arguments,
        ],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    desk = Desk(f"http://127.0.0.1:{8080 + offset}", f"http://127.0.0.1:{8090 + offset}")
    try:
        wait_for("the gateway to be ready", lambda: desk.get("/health")["status"] == "ready", 90)
        yield desk
    finally:
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        try:
            out, errors = process.communicate(timeout=90)
        except subprocess.TimeoutExpired:
            process.kill()
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            raise
        summary["stderr"], summary["exit_code"] = errors, process.returncode
        if out.strip():
            summary.update(json.loads(out))


def _orders_of_strategies(desk: Desk) -> int:
    return sum(order["strategy"] != "manual" for order in desk.all("orders"))


def equal_books(desk: Desk) -> None:
    found: list[str] = []

    def look() -> bool:
        found[:] = desk.differences()
        return not found

    try:
        wait_for("books equal to the exchange's", look)
    except AssertionError as error:
        raise AssertionError("\n".join(found)) from error


@pytest.mark.slow(45)
def test_it_trades_keeps_books_equal_to_the_exchange_and_continues(tmp_path: Path) -> None:
    offset = a_free_offset()
    with a_platform(tmp_path / "data", offset) as (desk, first):
        wait_for(
            "the strategies' first fill",
            lambda: [f for f in desk.all("fills") if f["strategy"] in ("ping-pong", "momentum")],
            120,
        )
        desk.trade_by_hand()
        equal_books(desk)
        fills = len(desk.all("fills"))
    assert first["exit_code"] == 0, first["stderr"]
    assert "cancel" in first["stderr"], "it says that it cancels what works"
    assert first["errors"] == {}
    assert first["ticks"] > 0
    assert first["fills"] >= fills >= 2
    assert first["working_orders_left"] == []
    assert first["tick_to_order"]["count"] > 0

    with a_platform(tmp_path / "data", offset) as (desk, second):
        wait_for("the books of before", lambda: len(desk.all("fills")) >= first["fills"])
        before = _orders_of_strategies(desk)
        wait_for("a strategy's next order", lambda: _orders_of_strategies(desk) > before, 120)
        assert desk.ledger_of_the_exchange()["fills"], "the exchange went on, too"
        desk.trade_by_hand()
        equal_books(desk)
    assert second["exit_code"] == 0, second["stderr"]
    assert second["errors"] == {}
    assert second["fills"] >= 1
    assert second["books"]["fills"] == first["books"]["fills"] + second["fills"]


def ready_status(data: Path) -> Any:
    """What `tickbus status` says; None while a service is not ready, or late to answer."""
    status = subprocess.run(
        [sys.executable, "-m", "tickbus_cli", "status", "--json", "--data-dir", str(data)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return None if status.returncode else json.loads(status.stdout)


def test_a_further_venue_gets_all_it_needs_and_orders_are_split_over_both(tmp_path: Path) -> None:
    offset, data = a_free_offset(), tmp_path / "data"
    arguments = ("--config", str(ROOT / "config" / "venues" / "two-exchanges.yaml"))
    with a_platform(data, offset, *arguments) as (desk, summary):
        told = wait_for("all to be ready", lambda: ready_status(data))
        assert {"feed", "feed-sim2", "execution-sim2", "router"} <= told["services"].keys()
        second = Desk(f"http://127.0.0.1:{8080 + offset}", f"http://127.0.0.1:{8091 + offset}")
        order = {"symbol": "BTCUSDT", "side": "Buy", "quantity": "0.1", "price": None}

        def routed() -> Any:
            answer = desk.order(venue="smart", **order)
            if answer.status_code != HTTPStatus.CREATED:
                raise httpx.HTTPError(answer.text)  # what is said if it never comes
            return answer.json()

        bought = wait_for("a routed order", routed)
        assert bought["filled_quantity"] != "0"
        price = desk.order(symbol="BTCUSDT", venue="sim2", side="Buy", quantity=0.001, price=None)
        far = str(round(float(price.json()["avg_fill_price"]) * 0.97, 2))
        rests = desk.order(symbol="BTCUSDT", venue="sim2", side="Buy", quantity=0.001, price=far)
        assert rests.json()["state"] == "OPEN", rests.text
        parts = wait_for(
            "its parts", lambda: [o for o in desk.all("orders") if o["parent"] == bought["id"]]
        )
        assert {part["venue"] for part in parts} <= {"sim", "sim2"}
        theirs = {order["clientOrderId"] for order in second.ledger_of_the_exchange()["orders"]}
        assert rests.json()["id"] in theirs
    assert summary["exit_code"] == 0, summary["stderr"]
    assert summary["working_orders_left"] == [], "cancelled at the further venue, too"
    assert summary["errors"] == {}
    assert (data / "exchange-sim2").is_dir()


def test_skeleton_of_a_strategy_trades_on_the_simulated_exchange(tmp_path: Path) -> None:
    made = [sys.executable, "-m", "tickbus_cli", "new", "strategy", "quiet_river"]
    subprocess.run([*made, "--dir", str(tmp_path)], cwd=tmp_path, timeout=60, check=True)
    offset, config = a_free_offset(), tmp_path / "quiet_river" / "config.yaml"
    with a_platform(tmp_path / "data", offset, "--config", str(config)) as (desk, summary):

        def sold() -> bool:
            fills = [f for f in desk.all("fills") if f["strategy"] == "quiet-river"]
            return {"BUY", "SELL"} <= {f["side"] for f in fills}

        wait_for("a purchase and a sale of its own", sold, 120)
        assert {o["strategy"] for o in desk.all("orders")} == {"quiet-river"}, "it is alone"
        equal_books(desk)
    assert summary["exit_code"] == 0, summary["stderr"]
    assert summary["working_orders_left"] == []


# -- USD-M futures ---------------------------------------------------------------------------------

FUNDING_S = 30
NAME = "BTC-USDT-PERP"


@pytest.fixture
def futures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A simulated exchange in Binance's place."""
    port = free_port()
    with a_process("tickbus_exchange", "--port", str(port), "--funding-interval-s", str(FUNDING_S)):
        url = f"http://127.0.0.1:{port}"
        wait_for("the exchange", lambda: httpx.get(f"{url}/fapi/v1/ping", timeout=30).is_success)
        monkeypatch.setenv("TICKBUS_VENUE_REST_URL", url)
        monkeypatch.setenv("TICKBUS_VENUE_WS_URL", f"ws://127.0.0.1:{port}")
        monkeypatch.setenv("TICKBUS_VENUE_WS_API_URL", f"ws://127.0.0.1:{port}/ws-fapi/v1")
        yield url


@contextmanager
def a_process(module: str, *arguments: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def position(desk: Desk) -> dict[str, Any]:
    found = desk.get("/api/v1/portfolio")["positions"]
    held: dict[str, Any] = next(p for p in found if p["instrument_id"] == NAME)
    return held


def is_equal(desk: Desk) -> bool:
    """Whether the account was told, and holds what our fills add up to."""
    difference = position(desk)["difference"]
    return difference is not None and Decimal(difference) == 0


def halted(desk: Desk, strategy: str) -> bool:
    body = {"state": "HALTED", "strategy": strategy, "reason": "by hand now"}
    return desk.put("/api/v1/risk/state", **body).status_code == 200


@pytest.mark.slow(80)
def test_futures_are_traded_on_paper_short_funded_and_kept_over_a_restart(
    futures: str, tmp_path: Path
) -> None:
    offset, data = a_free_offset(), tmp_path / "data"
    with a_platform(data, offset, "--venue", "binance-usdm") as (desk, first):
        wait_for(
            "the strategies' first fill",
            lambda: [f for f in desk.all("fills") if f["strategy"] in ("ping-pong", "momentum")],
            120,
        )
        wait_for("a halt", lambda: halted(desk, "ping-pong") and halted(desk, "momentum"))
        sold = desk.order(symbol="BTCUSDT", side="Sell", quantity="0.1", price=None).json()
        assert (sold["state"], sold["venue_order_id"][0]) == ("FILLED", "p"), sold
        held = wait_for("a short position", lambda: position(desk))
        assert Decimal(held["quantity"]) < 0
        wait_for("equal positions", lambda: is_equal(desk))
        # Longs pay shorts at the rate of the feed.
        paid = wait_for(
            "funding", lambda: Decimal(desk.get("/api/v1/portfolio")["funding"]), FUNDING_S + 60
        )
        assert paid > 0
        more = desk.order(
            symbol="BTCUSDT", side="Sell", quantity="0.01", price=None, reduce_only=True
        )
        assert more.json()["code"] == "TRADING_REDUCING_ONLY"
        before = position(desk)
    assert first["exit_code"] == 0, first["stderr"]
    assert first["errors"] == {}
    with a_platform(data, offset, "--venue", "binance-usdm") as (desk, second):
        wait_for("the books of before", lambda: position(desk)["quantity"] == before["quantity"])
        quantity = str(-Decimal(before["quantity"]))

        def covered() -> Any:
            answer = desk.order(
                symbol="BTCUSDT", side="Buy", quantity=quantity, price=None, reduce_only=True
            )
            return answer.status_code == 201 and answer.json()["state"] == "FILLED"

        wait_for("the short to be covered", covered)
        wait_for("a flat position", lambda: not Decimal(position(desk)["quantity"]))
        wait_for("equal positions", lambda: is_equal(desk))
        assert desk.get("/api/v1/portfolio")["differences"] == []
    assert (second["exit_code"], second["errors"]) == (0, {}), second["stderr"]


def test_futures_are_traded_live_after_it_was_confirmed(
    futures: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKBUS_VENUE_API_KEY", "sim-key")
    monkeypatch.setenv("TICKBUS_VENUE_API_SECRET", "sim-secret")
    monkeypatch.setenv("TICKBUS_LIVE_CONFIRM", "binance-usdm")
    monkeypatch.setenv("TICKBUS_ADMIN_PASSWORD", "for this test alone")
    arguments = ("--venue", "binance-usdm", "--live", "--yes")
    with a_platform(tmp_path / "data", a_free_offset(), *arguments) as (desk, summary):
        # With real money nobody is let in for being at this machine.
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            desk.get("/api/v1/fills")
        desk.log_in("admin", "for this test alone")
        wait_for(
            "the strategies' first fill",
            lambda: [f for f in desk.all("fills") if f["strategy"] in ("ping-pong", "momentum")],
            120,
        )
        wait_for("a halt", lambda: halted(desk, "ping-pong") and halted(desk, "momentum"))
        sold = desk.order(symbol="BTCUSDT", side="Sell", quantity="0.1", price=None).json()
        assert sold["state"] == "FILLED", sold
        wait_for("what the exchange has", lambda: is_equal(desk))
        assert position(desk)["reported"] is not None
        assert not desk.get("/api/v1/portfolio")["differences"]
    assert summary["exit_code"] == 0, summary["stderr"]
    assert summary["errors"] == {}, "whoever is not known is no error of ours"
    for words in ("REAL MONEY", "leverage     BTCUSDT: 20x, cross margin", "one-way"):
        assert words in summary["stderr"]
