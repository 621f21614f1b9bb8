"""The declaration of the strategy service."""

import logging
from functools import partial

from tickbus import codec, subjects
from tickbus.bus import BusError
from tickbus.codec import Hop
from tickbus.config import Settings
from tickbus.events import Event, FeeSchedule, StrategyDecision, SubmitOrder
from tickbus.runtime import Context, ServiceSpec
from tickbus_strategy.config import all_entries, seats
from tickbus_strategy.control import Control
from tickbus_strategy.core import StrategyCore, StrategyFailed
from tickbus_strategy.desk import Desk, Market, Terms
from tickbus_strategy.heartbeat import HeartbeatEdge
from tickbus_strategy.hosting import ChangeNoted, Hearing
from tickbus_strategy.lifecycle import Lifecycle
from tickbus_strategy.making import Kinds, Maker, terms_of
from tickbus_strategy.measures import measure
from tickbus_strategy.refusing import NotOrdered, NotOrderedReason
from tickbus_strategy.state import StateKeeper

ALL_STOPS = subjects.RISK_AUDIT_ALL
SAID_EVERY_NS = 60_000_000_000
"""Of a strategy, a market and a reason, one order that was not made is logged in so long."""
SAID_MAX = 1_000
"""Of these, so many are told apart; past that the log is silent, the metric is not."""
_NEWS = (NotOrderedReason.TOO_SMALL, NotOrderedReason.MUST_WAIT)
"""What only the strategy's author can change; the other reasons are said elsewhere already."""

log = logging.getLogger("tickbus.strategy")


class Reports:
    """Says aloud what strategies decided, and that one was stopped because it raised."""

    def __init__(self, core: StrategyCore) -> None:
        self._core = core
        self._context: Context | None = None
        self._said: dict[tuple[str, str, str, str], int] = {}

    async def start(self, context: Context) -> None:
        """Remember where to count."""
        self._context = context
        context.telemetry.gauge("strategies_failed", 0)

    async def stop(self) -> None:
        """Nothing to close."""

    async def decided(self, decision: StrategyDecision, hops: tuple[Hop, ...]) -> None:
        """Log one decision, for who wants it that exactly, and tell it on the bus."""
        if log.isEnabledFor(logging.DEBUG):
            names = {"strategy_id": decision.strategy_id, "instrument_id": decision.instrument_id}
            log.debug("decision", extra={"fields": names | decision.inputs})
        if self._context is None:
            return
        try:
            payload = codec.encode([decision], hops)
            await self._context.bus.publish(subjects.of(decision), payload)
        except BusError:  # told at most once, like all that is fleeting; who asks is told it again
            self._context.telemetry.error("decision_not_told")

    async def refused(self, missing: NotOrdered, _: tuple[Hop, ...]) -> None:
        """Count an order that was asked for and not made, and log the first of its sort."""
        if self._context is not None:
            self._context.telemetry.reason("NotOrdered", missing.reason)
        sort = (missing.strategy_id, missing.venue, missing.instrument_id, missing.reason)
        said = self._said.get(sort)
        if said is not None and missing.ts_recv - said < SAID_EVERY_NS:
            return
        if said is None and len(self._said) >= SAID_MAX:
            return
        self._said[sort] = missing.ts_recv
        told = log.warning if missing.reason in _NEWS else log.info
        told(
            "%s: no order to %s %s %s at %s: %s, %s", missing.strategy_id, missing.side.lower(),
            missing.quantity, missing.instrument_id, missing.venue, missing.reason, missing.detail,
        )  # fmt: skip

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
    """Every strategy, or the one named by TICKBUS_STRATEGY_ID; see `Lifecycle`.

    Raises ConfigError for a strategy of the files that cannot be made.
    """
    chosen = all_entries(settings)
    seats(settings, [entry for entry in chosen if entry.enabled])
    only = settings.environment.get("TICKBUS_STRATEGY_ID", "")
    others = settings.environment.get("TICKBUS_STRATEGY_EXCEPT", "").split(",")
    kinds = Kinds(settings.folders)
    maker = Maker(settings, kinds, lambda name: name == only if only else name not in others)
    files = {e.id: terms_of(e) for e in chosen if e.id not in others}
    durable = f"strategy_{only}" if only else "strategy"
    core = StrategyCore(make_desk=maker.desk)
    keeper = StateKeeper(core, durable, maker, [(n, maker.places(t)) for n, t in files.items()])
    lifecycle = Lifecycle(core, files, maker, keeper.give, keeper.retire)
    report, control = Reports(core), Control(lifecycle, kinds, keeper.forget)
    name = only or "*"
    stops = (subjects.risk_records(), subjects.risk_records(only)) if only else (ALL_STOPS,)
    return ServiceSpec(
        name="strategy",
        core=lifecycle,
        twin=lambda: Lifecycle(StrategyCore(make_desk=maker.desk), files, maker),
        rehearse=partial(rehearse, settings.venue.fees),
        consume=(subjects.denied(name), subjects.order_events("*", name), *stops),
        recall=(f"orders.intent.{name}", subjects.strategy_audit(name)),
        watch=("instruments", "strategies"),
        sinks={
            StrategyFailed: report.report,
            StrategyDecision: report.decided,
            NotOrdered: report.refused,
            Hearing: control.hear,
            ChangeNoted: control.noted,
        },
        responders={
            subjects.STRATEGIES: control.answer,
            subjects.strategy_questions(name): control.answer,
        },
        edges=(report, keeper, control, HeartbeatEdge(lifecycle)),
        load=keeper.load,
        measure=partial(measure, lifecycle),
        durable=durable,
        stands_by=True,
    )
