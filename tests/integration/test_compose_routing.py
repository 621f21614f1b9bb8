"""The profile `routing` of Compose: two exchanges, and orders that are split over both.

Its secrets are in files, as .env may name them.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from composed import BUILD_S, COMMAND_S, OURS, ROOTS, Compose, judge_container, judge_image

from tickbus_testkit.story import Desk, differences, wait_for

OF_ROUTING = ("exchange-sim2", "feed-sim2", "execution-sim2", "router")
EXCHANGES = {"sim": "exchange", "sim2": "exchange-sim2"}
WIDE = (
    "order_notional_max", "position_notional_max", "gross_exposure_max", "net_exposure_max",
)  # fmt: skip

pytestmark = pytest.mark.timeout(BUILD_S + COMMAND_S + 60)


def files_with_secrets(directory: Path, password: str) -> dict[str, str]:
    """The right ones in files that the services may read; beside them values that are wrong."""
    settings: dict[str, str] = {}
    for name, secret in {
        "VENUE_API_KEY": "sim-key", "VENUE_API_SECRET": "sim-secret\n",
        "SIM2_API_KEY": "sim-key", "SIM2_API_SECRET": "sim-secret",
        "KILL_TOKEN": "a-token-of-a-file", "ADMIN_PASSWORD": password,
    }.items():  # fmt: skip
        file = directory / name.lower()
        file.write_text(secret, encoding="utf-8")
        file.chmod(0o644)
        settings |= {f"TICKBUS_{name}_FILE": str(file), f"TICKBUS_{name}": "of-no-use-anywhere"}
    return settings


@pytest.fixture(scope="module")
def compose(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """The platform on two exchanges, healthy."""
    directory = tmp_path_factory.mktemp("routing")
    made = Compose(directory, exchanges=tuple(EXCHANGES.values()))
    made.settings |= files_with_secrets(directory, made.password) | {
        "COMPOSE_PROFILES": "routing",
        "TICKBUS_CONFIG": "/etc/tickbus/default.yaml:/etc/tickbus/venues/two-exchanges.yaml",
    }
    with made.running():
        yield made


@pytest.fixture(scope="module")
def desks(compose: Compose) -> dict[str, Desk]:
    """The admin, who sees the ledger of one exchange too: by the exchange's name as a venue."""
    return {venue: compose.desk(venue, exchange) for venue, exchange in EXCHANGES.items()}


def ended(desk: Desk, order_id: str) -> dict[str, Any]:
    """The order once it has ended."""

    def look() -> Any:
        order = desk.get(f"/api/v1/orders/{order_id}")
        return None if order["working"] or order["state"] == "PENDING_RISK" else order

    found: dict[str, Any] = wait_for(f"the end of {order_id}", look)
    return found


def test_the_containers_of_the_profile_are_small_and_may_do_no_more_than_they_must(
    compose: Compose,
) -> None:
    containers = compose.containers()
    assert containers.keys() == {*OURS, *OF_ROUTING, "nats", *ROOTS}
    for name, container in containers.items():
        judge_container(name, container)
    for name in OF_ROUTING:
        judge_image(name, containers[name])


def test_an_order_for_smart_is_filled_on_both_exchanges(
    compose: Compose, desks: dict[str, Desk]
) -> None:
    desk = desks["sim"]
    for name in WIDE:
        body = {"name": name, "value": "1000000", "reason": "more than one account can pay for"}
        desk.put("/api/v1/risk/limits", **body).raise_for_status()

    def prices() -> list[Any]:
        found = desk.get("/api/v1/prices")["prices"]
        known = {price["venue"] for price in found if price["mid"] is not None}
        return found if {"smart", *EXCHANGES} <= known else []

    wait_for("prices everywhere", prices)
    answer = desk.order(symbol="BTCUSDT", venue="smart", side="Buy", quantity="2", price=None)
    assert answer.status_code in (201, 202), answer.text
    whole = ended(desk, answer.json()["id"])
    parts = [order for order in desk.all("orders") if order["parent"] == whole["id"]]
    filled = {part["venue"] for part in parts if Decimal(part["filled_quantity"])}
    assert filled == {*EXCHANGES}, (whole, parts)
    total = sum(Decimal(part["filled_quantity"]) for part in parts)
    assert total == Decimal(whole["filled_quantity"]) > 0
    for venue, each in desks.items():
        theirs = {order["clientOrderId"] for order in each.ledger_of_the_exchange()["orders"]}
        assert {part["id"] for part in parts if part["venue"] == venue} <= theirs

    found: list[str] = []

    def equal() -> bool:
        found[:] = differences(list(desks.values()))
        return not found

    with compose.still("strategy"):
        try:
            wait_for("books equal to both exchanges'", equal)
        except AssertionError as error:
            raise AssertionError("\n".join(found)) from error


def test_only_who_needs_a_secret_has_its_file(compose: Compose) -> None:
    there = {
        name: set(compose("exec", "-T", name, "sh", "-c", "ls /run/secrets || true").split())
        for name in ("router", "execution-sim2", "killswitch")
    }
    assert there == {
        "router": {"otlp_certificate"},
        "execution-sim2": {"sim2_api_key", "sim2_api_secret", "otlp_certificate"},
        "killswitch": {
            "venue_api_key", "venue_api_secret", "sim2_api_key", "sim2_api_secret", "kill_token",
        },
    }  # fmt: skip
