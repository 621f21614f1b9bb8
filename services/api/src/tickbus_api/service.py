"""What the gateway is made of: the core, its subjects, and the HTTP server as its edge."""

from typing import Any

from tickbus import codec, subjects
from tickbus.bus import Message, Subscription
from tickbus.codec import MalformedMessage
from tickbus.config import ConfigError, Settings
from tickbus.runtime import Context, HttpServer, ServiceSpec
from tickbus_api.app import create_app
from tickbus_api.config import ApiConfig
from tickbus_api.core import ApiCore, OrderChanged
from tickbus_api.gateway import Gateway
from tickbus_api.killswitch import KillSwitch


class HttpEdge:
    """The REST gateway, and its view of the order path from the moment it starts."""

    def __init__(self, gateway: Gateway) -> None:
        self.app: Any = create_app(gateway)
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
            await context.emit(envelope.events, envelope.hops)

        self._gateway.context = context
        position = await context.bus.last_sequence() + 1
        self._orders = await context.bus.follow([subjects.ORDERS_ALL], position, follow)
        await self._server.start()
        context.log.info("listening on http://%s:%d", self._server.host, self._server.port)

    async def stop(self) -> None:
        """Finish the requests that are open, then stop following."""
        await self._server.stop()
        if self._orders is not None:
            await self._orders.stop()


def build(settings: Settings) -> ServiceSpec:
    """The gateway as configured; TICKBUS_API_HOST and TICKBUS_API_PORT go over the file."""
    core = ApiCore()
    gateway = Gateway(
        core,
        configuration(settings),
        settings.run_id,
        [venue.name for venue in settings.venues],
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
            subjects.RISK_STATE,
        ),
        watch=("instruments",),
        sinks={OrderChanged: gateway.on_changed},
        edges=(HttpEdge(gateway),),
    )


def configuration(settings: Settings) -> ApiConfig:
    """The `api` section with what the environment says over it. Raises ConfigError."""
    config = settings.section("api", ApiConfig)
    host = settings.environment.get("TICKBUS_API_HOST") or config.host
    port = settings.environment.get("TICKBUS_API_PORT") or str(config.port)
    if not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"TICKBUS_API_PORT={port!r}: must be a port, 0 for any free one")
    return ApiConfig(
        host=host,
        port=int(port),
        order_wait_s=config.order_wait_s,
        ledger_timeout_s=config.ledger_timeout_s,
        stale_after_s=config.stale_after_s,
    )
