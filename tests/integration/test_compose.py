"""The platform as Compose runs it: every service is its own image, from tick to ledger to API."""

import json
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tickbus_embedded import free_port
from tickbus_testkit.story import Desk, wait_for

ROOT = Path(__file__).parents[2]
BUILD_S = 600
COMMAND_S = 240
IMAGE_BYTES_MAX = 200 * 10**6
OURS = (
    "exchange", "feed", "book", "strategy", "risk", "execution", "killswitch", "ledger", "history",
    "api", "alerts",
)  # fmt: skip

pytestmark = pytest.mark.timeout(BUILD_S + COMMAND_S + 60)


class Compose:
    """One project of the file that users start, with books, names and ports of its own."""

    def __init__(self, directory: Path) -> None:
        self.api_port, self.exchange_port = free_port(), free_port()
        self.password = secrets.token_urlsafe(16)
        self._project = f"tickbus-test-{secrets.token_hex(4)}"
        # Whoever compares the books looks into those of the exchange; nobody else needs that.
        ports = {"exchange": {"ports": [f"127.0.0.1:{self.exchange_port}:8090"]}}
        self._override = directory / "override.json"
        self._override.write_text(json.dumps({"services": ports}))

    def __call__(
        self,
        *arguments: str,
        timeout_s: float = COMMAND_S,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """What `docker compose` prints. Raises AssertionError with its last words if it fails."""
        command = ("docker", "compose", "-p", self._project, "-f", "docker-compose.yml")
        # No setting of whoever runs this: what a clean clone does is to be seen.
        variables = {
            name: value for name, value in os.environ.items()
            if not name.startswith(("TICKBUS_", "POSTGRES_", "OTEL_", "COMPOSE_"))
        }  # fmt: skip
        variables |= {
            "TICKBUS_API_PORT": str(self.api_port), "TICKBUS_ADMIN_PASSWORD": self.password,
            "COMPOSE_DISABLE_ENV_FILE": "1", **(environment or {}),
        }  # fmt: skip
        ended = subprocess.run(
            [*command, "-f", str(self._override), *arguments], cwd=ROOT, env=variables,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s,
            check=False,
        )  # fmt: skip
        assert ended.returncode == 0, f"{arguments}: {ended.stdout[-8_000:]}"
        return ended.stdout

    def containers(self) -> dict[str, Any]:
        """What the engine says of each container, by service; of a second one `<service>-2`."""
        ids = self("ps", "--all", "--quiet").split()
        told = subprocess.run(
            ["docker", "inspect", *ids], capture_output=True, timeout=30, check=True
        )
        found: dict[str, Any] = {}
        for each in json.loads(told.stdout):
            labels = each["Config"]["Labels"]
            name = labels["com.docker.compose.service"]
            number = labels["com.docker.compose.container-number"]
            found[name if number == "1" else f"{name}-{number}"] = each
        return found

    def kill(self, *names: str) -> None:
        """End their processes by force, as a crash would, and wait until they are healthy again.

        A kill by way of the engine is a wish to have them ended: it starts none again.
        """
        before = self.containers()
        for name in names:
            os.kill(before[name]["State"]["Pid"], signal.SIGKILL)

        def are_back() -> bool:
            now = self.containers()
            return all(
                now[name]["RestartCount"] > before[name]["RestartCount"]
                and now[name]["State"].get("Health", {}).get("Status") == "healthy"
                for name in names
            )

        wait_for(f"{', '.join(names)} to be healthy again", are_back, 120)

    @contextmanager
    def still(self, name: str) -> Iterator[None]:
        """The processes of one service stand still.

        Not by way of the engine, whose freezer gives up on a busy machine.
        """
        pids = [
            each["State"]["Pid"]
            for each in self.containers().values()
            if each["Config"]["Labels"]["com.docker.compose.service"] == name
        ]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def compose(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """The platform, built from this working copy and healthy."""
    made = Compose(tmp_path_factory.mktemp("compose"))
    made("build", timeout_s=BUILD_S)
    try:
        made("up", "--wait", "--wait-timeout", "180")
        yield made
    finally:
        made("down", "--volumes", "--timeout", "20")


@pytest.fixture(scope="module")
def desk(compose: Compose) -> Desk:
    """The admin, who sees the exchange's ledger too."""
    desk = Desk(f"http://127.0.0.1:{compose.api_port}", f"http://127.0.0.1:{compose.exchange_port}")
    desk.log_in("admin", compose.password)
    return desk


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


def test_images_are_small_and_run_as_nobody_in_particular(compose: Compose) -> None:
    for name, container in compose.containers().items():
        if name not in OURS:
            continue
        told = subprocess.run(
            ["docker", "image", "inspect", container["Image"]],
            capture_output=True, timeout=30, check=True,
        )  # fmt: skip
        (image,) = json.loads(told.stdout)
        assert image["Size"] < IMAGE_BYTES_MAX, name
        assert image["Config"]["User"] == container["Config"]["User"] == "10001:10001", name
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["Memory"] > 0, name


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
