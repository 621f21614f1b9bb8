"""The declaration of the strategy service."""

import logging
from functools import partial

from tickbus import subjects
from tickbus.codec import Hop
from tickbus.config import Settings
from tickbus.events import Event, FeeSchedule, SubmitOrder
from tickbus.runtime import Context, ServiceSpec
from tickbus_strategy.config import entries, seats
from tickbus_strategy.core import StrategyCore, StrategyFailed
from tickbus_strategy.desk import Desk, Market, Terms
from tickbus_strategy.heartbeat import HeartbeatEdge

log = logging.getLogger("tickbus.strategy")


class FailureReport:
    """Says it aloud when a strategy was stopped because it raised."""

    def __init__(self, core: StrategyCore) -> None:
        self._core = core
        self._context: Context | None = None

    async def start(self, context: Context) -> None:
        """Remember where to count."""
        self._context = context
        context.telemetry.gauge("strategies_failed", 0)

    async def stop(self) -> None:
        """Nothing to close."""

    async def report(self, failure: StrategyFailed, _: tuple[Hop, ...]) -> None:
        """Log and count one failure."""
        fields = {"strategy_id": failure.strategy_id, "error": failure.error}
        log.error("strategy stopped, its orders are being cancelled", extra={"fields": fields})
        if self._context is not None:
            self._context.telemetry.error("strategy_failed")
            self._context.telemetry.gauge("strategies_failed", len(self._core.failed))


def rehearse(fees: FeeSchedule, order: SubmitOrder) -> Event:
    """Wish for an order at a desk that nobody sits at."""
    desk = Desk(order.strategy_id, "0", fees)
    market = Market(order.venue, order.instrument_id)
    terms = Terms(time_in_force=order.time_in_force)
    desk.submit(market, order.side, order.quantity, order.price, terms)
    return desk.take()[0]


def build(settings: Settings) -> ServiceSpec:
    """Every enabled strategy, or the one named by TICKBUS_STRATEGY_ID."""
    chosen = entries(settings)
    core = StrategyCore(seats(settings, chosen))
    report = FailureReport(core)
    venue = settings.venue.name
    wanted = sorted({(e.venue or venue, name) for e in chosen for name in e.instruments})
    only = settings.environment.get("TICKBUS_STRATEGY_ID", "")
    return ServiceSpec(
        name="strategy",
        core=core,
        twin=lambda: StrategyCore(seats(settings, chosen)),
        rehearse=partial(rehearse, settings.venue.fees),
        subscribe=(
            *(subjects.market("trade", v, i) for v, i in wanted),
            *(subjects.market("quote", v, i) for v, i in wanted),
            *(subjects.market("status", v, i) for v, i in wanted),
            *(subjects.book("top", v, i) for v, i in wanted),
        ),
        consume=tuple(
            subject
            for entry in chosen
            for subject in (subjects.denied(entry.id), subjects.order_events("*", entry.id))
        ),
        recall=tuple(f"orders.intent.{entry.id}" for entry in chosen),
        watch=("instruments",),
        sinks={StrategyFailed: report.report},
        edges=(report, HeartbeatEdge(core, [entry.id for entry in chosen])),
        durable=f"strategy_{only}" if only else "strategy",
    )
