"""What the gateway answers when it cannot do what was asked: RFC 9457 problem details.

Every problem carries a stable `code`, and where they apply the `field`, the `value` given and the
`remedy`; `detail` is the same for people.
"""

from decimal import Decimal
from http import HTTPStatus
from typing import Any

PROBLEM_JSON = "application/problem+json"
VALUE_LENGTH_MAX = 100


class Problem(Exception):
    """A refusal on its way to the client; `extra` members travel with it."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        field: str = "",
        value: object = None,
        remedy: str = "",
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.value = value
        self.remedy = remedy
        self.extra = extra or {}
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The members of the answer."""
        body: dict[str, Any] = {
            "type": f"urn:tickbus:problem:{self.code.lower()}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": int(self.status),
            "code": self.code,
            "detail": self.detail,
        }
        if self.field:
            body["field"] = self.field
        if self.value is not None:
            body["value"] = shown(self.value)
        if self.remedy:
            body["remedy"] = self.remedy
        return body | self.extra


def shown(value: object) -> str:
    """`value` as text that cannot flood a log or a terminal."""
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return text if len(text) <= VALUE_LENGTH_MAX else text[:VALUE_LENGTH_MAX] + "…"


def invalid(field: str, value: object, detail: str, remedy: str) -> Problem:
    """A field of the request that cannot be understood or cannot be right (422)."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "INVALID_VALUE",
        f"{field}: {detail}",
        field=field,
        value=value,
        remedy=remedy,
    )


def unavailable(code: str, detail: str, remedy: str) -> Problem:
    """Something the gateway needs does not answer (503); asking again later may help."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, code, detail, remedy=remedy, headers={"Retry-After": "1"}
    )
