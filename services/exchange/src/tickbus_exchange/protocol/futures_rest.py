"""Futures requests over REST and over the WebSocket API: limits of their own, and overload."""

from tickbus_exchange.protocol import params
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.faults import Faults
from tickbus_exchange.protocol.futures_operations import FuturesOperation
from tickbus_exchange.protocol.operations import Operation, Params
from tickbus_exchange.protocol.rest import HttpRequest, HttpResponse, RestApi
from tickbus_exchange.protocol.wsapi import ApiSession
from tickbus_exchange.venue import USER

_OVERLOADS = {
    "futures_unknown": (
        -1000, "Unknown error, please check your request or try again later.",
    ),
    "futures_unavailable": (-1000, "Service Unavailable."),
    "futures_throttled": (
        -1008,
        "Request throttled by system-level protection. Reduce-only/close-position orders are"
        " exempt. Please try again.",
    ),
}  # fmt: skip


def overload(faults: Faults, operation: Operation | None, values: Params) -> tuple[str, bool]:
    """Return which of the three 503 answers a request meets, "" for none, and if it is done."""
    if not isinstance(operation, FuturesOperation) or not operation.overloads:
        return "", True
    reduces = "true" in {values.get("reduceOnly", ""), values.get("closePosition", "")}
    return faults.of_futures(exempt=reduces or not operation.throttled)


def overloaded(kind: str) -> ApiError:
    """Return one of the three 503 answers."""
    code, message = _OVERLOADS[kind]
    return ApiError(code, message, 503)


def _values(request: HttpRequest) -> Params:
    form = b"" if request.method == "GET" else request.body
    return params.parse_pairs(request.query, form)


class FuturesRest(RestApi):
    """Answers `/fapi/*`."""

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer a request; the second order count is of the minute."""
        response = super().handle(request)
        response.headers = tuple(
            ("x-mbx-order-count-1m" if name == "x-mbx-order-count-1d" else name, value)
            for name, value in response.headers
        )
        return response

    def _run(self, operation: Operation, request: HttpRequest, now_ms: int) -> tuple[str, object]:
        account_id = USER
        if isinstance(operation, FuturesOperation) and operation.keyed:
            key = self._keys.find(request.headers.get(b"x-mbx-apikey", b"").decode("latin-1"))
            key.check(trades=False)
            account_id = key.account_id
            operation = self._tables[account_id][request.method, request.path]
        kind, is_done = overload(self._faults, operation, _values(request))
        if not is_done:
            raise overloaded(kind)
        owner, answer = super()._run(operation, request, now_ms)
        if kind:
            raise overloaded(kind)
        return owner if operation.signed else account_id, answer


class FuturesSession(ApiSession):
    """One client of the futures WebSocket API. User data comes on /private, not here."""

    def _answer(
        self, method: str, operation: Operation | None, values: Params, now_ms: int
    ) -> tuple[str, object]:
        account_id = USER
        if isinstance(operation, FuturesOperation) and operation.keyed:
            key = self._key or self._keys.find(params.required(values, "apiKey"))
            key.check(trades=False)
            account_id = key.account_id
            operation = self._tables[account_id][method]
        if method.startswith(("userDataStream.subscribe", "userDataStream.unsubscribe")):
            raise ApiError(-5000, f"Method {method} is invalid", 404)
        kind, is_done = overload(self._faults, operation, values)
        if not is_done:
            raise overloaded(kind)
        owner, answer = super()._answer(method, operation, values, now_ms)
        if kind:
            raise overloaded(kind)
        return owner if operation is not None and operation.signed else account_id, answer
