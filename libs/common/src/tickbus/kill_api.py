"""What one may ask the kill switch, and what it reports: the same over HTTP (JSON) and the bus."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

SUBJECT = "control.kill"
PATH = "/kill"
TOKEN = "kill_token"  # noqa: S105 - the name of the secret, not the secret
"""`Settings.secret` of this name (TICKBUS_KILL_TOKEN or its _FILE twin) opens POST /kill."""
REASON_MAX = 500

EXIT_DONE = 0
EXIT_WORKING = 3
"""Orders may still be working."""
EXIT_EXPOSED = 4
"""No order works, but positions are left that were to be closed, or nobody could read them."""


class KillRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Cancel every order of every account; with `flatten`, close the positions too.

    What is as by default is left out: else a kill switch of an older version would refuse every
    request, for the mere name of a field that it does not know.
    """

    reason: Annotated[str, msgspec.Meta(max_length=REASON_MAX)] = ""
    flatten: bool = False
    actor: Annotated[str, msgspec.Meta(max_length=REASON_MAX)] = ""


class OrderKind(StrEnum):
    """Where the venue keeps an order: the book, its list of conditional ones, an order list."""

    PLAIN = "PLAIN"
    CONDITIONAL = "CONDITIONAL"
    LIST = "LIST"


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the venue lists it, in the venue's own ids."""

    symbol: str
    order_id: str
    client_order_id: str = ""
    kind: OrderKind = OrderKind.PLAIN


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """What the account holds: an asset, or a position (signed: long > 0).

    `value` is in `currency` and never negative; None where no price is known. `dust` is too little
    for the venue to trade. `ours`: an instrument of the configuration names it as its base (spot),
    or it is a position.
    """

    name: str
    quantity: Decimal
    value: Decimal | None = None
    currency: str = ""
    dust: bool = False
    ours: bool = False


class AccountReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one account.

    `verified`: its lists of orders were read, and empty, twice in a row. `cleared`: orders that
    were seen working and work no more. `left`: those on the last list that could be read. `closed`:
    what was sold or bought back. `unverified`: what is not known, and why.
    """

    account: str
    verified: bool
    cleared: tuple[VenueOrder, ...] = ()
    left: tuple[VenueOrder, ...] = ()
    closed: tuple[str, ...] = ()
    exposure: tuple[Exposure, ...] = ()
    exposure_known: bool = False
    unverified: tuple[str, ...] = ()
    detail: str = ""
    first_cancel_ms: int = -1
    """From the command to the first cancel on its way, -1 where none was sent."""


class KillReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it all; `exit_code` is EXIT_DONE only when everything asked is verified.

    `not_told` are the buses at which trading could not be halted; `halt_detail` says why.
    """

    exit_code: int
    summary: str
    reason: str
    flatten: bool
    halted: bool
    halt_detail: str
    accounts: tuple[AccountReport, ...]
    seconds: float
    not_told: tuple[str, ...] = ()
