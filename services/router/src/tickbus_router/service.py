"""The declaration of the router, and the edge through which its instrument is known."""

import asyncio
from functools import partial

from tickbus import codec, subjects
from tickbus.backoff import delays_s
from tickbus.bus import BusError
from tickbus.codec import Hop
from tickbus.config import Settings
from tickbus.events import SMART_VENUE, Instrument
from tickbus.runtime import Context, ServiceSpec
from tickbus_router.config import RouterConfig
from tickbus_router.core import Measured, RouterCore

LIST_AGAIN_S_MAX = 10.0


class Notices:
    """Lists what can be routed among the instruments, and measures how orders did."""

    def __init__(self) -> None:
        self._context: Context | None = None
        self._to_list: dict[str, Instrument] = {}
        self._some = asyncio.Event()

    async def start(self, context: Context) -> None:
        """Begin to list."""
        self._context = context
        context.spawn(self._run(context), "list of what can be routed")

    async def stop(self) -> None:
        """Nothing to close."""

    async def list_instrument(self, instrument: Instrument, _: tuple[Hop, ...]) -> None:
        """Have the instrument written to the bucket: nobody can order what is not listed there."""
        self._to_list[f"{instrument.venue}.{instrument.instrument_id}"] = instrument
        self._some.set()

    async def _run(self, context: Context) -> None:
        """Write, for ever; without a bus it waits, and the newest of each instrument is kept."""
        delays = delays_s(0.2, LIST_AGAIN_S_MAX)
        while True:
            await self._some.wait()
            self._some.clear()
            for key, instrument in list(self._to_list.items()):
                try:
                    await context.bus.kv_put("instruments", key, codec.encode_value(instrument))
                except BusError as error:
                    context.telemetry.error("instrument_not_listed")
                    context.log.warning("%s; tried again soon", error)
                    # Last the next time: one that is never taken must not keep the others away.
                    self._to_list[key] = self._to_list.pop(key)
                    self._some.set()
                    await asyncio.sleep(next(delays))
                    break
                if self._to_list[key] is instrument:
                    del self._to_list[key]
            else:
                delays = delays_s(0.2, LIST_AGAIN_S_MAX)

    async def measure(self, event: Measured, _: tuple[Hop, ...]) -> None:
        """Export how the last order did; the stream has how each did."""
        context = self._context
        if context is None:
            return
        context.telemetry.gauge("shortfall_bps", float(event.execution.shortfall_bps))
        context.telemetry.gauge("rounds", event.execution.rounds)


def build(settings: Settings) -> ServiceSpec:
    """The router over every configured venue."""
    fees = {venue.name: venue.fees for venue in settings.venues}
    notices = Notices()
    make = partial(RouterCore, settings.section("router", RouterConfig), fees)
    return ServiceSpec(
        name="router",
        core=make(),
        twin=make,
        subscribe=(
            *(subjects.book("depth", name) for name in fees),
            *(subjects.book("top", name) for name in fees),
        ),
        consume=(
            subjects.approved(SMART_VENUE),
            subjects.DENIED_ALL,
            # Not those of `smart`: what a consumer gets and what it recalls must not overlap.
            *(subjects.order_events(name) for name in fees),
            subjects.ACCOUNTS_ALL,
        ),
        recall=(subjects.INTENTS_ALL, subjects.order_events(SMART_VENUE)),
        watch=("instruments",),
        sinks={Instrument: notices.list_instrument, Measured: notices.measure},
        edges=(notices,),
    )
