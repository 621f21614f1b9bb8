"""The Grafana dashboards, told in a few lines each and written as the JSON that Grafana reads.

python tools/dashboards.py [--check]: write observability/grafana/dashboards, or fail where it is
not what is told here.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[1] / "observability" / "grafana" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
COLUMNS = 24
HEIGHT = 8
SECONDS, PERCENT, COUNT, BYTES, RATE = "s", "percentunit", "short", "bytes", "ops"


class Panel(NamedTuple):
    """One picture: `queries` are (expression, legend); `stat` shows the newest number alone.

    `alarm` paints a number from this value on red.
    """

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = COUNT
    stat: bool = False
    width: int = 8
    alarm: float | None = None
    mappings: tuple[tuple[int, str], ...] = ()


class Row(NamedTuple):
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


class Dashboard(NamedTuple):
    """A page; `variable` is (name, label of which metric) for a choice at its top."""

    uid: str
    title: str
    rows: tuple[Row, ...]
    variable: tuple[str, str] | None = None


def one(title: str, expression: str, legend: str = "", **more: Any) -> Panel:
    """A panel with one query."""
    return Panel(title, ((expression, legend),), **more)


STATES = ((0, "active"), (1, "reducing"), (2, "HALTED"))
BY_SERVICE = "{{service}}"
BY_INSTANCE = "{{service}} {{instance}}"
RATES = 'sum by (type) (tickbus:events:rate1m{service=~"%s.*", outcome="published"})'

MISSING = 'count by (service) (max_over_time(up{job="tickbus"}[6h])) unless count by (service) (up{job="tickbus"})'
"""Services that were there within six hours and cannot be asked any more, as in the alert."""

OVERVIEW = Dashboard("tickbus-overview", "tickbus: overview", (
    Row("Is all well", (
        one("Services up", 'sum(up{job="tickbus"})', stat=True, width=4),
        one("Services down or missing", f'(count(up{{job="tickbus"}} == 0) or vector(0)) + (count({MISSING}) or vector(0))',
            stat=True, width=4, alarm=1),
        one("Not ready", "count(tickbus:ready == 0) or vector(0)", stat=True, width=4, alarm=1),
        one("Trading", 'max(tickbus_risk_trading_state{scope="global"})', stat=True, width=4, alarm=2,
            mappings=STATES),
        one("Alerts of the alerts service", "max(tickbus_alerts_active)", stat=True, width=4, alarm=1),
        one("Dead letters", "sum(tickbus:dead_letters)", stat=True, width=4, alarm=1),
    )),
    Row("Trading", (
        one("Equity", "tickbus_ledger_equity", "{{currency}}"),
        one("Net P&L", "tickbus_ledger_net_pnl", "{{currency}}"),
        Panel("Orders a second", (
            ("tickbus:orders_wished:rate5m", "wished"), ("sum(tickbus:orders_denied:rate5m)", "denied"),
            ("tickbus:orders_sent:rate5m", "sent"), ("sum(tickbus:orders_rejected:rate5m)", "rejected"),
        ), unit=RATE),
        one("From tick to order", 'tickbus:latency_seconds:p99{hop="tick_to_order"}', "p99 {{service}}", unit=SECONDS),
        one("Instruments by state", "sum by (state) (tickbus_feed_instruments)", "{{state}}"),
        one("Fills a minute", "sum(rate(tickbus_ledger_fills_total[5m])) * 60", "fills"),
    )),
    Row("Services", (
        one("CPU", "tickbus:cpu_fraction", BY_INSTANCE, unit=PERCENT),
        one("Memory", "tickbus:rss_bytes", BY_INSTANCE, unit=BYTES),
        one("Event loop lag", "tickbus:loop_lag_seconds", BY_INSTANCE, unit=SECONDS),
        one("Errors a second", "sum by (service, kind) (tickbus:errors:rate5m)", "{{service}} {{kind}}", unit=RATE, width=24),
    )),
))  # fmt: skip

MARKET = Dashboard("tickbus-market", "tickbus: market data", (
    Row("Feed", (
        one("Events a second", RATES % "feed", "{{type}}", unit=RATE, width=12),
        one("Instruments by state", "sum by (service, state) (tickbus_feed_instruments)", "{{service}} {{state}}", width=12),
        one("Oldest book", "tickbus_feed_book_age_seconds_max", BY_INSTANCE, unit=SECONDS, alarm=60),
        Panel("Trouble in five minutes", (
            ("increase(tickbus_feed_gaps[5m])", "gaps {{instance}}"),
            ("increase(tickbus_feed_resyncs[5m])", "resyncs {{instance}}"),
            ("increase(tickbus_feed_crossed[5m])", "crossed {{instance}}"),
            ("increase(tickbus_feed_checksum_failures[5m])", "checksums {{instance}}"),
        )),
        one("Connections ended in five minutes", 'tickbus:errors:increase5m{kind="disconnected"}', BY_INSTANCE),
        one("Request weight left", "tickbus:rest_weight_left:ratio", BY_INSTANCE, unit=PERCENT),
        one("Frames that wait", "tickbus_feed_frames_waiting", BY_INSTANCE),
        Panel("Clock and round trip", (
            ("tickbus_feed_clock_offset_ms", "offset {{instance}}"),
            ("tickbus_feed_clock_round_trip_ms", "round trip {{instance}}"),
        ), unit="ms"),
        one("Unreadable frames", "increase(tickbus_feed_frames_rejected_total[5m])", BY_INSTANCE),
        one("Recording: frames lost", "tickbus_feed_recording_lost", BY_INSTANCE),
        one("Recording failed", "tickbus_feed_recording_failed", BY_INSTANCE, stat=True, alarm=1),
    )),
    Row("Books", (
        Panel("Books", (
            ("sum by (venue) (tickbus_book_books)", "all {{venue}}"),
            ("sum by (venue) (tickbus_book_books_stale)", "stale {{venue}}"),
            ("sum by (venue) (tickbus_book_books_crossed)", "crossed {{venue}}"),
        )),
        one("Stale by name", "tickbus_book_book_stale", "{{venue}} {{instrument}}"),
        one("Oldest book that is believed", "max by (venue) (tickbus_book_book_age_seconds_max)", "{{venue}}", unit=SECONDS),
        one("Gaps on the bus in five minutes", "increase(tickbus_book_gaps_total[5m])", BY_INSTANCE),
        one("Views a second", RATES % "book", "{{type}}", unit=RATE),
        one("From feed to book", 'tickbus:latency_seconds:p99{hop="feed>book"}', "p99 {{service}}", unit=SECONDS),
    )),
))  # fmt: skip

ORDERS = Dashboard("tickbus-orders", "tickbus: orders and latency", (
    Row("Orders", (
        one("By state", "sum by (state) (tickbus_execution_orders)", "{{state}}"),
        one("Events a second", RATES % "execution", "{{type}}", unit=RATE),
        one("Denied, by reason", "tickbus:orders_denied:rate5m", "{{reason}}", unit=RATE),
        one("Rejected, by reason", "tickbus:orders_rejected:rate5m", "{{reason}}", unit=RATE),
        one("Ended otherwise, by reason",
            'sum by (type, reason) (rate(tickbus_execution_reasons_total{type!="OrderRejected"}[5m]))', "{{type}} {{reason}}", unit=RATE),
        one("Unknown for", "tickbus_execution_unknown_seconds_max", BY_INSTANCE, unit=SECONDS, alarm=30),
        one("Requests without an answer yet", "tickbus_execution_requests_pending", BY_INSTANCE),
        one("Venue wants silence for", "tickbus_execution_venue_silent_seconds", BY_INSTANCE, unit=SECONDS, alarm=1),
        Panel("Nothing is sent", (
            ("tickbus_execution_trading_halted", "at all {{instance}}"),
            ("tickbus_execution_symbols_disabled", "for instruments {{instance}}"),
        ), alarm=1),
    )),
    Row("Latency", (
        one("From tick to order", 'tickbus:latency_seconds:p50{hop="tick_to_order"}', "p50 {{service}}", unit=SECONDS),
        one("From tick to order, one in a hundred", 'tickbus:latency_seconds:p99{hop="tick_to_order"}', "p99 {{service}}", unit=SECONDS),
        one("The venue's answer", 'tickbus:latency_seconds:p99{hop="order_round_trip"}', "p99 {{service}}", unit=SECONDS),
        one("Each hop", 'tickbus:latency_seconds:p50{hop=~".+>.+"}', "p50 {{hop}}", unit=SECONDS, width=12),
        one("Each hop, one in a hundred", 'tickbus:latency_seconds:p99{hop=~".+>.+"}', "p99 {{hop}}", unit=SECONDS, width=12),
        one("Inside execution", 'tickbus:latency_seconds:p99{hop="approved_to_sent"}', "p99 {{service}}", unit=SECONDS),
        one("Orders over HTTP", 'tickbus:latency_seconds:p99{hop="post_order"}', "p99 {{service}}", unit=SECONDS),
        one("Requests to the gateway", 'tickbus:latency_seconds:p99{hop="request"}', "p99 {{service}}", unit=SECONDS),
    )),
    Row("Account and routing", (
        one("Last compared", "tickbus_execution_comparison_age_seconds", BY_INSTANCE, unit=SECONDS),
        one("Differences that nothing explains", "tickbus_execution_differences_standing", BY_INSTANCE, alarm=1),
        one("Request weight left", "tickbus_execution_rest_weight_left", BY_INSTANCE),
        one("Clock", "tickbus_execution_clock_offset_ms", BY_INSTANCE, unit="ms"),
        Panel("Holder of the lease", (
            ("tickbus_execution_lease_epoch", "account {{instance}}"),
            ("tickbus_strategy_lease_epoch", "strategies {{instance}}"),
        )),
        one("Armed to cancel", "tickbus_execution_countdown_symbols", BY_INSTANCE),
        one("Shortfall of the last routed order", "tickbus_router_shortfall_bps", BY_INSTANCE, unit="none"),
        one("Rounds of the last routed order", "tickbus_router_rounds", BY_INSTANCE),
    )),
))  # fmt: skip

RISK = Dashboard("tickbus-risk", "tickbus: risk and P&L", (
    Row("Risk", (
        one("Trading", "tickbus_risk_trading_state", "{{scope}}", stat=True, alarm=2, mappings=STATES),
        one("Working orders", "tickbus_risk_working_orders", BY_INSTANCE),
        Panel("Strategies by phase", (
            ("sum by (phase) (tickbus_strategy_strategies)", "{{phase}}"),
            ("sum(tickbus_strategy_standing_by)", "processes that stand by"),
        )),
        one("Loss limits used", 'tickbus:limit_used:ratio{limit=~"drawdown_max|daily_loss_max"}', "{{scope}} {{limit}}", unit=PERCENT, width=12),
        one("Other limits used", 'tickbus:limit_used:ratio{limit!~"drawdown_max|daily_loss_max|market_data_age_ms_max|profit_target"}',
            "{{scope}} {{limit}}", unit=PERCENT, width=12),
        one("Denied, by reason", "tickbus:orders_denied:rate5m", "{{reason}}", unit=RATE, width=12),
        one("Working orders by strategy", "tickbus_strategy_working_orders", "{{strategy}}", width=12),
    )),
    Row("Money", (
        one("Equity", "tickbus_ledger_equity", "{{currency}}"),
        Panel("P&L", (
            ("tickbus_ledger_net_pnl", "net"), ("tickbus_ledger_realized_pnl", "realised"),
            ("tickbus_ledger_unrealized_pnl", "unrealised"),
        )),
        Panel("Fees and funding", (("tickbus_ledger_fees", "fees paid"), ("tickbus_ledger_funding", "funding received"))),
        Panel("Drawdown", (("tickbus_ledger_drawdown", "now"), ("tickbus_ledger_drawdown_max", "most"))),
        one("Net P&L by strategy", "tickbus_ledger_strategy_net_pnl", "{{strategy}}"),
        one("Drawdown by strategy", "tickbus_ledger_strategy_drawdown", "{{strategy}}"),
        one("Positions", "tickbus_ledger_position_quantity", "{{venue}} {{instrument}}"),
        one("Value of positions", "tickbus_ledger_position_value", "{{venue}} {{instrument}}"),
        one("Net P&L by position", "tickbus_ledger_position_net_pnl", "{{venue}} {{instrument}}"),
        one("Fills a minute by strategy", "rate(tickbus_ledger_strategy_fills_total[5m]) * 60", "{{strategy}}"),
        one("Balances that differ", "tickbus_ledger_balance_difference", "{{venue}} {{asset}}"),
        one("Assets without a price", "tickbus_ledger_unvalued_assets", stat=True, alarm=1),
    )),
))  # fmt: skip

BUS = Dashboard("tickbus-bus", "tickbus: bus and database", (
    Row("Bus", (
        one("Connected", "tickbus:bus_connected", BY_INSTANCE),
        one("Connected anew in ten minutes", "tickbus:bus_reconnects:increase10m", BY_INSTANCE),
        one("Not stored at once, in five minutes", "tickbus:store_retries:increase5m", BY_INSTANCE, alarm=1),
        one("Behind the stream ORDERS", 'tickbus:consumer_lag_messages{stream="ORDERS"}', BY_INSTANCE),
        one("Messages that wait", "tickbus:queue_messages", BY_INSTANCE),
        one("Longest queue", "tickbus:queue_messages_max", BY_INSTANCE),
        one("Events handled a second", 'sum by (service) (tickbus:events:rate1m{outcome="handled"})', BY_SERVICE, unit=RATE),
        Panel("Size of the stream ORDERS", (("tickbus:stream_bytes", "ORDERS"), ("tickbus:stream_bytes_max", "its limit")), unit=BYTES),
        one("Dead letters", "tickbus:dead_letters", BY_INSTANCE, alarm=1),
        one("Lost or malformed, in five minutes",
            'tickbus:errors:increase5m{kind=~"messages_lost_by_being_slow|market_data_dropped|malformed|malformed_not_kept"}',
            "{{service}} {{kind}}"),
        one("Snapshots: seconds", '{__name__=~"tickbus_[a-z]+_snapshot_seconds"}', BY_SERVICE, unit=SECONDS),
        one("Snapshots: size", '{__name__=~"tickbus_[a-z]+_snapshot_bytes"}', BY_SERVICE, unit=BYTES),
    )),
    Row("Database", (
        one("Books behind the stream", "tickbus:stream_behind_messages", "messages"),
        one("Events not yet written", "tickbus_ledger_events_pending", BY_INSTANCE),
        one("A batch into Postgres", 'tickbus:latency_seconds:p99{hop="write"}', "p99 {{service}}", unit=SECONDS),
        one("Postgres away, in five minutes", 'tickbus:errors:increase5m{kind="postgres_away"}', BY_INSTANCE, alarm=1),
        one("Bars not yet written", "tickbus_history_bars_waiting", BY_INSTANCE),
        one("Bars lost, in five minutes", 'tickbus:errors:increase5m{kind="bars_lost"}', BY_INSTANCE, alarm=1),
    )),
))  # fmt: skip

SERVICE = Dashboard("tickbus-service", "tickbus: per service", (
    Row("$service", (
        one("Ready", 'tickbus:ready{service="$service"}', "{{instance}}", stat=True),
        one("Began", 'process_start_time_seconds{service="$service"} * 1000', "{{instance}}", stat=True, unit="dateTimeFromNow"),
        one("Open files", 'process_open_fds{service="$service"}', "{{instance}}", stat=True),
        one("CPU", 'rate(process_cpu_seconds_total{service="$service"}[1m])', "{{instance}}", unit=PERCENT),
        one("Memory", 'process_resident_memory_bytes{service="$service"}', "{{instance}}", unit=BYTES),
        one("Event loop lag", 'tickbus:loop_lag_seconds{service="$service"}', "{{instance}}", unit=SECONDS),
        Panel("Garbage collector", (
            ('tickbus:gc_pause_seconds:rate5m{service="$service"}', "part of the time {{instance}}"),
        ), unit=PERCENT),
        one("Garbage collections a second", 'sum by (instance, generation) (rate(python_gc_collections_total{service="$service"}[5m]))',
            "{{instance}} {{generation}}", unit=RATE),
        one("Messages that wait", 'tickbus:queue_messages{service="$service"}', "{{instance}}"),
        one("Events a second", 'tickbus:events:rate1m{service="$service"}', "{{type}} {{outcome}}", unit=RATE, width=12),
        one("Hops, one in a hundred", 'tickbus:latency_seconds:p99{service="$service"}', "{{hop}}", unit=SECONDS, width=12),
        one("Errors a second", 'tickbus:errors:rate5m{service="$service"}', "{{kind}} {{instance}}", unit=RATE, width=12),
        one("Behind streams", 'tickbus:consumer_lag_messages{service="$service"}', "{{stream}} {{instance}}", width=12),
    )),
    Row("The gateway", (
        one("Requests a second", "sum by (method, status) (rate(tickbus_api_requests_total[1m]))", "{{method}} {{status}}", unit=RATE),
        Panel("Listeners", (
            ("tickbus_api_stream_clients", "all {{instance}}"), ("tickbus_api_stream_clients_behind", "behind {{instance}}"),
        )),
        one("Topics that are heard", "tickbus_api_stream_topics", "{{instance}}"),
    )),
    Row("Alerts, kill switch, the simulated exchange", (
        Panel("Alerts", (("tickbus_alerts_active", "active"), ("tickbus_alerts_active_critical", "critical"),
                         ("tickbus_alerts_notices_waiting", "not sent yet"), ("tickbus_alerts_channels_failing", "channels failing"))),
        Panel("Kill switch", (("tickbus_killswitch_accounts", "accounts"), ("tickbus_killswitch_accounts_out_of_reach", "accounts out of reach"),
                              ("tickbus_killswitch_halts_owed", "halts owed"),
                              ("tickbus_killswitch_last_exit_code", "last exit code"))),
        Panel("Simulated exchange", (("sum(rate(tickbus_exchange_engine_requests_total[1m]))", "orders and cancels a second"),
                                     ("sum(rate(tickbus_exchange_trades_total[1m]))", "trades a second"),
                                     ("tickbus_exchange_connections", "connections"))),
    )),
), variable=("service", 'up{job="tickbus"}'))  # fmt: skip

ALL = (OVERVIEW, MARKET, ORDERS, RISK, BUS, SERVICE)


def expressions(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    """(panel, expression) of all that a dashboard asks."""
    for row in dashboard.rows:
        for panel in row.panels:
            for expression, _ in panel.queries:
                yield panel.title, expression


def as_json(dashboard: Dashboard) -> str:
    """What Grafana reads."""
    body = {
        "uid": dashboard.uid, "title": dashboard.title, "tags": ["tickbus"], "timezone": "browser",
        "schemaVersion": 39, "version": 1, "editable": False, "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"}, "graphTooltip": 1,
        "links": [{"title": "tickbus", "type": "dashboards", "tags": ["tickbus"], "asDropdown": True, "keepTime": True}],
        "annotations": {"list": [{
            "name": "alerts", "enable": True, "datasource": SOURCE, "iconColor": "red",
            "expr": 'ALERTS{alertstate="firing", severity="critical"}', "titleFormat": "{{alertname}} {{service}}",
        }]},
        "templating": {"list": [_variable(*dashboard.variable)] if dashboard.variable else []},
        "panels": list(_panels(dashboard)),
    }  # fmt: skip
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def _variable(name: str, metric: str) -> dict[str, Any]:
    query = f"label_values({metric}, {name})"
    return {
        "name": name, "label": name, "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1,
        "query": {"query": query, "refId": "services"}, "definition": query,
    }  # fmt: skip


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in dashboard.rows:
        number += 1
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "gridPos": place, "panels": []}
        left, top = 0, top + 1
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top = 0, top + HEIGHT
            number += 1
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": HEIGHT})
            left += panel.width
        top += HEIGHT


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.alarm is not None:
        steps.append({"color": "red", "value": panel.alarm})
    names = {str(value): {"text": text, "index": value} for value, text in panel.mappings}
    defaults: dict[str, Any] = {
        "unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [{"type": "value", "options": names}] if names else [],
    }  # fmt: skip
    if not panel.stat:
        shown = "line" if panel.alarm is not None else "off"
        defaults["custom"] = {"fillOpacity": 8, "thresholdsStyle": {"mode": shown}}
    return {
        "id": number, "type": "stat" if panel.stat else "timeseries", "title": panel.title,
        "datasource": SOURCE, "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"colorMode": "value", "reduceOptions": {"calcs": ["lastNotNull"]}} if panel.stat
        else {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expression,
             "legendFormat": legend or "__auto"}
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Write or check the files; the exit code."""
    wanted = {FOLDER / f"{each.uid}.json": as_json(each) for each in ALL}
    if "--check" not in arguments:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for path in set(FOLDER.glob("*.json")) - wanted.keys():
            path.unlink()
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")
        return 0
    found = {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    if found != wanted:
        print(f"{FOLDER} is not what tools/dashboards.py tells: run python tools/dashboards.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
