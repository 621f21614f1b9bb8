"""Request bodies and parameters: from untrusted text to exact values, never through a float."""

import difflib
import json
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from tickbus.events import Side, TimeInForce
from tickbus_api.problems import Problem, invalid, shown

BODY_BYTES_MAX = 16 * 1024
DIGITS_MAX = 40
"""Decimals outside of 10^±40 or with more digits are no price or quantity of anything."""

E = TypeVar("E", bound=StrEnum)
_FIELDS = (
    "symbol", "side", "quantity", "price", "time_in_force", "post_only", "reduce_only", "venue",
)  # fmt: skip
_EXAMPLE = '{"symbol":"BTCUSDT","side":"Buy","quantity":0.001,"price":null}'


class OrderRequest(NamedTuple):
    """The body of POST /api/v1/orders, understood; `price` None means MARKET, `venue` "" any."""

    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal | None
    time_in_force: TimeInForce
    post_only: bool
    reduce_only: bool
    venue: str


def parse_order(body: bytes) -> OrderRequest:
    """The order that `body` asks for. Raises Problem."""
    fields = _object(body)
    for name in fields:
        if name not in _FIELDS:
            raise _unknown_field(name)
    price = fields.get("price")
    request = OrderRequest(
        symbol=text("symbol", _required(fields, "symbol")),
        side=choice("side", _required(fields, "side"), Side),
        quantity=positive("quantity", _required(fields, "quantity")),
        price=None if price is None else positive("price", price),
        time_in_force=_time_in_force(fields.get("time_in_force"), price is None),
        post_only=_flag("post_only", fields.get("post_only")),
        reduce_only=_flag("reduce_only", fields.get("reduce_only")),
        venue=text("venue", fields["venue"]) if fields.get("venue") is not None else "",
    )
    if request.post_only and (request.price is None or request.time_in_force != TimeInForce.GTC):
        raise invalid(
            "post_only",
            "true",
            "only a GTC order with a price can be post-only",
            "give a price and leave time_in_force out, or set post_only to false",
        )
    return request


def positive(field: str, value: Any) -> Decimal:
    """`value` (a JSON number or a string) as a Decimal above 0. Raises Problem."""
    number = _decimal(field, value)
    if number <= 0:
        raise invalid(field, value, "must be above 0", f"give a {field} above 0")
    return number


def text(field: str, value: Any) -> str:
    """`value` as a non-empty string. Raises Problem."""
    if not isinstance(value, str) or not value.strip():
        raise invalid(field, value, "must be a non-empty string", f"for example {_EXAMPLE}")
    return value.strip()


def choice(field: str, value: Any, kind: type[E]) -> E:
    """`value` as a member of `kind`, in any case. Raises Problem."""
    member = kind.__members__.get(value.strip().upper()) if isinstance(value, str) else None
    if member is None:
        names = ", ".join(kind.__members__)
        raise invalid(field, value, f"must be one of {names}", f"use one of {names}, in any case")
    return member


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Those of `known` that look like `name`, best first."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.4)


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > BODY_BYTES_MAX:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "BODY_TOO_LARGE",
            f"the body has {len(body)} bytes, more than {BODY_BYTES_MAX}",
            remedy="send one order per request",
        )
    try:
        fields = json.loads(body, parse_float=Decimal, parse_int=_integer, parse_constant=_refuse)
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "MALFORMED_JSON",
            f"the body is not JSON: {error}",
            remedy=f"send one JSON object, for example {_EXAMPLE}",
        ) from error
    if not isinstance(fields, dict):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "MALFORMED_JSON",
            f"the body must be a JSON object, not {shown(fields)}",
            remedy=f"for example {_EXAMPLE}",
        )
    return fields


def _integer(digits: str) -> Decimal:
    # Not int(): its time grows with the square of the digits.
    return Decimal(digits)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _required(fields: dict[str, Any], name: str) -> Any:
    if fields.get(name) is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "MISSING_FIELD",
            f"{name} is missing",
            field=name,
            remedy=f"add {name}, for example {_EXAMPLE}",
        )
    return fields[name]


def _unknown_field(name: str) -> Problem:
    near = nearest(name, _FIELDS, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known fields: {', '.join(_FIELDS)}"
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "UNKNOWN_FIELD",
        f"{shown(name)!r} is not a field of an order",
        field=shown(name),
        remedy=hint,
    )


def _decimal(field: str, value: Any) -> Decimal:
    remedy = f'give a plain number such as 0.001 or a string such as "0.001" as {field}'
    if isinstance(value, str):
        try:
            value = Decimal(value.strip())
        except InvalidOperation:
            raise invalid(field, value, "is not a number", remedy) from None
    if not isinstance(value, Decimal):
        raise invalid(field, value, "is not a number", remedy)
    if not value.is_finite():
        raise invalid(field, value, "must be a finite number", remedy)
    if len(value.as_tuple().digits) > DIGITS_MAX or (value and abs(value.adjusted()) > DIGITS_MAX):
        raise invalid(field, value, f"has more than {DIGITS_MAX} digits", remedy)
    return value


def _time_in_force(value: Any, market: bool) -> TimeInForce:
    if value is None:
        return TimeInForce.GTC
    chosen = choice("time_in_force", value, TimeInForce)
    if market and chosen is not TimeInForce.GTC:
        raise invalid(
            "time_in_force",
            value,
            "a market order (price null) has no time in force",
            "leave time_in_force out or give a price",
        )
    return chosen


def _flag(field: str, value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise invalid(field, value, "must be true or false", f"set {field} to true or false")
