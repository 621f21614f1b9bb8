"""The risk service with a bug: an order of one quantity ends the process, each time it is met."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tickbus.events import Event, SubmitOrder
from tickbus.runtime import main
from tickbus_risk import service
from tickbus_risk.core import RiskCore

POISON = "0.00666"


class FragileRisk(RiskCore):
    """Sound, but for that."""

    def handle(self, event: Any, /) -> Sequence[Event]:
        if isinstance(event, SubmitOrder) and event.quantity == Decimal(POISON):
            raise ZeroDivisionError("a bug that somebody wrote into it")
        return super().handle(event)


if __name__ == "__main__":
    vars(service)["RiskCore"] = FragileRisk
    main("risk", service.build)
