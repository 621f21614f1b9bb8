"""The kill switch's section of the configuration."""

from typing import Annotated

import msgspec

from tickbus.config import Config

Positive = Annotated[float, msgspec.Meta(gt=0)]


class KillConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `killswitch`: how patient it is, all in seconds.

    `timeout_s`: for the orders of an account; as much again to close its positions, and again to
    look anew. `settle_s`: between the two looks that must both find nothing; longer than an order
    can be under way. `request_timeout_s`: for one request. `halt_wait_s`: how long the cancels wait
    for the bus. `owed_for_s`: a bus that could not be told is tried again for so long.
    """

    timeout_s: Positive = 30.0
    settle_s: Positive = 1.0
    request_timeout_s: Positive = 3.0
    halt_wait_s: Positive = 1.0
    owed_for_s: Positive = 86_400.0
