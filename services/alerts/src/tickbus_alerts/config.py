"""The alerts service's section of the configuration: rules, and who is told of what."""

import re
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from tickbus.alerts_api import RuleReport, Severity
from tickbus.config import Config, ConfigError, nearest
from tickbus_alerts.kinds import KINDS, default_rules, rule_of
from tickbus_alerts.rules import Rule

RULES_MAX = 100
FILTERS = (
    "strategies", "venues", "instruments", "reasons", "services", "share", "notional_min",
)  # fmt: skip
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
_Names = tuple[str, ...]


class RuleConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `alerts.rules`; what is left out is as it is by default for its kind.

    `when` is the kind; an entry named like a kind changes the rule that is there. For the rest see
    `Rule`. `channels: []` writes to the log alone.
    """

    when: str = ""
    enabled: bool | None = None
    severity: Severity | None = None
    wait_s: _Seconds | None = None
    cooldown_s: _Seconds | None = None
    at_least: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    channels: _Names | None = None
    strategies: _Names | None = None
    venues: _Names | None = None
    instruments: _Names | None = None
    reasons: _Names | None = None
    services: _Names | None = None
    share: Decimal | None = None
    notional_min: Decimal | None = None


class ChannelConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `alerts.channels`: what a channel is told; its address is never in a file."""

    severity_min: Severity = Severity.INFO


class AlertsConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `alerts`.

    `send_timeout_s`: for one try. `retry_max_s`: the longest pause between two. `keep_s`: what a
    channel did not take for so long is given up. `ask_every_s`: how often all services are asked
    whether they are there. `forget_s`: a service that is gone for so long is not missed any more.
    """

    rules: dict[str, RuleConfig] = {}  # noqa: RUF012 - msgspec copies it
    channels: dict[str, ChannelConfig] = {}  # noqa: RUF012 - msgspec copies it
    send_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0
    retry_max_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 300.0
    keep_s: Annotated[float, msgspec.Meta(gt=0)] = 86_400.0
    ask_every_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5.0
    forget_s: Annotated[float, msgspec.Meta(gt=0)] = 86_400.0


def rules_of(config: AlertsConfig, channels: tuple[str, ...], source: str) -> tuple[Rule, ...]:
    """The rules in force, those of the kinds first. Raises ConfigError."""
    found = {rule.name: rule for rule in default_rules()}
    for name, entry in config.rules.items():
        found[name] = _rule(
            name, entry, found.get(name), channels, f"{source}: alerts.rules.{name}"
        )
    if len(found) > RULES_MAX:
        raise ConfigError(f"{source}: alerts.rules: {len(found)} rules, more than {RULES_MAX}")
    for name in config.channels:
        if name not in channels:
            raise ConfigError(f"{source}: alerts.channels.{name}: {_no_channel(name, channels)}")
    return tuple(found.values())


def _rule(
    name: str, entry: RuleConfig, known: Rule | None, channels: tuple[str, ...], where: str
) -> Rule:
    when = entry.when or (known.when if known else "")
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a name has small letters, digits, '-' and '_', 40 at most")
    if when not in KINDS:
        hint = nearest(when or name, list(KINDS), "kinds")
        raise ConfigError(f"{where}.when = {when!r}: there is no such kind of rule; {hint}")
    base = known if known is not None and known.when == when else rule_of(name, when)
    fields = entry.__struct_fields__
    changes: dict[str, Any] = {
        field: value
        for field in fields
        if field != "when" and (value := getattr(entry, field)) is not None
    }
    kind = KINDS[when]
    for field in changes:
        if field in FILTERS and field not in kind.filters:
            known_here = ", ".join(kind.filters) or "none"
            raise ConfigError(f"{where}.{field}: does not apply to {when!r}; filters: {known_here}")
    for channel in entry.channels or ():
        if channel not in channels:
            raise ConfigError(f"{where}.channels: {_no_channel(channel, channels)}")
    rule = msgspec.structs.replace(base, **changes)
    if not 0 < rule.share <= 1:
        raise ConfigError(f"{where}.share = {rule.share}: a part of the limit, above 0, at most 1")
    if not (rule.notional_min.is_finite() and rule.notional_min >= 0):
        raise ConfigError(f"{where}.notional_min = {rule.notional_min}: an amount, 0 or more")
    if rule.at_least > 1 and (kind.lasts or not rule.wait_s):
        remedy = "leave it out" if kind.lasts else "set wait_s, for that is how long is counted"
        raise ConfigError(f"{where}.at_least = {rule.at_least}: {remedy}")
    if not kind.lasts and rule.cooldown_s < 1:
        raise ConfigError(f"{where}.cooldown_s = {rule.cooldown_s:g}: at least 1 for {when!r}")
    return rule


def _no_channel(name: str, channels: tuple[str, ...]) -> str:
    variable = f"TICKBUS_ALERTS_{name.upper().replace('-', '_')}"
    return (
        f"no channel {name!r}; set {variable} or {variable}_FILE to its address"
        f" (docs/alerts.md); {nearest(name, channels, 'channels')}"
    )


def reports(rules: tuple[Rule, ...], channels: tuple[str, ...]) -> tuple[RuleReport, ...]:
    """The rules as people see them."""
    return tuple(
        RuleReport(
            name=rule.name,
            when=rule.when,
            says=KINDS[rule.when].says,
            enabled=rule.enabled,
            severity=rule.severity,
            wait_s=rule.wait_s,
            cooldown_s=rule.cooldown_s,
            at_least=rule.at_least,
            channels=channels if rule.channels is None else rule.channels,
            filters=_filters(rule),
        )
        for rule in rules
    )


def _filters(rule: Rule) -> dict[str, str]:
    found = {}
    for name in KINDS[rule.when].filters:
        value = getattr(rule, name)
        text = ", ".join(value) if isinstance(value, tuple) else f"{value:f}"
        if text and text != "0":
            found[name] = text
    return found
