"""Order bodies: exact numbers in, refusals that name field, value and remedy out."""

from decimal import Decimal
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.events import OrderType, Side, TimeInForce
from tickbus_api.parsing import BODY_BYTES_MAX, parse_changes, parse_order
from tickbus_api.problems import Problem, shown


def refused(body: str | bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        parse_order(body.encode() if isinstance(body, str) else body)
    return caught.value


def test_market_order_has_no_price() -> None:
    order = parse_order(b'{"symbol":"BTCUSDT","side":"Buy","quantity":0.001,"price":null}')
    assert order.symbol == "BTCUSDT"
    assert order.side is Side.BUY
    assert order.quantity == Decimal("0.001")
    assert order.price is None
    assert order.time_in_force is TimeInForce.GTC


@pytest.mark.parametrize("side", ["buy", "BUY", "Buy", "bUy"])
def test_side_is_understood_in_any_case(side: str) -> None:
    body = f'{{"symbol":"X","side":"{side}","quantity":1}}'
    assert parse_order(body.encode()).side is Side.BUY


@given(st.decimals(min_value=Decimal("1e-12"), max_value=Decimal("1e12"), places=12))
def test_number_and_string_both_keep_every_digit(quantity: Decimal) -> None:
    digits = format(quantity, "f")
    for written in (digits, f'"{digits}"'):
        body = f'{{"symbol":"X","side":"sell","quantity":{written},"price":{written}}}'
        order = parse_order(body.encode())
        assert (order.quantity, order.price) == (quantity, quantity)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantity", "-1"),
        ("quantity", "0"),
        ("quantity", '"NaN"'),
        ("quantity", '"Infinity"'),
        ("quantity", '"a lot"'),
        ("quantity", "true"),
        ("quantity", "[1]"),
        ("quantity", "1e999999999"),
        ("quantity", "1e-999999999"),
        ("quantity", "1" * 41),
        ("price", "-0.5"),
        ("price", '"sNaN"'),
        ("side", '"hold"'),
        ("side", "1"),
        ("symbol", '""'),
        ("symbol", "42"),
        ("time_in_force", '"DAY"'),
        ("time_in_force", '"IOC"'),  # without a price
        ("post_only", '"yes"'),
        ("post_only", "true"),  # without a price
        ("venue", "7"),
        ("type", '"STOP"'),
        ("trigger_price", "0"),
        ("expires_at", '"tomorrow"'),
        ("expires_at", '"2030-01-01T00:00:00"'),
        ("expires_at", "5"),
    ],
)
def test_a_wrong_value_is_named_with_its_field_and_a_remedy(field: str, value: str) -> None:
    fields = {"symbol": '"BTCUSDT"', "side": '"buy"', "quantity": "1", field: value}
    problem = refused("{" + ",".join(f'"{k}":{v}' for k, v in fields.items()) + "}")
    assert problem.status is HTTPStatus.UNPROCESSABLE_ENTITY
    body = problem.body()
    assert body["code"] == "INVALID_VALUE"
    assert body["field"] == field
    assert body["remedy"]
    assert len(body.get("value", "")) <= 101


@pytest.mark.parametrize("field", ["symbol", "side", "quantity"])
def test_a_missing_field_is_named(field: str) -> None:
    fields = {"symbol": '"BTCUSDT"', "side": '"buy"', "quantity": "1"}
    del fields[field]
    problem = refused("{" + ",".join(f'"{k}":{v}' for k, v in fields.items()) + "}")
    assert (problem.code, problem.field) == ("MISSING_FIELD", field)


def test_a_typo_gets_the_nearest_known_field() -> None:
    problem = refused('{"symbol":"X","side":"buy","quantty":1}')
    assert problem.code == "UNKNOWN_FIELD"
    assert "quantity" in problem.remedy


@pytest.mark.parametrize(
    ("short", "field"), [("qty", "quantity"), ("tif", "time_in_force"), ("sym", "symbol")]
)
def test_what_is_cut_short_gets_the_whole_field(short: str, field: str) -> None:
    problem = refused(f'{{"symbol":"X","side":"buy","quantity":1,"{short}":1}}')
    assert (problem.code, problem.remedy) == ("UNKNOWN_FIELD", f"did you mean {field!r}?")


