"""Calls about strategies."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tickbus_client.answers.strategies import (
    Changed,
    Decisions,
    Engine,
    EngineChanged,
    Kinds,
    Strategies,
    Strategy,
)
from tickbus_client.call import Call, moment, unless_empty

PATH = "/api/v1/strategies"
ONE = PATH + "/{strategy_id}"
TIMEOUT_S = 20.0
"""The process that runs it may have to load a file first."""


def listing() -> Call[Strategies]:
    """Every strategy that a running process knows: phase, terms, positions and P&L."""
    return Call("GET", PATH, Strategies, timeout_s=TIMEOUT_S)


def get(strategy_id: str) -> Call[Strategy]:
    """One of them, with its working orders and its last decisions."""
    return Call("GET", ONE, Strategy, names={"strategy_id": strategy_id}, timeout_s=TIMEOUT_S)


def decisions(
    strategy_id: str, *, start: datetime | str | None = None, end: datetime | str | None = None,
    limit: int = 100, cursor: str = "",
) -> Call[Decisions]:  # fmt: skip
    """What it decided in [start, end), oldest first; of the last hour without `start`.

    As far back as the bus keeps it: seven days, and 500,000 of one strategy.
    """
    return Call(
        "GET", ONE + "/decisions", Decisions, names={"strategy_id": strategy_id},
        query={"start": moment(start), "end": moment(end), "limit": limit, "cursor": cursor},
    )  # fmt: skip


def kinds(kind: str = "") -> Call[Kinds]:
    """What can be run, with a JSON schema of its parameters; or one kind, also file.py:Class."""
    path = "/api/v1/strategy-kinds"
    return Call("GET", path, Kinds, query={"kind": kind}, timeout_s=TIMEOUT_S)


def put(
    strategy_id: str, kind: str, instruments: Sequence[str], reason: str, *,
    params: Mapping[str, Any] | None = None, is_running: bool = True, venue: str = "",
    venues: Sequence[str] = (), actor: str = "",
) -> Call[Changed]:  # fmt: skip
    """Have an id run this from now on, whatever it ran before; also an id that is new.

    `venues` instead of `venue` is for a strategy that spans markets.
    """
    body = {
        "kind": kind,
        "instruments": list(instruments),
        "params": dict(params or {}),
        "is_running": is_running,
        "venue": venue,
        "venues": list(venues),
    }
    return _change("PUT", "", strategy_id, reason, actor, body)


def start(strategy_id: str, reason: str, *, actor: str = "") -> Call[Changed]:
    """Start it with the terms that it has, also after it failed."""
    return _change("POST", "/start", strategy_id, reason, actor)


def stop(strategy_id: str, reason: str, *, flatten: bool = False, actor: str = "") -> Call[Changed]:
    """Stop it: its orders are cancelled until none works; `flatten` closes what it holds, too."""
    return _change("POST", "/stop", strategy_id, reason, actor, {"flatten": flatten})


def flatten(strategy_id: str, reason: str, *, actor: str = "") -> Call[Changed]:
    """Cancel its orders and close what it holds; one that runs goes on afterwards."""
    return _change("POST", "/flatten", strategy_id, reason, actor)


def set_params(
    strategy_id: str, params: Mapping[str, Any], reason: str, *, actor: str = ""
) -> Call[Changed]:
    """Change the parameters given, None: the default again; its orders go on working."""
    return _change("PATCH", "/params", strategy_id, reason, actor, {"params": dict(params)})


def reset(strategy_id: str, reason: str, *, actor: str = "") -> Call[Changed]:
    """Forget what was wished for: the files hold again; an id that they do not know is stopped."""
    return _change("POST", "/reset", strategy_id, reason, actor)


def delete(strategy_id: str, reason: str, *, actor: str = "") -> Call[Changed]:
    """Give its id up: only one that is stopped, holds nothing and is not in the files."""
    return Call(
        "DELETE", ONE, Changed, names={"strategy_id": strategy_id},
        query={"reason": reason, "actor": actor}, timeout_s=TIMEOUT_S,
    )  # fmt: skip


def engine() -> Call[Engine]:
    """Which strategies run, which do not, and which failed."""
    return Call("GET", "/api/v1/engine", Engine, timeout_s=TIMEOUT_S)


def start_all(reason: str, *, actor: str = "") -> Call[EngineChanged]:
    """Start every strategy that is stopped or failed, with the terms that it has.

    Raises ApiError where some were refused; its `extra` says which.
    """
    body = {"reason": reason, "actor": unless_empty(actor)}
    return Call("POST", "/api/v1/engine/start", EngineChanged, body=body, timeout_s=TIMEOUT_S)


def stop_all(reason: str, *, flatten: bool = False, actor: str = "") -> Call[EngineChanged]:
    """Stop every strategy: their orders are cancelled; `flatten` closes what they hold, too.

    Orders by hand go on: `risk.set_state` stops those, too.
    """
    body = {"flatten": flatten, "reason": reason, "actor": unless_empty(actor)}
    return Call("POST", "/api/v1/engine/stop", EngineChanged, body=body, timeout_s=TIMEOUT_S)


def _change(
    method: str, what: str, strategy_id: str, reason: str, actor: str,
    body: Mapping[str, Any] | None = None,
) -> Call[Changed]:  # fmt: skip
    return Call(
        method, ONE + what, Changed,
        names={"strategy_id": strategy_id},
        body={**(body or {}), "reason": reason, "actor": unless_empty(actor)},
        timeout_s=TIMEOUT_S,
    )  # fmt: skip
