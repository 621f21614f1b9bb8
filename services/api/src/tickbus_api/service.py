"""What the gateway is made of: the core, its subjects, and the HTTP server as its edge."""

from typing import Any

import msgspec

from tickbus import codec, subjects
from tickbus.bus import Message, Subscription
from tickbus.codec import MalformedMessage
from tickbus.config import ConfigError, Settings
from tickbus.runtime import Context, HttpServer, ServiceSpec
from tickbus_api.access import Access
from tickbus_api.app import create_app
from tickbus_api.config import ApiConfig
from tickbus_api.core import ApiCore, OrderChanged
from tickbus_api.gateway import Configured, Gateway
from tickbus_api.killswitch import KillSwitch


class HttpEdge:
    """The REST gateway, and its view of the order path from the moment it starts."""

    def __init__(self, gateway: Gateway, access: Access) -> None:
        self.app: Any = create_app(gateway, access)
        self._access = access
        self._gateway = gateway
        self._server = HttpServer(self.app, gateway.config.host, gateway.config.port)
        self._orders: Subscription | None = None

    @property
    def port(self) -> int:
        """Where it listens; the one chosen when port 0 was configured."""
        return self._server.port

    async def start(self, context: Context) -> None:
        """Follow the orders, then answer requests."""

        async def follow(message: Message) -> None:
            try:
                envelope = codec.decode_said(message.subject, message.payload)
            except MalformedMessage as error:
                context.quarantine(message.subject, message.payload, error)
                return
            self._access.hear(envelope.events)
            await context.emit(envelope.events, envelope.hops)

        self._gateway.context = context
        await self._access.start(context)
        self.app.state.streams.wire = self._server.wire
        self.app.state.streams.start(context)
        position = await context.bus.last_sequence() + 1
        self._orders = await context.bus.follow([subjects.ORDERS_ALL], position, follow)
        await self._server.start()
        context.log.info("listening on http://%s:%d", self._server.host, self._server.port)

    async def stop(self) -> None:
        """Finish the requests that are open, then stop following."""
        await self._server.stop()
        await self._access.stop()
        if self._orders is not None:
            await self._orders.stop()


def build(settings: Settings) -> ServiceSpec:
    """The gateway as configured; TICKBUS_API_HOST, _PORT and _ACCESS go over the file."""
    core = ApiCore()
    config = configuration(settings)
    gateway = Gateway(
        core,
        config,
        settings.run_id,
        _configured(settings),
        KillSwitch.of(settings),
    )
    return ServiceSpec(
        name="api",
        core=core,
        subscribe=(
            subjects.BOOK_TOP_ALL,
            subjects.BOOK_DEPTH_ALL,
            subjects.CONSOLIDATED_ALL,
            subjects.market("trade"),
            subjects.market("status"),
            subjects.RISK_STATE,
            subjects.LOGS_ALL,
        ),
        watch=("instruments", "strategies"),
        sinks={OrderChanged: gateway.on_changed},
        edges=(HttpEdge(gateway, Access.of(settings, config)),),
    )


def _configured(settings: Settings) -> Configured:
    venues = settings.venues
    entries = settings.raw.get("strategies") or ()
    return Configured(
        venues=tuple(venue.name for venue in venues),
        instruments=tuple(dict.fromkeys(name for venue in venues for name in venue.instruments)),
        strategies=tuple(str(e["id"]) for e in entries if isinstance(e, dict) and e.get("id")),
        accounts=settings.venues,
        name=settings.platform.name,
        mode=settings.platform.mode,
    )


def configuration(settings: Settings) -> ApiConfig:
    """The `api` section with what the environment says over it. Raises ConfigError."""
    config = settings.section("api", ApiConfig)
    host = settings.environment.get("TICKBUS_API_HOST") or config.host
    port = settings.environment.get("TICKBUS_API_PORT") or str(config.port)
    if not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"TICKBUS_API_PORT={port!r}: must be a port, 0 for any free one")
    access = settings.environment.get("TICKBUS_API_ACCESS") or config.access or "login"
    if access not in ("login", "local"):
        raise ConfigError(f"TICKBUS_API_ACCESS={access!r}: must be login or local")
    return msgspec.structs.replace(config, host=host, port=int(port), access=access)
