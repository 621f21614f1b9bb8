"""The declaration of the execution service."""

import logging
from functools import partial

from tickbus import reconcile_api, subjects
from tickbus.codec import Hop
from tickbus.config import ConfigError, Settings, nearest
from tickbus.runtime import Lease, ServiceSpec
from tickbus_execution.binance import BinanceSpot
from tickbus_execution.binance_usdm import BinanceUsdm
from tickbus_execution.config import ExecutionConfig
from tickbus_execution.core import ExecutionCore
from tickbus_execution.gateway import Gateway
from tickbus_execution.live import unagreed
from tickbus_execution.measures import measure
from tickbus_execution.paper import PaperExecution, PaperVenue
from tickbus_execution.protocol import VenueProtocol
from tickbus_execution.reconciling import refuse
from tickbus_execution.venue import Alarm, VenueCancel, VenueQuery, VenueReconcile, VenueSubmit

_MODES = {"simulated": "venue", "testnet": "venue", "live": "venue"}
PROTOCOLS: dict[str, type[VenueProtocol]] = {
    "binance": BinanceSpot,
    "binance-usdm": BinanceUsdm,
}
"""Where orders can be sent, by `venue.adapter`."""


def protocol_of(adapter: str) -> VenueProtocol:
    """What speaks to the venue of `adapter`. Raises ConfigError for one that has no order entry."""
    kind = PROTOCOLS.get(adapter)
    if kind is None:
        raise ConfigError(
            f"venue.adapter = {adapter!r}: no orders can be sent there;"
            f" {nearest(adapter, list(PROTOCOLS), 'adapters with order entry')} Or fill orders"
            " against its books with execution.mode: paper"
        )
    return kind()


def mode_of(settings: Settings, config: ExecutionConfig) -> str:
    """`venue`, `paper` or `dry_run`: as configured, else what platform.mode implies."""
    if config.mode != "auto":
        return config.mode
    return _MODES.get(settings.platform.mode, settings.platform.mode)


def build(settings: Settings) -> ServiceSpec:
    """Execution at the configured venue, in the configured mode.

    Raises ConfigError, also for real money that nobody has said to mean.
    """
    config = settings.section("execution", ExecutionConfig)
    venue = settings.venue
    consume = (subjects.approved(venue.name),)
    recall = (subjects.order_events(venue.name), f"orders.account.{venue.name}")
    # The main venue's keeps its name: its consumer knows what was handled.
    is_main = venue.name == settings.venues[0].name
    durable = "execution" if is_main else f"execution_{venue.name}"
    mode = mode_of(settings, config)
    if mode == "venue":
        if problem := unagreed(settings):
            raise ConfigError(problem)
        core = ExecutionCore(venue.name)
        lease = Lease(f"execution.{venue.name}", config.lease_ttl_s)
        gateway = Gateway(core, settings, config, protocol_of(venue.adapter), lease)
        return ServiceSpec(
            name="execution",
            core=core,
            twin=partial(ExecutionCore, venue.name),
            rehearse=gateway.rehearse,
            consume=consume,
            recall=recall,
            durable=durable,
            watch=("instruments",),
            sinks={
                VenueSubmit: gateway.submit,
                VenueCancel: gateway.cancel,
                VenueQuery: gateway.query,
                VenueReconcile: gateway.look,
                Alarm: gateway.alarm,
            },
            responders={reconcile_api.subject(venue.name): gateway.reconciling.respond},
            # Stopped in the other order: the lease is given back when nothing more is sent.
            edges=(lease, gateway),
            measure=partial(measure, core),
        )

    def paper() -> PaperExecution:
        account = PaperVenue(
            venue.name, config.paper, venue.fees, settings.run_id, dry_run=mode == "dry_run"
        )
        return PaperExecution(ExecutionCore(venue.name), account)

    core_on_paper = paper()
    market = ("snapshot", "delta", "trade", "status", "funding")
    return ServiceSpec(
        name="execution",
        core=core_on_paper,
        twin=paper,
        subscribe=tuple(subjects.market(kind, venue.name) for kind in market),
        consume=consume,
        recall=recall,
        durable=durable,
        watch=("instruments",),
        sinks={Alarm: _alarm},
        responders={reconcile_api.subject(venue.name): partial(refuse, venue.name)},
        measure=partial(measure, core_on_paper.core),
    )


async def _alarm(event: Alarm, _: tuple[Hop, ...]) -> None:
    logging.getLogger("tickbus.execution").critical("%s: %s", event.kind, event.detail)
