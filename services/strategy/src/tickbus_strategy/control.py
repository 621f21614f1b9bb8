"""Answers what is asked of the strategies of this process, and hears the markets they need."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from decimal import Decimal

import msgspec

from tickbus import codec
from tickbus.backoff import delays_s
from tickbus.bus import BusError
from tickbus.codec import Hop, MalformedMessage
from tickbus.events import StrategyOutcome
from tickbus.order import Order
from tickbus.runtime import Context
from tickbus.strategy_api import (
    DECISIONS_MAX,
    Answer,
    Checked,
    CheckStrategy,
    KindReports,
    ListKinds,
    ListStrategies,
    MarketReport,
    OrderReport,
    Question,
    StrategyReport,
    StrategyReports,
    read_question,
)
from tickbus_strategy.core import Seat
from tickbus_strategy.desk import Desk
from tickbus_strategy.hosting import ChangeNoted, Hearing, Hosted
from tickbus_strategy.lifecycle import Lifecycle
from tickbus_strategy.making import Kinds, Refused

LOAD_TIMEOUT_S = 4.0
"""For the code of a kind to be read; the strategies go on meanwhile."""

log = logging.getLogger("tickbus.strategy")


class Control:
    """The edge through which people look at strategies; wishes come through a bucket."""

    def __init__(
        self, lifecycle: Lifecycle, kinds: Kinds, forget: Callable[[str], None] = lambda _: None
    ) -> None:
        """`forget` is told of an id that was given up."""
        self._lifecycle = lifecycle
        self._kinds = kinds
        self._forget = forget
        self._context: Context | None = None
        self._wanted: Hearing | None = None

    async def start(self, context: Context) -> None:
        """Remember how to listen; say what the bucket put in the place of the files."""
        self._context = context
        for strategy_id, wish in self._lifecycle.wishes.items():
            holds = wish.terms is not None and not wish.deletes
            if holds and strategy_id in self._lifecycle.files:
                log.info(
                    "%s runs as somebody wished (revision %d, %s: %s), not as the files say;"
                    " `tickbus strategies reset %s` ends that",
                    strategy_id, wish.revision, wish.actor, wish.reason, strategy_id,
                )  # fmt: skip

    async def stop(self) -> None:
        """Nothing to close."""

    async def hear(self, wanted: Hearing, _: tuple[Hop, ...]) -> None:
        """From now on, hear what strategies need, and no more.

        What the bus does not take now is tried again, for as long as nothing else is wanted.
        """
        context = self._context
        if context is None:
            return
        self._wanted = wanted
        try:
            await context.listen(wanted.subjects)
        except BusError as error:
            context.telemetry.error("markets_not_heard")
            log.warning("markets cannot be heard yet: %s", error)
            context.spawn(self._hear_later(context, wanted), "hearing markets")

    async def _hear_later(self, context: Context, wanted: Hearing) -> None:
        for delay_s in delays_s(0.2, 10.0):
            await asyncio.sleep(delay_s)
            if self._wanted is not wanted:
                return
            with contextlib.suppress(BusError):
                await context.listen(wanted.subjects)
                return

    async def noted(self, noted: ChangeNoted, _: tuple[Hop, ...]) -> None:
        """Say in the log what was put on record."""
        change = noted.change
        told = log.warning if change.problem else log.info
        told(
            "%s: revision %d %s%s (%s: %s)", change.strategy_id, change.revision,
            change.outcome.lower(), f": {change.problem}" if change.problem else "",
            change.actor, change.reason,
        )  # fmt: skip
        if change.deleted and change.outcome is StrategyOutcome.APPLIED:
            self._forget(change.strategy_id)
        if self._context is not None and change.outcome is StrategyOutcome.REFUSED:
            self._context.telemetry.error("strategy_change_refused")

    async def answer(self, payload: bytes) -> bytes | None:
        """What is asked of all strategies, or of one; None leaves it to another process."""
        try:
            question = read_question(payload)
        except MalformedMessage as error:
            answer: Answer | None = Checked("question", "", str(error), "run one version of all")
        else:
            answer = await self._answer(question)
        return None if answer is None else codec.encode_value(answer)

    async def _answer(self, question: Question) -> Answer | None:
        match question:
            case ListStrategies(""):
                hosted = self._lifecycle.hosted.values()
                return StrategyReports(tuple(self._report(each) for each in hosted))
            case ListStrategies(strategy_id, whole):
                one = self._lifecycle.hosted.get(strategy_id)
                if one is not None:
                    return StrategyReports((self._report(one, whole=whole),))
                # Nobody has it; who could says so, and whoever asks need not wait for others.
                return StrategyReports(()) if self._lifecycle.hosts(strategy_id) else None
            case ListKinds(kind):
                return KindReports(await asyncio.to_thread(self._kinds.reports, kind))
            case CheckStrategy(strategy_id, terms):
                if not self._lifecycle.hosts(strategy_id):
                    return None
                try:
                    # Read here, its code does not stand in the way of ticks when it is applied.
                    load = asyncio.to_thread(self._kinds.load, terms.kind)
                    await asyncio.wait_for(load, LOAD_TIMEOUT_S)
                    self._lifecycle.check(strategy_id, terms)
                except Refused as refusal:
                    value = str(refusal.value)
                    return Checked(refusal.field, value, refusal.problem, refusal.remedy)
                except TimeoutError:
                    problem = f"its code was not read within {LOAD_TIMEOUT_S:g} s"
                    return Checked("kind", terms.kind, problem, "do less at import")
                return Checked()
        return None

    def _report(self, hosted: Hosted, *, whole: bool = False) -> StrategyReport:
        lifecycle, desk = self._lifecycle, hosted.desk
        told = lifecycle.told.get(desk.strategy_id)
        wish = lifecycle.wishes.get(desk.strategy_id)
        params = hosted.seats[0].strategy.params if hosted.seats else None
        given = hosted.terms.params if hosted.terms is not None else {}
        return StrategyReport(
            strategy_id=desk.strategy_id,
            phase=hosted.phase,
            terms=hosted.terms,
            params=msgspec.json.encode(given if params is None else params).decode(),
            revision=max(told.revision if told else 0, wish.revision if wish else 0),
            configured=desk.strategy_id in lifecycle.files,
            error=hosted.error,
            markets=tuple(_markets(desk, hosted.seats)),
            orders=tuple(map(_order, desk.orders.living())) if whole else (),
            decisions=tuple(desk.decisions.latest(DECISIONS_MAX)) if whole else (),
        )


def _markets(desk: Desk, seats: list[Seat]) -> list[MarketReport]:
    """Every market that it trades or has traded."""
    seated = {(m.venue, m.instrument_id): m for seat in seats for m in seat.markets}
    reports = []
    for key in dict.fromkeys([*seated, *desk.portfolio.positions]):
        position, market = desk.portfolio.position(*key), seated.get(key)
        mid = None if market is None else market.mid
        price = position.avg_entry_price if mid is None else Decimal(repr(mid))
        unrealized = Decimal(0) if price is None else position.unrealized_pnl(price)
        reports.append(
            MarketReport(
                *key, position.quantity, position.avg_entry_price, position.realized_pnl,
                unrealized, position.fees, len(desk.living(*key)),
            )
        )  # fmt: skip
    return reports


def _order(order: Order) -> OrderReport:
    return OrderReport(
        order.client_order_id, order.venue, order.instrument_id, order.side, order.order_type,
        order.quantity, order.price, order.filled_quantity, order.state,
    )  # fmt: skip
