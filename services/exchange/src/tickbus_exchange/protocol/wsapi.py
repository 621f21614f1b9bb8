"""The WebSocket API: the same requests as REST over one socket, and the user data stream."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.orders import Report, Trade, Transfer
from tickbus_exchange.protocol import errors, params, render, signing
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.faults import NO_FAULT, Faults
from tickbus_exchange.protocol.frames import text_frame
from tickbus_exchange.protocol.keys import ApiKey, Keys
from tickbus_exchange.protocol.later import Later
from tickbus_exchange.protocol.limits import Limiter
from tickbus_exchange.protocol.operations import Operation, Table
from tickbus_exchange.tape import AggTrade
from tickbus_exchange.venue import USER

SUBSCRIPTIONS_MAX = 65_535
_encode = msgspec.json.Encoder().encode
# Numbers keep the spelling they came with: the signature is over the text.
_decode = msgspec.json.Decoder(float_hook=str).decode
_SOCKET_NAMES = frozenset({"apiKey", "returnRateLimits"})
RequestId = int | str | None


class UserStreams:
    """Pushes each user's reports and balances to whoever subscribed. An Observer of the venue."""

    def __init__(
        self,
        rules: dict[str, SymbolRules],
        faults: Faults,
        later: Later,
        steady_ms: Callable[[], int],
    ) -> None:
        self._rules = rules
        self._faults = faults
        self._later = later
        self._steady_ms = steady_ms
        self._due_ms = 0
        self._sessions: dict[str, dict[ApiSession, int]] = {}
        self._opened_by: dict[tuple[ApiSession, str], str] = {}
        self._last_position: dict[tuple[str, str], tuple[int, int, int, int]] = {}
        self.events_total = 0

    def add(self, session: "ApiSession", key: ApiKey, subscription_id: int) -> None:
        """Start pushing the events of the key's account to `session`."""
        self._sessions.setdefault(key.account_id, {})[session] = subscription_id
        self._opened_by[session, key.account_id] = key.name

    def discard(self, session: "ApiSession", account_id: str | None = None) -> None:
        """Stop pushing to `session`: one account's events, or everything."""
        for name in tuple(self._sessions) if account_id is None else (account_id,):
            sessions = self._sessions.get(name, {})
            sessions.pop(session, None)
            self._opened_by.pop((session, name), None)
            if not sessions:
                self._sessions.pop(name, None)

    def revoke(self, key: str, now_ms: int) -> None:
        """End every subscription that was made with `key`."""
        for (session, account_id), name in tuple(self._opened_by.items()):
            if name == key:
                self.terminate(session, account_id, now_ms)

    def of(self, session: "ApiSession") -> dict[str, int]:
        """Return the session's subscription ids by account."""
        return {a: s[session] for a, s in self._sessions.items() if session in s}

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Push each report, then the balances where they changed."""
        for report in reports:
            balances = (
                report.base_free, report.base_locked, report.quote_free, report.quote_locked,
            )  # fmt: skip
            place = report.account_id, report.symbol
            moved = balances != self._last_position.get(place)
            self._last_position[place] = balances
            if report.account_id not in self._sessions:
                continue
            self._push(report.account_id, render.execution_report(report))
            if moved:
                rules = self._rules[report.symbol]
                self._push(report.account_id, render.account_position(report, rules))

    def on_transfer(self, transfer: Transfer) -> None:
        """Push a deposit or withdrawal and the balance it left."""
        self._push(transfer.account_id, render.balance_update(transfer))
        self._push(transfer.account_id, render.position_after(transfer))

    def _push(self, account_id: str, event: render.Json) -> None:
        sent = self._faults.of_event(_encode(event), account_id)
        if sent is None:
            for session in tuple(self._sessions.get(account_id, ())):
                self.terminate(session, account_id, event["E"])
            return
        for part in sent:
            self._push_sound(account_id, part)

    def terminate(self, session: "ApiSession", account_id: str, now_ms: int) -> None:
        """End a subscription and say so."""
        number = self._sessions[account_id][session]
        self.discard(session, account_id)
        event = _encode({"e": "eventStreamTerminated", "E": now_ms})
        self._send(session, _event_frame(number, event))

    def _push_sound(self, account_id: str, event: bytes) -> None:
        frames: dict[int, bytes] = {}
        self.events_total += 1
        for session, number in tuple(self._sessions.get(account_id, {}).items()):
            frame = frames.get(number)
            if frame is None:
                frame = frames[number] = _event_frame(number, event)
            self._send(session, frame)

    def _send(self, session: "ApiSession", frame: bytes) -> None:
        """Send a frame, as late as the faults demand and never before an earlier one."""
        now_ms = self._steady_ms()
        due_ms = max(self._due_ms, now_ms + self._faults.delay_of_event())
        if due_ms <= now_ms:
            session.send(frame)
            return
        self._due_ms = due_ms
        self._later.add(due_ms, lambda: session.send(frame))

    def on_trades(self, symbol: str, trades: list[Trade], aggregates: list[AggTrade]) -> None:
        """Public trades are not the user's business."""

    def on_book(self, symbol: str) -> None:
        """Nor is the book."""


