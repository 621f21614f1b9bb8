"""REST: an HTTP request in, an HTTP response out, with signatures, weights and Binance's errors."""

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import unquote

import msgspec

from tickbus_exchange.protocol import errors, params, signing
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.limits import Limiter
from tickbus_exchange.protocol.operations import Operation, Operations

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


class HttpResponse(msgspec.Struct):
    """One HTTP response."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: bytes = JSON

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


class Keys:
    """The one API key and its secret."""

    def __init__(self, key: str, secret: str) -> None:
        self._key = key
        self._secret = secret.encode()

    def secret(self, key: str | None) -> bytes:
        """Return the secret of `key`; raise ApiError -2014 or -2015 for any but ours."""
        if not key:
            raise errors.bad_key_format()
        if key != self._key:
            raise errors.unknown_key()
        return self._secret


class RestApi:
    """Answers `/api/v3/*`."""

    def __init__(
        self, operations: Operations, limiter: Limiter, keys: Keys, clock_ms: Callable[[], int]
    ) -> None:
        self._operations = operations.rest
        self._limiter = limiter
        self._keys = keys
        self._clock_ms = clock_ms
        self.requests_total: dict[tuple[str, int], int] = {}

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer a request; every failure is an answer too."""
        operation = self._operations.get((request.method, request.path))
        now_ms = self._clock_ms()
        headers: list[tuple[str, str]] = []
        try:
            if operation is None:
                raise self._unknown(request)
            body = _encode(self._run(operation, request, now_ms))
            status = 200
        except ApiError as error:
            status = error.status
            answer: dict[str, object] = {"code": error.code, "msg": error.message}
            if error.data is not None:
                answer["data"] = error.data
            body = _encode(answer)
            if error.retry_after_s is not None:
                headers.append(("retry-after", str(error.retry_after_s)))
        used = str(self._limiter.used(request.address, now_ms))
        headers += [("x-mbx-used-weight", used), ("x-mbx-used-weight-1m", used)]
        if operation is not None and operation.counts_orders:
            ten_seconds, day = self._limiter.orders(now_ms)
            headers.append(("x-mbx-order-count-10s", str(ten_seconds)))
            headers.append(("x-mbx-order-count-1d", str(day)))
        label = f"{request.method} {request.path}" if operation is not None else "unknown"
        key = (label, status)
        self.requests_total[key] = self.requests_total.get(key, 0) + 1
        return HttpResponse(status, body, tuple(headers))

    def _unknown(self, request: HttpRequest) -> ApiError:
        if request.path == "/api/v3/userDataStream":
            message = "listenKey is gone; use userDataStream.subscribe.signature on /ws-api/v3."
            return ApiError(-1016, message, 410)
        known = [m for m, path in self._operations if path == request.path]
        status = 405 if known else 404
        path = unquote(request.path)
        return ApiError(-5000, f"Path {path}, Method {request.method} is invalid", status)

    def _run(self, operation: Operation, request: HttpRequest, now_ms: int) -> object:
        form = b"" if request.method == "GET" else request.body
        self._limiter.spend(request.address, 0, now_ms)
        values = params.parse_pairs(request.query, form)
        if not operation.free_on_success:
            self._limiter.spend(request.address, operation.cost(values), now_ms)
        try:
            if operation.signed:
                self._authenticate(request, form, values, now_ms)
            unknown = values.keys() - operation.names
            if unknown:
                raise errors.unread(len(values) - len(unknown), len(values))
            return operation.run(values, now_ms)
        except ApiError:
            if operation.free_on_success:
                self._limiter.spend(request.address, operation.cost(values), now_ms)
            raise

    def _authenticate(
        self, request: HttpRequest, form: bytes, values: dict[str, str], now_ms: int
    ) -> None:
        key = request.headers.get(b"x-mbx-apikey", b"").decode("latin-1")
        secret = self._keys.secret(key)
        signature = params.required(values, "signature")
        if not values.get("timestamp"):
            raise errors.missing("timestamp")
        signing.verify(secret, signing.rest_payload(request.query, form), signature)
        signing.check_window(values, now_ms)
