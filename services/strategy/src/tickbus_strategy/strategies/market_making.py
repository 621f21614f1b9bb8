"""Market making: a bid and an offer around the mid price, leaning against what is held."""

from typing import Annotated, ClassVar

import msgspec

from tickbus_strategy.base import BPS
from tickbus_strategy.quoting import QuotingParams, QuotingStrategy, Shape, describes_all


@describes_all
class MarketMakingParams(QuotingParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How wide it quotes and how much it leans.

    `spread_bps`: between its bid and its ask, as long as fees and `min_profit_bps` do not ask for
    more. `skew_bps`: how far both quotes are moved down when it holds the most that it may, and up
    when it holds the least.
    """

    spread_bps: Annotated[float, msgspec.Meta(gt=0, le=1_000)] = 10.0
    skew_bps: Annotated[float, msgspec.Meta(ge=0, le=1_000)] = 5.0


class MarketMaking(QuotingStrategy):
    """Quotes both sides of the mid price and leans against its inventory.

    Idea: whoever waits on both sides earns the spread from those in a hurry. Entry: a post-only bid
    and a post-only ask, `spread_bps` apart and never nearer than both maker's fees and
    `min_profit_bps`; both are moved by `skew_bps` times how full the inventory is, so that what is
    held too much of is offered cheaper. A side whose fill would break `max_position` is not quoted.
    A quote is replaced when it is further than `tolerance_bps` from where it should be. Exit: the
    other side's fill; there is no other. Loses when the price runs: one side fills again and again,
    up to `max_position`, and what is held is worth less than was paid.
    """

    title: ClassVar[str] = "quotes both sides of the mid, leaning against what it holds"
    Params = MarketMakingParams
    params: MarketMakingParams

    def shape(self, mid: float, inventory: float, quotes: float) -> Shape:
        """Around the mid, moved against the inventory."""
        center = mid * (1 - inventory * self.params.skew_bps / BPS)
        return Shape(center, self.params.spread_bps)
