"""The platform as Compose runs it: every service is its own image, from tick to ledger to API."""

import json
import os
import re
from collections.abc import Iterator

import httpx
import pytest
from composed import (
    BUILD_S,
    COMMAND_S,
    OURS,
    ROOTS,
    Compose,
    judge_container,
    judge_image,
)

from tickbus_testkit.story import Desk, wait_for

HEALTHY_WITHIN_S = 60.0
SLOWNESS = float(os.environ.get("TICKBUS_SLOWNESS", "1"))
"""How many times as long a slow machine may take to start the platform."""

pytestmark = pytest.mark.timeout(BUILD_S + COMMAND_S + 60)


@pytest.fixture(scope="module")
def compose(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """The platform, built from this working copy and healthy."""
    made = Compose(tmp_path_factory.mktemp("compose"))
    with made.running():
        yield made


@pytest.fixture(scope="module")
def desk(compose: Compose) -> Desk:
    """The admin, who sees the exchange's ledger too."""
    return compose.desk()


def equal_books(compose: Compose, desk: Desk) -> None:
    """Ours and the exchange's, to the last digit, while the strategies hold their breath."""
    found: list[str] = []

    def look() -> bool:
        found[:] = desk.differences()
        return not found

    with compose.still("strategy"):
        try:
            wait_for("books equal to the exchange's", look)
        except AssertionError as error:
            raise AssertionError("\n".join(found)) from error


def test_it_is_healthy_within_a_minute(
    compose: Compose, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\ncompose: healthy {compose.healthy_after_s:.1f} s after `up`, images at hand")
    assert compose.healthy_after_s < HEALTHY_WITHIN_S * SLOWNESS


def test_images_are_small_and_no_container_may_do_more_than_it_must(compose: Compose) -> None:
    containers = compose.containers()
    assert containers.keys() == {*OURS, "nats", *ROOTS}
    for name, container in containers.items():
        judge_container(name, container)
    for name in OURS:
        judge_image(name, containers[name])


def test_a_tick_becomes_an_order_a_fill_and_a_line_in_the_books(
    compose: Compose, desk: Desk
) -> None:
    desk.see_a_strategy_trade()
    desk.trade_by_hand()
    equal_books(compose, desk)


@pytest.mark.parametrize(
    "names",
    [
        ("feed", "book", "alerts"), ("risk", "ledger"), ("execution", "history"),
        ("strategy", "api", "killswitch"), ("postgres",), ("nats",), ("exchange",),
    ],
    ids="-".join,
)  # fmt: skip
def test_killed_containers_come_back_and_the_books_are_equal(
    compose: Compose, desk: Desk, names: tuple[str, ...]
) -> None:
    compose.kill(*names)
    wait_for(
        "a market order to be filled again",
        lambda: (
            desk.order(symbol="BTCUSDT", side="Buy", quantity=0.001, price=None).json()["state"]
            == "FILLED"
        ),
        60,
    )
    equal_books(compose, desk)


def test_further_processes_of_strategies_stand_by(compose: Compose, desk: Desk) -> None:
    compose("up", "--wait", "--wait-timeout", "120", "--no-recreate", "--scale", "strategy=3")
    said = compose("logs", "--no-color", "strategy").splitlines()
    waiting = [line for line in said if "standing by: the process" in line]
    assert any("strategy-2 " in line for line in waiting), said[-20:]
    assert any("strategy-3 " in line for line in waiting), said[-20:]
    compose.kill("strategy")
    known = {fill["id"] for fill in desk.all("fills")}
    wait_for(
        "a strategy's next fill",
        lambda: [
            fill
            for fill in desk.all("fills")
            if fill["id"] not in known and fill["strategy"] != "manual"
        ],
        60,
    )
    running = {name: each["RestartCount"] for name, each in compose.containers().items()}
    assert (running["strategy-2"], running["strategy-3"]) == (0, 0), "none ended another"
    equal_books(compose, desk)


LIVE = {
    "TICKBUS_CONFIG": "/etc/tickbus/default.yaml:/etc/tickbus/venues/binance.yaml"
    ":/etc/tickbus/venues/binance-live.yaml",
    "TICKBUS_VENUE_REST_URL": "", "TICKBUS_VENUE_WS_URL": "", "TICKBUS_VENUE_WS_API_URL": "",
    "TICKBUS_VENUE_API_KEY": "key", "TICKBUS_VENUE_API_SECRET": "secret",
    "TICKBUS_EXCHANGE_INTENSITY": "0",
}  # fmt: skip


def test_real_money_waits_for_whoever_says_that_it_is_meant(compose: Compose) -> None:
    """Only the check is run: the venue is a real one."""
    check = ("--profile", "live", "run", "--rm", "--no-deps", "-T", "live")
    with pytest.raises(AssertionError, match="set it to 'binance'"):
        compose(*check, environment=LIVE)
    said = compose(*check, environment=LIVE | {"TICKBUS_LIVE_CONFIRM": "binance"})
    assert "binance (https://api.binance.com)" in said
    shown = json.loads(
        compose("--profile", "live", "config", "--format", "json", environment=LIVE)
    )["services"]
    assert "--intensity=0" in shown["exchange"]["command"], "it stands still"
    default = json.loads(compose("config", "--format", "json"))["services"]
    assert "live" not in default


def test_the_kill_switch_cancels_and_halts_while_nothing_of_ours_answers(
    compose: Compose, desk: Desk
) -> None:
    """As docs/kill-switch.md has it, with the services that trade standing still."""
    mids = {price["symbol"]: float(price["mid"]) for price in desk.get("/api/v1/prices")["prices"]}
    far = f"{mids['BTCUSDT'] * 0.97:.2f}"
    resting = desk.order(symbol="BTCUSDT", side="buy", quantity="0.001", price=far).json()
    assert resting["state"] == "OPEN", resting
    kill = ("run", "--rm", "--no-deps", "-T", "killswitch", "--now", "--reason", "it looks wrong")
    with compose.still("execution"), compose.still("risk"), compose.still("api"):
        said = compose(*kill)
    report = json.loads(next(line for line in said.splitlines() if '"exit_code"' in line))
    assert (report["exit_code"], report["halted"]) == (0, True), report
    assert report["reason"] == "it looks wrong"
    path = f"/api/v1/orders/{resting['id']}"
    wait_for("the order to be canceled", lambda: desk.get(path)["state"] == "CANCELED")
    wait_for("halted", lambda: desk.get("/api/v1/risk/state")["state"] == "HALTED")
    refused = desk.order(symbol="BTCUSDT", side="Buy", quantity=0.001, price=None)
    assert (refused.status_code, refused.json()["code"]) == (422, "TRADING_HALTED")
    desk.put("/api/v1/risk/state", state="ACTIVE", reason="looked at").raise_for_status()
    bought = desk.order(symbol="BTCUSDT", side="Buy", quantity=0.001, price=None).json()
    assert bought["state"] == "FILLED", bought
    equal_books(compose, desk)


@pytest.mark.parametrize(
    "command",
    [
        ("exec", "-T", "api", "python", "-m", "tickbus_api.recover"),
        ("run", "--rm", "-T", "--entrypoint", "python", "api", "-m", "tickbus_api.recover"),
    ],
    ids=["beside it", "without it"],
)
def test_a_lost_password_is_replaced_as_the_documentation_says(
    compose: Compose, desk: Desk, command: tuple[str, ...]
) -> None:
    found = re.search(r"^admin, admin: password (\S+)", compose(*command), re.MULTILINE)
    assert found
    with pytest.raises(httpx.HTTPStatusError):
        desk.log_in("admin", compose.password)
    desk.log_in("admin", found[1])
    compose.password = found[1]
    assert desk.get("/api/v1/portfolio")


def test_all_end_in_order_and_none_fell_over_anything(compose: Compose, desk: Desk) -> None:
    desk.cancel_all()
    compose("stop", "--timeout", "30")
    ended = {
        name: each["State"]["ExitCode"]
        for name, each in compose.containers().items()
        if each["Config"]["Labels"]["com.docker.compose.service"] in OURS
    }
    assert len(ended) >= len(OURS)
    assert not any(ended.values()), ended
    said = compose("logs", "--no-color", "--no-log-prefix", *OURS).splitlines()
    assert not [line for line in said if "Traceback" in line]


def messages_of_orders(compose: Compose) -> int:
    """How many messages the stream ORDERS has; only the bus runs."""
    compose("stop", "--timeout", "30")
    compose("up", "--wait", "--wait-timeout", "120", "nats")
    url = "http://127.0.0.1:8222/jsz?streams=true"
    told = json.loads(compose("exec", "-T", "nats", "wget", "-q", "-O", "-", url))
    (found,) = [
        stream["state"]["messages"]
        for account in told["account_details"]
        for stream in account["stream_detail"]
        if stream["name"] == "ORDERS"
    ]
    return int(found)


def test_the_streams_of_a_server_that_ran_as_root_are_taken_over(compose: Compose) -> None:
    """As docs/operations.md has it, there and back; nothing is lost."""
    before = messages_of_orders(compose)
    assert before > 0
    compose("stop", "--timeout", "30")
    compose("run", "--rm", "--no-deps", "-T", "nats-owner", "0")
    assert messages_of_orders(compose) == before
    of_others = ("exec", "-T", "nats", "find", "/data", "!", "-user", "10001")
    assert compose(*of_others).split() == []
