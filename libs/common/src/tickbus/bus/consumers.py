"""How a reader gets its consumers on the server: by itself, or by way of the doorkeeper."""

import contextlib
from datetime import datetime
from typing import Protocol

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy

HEARTBEAT_S = 2.0
ACK_WAIT_S = 60.0
"""Longer than any handler takes: a repeat is only wanted from a consumer that was lost."""
ACK_PENDING_MAX = 5_000
PAGE = 256
MAKER = "tickbus.maker"


class Wish(msgspec.Struct, frozen=True, array_like=True):
    """A consumer of `stream` that sends to `deliver` from `start` on.

    `start` 0 means the last value of each subject. `maker` is unique; with `durable` what was
    handled is acknowledged and the server remembers it. With `window` it is acknowledged, too, so
    that at most so many messages are on their way, and forgotten afterwards.
    """

    stream: str
    subjects: tuple[str, ...]
    deliver: str
    start: int
    durable: str = ""
    maker: str = ""
    window: int = 0


class Incarnation(msgspec.Struct, frozen=True, array_like=True):
    """One consumer of a durable: who made it, when by the server's clock, and how far it is.

    `pending` is what is still to come; `floor` the highest sequence known to be handled.
    """

    name: str
    maker: str
    created: datetime
    floor: int = 0
    pending: int = 0


class Consumers(Protocol):
    """Makes, lists and ends the consumers of a reader. Raises nats.errors.Error, TimeoutError."""

    def inbox(self) -> str:
        """A new subject to which this client may have a stream delivered."""
        ...

    async def make(self, wish: Wish) -> Incarnation:
        """Make a consumer."""
        ...

    async def incarnations(self, stream: str, durable: str) -> list[Incarnation]:
        """All consumers of a durable."""
        ...

    async def end(self, stream: str, name: str) -> None:
        """End one that is a durable's; no error where there is none."""
        ...


class OwnConsumers:
    """By JetStream itself, for who may use that."""

    def __init__(self, client: Client, js: JetStreamContext) -> None:
        self._client = client
        self._js = js

    def inbox(self) -> str:
        """A new subject to which this client may have a stream delivered."""
        return self._client.new_inbox()

    async def make(self, wish: Wish) -> Incarnation:
        """Make a consumer; a durable's is named after its maker."""
        return await create(self._js, wish, wish.maker if wish.durable else "")

    async def incarnations(self, stream: str, durable: str) -> list[Incarnation]:
        """All consumers of a durable."""
        return await known(self._js, stream, durable)

    async def end(self, stream: str, name: str) -> None:
        """End one that is a durable's."""
        with contextlib.suppress(nats.js.errors.NotFoundError):
            await self._js.delete_consumer(stream, name)


async def create(js: JetStreamContext, wish: Wish, name: str) -> Incarnation:
    """Make the consumer of `wish`, called `name`; it must have one when it is a durable's."""
    config = ConsumerConfig(
        deliver_subject=wish.deliver,
        filter_subjects=list(wish.subjects),
        idle_heartbeat=HEARTBEAT_S,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=30.0,
        mem_storage=True,
    )
    if wish.window:
        config.name = name or None
        config.ack_policy = AckPolicy.ALL
        config.ack_wait = ACK_WAIT_S
        config.max_ack_pending = wish.window
    if wish.durable:
        config.durable_name = name
        config.metadata = {MAKER: wish.maker}
        config.ack_policy = AckPolicy.ALL
        config.ack_wait = ACK_WAIT_S
        config.max_ack_pending = ACK_PENDING_MAX
        config.inactive_threshold = None
        config.mem_storage = False
    if wish.start:
        config.deliver_policy = DeliverPolicy.BY_START_SEQUENCE
        config.opt_start_seq = wish.start
    else:
        config.deliver_policy = DeliverPolicy.LAST_PER_SUBJECT
    return _incarnation(await js.add_consumer(wish.stream, config))


async def known(js: JetStreamContext, stream: str, durable: str) -> list[Incarnation]:
    """All consumers whose names are `<durable>-<something without a dash>`."""
    found: list[ConsumerInfo] = []
    while True:
        page = await js.consumers_info(stream, offset=len(found))
        found.extend(page)
        if len(page) < PAGE:
            break
    return [_incarnation(info) for info in found if info.name.rpartition("-")[0] == durable]


def _incarnation(info: ConsumerInfo) -> Incarnation:
    floor = info.ack_floor.stream_seq if info.ack_floor is not None else 0
    start = info.config.opt_start_seq
    if start:  # one that acknowledged nothing yet still says where it began
        floor = max(floor, start - 1)
    assert info.created is not None
    maker = (info.config.metadata or {}).get(MAKER, info.name)
    return Incarnation(info.name, maker, info.created, floor, info.num_pending or 0)
