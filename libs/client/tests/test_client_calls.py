"""Calls as data: where they go, what they carry, and what is refused before anything is sent."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tickbus_client import ApiError, Retry, Unintelligible
from tickbus_client.answers.access import NewKey, NewUser, Tokens
from tickbus_client.answers.orders import OrderPage
from tickbus_client.call import Call, read
from tickbus_client.calls import access, books, operations, orders, risk, strategies
from tickbus_client.credentials import Bearer
from tickbus_client.paging import following
from tickbus_client.talk import Talk


def body(call: Call[Any]) -> Any:
    return msgspec.json.decode(call.content or b"null")


def test_an_order_is_sent_with_every_digit_and_a_key_of_its_own() -> None:
    call = orders.place("BTCUSDT", "BUY", Decimal("0.10"), "60000.50", post_only=True)
    assert (call.method, call.target) == ("POST", "/api/v1/orders")
    assert body(call) == {
        "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.10", "price": "60000.50",
        "post_only": True,
    }  # fmt: skip
    other = orders.place("BTCUSDT", "BUY", 1)
    assert call.headers["Idempotency-Key"] != other.headers["Idempotency-Key"]
    mine = orders.place("BTCUSDT", "BUY", 1, idempotency_key="mine")
    assert mine.headers["Idempotency-Key"] == "mine"
    assert mine.is_repeatable


@pytest.mark.parametrize("name", ["quantity", "price", "trigger_price"])
def test_a_float_is_no_number_of_an_order(name: str) -> None:
    numbers: dict[str, Any] = {"quantity": 1, name: 0.1}
    with pytest.raises(TypeError, match=rf"{name}: 0.1 is a float"):
        orders.place("BTCUSDT", "BUY", **numbers)


def test_a_time_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        orders.listing(since=datetime(2026, 11, 21))  # noqa: DTZ001
    call = books.equity(since=datetime(2026, 11, 21, tzinfo=UTC), until=1_700_000_000_000_000_000)
    assert "since=2026-11-21T00%3A00%3A00%2B00%3A00" in call.target
    assert "until=1700000000000000000" in call.target


def test_names_cannot_leave_their_place_in_a_path() -> None:
    assert orders.get("../kill?x").target == "/api/v1/orders/..%2Fkill%3Fx"


def test_several_values_and_booleans_travel_as_the_gateway_reads_them() -> None:
    call = orders.listing(state=["OPEN", "FILLED"], working=False)
    assert call.target == "/api/v1/orders?state=OPEN&state=FILLED&working=false&limit=100"
    assert operations.dead_letters(everything=True).target.endswith("?limit=100&all=true")


def test_what_is_not_given_is_not_sent_but_none_may_mean_something() -> None:
    assert body(risk.set_limit("daily_loss_max", None, "month over")) == {
        "scope": "global", "name": "daily_loss_max", "value": None, "reason": "month over",
    }  # fmt: skip
    assert body(orders.replace("a-1", price="5")) == {"price": "5"}
    assert body(strategies.set_params("mo", {"n": None}, "why", actor="ann")) == {
        "params": {"n": None}, "reason": "why", "actor": "ann",
    }  # fmt: skip


def test_only_what_is_safe_may_be_repeated() -> None:
    assert books.portfolio().is_repeatable
    for call in (risk.kill(), orders.cancel("a"), orders.replace("a"), strategies.start("a", "b")):
        assert not call.is_repeatable, call.path


def test_a_problem_is_an_error_with_everything_it_says() -> None:
    problem = {
        "type": "urn:x", "title": "X", "status": 422, "code": "NOTIONAL_ABOVE_MAX",
        "detail": "risk denied the order", "field": "quantity", "value": "9",
        "remedy": "order less", "order_id": "m-1",
    }  # fmt: skip
    with pytest.raises(ApiError) as caught:
        read(books.portfolio(), "http://x", 422, {"retry-after": "2"}, msgspec.json.encode(problem))
    error = caught.value
    assert (error.code, error.field, error.value) == ("NOTIONAL_ABOVE_MAX", "quantity", "9")
    assert error.extra == {"order_id": "m-1"}
    assert error.retry_after_s == 2.0
    assert str(error) == "risk denied the order (given: 9)\n  Remedy: order less."


@pytest.mark.parametrize("content", [b"", b"<html>", b"[1]", b'{"code": 3}', b"\xff"])
def test_what_is_no_problem_of_ours_is_an_error_all_the_same(content: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        read(books.portfolio(), "http://x", 502, {}, content)
    assert caught.value.code == "HTTP_502"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"orders": []}', b"\xff"])
def test_an_answer_that_is_not_as_documented_says_so(content: bytes) -> None:
    with pytest.raises(Unintelligible, match="GET /api/v1/orders: "):
        read(orders.listing(), "http://x", 200, {}, content)


def test_fields_of_a_newer_gateway_are_passed_over() -> None:
    page = read(orders.listing(), "", 200, {}, b'{"orders":[],"next_cursor":null,"new":1}')
    assert page == OrderPage(orders=(), next_cursor=None)


def test_what_is_kept_but_not_in_force_is_marked() -> None:
    call = risk.limits()
    assert read(call, "", 202, {}, b'{"limits":[]}').unconfirmed
    assert not read(call, "", 200, {}, b'{"limits":[]}').unconfirmed


def test_the_next_page_is_the_same_question_behind_the_cursor() -> None:
    call = orders.listing(strategy="mo", limit=2)
    page = OrderPage(orders=(), next_cursor="c 1")
    asked = following(call, page)
    assert asked is not None
    assert asked.target == "/api/v1/orders?strategy=mo&limit=2&cursor=c+1"
    assert following(asked, OrderPage(orders=(), next_cursor=None)) is None
    assert following(asked, page) is None, "it leads to itself"


def test_no_secret_is_in_what_may_end_in_a_log() -> None:
    call = access.login("ann", "hunter2-secret")
    assert "secret" not in repr(call)
    assert "secret" not in repr(a_talk().request(call))
    tokens = Tokens(user="a", role="r", expires_in=1, access_token="secret")
    key = NewKey(
        id="1", user="a", name="n", scopes=(), networks=(), created_at=None, expires_at=None,
        last_used_at=None, last_used_from=None, key="secret",
    )  # fmt: skip
    user = NewUser(
        user="a", role="r", scopes=(), is_enabled=True, created_at=None, password="secret"
    )
    for answer in (tokens, key, user):
        assert "secret" not in repr(answer)


def a_talk() -> Talk:
    return Talk("http://desk", Bearer("tbk_secret"), Retry(), 1.0)
