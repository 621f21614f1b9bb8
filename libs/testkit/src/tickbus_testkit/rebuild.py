"""Books rebuilt from captures a second time, by other code: what `inspect` is compared with.

It shares nothing with the platform: its own reading of the files, json, Decimal and plain dicts.
"""

import gzip
import json
import subprocess
import zlib
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

Book = dict[str, dict[Decimal, str]]


def lines(path: Path) -> list[bytes]:
    """The lines of a capture, unpacked."""
    if path.suffix == ".zst":
        import zstandard

        with path.open("rb") as file:
            return zstandard.ZstdDecompressor().stream_reader(file).read().split(b"\n")
    if path.suffix == ".zip":
        return subprocess.run(
            ["python3", "-c", "import sys,zipfile;z=zipfile.ZipFile(sys.argv[1]);"
             "sys.stdout.buffer.write(z.read(z.namelist()[0]))", str(path)],
            capture_output=True, check=True,
        ).stdout.split(b"\n")  # fmt: skip
    return gzip.decompress(path.read_bytes()).split(b"\n")


def frames(paths: list[Path]) -> list[tuple[Decimal, str, Any]]:
    """(time, url of a REST answer or of the connection, message) of every JSON message."""
    out = []
    connections: dict[str, str] = {}
    for path in paths:
        for line in lines(path):
            entry = None
            if line.startswith(b'{"t"'):
                raw = json.loads(line)
                if raw["t"] == "connect":
                    connections[raw["conn"]] = raw["addr"]
                if raw["t"] not in ("recv", "http"):
                    continue
                url = raw.get("url", "") if raw["t"] == "http" else connections[raw["conn"]]
                entry = (Decimal(str(raw["ts"])), url, raw["data"])
            elif line.startswith(b"{"):
                entry = (Decimal(0), "", line.decode())
            elif b" -> " in line[:200]:
                url, _, rest = line.decode().partition(" -> ")
                stamp, _, body = rest.partition(": ")
                entry = (Decimal(stamp), url, body)
            elif line[:1].isdigit():
                head, _, body = line.decode().partition(": " if b": " in line[:30] else " ")
                entry = (Decimal(head), "", body)
            if entry and entry[2][:1] in "{[":
                out.append((entry[0], entry[1], json.loads(entry[2], parse_float=str)))
    return sorted(out, key=lambda e: e[0])


def top(book: Book, levels: int = 10) -> tuple[list[list[float]], list[list[float]]]:
    """The best levels as `inspect` gives them: (bids, asks), [price, size] each."""
    bids = sorted(book["b"].items(), reverse=True)[:levels]
    asks = sorted(book["a"].items())[:levels]
    return (
        [[float(p), float(s)] for p, s in bids],
        [[float(p), float(s)] for p, s in asks],
    )


def change(book: Book, side: str, levels: Any) -> None:
    """Set absolute sizes; 0 removes."""
    for level in levels:
        price, size = str(level[0]), str(level[1])
        if Decimal(size) == 0:
            book[side].pop(Decimal(price), None)
        else:
            book[side][Decimal(price)] = size


def binance(paths: list[Path], single: str = "") -> dict[str, Book]:
    """Books by symbol, of spot or futures; `single` is that of answers that name none."""
    snapshots: dict[str, Any] = {}
    diffs = defaultdict(list)
    for _, url, message in frames(paths):
        if "lastUpdateId" in message:
            symbol = url.partition("symbol=")[2].partition("&")[0] or single
            snapshots.setdefault(symbol, message)
        data = message.get("data", message) if isinstance(message, dict) else {}
        if isinstance(data, dict) and data.get("e") == "depthUpdate":
            diffs[data["s"]].append(data)
    books = {}
    for symbol, snapshot in snapshots.items():
        book: Book = {"b": {}, "a": {}}
        change(book, "b", snapshot["bids"])
        change(book, "a", snapshot["asks"])
        for diff in diffs[symbol]:
            if diff["u"] >= snapshot["lastUpdateId"] + ("pu" not in diff):
                change(book, "b", diff["b"])
                change(book, "a", diff["a"])
        books[symbol] = book
    return books


