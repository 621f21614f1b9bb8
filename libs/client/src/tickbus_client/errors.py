"""What can go wrong between a program and the gateway.

TickbusError
  ApiError         the gateway said no: branch on `code`, show the rest
  Unreachable      no answer came; `maybe_done` says whether the request may have had its effect
  Unintelligible   an answer that is not what is documented: do the versions match?
  StreamFailed     the stream ended for good
"""

from collections.abc import Mapping
from typing import Any

import msgspec


class TickbusError(Exception):
    """The base of everything that this package raises on purpose."""


class _Problem(msgspec.Struct):
    code: str
    detail: str
    field: str | None = None
    value: str | None = None
    remedy: str | None = None


_read_problem = msgspec.json.Decoder(_Problem).decode
_read_members = msgspec.json.Decoder(dict[str, Any]).decode
_KNOWN = frozenset({"type", "title", "status", *_Problem.__struct_fields__})
_TEXT_MAX = 200


class ApiError(TickbusError):
    """What the gateway refused (RFC 9457), in its own words.

    `code` is stable and for programs; `detail`, `field`, `value` and `remedy` are for people, empty
    where they do not apply. `extra` has what else came with it, such as `order_id`.
    `retry_after_s` is how long to wait before asking again, None where the gateway does not say.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, field: str = "", value: str = "",
        remedy: str = "", extra: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.value = value
        self.remedy = remedy
        self.extra = dict(extra or {})
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        given = f" (given: {self.value})" if self.value and self.value not in self.detail else ""
        return f"{self.detail}{given}{_line(self.remedy)}"

    @classmethod
    def of(cls, status: int, content: bytes, retry_after_s: float | None = None) -> "ApiError":
        """The error that an answer with this status is; anything may have sent it."""
        try:
            problem = _read_problem(content)
            members = _read_members(content)
        except (msgspec.DecodeError, RecursionError):
            text = content[:_TEXT_MAX].decode(errors="replace").strip()
            return cls(
                status, f"HTTP_{status}", f"an answer with status {status}: {text or 'empty'}",
                remedy="is that address the gateway's?", retry_after_s=retry_after_s,
            )  # fmt: skip
        return cls(
            status, problem.code, problem.detail, field=problem.field or "",
            value=problem.value or "", remedy=problem.remedy or "",
            extra={name: value for name, value in members.items() if name not in _KNOWN},
            retry_after_s=retry_after_s,
        )  # fmt: skip


class Unreachable(TickbusError):
    """The gateway at `url` did not answer, for `reason`.

    `maybe_done`: the request may have arrived, so what it asks for may happen all the same.
    """

    def __init__(self, url: str, reason: str, *, maybe_done: bool) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason
        self.maybe_done = maybe_done

    def __str__(self) -> str:
        done = "; whether it did what was asked is not known" if self.maybe_done else ""
        return f"the gateway at {self.url} does not answer: {self.reason}{done}"


class Unintelligible(TickbusError):
    """What the gateway at `url` answered cannot be read, for `reason`."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the gateway at {self.url} answered something else than documented: {self.reason}\n"
            "  Remedy: use the client of the platform's version."
        )


class StreamFailed(TickbusError):
    """The stream ended, and trying again does not help; `code` and `remedy` as the server says."""

    def __init__(self, detail: str, code: str = "", remedy: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.detail}{_line(self.remedy)}"


def _line(remedy: str) -> str:
    stop = "" if remedy.endswith(("?", ".")) else "."
    return f"\n  Remedy: {remedy}{stop}" if remedy else ""