def test_a_small_number_is_shown_digit_by_digit() -> None:
    assert shown(Decimal("0.0000001")) == "0.0000001"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b'{"quantity":NaN}', b"\xff\xfe{", b"[" * 10_000,
     b'{"symbol":"\\ud800"}', b'{"\\uDfff":1}', b'{"a":[{"b":"\\ud800"}]}'],
)  # fmt: skip
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    problem = refused(body)
    assert (problem.status, problem.code) == (HTTPStatus.BAD_REQUEST, "MALFORMED_JSON")


def test_a_body_has_a_bound() -> None:
    assert refused(b" " * (BODY_BYTES_MAX + 1)).code == "BODY_TOO_LARGE"


@given(st.binary(max_size=200))
def test_no_body_whatsoever_breaks_the_parser(body: bytes) -> None:
    with pytest.raises(Problem):
        parse_order(body)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ("", OrderType.MARKET),
        (',"price":1', OrderType.LIMIT),
        (',"trigger_price":1', OrderType.STOP_MARKET),
        (',"trigger_price":1,"price":2', OrderType.STOP_LIMIT),
        (',"trigger_price":1,"type":"take_profit_market"', OrderType.TAKE_PROFIT_MARKET),
    ],
)
def test_type_follows_from_the_prices_unless_it_is_given(fields: str, kind: OrderType) -> None:
    order = parse_order(f'{{"symbol":"X","side":"buy","quantity":1{fields}}}'.encode())
    assert order.order_type is kind


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ('"type":"STOP_MARKET"', "trigger_price"),
        ('"type":"STOP_MARKET","trigger_price":1,"price":2', "price"),
        ('"type":"LIMIT","trigger_price":1,"price":2', "trigger_price"),
        ('"type":"LIMIT"', "price"),
        ('"price":1,"time_in_force":"GTD"', "expires_at"),
        ('"price":1,"time_in_force":"IOC","expires_at":"2030-01-01T00:00:00Z"', "expires_at"),
        ('"expires_at":"2030-01-01T00:00:00Z"', "time_in_force"),
        ('"price":1,"trigger_price":2,"post_only":true', "post_only"),
    ],
)
def test_terms_that_contradict_each_other_are_refused(fields: str, field: str) -> None:
    problem = refused(f'{{"symbol":"X","side":"buy","quantity":1,{fields}}}')
    assert problem.body()["field"] == field


def test_time_of_expiry_makes_a_gtd_order() -> None:
    until = "2030-01-01T01:00:00+01:00"
    body = f'{{"symbol":"X","side":"buy","quantity":1,"price":1,"expires_at":"{until}"}}'.encode()
    order = parse_order(body)
    assert (order.time_in_force, order.expires_ns) == (TimeInForce.GTD, 1_893_456_000_000_000_000)


def test_a_time_beyond_all_clocks_is_refused() -> None:
    problem = refused(
        '{"symbol":"BTCUSDT","side":"Buy","quantity":1,"price":1,"expires_at":"9999-12-31T00:00:00Z"}'
    )
    assert (problem.field, problem.value) == ("expires_at", "9999-12-31T00:00:00Z")


def test_a_field_that_is_given_twice_is_refused() -> None:
    problem = refused('{"symbol":"BTCUSDT","side":"Buy","quantity":1,"price":1,"quantity":2}')
    assert problem.code == "MALFORMED_JSON"
    assert "'quantity' is given twice" in problem.detail


def test_changes_name_what_is_to_be_changed() -> None:
    assert parse_changes(b'{"price":"1.5"}') == (Decimal("1.5"), None, None)
    for body, field in ((b"{}", "price"), (b'{"side":"buy"}', "side"), (b'{"price":0}', "price")):
        with pytest.raises(Problem) as caught:
            parse_changes(body)
        assert caught.value.body()["field"] == field
