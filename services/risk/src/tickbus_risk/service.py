"""What risk listens to and speaks of."""

from functools import partial

from tickbus import subjects
from tickbus.config import Settings
from tickbus.runtime import DoorEdge, ServiceSpec
from tickbus_risk.answers import Answers
from tickbus_risk.config import RiskConfig
from tickbus_risk.core import RiskCore
from tickbus_risk.measures import Standing, measure


def build(settings: Settings) -> ServiceSpec:
    """The declaration of the service. Raises ConfigError, in particular for a missing limit."""
    fees = {venue.name: venue.fees.taker for venue in settings.venues}
    make = partial(RiskCore, settings.section("risk", RiskConfig), fees)
    core = make()
    return ServiceSpec(
        name="risk",
        core=core,
        twin=make,
        rehearse=core.rehearse,
        subscribe=(subjects.BOOK_TOP_ALL, subjects.market("status"), subjects.HEARTBEATS_ALL),
        consume=(
            subjects.INTENTS_ALL,
            subjects.ORDER_EVENTS_ALL,
            subjects.ACCOUNTS_ALL,
        ),
        recall=(subjects.APPROVED_ALL, subjects.DENIED_ALL, subjects.RISK_AUDIT_ALL),
        watch=("instruments", "control", "limits"),
        responders=Answers(core).responders(),
        edges=(DoorEdge(), Standing(core)),
        measure=partial(measure, core),
    )