def kraken(paths: list[Path]) -> tuple[dict[str, Book], int]:
    """Books, and how many checksums were verified (all of them, or this fails)."""
    books: dict[str, Book] = {}
    spelled: dict[tuple[str, Decimal], str] = {}
    verified = 0
    for _, _, message in frames(paths):
        if not isinstance(message, list) or not str(message[-2]).startswith("book"):
            continue
        pair, depth = message[-1], int(message[-2].partition("-")[2])
        book = books.setdefault(pair, {"b": {}, "a": {}})
        for body in message[1:-2]:
            for key, levels in body.items():
                if key == "c":
                    continue
                if key.endswith("s"):
                    book[key[0]].clear()
                change(book, key[0], levels)
                for price, _, *_ in levels:
                    spelled[pair, Decimal(price)] = price
        for side, sign in (("b", -1), ("a", 1)):
            for price in sorted(book[side], key=lambda p: p * sign)[depth:]:
                del book[side][price]
        checksum = next((body["c"] for body in message[1:-2] if "c" in body), None)
        if checksum is not None:
            text = ""
            for side, reverse in (("a", False), ("b", True)):
                for price in sorted(book[side], reverse=reverse)[:10]:
                    for digits in (spelled[pair, price], book[side][price]):
                        text += digits.replace(".", "").lstrip("0")
            assert zlib.crc32(text.encode()) == int(checksum)
            verified += 1
    return books, verified


def okx(paths: list[Path]) -> dict[str, Book]:
    """Books by instrument id."""
    books: dict[str, Book] = {}
    for _, _, message in frames(paths):
        if message.get("arg", {}).get("channel") != "books" or "data" not in message:
            continue
        book = books.setdefault(message["arg"]["instId"], {"b": {}, "a": {}})
        for data in message["data"]:
            if message["action"] == "snapshot":
                book["b"].clear()
                book["a"].clear()
            change(book, "b", data["bids"])
            change(book, "a", data["asks"])
    return books


def bybit(paths: list[Path]) -> dict[str, Book]:
    """Books by symbol, `-PERP` behind those of derivatives."""
    books: dict[str, Book] = {}
    for _, url, message in frames(paths):
        if not str(message.get("topic", "")).startswith("orderbook"):
            continue
        name = f"{message['data']['s']}{'' if url.endswith('spot') else '-PERP'}"
        book = books.setdefault(name, {"b": {}, "a": {}})
        if message["type"] == "snapshot":
            book["b"].clear()
            book["a"].clear()
        change(book, "b", message["data"]["b"])
        change(book, "a", message["data"]["a"])
    return books


def coinbase(paths: list[Path]) -> dict[str, Book]:
    """Books by product."""
    books: dict[str, Book] = {}
    for _, _, message in frames(paths):
        if message.get("channel") != "l2_data":
            continue
        for event in message["events"]:
            book = books.setdefault(event["product_id"], {"b": {}, "a": {}})
            if event["type"] == "snapshot":
                book["b"].clear()
                book["a"].clear()
            for update in event["updates"]:
                side = "b" if update["side"] == "bid" else "a"
                change(book, side, [(update["price_level"], update["new_quantity"])])
    return books


def deribit(paths: list[Path]) -> dict[str, Book]:
    """Books by instrument."""
    books: dict[str, Book] = {}
    for _, _, message in frames(paths):
        params = message.get("params", {})
        if not str(params.get("channel", "")).startswith("book.") or "data" not in params:
            continue
        data = params["data"]
        book = books.setdefault(data["instrument_name"], {"b": {}, "a": {}})
        if data["type"] == "snapshot":
            book["b"].clear()
            book["a"].clear()
        change(book, "b", [level[1:] for level in data["bids"]])
        change(book, "a", [level[1:] for level in data["asks"]])
    return books


def kraken_futures(paths: list[Path]) -> dict[str, Book]:
    """Books by product."""
    books: dict[str, Book] = {}
    for _, _, message in frames(paths):
        if message.get("feed") == "book_snapshot":
            book = books[message["product_id"]] = {"b": {}, "a": {}}
            change(book, "b", [(level["price"], level["qty"]) for level in message["bids"]])
            change(book, "a", [(level["price"], level["qty"]) for level in message["asks"]])
        elif message.get("feed") == "book" and "event" not in message:
            side = "b" if message["side"] == "buy" else "a"
            change(books[message["product_id"]], side, [(message["price"], message["qty"])])
    return books


def bitfinex(paths: list[Path]) -> dict[str, Book]:
    """Books by symbol."""
    books: dict[str, Book] = {}
    channels: dict[int, str] = {}
    for _, _, message in frames(paths):
        if isinstance(message, dict):
            if message.get("event") == "subscribed" and message["channel"] == "book":
                channels[message["chanId"]] = message["symbol"]
            continue
        if not isinstance(message[0], int) or message[0] not in channels:
            continue
        if not isinstance(message[1], list):
            continue
        book = books.setdefault(channels[message[0]], {"b": {}, "a": {}})
        body = message[1]
        if body and isinstance(body[0], list):
            book["b"].clear()
            book["a"].clear()
        else:
            body = [body]
        for price, count, amount in body:
            side = "b" if Decimal(str(amount)) > 0 else "a"
            size = "0" if not count else str(abs(Decimal(str(amount))))
            change(book, side, [(str(price), size)])
    return books
