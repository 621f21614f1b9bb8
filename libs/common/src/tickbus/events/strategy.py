"""What strategies say of themselves."""

from typing import Annotated

import msgspec

from tickbus.events.base import Event

INPUTS_MAX = 40
INPUT_NAME_MAX = 64
INPUT_MAX = 256
"""Characters of one input; bounded, as each order carries its inputs all the way."""
Inputs = Annotated[
    dict[
        Annotated[str, msgspec.Meta(max_length=INPUT_NAME_MAX)],
        Annotated[str, msgspec.Meta(max_length=INPUT_MAX)],
    ],
    msgspec.Meta(max_length=INPUTS_MAX),
]
"""What a decision was made on, by name: numbers as they are written in Python, or words."""


class StrategyDecision(Event, frozen=True):
    """What a strategy looked at when it decided, as it noted it; see `Strategy.note`.

    `ts_event` and `ts_recv` are those of the event that it decided on. `client_order_ids` are the
    orders that it wished for then, mostly none.
    """

    strategy_id: str
    venue: str
    instrument_id: str
    inputs: Inputs
    client_order_ids: tuple[str, ...] = ()


StrategyEvent = StrategyDecision
