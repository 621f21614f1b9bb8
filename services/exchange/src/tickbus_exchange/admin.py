"""What only a simulation has: the ledger in full, faults on demand, health and metrics."""

from collections.abc import Callable

import msgspec

from tickbus_exchange.app import Exchange
from tickbus_exchange.engine.numbers import text
from tickbus_exchange.protocol import render
from tickbus_exchange.protocol.faults import FaultSettings
from tickbus_exchange.protocol.rest import HttpRequest, HttpResponse

_encode = msgspec.json.Encoder().encode


class Admin:
    """Answers `/admin/*`, `/healthz`, `/readyz` and `/metrics`. None of it needs a key."""

    def __init__(self, exchange: Exchange, disconnect: Callable[[], int]) -> None:
        self._exchange = exchange
        self._disconnect = disconnect
        self._routes: dict[tuple[str, str], Callable[[HttpRequest], HttpResponse]] = {
            ("GET", "/healthz"): self._health,
            ("GET", "/readyz"): self._health,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/admin/ledger"): self._ledger,
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

    def _ledger(self, _: HttpRequest) -> HttpResponse:
        venue = self._exchange.venue
        ledger = venue.ledger
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
                for a, b in venue.user.balances.items()
            },
            "fees": {a: text(v) for a, v in ledger.fees.items()},
            "orders": [render.order(r) for s in symbols for r in ledger.orders.get(s, {}).values()],
            "fills": [render.fill(f) for s in symbols for f in ledger.fills.get(s, [])],
            "last_prices": {s: text(m.last_price) for s, m in venue.engine.markets.items()},
        }
        return HttpResponse(200, _encode(answer))

    def _metrics(self, _: HttpRequest) -> HttpResponse:
        exchange = self._exchange
        lines: list[str] = []
        requests = {
            f'request="{name}",status="{status}"': float(count)
            for (name, status), count in exchange.rest.requests_total.items()
        }
        messages = {f'kind="{k}"': float(n) for k, n in exchange.hub.messages_total.items()}
        ledger, markets = exchange.venue.ledger, exchange.venue.engine.markets
        for name, kind, text_help, values in (
            ("requests_total", "counter", "REST requests answered", requests),
            ("stream_messages_total", "counter", "Market stream messages made", messages),
            ("user_events_total", "counter", "User data events made",
             {"": float(exchange.users.events_total)}),
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
