"""Around every request: who sends it, that nobody unknown gets further, headers, and the record."""

from http import HTTPStatus

from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickbus.events import UserActed
from tickbus_api.access.access import Access
from tickbus_api.access.identity import address_of, key_id_of, network_of, sender
from tickbus_api.access.principal import Principal, Via
from tickbus_api.problems import PROBLEM_JSON, VALUE_LENGTH_MAX, Problem

OPEN = frozenset({
    "/health", "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/logout",
})  # fmt: skip
"""What is asked for before anybody can be known; what else is open are the page's own files."""
METRICS = "/metrics"
CLOSED = ("/api/", "/docs", "/openapi.json", METRICS)
"""What paths that need somebody begin with."""
READING = ("GET", "HEAD", "OPTIONS")
_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
_DOCS_POLICY = f"{_POLICY}; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
"""The page of the documentation starts itself with a script of its own."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class AccessMiddleware:
    """Lets nobody unknown past what is open, and says of each request who sends it.

    `state.principal` is None for nobody, `state.request_id` is told in the answer, too.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = self._access.new_request_id()
        state["principal"] = refusal = None
        connection = HTTPConnection(scope)
        state["address"] = sender(connection, self._access.proxies)
        try:
            state["principal"] = await self._access.principal_of(connection)
        except Problem as problem:
            refusal = problem
        seen = _Seen(scope, send, self._access)
        if refusal is not None and self._is_closed(scope):
            self._access.refused("refused_unknown")
            self._record_key(scope, refusal)
            await deny(scope, receive, seen.send, refusal)
            return
        state["refusal"] = refusal
        try:
            await self._app(scope, receive, seen.send)
        finally:
            # Also what failed, or was not waited for to its end: it may have been done.
            self._record(scope, seen)

    def _is_closed(self, scope: Scope) -> bool:
        path = scope["path"]
        if path in OPEN or (path == METRICS and self._access.config.metrics_open):
            return False
        return (
            scope["type"] == "websocket"
            or path.startswith(CLOSED)
            or scope["method"] not in READING
        )

    def _record(self, scope: Scope, seen: "_Seen") -> None:
        if scope["type"] != "http" or scope["method"] in READING:
            return
        if scope["state"].get("asks"):
            return
        if seen.status == HTTPStatus.TOO_MANY_REQUESTS:
            return  # else whoever may not send so much fills the record
        state = scope["state"]
        template = _template(scope)
        target = seen.location or scope["path"]
        principal: Principal | None = state["principal"] or state.get("logged_in")
        now_ns = self._access.now_ns()
        if principal is None and self._access.nobodys_rates.take("", now_ns).wait_s > 0:
            self._access.refused("refused_not_recorded")
            return
        self._access.recorder.add(
            UserActed(
                ts_event=now_ns,
                ts_recv=now_ns,
                act_id=state["request_id"],
                user=principal.user if principal else state.get("tried_user", ""),
                via=principal.via if principal else "",
                key_id=principal.key_id if principal else "",
                address=address_of(HTTPConnection(scope)),
                action=f"{scope['method']} {template}",
                target=target[:VALUE_LENGTH_MAX],
                status=seen.status or HTTPStatus.INTERNAL_SERVER_ERROR,
                code=state.get("problem", ""),
            )
        )

    def _record_key(self, scope: Scope, refusal: Problem) -> None:
        """Put on record that an API key was refused, now and then where it goes on all the time.

        Tokens that expired are none of it: every page that was left open shows one.
        """
        connection = HTTPConnection(scope)
        shown, address = key_id_of(connection), address_of(connection)
        if shown is None:
            return
        now_ns = self._access.now_ns()
        takes = (
            (self._access.refused_rates, network_of(address)),
            (self._access.nobodys_rates, ""),
        )
        if any(rates.take(name, now_ns).wait_s > 0 for rates, name in takes):
            self._access.refused("refused_key_not_recorded")
            return
        # A key that never was one has no name here: what was shown may be a secret of elsewhere.
        key = self._access.store.keys.get(shown)
        path = _path(scope)
        self._access.recorder.add(
            UserActed(
                ts_event=now_ns,
                ts_recv=now_ns,
                act_id=scope["state"]["request_id"],
                user=key.user if key else "",
                via=Via.KEY,
                key_id=key.key_id if key else "",
                address=address,
                action=f"{scope.get('method', 'GET')} {path}",
                target=path,
                status=refusal.status,
                code=refusal.code,
            )
        )


class _Seen:
    """What is sent, with the headers that every answer has, and what is remembered of it."""

    def __init__(self, scope: Scope, send: Send, access: Access) -> None:
        self._scope = scope
        self._send = send
        self._access = access
        self._config = access.config
        self._began_ns = access.now_ns()
        self.status = 0
        self.location = ""

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer."""
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
            if self._scope["type"] == "http":
                took_ns = self._access.now_ns() - self._began_ns
                self._access.note_request(self._scope["method"], self.status, took_ns)
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            self.location = headers.get("location", "")
            self._add(headers)
        await self._send(message)

    def _add(self, headers: MutableHeaders) -> None:
        path, state = self._scope["path"], self._scope["state"]
        for name, value in _HEADERS.items():
            headers[name] = value
        headers.setdefault("Content-Security-Policy", _DOCS_POLICY if path == "/docs" else _POLICY)
        headers["X-Request-Id"] = state["request_id"]
        if self._config.cookies_secure:
            headers["Strict-Transport-Security"] = "max-age=31536000"
        if path.startswith("/api/"):
            headers.setdefault("Cache-Control", "no-store")
        for name, value in state.get("rate_headers", {}).items():
            headers[name] = value


def _template(scope: Scope) -> str:
    """The path of the route, so that actions can be counted; that asked for without a route."""
    path: str = scope["path"]
    for name, value in (scope.get("path_params") or {}).items():
        path = path.replace(f"/{value}", f"/{{{name}}}", 1)
    return path[:VALUE_LENGTH_MAX]


def _path(scope: Scope) -> str:
    """The path asked for by who is not let in, as far as it can hold no secret."""
    area = scope["path"].split("/")[:4]
    return "/".join(area)[:VALUE_LENGTH_MAX]


async def deny(scope: Scope, receive: Receive, send: Send, problem: Problem) -> None:
    """Answer with `problem`, also who wants to open a WebSocket, as far as the server can."""
    answer = JSONResponse(
        problem.body(), problem.status, headers=problem.headers, media_type=PROBLEM_JSON
    )
    if scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {}):
        await answer(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": problem.code})
