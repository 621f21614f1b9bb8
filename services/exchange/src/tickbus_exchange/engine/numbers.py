"""Money as integers: every price, quantity and amount is a count of 1e-8 units."""

import re

SCALE = 100_000_000
PRECISION = 8
_DECIMAL = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?", re.ASCII)


class TooPreciseError(ValueError):
    """The text has more than eight significant decimals."""


def parse(text: str) -> int:
    """Return `text` in 1e-8 units.

    Raises TooPreciseError for more than eight decimals, ValueError for anything but plain digits.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"not a plain decimal number: {text!r}")
    whole, fraction = match.group(1), match.group(2) or ""
    fraction = fraction.rstrip("0")
    if len(fraction) > PRECISION:
        raise TooPreciseError(f"more than {PRECISION} decimals: {text!r}")
    return int(whole) * SCALE + int(fraction.ljust(PRECISION, "0"))


def text(units: int) -> str:
    """Write non-negative `units` the way Binance does, with eight decimals."""
    return f"{units // SCALE}.{units % SCALE:08d}"


def plain(units: int) -> str:
    """Write `units` without trailing zeros; negative allowed. Slow; for people."""
    sign = "-" if units < 0 else ""
    return sign + text(abs(units)).rstrip("0").rstrip(".")


def notional(price: int, quantity: int) -> int:
    """Return price times quantity in 1e-8 quote units, rounded down."""
    return price * quantity // SCALE


def affordable(quote: int, price: int, step: int) -> int:
    """Return the whole lots, in base units, that `quote` is worth at `price`."""
    return quote * SCALE // price // step * step
