"""The door to the streams for who may not use JetStream: strategies ask, the doorkeeper does it.

Whoever may make consumers may have the server publish what a stream holds on any subject, so a
strategy may not. It asks the doorkeeper, which risk keeps; what a strategy may read is in the
subject of its request, which only the server writes (`permissions.StrategyUser.desk`).
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter, defaultdict, deque
from typing import Any, TypeVar

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from tickbus import permissions, subjects
from tickbus.backoff import delays_s
from tickbus.bus.base import BusDenied, BusError
from tickbus.bus.consumers import Incarnation, Wish, create, known

log = logging.getLogger("tickbus.bus")

ASK_TIMEOUT_S = 2.0
AT_ONCE_MAX = 64
AT_ONCE_OF_ONE_MAX = 16
"""So many of one user, so that those who ask for too much leave room for the others."""
PATIENCE_S = 20.0
"""For how long a request is repeated while the doorkeeper is away; risk may be starting."""
CONSUMERS_PER_MINUTE_MAX = 300
"""What one user may have made; an honest one needs a few, and the server must not drown."""
WATCHED = ("instruments",)
"""Buckets that a strategy may watch."""
WANTED = "strategies"
"""The bucket of which it may watch its own keys: what people want it to do."""

T = TypeVar("T")


class Known(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Asks for the consumers of a durable."""

    durable: str


