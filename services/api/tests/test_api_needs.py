"""Every route says who may use it; one that does not never starts."""

import pytest
from fastapi import FastAPI

from tickbus_api.access import READ, Scope, needs, open_to_all, require_declared


async def _nothing() -> None:
    """What a route does here."""


def test_route_that_says_nothing_of_who_may_use_it_is_refused() -> None:
    app = FastAPI()
    app.get("/api/v1/told", dependencies=READ)(_nothing)
    app.post("/api/v1/also-told", dependencies=[needs(Scope.RISK)])(_nothing)
    app.get("/health", dependencies=[open_to_all()])(_nothing)
    require_declared(app)
    app.post("/api/v1/silent")(_nothing)
    with pytest.raises(RuntimeError, match="/api/v1/silent"):
        require_declared(app)


def test_a_hidden_route_of_the_api_must_say_it_too() -> None:
    app = FastAPI()
    app.post("/api/v1/hidden", include_in_schema=False)(_nothing)
    with pytest.raises(RuntimeError, match="/api/v1/hidden"):
        require_declared(app)


def test_declaration_names_a_scope() -> None:
    with pytest.raises(ValueError, match="open_to_all"):
        needs()
