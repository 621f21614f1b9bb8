"""The declaration of the history service."""

from tickbus import history_api, subjects
from tickbus.config import Settings
from tickbus.runtime import ServiceSpec
from tickbus.shard import Shard
from tickbus_history.config import HistoryConfig
from tickbus_history.core import BarClosed, HistoryCore
from tickbus_history.writer import Writer


def build(settings: Settings) -> ServiceSpec:
    """Bars of every venue on the bus, of this process's part of the instruments."""
    config = settings.section("history", HistoryConfig)
    shard = Shard.of(settings.environment)
    core = HistoryCore(config)
    writer = Writer(core, config, settings.postgres_dsn)
    return ServiceSpec(
        name="history",
        core=core,
        subscribe=(subjects.market("trade"), subjects.BOOK_DEPTH_ALL),
        wants=(lambda subject: shard.owns(subjects.instrument_of(subject)))
        if shard.parts > 1
        else None,
        sinks={BarClosed: writer.keep},
        responders={history_api.CANDLES: writer.answer},
        edges=(writer,),
    )
