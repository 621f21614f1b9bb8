"""What members of requests and answers look like, by their names: the examples in OpenAPI."""

from typing import Any

_AT = "2026-11-21T18:30:00.123456Z"
_ORDER = "manual-1k2j3h-7"
NAMED: dict[str, Any] = {
    **dict.fromkeys(
        ("at", "since", "until", "start", "end", "created_at", "updated_at", "received_at",
         "opened_at", "heard_at", "sent_at", "looked_at", "found_at", "failed_at", "changed_at",
         "expires_at", "complete_since", "last_used_at", "started_at"),
        _AT,
    ),
    **dict.fromkeys(
        ("price", "mark", "mid", "open", "high", "low", "close", "vwap", "last_price", "bid",
         "avg_entry_price", "avg_fill_price", "micro_price"),
        "60000.10",
    ),
    **dict.fromkeys(
        ("quantity", "size", "filled_quantity", "bid_size", "ask_size", "last_size", "position",
         "position_after", "volume", "buys", "free", "total", "balance", "reported", "opening"),
        "0.25",
    ),
    **dict.fromkeys(
        ("leaves_quantity", "locked", "difference", "unvalued_fees", "flow_imbalance"), "0"
    ),
    **dict.fromkeys(
        ("notional", "value", "gross_exposure", "net_exposure"), "15000.025"
    ),
    **dict.fromkeys(("equity", "equity_peak"), "100125.50"),
    **dict.fromkeys(("net_pnl", "realized_pnl", "unrealized_pnl"), "125.50"),
    **dict.fromkeys(("fee", "fees", "fee_value", "funding"), "6.00"),
    **dict.fromkeys(("drawdown", "drawdown_max", "daily_loss"), "12.25"),
    **dict.fromkeys(("id", "order_id", "client_order_id"), _ORDER),
    **dict.fromkeys(("strategy", "strategy_id"), "momentum"),
    **dict.fromkeys(("reason", "why"), "a drill"),
    **dict.fromkeys(("actor", "user"), "ann"),
    "aggressor": "BUY",
    "adapter": "binance",
    "age_ms": 40,
    "amount": "-0.25",
    "ask": "60000.20",
    "asset": "BTC",
    "audit_head": "81234:9f86d081884c7d65",
    "base": "BTC",
    "base_id": "BTC",
    "cause": "FILL",
    "code": "NOTIONAL_ABOVE_MAX",
    "configured": "10000",
    "currency": "USDT",
    "cursor": "81234",
    "detail": "limit=10000 value=15000.025 scope=global",
    "event": "OrderFilled",
    "fee_asset": "USDT",
    "feed_state": "LIVE",
    "field": "quantity",
    "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "imbalance": 0.12,
    "instance": "0",
    "instrument_id": "BTC-USDT",
    "interval": "1m",
    "interval_s": 60,
    "kind": "momentum",
    "latency_us": 350.0,
    "limit": "100",
    "liquidity": "TAKER",
    "lot_size": "0.00001",
    "maker_fee": "0.001",
    "market_age_ms": 40,
    "market_data_age_ms": 40,
    "meaning": "Worth more than one order may be.",
    "name": "order_notional_max",
    "next_cursor": "81234",
    "notional_min": "5",
    "of": "feed",
    "phase": "RUNNING",
    "points": 500,
    "quote": "USDT",
    "range": "today",
    "reference": "f-1001",
    "remedy": "Split the order, or raise `order_notional_max`.",
    "return_bps": 4.2,
    "revision": 3,
    "round_trip_ms": 1.8,
    "scope": "global",
    "sequence": 81234,
    "service": "feed",
    "side": "BUY",
    "spread": 0.1,
    "spread_bps": 0.02,
    "state": "ACTIVE",
    "step_s": 60.0,
    "symbol": "BTCUSDT",
    "taker_fee": "0.001",
    "tick_size": "0.01",
    "time_in_force": "GTC",
    "timezone": "Europe/Zurich",
    "title": "Notional above max",
    "topic": "prices",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "type": "LIMIT",
    "tz": "Europe/Zurich",
    "unit": "USDT",
    "uptime_s": 3600.5,
    "used": "15000.025",
    "used_part": "0.75",
    "venue": "sim",
    "venue_order_id": "90412",
    "version": "0.1.0",
    "volatility": 0.0021,
    "where": "sim.BTC-USDT",
    "window": "1h",
    "window_s": 3600,
}  # fmt: skip
"""An example by the name of a member; numbers are cast to what the member is."""
OF_VIEW: dict[str, dict[str, Any]] = {
    "OrderView": {
        "state": "OPEN", "reason": "", "detail": "", "trigger_price": None, "expires_at": None,
        "post_only": False, "reduce_only": False, "filled_quantity": "0", "avg_fill_price": None,
        "leaves_quantity": "0.25", "inputs": {"z_score": "2.1"}, "fees": {},
    },
    "StepView": {"body": {"quantity": "0.25"}},
    "FeedView": {"state": "LIVE", "reason": ""},
    "HealthView": {"status": "ready"},
    "CheckView": {"detail": ""},
    "PreviewView": {"passes": False, "reason": "NOTIONAL_ABOVE_MAX"},
    "DenialView": {"reason": "NOTIONAL_ABOVE_MAX", "what": "ORDER", "wish": {"quantity": "0.25"}},
    "RefusedView": {"id": "momentum", "code": "STRATEGY_REFUSED", "detail": "no such kind"},
    "ConnectionView": {"waiting_for": "", "gauges": {"gaps": 0.0, "resyncs": 1.0}},
    "ServiceView": {"waiting_for": ""},
}  # fmt: skip
"""The same for members that mean something else in one view, by its name."""
PARAMETERS: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "venue": "sim",
    "strategy": "momentum",
    "order_id": _ORDER,
    "strategy_id": "momentum",
    "limit": 100,
    "levels": 20,
    "interval": "1m",
    "window": "1h",
    "tz": "Europe/Zurich",
    "since": "2026-11-21T00:00:00Z",
    "until": "2026-11-22T00:00:00Z",
    "asset": "BTC",
    "reason": "NOTIONAL_ABOVE_MAX",
    "event": "OrderFilled",
    "scope": "global",
    "topic": ["prices"],
    "user": "ann",
    "key_id": "4fj2k8d09s7f6a51",
    "channel": "slack",
    "name": "ledger-81234",
    "idempotency-key": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
}
"""Examples of parameters; those without one show their default."""
DEPTH_MAX = 8


