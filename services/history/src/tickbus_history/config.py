"""The history service's section of the configuration."""

from typing import Annotated

import msgspec


class HistoryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `history`.

    `base_interval_s`: the shortest candle; longer ones are made of these when they are asked for.
    `grace_s`: how long after its end a bar waits for late events. `retention_days`: older days are
    dropped. `buffer_bars_max`: bars kept while Postgres is away; past that the oldest are lost, and
    counted.
    """

    base_interval_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 1
    grace_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 2.0
    retention_days: Annotated[int, msgspec.Meta(ge=1)] = 30
    buffer_bars_max: Annotated[int, msgspec.Meta(ge=100)] = 200_000
