"""What one may ask risk, and what it answers: request and reply over the bus.

Questions and answers go through `codec.encode_value`. What cannot be answered gets a `RiskRefusal`.
"""

from decimal import Decimal

import msgspec

from tickbus.events import SubmitOrder

USAGE = "control.risk.usage"
PREVIEW = "control.risk.preview"


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How much of every limit is used now; with `scope` only of its limits."""

    scope: str = ""


class PreviewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What risk would say of `order` now. It is not sent, and nothing of it is remembered."""

    order: SubmitOrder


class LimitUsage(msgspec.Struct, frozen=True, kw_only=True):
    """One limit, and the most that is used of it anywhere in its scope, in the limit's own unit.

    `used` is None of a limit that each order meets anew. `where` names what uses most: an
    instrument as `<venue>.<instrument>`, or a strategy; "" where it is the scope itself.
    """

    scope: str
    name: str
    limit: Decimal
    used: Decimal | None
    where: str = ""


class UsageAnswer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Every limit that is set, those of everything first; money is in `currency`."""

    currency: str
    limits: tuple[LimitUsage, ...]


class PreviewAnswer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Risk's verdict: `reason` is "" where the order would pass, a DenialReason otherwise.

    `price` is what it is expected to trade at, `notional` its value there in quote currency; None
    where no market says. `position` is what the account holds at that venue, `position_after` if
    the order filled. `meaning` and `remedy` of the reason are for people.
    """

    reason: str
    detail: str
    price: Decimal | None
    notional: Decimal | None
    position: Decimal
    position_after: Decimal
    meaning: str = ""
    remedy: str = ""


class RiskRefusal(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why a question was not answered; for people."""

    reason: str
