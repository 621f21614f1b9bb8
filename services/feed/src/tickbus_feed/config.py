"""The feed's section of the configuration."""

from typing import Annotated

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]


class FeedConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `feed`; times in seconds.

    `keyframe_interval_s`: how often a whole book is repeated unasked; who lost one asks for it.
    `stale_after_s`: an instrument whose book did not change for so long is STALE; at half of it the
    venue is asked, and if that has nothing new either, the market is quiet and stays LIVE, else the
    stream is subscribed anew. A market that was confirmed to be quiet is asked about less and less,
    up to every 40 s; a question that is not answered in half of `stale_after_s` makes it STALE.
    Where the venue itself says that nothing changed (OKX, every 60 s), it is asked when that stays
    out.
    `first_event_s`: a connection without any frame for so long is made again. `snapshot_levels`:
    depth asked for per side. `buffer_max`: changes kept per instrument while its snapshot is on its
    way. `instruments_interval_s`: how often the venue's list of instruments is read again.
    `overlap_s`: how long a connection that takes over runs beside the one it replaces.
    `clock_interval_s`: how often the venue's clock is compared with ours. `egress`: processes with
    the same word share the venue's request budget; it stands for the address they are seen from.
    `record`: a directory for the raw frames, "" for none.
    """

    keyframe_interval_s: Positive = 15.0
    stale_after_s: Positive = 10.0
    first_event_s: Positive = 15.0
    snapshot_levels: Annotated[int, msgspec.Meta(ge=5, le=5000)] = 1000
    buffer_max: Annotated[int, msgspec.Meta(ge=100)] = 5000
    instruments_interval_s: Positive = 1800.0
    overlap_s: Positive = 10.0
    clock_interval_s: Positive = 120.0
    egress: str = "default"
    record: str = ""
