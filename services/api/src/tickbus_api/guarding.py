"""What every request must keep to: parameters that exist, and no orders from foreign pages."""

from http import HTTPStatus

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection

from tickbus_api.access.identity import host_of, is_ours, netloc_of
from tickbus_api.gateway import Gateway
from tickbus_api.parsing import nearest
from tickbus_api.problems import Problem, shown
from tickbus_api.reading import Operations

_READING = ("GET", "HEAD", "OPTIONS")


async def guard(gateway: Operations, connection: HTTPConnection) -> None:
    """Refuse what would be understood as something else, or comes from a foreign page.

    Raises Problem, also for a WebSocket: that is then refused before it opens.
    """
    if connection.scope["type"] == "websocket":
        # No browser keeps a foreign page from opening one, or from reading what comes.
        _require_own_page(connection, gateway)
        return
    request = Request(connection.scope)
    if request.method not in _READING:
        _require_own_page(request, gateway)
    route = request.scope.get("route")
    if isinstance(route, APIRoute) and request.url.path.startswith("/api/"):
        known = [field.alias for field in route.dependant.query_params]
        _require_known(request, known)
    if request.method == "DELETE" and request.headers.get("content-length", "0") != "0":
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "INVALID_VALUE",
            "body: a DELETE has none, and what is in it would not narrow what is cancelled",
            field="body",
            remedy="say which orders in the query: ?symbol=, ?strategy=, ?venue=",
        )


def _require_known(request: Request, known: list[str]) -> None:
    # A misspelt filter must not widen what is cancelled, or listed, to everything.
    for name in request.query_params:
        if name not in known:
            near = nearest(name, known, 1)
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "UNKNOWN_PARAMETER",
                f"{shown(name)!r} is no parameter of {request.method} {request.url.path}",
                field=shown(name),
                value=request.query_params[name],
                remedy=f"did you mean {near[0]!r}?"
                if near
                else f"known are {', '.join(known) or 'none'}",
            )


def _require_own_page(request: HTTPConnection, gateway: Gateway) -> None:
    # A browser says which page a request is of, and any page may send one here. A name that is
    # not ours may have been made to point here; an address cannot.
    origin = request.headers.get("origin")
    if origin is None or origin in gateway.config.cors_origins:
        return
    own = request.headers.get("host", "")
    if netloc_of(origin) == own and is_ours(host_of(request), gateway.config.hosts):
        return
    raise Problem(
        HTTPStatus.FORBIDDEN,
        "ORIGIN_REFUSED",
        f"origin: pages of {shown(origin)} may not order here",
        field="origin",
        value=origin,
        remedy="use the gateway's own page /docs; a name of its own goes into `api.hosts`",
    )
