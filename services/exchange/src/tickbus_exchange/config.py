"""What the exchange can be told: symbols, balances, fees, limits. Frozen; unknown keys refused."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from tickbus_exchange.engine.filters import SymbolRules
from tickbus_exchange.engine.numbers import SCALE, parse

RESERVED = "futures"
"""The margin account's name in the matching engine."""
SIMULATION_API_KEY = "sim-key"
# A well-known key pair of a simulated account that holds no real money.
SIMULATION_API_SECRET = "sim-secret"  # noqa: S105


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A tradable symbol: its rules, its first price and how much one order of the crowd is."""

    rules: SymbolRules
    first_price: int
    typical_quantity: float
    """Median order of the crowd, in base units."""
    activity: float = 1.0
    """How busy its crowd is, beside that of the others."""


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one address or account may ask for."""

    weight_per_minute_max: int = 6_000
    orders_per_10s_max: int = 100
    orders_per_day_max: int = 200_000


class FuturesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The futures side: every user's first wallet in 1e-8 USDT, fees and funding in 1e-8."""

    wallet: int = 100_000 * SCALE
    maker_fee: int = SCALE * 2 // 10_000
    taker_fee: int = SCALE * 5 // 10_000
    funding_interval_ms: int = 8 * 3_600_000
    funding_rate: int = SCALE // 10_000
    """Above 0 longs pay shorts."""
    weight_per_minute_max: int = 2_400
    orders_per_10s_max: int = 300
    orders_per_minute_max: int = 1_200


class KeyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key: HMAC with a `secret`, or Ed25519 with a `public_key` (PEM). Not both.

    Nothing can be withdrawn from a simulation: a key with `withdraw` only says that it might.
    """

    key: str
    secret: str = ""
    public_key: str = ""
    permissions: tuple[Literal["read", "trade", "withdraw"], ...] = ("read", "trade")

    def __post_init__(self) -> None:
        """Refuse a key that nothing, or two things, could verify."""
        if not self.key:
            raise ValueError("an API key must not be empty")
        if bool(self.secret) == bool(self.public_key):
            raise ValueError(f"API key {self.key!r} needs either a secret or a public_key")


class AccountConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One user of the exchange: first balances, as in {"USDT": "1000"}, and API keys."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_-]{0,31}$")]
    balances: dict[str, str] = {}
    keys: tuple[KeyConfig, ...] = ()

    def units(self) -> dict[str, int]:
        """Return the balances in 1e-8 units. Raises ValueError for what is no number."""
        return {asset: parse(amount) for asset, amount in self.balances.items()}


class ExchangeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a simulated exchange needs to know at start."""

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 1
    intensity: float = 1.0
    """Rate of the crowd; 1.0 is some 400 orders and cancels a second, 0 a still book."""
    api_key: str = SIMULATION_API_KEY
    api_secret: str = SIMULATION_API_SECRET
    state_dir: Path | None = None
    listings: tuple[Listing, ...] = ()
    balances: dict[str, int] = {}
    maker_fee: int = SCALE // 1_000
    taker_fee: int = SCALE // 1_000
    rate_limits: RateLimits = RateLimits()
    socket_life_s: float = 86_400.0
    """Age at which a WebSocket is closed, a day as at Binance."""
    futures: FuturesConfig = FuturesConfig()
    accounts: tuple[AccountConfig, ...] = ()
    """Users besides the first, whose keys may be among them too."""
    fee_asset: str = ""
    """Users pay fees in this asset, at `fee_asset_rate`, while they hold enough; "" for never."""
    fee_asset_rate: int = SCALE * 3 // 4


def _listing(
    base: str, price: str, tick: str, step: str, quantity_max: str, typical: float
) -> Listing:
    rules = SymbolRules(
        symbol=f"{base}USDT",
        base=base,
        quote="USDT",
        tick_size=parse(tick),
        step_size=parse(step),
        price_min=parse(tick),
        price_max=parse("1000000"),
        quantity_min=parse(step),
        quantity_max=parse(quantity_max),
        market_quantity_max=parse(quantity_max) // 50,
    )
    return Listing(rules=rules, first_price=parse(price), typical_quantity=typical)


DEFAULT_LISTINGS = (
    _listing("BTC", "60000", "0.01", "0.00001", "9000", 0.02),
    _listing("ETH", "2600", "0.01", "0.0001", "9000", 0.4),
    _listing("SOL", "150", "0.01", "0.001", "90000", 6.0),
)

FEE_ASSET = "BNB"
FEE_ASSET_LISTING = _listing("BNB", "600", "0.01", "0.001", "90000", 1.0)
"""Listed by choice only."""

MORE_SYMBOLS_MAX = 1_000
QUIET = 0.02


def more_listings(count: int) -> tuple[Listing, ...]:
    """`count` quiet symbols, X001USDT and so on. Raises ValueError for too many."""
    if not 0 <= count <= MORE_SYMBOLS_MAX:
        raise ValueError(f"--more-symbols {count} is outside 0 to {MORE_SYMBOLS_MAX}")
    return tuple(
        msgspec.structs.replace(
            _listing(f"X{n:03d}", "10", "0.001", "0.01", "90000", 50.0), activity=QUIET
        )
        for n in range(1, count + 1)
    )


DEFAULT_BALANCES = {
    "USDT": parse("100000"),
    "BTC": parse("1"),
    "ETH": parse("20"),
    "SOL": parse("300"),
}


def parse_balances(text: str) -> dict[str, int]:
    """Read `USDT=100000,BTC=1`. Raises ValueError naming the part that cannot be read."""
    balances: dict[str, int] = {}
    for part in text.split(","):
        asset, separator, amount = part.strip().partition("=")
        if not separator or not asset.isalnum():
            raise ValueError(f"balance {part!r} is not ASSET=AMOUNT, as in USDT=100000,BTC=1")
        balances[asset.upper()] = parse(amount)
    return balances


class _Accounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    accounts: tuple[AccountConfig, ...]


def read_accounts(path: Path) -> tuple[AccountConfig, ...]:
    """Read an accounts file. Raises ValueError naming the file and what is wrong with it."""
    try:
        accounts = msgspec.json.decode(path.read_bytes(), type=_Accounts).accounts
        names = [account.name for account in accounts]
        keys = [key.key for account in accounts for key in account.keys]
        for what, values in (("account", names), ("API key", keys)):
            twice = next((v for v in values if values.count(v) > 1), None)
            if twice is not None:
                raise ValueError(f"{what} {twice!r} is there twice")
        if RESERVED in names:
            raise ValueError(f"account name {RESERVED!r} is taken")
        for account in accounts:
            account.units()
    except OSError as error:
        raise ValueError(f"--accounts: cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ValueError(f"--accounts: {path}: {error}") from error
    return accounts
