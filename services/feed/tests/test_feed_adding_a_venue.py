"""docs/adding-a-venue.md, followed word by word: a venue from another package, without a change."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

PAGE = Path(__file__).parents[3] / "docs" / "adding-a-venue.md"
MARKETS = [{"name": "BTC/USDT", "tick": "0.5", "lot": "0.001"}]


def files_of_the_page() -> dict[str, str]:
    """The files that the page tells to write."""
    blocks = re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert [name for name, _ in blocks] == ["toy_venue.py", "pyproject.toml"]
    return dict(blocks)


async def toy(connection: ServerConnection, told: asyncio.Event) -> None:
    """The venue itself, until the feed goes; `told` once that has heard a good deal of it."""
    with contextlib.suppress(ConnectionClosed):
        await say(connection, told)


async def say(connection: ServerConnection, told: asyncio.Event) -> None:
    """What the page says that it says."""
    wanted = json.loads(await connection.recv())
    assert wanted == {"want": ["book BTC/USDT", "trades BTC/USDT"]}
    at = {"of": "BTC/USDT", "t": 1_700_000_000_000}
    await connection.send(json.dumps(
        {"on": "book", **at, "whole": True, "n": 41, "bids": [["100.0", "2.5"]],
         "asks": [["100.5", "1.0"]]}
    ))  # fmt: skip
    n = 41
    while True:
        n += 1
        level = [["99.5", f"{n}"]]
        await connection.send(json.dumps({"on": "book", **at, "n": n, "bids": level, "asks": []}))
        await connection.send(json.dumps(
            {"on": "trade", **at, "id": n, "px": "100.5", "sz": "0.2", "taker": "buy"}
        ))  # fmt: skip
        if n == 56:
            await (await connection.ping())  # answered after all that was sent before it
            told.set()
        await asyncio.sleep(0.1)


def markets(_: ServerConnection, request: Request) -> Response | None:
    if request.path != "/markets":
        return None
    body = json.dumps(MARKETS).encode()
    headers = Headers({"Content-Length": str(len(body)), "Connection": "close"})
    return Response(HTTPStatus.OK, "OK", headers, body)


def command(place: Path, *arguments: str) -> dict[str, Any]:
    return {
        "args": [sys.executable, "-m", "tickbus_cli", *arguments], "cwd": PAGE.parents[1],
        "env": {**os.environ, "PYTHONPATH": str(place / "site"), "TICKBUS_METRICS_PORT": "0"},
        "text": True,
    }  # fmt: skip


def tickbus(place: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        **command(place, *arguments), capture_output=True, timeout=100, check=False
    )


def until_said(process: "subprocess.Popen[str]", words: str) -> None:
    """Read on until a line with `words`."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if words in line:
            return
    raise AssertionError(f"it ended without saying {words!r}:\n{said}")


async def test_page_leads_to_a_venue_that_works(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, text in files_of_the_page().items():
        (source / name).write_text(text)
    installed = subprocess.run(
        [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--no-deps",
         "--no-index", "--no-build-isolation", "--python", sys.executable,
         "--target", tmp_path / "site", source],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr
    told = asyncio.Event()
    async with serve(partial(toy, told=told), "127.0.0.1", 0, process_request=markets) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        config = tmp_path / "toy.yaml"
        config.write_text(
            f'venue: {{ rest_url: "http://127.0.0.1:{port}", ws_url: "ws://127.0.0.1:{port}" }}\n'
            # A venue in the process of a test that stands still is not to be connected to anew.
            "feed: { first_event_s: 120 }\n"
        )
        feed = command(
            tmp_path, "feed", "--venue", "toy", "--alone", "--record", str(tmp_path / "raw"),
            "--duration", "120s", "--config", str(config),
        )  # fmt: skip
        with subprocess.Popen(**feed, stderr=subprocess.PIPE) as process:
            await asyncio.to_thread(until_said, process, "1 of 1 books are live")
            await asyncio.wait_for(told.wait(), 30)
            process.terminate()
            _, said = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, said
    (recording,) = (tmp_path / "raw").iterdir()
    shown = await asyncio.to_thread(
        tickbus, tmp_path, "inspect", str(recording), "--venue", "toy", "--json", "--png", "-"
    )
    assert shown.returncode == 0, shown.stderr
    one = json.loads(shown.stdout)
    assert (one["venue"], one["instrument"], one["symbol"]) == ("toy", "BTC-USDT", "BTC/USDT")
    assert one["trades"] >= 10
    assert (one["gaps"], one["in_step"], one["asks"]) == (0, True, [[100.5, 1.0]])
    unknown = await asyncio.to_thread(tickbus, tmp_path, "feed", "--venue", "toi")
    assert "'toy'" in unknown.stderr, "the choice names it"
