"""What `tickbus up` is asked to run, worked out before anything starts: no IO but finding files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from tickbus import scheduling
from tickbus.config import VENUE_VARIABLE, ConfigError, Settings, own_keys
from tickbus_cli.accessing import OF_API
from tickbus_cli.errors import CliError
from tickbus_cli.further import ROUTER, Further, names, service_of, strategy_of, venue_of

SIM_KEYS = {"TICKBUS_VENUE_API_KEY": "sim-key", "TICKBUS_VENUE_API_SECRET": "sim-secret"}
KEYS = tuple(SIM_KEYS)
BUS_SECRETS = ("TICKBUS_NATS_USER", "TICKBUS_NATS_PASSWORD", "TICKBUS_APPROVAL_KEY")
"""What variables with logins to a bus begin with; the embedded one has its own."""
SERVICES = (
    "killswitch", "feed", "book", "risk", "execution", "ledger", "history", "strategy", "api",
    "alerts",
)  # fmt: skip
"""In the order in which they start; they stop in reverse, but strategy always goes first."""
TRADERS = ("execution", "killswitch")
"""Who gets the keys of the venue account."""
KILL_TOKEN = "TICKBUS_KILL_TOKEN"  # noqa: S105 - the variable, not the secret
ALERTS = "TICKBUS_ALERTS_"
"""What variables with the addresses of channels begin with."""
_METRICS = {
    "feed": 9101, "book": 9102, "strategy": 9103, "risk": 9104, "execution": 9105, "ledger": 9106,
    "api": 9107, "history": 9108, "killswitch": 9109, ROUTER: 9110,
    "alerts": 9111,
}  # fmt: skip
_FURTHER_METRICS = 9120
"""Where those of the further venues begin: two each, for feed and execution."""
_STRATEGY_METRICS = 9200
"""Where those of strategies begin that have a process each."""
SPOT = "binance"
"""What the simulated exchange is traded as unless a configuration says otherwise."""
_KEY = re.compile(r"TICKBUS_\w+_API_(KEY|SECRET)(_FILE)?")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One way to run the platform; its name is that of its data directory."""

    name: str
    venue: str
    overlays: tuple[str, ...]
    says: str
    needs_keys: bool = False
    live: bool = False

    @property
    def simulated(self) -> bool:
        """Whether the simulated exchange is part of the platform."""
        return self.venue == "sim"


_PROFILES = (
    Profile(name="sim", venue="sim", overlays=(), says="simulated exchange, no real money"),
    Profile(
        name="binance-paper",
        venue="binance",
        overlays=("venues/binance.yaml",),
        says="Binance's live public data, orders filled on paper",
    ),
    Profile(
        name="binance-testnet",
        venue="binance-testnet",
        overlays=("venues/binance-testnet.yaml",),
        says="Binance's testnet, play money",
        needs_keys=True,
    ),
    Profile(
        name="binance-usdm-paper",
        venue="binance-usdm",
        overlays=("venues/binance-usdm.yaml",),
        says="Binance's live public data of USD-M futures, orders filled on paper",
    ),
    Profile(
        name="binance-usdm-testnet",
        venue="binance-usdm-testnet",
        overlays=("venues/binance-usdm.yaml", "venues/binance-usdm-testnet.yaml"),
        says="Binance's USD-M futures testnet, play money",
        needs_keys=True,
    ),
    Profile(
        name="binance-live",
        venue="binance",
        overlays=("venues/binance.yaml", "venues/binance-live.yaml"),
        says="Binance, REAL MONEY",
        needs_keys=True,
        live=True,
    ),
    Profile(
        name="binance-usdm-live",
        venue="binance-usdm",
        overlays=("venues/binance-usdm.yaml", "venues/binance-usdm-live.yaml"),
        says="Binance USD-M futures, REAL MONEY",
        needs_keys=True,
        live=True,
    ),
)
VENUES = tuple(dict.fromkeys(profile.venue for profile in _PROFILES))


@dataclass(frozen=True)
class Ports:
    """Every TCP port that the platform listens on; Postgres takes any free one."""

    offset: int = 0
    api_base: int = 8080
    further: tuple[Further, ...] = ()
    strategies: tuple[str, ...] = ()
    """Those that have a process each, instead of one for all."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every process of the platform but the exchanges, in the order in which they start."""
        return names(SERVICES, self.further, self.strategies)

    @property
    def nats(self) -> int:
        """The bus."""
        return 4222 + self.offset

    @property
    def exchange(self) -> int:
        """The simulated exchange: REST and WebSocket."""
        return 8090 + self.offset

    @property
    def api(self) -> int:
        """The gateway."""
        return self.api_base + self.offset

    def metrics(self, name: str) -> int:
        """Health and metrics of one process."""
        venue, strategy_id = venue_of(name), strategy_of(name)
        if strategy_id:
            return _STRATEGY_METRICS + self.strategies.index(strategy_id) + self.offset
        if not venue:
            return _METRICS[name] + self.offset
        number = [each.name for each in self.further].index(venue)
        is_execution = service_of(name) == "execution"
        return _FURTHER_METRICS + 2 * number + is_execution + self.offset

    def all(self, simulated: bool) -> dict[str, int]:
        """Who listens where."""
        ports = {"nats": self.nats, "api": self.api}
        if simulated:
            ports["exchange"] = self.exchange
        ports |= {f"exchange-{v.name}": v.exchange_port for v in self.further if v.exchange_port}
        return ports | {f"{name} (health, metrics)": self.metrics(name) for name in self.names}


