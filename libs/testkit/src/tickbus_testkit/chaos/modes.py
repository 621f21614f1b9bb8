"""What a run is of: its platform and exchanges, what may go wrong, and what must be equal."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tickbus_testkit import books
from tickbus_testkit.chaos.schedule import Blow, schedule
from tickbus_testkit.processes import SERVICES

FAULTS = (
    "answers", "nats", "disconnect", "postgres", "events", "wire", "exchange", "errors", "delays",
    "outage", "silence",
)  # fmt: skip
EXCHANGE = "exchange"
LIVELY = ("--intensity", "3", "--orders-per-10s", "100000", "--weight-per-minute", "1000000")


class Mode(NamedTuple):
    """One kind of run; `configs` are relative to the repository."""

    name: str
    configs: tuple[str, ...]
    compare: books.Compare
    exchange: tuple[str, ...] = LIVELY
    """Arguments of the simulated exchange."""
    further: tuple[str, ...] = ()
    """The venues beside the main one."""
    faults: tuple[str, ...] = FAULTS
    acts: tuple[str, ...] = ()
    """What the venue does by itself."""

    @property
    def venues(self) -> dict[str, str]:
        """The exchange of each venue."""
        return {"sim": EXCHANGE} | {venue: f"{EXCHANGE}-{venue}" for venue in self.further}

    @property
    def services(self) -> tuple[str, ...]:
        """What may die."""
        own = (f"{name}-{v}" for v in self.further for name in ("feed", "execution"))
        return (*SERVICES, *own, *(("router",) if self.further else ()))

    def paths(self, root: Path) -> Sequence[Path]:
        """Its configuration in the repository at `root`."""
        return [root / path for path in self.configs]

    def schedule(self, seed: int, seconds: float) -> list[Blow]:
        """What goes wrong when."""
        return schedule(
            seed, seconds, self.services, self.faults, self.acts, tuple(self.venues.values())
        )


SPOT = Mode("spot", ("config/default.yaml", "tests/chaos/spot.yaml"), books.spot)
TWO_VENUES = Mode(
    "two-venues",
    ("config/default.yaml", "config/venues/two-exchanges.yaml", "tests/chaos/two-venues.yaml"),
    books.spot,
    exchange=("--intensity", "2", *LIVELY[2:]),
    further=("sim2",),
)
FUTURES = Mode(
    "futures",
    ("config/default.yaml", "tests/chaos/futures.yaml"),
    books.futures,
    exchange=(
        *LIVELY, "--futures-weight-per-minute", "1000000", "--futures-orders-per-10s", "100000",
        "--futures-orders-per-minute", "100000", "--funding-interval-s", "60",
    ),
    faults=(*FAULTS, "busy"),
    acts=("funding", "transfer", "liquidation"),
)  # fmt: skip
MODES = {mode.name: mode for mode in (SPOT, TWO_VENUES, FUTURES)}
