"""Configuration: YAML with ${ENV} substitution, checked against frozen structs, typos refused."""

import difflib
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from dotenv import dotenv_values

from tickbus.events.base import FeeSchedule
from tickbus.events.orders import SMART_VENUE
from tickbus.login import Login

SECTIONS = (
    "platform", "bus", "postgres", "venue", "venues", "feed", "book", "strategies", "strategy",
    "risk", "execution", "router", "ledger", "history", "api", "exchange", "replay",
    "killswitch", "alerts",
)  # fmt: skip
VENUE_VARIABLE = "TICKBUS_VENUE"
"""Which venue a feed or an execution is for, where there are several."""
DEFAULT_FILE = Path("config/default.yaml")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")

T = TypeVar("T")


class ConfigError(Exception):
    """The configuration cannot be used; the text names file, key, value and remedy."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every configuration section.

    Subclasses write frozen, kw_only and forbid_unknown_fields again: mypy wants the first,
    msgspec the others.
    """


class PlatformConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What this installation is; `mode` is simulated, paper, testnet, live or dry_run.

    `rehearse_every_ms`: how often the order path is rehearsed to keep it warm; 0 is never.
    `snapshot_every_s` and `snapshot_every_events`: whichever comes first, a service keeps what it
    knows, so that its restart reads no more history than that; 0 seconds is never.
    `deliveries_max`: a message that a service failed to handle so often becomes a dead letter.
    `logs_told`: what of their logs services tell on the bus, for the gateway to show: lines of this
    level and above, or off.
    """

    name: str = "tickbus"
    mode: typing.Literal["simulated", "paper", "testnet", "live", "dry_run"] = "simulated"
    rehearse_every_ms: typing.Annotated[float, msgspec.Meta(ge=0, le=1000)] = 0.0
    snapshot_every_s: typing.Annotated[float, msgspec.Meta(ge=0)] = 120.0
    snapshot_every_events: typing.Annotated[int, msgspec.Meta(ge=100)] = 20_000
    deliveries_max: typing.Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    logs_told: typing.Literal["off", "info", "warning", "error"] = "warning"


class BusConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where NATS is, and on how many servers of a cluster each stream and bucket is kept.

    `url`: with commas between where the addresses of several servers are given.
    """

    url: str = "nats://127.0.0.1:4222"
    replicas: typing.Annotated[int, msgspec.Meta(ge=1, le=5)] = 1


class PostgresConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the ledger's database is; the password comes with the DSN from the environment."""

    dsn: str = ""


class VenueConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One venue account: its name on the bus, the adapter that speaks to it, and its URLs.

    `fees` are fractions of notional; they are what strategies and the paper venue reckon with,
    real fills carry their own.
    """

    name: str
    adapter: str
    rest_url: str
    ws_url: str
    ws_api_url: str
    instruments: tuple[str, ...]
    fees: FeeSchedule


class Source(str):
    """The names of the merged files, joined; an error names the one that `of` finds."""

    layers: Sequence[tuple[Path, Mapping[str, Any]]] = ()

    @classmethod
    def merged(cls, layers: Sequence[tuple[Path, Mapping[str, Any]]]) -> "Source":
        """That of `layers`, later ones over earlier ones."""
        made = cls(os.pathsep.join(str(file) for file, _ in layers))
        made.layers = layers
        return made

    def of(self, path: str) -> str:
        """The file whose word on `path` (`risk.order_notional_max`) holds; all where none has."""
        for file, raw in reversed(self.layers):
            if _found(raw, f".{path}") is not _MISSING:
                return str(file)
        return self


@dataclass(frozen=True)
class Settings:
    """The merged configuration, and what the environment says of this process.

    `run_id` differs between any two starts of a service, so that ids derived from it do too.
    `folders` are those that the files lie in.
    """

    raw: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)
    run_id: str = "run"
    instance: str = "0"
    source: str = "configuration"
    folders: tuple[Path, ...] = ()

    def section(self, name: str, kind: type[T]) -> T:
        """Section `name` as a struct of type `kind`. Raises ConfigError."""
        return convert(self.raw.get(name) or {}, kind, name, self.source)

    def entries(self, name: str, kind: type[T]) -> tuple[T, ...]:
        """Section `name`, a list, as structs of type `kind`. Raises ConfigError."""
        values = self.raw.get(name) or []
        if not isinstance(values, list):
            raise ConfigError(f"{self.source}: {name} must be a list, not {values!r}")
        return tuple(
            convert(value, kind, f"{name}[{index}]", self.source)
            for index, value in enumerate(values)
        )

    @property
    def platform(self) -> PlatformConfig:
        """The `platform` section."""
        return self.section("platform", PlatformConfig)

    @property
    def venue(self) -> VenueConfig:
        """This process's: section `venue`, or that of `venues` which TICKBUS_VENUE names.

        Raises ConfigError for a name that is not there.
        """
        wanted = self.environment.get(VENUE_VARIABLE, "")
        found = self.venues
        for venue in found:
            if wanted in ("", venue.name):
                return venue
        hint = nearest(wanted, [venue.name for venue in found], "venues")
        raise ConfigError(f"{VENUE_VARIABLE}={wanted!r}: no such venue in {self.source}; {hint}")

    @property
    def venues(self) -> tuple[VenueConfig, ...]:
        """The main venue (`venue`) and the further ones (`venues`). Raises ConfigError."""
        found = (self.section("venue", VenueConfig), *self.entries("venues", VenueConfig))
        names = [venue.name for venue in found]
        for name in names:
            if names.count(name) > 1 or name == SMART_VENUE:
                why = "is given twice" if name != SMART_VENUE else "is the router's"
                raise ConfigError(f"{self.source}: venues: the name {name!r} {why}; choose another")
        return found

    @property
    def further_venue(self) -> str:
        """The name of this process's venue where it is not the main one; "" otherwise."""
        wanted = self.environment.get(VENUE_VARIABLE, "")
        return wanted if wanted and wanted != self.venues[0].name else ""

    def venue_keys(self, venue: VenueConfig) -> tuple[str, str]:
        """(key, secret) of the account at `venue`; "" where there is none.

        Those of its own are TICKBUS_<NAME>_API_KEY and _SECRET; without them it uses the common
        TICKBUS_VENUE_API_KEY and _SECRET. Raises ConfigError.
        """
        own = own_keys(venue.name).lower()
        key = self.secret(f"{own}_api_key") or self.secret("venue_api_key")
        return key, self.secret(f"{own}_api_secret") or self.secret("venue_api_secret")

    @property
    def bus_url(self) -> str:
        """Where NATS is."""
        return self.section("bus", BusConfig).url

    @property
    def bus_replicas(self) -> int:
        """On how many servers of NATS each stream and bucket is kept. Raises ConfigError."""
        return self.section("bus", BusConfig).replicas

    @property
    def bus_login(self) -> Login | None:
        """As whom to connect to NATS; None for a server without users. Raises ConfigError."""
        user, password = self.secret("nats_user"), self.secret("nats_password")
        if bool(user) != bool(password):
            known, missing = "USER", "PASSWORD"
            if password:
                known, missing = missing, known
            raise ConfigError(
                f"TICKBUS_NATS_{known} is set but TICKBUS_NATS_{missing} is not: set it, or name a"
                f" file that holds it with TICKBUS_NATS_{missing}_FILE"
            )
        return Login(user, password) if user else None

    @property
    def postgres_dsn(self) -> str:
        """Where Postgres is. Raises ConfigError when nobody said."""
        dsn = self.section("postgres", PostgresConfig).dsn
        if not dsn:
            raise ConfigError(
                "postgres.dsn is empty: set TICKBUS_POSTGRES_DSN=postgresql://user:password@host/db"
            )
        return dsn

    def secret(self, name: str) -> str:
        """A secret from TICKBUS_<NAME> or the file named by TICKBUS_<NAME>_FILE; '' when unset."""
        variable = f"TICKBUS_{name.upper()}"
        path = self.environment.get(f"{variable}_FILE")
        if path:
            try:
                return Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ConfigError(f"{variable}_FILE={path}: {error.strerror}") from error
        return self.environment.get(variable, "")


