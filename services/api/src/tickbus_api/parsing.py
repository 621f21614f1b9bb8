"""Request bodies and parameters: from untrusted text to exact values, never through a float."""

import difflib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from tickbus.events import OrderType, Side, TimeInForce
from tickbus_api.problems import Problem, invalid, shown

BODY_BYTES_MAX = 16 * 1024
DIGITS_MAX = 40
"""Decimals outside of 10^±40 or with more digits are no price or quantity of anything."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR_MAX = 2200
"""Nanoseconds since 1970 fit into 64 bits until 2262."""

E = TypeVar("E", bound=StrEnum)
_FIELDS = (
    "symbol", "side", "quantity", "price", "type", "trigger_price", "time_in_force", "expires_at",
    "post_only", "reduce_only", "venue",
)  # fmt: skip
_CHANGES = ("price", "quantity", "trigger_price")
_EXAMPLE = '{"symbol":"BTCUSDT","side":"Buy","quantity":0.001,"price":null}'


class OrderRequest(NamedTuple):
    """The body of POST /api/v1/orders, understood; `venue` "" means any."""

    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None
    trigger_price: Decimal | None
    time_in_force: TimeInForce
    expires_ns: int
    post_only: bool
    reduce_only: bool
    venue: str


class Changes(NamedTuple):
    """The body of PUT /api/v1/orders/{id}, understood; None leaves it as it is."""

    price: Decimal | None
    quantity: Decimal | None
    trigger_price: Decimal | None = None


def parse_order(body: bytes) -> OrderRequest:
    """The order that `body` asks for. Raises Problem."""
    fields = json_object(body)
    for name in fields:
        if name not in _FIELDS:
            raise _unknown_field(name)
    price = _optional("price", fields)
    trigger_price = _optional("trigger_price", fields)
    order_type = _order_type(fields.get("type"), price, trigger_price)
    expires_ns = moment("expires_at", fields.get("expires_at"))
    request = OrderRequest(
        symbol=text("symbol", _required(fields, "symbol")),
        side=choice("side", _required(fields, "side"), Side),
        order_type=order_type,
        quantity=positive("quantity", _required(fields, "quantity")),
        price=price,
        trigger_price=trigger_price,
        time_in_force=_time_in_force(fields.get("time_in_force"), order_type, expires_ns),
        expires_ns=expires_ns,
        post_only=flag("post_only", fields.get("post_only")),
        reduce_only=flag("reduce_only", fields.get("reduce_only")),
        venue=text("venue", fields["venue"]) if fields.get("venue") is not None else "",
    )
    stays = request.time_in_force in (TimeInForce.GTC, TimeInForce.GTD)
    if request.post_only and not (order_type is OrderType.LIMIT and stays):
        raise invalid(
            "post_only",
            "true",
            "only a GTC or GTD order with a price and without a trigger can be post-only",
            "give a price and leave time_in_force out, or set post_only to false",
        )
    return request


def parse_changes(body: bytes) -> Changes:
    """What `body` wants changed of an order. Raises Problem."""
    fields = json_object(body)
    for name in fields:
        if name not in _CHANGES:
            raise _unknown_field(name, _CHANGES)
    changes = Changes(*(_optional(name, fields) for name in _CHANGES))
    if changes == (None, None, None):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "MISSING_FIELD",
            "neither price nor quantity nor trigger_price is given",
            field="price",
            remedy='give what is to be changed, for example {"price":60000}',
        )
    return changes


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
    """Those of `known` that look like `name`, or that it shortens (`qty`), best first."""
    names = list(known)
    longer = [each for each in names if _shortens(name, each)]
    near = difflib.get_close_matches(name, names, n=count, cutoff=0.4)
    return list(dict.fromkeys([*longer, *near]))[:count]


def _shortens(name: str, word: str) -> bool:
    """Whether `name` is `word` without some of its letters, but with the first."""
    letters = iter(word)
    short = 2 < len(name) < len(word) and name[0] == word[0]
    return short and all(letter in letters for letter in name)


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`, its numbers exact. Raises Problem."""
    if len(body) > BODY_BYTES_MAX:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "BODY_TOO_LARGE",
            f"the body has {len(body)} bytes, more than {BODY_BYTES_MAX}",
            remedy="send one order per request",
        )
    try:
        fields = json.loads(
            body, parse_float=Decimal, parse_int=_integer, parse_constant=_refuse,
            object_pairs_hook=_once,
        )  # fmt: skip
        if b"\\u" in body:
            # JSON may spell half a letter, which nothing behind this could write down.
            json.dumps(fields, ensure_ascii=False, default=str).encode()
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


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two quantities nobody can say which was meant.
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(twice)!r} is given twice")
    return fields


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


def _unknown_field(name: str, known: tuple[str, ...] = _FIELDS) -> Problem:
    near = nearest(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known fields: {', '.join(known)}"
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


def _optional(field: str, fields: dict[str, Any]) -> Decimal | None:
    value = fields.get(field)
    return None if value is None else positive(field, value)


def _order_type(value: Any, price: Decimal | None, trigger: Decimal | None) -> OrderType:
    """The type that was given, or the one that follows from the prices: with a trigger a stop."""
    if value is None:
        if trigger is None:
            return OrderType.MARKET if price is None else OrderType.LIMIT
        return OrderType.STOP_MARKET if price is None else OrderType.STOP_LIMIT
    chosen = choice("type", value, OrderType)
    for field, given, wanted in (
        ("price", price, chosen.has_limit),
        ("trigger_price", trigger, chosen.has_trigger),
    ):
        if wanted and given is None:
            raise invalid(field, None, f"a {chosen} order needs it", f"give a {field}")
        if given is not None and not wanted:
            raise invalid(field, given, f"a {chosen} order has none", f"leave {field} out")
    return chosen


def _time_in_force(value: Any, order_type: OrderType, expires_ns: int) -> TimeInForce:
    default = TimeInForce.GTD if expires_ns else TimeInForce.GTC
    chosen = default if value is None else choice("time_in_force", value, TimeInForce)
    if order_type is OrderType.MARKET and chosen is not TimeInForce.GTC:
        raise invalid(
            "time_in_force",
            chosen if value is None else value,
            "a market order (price null) has no time in force",
            "leave time_in_force and expires_at out or give a price",
        )
    if (chosen is TimeInForce.GTD) is not bool(expires_ns):
        raise invalid(
            "expires_at",
            None,
            "a GTD order has a time at which it expires, others have none",
            "give expires_at, and time_in_force GTD or none",
        )
    return chosen


def moment(field: str, value: Any) -> int:
    """An ISO 8601 time with its zone, as ns UTC; 0 for none. Raises Problem."""
    if value is None:
        return 0
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
    except (TypeError, ValueError):
        remedy = "write it as 2026-01-31T12:00:00Z"
        raise invalid(field, value, "is no ISO 8601 time with a zone", remedy) from None
    if moment.year > YEAR_MAX:
        raise invalid(
            field,
            value,
            f"is after the year {YEAR_MAX}",
            "leave it out for an order without an end",
        )
    return (moment - EPOCH) // timedelta(milliseconds=1) * 1_000_000


def flag(field: str, value: Any) -> bool:
    """`value` as true or false, false where there is none. Raises Problem."""
    if value is None or isinstance(value, bool):
        return bool(value)
    raise invalid(field, value, "must be true or false", f"set {field} to true or false")
