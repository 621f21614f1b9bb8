"""What the buckets hold whose values go to cores."""

from typing import Any

from tickbus.events import SetLimit, SetStrategy, SetTradingState
from tickbus.instruments import Instrument

TYPES: dict[str, Any] = {
    "instruments": Instrument,
    "control": SetTradingState,
    "limits": SetLimit,
    "strategies": SetStrategy,
}