def own_keys(name: str) -> str:
    """What stands for a venue in the names of its own keys: `BINANCE_2` for binance-2."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def load(
    paths: Iterable[str | Path] = (),
    environment: Mapping[str, str] | None = None,
    *,
    run_id: str = "run",
    instance: str = "0",
) -> Settings:
    """Read and merge YAML files, later ones over earlier ones. Raises ConfigError.

    Without `paths`, TICKBUS_CONFIG (paths joined by the system's separator) or config/default.yaml
    is read. `${NAME}` and `${NAME:-default}` are replaced from the environment, then from a `.env`
    file in the working directory; the default also takes the place of an empty value.
    """
    variables = dict(os.environ if environment is None else environment)
    files = [Path(path) for path in paths]
    if not files:
        named = variables.get("TICKBUS_CONFIG", "")
        files = [Path(p) for p in named.split(os.pathsep) if p] or [DEFAULT_FILE]
    dotenv = {k: v for k, v in dotenv_values(".env").items() if v is not None}
    variables = {**dotenv, **variables}
    layers = [(file, _read(file, variables)) for file in files]
    merged: dict[str, Any] = {}
    for _, raw in layers:
        merged = _merge(merged, raw)
    source = Source.merged(layers)
    _refuse_unknown(merged, SECTIONS, "", source)
    folders = tuple(dict.fromkeys(file.absolute().parent for file in files))
    return Settings(merged, variables, run_id, instance, source, folders)


def convert(value: Any, kind: type[T], where: str, source: str = "configuration") -> T:
    """`value` as a `kind`; unknown keys are refused with a suggestion. Raises ConfigError."""
    _check_keys(value, kind, where, source)
    try:
        return msgspec.convert(value, kind, strict=False, str_keys=True)
    except msgspec.ValidationError as error:
        text = str(error)
        path = where
        if " - at `$" in text:
            text, _, tail = text.partition(" - at `$")
            path = where + tail.rstrip("`")
        given = _found(value, path[len(where) :])
        if given is _MISSING or isinstance(given, dict | list):  # what lacks something, say
            raise ConfigError(f"{source}: {path}: {text}") from error
        raise ConfigError(f"{_file(source, path)}: {path} = {given!r}: {text}") from error


_MISSING = object()


def _file(source: str, path: str) -> str:
    return source.of(path) if isinstance(source, Source) else source


def _found(value: Any, path: str) -> Any:
    for part in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
        try:
            value = value[part[0]] if part[0] else value[int(part[1])]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return value


def _read(path: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); name a configuration file with --config or"
            " TICKBUS_CONFIG"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not text in UTF-8; save it as such") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}{_not_yaml(error)}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: the top level must be sections such as `risk:`, not {data!r}")
    substituted: dict[str, Any] = _substitute(data, variables, path)
    return substituted


def _not_yaml(error: yaml.YAMLError) -> str:
    """Which line is none, and why."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return f": not YAML: {' '.join(str(error).split())}"
    return f", line {mark.line + 1}: not YAML: {problem}"


def _substitute(value: Any, variables: Mapping[str, str], path: Path) -> Any:
    if isinstance(value, dict):
        return {k: _substitute(v, variables, path) for k, v in value.items()}
    if isinstance(value, list):
        return [_substitute(v, variables, path) for v in value]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = variables.get(name)
        if found is None and default is None:
            raise ConfigError(
                f"{path}: ${{{name}}} is not set in the environment and has no default"
            )
        return found or default or ""

    return _VARIABLE.sub(replace, value)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _check_keys(value: Any, kind: Any, where: str, source: str) -> None:
    for candidate in _structs_in(kind):
        if isinstance(value, dict) and candidate.__struct_config__.forbid_unknown_fields:
            hints = typing.get_type_hints(candidate)
            _refuse_unknown(value, candidate.__struct_fields__, where, source)
            for key, inner in value.items():
                _check_keys(inner, hints[key], f"{where}.{key}", source)
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if isinstance(value, list) and origin in (list, tuple) and arguments:
        for index, inner in enumerate(value):
            _check_keys(inner, arguments[0], f"{where}[{index}]", source)
    if isinstance(value, dict) and origin in (dict, Mapping) and len(arguments) == 2:
        for key, inner in value.items():
            _check_keys(inner, arguments[1], f"{where}.{key}", source)


def _structs_in(kind: Any) -> list[Any]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        structs = [s for a in typing.get_args(kind) for s in _structs_in(a)]
        return structs if len(structs) == 1 else []
    return []


def _refuse_unknown(
    value: Mapping[str, Any], known: Iterable[str], where: str, source: str
) -> None:
    names = list(known)
    for key in value:
        if key in names:
            continue
        place = f"{where}.{key}" if where else str(key)
        hint = nearest(str(key), names, "keys")
        raise ConfigError(f"{_file(source, place)}: {place}: unknown key; {hint}")


def nearest(name: str, known: Sequence[str], what: str) -> str:
    """A hint for people: the known name most like `name`, or all of them."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known {what}: {', '.join(known) or 'none'}"