def books_of(profile: Profile, settings: Settings) -> str:
    """Whose books a platform keeps: the account's of its profile, or another of that exchange.

    The simulated exchange has an account on margin beside that of its spot market.
    """
    adapter = settings.venue.adapter
    return f"{profile.name}-{adapter}" if profile.simulated and adapter != SPOT else profile.name


def choose(venue: str, live: bool) -> Profile:
    """The profile for `--venue` and `--live`. Raises CliError."""
    for profile in _PROFILES:
        if (profile.venue, profile.live) == (venue, live):
            return profile
    real = " or ".join(profile.venue for profile in _PROFILES if profile.live)
    raise CliError(
        f"--live does not go with --venue {venue}",
        f"Real money is traded with --venue {real} only.",
    )


def ports(
    environment: Mapping[str, str], offset: int, further: tuple[Further, ...] = (),
    strategies: tuple[str, ...] = (),
) -> Ports:  # fmt: skip
    """The ports, with TICKBUS_API_PORT and `--port-offset` applied. Raises CliError."""
    text = environment.get("TICKBUS_API_PORT", "8080")
    if not text.isdecimal() or not 0 < int(text) <= 65_535:
        raise CliError(f"TICKBUS_API_PORT={text!r} is no port", "Use a number from 1 to 65535.")
    chosen = Ports(offset, int(text), further, strategies)
    if not all(1024 <= port <= 65_535 for port in chosen.all(True).values()):
        raise CliError(
            f"--port-offset {offset} leads outside the ports 1024 to 65535", "Use a smaller one."
        )
    _require_distinct(chosen.all(True))
    return chosen


def _require_distinct(ports: Mapping[str, int]) -> None:
    users: dict[int, str] = {}
    for name, port in ports.items():
        if port in users:
            raise CliError(
                f"{users[port]} and {name} would both listen on port {port}",
                "Give the venue another port in its rest_url, ws_url and ws_api_url.",
            )
        users[port] = name


def require_keys(
    profile: Profile, environment: Mapping[str, str], venues: Sequence[str] = ()
) -> None:
    """Refuse to start a profile that trades at a venue without its keys. Raises CliError.

    `venues`: the main one and the further ones; each may have keys of its own.
    """

    def lacks(key: str) -> bool:
        return not (environment.get(key) or environment.get(f"{key}_FILE"))

    owners = [own_keys(name) for name in venues] or ["VENUE"]
    missing = [
        key
        for key in KEYS
        if lacks(key) and any(lacks(key.replace("VENUE", owner, 1)) for owner in owners)
    ]
    if profile.needs_keys and missing:
        raise CliError(
            f"{profile.venue} needs keys to trade; not set: {', '.join(missing)}",
            "Set them in the environment or in .env, or name files that hold them with"
            f" {missing[0]}_FILE.\n  Without keys: tickbus up --venue"
            f" {profile.venue.removesuffix('-testnet')} (paper orders).",
        )


def duration_s(text: str) -> float:
    """Seconds in `90`, `90s`, `1.5s`, `5m` or `1h30m`. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is no duration: write 30s, 5m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total <= 0:
        raise ValueError(f"{text!r} is no duration: it must be longer than 0")
    return total


def find_configuration(start: Path) -> Path:
    """The directory that holds default.yaml: here, or where this program was installed from."""
    for base in (start, *Path(__file__).resolve().parents):
        if (base / "config" / "default.yaml").is_file():
            return base / "config"
    raise CliError(
        f"no config/default.yaml in {start}", "Run tickbus from the directory of the project."
    )


def configuration_files(
    directory: Path, profile: Profile, extra: Sequence[str]
) -> tuple[Path, ...]:
    """What is merged, in order: the default, the profile's overlays, then `--config` files."""
    names = ("default.yaml", *profile.overlays)
    files = [directory / name for name in names] + [Path(name).absolute() for name in extra]
    for file in files:
        if not file.is_file():
            raise CliError(f"{file}: no such configuration file", "Check the name after --config.")
    return tuple(files)


class StrategySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `strategy`: whether one process runs all strategies, or each has its own.

    Only one process for all takes further strategies while it runs.
    """

    processes: Literal["one", "each"] = "one"


def separate_strategies(settings: Settings) -> tuple[str, ...]:
    """The strategies that are to have a process and a login each. Raises ConfigError."""
    if settings.section("strategy", StrategySection).processes == "one":
        return ()
    entries = settings.raw.get("strategies") or ()
    return tuple(str(e["id"]) for e in entries if isinstance(e, dict) and e.get("id"))


class ExchangeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `exchange`: how the simulated exchange is started by `tickbus up`.

    `intensity`: rate of its crowd, 1 is a quiet market, 0 one that stands still. The two limits
    are what it allows one account and one address.
    """

    intensity: Annotated[float, msgspec.Meta(ge=0, le=100)] = 1.0
    orders_per_10s: Annotated[int, msgspec.Meta(gt=0)] = 100
    weight_per_minute: Annotated[int, msgspec.Meta(gt=0)] = 6000

    def options(self) -> list[str]:
        """The same as arguments of the exchange's command line."""
        return [
            "--intensity", str(self.intensity),
            "--orders-per-10s", str(self.orders_per_10s),
            "--weight-per-minute", str(self.weight_per_minute),
        ]  # fmt: skip


SCHEDULING = {"ledger": "idle", "history": "idle", "exchange": "normal", "alerts": "normal"}
"""Where all share few processors, what stands between a tick and its order, or between a user and
the kill switch, runs first (`realtime`, where permitted). The ledger is behind by what the machine
has no time for, and loses nothing: the stream keeps it. The exchange is not of the platform."""


def scheduling_of(base: Mapping[str, str], service: str) -> str:
    """The scheduling class of a service or server; one variable overrides all. Raises CliError."""
    try:
        return scheduling.checked(
            base.get(scheduling.VARIABLE) or SCHEDULING.get(service, "realtime")
        )
    except ConfigError as error:
        raise CliError(str(error)) from None


def without_secrets(base: Mapping[str, str]) -> dict[str, str]:
    """What of `base` a process may have that runs somebody's code and talks to nobody."""
    secret = (*BUS_SECRETS, ALERTS, KILL_TOKEN, *OF_API, "TICKBUS_POSTGRES_DSN")
    return {k: v for k, v in base.items() if not (k.startswith(secret) or _KEY.fullmatch(k))}


def child_environment(
    base: Mapping[str, str],
    name: str,
    profile: Profile,
    chosen: Ports,
    shared: Mapping[str, str],
    postgres_dsn: str,
    own: Mapping[str, str],
    venue: str = "",
) -> dict[str, str]:
    """The environment of one process: who trades gets the keys, who keeps books the database.

    `own` are what only this one may know: its login to the bus, say. `venue` is where it trades.
    """
    service = service_of(name)
    environment = {k: v for k, v in base.items() if not k.startswith(BUS_SECRETS)}
    environment |= {**shared, **own}
    environment["TICKBUS_METRICS_PORT"] = str(chosen.metrics(name))
    environment["TICKBUS_LOG_FORMAT"] = "json"
    environment[scheduling.VARIABLE] = scheduling_of(base, service)
    environment["TICKBUS_API_PORT"] = str(chosen.api)
    environment.pop(VENUE_VARIABLE, None)
    if venue_of(name):
        environment[VENUE_VARIABLE] = venue_of(name)
    environment.pop("TICKBUS_INSTANCE", None)
    if strategy_of(name):
        environment["TICKBUS_STRATEGY_ID"] = strategy_of(name)
        environment["TICKBUS_INSTANCE"] = strategy_of(name)
    environment.pop("TICKBUS_POSTGRES_DSN", None)
    trades = service in TRADERS
    # The kill switch cancels everywhere; an execution needs no keys but those of its venue.
    owners = ("VENUE", own_keys(venue)) if service == "execution" else None
    for key in [key for key in environment if _KEY.fullmatch(key)]:
        owner = key.removeprefix("TICKBUS_").rpartition("_API_")[0]
        if not trades or profile.simulated or (owners is not None and owner not in owners):
            del environment[key]
    if trades and profile.simulated:
        environment |= SIM_KEYS
    if service not in ("killswitch", "api"):
        environment.pop(KILL_TOKEN, None)
        environment.pop(f"{KILL_TOKEN}_FILE", None)
    if service != "alerts":
        # The address of a channel is a secret, and nobody else's business.
        for key in [key for key in environment if key.startswith(ALERTS)]:
            del environment[key]
    if service != "api":
        for key in OF_API:
            environment.pop(key, None)
    else:
        environment["TICKBUS_KILL_URL"] = f"http://127.0.0.1:{chosen.metrics('killswitch')}"
    if service in ("ledger", "history"):
        environment["TICKBUS_POSTGRES_DSN"] = postgres_dsn
    if profile.simulated:
        address = f"127.0.0.1:{chosen.exchange}"
        environment["TICKBUS_VENUE_REST_URL"] = f"http://{address}"
        environment["TICKBUS_VENUE_WS_URL"] = f"ws://{address}"
        environment["TICKBUS_VENUE_WS_API_URL"] = f"ws://{address}/ws-api/v3"
    return environment
