"""The declaration of the execution service."""

from tickbus import subjects
from tickbus.config import Settings
from tickbus.runtime import ServiceSpec
from tickbus_execution.config import ExecutionConfig
from tickbus_execution.core import ExecutionCore
from tickbus_execution.gateway import BinanceGateway
from tickbus_execution.paper import PaperExecution, PaperVenue
from tickbus_execution.venue import VenueCancel, VenueQuery, VenueSubmit

_MODES = {"simulated": "venue", "testnet": "venue", "live": "venue"}


def mode_of(settings: Settings, config: ExecutionConfig) -> str:
    """`venue`, `paper` or `dry_run`: as configured, else what platform.mode implies."""
    if config.mode != "auto":
        return config.mode
    return _MODES.get(settings.platform.mode, settings.platform.mode)


def build(settings: Settings) -> ServiceSpec:
    """Execution at the configured venue, in the configured mode."""
    config = settings.section("execution", ExecutionConfig)
    venue = settings.venue
    core = ExecutionCore(venue.name)
    consume = (subjects.approved(venue.name),)
    recall = (subjects.order_events(venue.name), f"orders.account.{venue.name}")
    # The main venue's keeps its name: its consumer knows what was handled.
    is_main = venue.name == settings.venues[0].name
    durable = "execution" if is_main else f"execution_{venue.name}"
    mode = mode_of(settings, config)
    if mode == "venue":
        gateway = BinanceGateway(core, settings, config)
        return ServiceSpec(
            name="execution",
            core=core,
            rehearse=gateway.rehearse,
            consume=consume,
            recall=recall,
            durable=durable,
            watch=("instruments",),
            sinks={
                VenueSubmit: gateway.submit,
                VenueCancel: gateway.cancel,
                VenueQuery: gateway.query,
            },
            edges=(gateway,),
        )
    paper = PaperVenue(
        venue.name, config.paper, venue.fees, settings.run_id, dry_run=mode == "dry_run"
    )
    market = ("snapshot", "delta", "trade", "status")
    return ServiceSpec(
        name="execution",
        core=PaperExecution(core, paper),
        subscribe=tuple(subjects.market(kind, venue.name) for kind in market),
        consume=consume,
        recall=recall,
        durable=durable,
        watch=("instruments",),
    )
