"""What the topics of the stream say, where no other answer is the same.

`prices` says Prices, `depth:…` Depth, `consolidated:…` Consolidated, `portfolio` Portfolio,
`strategies` Strategies, `status` Status. Lists of what happened have the newest first.
"""

from tickbus_client.answers.alerts import Alert
from tickbus_client.answers.base import Answer
from tickbus_client.answers.market import Trade
from tickbus_client.answers.orders import Fill, Order
from tickbus_client.answers.risk import RiskLimit, RiskState


class OrdersTold(Answer, frozen=True, kw_only=True):
    """`orders`: those that work; in a delta each that took a step, as it is now."""

    orders: tuple[Order, ...]


class FillsTold(Answer, frozen=True, kw_only=True):
    """`fills`: the last 100; in a delta those that followed."""

    fills: tuple[Fill, ...]


class TradesTold(Answer, frozen=True, kw_only=True):
    """`trades:…`: the last 100; in a delta those that followed."""

    trades: tuple[Trade, ...]


class RiskTold(RiskState, frozen=True, kw_only=True):
    """`risk`: where every scope stands, and every limit in force."""

    limits: tuple[RiskLimit, ...]


class AlertsTold(Answer, frozen=True, kw_only=True):
    """`alerts`: those that are active; in a delta each that began, changed or ended.

    What has `cleared_at` is over.
    """

    alerts: tuple[Alert, ...]
