"""Which source a topic has, and whom the gateway asks for it while somebody hears it."""

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tickbus.events import LogLevel
from tickbus.ledger_api import FillsQuery
from tickbus.order import WORKING
from tickbus_api import alerts
from tickbus_api.asking import ids_of_all, report_of
from tickbus_api.books import PortfolioView
from tickbus_api.candles import candles_of, interval_s, written
from tickbus_api.gateway import Gateway, OrderFilter
from tickbus_api.logs import at_least
from tickbus_api.reading import status
from tickbus_api.strategies import strategies
from tickbus_api.streaming import market, topics
from tickbus_api.streaming.account import (
    CANDLES_SHOWN,
    SHOWN,
    AlertsSource,
    Candles,
    OrdersSource,
    RiskSource,
    Told,
    decisions,
    fills,
    logs,
)
from tickbus_api.streaming.core import Source
from tickbus_api.streaming.topics import Topic
from tickbus_api.views import NS_PER_S

ORDERS_PAGE = 1_000
ORDERS_PAGES_MAX = 20
CANDLES_RECENT = 5
ALERTS_RECENT = 50
"""Alerts that are over, of which those that ended since the last answer are told."""

_log = logging.getLogger("tickbus.api.streaming")


class Asking(NamedTuple):
    """What to ask for a source: again every `every_s`, 0 for once."""

    ask: Callable[[], Awaitable[None]]
    every_s: float = 0.0


def open_source(gateway: Gateway, topic: Topic) -> tuple[Source, Asking | None]:
    """The source of `topic`, and what must be asked for it."""
    core, key = gateway.core, (topic.venue, topic.instrument_id)
    stale_after_ns = int(gateway.config.stale_after_s * NS_PER_S)
    match topic.name:
        case "prices":
            return market.Prices(core, stale_after_ns), None
        case "depth":
            return market.Depth(core, key, stale_after_ns), None
        case "trades":
            return market.Trades(core, key), None
        case "consolidated":
            return market.Consolidated(core, topic.instrument_id), None
        case "risk":
            return RiskSource(core), None
        case "orders":
            return _orders(gateway)
        case "fills":
            return _fills(gateway)
        case "logs":
            return logs(core, topic.level or LogLevel.INFO), None
        case "decisions":
            return _decisions(gateway)
        case "candles":
            return _candles(gateway, topic)
        case "alerts":
            return _alerts(gateway)
        case _:
            return _told(gateway, topic.name)


def _orders(gateway: Gateway) -> tuple[Source, Asking]:
    source = OrdersSource(gateway.core)

    async def ask() -> None:
        wanted = OrderFilter(states=tuple(WORKING))
        found, cursor = await gateway.orders(wanted, ORDERS_PAGE, "")
        for _ in range(1, ORDERS_PAGES_MAX):
            if not cursor:
                break
            page, cursor = await gateway.orders(wanted, ORDERS_PAGE, cursor)
            found += page
        if cursor:
            _log.warning("more than %d orders work: the topic orders begins with the newest of"
                         " them; GET /api/v1/orders lists all", len(found))  # fmt: skip
        source.learn(found)

    return source, Asking(ask)


def _fills(gateway: Gateway) -> tuple[Source, Asking]:
    source = fills(gateway.core)

    async def ask() -> None:
        answer = await gateway.fills(FillsQuery(limit=SHOWN))
        source.learn(reversed(answer.fills))

    return source, Asking(ask)


def _decisions(gateway: Gateway) -> tuple[Source, Asking]:
    source = decisions(gateway.core)

    async def ask() -> None:
        found = [await report_of(gateway, name) for name in await ids_of_all(gateway)]
        earlier = [each for one in found if one is not None for each in one.decisions]
        source.learn(sorted(earlier, key=lambda decision: decision.ts_recv)[-SHOWN:])

    return source, Asking(ask)


def _candles(gateway: Gateway, topic: Topic) -> tuple[Source, Asking]:
    source = Candles()

    async def ask() -> None:
        # Behind the first time only those that may still change.
        limit = CANDLES_RECENT if source.is_ready else CANDLES_SHOWN
        source.learn(
            await candles_of(gateway, topic.instrument_id, topic.interval, limit, topic.venue)
        )

    return source, Asking(ask, 1.0)


def _alerts(gateway: Gateway) -> tuple[Source, Asking]:
    source = AlertsSource()

    async def ask() -> None:
        source.learn(await alerts.asked(gateway, ALERTS_RECENT))

    return source, Asking(ask, 1.0)


def _told(gateway: Gateway, name: str) -> tuple[Source, Asking]:
    source = Told()

    async def portfolio() -> None:
        view = PortfolioView.of(await gateway.portfolio(), gateway.core.symbol)
        source.tell(view.model_dump_json())

    async def all_strategies() -> None:
        source.tell((await strategies(gateway)).model_dump_json())

    async def services() -> None:
        source.tell((await status(gateway)).model_dump_json())

    asked = {
        "portfolio": Asking(portfolio, 0.5),
        "strategies": Asking(all_strategies, 1.0),
        "status": Asking(services, 1.0),
    }
    return source, asked[name]


def require_known(gateway: Gateway, text: str) -> Topic:
    """The topic that `text` names, of an instrument that there is. Raises Problem."""
    topic = topics.parse(text)
    if topic.level:
        at_least(topic.level)
    if topic.interval and topic.interval != (said := written(interval_s(topic.interval))):
        raise topics.refused(
            text, f"{topic.interval} is written {said}",
            f"subscribe to {str(topic._replace(interval=said))!r}",
        )  # fmt: skip
    if not topic.instrument_id:
        return topic
    known = gateway.core.instruments
    here = [key for key in known if topic.venue in ("", key[0])]
    if any(key[1] == topic.instrument_id for key in here):
        return topic
    configured = topic.venue in ("", *gateway.venues)
    if configured and not here and topic.instrument_id in gateway.configured.instruments:
        return topic  # its feed has not said anything yet
    # A symbol is understood elsewhere; a topic has one name only, as its frames carry it.
    found = gateway.instrument(topic.instrument_id, topic.venue)
    right = topic._replace(instrument_id=found.instrument_id)
    raise topics.refused(
        text, f"{topic.instrument_id} is no instrument's name", f"subscribe to {str(right)!r}"
    )
