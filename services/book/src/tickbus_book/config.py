"""The book service's section of the configuration."""

from typing import Annotated

import msgspec


class BookConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `book`.

    `depth_levels`: levels per side in `BookDepth`. `depth_interval_ms`: at most one `BookDepth` per
    instrument in that time. `top_interval_ms`: an unchanged top is repeated that often while the
    feed says that it is live, so that a quiet market does not look like a dead one.
    """

    depth_levels: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    depth_interval_ms: Annotated[int, msgspec.Meta(ge=1)] = 100
    top_interval_ms: Annotated[int, msgspec.Meta(ge=1)] = 1000
