"""Request parameters: text in, checked values out, Binance's error for everything else."""

import re
from enum import StrEnum
from typing import TypeVar
from urllib.parse import unquote_plus

from tickbus_exchange.engine.numbers import TooPreciseError, parse
from tickbus_exchange.protocol import errors
from tickbus_exchange.protocol.errors import ApiError

E = TypeVar("E", bound=StrEnum)
SYMBOL = re.compile(r"[A-Z0-9\-_.]{1,20}", re.ASCII)
CLIENT_ORDER_ID = re.compile(r"[a-zA-Z0-9\-_.:/]{1,36}", re.ASCII)
_DECIMAL_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
PARAMETERS_MAX = 64
LONG_MAX = 2**63 - 1


def parse_pairs(*parts: bytes) -> dict[str, str]:
    """Read `a=1&b=2` parts; an earlier part wins over a later one.

    Raises ApiError for a repeated name within one part and for absurdly many parameters.
    """
    values: dict[str, str] = {}
    for part in parts:
        if not part:
            continue
        seen: dict[str, str] = {}
        for pair in part.decode("utf-8", "replace").split("&"):
            name, _, value = pair.partition("=")
            if "%" in value or "+" in value:
                value = unquote_plus(value)
            if "%" in name:
                name = unquote_plus(name)
            if name in seen:
                raise ApiError(-1101, "Duplicate values for a parameter detected.")
            seen[name] = value
        values = seen | values
    if len(values) > PARAMETERS_MAX:
        raise ApiError(-1101, "Too many parameters sent for this endpoint.")
    return values


def required(params: dict[str, str], name: str) -> str:
    """Return a mandatory parameter."""
    value = params.get(name)
    if not value:
        raise errors.missing(name)
    return value


def optional(params: dict[str, str], name: str) -> str | None:
    """Return a parameter that may be absent but not empty."""
    value = params.get(name)
    if value == "":
        raise errors.empty(name)
    return value


def symbol_text(text: str) -> str:
    """Check the spelling of a symbol."""
    if SYMBOL.fullmatch(text) is None:
        raise errors.illegal("symbol", "^[A-Z0-9-_.]{1,20}$")
    return text


def client_id(params: dict[str, str], name: str) -> str | None:
    """Return an optional client order id."""
    value = optional(params, name)
    if value is not None and CLIENT_ORDER_ID.fullmatch(value) is None:
        raise errors.illegal(name, "^[a-zA-Z0-9-_.:/]{1,36}$")
    return value


def long(params: dict[str, str], name: str) -> int | None:
    """Return an optional whole number."""
    value = optional(params, name)
    if value is None:
        return None
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise errors.illegal(name, "^[0-9]{1,20}$")
    number = int(value)
    if not -LONG_MAX <= number <= LONG_MAX:
        raise ApiError(-1108, f"Parameter '{name}' overflowed.")
    return number


def limit(params: dict[str, str], default: int, maximum: int) -> int:
    """Return `limit`; above `maximum` it is `maximum`, as Binance answers."""
    value = long(params, "limit")
    if value is None:
        return default
    if value < 1:
        raise errors.invalid("limit")
    return min(value, maximum)


def amount(params: dict[str, str], name: str) -> int | None:
    """Return an optional price or quantity in 1e-8 units."""
    value = optional(params, name)
    if value is None:
        return None
    try:
        return parse(value)
    except TooPreciseError:
        raise errors.too_precise(name) from None
    except ValueError:
        raise errors.illegal(name, _DECIMAL_RANGE) from None


def choice(kind: type[E], text: str, error: ApiError) -> E:
    """Return the member of `kind` spelled `text`."""
    try:
        return kind(text)
    except ValueError:
        raise error from None
