"""Calls about risk, halting and the kill switch."""

from typing import Literal

from msgspec import UNSET

from tickbus_client.answers.risk import (
    DenialPage,
    FlattenPlan,
    Killed,
    RiskLimits,
    RiskState,
    Usage,
)
from tickbus_client.call import Call, Number, Query, When, exact, moment, unless_empty

TradingState = Literal["ACTIVE", "REDUCING", "HALTED"]
KILL_TIMEOUT_S = 130.0
"""Longer than the gateway waits for the kill switch."""


def state() -> Call[RiskState]:
    """The trading state, and exposure, P&L, losses and heartbeat of every scope."""
    return Call("GET", "/api/v1/risk/state", RiskState)


def set_state(
    state: TradingState, reason: str, *, strategy: str = "", flatten: bool = False,
    actor: str = "", even_if_unknown: bool = False,
) -> Call[RiskState]:  # fmt: skip
    """Halt, let only reduce, or resume: everything, or one `strategy`.

    `flatten` goes with HALTED: close what is held, too. `even_if_unknown` obeys a name that nobody
    has. Look at the answer's `unconfirmed`: then it is kept, and not enforced yet.
    """
    body = {
        "state": state,
        "reason": reason,
        "strategy": unless_empty(strategy),
        "flatten": flatten,
        "actor": unless_empty(actor),
        "even_if_unknown": even_if_unknown or UNSET,
    }
    return Call("PUT", "/api/v1/risk/state", RiskState, body=body)


def limits() -> Call[RiskLimits]:
    """Every limit in force, with the configured value and who changed it."""
    return Call("GET", "/api/v1/risk/limits", RiskLimits)


def set_limit(
    name: str, value: Number | None, reason: str, *, scope: str = "global", actor: str = "",
    even_if_unknown: bool = False,
) -> Call[RiskLimits]:  # fmt: skip
    """Change one limit at once; a `value` of None goes back to the configured one.

    `scope` is global, strategy:<id>, venue:<name> or instrument:<id>. Look at the answer's
    `unconfirmed`: then it is kept, and not enforced yet.
    """
    body = {
        "scope": scope,
        "name": name,
        "value": exact("value", value),
        "reason": reason,
        "actor": unless_empty(actor),
        "even_if_unknown": even_if_unknown or UNSET,
    }
    return Call("PUT", "/api/v1/risk/limits", RiskLimits, body=body)


def usage(scope: str = "") -> Call[Usage]:
    """How much of every limit is used now, measured as the checks do; `scope` as of `set_limit`."""
    return Call("GET", "/api/v1/risk/usage", Usage, query={"scope": scope})


def denials(
    *, reason: str = "", strategy: str = "", symbol: str = "", venue: str = "",
    since: When | None = None, until: When | None = None, limit: int = 100, cursor: str = "",
) -> Call[DenialPage]:  # fmt: skip
    """Orders and cancels that risk refused, newest first, each with the limit that it met."""
    query: Query = {
        "reason": reason, "strategy": strategy, "symbol": symbol, "venue": venue,
        "since": moment(since), "until": moment(until), "limit": limit, "cursor": cursor,
    }  # fmt: skip
    return Call("GET", "/api/v1/risk/denials", DenialPage, query=query, has_files=True)


def flatten(reason: str, *, strategy: str = "", actor: str = "") -> Call[FlattenPlan]:
    """Ask for everything, or one strategy, to be closed: nothing happens before it is confirmed."""
    body = {
        "reason": reason, "strategy": unless_empty(strategy), "actor": unless_empty(actor)
    }  # fmt: skip
    return Call("POST", "/api/v1/flatten", FlattenPlan, body=body)


def confirm_flatten(token: str) -> Call[RiskState]:
    """Do what `flatten` said: halt, cancel what works, close what is held at market.

    Trading stays halted until somebody resumes it. Look at the answer's `unconfirmed`: then it is
    kept, and risk will do it as soon as it is back. ApiError: the token is too old, or was used.
    """
    return Call("POST", "/api/v1/flatten/confirm", RiskState, body={"token": token})


def kill(reason: str = "", *, flatten: bool = False) -> Call[Killed]:
    """Cancel every order of every account, whether or not risk and execution work.

    Raises ApiError KILL_NOT_VERIFIED where it is not certain that nothing works any more; its
    `extra["report"]` says what is left. Takes up to two minutes.
    """
    body = {"reason": reason, "flatten": flatten}
    return Call("POST", "/api/v1/kill", Killed, body=body, timeout_s=KILL_TIMEOUT_S)
