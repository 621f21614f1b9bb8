"""The route to the kill switch, which is a process of its own; the gateway only passes it on."""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from tickbus.kill_api import EXIT_DONE, REASON_MAX, KillRequest
from tickbus_api.access import STOP, Principal
from tickbus_api.killswitch import DIRECTLY
from tickbus_api.orders import body_of
from tickbus_api.problems import Problem
from tickbus_api.reading import Operations

router = APIRouter(prefix="/api/v1", tags=["kill"])
_BODY: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "reason": {"type": "string", "maxLength": REASON_MAX},
                        "flatten": {"type": "boolean", "description": "close positions too"},
                    },
                },
                "example": {"reason": "quotes look wrong", "flatten": False},
            }
        },
    }
}


_ANSWER: dict[str, Any] = {
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/KillReport"}}},
}


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client may say."""

    reason: Annotated[str, msgspec.Meta(max_length=REASON_MAX)] = ""
    flatten: bool = False


_read = msgspec.json.Decoder(Command).decode


@router.post("/kill", openapi_extra=_BODY, dependencies=STOP, responses={200: _ANSWER})
async def kill(gateway: Operations, request: Request) -> JSONResponse:
    """Cancel every order of every account, whether or not risk and execution work.

    200: it is verified that no order works, and with `flatten` that nothing but dust is held. 502:
    it is not; `report` says what is left or unknown, and where.
    """
    principal: Principal = request.state.principal
    try:
        command = _read(await body_of(request) or b"{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "INVALID_VALUE",
            f"body: {error}",
            field="body",
            remedy='send {"reason": "why", "flatten": false}; nothing was done',
        ) from error
    actor = "gateway" if principal.is_local else principal.name
    wanted = KillRequest(reason=command.reason, flatten=command.flatten, actor=actor)
    report = await gateway.killswitch.kill(wanted)
    if report["exit_code"] != EXIT_DONE:
        raise Problem(
            HTTPStatus.BAD_GATEWAY,
            "KILL_NOT_VERIFIED",
            str(report.get("summary", "not verified")),
            remedy=DIRECTLY,
            extra={"report": report},
        )
    return JSONResponse(report)
