"""Configuration of the gateway."""

from tickbus.config import Config


class ApiConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `api` section.

    `order_wait_s` is how long a POST or DELETE waits for the outcome before it answers "pending";
    `stale_after_s` is the age after which a price is called stale. `hosts` are the names, besides
    localhost and addresses, under which a browser may send orders.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    order_wait_s: float = 2.0
    ledger_timeout_s: float = 2.0
    stale_after_s: float = 10.0
    hosts: tuple[str, ...] = ()
