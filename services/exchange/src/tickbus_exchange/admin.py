"""What only a simulation has: ledgers in full, faults on demand, acts by hand, health, metrics."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import parse_qs

import msgspec

from tickbus_exchange.app import Exchange
from tickbus_exchange.engine.numbers import text
from tickbus_exchange.futures_hand import FuturesByHand
from tickbus_exchange.hand import ByHand, WrongHandError, refusal
from tickbus_exchange.house import House
from tickbus_exchange.protocol import render
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.faults import FaultSettings
from tickbus_exchange.protocol.rest import HttpRequest, HttpResponse
from tickbus_exchange.venue import USER

_encode = msgspec.json.Encoder().encode


class _Seconds(msgspec.Struct, forbid_unknown_fields=True):
    seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)]


class Admin:
    """Answers `/admin/*`, `/healthz`, `/readyz` and `/metrics`. None of it needs a key."""

    def __init__(
        self,
        exchange: Exchange,
        disconnect: Callable[[], int],
        announce_stop: Callable[[int], int],
    ) -> None:
        self._exchange = exchange
        self._disconnect = disconnect
        self._announce_stop = announce_stop
        hand = ByHand(exchange)
        house = House(exchange)
        futures = self._futures = FuturesByHand(exchange, hand)
        self._routes: dict[tuple[str, str], Callable[[HttpRequest], HttpResponse]] = {
            ("GET", "/healthz"): self._health,
            ("GET", "/readyz"): self._health,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/admin/ledger"): self._ledger,
            ("GET", "/admin/accounts"): self._accounts,
            ("POST", "/admin/orders"): lambda request: _by_hand(hand.place, request),
            ("DELETE", "/admin/orders"): lambda request: _by_hand(hand.cancel, request),
            ("POST", "/admin/transfer"): lambda request: _by_hand(hand.transfer, request),
            ("POST", "/admin/symbol"): lambda request: _by_hand(house.set_status, request),
            ("POST", "/admin/jolt"): lambda request: _by_hand(house.jolt, request),
            ("DELETE", "/admin/keys"): lambda request: _by_hand(house.revoke, request),
            ("POST", "/admin/futures/orders"): lambda request: _by_hand(futures.place, request),
            ("DELETE", "/admin/futures/orders"): lambda request: _by_hand(futures.cancel, request),
            ("POST", "/admin/futures/transfer"): lambda r: _by_hand(futures.transfer, r),
            ("POST", "/admin/futures/liquidate"): lambda r: _by_hand(futures.liquidate, r),
            ("POST", "/admin/funding"): lambda request: _by_hand(futures.fund, request),
            ("POST", "/admin/outage"): self._outage,
            ("POST", "/admin/shutdown-notice"): self._shutdown_notice,
            ("POST", "/admin/disconnect"): self._drop,
            ("POST", "/admin/gap"): self._gap,
            ("GET", "/admin/faults"): self._faults,
            ("POST", "/admin/faults"): self._set_faults,
        }

    def handle(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a request, None when it is not for us."""
        route = self._routes.get((request.method, request.path))
        return route(request) if route is not None else None

    def _health(self, _: HttpRequest) -> HttpResponse:
        crossed = [s for s, m in self._exchange.venue.engine.markets.items() if m.book.is_crossed()]
        if crossed:
            return HttpResponse(503, _encode({"status": "crossed", "symbols": crossed}))
        return HttpResponse(200, b'{"status":"ok"}')

    def _drop(self, _: HttpRequest) -> HttpResponse:
        return HttpResponse(200, _encode({"disconnected": self._disconnect()}))

    def _outage(self, request: HttpRequest) -> HttpResponse:
        """Answer nobody but the administrator for some seconds; 0 ends an outage."""
        for_ms = _milliseconds(request)
        if isinstance(for_ms, HttpResponse):
            return for_ms
        self._exchange.go_out(for_ms)
        cut = self._disconnect() if for_ms else 0
        return HttpResponse(200, _encode({"disconnected": cut}))

    def _shutdown_notice(self, request: HttpRequest) -> HttpResponse:
        """Announce a planned stop to every WebSocket, and close those some seconds later."""
        for_ms = _milliseconds(request)
        if isinstance(for_ms, HttpResponse):
            return for_ms
        return HttpResponse(200, _encode({"announced": self._announce_stop(for_ms)}))

    def _accounts(self, _: HttpRequest) -> HttpResponse:
        return HttpResponse(200, _encode({"accounts": list(self._exchange.venue.users)}))

    def _gap(self, request: HttpRequest) -> HttpResponse:
        try:
            symbol = msgspec.json.decode(request.body, type=dict[str, str]).get("symbol", "")
        except (msgspec.DecodeError, RecursionError):
            symbol = ""
        if symbol not in self._exchange.venue.rules:
            message = 'send {"symbol": ...} with one of ' + ", ".join(self._exchange.venue.rules)
            return HttpResponse(400, _encode({"error": message}))
        self._exchange.hub.lose_next_diff(symbol)
        return HttpResponse(200, _encode({"symbol": symbol}))

    def _faults(self, _: HttpRequest) -> HttpResponse:
        faults = self._exchange.faults
        return HttpResponse(200, _encode({"settings": faults.settings, "counts": faults.counts}))

    def _set_faults(self, request: HttpRequest) -> HttpResponse:
        """Replace all settings; {} ends the faults."""
        try:
            settings = msgspec.json.decode(request.body, type=FaultSettings)
        except (msgspec.DecodeError, RecursionError) as error:
            fields = ", ".join(FaultSettings.__struct_fields__)
            return HttpResponse(400, _encode({"error": f"{error}; there are {fields}"}))
        unknown = [s for s in settings.silent if s not in self._exchange.venue.rules]
        if unknown:
            message = f"silent: {unknown[0]!r} is none of {', '.join(self._exchange.venue.rules)}"
            return HttpResponse(400, _encode({"error": message}))
        self._exchange.faults.set(settings)
        self._exchange.set_clock(settings.clock_ms)
        return self._faults(request)

    def _ledger(self, request: HttpRequest) -> HttpResponse:
        """Return the books of the account that the query names, by default the first user's."""
        venue = self._exchange.venue
        name = parse_qs(request.query.decode("latin-1")).get("account", [USER])[0]
        if name not in venue.ledgers:
            message = f"account {name!r} is none of {', '.join(venue.ledgers)}"
            return HttpResponse(404, _encode({"error": message}))
        ledger = venue.ledgers[name]
        symbols = list(venue.rules)
        answer = {
            "account": ledger.account_id,
            "initial_balances": {a: text(v) for a, v in ledger.initial.items()},
            "balances": {
                a: {
                    "free": text(b.free),
                    "locked": text(b.locked),
                    "total": text(b.free + b.locked),
                }
                for a, b in venue.users[name].balances.items()
            },
            "fees": {a: text(v) for a, v in ledger.fees.items()},
            "orders": [render.order(r) for s in symbols for r in ledger.orders.get(s, {}).values()],
            "fills": [render.fill(f) for s in symbols for f in ledger.fills.get(s, [])],
            "transfers": [render.transfer(t) for t in ledger.transfers],
            "futures": self._futures.ledger(name),
            "last_prices": {s: text(m.last_price) for s, m in venue.engine.markets.items()},
        }
        return HttpResponse(200, _encode(answer))

    def _metrics(self, _: HttpRequest) -> HttpResponse:
        exchange = self._exchange
        lines: list[str] = []
        requests = {
            f'request="{name}",status="{status}"': float(count)
            for api in (exchange.rest, exchange.futures.rest)
            for (name, status), count in api.requests_total.items()
        }
        messages = {f'kind="{k}"': float(n) for k, n in exchange.hub.messages_total.items()}
        ledger, markets = exchange.venue.ledger, exchange.venue.engine.markets
        for name, kind, text_help, values in (
            ("requests_total", "counter", "REST requests answered", requests),
            ("stream_messages_total", "counter", "Market stream messages made", messages),
            ("user_events_total", "counter", "User data events made",
             {"": float(exchange.users.events_total)}),
            ("futures_user_events_total", "counter", "Futures user data events sent",
             {"": float(exchange.futures.hub.events_total)}),
            ("engine_requests_total", "counter", "Orders and cancels of everybody",
             {"": float(exchange.venue.events_total)}),
            ("trades_total", "counter", "Trades since the market began",
             {f'symbol="{s}"': float(m.trade_id) for s, m in markets.items()}),
            ("last_price", "gauge", "Last traded price in quote units",
             {f'symbol="{s}"': m.last_price / 1e8 for s, m in markets.items()}),
            ("user_fills_total", "counter", "Fills of the user account",
             {"": float(sum(len(f) for f in ledger.fills.values()))}),
            ("connections", "gauge", "Open connections", {"": float(exchange.connections)}),
            ("slow_clients_total", "counter", "Clients dropped because they did not read",
             {"": float(exchange.slow_clients_total)}),
        ):  # fmt: skip
            lines.append(f"# HELP tickbus_exchange_{name} {text_help}")
            lines.append(f"# TYPE tickbus_exchange_{name} {kind}")
            for labels, value in values.items():
                braces = f"{{{labels}}}" if labels else ""
                lines.append(f"tickbus_exchange_{name}{braces} {value!r}")
        body = ("\n".join(lines) + "\n").encode()
        return HttpResponse(200, body, (), b"text/plain; version=0.0.4; charset=utf-8")


def _by_hand(act: Callable[[bytes], object], request: HttpRequest) -> HttpResponse:
    try:
        return HttpResponse(200, _encode(act(request.body)))
    except (WrongHandError, ApiError) as error:
        return HttpResponse(400, _encode(refusal(error)))


def _milliseconds(request: HttpRequest) -> int | HttpResponse:
    """Return the body's seconds in milliseconds, or the complaint about it."""
    try:
        return int(msgspec.json.decode(request.body, type=_Seconds).seconds * 1_000)
    except (msgspec.DecodeError, RecursionError) as error:
        message = f'{error}; send {{"seconds": n}} with n from 0 to 86400'
        return HttpResponse(400, _encode({"error": message}))
