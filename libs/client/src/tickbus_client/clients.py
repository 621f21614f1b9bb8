"""The two clients: thin loops around `talk`, one that waits and one that awaits."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import urlsplit

import httpx

from tickbus_client.answers.base import Page
from tickbus_client.call import Call, FileFormat, Reply
from tickbus_client.calls import access
from tickbus_client.credentials import Bearer, Credential, Login, key_from, url_from
from tickbus_client.errors import ApiError, TickbusError, Unreachable
from tickbus_client.paging import following
from tickbus_client.routes import (
    Access,
    Alerts,
    Async,
    Books,
    Market,
    Operations,
    Orders,
    Risk,
    Strategies,
    Sync,
)
from tickbus_client.streams import NEAR, PATIENCE_S, AsyncStream, Stream, Trouble
from tickbus_client.talk import Heard, Pause, Retry, Send, Silence, Step, Talk

T = TypeVar("T")
PageT = TypeVar("PageT", bound=Page)
TIMEOUT_S = 10.0
# What a connection fails with before a byte of the request has left.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class Client:
    """The gateway of a platform, one call after the other.

    `url` and `credential` are by default those of TICKBUS_API_URL (http://127.0.0.1:8080) and
    TICKBUS_API_KEY or TICKBUS_API_KEY_FILE. `timeout_s` bounds each attempt. Safe to share between
    threads. Every call raises ApiError, Unreachable or Unintelligible.
    """

    def __init__(
        self, url: str | None = None, credential: Credential | None = None, *,
        timeout_s: float = TIMEOUT_S, retry: Retry | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        self.talk = a_talk(url, credential, timeout_s, retry)
        self._renewing = threading.Lock()
        self._http = httpx.Client(
            base_url=self.talk.url, transport=transport, trust_env=not _is_near(self.talk.url)
        )
        self.access: Access[Sync] = Access(self.call)
        self.market: Market[Sync] = Market(self.call)
        self.orders: Orders[Sync] = Orders(self.call)
        self.books: Books[Sync] = Books(self.call)
        self.risk: Risk[Sync] = Risk(self.call)
        self.strategies: Strategies[Sync] = Strategies(self.call)
        self.operations: Operations[Sync] = Operations(self.call)
        self.alerts: Alerts[Sync] = Alerts(self.call)

    def call(self, call: Call[T]) -> T:
        """Perform `call`; its answer."""
        return self.reply(call).data

    def log_in(self, user: str, password: str) -> None:
        """Act as `user` from now on; renews itself for as long as it is used, also in streams.

        The password is not kept. A login that nobody used for long, or that was ended elsewhere, is
        an ApiError of the next call: log in again.
        """
        tokens = self._converse(access.login(user, password)).data
        self.talk.bearer.login = Login(tokens, time.monotonic())

    def log_out(self) -> None:
        """End the login of `log_in`; from now on requests go as before it."""
        login, self.talk.bearer.login = self.talk.bearer.login, None
        if login is not None:
            self._converse(access.logout(login.refresh))

    def reply(self, call: Call[T]) -> Reply[T]:
        """Perform `call`; its answer with status, headers and the body as it was sent."""
        self._renew()
        login, token = self.talk.bearer.now
        try:
            return self._converse(call)
        except ApiError as error:
            if not self.talk.bearer.is_renewable(error, login, token):
                raise
        self._renew()
        return self._converse(call)

    def _renew(self) -> None:
        """Renew the login where it ends soon: by one at a time, for a refresh token works once."""
        login = self.talk.bearer.login
        if login is None or not login.is_due(time.monotonic()):
            return
        with self._renewing:
            if not login.is_due(time.monotonic()):
                return  # another was first
            try:
                tokens = self._converse(access.refresh(login.refresh)).data
            except TickbusError as error:
                self.talk.bearer.was_not_renewed(error, login, time.monotonic())
            else:
                login.take(tokens, time.monotonic())

    def _converse(self, call: Call[T]) -> Reply[T]:
        talk = self.talk.about(call)
        step = next(talk)
        while True:
            heard = self._do(step)
            try:
                step = talk.send(heard)
            except StopIteration as stop:
                reply: Reply[T] = stop.value
                return reply

    def pages(self, call: Call[PageT]) -> Iterator[PageT]:
        """The page that `call` asks for, and all behind it."""
        asked: Call[PageT] | None = call
        while asked is not None:
            page = self.call(asked)
            yield page
            asked = following(asked, page)

    def download(self, call: Call[Any], form: FileFormat, to: BinaryIO) -> int:
        """Write all that `call` lists to `to`, as it comes; the number of bytes.

        It is asked for once. Raises Unreachable where it broke off: then `to` has only a part.
        """
        self._renew()
        step, count = self.talk.request(call.as_file(form)), 0
        try:
            with self._http.stream(**_request(step)) as response:
                if not response.is_success:
                    raise ApiError.of(response.status_code, response.read())
                for part in response.iter_bytes():
                    count += to.write(part)
        except httpx.HTTPError as error:
            raise broke_off(self.talk.url, error, count) from error
        return count

    def stream(
        self, *topics: str, patience_s: float = PATIENCE_S, on_trouble: Trouble | None = None
    ) -> Stream:
        """Updates of `topics`, such as "orders" or "depth:BTC-USDT@sim"; docs/streaming.md has all.

        `patience_s` is how long the gateway may be away, `on_trouble` is told of each attempt.
        """
        return Stream(
            self.talk, topics, patience_s=patience_s, on_trouble=on_trouble, renew=self._renew
        )

    def close(self) -> None:
        """Close the connections; the client is of no use afterwards."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _do(self, step: Step) -> Heard | Silence | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        try:
            return _heard(self._http.request(**_request(step)))
        except httpx.HTTPError as error:
            return _silence(error)


class AsyncClient:
    """The gateway of a platform, for asyncio; otherwise as `Client`."""

    def __init__(
        self, url: str | None = None, credential: Credential | None = None, *,
        timeout_s: float = TIMEOUT_S, retry: Retry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:  # fmt: skip
        self.talk = a_talk(url, credential, timeout_s, retry)
        self._renewing = asyncio.Lock()
        self._http = httpx.AsyncClient(
            base_url=self.talk.url, transport=transport, trust_env=not _is_near(self.talk.url)
        )
        self.access: Access[Async] = Access(self.call)
        self.market: Market[Async] = Market(self.call)
        self.orders: Orders[Async] = Orders(self.call)
        self.books: Books[Async] = Books(self.call)
        self.risk: Risk[Async] = Risk(self.call)
        self.strategies: Strategies[Async] = Strategies(self.call)
        self.operations: Operations[Async] = Operations(self.call)
        self.alerts: Alerts[Async] = Alerts(self.call)

    async def call(self, call: Call[T]) -> T:
        """Perform `call`; its answer."""
        return (await self.reply(call)).data

    async def log_in(self, user: str, password: str) -> None:
        """Act as `user` from now on; renews itself for as long as it is used, also in streams.

        The password is not kept. A login that nobody used for long, or that was ended elsewhere, is
        an ApiError of the next call: log in again.
        """
        tokens = (await self._converse(access.login(user, password))).data
        self.talk.bearer.login = Login(tokens, time.monotonic())

    async def log_out(self) -> None:
        """End the login of `log_in`; from now on requests go as before it."""
        login, self.talk.bearer.login = self.talk.bearer.login, None
        if login is not None:
            await self._converse(access.logout(login.refresh))

    async def reply(self, call: Call[T]) -> Reply[T]:
        """Perform `call`; its answer with status, headers and the body as it was sent."""
        await self._renew()
        login, token = self.talk.bearer.now
        try:
            return await self._converse(call)
        except ApiError as error:
            if not self.talk.bearer.is_renewable(error, login, token):
                raise
        await self._renew()
        return await self._converse(call)

    async def _renew(self) -> None:
        """Renew the login where it ends soon: by one at a time, for a refresh token works once."""
        login = self.talk.bearer.login
        if login is None or not login.is_due(time.monotonic()):
            return
        async with self._renewing:
            if not login.is_due(time.monotonic()):
                return  # another was first
            try:
                tokens = (await self._converse(access.refresh(login.refresh))).data
            except TickbusError as error:
                self.talk.bearer.was_not_renewed(error, login, time.monotonic())
            else:
                login.take(tokens, time.monotonic())

    async def _converse(self, call: Call[T]) -> Reply[T]:
        talk = self.talk.about(call)
        step = next(talk)
        while True:
            heard = await self._do(step)
            try:
                step = talk.send(heard)
            except StopIteration as stop:
                reply: Reply[T] = stop.value
                return reply

    async def pages(self, call: Call[PageT]) -> AsyncIterator[PageT]:
        """The page that `call` asks for, and all behind it."""
        asked: Call[PageT] | None = call
        while asked is not None:
            page = await self.call(asked)
            yield page
            asked = following(asked, page)

    async def download(self, call: Call[Any], form: FileFormat, to: BinaryIO) -> int:
        """As `Client.download`; `to` should be quick, such as a file on this machine."""
        await self._renew()
        step, count = self.talk.request(call.as_file(form)), 0
        try:
            async with self._http.stream(**_request(step)) as response:
                if not response.is_success:
                    raise ApiError.of(response.status_code, await response.aread())
                async for part in response.aiter_bytes():
                    count += to.write(part)
        except httpx.HTTPError as error:
            raise broke_off(self.talk.url, error, count) from error
        return count

    def stream(
        self, *topics: str, patience_s: float = PATIENCE_S, on_trouble: Trouble | None = None
    ) -> AsyncStream:
        """Updates of `topics`; as `Client.stream`."""
        return AsyncStream(
            self.talk, topics, patience_s=patience_s, on_trouble=on_trouble, renew=self._renew
        )

    async def close(self) -> None:
        """Close the connections; the client is of no use afterwards."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _do(self, step: Step) -> Heard | Silence | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return _heard(await self._http.request(**_request(step)))
        except httpx.HTTPError as error:
            return _silence(error)


def broke_off(url: str, error: httpx.HTTPError, count: int) -> Unreachable:
    """What a file that ended early is."""
    part = f" after {count} bytes" if count else ""
    return Unreachable(url, f"{str(error) or type(error).__name__}{part}", maybe_done=False)


def a_talk(
    url: str | None, credential: Credential | None, timeout_s: float, retry: Retry | None
) -> Talk:
    """How to talk to the gateway at `url`. Raises TickbusError where that cannot be right."""
    chosen = (url_from() if url is None else url).rstrip("/")
    try:
        parts = urlsplit(chosen)
        is_right = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        is_right = False
    if not is_right:
        raise TickbusError(f"{chosen!r} is no address of a gateway: write http://host:port")
    bearer = Bearer(key_from() if credential is None else credential)
    return Talk(chosen, bearer, retry or Retry(), timeout_s)


def _is_near(url: str) -> bool:
    # A proxy of the environment is for what is elsewhere; it shall not see keys for this machine.
    return urlsplit(url).hostname in NEAR


def _request(step: Send) -> dict[str, Any]:
    return {
        "method": step.method,
        "url": step.target,
        "headers": dict(step.headers),
        "content": step.content,
        "timeout": step.timeout_s,
    }


def _heard(response: httpx.Response) -> Heard:
    return Heard(response.status_code, dict(response.headers), response.content)


def _silence(error: httpx.HTTPError) -> Silence:
    reason = str(error) or type(error).__name__
    return Silence(reason, sent=not isinstance(error, _UNSENT))
