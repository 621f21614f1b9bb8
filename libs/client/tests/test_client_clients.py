"""Both clients against one pretended gateway: the same questions, the same answers."""

import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from tickbus_client import ApiError, AsyncClient, Client, Retry, TickbusError, Unreachable
from tickbus_client.calls import orders

QUICK = Retry(attempts=3, first_s=0.0, max_s=0.0)


class Desk:
    """Two pages of fills; the first question finds nobody."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if len(self.asked) == 1:
            raise httpx.ConnectError("nobody there")
        more = "cursor" not in request.url.params
        return httpx.Response(200, json={"fills": [], "next_cursor": "next" if more else None})


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TICKBUS_API_URL", "TICKBUS_API_KEY", "TICKBUS_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_plain_code_goes_through_all_pages() -> None:
    desk = Desk()
    with Client(
        "http://desk/", "tbk_k", retry=QUICK, transport=httpx.MockTransport(desk)
    ) as client:
        pages = list(client.pages(orders.fills(limit=2)))
    assert [page.next_cursor for page in pages] == ["next", None]
    assert [str(r.url) for r in desk.asked] == [
        "http://desk/api/v1/fills?limit=2",
        "http://desk/api/v1/fills?limit=2",
        "http://desk/api/v1/fills?limit=2&cursor=next",
    ]
    assert desk.asked[1].headers["authorization"] == "Bearer tbk_k"


async def test_asyncio_goes_through_all_pages() -> None:
    desk = Desk()
    transport = httpx.MockTransport(desk)
    async with AsyncClient("http://desk", "", retry=QUICK, transport=transport) as client:
        pages = [page async for page in client.pages(orders.fills())]
        assert (await client.orders.fills()).fills == ()
    assert len(pages) == 2
    assert len(desk.asked) == 4
    assert "authorization" not in desk.asked[1].headers


def test_methods_of_groups_have_the_words_of_their_calls() -> None:
    with Client("http://desk") as client:
        assert client.orders.place.__doc__ == orders.place.__doc__


def refuse(_: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("")


async def test_silence_is_an_error_that_says_what_is_not_known() -> None:
    with (
        Client("http://desk", transport=httpx.MockTransport(refuse)) as client,
        pytest.raises(Unreachable, match="http://desk does not answer: ReadTimeout; whether"),
    ):
        client.orders.cancel("m-1")
    async with AsyncClient("http://desk", transport=httpx.MockTransport(refuse)) as slow:
        with pytest.raises(Unreachable) as error:
            await slow.orders.cancel("m-1")
    assert error.value.maybe_done


@pytest.mark.parametrize("url", ["", "desk", "ftp://desk", "http://", "http://desk:x"])
def test_an_address_that_cannot_be_right_is_refused(url: str) -> None:
    with pytest.raises(TickbusError, match="is no address of a gateway"):
        Client(url)


def test_the_environment_says_where_and_who(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk()
    key = tmp_path / "key"
    key.write_text("tbk_of_a_file\n")
    monkeypatch.setenv("TICKBUS_API_URL", "http://elsewhere:1")
    monkeypatch.setenv("TICKBUS_API_KEY_FILE", str(key))
    with Client(retry=QUICK, transport=httpx.MockTransport(desk)) as client:
        client.orders.fills()
    assert desk.asked[1].url.host == "elsewhere"
    assert desk.asked[1].headers["authorization"] == "Bearer tbk_of_a_file"
    key.write_text("")
    with pytest.raises(TickbusError, match="is empty"):
        Client()
    monkeypatch.setenv("TICKBUS_API_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(TickbusError, match="cannot be read"):
        Client()


def tokens() -> Iterator[str]:
    yield from ("one", "two", "three")


def test_a_credential_that_changes_is_asked_for_each_time() -> None:
    desk = Desk()
    source = tokens()
    with Client(
        "http://desk", lambda: next(source), retry=QUICK, transport=httpx.MockTransport(desk)
    ) as client:
        client.orders.fills()
    assert [r.headers["authorization"] for r in desk.asked] == ["Bearer one", "Bearer two"]


def test_the_reply_has_the_body_as_it_was_sent() -> None:
    body = b'{"fills": [], "next_cursor": null, "new": 1}'
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    with Client("http://desk", transport=transport) as client:
        reply = client.reply(orders.fills())
    assert reply.content == body
    assert msgspec.json.decode(reply.content)["new"] == 1


class Torn(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that breaks off."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"id,side\n"
        raise httpx.RemoteProtocolError("incomplete")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"id,side\n"
        raise httpx.RemoteProtocolError("incomplete")


async def test_a_list_is_written_as_a_file_and_a_torn_one_is_an_error() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        match len(asked) % 3:
            case 1:
                return httpx.Response(200, content=b"id\n1\n")
            case 2:
                return httpx.Response(200, stream=Torn())
        problem = {"code": "PARQUET_NOT_INSTALLED", "detail": "x"}
        return httpx.Response(501, json=problem)

    transport = httpx.MockTransport(answer)
    call = orders.fills(strategy="mo")
    with Client("http://desk", transport=transport) as client:
        file = io.BytesIO()
        assert client.download(call, "csv", file) == len(b"id\n1\n")
        assert file.getvalue() == b"id\n1\n"
        with pytest.raises(Unreachable, match="incomplete after 8 bytes"):
            client.download(call, "csv", io.BytesIO())
        with pytest.raises(ApiError) as refused:
            client.download(call, "parquet", io.BytesIO())
    assert refused.value.code == "PARQUET_NOT_INSTALLED"
    assert asked[0] == "http://desk/api/v1/fills?strategy=mo&limit=100&format=csv"
    async with AsyncClient("http://desk", transport=transport) as slow:
        assert await slow.download(call, "csv", io.BytesIO()) == len(b"id\n1\n")
        with pytest.raises(Unreachable, match="incomplete after 8 bytes"):
            await slow.download(call, "csv", io.BytesIO())
    with pytest.raises(ValueError, match="gives no files"):
        orders.cancel_all().as_file("csv")
