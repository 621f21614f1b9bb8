"""The HTTP side of the gateway: routes, their documentation, and problems as answers."""

from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from tickbus import __version__
from tickbus_api import candles, deadletters, history, killing, orders, reading, reconciling, risk
from tickbus_api.gateway import Gateway
from tickbus_api.guarding import guard
from tickbus_api.problems import PROBLEM_JSON, Problem
from tickbus_api.views import ProblemView

_DESCRIPTION = """
The gateway of a running tickbus platform. Market data are JSON numbers; everything that is ours
(prices, quantities and fees of orders and fills, profit and loss) is exact and travels as strings.
What cannot be done is answered with RFC 9457 problem details: branch on `code`.
"""


def create_app(gateway: Gateway) -> FastAPI:
    """The ASGI app over `gateway`."""
    # Its pages come with what they need: a desk without the internet reads them too.
    app = FastAPIOffline(
        title="tickbus",
        version=__version__,
        description=_DESCRIPTION,
        redoc_url=None,
        dependencies=[Depends(guard)],
        responses={"4XX": {"model": ProblemView}, "5XX": {"model": ProblemView}},
    )
    app.state.gateway = gateway
    app.include_router(reading.router)
    app.include_router(candles.router)
    app.include_router(orders.router)
    app.include_router(killing.router)
    app.include_router(reconciling.router)
    app.include_router(risk.router)
    app.include_router(history.router)
    app.include_router(deadletters.router)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)
    return app


async def _on_bug(request: Request, error: Exception) -> Response:
    # The server logs where; it is counted here, and the gateway lives on.
    context = request.app.state.gateway.context
    if context is not None:
        context.telemetry.error("bug")
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


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answer(error)


async def _on_invalid(_: Request, error: Exception) -> Response:
    # Only query parameters come here: FastAPI checks them against their declarations.
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = dict(error.errors()[0])
    name = str(first["loc"][-1])
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
    return _answer(problem)