def _event_frame(number: int, event: bytes) -> bytes:
    return text_frame(b'{"subscriptionId":%d,"event":%b}' % (number, event))


class ApiSession:
    """One client of the WebSocket API."""

    combined = False

    def __init__(
        self,
        operations: Mapping[str, Table],
        limiter: Limiter,
        keys: Keys,
        streams: UserStreams,
        faults: Faults,
        clock_ms: Callable[[], int],
        address: str,
        write: Callable[[bytes], None],
        send_later: Callable[[int, bytes], None],
    ) -> None:
        self._tables = {account: table.socket for account, table in operations.items()}
        self._operations = self._tables[USER]
        self._send_later = send_later
        self._key: ApiKey | None = None
        self._authorized_ms = 0
        self._logged_on_stream: str | None = None
        """Account of the stream that was subscribed by being logged on."""
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
            "session.logout": self._logout,
            "session.subscriptions": self._list,
            "userDataStream.subscribe": self._subscribe_logged_on,
            "userDataStream.subscribe.signature": self._subscribe,
            "userDataStream.unsubscribe": self._unsubscribe,
        }

    def on_text(self, message: str) -> None:
        """Answer a request; every failure is an answer too."""
        now_ms = self._clock_ms()
        if self._key is not None and self._key.name not in self._keys:
            # The answer to the request follows: without a key it is one more refusal.
            self._key = None
            revoked = errors.unknown_key()
            body = {"id": None, "status": revoked.status, "error": _error(revoked, now_ms)}
            self.send(text_frame(_encode(body)))
        request_id: RequestId = None
        counts_orders, show_limits = False, True
        account_id = USER
        answer: dict[str, object]
        fault = NO_FAULT
        try:
            request_id, method, values, show_limits = _read(message)
            operation = self._operations.get(method)
            counts_orders = operation is not None and operation.counts_orders
            queries = operation is not None and operation.queries
            fault = self._faults.of_request(queries=queries)
            account_id, result = self._faults.carry_out(
                fault, self._limiter, self._address, now_ms,
                lambda: self._answer(method, operation, values, now_ms),
            )  # fmt: skip
            answer = {"id": request_id, "status": 200, "result": result}
        except ApiError as error:
            answer = {"id": request_id, "status": error.status, "error": _error(error, now_ms)}
        if fault.is_lost:
            return
        if show_limits:
            usage = self._limiter.usage(self._address, now_ms, orders=False)
            if counts_orders:
                placed = self._limiter.usage(
                    self._address, now_ms, orders=True, account_id=account_id
                )
                usage = placed + usage
            answer["rateLimits"] = usage
        delay_ms = self._faults.delay()
        frame = text_frame(_encode(answer))
        if delay_ms:
            self._send_later(delay_ms, frame)
        else:
            self.send(frame)

    def close(self) -> None:
        """Forget the session."""
        self._streams.discard(self)

    def shutdown_notice(self, now_ms: int) -> bytes:
        """Return the frame that announces a planned stop."""
        return text_frame(_encode({"event": {"e": "serverShutdown", "E": now_ms}}))

    def _answer(
        self, method: str, operation: Operation | None, values: dict[str, str], now_ms: int
    ) -> tuple[str, object]:
        """Return whose request it was and its answer."""
        special = self._special.get(method)
        if special is not None:
            self._limiter.spend(self._address, 2, now_ms)
            return USER, special(values, now_ms)
        self._limiter.spend(self._address, 0, now_ms)
        if operation is None:
            raise ApiError(-5000, f"Method {method} is invalid", 404)
        if not operation.free_on_success:
            self._limiter.spend(self._address, operation.cost(values), now_ms)
        account_id = USER
        try:
            if operation.signed:
                key = self._authenticate(values, now_ms, trades=operation.trades)
                account_id = key.account_id
            unknown = values.keys() - operation.names - _SOCKET_NAMES
            if unknown:
                raise errors.unread(len(values) - len(unknown), len(values))
            if account_id != USER:
                operation = self._tables[account_id][method]
            return account_id, operation.run(values, now_ms)
        except ApiError:
            if operation.free_on_success:
                self._limiter.spend(self._address, operation.cost(values), now_ms)
            raise

    def _authenticate(self, values: dict[str, str], now_ms: int, *, trades: bool = False) -> ApiKey:
        """Return the key of a request: its own, or the one the session is logged on with."""
        if self._key is not None and "apiKey" not in values and "signature" not in values:
            self._key.check(trades=trades)
            signing.check_window(values, now_ms)
            return self._key
        key = self._keys.find(params.required(values, "apiKey"))
        key.check(trades=trades)
        self._verify(key, values, now_ms)
        return key

    def _verify(self, key: ApiKey, values: dict[str, str], now_ms: int) -> None:
        signature = params.required(values, "signature")
        if not values.get("timestamp"):
            raise errors.missing("timestamp")
        key.verify(signing.socket_payload(values), signature)
        signing.check_window(values, now_ms)

    # -- session and user data stream ------------------------------------------------------------

    def _logon(self, values: dict[str, str], now_ms: int) -> object:
        key = self._keys.find(params.required(values, "apiKey"))
        if not key.is_ed25519:
            raise ApiError(-4056, "HMAC_SHA256 API key is not supported.")
        self._verify(key, values, now_ms)
        self._key, self._authorized_ms = key, now_ms
        return self._status(values, now_ms)

    def _logout(self, values: dict[str, str], now_ms: int) -> object:
        """Forget the key; a stream it was subscribed by ends."""
        key, self._key = self._key, None
        if key is not None and self._logged_on_stream == key.account_id:
            self._end(key.account_id, now_ms)
        return self._status(values, now_ms)

    def _status(self, values: dict[str, str], now_ms: int) -> object:
        key = self._key
        return {
            "apiKey": key.name if key is not None else None,
            "authorizedSince": self._authorized_ms if key is not None else None,
            "connectedSince": self._connected_ms,
            "returnRateLimits": True,
            "serverTime": now_ms,
            "userDataStream": bool(self._streams.of(self)),
        }

    def _subscribe_logged_on(self, values: dict[str, str], now_ms: int) -> object:
        key = self._key
        if key is None:
            raise ApiError(-2015, "Session is not authenticated; log on first.", 401)
        key.check(trades=False)
        answer = self._start(key)
        self._logged_on_stream = key.account_id
        return answer

    def _subscribe(self, values: dict[str, str], now_ms: int) -> object:
        return self._start(self._authenticate(values, now_ms))

    def _start(self, key: ApiKey) -> object:
        if key.account_id in self._streams.of(self):
            raise ApiError(-2035, "User Data Stream subscription already active.")
        if self._subscriptions >= SUBSCRIPTIONS_MAX:
            raise ApiError(-2042, "Maximum subscription ID reached for this connection.")
        number = self._subscriptions
        self._subscriptions += 1
        self._streams.add(self, key, number)
        return {"subscriptionId": number}

    def _unsubscribe(self, values: dict[str, str], now_ms: int) -> object:
        """End one subscription, or all of the session."""
        number = params.long(values, "subscriptionId")
        ended = [a for a, n in self._streams.of(self).items() if number in {None, n}]
        if not ended:
            raise ApiError(-2036, "User Data Stream subscription not active.")
        for account_id in ended:
            self._end(account_id, now_ms)
        return {}

    def _end(self, account_id: str, now_ms: int) -> None:
        if account_id in self._streams.of(self):
            self._streams.terminate(self, account_id, now_ms)
        if self._logged_on_stream == account_id:
            self._logged_on_stream = None

    def _list(self, values: dict[str, str], now_ms: int) -> object:
        return [{"subscriptionId": number} for number in self._streams.of(self).values()]


def _error(error: ApiError, now_ms: int) -> dict[str, object]:
    body: dict[str, object] = {"code": error.code or -1000, "msg": error.message}
    if error.data is not None:
        body["data"] = error.data
    if error.retry_after_s is not None:
        retry_ms = now_ms + error.retry_after_s * 1_000
        body["data"] = {"serverTime": now_ms, "retryAfter": retry_ms}
    return body


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