class Make(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Asks for a consumer."""

    wish: Wish


class End(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Asks for the end of a durable's consumer."""

    name: str


class Last(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Asks for the last sequence of ORDERS."""


class Read(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Asks for one message of ORDERS."""

    sequence: int


class Value(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Asks for the last value of a key, escaped as it is on the bus."""

    bucket: str
    key: str


Request = Known | Make | End | Last | Read | Value


class Found(msgspec.Struct, frozen=True, array_like=True):
    """A message of a stream; sequence 0 where there is none."""

    subject: str = ""
    payload: bytes = b""
    sequence: int = 0


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What the doorkeeper says: `value`, or why not, and whether asking again makes sense."""

    value: bytes = b""
    error: str = ""
    again: bool = False


_encode = msgspec.msgpack.Encoder().encode
_request = msgspec.msgpack.Decoder(Request)
_answer = msgspec.msgpack.Decoder(Answer)


class Door:
    """The strategy's side: `Consumers` for its readers, and what else it may see of the streams."""

    def __init__(self, client: Client, user: str) -> None:
        self._client = client
        self._user = user

    def inbox(self) -> str:
        """A new subject to which this client may have a stream delivered."""
        return f"deliver.{self._user}.{self._client.new_inbox().rpartition('.')[2]}"

    async def make(self, wish: Wish) -> Incarnation:
        """Have a consumer made. Raises BusError."""
        return await self._ask(Make(wish), Incarnation)

    async def incarnations(self, stream: str, durable: str) -> list[Incarnation]:
        """All consumers of a durable. Raises BusError."""
        return await self._ask(Known(durable), list[Incarnation])

    async def end(self, stream: str, name: str) -> None:
        """Have one ended. Raises BusError."""
        await self._ask(End(name), bool)

    async def last_sequence(self) -> int:
        """The sequence of the newest message of ORDERS. Raises BusError."""
        return await self._ask(Last(), int)

    async def read(self, sequence: int) -> Found:
        """One message of ORDERS. Raises BusError."""
        found = await self._ask(Read(sequence), Found)
        if not found.sequence:
            raise BusError(f"cannot read sequence {sequence}: there is no such message")
        return found

    async def value(self, bucket: str, key: str) -> Found:
        """The last value of a key. Raises BusError."""
        return await self._ask(Value(bucket, key), Found)

    async def _ask(self, request: Request, kind: type[T]) -> T:
        deadline, delays = time.monotonic() + PATIENCE_S, delays_s(0.05, 1.0)
        while True:
            try:
                message = await self._client.request(
                    subjects.READER, _encode(request), timeout=ASK_TIMEOUT_S
                )
                answer = _answer.decode(message.data)
                if not answer.error:
                    value: T = msgspec.msgpack.decode(answer.value, type=kind)
                    return value
                if not answer.again:
                    raise BusDenied(f"user {self._user!r}: {answer.error}")
                problem = answer.error
            except (nats.errors.Error, TimeoutError, msgspec.MsgspecError) as error:
                problem = str(error) or type(error).__name__
            delay_s = next(delays)
            if time.monotonic() + delay_s > deadline:
                raise BusError(
                    f"the doorkeeper of the streams does not answer: {problem}; is risk running?"
                )
            await asyncio.sleep(delay_s)


class Refused(Exception):
    """The user has no right to what it asks for."""


class Doorkeeper:
    """Answers all strategies, each at once: one that JetStream lets wait holds up no other.

    Consumers are made one after the other, and none for who has given up asking. With `AT_ONCE_MAX`
    requests on their way, or `AT_ONCE_OF_ONE_MAX` of one user, further ones are not answered; they
    are asked again.
    """

    def __init__(self, client: Client, js: JetStreamContext) -> None:
        self._client = client
        self._js = js
        self._made: dict[str, deque[float]] = defaultdict(deque)
        self._answering: set[asyncio.Task[None]] = set()
        self._of_one: Counter[str] = Counter()
        self._making = asyncio.Lock()

    async def open(self) -> Any:
        """Begin to answer; the subscription, to end it."""
        return await self._client.subscribe(permissions.READERS_ALL, cb=self._on_request)

    async def _on_request(self, message: Msg) -> None:
        if not message.reply:
            return
        asker = message.subject
        if len(self._answering) >= AT_ONCE_MAX or self._of_one[asker] >= AT_ONCE_OF_ONE_MAX:
            log.warning(
                "bus: %d requests wait at the door, %d of them by %s; its next is passed over",
                len(self._answering), self._of_one[asker], asker,
            )  # fmt: skip
            return
        task = asyncio.create_task(self._answer(message, time.monotonic()))
        self._answering.add(task)
        self._of_one[asker] += 1

        def done(_: object) -> None:
            self._answering.discard(task)
            self._of_one -= Counter((asker,))  # which keeps nobody with nothing

        task.add_done_callback(done)

    async def _answer(self, message: Msg, asked_at: float) -> None:
        try:
            user = rights(message.subject)
            value = await self._do(user, _request.decode(message.data), asked_at)
            answer = Answer(_encode(value))
        except (Refused, msgspec.MsgspecError, ValueError) as error:
            log.warning("bus: refused at the door: %s: %s", message.subject, error)
            answer = Answer(error=str(error))
        except (nats.errors.Error, TimeoutError) as error:
            answer = Answer(error=str(error) or type(error).__name__, again=True)
        with contextlib.suppress(nats.errors.Error):
            await self._client.publish(message.reply, _encode(answer))

    async def _do(self, user: permissions.StrategyUser, request: Request, asked_at: float) -> Any:
        match request:
            case Known(durable):
                _require_durable(user, durable)
                return await known(self._js, subjects.ORDERS_STREAM, durable)
            case Make(wish):
                async with self._making:
                    if time.monotonic() - asked_at > ASK_TIMEOUT_S:
                        raise TimeoutError("asked too long ago")
                    return await self._make(user, wish)
            case End(name):
                durable, _, number = name.rpartition("-")
                _require(durable in user.durables and number.isdigit(), f"{name!r} is not its own")
                with contextlib.suppress(nats.js.errors.NotFoundError):
                    await self._js.delete_consumer(subjects.ORDERS_STREAM, name)
                return True
            case Last():
                return (await self._js.stream_info(subjects.ORDERS_STREAM)).state.last_seq
            case Read(sequence):
                found = await self._message(subjects.ORDERS_STREAM, sequence=sequence)
                patterns = permissions.readable(user.ids)
                own = any(permissions.covers(p, found.subject) for p in patterns)
                _require(own or not found.sequence, f"message {sequence} is not about its orders")
                return found
            case Value(bucket, key):
                own = any(permissions.covers(p, f"$KV.{bucket}.{key}") for p in _keys(user, bucket))
                _require(own, f"not to see {bucket}/{key}")
                _require(not set("*> ") & set(key), f"{key!r} is no key")
                return await self._message(f"KV_{bucket}", subject=f"$KV.{bucket}.{key}")

    async def _message(self, stream: str, sequence: int = 0, subject: str = "") -> Found:
        try:
            if subject:
                message = await self._js.get_last_msg(stream, subject)
            else:
                message = await self._js.get_msg(stream, sequence)
        except nats.js.errors.NotFoundError:
            return Found()
        return Found(message.subject or "", message.data or b"", message.seq or 0)

    async def _make(self, user: permissions.StrategyUser, wish: Wish) -> Incarnation:
        wish = narrowed(user, wish)
        check(user, wish)
        self._count(user.name)
        if not wish.durable and not wish.window:
            return await create(self._js, wish, "")
        # What is acknowledged needs a name that the user may acknowledge for.
        family = wish.durable or user.consumers[-1]
        taken = sorted(await known(self._js, wish.stream, family), key=lambda one: one.created)
        names = [f"{family}-{slot}" for slot in range(permissions.SLOTS)]
        free = [name for name in names if name not in {one.name for one in taken}]
        if not free:  # left by processes that died before they could tidy up
            free = [one.name for one in taken if one.name in names][:1]
            await self._js.delete_consumer(wish.stream, free[0])
        return await create(self._js, wish, free[0])

    def _count(self, user: str) -> None:
        made, now = self._made[user], time.monotonic()
        while made and made[0] < now - 60:
            made.popleft()
        _require(
            len(made) < CONSUMERS_PER_MINUTE_MAX,
            f"more than {CONSUMERS_PER_MINUTE_MAX} consumers a minute",
        )
        made.append(now)


def rights(subject: str) -> permissions.StrategyUser:
    """The user and the strategies that the subject of a request stands for. Raises ValueError."""
    match subject.split("."):
        case ["control", "reader", user, "all"]:
            return permissions.StrategyUser(user)
        case ["control", "reader", user, "only", *ids] if permissions.ANY not in ids:
            return permissions.StrategyUser(user, tuple(ids))
    raise ValueError(f"{subject!r} says nothing of a user's rights")


def narrowed(user: permissions.StrategyUser, wish: Wish) -> Wish:
    """The same of a user's own keys, where the whole of a bucket is wished for."""
    if wish.stream == f"KV_{WANTED}" and wish.subjects == (f"$KV.{WANTED}.>",):
        return msgspec.structs.replace(wish, subjects=_keys(user, WANTED))
    for bucket in permissions.OF_ALL:
        if wish.stream == f"KV_{bucket}" and wish.subjects == (f"$KV.{bucket}.>",):
            keys = tuple(key for key in _keys(user, bucket) if key.endswith(".>"))
            return msgspec.structs.replace(wish, subjects=keys)
    return wish


def check(user: permissions.StrategyUser, wish: Wish) -> None:
    """Refuse a consumer that shows or says what its user may not. Raises Refused."""
    prefix, _, token = wish.deliver.rpartition(".")
    _require(prefix == f"deliver.{user.name}" and token.isalnum(), f"not to {wish.deliver!r}")
    if wish.durable:
        _require_durable(user, wish.durable)
    _require(wish.start >= 0 and bool(wish.subjects), "a consumer needs subjects and a start")
    if wish.stream == subjects.ORDERS_STREAM:
        allowed = permissions.readable(user.ids)
    else:
        ours = not wish.durable and not wish.window
        _require(ours, f"nothing to acknowledge on {wish.stream!r}")
        allowed = _keys(user, wish.stream.removeprefix("KV_"))
    for subject in wish.subjects:
        own = any(permissions.covers(pattern, subject) for pattern in allowed)
        _require(own, f"{subject!r} of {wish.stream} is not for it")


def _keys(user: permissions.StrategyUser, bucket: str) -> tuple[str, ...]:
    """The keys of a bucket that a user may see."""
    if bucket in WATCHED:
        return (f"$KV.{bucket}.>",)
    if bucket == WANTED:
        return tuple(f"$KV.{bucket}.{strategy_id}" for strategy_id in user.ids)
    if bucket in permissions.OF_ALL:
        return tuple(f"$KV.{bucket}.{d}{rest}" for d in user.durables for rest in ("", ".>"))
    return ()


def _require_durable(user: permissions.StrategyUser, durable: str) -> None:
    own = ", ".join(user.durables)
    _require(
        durable in user.durables,
        f"{durable!r} is not its durable, only {own}: run each strategy of a user of its own with"
        " TICKBUS_STRATEGY_ID",
    )


def _require(granted: bool, reason: str) -> None:
    if not granted:
        raise Refused(reason)