def sample(
    schema: dict[str, Any], components: dict[str, Any], name: str = "", depth: int = 0
) -> Any:
    """An example of `schema`, a member of the name `name`; references lead into `components`."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    for key in ("example", "const", "default"):
        if schema.get(key) is not None:
            return schema[key]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            chosen = next((s for s in schema[key] if s.get("type") != "null"), schema[key][0])
            return sample(chosen, components, name, depth)
    kind = schema.get("type")
    if depth > DEPTH_MAX:
        return {"array": [], "object": {}}.get(str(kind))
    if kind == "object" or "properties" in schema:
        return _object(schema, components, name, depth)
    if kind == "array":
        items = schema.get("prefixItems")
        if items:
            return [sample(each, components, name, depth + 1) for each in items]
        return [sample(schema.get("items", {}), components, name.removesuffix("s"), depth + 1)]
    return _plain(kind, name)


def _object(schema: dict[str, Any], components: dict[str, Any], name: str, depth: int) -> Any:
    members = schema.get("properties", {})
    if members:
        own = OF_VIEW.get(schema.get("title", ""), {})
        return {
            key: own[key] if key in own else sample(each, components, key, depth + 1)
            for key, each in members.items()
        }
    further = schema.get("additionalProperties")
    if isinstance(further, dict):
        return {"USDT": sample(further, components, name, depth + 1)}
    return {}


def _plain(kind: object, name: str) -> Any:
    found = NAMED.get(name)
    try:
        match kind:
            case "integer":
                return int(found) if found is not None else 1
            case "number":
                return float(found) if found is not None else 1.5
            case "boolean":
                return True
            case "string":
                return str(found) if found is not None else name or "text"
    except ValueError:
        return 1
    return found if found is not None else {}
