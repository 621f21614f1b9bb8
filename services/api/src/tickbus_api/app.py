"""The HTTP side of the gateway: routes, their documentation, and problems as answers."""

from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from tickbus import __version__
from tickbus_api import (
    alerts,
    candles,
    deadletters,
    decisions,
    engine,
    flattening,
    history,
    installation,
    killing,
    logs,
    orders,
    previewing,
    reading,
    reconciling,
    refusals,
    risk,
    series,
    strategies,
    venues,
)
from tickbus_api.access import (
    Access,
    AccessMiddleware,
    auth,
    deny,
    keys,
    require_declared,
    signing,
    users,
)
from tickbus_api.calls import CallTraces
from tickbus_api.documenting import document
from tickbus_api.gateway import Gateway
from tickbus_api.guarding import guard
from tickbus_api.page import add_page
from tickbus_api.problems import PROBLEM_JSON, Problem
from tickbus_api.streaming import socket, sse
from tickbus_api.streaming.edge import Streams
from tickbus_api.views import ProblemView

_DESCRIPTION = """
The gateway of a running tickbus platform. Market data are JSON numbers; everything that is ours
(prices, quantities and fees of orders and fills, profit and loss) is exact and travels as strings.
What cannot be done is answered with RFC 9457 problem details: branch on `code`.
"""


def create_app(gateway: Gateway, access: Access) -> FastAPI:
    """The ASGI app over `gateway`, for whom `access` lets in."""
    # Its pages come with what they need: a desk without the internet reads them too.
    app = FastAPIOffline(
        title="tickbus",
        version=__version__,
        description=_DESCRIPTION,
        redoc_url=None,
        # DELETE /orders/ with no id behind it must not end up at DELETE /orders, which is for all.
        redirect_slashes=False,
        dependencies=[Depends(guard)],
        responses={"4XX": {"model": ProblemView}, "5XX": {"model": ProblemView}},
    )
    app.openapi = partial(document, app)  # type: ignore[method-assign]
    app.state.gateway = gateway
    app.state.access = access
    # Routes are looked through in this order, and orders are in a hurry.
    app.include_router(orders.router)
    app.include_router(previewing.router)
    app.include_router(auth.router)
    app.include_router(signing.router)
    app.include_router(users.router)
    app.include_router(keys.router)
    app.include_router(reading.router)
    app.include_router(candles.router)
    app.include_router(venues.router)
    app.include_router(installation.router)
    app.include_router(killing.router)
    app.include_router(reconciling.router)
    app.include_router(risk.router)
    app.include_router(refusals.router)
    app.include_router(series.router)
    app.include_router(strategies.router)
    app.include_router(decisions.router)
    app.include_router(engine.router)
    app.include_router(flattening.router)
    app.include_router(history.router)
    app.include_router(deadletters.router)
    app.include_router(alerts.router)
    app.include_router(logs.router)
    app.include_router(sse.router)
    app.state.streams = Streams(gateway)
    # Not a route of FastAPI: that could not say why it refuses a connection.
    app.router.routes.append(WebSocketRoute(socket.PATH, socket.stream))
    add_page(app)
    require_declared(app)
    app.add_middleware(AccessMiddleware, access=access)
    if access.config.cors_origins:
        _open_to(app, access.config.cors_origins)
    app.add_middleware(CallTraces, context_of=lambda: gateway.context)
    app.add_exception_handler(Problem, _on_problem)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)
    return app


def _open_to(app: FastAPI, origins: tuple[str, ...]) -> None:
    # Their pages show tokens, never cookies.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
        expose_headers=["Location", "Retry-After", "X-Request-Id"],
        max_age=600,
    )


async def _on_bug(request: Request, error: Exception) -> Response:
    # The server logs where; it is counted here, and the gateway lives on.
    context = request.app.state.gateway.context
    if context is not None:
        context.telemetry.error("bug")
    request.state.problem = "INTERNAL_ERROR"
    return _answer(
        Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "INTERNAL_ERROR",
            f"the gateway failed ({type(error).__name__}); its log says where",
            remedy="report it with the log; other requests are not affected",
        )
    )


def _answer(problem: Problem) -> JSONResponse:
    return JSONResponse(
        problem.body(), problem.status, headers=problem.headers, media_type=PROBLEM_JSON
    )


async def _on_problem(request: HTTPConnection, error: Exception) -> Response | None:
    assert isinstance(error, Problem)
    if isinstance(request, WebSocket):
        await deny(request.scope, request.receive, request.send, error)
        return None
    request.state.problem = error.code  # for the record of what was done
    return _answer(error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    # Only query parameters come here: FastAPI checks them against their declarations.
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = dict(error.errors()[0])
    name = str(first["loc"][-1])
    request.state.problem = "INVALID_VALUE"
    return _answer(
        Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "INVALID_VALUE",
            f"{name}: {first['msg']}",
            field=name,
            value=first.get("input"),
            remedy="see /docs for what the parameter may be",
        )
    )


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND:
        problem = Problem(
            HTTPStatus.NOT_FOUND,
            "UNKNOWN_PATH",
            f"there is no {request.url.path}",
            remedy="GET /docs shows every path, /openapi.json lists them for machines",
        )
    else:
        status = HTTPStatus(error.status_code)
        problem = Problem(
            status,
            status.name,
            f"{request.method} {request.url.path}: {error.detail}",
            remedy="see /docs",
            headers=dict(error.headers or {}),
        )
    request.state.problem = problem.code
    return _answer(problem)
