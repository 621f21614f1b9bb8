"""Section `ledger` of the configuration."""

import msgspec


class LedgerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the books are valued and written.

    `currency` values everything. A batch is written after `batch_interval_ms`, at once when it has
    `batch_events_max` events; with `buffer_events_max` events unwritten (Postgres is away) the
    stream is read no further, and keeps them. A report of a balance is compared `settle_ms`
    after it came, with the amount as it was at the report's own time.
    """

    currency: str = "USDT"
    batch_interval_ms: int = 20
    batch_events_max: int = 500
    buffer_events_max: int = 10_000
    portfolio_interval_s: float = 1.0
    equity_interval_s: float = 5.0
    settle_ms: int = 2_000

    def __post_init__(self) -> None:
        for name in self.__struct_fields__[1:]:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} = {getattr(self, name)}: must be above 0")
