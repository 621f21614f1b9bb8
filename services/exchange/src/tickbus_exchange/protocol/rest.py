"""REST: an HTTP request in, an HTTP response out, with signatures, weights and Binance's errors."""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from http import HTTPStatus
from urllib.parse import unquote

import msgspec

from tickbus_exchange.protocol import errors, params, signing
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.faults import NO_FAULT, Faults
from tickbus_exchange.protocol.keys import ApiKey, Keys
from tickbus_exchange.protocol.limits import Limiter
from tickbus_exchange.protocol.operations import Operation, Table
from tickbus_exchange.venue import USER

HTML = b"text/html"
JSON = b"application/json;charset=UTF-8"
_encode = msgspec.json.Encoder().encode
_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


class HttpRequest(msgspec.Struct):
    """One HTTP request, read in full. Header names are lower case."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes
    address: str


class Ending(Enum):
    """How a response leaves, or does not."""

    SENT = auto()
    SILENT = auto()
    CUT = auto()


class HttpResponse(msgspec.Struct):
    """One HTTP response, to be sent `delay_ms` later."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: bytes = JSON
    delay_ms: int = 0
    ending: Ending = Ending.SENT

    def encode(self, *, keep_alive: bool) -> bytes:
        """Return the bytes to send."""
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        return b"".join(
            (
                _STATUS_LINES[self.status],
                b"content-type: ",
                self.content_type,
                b"\r\ncontent-length: ",
                str(len(self.body)).encode(),
                b"\r\n" if keep_alive else b"\r\nconnection: close\r\n",
                extra.encode(),
                b"\r\n",
                self.body,
            )
        )


class RestApi:
    """Answers `/api/v3/*`."""

    def __init__(
        self,
        operations: Mapping[str, Table],
        limiter: Limiter,
        keys: Keys,
        faults: Faults,
        clock_ms: Callable[[], int],
    ) -> None:
        self._tables = {account: table.rest for account, table in operations.items()}
        self._operations = self._tables[USER]
        self._limiter = limiter
        self._keys = keys
        self._faults = faults
        self._clock_ms = clock_ms
        self.requests_total: dict[tuple[str, int], int] = {}

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer a request; every failure is an answer too."""
        operation = self._operations.get((request.method, request.path))
        now_ms = self._clock_ms()
        headers: list[tuple[str, str]] = []
        content_type = JSON
        fault = NO_FAULT
        account_id = USER
        try:
            if operation is None:
                raise self._unknown(request)
            wanted = operation
            fault = self._faults.of_request(signed=operation.signed, queries=operation.queries)
            account_id, result = self._faults.carry_out(
                fault, self._limiter, request.address, now_ms,
                lambda: self._run(wanted, request, now_ms),
            )  # fmt: skip
            body = _encode(result)
            status = 200
        except ApiError as error:
            status, body = error.status, _error_body(error)
            content_type = JSON if error.code else HTML
            if error.retry_after_s is not None:
                headers.append(("retry-after", str(error.retry_after_s)))
        used = str(self._limiter.used(request.address, now_ms))
        headers += [("x-mbx-used-weight", used), ("x-mbx-used-weight-1m", used)]
        if operation is not None and operation.counts_orders:
            ten_seconds, day = self._limiter.orders(now_ms, account_id)
            headers.append(("x-mbx-order-count-10s", str(ten_seconds)))
            headers.append(("x-mbx-order-count-1d", str(day)))
        label = f"{request.method} {request.path}" if operation is not None else "unknown"
        key = (label, status)
        self.requests_total[key] = self.requests_total.get(key, 0) + 1
        response = HttpResponse(status, body, tuple(headers), content_type, self._faults.delay())
        if fault.is_lost:
            response.ending = Ending.SILENT if self._faults.falls_silent() else Ending.CUT
        return response

    def _unknown(self, request: HttpRequest) -> ApiError:
        if request.path == "/api/v3/userDataStream":
            message = "listenKey is gone; use userDataStream.subscribe.signature on /ws-api/v3."
            return ApiError(-1016, message, 410)
        known = [m for m, path in self._operations if path == request.path]
        status = 405 if known else 404
        path = unquote(request.path)
        return ApiError(-5000, f"Path {path}, Method {request.method} is invalid", status)

    def _run(self, operation: Operation, request: HttpRequest, now_ms: int) -> tuple[str, object]:
        """Return whose request it was and its answer."""
        form = b"" if request.method == "GET" else request.body
        self._limiter.spend(request.address, 0, now_ms)
        values = params.parse_pairs(request.query, form)
        if not operation.free_on_success:
            self._limiter.spend(request.address, operation.cost(values), now_ms)
        key, account_id = None, USER
        try:
            if operation.signed:
                key = self._authenticate(operation, request, form, values, now_ms)
                account_id = key.account_id
            unknown = values.keys() - operation.names
            if unknown:
                raise errors.unread(len(values) - len(unknown), len(values))
            if operation.of_key and key is not None:
                return account_id, key.restrictions()
            if account_id != USER:
                operation = self._tables[account_id][request.method, request.path]
            return account_id, operation.run(values, now_ms)
        except ApiError:
            if operation.free_on_success:
                self._limiter.spend(request.address, operation.cost(values), now_ms)
            raise

    def _authenticate(
        self,
        operation: Operation,
        request: HttpRequest,
        form: bytes,
        values: dict[str, str],
        now_ms: int,
    ) -> ApiKey:
        key = self._keys.find(request.headers.get(b"x-mbx-apikey", b"").decode("latin-1"))
        key.check(trades=operation.trades)
        signature = params.required(values, "signature")
        if not values.get("timestamp"):
            raise errors.missing("timestamp")
        key.verify(signing.rest_payload(request.query, form), signature)
        signing.check_window(values, now_ms)
        return key


def _error_body(error: ApiError) -> bytes:
    """Return the body of an error: JSON, or the page of a gateway that has no code."""
    if not error.code:
        return f"<html><body><h1>{error.status}</h1></body></html>".encode()
    answer: dict[str, object] = {"code": error.code, "msg": error.message}
    if error.data is not None:
        answer["data"] = error.data
    return _encode(answer)
