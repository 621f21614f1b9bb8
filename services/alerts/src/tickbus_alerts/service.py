"""The declaration of the alerts service."""

import time

from tickbus import alerts_api, codec, subjects
from tickbus.alerts_api import AlertsAnswer, AlertsQuery, TrialAnswer, TrialQuery
from tickbus.bus import Bus
from tickbus.codec import MalformedMessage
from tickbus.config import Settings
from tickbus.runtime import ServiceSpec
from tickbus_alerts.channels import Channel, addresses
from tickbus_alerts.config import AlertsConfig, ChannelConfig, reports, rules_of
from tickbus_alerts.core import AlertsCore
from tickbus_alerts.courier import Courier
from tickbus_alerts.events import AlertCleared, AlertNoted, AlertRaised, ServicesExpected
from tickbus_alerts.rules import Rule
from tickbus_alerts.store import Store
from tickbus_alerts.watching import Watching


class Desk:
    """What is asked of the service over the bus."""

    def __init__(self, store: Store, courier: Courier, rules: tuple[Rule, ...]) -> None:
        self._store = store
        self._courier = courier
        self._rules = rules

    async def list(self, payload: bytes) -> bytes:
        """Alerts, channels and rules."""
        try:
            limit = codec.decode_value(payload, AlertsQuery).limit if payload else 50
        except MalformedMessage:
            limit = 50
        return codec.encode_value(
            AlertsAnswer(
                active=tuple(self._store.active()),
                recent=tuple(self._store.recent(limit)),
                channels=self._courier.reports(),
                rules=reports(self._rules, tuple(self._courier.lines)),
            )
        )

    async def test(self, payload: bytes) -> bytes:
        """A message through one channel, and what became of it."""
        known = tuple(self._courier.lines)
        try:
            name = codec.decode_value(payload, TrialQuery).channel
        except MalformedMessage as error:
            return codec.encode_value(TrialAnswer(problem=str(error), known=known))
        if name not in self._courier.lines:
            answer = TrialAnswer(problem=f"no channel {name!r}", known=known, is_known=False)
            return codec.encode_value(answer)
        problem = await self._courier.test(name)
        scheme = self._courier.lines[name].channel.scheme
        return codec.encode_value(TrialAnswer(problem=problem, scheme=scheme, known=known))


def build(settings: Settings) -> ServiceSpec:
    """The rules and channels as configured. Raises ConfigError."""
    config = settings.section("alerts", AlertsConfig)
    found = addresses(settings)
    rules = rules_of(config, tuple(found), settings.source)
    channels = [
        Channel(
            name,
            address,
            config.channels.get(name, ChannelConfig()).severity_min,
            config.send_timeout_s,
        )
        for name, address in found.items()
    ]
    core = AlertsCore(rules, config.forget_s)
    store = Store(rules, tuple(found))
    platform = settings.platform
    courier = Courier(store, rules, channels, config, f"{platform.name} {platform.mode}")
    desk = Desk(store, courier, rules)

    async def load(bus: Bus) -> None:
        await store.load(bus, time.time_ns())
        incidents = [record.incident for record in store.records.values()]
        core.restore(incidents, store.memory.services, store.memory.since)

    return ServiceSpec(
        name="alerts",
        core=core,
        subscribe=(subjects.market("status"), subjects.RISK_STATE, subjects.LEDGER_PORTFOLIO),
        consume=(
            subjects.ORDER_EVENTS_ALL,
            subjects.DENIED_ALL,
            subjects.RISK_AUDIT_ALL,
            subjects.STRATEGY_AUDIT_ALL,
            subjects.ACTS,
        ),
        recover=False,  # what is to be remembered is in the bucket, not to be read again
        sinks={
            AlertNoted: courier.on_noted,
            AlertRaised: courier.on_raised,
            AlertCleared: courier.on_cleared,
            ServicesExpected: lambda event, _: store.expect(event),
        },
        responders={alerts_api.LIST: desk.list, alerts_api.TEST: desk.test},
        edges=(courier, Watching(config.ask_every_s)),
        load=load,
    )
