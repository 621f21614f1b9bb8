"""What the ledger listens to, answers and speaks of."""

from functools import partial

from tickbus import subjects
from tickbus.config import Settings
from tickbus.runtime import ServiceSpec
from tickbus_ledger.config import LedgerConfig
from tickbus_ledger.core import LedgerCore
from tickbus_ledger.measures import measure
from tickbus_ledger.queries import Queries
from tickbus_ledger.writer import Writer


def build(settings: Settings) -> ServiceSpec:
    """The declaration of the service. Raises ConfigError."""
    config = settings.section("ledger", LedgerConfig)
    venue = settings.venue
    core = LedgerCore(config, [name for each in settings.venues for name in each.instruments])
    writer = Writer(core, config, settings.postgres_dsn, settings.platform.mode, venue.name)
    queries = Queries(core, lambda: writer.store, config.currency)
    return ServiceSpec(
        name="ledger",
        core=core,
        # The order path is read by the writer, from the position that the database holds.
        subscribe=(subjects.BOOK_TOP_ALL,),
        watch=("instruments",),
        responders=queries.responders(),
        edges=(writer,),
        measure=partial(measure, core),
    )
