"""The execution service's section of the configuration."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from tickbus_execution.signing import KeyType

Positive = Annotated[float, msgspec.Meta(gt=0)]


class PaperConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `execution.paper`.

    `balances`: what the account begins with, by asset. `latency_ms`: until an order takes effect.
    Of derivatives: `leverage` divides a position's worth into the margin that it needs, as the one
    chosen at a venue does; a wallet worth less than `maintenance_margin` (a fraction) of all its
    positions has them closed by force.
    """

    balances: dict[str, Decimal] = msgspec.field(default_factory=lambda: {"USDT": Decimal(100_000)})
    latency_ms: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    leverage: Annotated[int, msgspec.Meta(ge=1, le=125)] = 5
    maintenance_margin: Decimal = Decimal("0.005")

    def __post_init__(self) -> None:
        if not 0 <= self.maintenance_margin < 1:
            raise ValueError(f"maintenance_margin = {self.maintenance_margin}: from 0 to below 1")


class ExecutionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `execution`.

    `mode`: `venue` sends orders, `paper` fills them against the live book, `dry_run` only logs
    them; `auto` follows platform.mode. `request_timeout_s`: an order request without an answer for
    so long has an unknown outcome. `recv_window_ms`: a request that reaches the venue later is
    refused there. `reconcile_interval_s`: how often the account is compared. `countdown_s`: where
    the venue has a dead man's switch, it cancels everything when it has not heard from us for so
    long; 0 leaves it off. `lease_ttl_s`: a process that was paused for longer sends nothing more,
    and one on another machine takes its place after so long. `key_type`: of the venue's API key;
    `auto` tells by the secret. `egress`: processes with the same word share the venue's request
    budget; it stands for the address they are seen from, and is that of the feed.
    `withdrawing_key`: `refuse` trades nothing real with a key that may withdraw, or of which the
    venue does not say that it may not.
    """

    mode: Literal["auto", "venue", "paper", "dry_run"] = "auto"
    request_timeout_s: Positive = 3.0
    recv_window_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 5_000
    reconcile_interval_s: Positive = 120.0
    lease_ttl_s: Annotated[float, msgspec.Meta(ge=0.5, le=60)] = 2.0
    countdown_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 60.0
    key_type: KeyType = "auto"
    egress: str = "default"
    withdrawing_key: Literal["refuse", "allow"] = "refuse"
    paper: PaperConfig = PaperConfig()
