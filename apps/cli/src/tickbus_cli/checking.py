"""Reads a whole configuration as the services will, before any of them starts."""

import msgspec

from tickbus.config import BusConfig, PostgresConfig, Settings
from tickbus_alerts.channels import Channel, addresses
from tickbus_alerts.config import AlertsConfig, ChannelConfig, rules_of
from tickbus_api.config import ApiConfig
from tickbus_book.config import BookConfig
from tickbus_cli.profile import ExchangeSection, StrategySection
from tickbus_execution.config import ExecutionConfig
from tickbus_feed.config import FeedConfig
from tickbus_history.config import HistoryConfig
from tickbus_killswitch.config import KillConfig
from tickbus_ledger.config import LedgerConfig
from tickbus_risk.config import RiskConfig
from tickbus_router.config import RouterConfig
from tickbus_strategy.config import check as check_strategies

SECTIONS: dict[str, type[msgspec.Struct]] = {
    "bus": BusConfig, "postgres": PostgresConfig, "feed": FeedConfig, "book": BookConfig,
    "strategy": StrategySection, "risk": RiskConfig, "execution": ExecutionConfig,
    "router": RouterConfig, "ledger": LedgerConfig, "history": HistoryConfig, "api": ApiConfig,
    "exchange": ExchangeSection, "killswitch": KillConfig, "alerts": AlertsConfig,
}  # fmt: skip
"""Whose struct each section is; `platform`, `venue`, `venues` and `strategies` have their own."""


def check(settings: Settings) -> None:
    """Refuse the first mistake. Raises ConfigError.

    Files of strategies are not run here: this process knows keys that they must not see.
    """
    _ = settings.platform, settings.venues
    for name, kind in SECTIONS.items():
        settings.section(name, kind)
    check_strategies(settings)
    config = settings.section("alerts", AlertsConfig)
    found = addresses(settings)
    rules_of(config, tuple(found), settings.source)
    for name, address in found.items():
        severity = config.channels.get(name, ChannelConfig()).severity_min
        Channel(name, address, severity, config.send_timeout_s)
