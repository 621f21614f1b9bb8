"""Configuration of the gateway."""

from typing import Annotated, Literal

from msgspec import Meta

from tickbus.config import Config

Access = Literal["login", "local"]


class StreamsConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part `api.streams`.

    At most `clients_max` connections listen at once, each to `topics_max` topics; one that reads
    nothing for `stalled_after_s` is closed.
    """

    clients_max: int = 500
    topics_max: int = 200
    stalled_after_s: float = 30.0


class ApiConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `api` section.

    `order_wait_s` is how long a POST or DELETE waits for the outcome before it answers "pending";
    `stale_after_s` is the age after which a price is called stale. `hosts` are the names, besides
    localhost and addresses, under which a browser may send orders.

    `access`: `login` wants users and keys of everybody; `local` takes whoever sends from this
    machine as its admin. "" is `login`, unless `tickbus up` says `local`. `cors_origins`: pages of
    other origins that may use the API. `rate_per_s` and `rate_burst`: requests of one user or key.
    `token_s`: how long an access token is good; `session_days`: how long a login that is not used.
    `metrics_open`: GET /metrics needs no login. `cookies_secure`: browsers send their login over
    TLS only; for a gateway behind a proxy that ends TLS. `trusted_proxies`: networks whose word on
    whom they ask for (X-Forwarded-For) is believed: those of one's own proxies.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    order_wait_s: float = 2.0
    ledger_timeout_s: float = 2.0
    stale_after_s: float = 10.0
    hosts: tuple[str, ...] = ()
    streams: StreamsConfig = StreamsConfig()
    access: Access | Literal[""] = ""
    cors_origins: tuple[str, ...] = ()
    rate_per_s: Annotated[float, Meta(gt=0)] = 50.0
    rate_burst: Annotated[int, Meta(ge=1)] = 200
    token_s: Annotated[int, Meta(ge=10, le=86_400)] = 900
    session_days: Annotated[int, Meta(ge=1, le=365)] = 7
    metrics_open: bool = True
    cookies_secure: bool = False
    trusted_proxies: tuple[str, ...] = ()
