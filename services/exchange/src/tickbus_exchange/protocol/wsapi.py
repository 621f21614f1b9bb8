"""The WebSocket API: the same requests as REST over one socket, and the user data stream."""

from collections.abc import Callable, Sequence

import msgspec

from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.orders import Report, Trade
from tickbus_exchange.protocol import errors, params, render, signing
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.faults import Faults
from tickbus_exchange.protocol.frames import text_frame
from tickbus_exchange.protocol.limits import Limiter
from tickbus_exchange.protocol.operations import Operation, Operations
from tickbus_exchange.protocol.rest import Keys
from tickbus_exchange.tape import AggTrade

SUBSCRIPTIONS_MAX = 65_535
_encode = msgspec.json.Encoder().encode
# Numbers keep the spelling they came with: the signature is over the text.
_decode = msgspec.json.Decoder(float_hook=str).decode
_SOCKET_NAMES = frozenset({"apiKey", "returnRateLimits"})
RequestId = int | str | None


class UserStreams:
    """Pushes reports and balances to every subscribed session at once. An Observer of the venue."""

    def __init__(self, rules: dict[str, SymbolRules], faults: Faults) -> None:
        self._rules = rules
        self._faults = faults
        self._sessions: dict[ApiSession, int] = {}
        self._last_position: dict[str, tuple[int, int, int, int]] = {}
        self.events_total = 0

    def add(self, session: "ApiSession", subscription_id: int) -> None:
        """Start pushing to `session`."""
        self._sessions[session] = subscription_id

    def discard(self, session: "ApiSession") -> None:
        """Stop pushing to `session`."""
        self._sessions.pop(session, None)

    def get(self, session: "ApiSession") -> int | None:
        """Return the session's subscription id, None when it has none."""
        return self._sessions.get(session)

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Push each report, then the balances where they changed."""
        for report in reports:
            balances = (
                report.base_free, report.base_locked, report.quote_free, report.quote_locked,
            )  # fmt: skip
            moved = balances != self._last_position.get(report.symbol)
            self._last_position[report.symbol] = balances
            if not self._sessions:
                continue
            self._push(_encode(render.execution_report(report)))
            if moved:
                rules = self._rules[report.symbol]
                self._push(_encode(render.account_position(report, rules)))

    def _push(self, event: bytes) -> None:
        for sent in self._faults.of_event(event):
            self._push_sound(sent)

    def _push_sound(self, event: bytes) -> None:
        frames: dict[int, bytes] = {}
        self.events_total += 1
        for session, number in tuple(self._sessions.items()):
            frame = frames.get(number)
            if frame is None:
                frame = frames[number] = text_frame(
                    b'{"subscriptionId":%d,"event":%b}' % (number, event)
                )
            session.send(frame)

    def on_trades(self, symbol: str, trades: list[Trade], aggregates: list[AggTrade]) -> None:
        """Public trades are not the user's business."""

    def on_book(self, symbol: str) -> None:
        """Nor is the book."""


