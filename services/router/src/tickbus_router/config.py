"""The router's section of the configuration."""

from typing import Annotated

import msgspec


class RouterConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `router`.

    `rounds_max`: how often what is left of an order is sent out again. `pause_ms`: how long the
    books have to show what the last round took. `legs_max`: venues per round.
    """

    rounds_max: Annotated[int, msgspec.Meta(ge=1, le=20)] = 5
    pause_ms: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 150
    legs_max: Annotated[int, msgspec.Meta(ge=1, le=20)] = 5
