"""The whole platform, as `tickbus up` runs it: trades, refuses, stops, and goes on where it was."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tickbus_testkit.story import Desk, wait_for

ROOT = Path(__file__).parents[3]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def a_free_offset() -> int:
    """An offset at which all of the platform's ports are probably free."""
    for offset in range(3_000 + os.getpid() % 1_000 * 10, 40_000, 700):
        ports = [4222 + offset, 8080 + offset, 8090 + offset, 8091 + offset]
        ports += range(9101 + offset, 9122 + offset)
        probes = []
        try:
            for port in ports:
                probe = socket.socket()
                probes.append(probe)
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        return offset
    raise AssertionError("no free ports")


@contextmanager
def a_platform(data: Path, offset: int, *arguments: str) -> Iterator[tuple[Desk, dict[str, Any]]]:
    """A running platform; leaving stops it with Ctrl-C and fills in its summary."""
    summary: dict[str, Any] = {}
    process = subprocess.Popen(
        [
            sys.executable, "-m", "tickbus_cli", "up", "--json", "--data-dir", str(data),
            "--port-offset", str(offset), *arguments,
        ],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    desk = Desk(f"http://127.0.0.1:{8080 + offset}", f"http://127.0.0.1:{8090 + offset}")
    try:
        wait_for("the gateway to be ready", lambda: desk.get("/health")["status"] == "ready", 60)
        yield desk, summary
    finally:
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        try:
            out, errors = process.communicate(timeout=60)
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


def test_it_trades_keeps_books_equal_to_the_exchange_and_continues(tmp_path: Path) -> None:
    offset = a_free_offset()
    with a_platform(tmp_path / "data", offset) as (desk, first):
        wait_for(
            "the strategies' first fill",
            lambda: [f for f in desk.all("fills") if f["strategy"] in ("ping-pong", "momentum")],
            60,
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
        wait_for("a strategy's next order", lambda: _orders_of_strategies(desk) > before, 60)
        assert desk.ledger_of_the_exchange()["fills"], "the exchange went on, too"
        desk.trade_by_hand()
        equal_books(desk)
    assert second["exit_code"] == 0, second["stderr"]
    assert second["errors"] == {}
    assert second["fills"] >= 1
    assert second["books"]["fills"] == first["books"]["fills"] + second["fills"]


def test_a_further_venue_gets_all_it_needs_and_orders_are_split_over_both(tmp_path: Path) -> None:
    offset, data = a_free_offset(), tmp_path / "data"
    arguments = ("--config", str(ROOT / "config" / "venues" / "two-exchanges.yaml"))
    with a_platform(data, offset, *arguments) as (desk, summary):
        status = subprocess.run(
            [sys.executable, "-m", "tickbus_cli", "status", "--json", "--data-dir", str(data)],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert status.returncode == 0, status.stdout + status.stderr
        told = json.loads(status.stdout)
        assert {"feed", "feed-sim2", "execution-sim2", "router"} <= told["services"].keys()
        second = Desk(f"http://127.0.0.1:{8080 + offset}", f"http://127.0.0.1:{8091 + offset}")
        order = {"symbol": "BTCUSDT", "side": "Buy", "quantity": "0.1", "price": None}

        def routed() -> Any:
            answer = desk.order(venue="smart", **order)
            return answer.json() if answer.status_code == 201 else None

        bought = wait_for("a routed order", routed)
        assert bought["filled_quantity"] != "0"
        price = desk.order(symbol="BTCUSDT", venue="sim2", side="Buy", quantity=0.001, price=None)
        far = str(round(float(price.json()["avg_fill_price"]) * 0.97, 2))
        rests = desk.order(symbol="BTCUSDT", venue="sim2", side="Buy", quantity=0.001, price=far)
        assert rests.json()["state"] == "OPEN", rests.text
        parts = [o for o in desk.all("orders") if o["parent"] == bought["id"]]
        assert {part["venue"] for part in parts} <= {"sim", "sim2"}
        assert parts
        theirs = {order["clientOrderId"] for order in second.ledger_of_the_exchange()["orders"]}
        assert rests.json()["id"] in theirs
    assert summary["exit_code"] == 0, summary["stderr"]
    assert summary["working_orders_left"] == [], "cancelled at the further venue, too"
    assert summary["errors"] == {}
    assert (data / "exchange-sim2").is_dir()
