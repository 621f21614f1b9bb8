"""The route about the secret that signs access tokens: another one, now and then or in need."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field

from tickbus_api.access.needs import ADMIN, access_of
from tickbus_api.orders import body_of
from tickbus_api.problems import invalid
from tickbus_api.views import View, iso
from tickbus_api.wishing import body_schema, fields_of

router = APIRouter(prefix="/api/v1/auth", tags=["access"])
_BODY: dict[str, Any] = body_schema(
    {"at_once": {"type": "boolean", "description": "what was signed before is of no use any more"}},
    [],
    {"at_once": False},
)
_BODY["requestBody"]["required"] = False


class SigningView(View):
    """Since when another secret signs, and until when what was signed before it is good."""

    signs_since: str | None
    earlier_until: str | None = Field(description="null: access tokens of before are no good")


@router.post("/signing-key", openapi_extra=_BODY, dependencies=ADMIN)
async def rotate(request: Request) -> SigningView:
    """Sign access tokens with a new secret. Logins stay: what was signed before expires by itself.

    With `at_once`, for a secret that got out, it is of no use any more; who is logged in goes on
    with the refresh token. Refresh tokens and API keys are not signed, and stay.
    """
    body = await body_of(request)
    fields = fields_of(body, ("at_once",)) if body.strip() else {}
    at_once = fields.get("at_once", False)
    if not isinstance(at_once, bool):
        raise invalid("at_once", at_once, "must be true or false", "give one of them")
    kept = await access_of(request).rotate(at_once=at_once)
    until_ns = kept.earlier[0].until_ns if kept.earlier else 0
    return SigningView(signs_since=iso(kept.created_ns), earlier_until=iso(until_ns))