class ApiSession:
    """One client of the WebSocket API."""

    combined = False

    def __init__(
        self,
        operations: Operations,
        limiter: Limiter,
        keys: Keys,
        streams: UserStreams,
        faults: Faults,
        clock_ms: Callable[[], int],
        address: str,
        write: Callable[[bytes], None],
    ) -> None:
        self._operations = operations.socket
        self._limiter = limiter
        self._keys = keys
        self._streams = streams
        self._faults = faults
        self._clock_ms = clock_ms
        self._address = address
        self.send = write
        self._subscriptions = 0
        self._connected_ms = clock_ms()
        self._special: dict[str, Callable[[dict[str, str], int], object]] = {
            "session.logon": self._logon,
            "session.status": self._status,
            "session.logout": self._status,
            "session.subscriptions": self._list,
            "userDataStream.subscribe": self._subscribe_unsigned,
            "userDataStream.subscribe.signature": self._subscribe,
            "userDataStream.unsubscribe": self._unsubscribe,
        }

    def on_text(self, message: str) -> None:
        """Answer a request; every failure is an answer too."""
        now_ms = self._clock_ms()
        request_id: RequestId = None
        counts_orders, show_limits = False, True
        answer: dict[str, object]
        fault = ""
        try:
            request_id, method, values, show_limits = _read(message)
            operation = self._operations.get(method)
            counts_orders = operation is not None and operation.counts_orders
            fault, carried_out = self._faults.of_request()
            if not carried_out:
                raise errors.unknown()
            result = self._answer(method, operation, values, now_ms)
            if fault == "unknown":
                raise errors.unknown()
            answer = {"id": request_id, "status": 200, "result": result}
        except ApiError as error:
            body: dict[str, object] = {"code": error.code, "msg": error.message}
            if error.data is not None:
                body["data"] = error.data
            if error.retry_after_s is not None:
                retry_ms = now_ms + error.retry_after_s * 1_000
                body["data"] = {"serverTime": now_ms, "retryAfter": retry_ms}
            answer = {"id": request_id, "status": error.status, "error": body}
        if fault == "lose_answer":
            return
        if show_limits:
            usage = self._limiter.usage(self._address, now_ms, orders=False)
            if counts_orders:
                usage = self._limiter.usage(self._address, now_ms, orders=True) + usage
            answer["rateLimits"] = usage
        self.send(text_frame(_encode(answer)))

    def close(self) -> None:
        """Forget the session."""
        self._streams.discard(self)

    def shutdown_notice(self, now_ms: int) -> bytes:
        """Return the frame that announces a planned stop."""
        return text_frame(_encode({"event": {"e": "serverShutdown", "E": now_ms}}))

    def _answer(
        self, method: str, operation: Operation | None, values: dict[str, str], now_ms: int
    ) -> object:
        special = self._special.get(method)
        if special is not None:
            self._limiter.spend(self._address, 2, now_ms)
            return special(values, now_ms)
        self._limiter.spend(self._address, 0, now_ms)
        if operation is None:
            raise ApiError(-5000, f"Method {method} is invalid", 404)
        if not operation.free_on_success:
            self._limiter.spend(self._address, operation.cost(values), now_ms)
        try:
            if operation.signed:
                self._authenticate(values, now_ms)
            unknown = values.keys() - operation.names - _SOCKET_NAMES
            if unknown:
                raise errors.unread(len(values) - len(unknown), len(values))
            return operation.run(values, now_ms)
        except ApiError:
            if operation.free_on_success:
                self._limiter.spend(self._address, operation.cost(values), now_ms)
            raise

    def _authenticate(self, values: dict[str, str], now_ms: int) -> None:
        secret = self._keys.secret(params.required(values, "apiKey"))
        signature = params.required(values, "signature")
        if not values.get("timestamp"):
            raise errors.missing("timestamp")
        signing.verify(secret, signing.socket_payload(values), signature)
        signing.check_window(values, now_ms)

    # -- session and user data stream ------------------------------------------------------------

    def _logon(self, values: dict[str, str], now_ms: int) -> object:
        self._keys.secret(params.required(values, "apiKey"))
        raise ApiError(-4056, "HMAC_SHA256 API key is not supported.")

    def _status(self, values: dict[str, str], now_ms: int) -> object:
        return {
            "apiKey": None,
            "authorizedSince": None,
            "connectedSince": self._connected_ms,
            "returnRateLimits": True,
            "serverTime": now_ms,
            "userDataStream": self._streams.get(self) is not None,
        }

    def _subscribe_unsigned(self, values: dict[str, str], now_ms: int) -> object:
        raise ApiError(-2015, "Session is not authenticated; log on first.", 401)

    def _subscribe(self, values: dict[str, str], now_ms: int) -> object:
        self._authenticate(values, now_ms)
        if self._streams.get(self) is not None:
            raise ApiError(-2035, "User Data Stream subscription already active.")
        if self._subscriptions >= SUBSCRIPTIONS_MAX:
            raise ApiError(-2042, "Maximum subscription ID reached for this connection.")
        number = self._subscriptions
        self._subscriptions += 1
        self._streams.add(self, number)
        return {"subscriptionId": number}

    def _unsubscribe(self, values: dict[str, str], now_ms: int) -> object:
        number = params.long(values, "subscriptionId")
        active = self._streams.get(self)
        if active is None or number not in {None, active}:
            raise ApiError(-2036, "User Data Stream subscription not active.")
        self._streams.discard(self)
        return {}

    def _list(self, values: dict[str, str], now_ms: int) -> object:
        active = self._streams.get(self)
        return [] if active is None else [{"subscriptionId": active}]


def _read(message: str) -> tuple[RequestId, str, dict[str, str], bool]:
    """Return (id, method, parameters as text, whether rate limits are wanted)."""
    try:
        request = _decode(message)
    except (msgspec.DecodeError, RecursionError):
        raise ApiError(-1135, "Invalid JSON Request") from None
    if not isinstance(request, dict):
        raise ApiError(-1135, "Invalid JSON Request")
    request_id, method = request.get("id"), request.get("method")
    values = request.get("params") or {}
    if isinstance(request_id, bool) or not isinstance(request_id, int | str | None):
        raise errors.illegal("id", "^[0-9a-zA-Z-_]{1,36}$")
    if not isinstance(method, str):
        raise errors.missing("method")
    if not isinstance(values, dict):
        raise ApiError(-1135, "Invalid 'params' in JSON request; expected an object.")
    # Signed like any other parameter, so it stays among them.
    show_limits = values.get("returnRateLimits", True) is not False
    return request_id, method, {k: _as_text(v) for k, v in values.items()}, show_limits


def _as_text(value: object) -> str:
    """Spell a JSON value the way it is signed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return _encode(value).decode()
    return "" if value is None else str(value)
