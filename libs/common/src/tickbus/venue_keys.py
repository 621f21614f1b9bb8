"""What the key of a venue account may do beside trading: who tells, and what is made of it.

Source: Binance, `GET /sapi/v1/account/apiRestrictions`, which answers for spot and futures keys
alike at the spot host, and for real money only: its testnets have no such question.
"""

from typing import Any
from urllib.parse import urlsplit

RESTRICTIONS = "/sapi/v1/account/apiRestrictions"
_SPOT = "https://api.binance.com"
REAL = {
    f"{name}.binance.com": _SPOT
    for name in ("api", "api-gcp", "api1", "api2", "api3", "api4", "fapi")
}
"""Hosts where real money is traded, and where they tell what a key may do."""


def asked_at(rest_url: str) -> str | None:
    """Where to ask about the keys of the venue at `rest_url`; None where nobody tells."""
    return REAL.get(urlsplit(rest_url).hostname or "")


def may_withdraw(said: Any) -> bool:
    """Whether a key can take the money away, by the answer; what is not said counts as allowed."""
    return not isinstance(said, dict) or said.get("enableWithdrawals") is not False
