"""The router's section of the configuration."""

from typing import Annotated

import msgspec


class RouterConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `router`.

    `rounds_max`: how often an IOC LIMIT order, or what is left of it, is sent out at most.
    `market_attempts_max`: how often that is tried for a MARKET order; to look and find nothing to
    take is an attempt, too. `pause_ms`: how long the books have to show what the last round took;
    after each attempt that filled nothing it is doubled, up to `pause_ms_max`. `legs_max`: venues
    per round. `avoid_s`: for how long a venue that refused an order is the last choice of others.
    """

    rounds_max: Annotated[int, msgspec.Meta(ge=1, le=20)] = 5
    market_attempts_max: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    pause_ms: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 150
    pause_ms_max: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 1_000
    legs_max: Annotated[int, msgspec.Meta(ge=1, le=20)] = 5
    avoid_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 10
