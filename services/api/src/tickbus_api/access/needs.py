"""What each route wants of whoever asks: declared once per route, refused where it is missing."""

import math
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import HTTPConnection

from tickbus_api.access.access import Access
from tickbus_api.access.middleware import READING
from tickbus_api.access.principal import Principal, Scope
from tickbus_api.problems import Problem, unavailable


class Need:
    """The dependency behind `needs`: all of `scopes`; `is_open` wants nobody to be logged in.

    What `is_urgent` stops trading: no rate holds it back, and it is done off the record, too, while
    the record cannot be kept. What only `asks` changes nothing, whatever its method, and is not put
    on record.
    """

    def __init__(
        self, scopes: frozenset[Scope], *, is_open: bool = False, is_urgent: bool = False,
        asks: bool = False,
    ) -> None:  # fmt: skip
        self.scopes = scopes
        self.is_open = is_open
        self.is_urgent = is_urgent
        self.asks = asks

    async def __call__(self, connection: HTTPConnection) -> None:
        """Refuse who lacks one of the scopes, or asks too often. Raises Problem."""
        if self.is_open:
            return
        connection.state.asks = self.asks
        principal: Principal | None = connection.state.principal
        if principal is None:
            raise connection.state.refusal
        require(principal, *self.scopes)
        if self.is_urgent:
            return
        access = access_of(connection)
        if not principal.is_local:
            _require_rate(connection, access, principal)
        is_action = not self.asks and connection.scope.get("method") not in READING
        if is_action and access.recorder.is_full:
            raise unavailable(
                "RECORD_FULL",
                "what is done cannot be put on record: the bus is away",
                "see GET /health; stopping and cancelling still work",
            )


def needs(*scopes: Scope, urgent: bool = False, asks: bool = False) -> Any:
    """The declaration of a route: `dependencies=[needs(Scope.TRADE)]`; all of `scopes`.

    `urgent`: it stops trading, and is held back by nothing. `asks`: it changes nothing, though it
    is no GET.
    """
    if not scopes:
        raise ValueError("name a scope, or say logged_in() or open_to_all()")
    return Depends(Need(frozenset(scopes), is_urgent=urgent, asks=asks))


def logged_in() -> Any:
    """The declaration of a route for everybody who is known, whatever they may do."""
    return Depends(Need(frozenset()))


def open_to_all() -> Any:
    """The declaration of a route that needs nobody to be logged in."""
    return Depends(Need(frozenset(), is_open=True))


READ = [needs(Scope.READ)]
"""`dependencies` of a route that only reads."""
TRADE = [needs(Scope.TRADE)]
"""`dependencies` of a route that trades."""
ASK = [needs(Scope.TRADE, asks=True)]
"""`dependencies` of a route that tells what trading would lead to."""
STOP = [needs(Scope.TRADE, urgent=True)]
"""`dependencies` of a route that cancels or stops."""
STRATEGIES = [needs(Scope.STRATEGIES)]
"""`dependencies` of a route that starts or changes strategies."""
STOP_STRATEGIES = [needs(Scope.STRATEGIES, urgent=True)]
"""`dependencies` of a route that stops strategies or closes what they hold."""
ADMIN = [needs(Scope.ADMIN)]
"""`dependencies` of a route about users."""


def require(principal: Principal, *scopes: Scope) -> None:
    """Refuse `principal` where it lacks one of `scopes`. Raises Problem."""
    missing = [scope for scope in Scope if scope in scopes and scope not in principal.scopes]
    if missing:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "FORBIDDEN",
            f"{principal.name} ({principal.role}) lacks the scope {', '.join(missing)}",
            remedy="ask an admin for a role, or for a key, that has it",
            extra={"scopes_needed": [str(scope) for scope in scopes]},
        )


async def principal_of(connection: HTTPConnection, *scopes: Scope) -> Principal:
    """Who sent this request or opened this WebSocket, as it is now, with all of `scopes`.

    Raises Problem. For what stays open, ask again from time to time: a login may have ended, a key
    may be gone.
    """
    principal = await access_of(connection).principal_of(connection)
    require(principal, *scopes)
    return principal


def access_of(connection: HTTPConnection) -> Access:
    """The access that the app was made with."""
    access: Access = connection.app.state.access
    return access


def _require_rate(connection: HTTPConnection, access: Access, principal: Principal) -> None:
    now = access.rates.take(principal.name, access.now_ns())
    headers = {
        "RateLimit-Limit": str(now.limit),
        "RateLimit-Remaining": str(now.remaining),
        "RateLimit-Reset": str(math.ceil(now.reset_s)),
    }
    connection.state.rate_headers = headers
    if now.wait_s > 0:
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "TOO_MANY_REQUESTS",
            f"{principal.name} sends more than {access.config.rate_per_s:g} requests a second",
            remedy="wait as long as Retry-After says; the stream /api/v1/stream tells what changes",
            headers={"Retry-After": str(math.ceil(now.wait_s))},
        )


class Declared(NamedTuple):
    """A route of the app with what it declares; `need` is None when it declares nothing."""

    path: str
    methods: frozenset[str]
    need: Need | None


def declarations(app: FastAPI) -> Iterator[Declared]:
    """Every route below `/api/`, and every other that is documented, WebSockets left out."""
    for context in iter_route_contexts(app.routes):
        route: Any = context
        if not isinstance(context.original_route, APIRoute):
            continue
        if route.include_in_schema or route.path.startswith("/api/"):
            calls = (child.call for child in route.dependant.dependencies)
            need = next((call for call in calls if isinstance(call, Need)), None)
            yield Declared(route.path, frozenset(route.methods), need)


def require_declared(app: FastAPI) -> None:
    """Refuse an app with a route that says nothing of who may use it. Raises RuntimeError."""
    silent = [route.path for route in declarations(app) if route.need is None]
    if silent:
        raise RuntimeError(
            f"{', '.join(silent)}: say who may use it with dependencies=[needs(Scope...)],"
            " or [open_to_all()]"
        )
