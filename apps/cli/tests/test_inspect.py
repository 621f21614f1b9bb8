"""`tickbus inspect`: every capture rebuilds to the books that other code makes of it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tickbus_cli.main import main
from tickbus_testkit import rebuild

CAPTURES = Path(os.environ.get("TICKBUS_CAPTURES", "../shared/data"))
needs_captures = [
    pytest.mark.captures,
    pytest.mark.skipif(
        not CAPTURES.is_dir(), reason=f"no captures at {CAPTURES} (TICKBUS_CAPTURES names them)"
    ),
]


def inspect(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, dict[str, Any]]:
    """Instruments by the venue's symbol, `-PERP` behind those that are perpetual."""
    code = main(["inspect", *map(str, arguments), "--json", "--png", "-"])
    assert code == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(one["gaps"] == one["resyncs"] == one["checksum_failures"] == 0 for one in found)
    return {
        one["symbol"] + ("-PERP" if one["venue"] == "bybit" and "PERP" in one["instrument"] else "")
        : one for one in found
    }  # fmt: skip


def files(pattern: str) -> list[Path]:
    found = sorted(CAPTURES.glob(pattern))
    assert found, pattern
    return found


def assert_same_books(found: dict[str, dict[str, Any]], books: Any) -> None:
    assert books
    for symbol, book in books.items():
        bids, asks = rebuild.top(book)
        assert (found[symbol]["bids"], found[symbol]["asks"]) == (bids, asks), symbol
        assert found[symbol]["levels"] == len(book["b"]) + len(book["a"])
        assert found[symbol]["in_step"]


class TestCaptures:
    """Real recordings."""

    pytestmark = needs_captures

    @pytest.mark.parametrize(
        ("pattern", "venue", "single"),
        [
            ("binance/spot/btcusdt_*.gz", "binance", "BTCUSDT"),
            ("binance/usdm/btcusdt_*.gz", "binance-usdm", "BTCUSDT"),
            ("binance/usdm/ethusdt_*.gz", "binance-usdm", "ETHUSDT"),
            ("binance/coinm/*.gz", "binance-coinm", "BTCUSD_PERP"),
            ("binance/capture/BINANCE_20211012_*.zst", "binance", ""),
            ("binance/capture/BINANCE_US_*.zst", "binance", ""),
            ("binance/capture/BINANCE_FUTURES_*.zst", "binance-usdm", ""),
            ("binance/capture/BINANCE_DELIVERY_*.zst", "binance-coinm", ""),
        ],
    )
    def test_binance(
        self, capsys: pytest.CaptureFixture[str], pattern: str, venue: str, single: str
    ) -> None:
        found = inspect(capsys, *files(pattern))
        assert {one["venue"] for one in found.values()} == {venue}
        assert_same_books(found, rebuild.binance(files(pattern), single))

    def test_kraken_with_every_checksum(self, capsys: pytest.CaptureFixture[str]) -> None:
        paths = files("kraken/KRAKEN_20210417_*.zst")
        books, verified = rebuild.kraken(paths)
        assert verified == 4_269
        found = inspect(capsys, *paths)
        assert_same_books(found, books)
        assert sum(one["checksums"] for one in found.values()) == verified
        assert found["SC/EUR"]["trades"] == 6

    def test_okx_with_every_checksum(self, capsys: pytest.CaptureFixture[str]) -> None:
        found = inspect(capsys, *files("okx/*.zst"))
        assert_same_books(found, rebuild.okx(files("okx/*.zst")))
        assert sum(one["checksums"] for one in found.values()) == 290
        assert found["UNI-USD-SWAP"]["instrument"] == "UNI-USD-PERP"

    @pytest.mark.parametrize("pattern", ["bybit/BYBIT_*.zst", "bybit/*.zip"])
    def test_bybit(self, capsys: pytest.CaptureFixture[str], pattern: str) -> None:
        found = inspect(capsys, *files(pattern))
        assert_same_books(found, rebuild.bybit(files(pattern)))

    def test_coinbase(self, capsys: pytest.CaptureFixture[str]) -> None:
        found = inspect(capsys, *files("coinbase/*.zst"))
        assert_same_books(found, rebuild.coinbase(files("coinbase/*.zst")))

    @pytest.mark.parametrize(
        ("pattern", "other", "symbol", "instrument"),
        [
            ("deribit/*.zst", rebuild.deribit, "BTC-24SEP21-8000-P", "BTC-USD-210924-8000-P"),
            (
                "kraken/KRAKEN_FUTURES_*.zst", rebuild.kraken_futures, "PI_ETHUSD",
                "ETH-USD-PERP",
            ),
            ("bitfinex/*.zst", rebuild.bitfinex, "tDOGUSD", "DOG-USD"),
        ],
    )  # fmt: skip
    def test_other_venues(
        self, capsys: pytest.CaptureFixture[str], pattern: str, other: Any, symbol: str,
        instrument: str,
    ) -> None:  # fmt: skip
        found = inspect(capsys, *files(pattern))
        assert_same_books(found, other(files(pattern)))
        assert found[symbol]["instrument"] == instrument

    def test_current_wire_format_has_liquidations_of_any_symbol(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = inspect(capsys, *files("binance/wire_2026/*.txt"))
        assert found["牛来USDT"]["instrument"] == "牛来-USDT-PERP"
        assert sum(one["liquidations"] for one in found.values()) == 13
        assert found["BTCUSDT"]["trades"] == 3

    def test_picture_shows_price_and_spread(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        picture = tmp_path / "okx.png"
        assert main(["inspect", *map(str, files("okx/*.zst")), "--png", str(picture)]) == 0
        assert picture.read_bytes().startswith(b"\x89PNG")
        shown = capsys.readouterr().out
        assert "UNI-USD-PERP" in shown
        assert "okx.png" in shown.replace("\n", "")


def a_capture(path: Path, *frames: dict[str, Any]) -> Path:
    text = "".join(f"{1_700_000_000_000_000_000 + n} {json.dumps(f)}\n" for n, f in
                   enumerate(frames))  # fmt: skip
    path.write_text(text)
    return path


def depth(first: int, last: int, **sides: list[list[str]]) -> dict[str, Any]:
    data = {"e": "depthUpdate", "E": 1_700_000_000_000, "s": "BTCUSDT", "U": first, "u": last}
    return {"stream": "btcusdt@depth@100ms", "data": {**data, "b": [], "a": [], **sides}}


def trade(number: int, second: int, price: str) -> dict[str, Any]:
    ms = 1_700_000_000_000 + second * 1000
    data = {"e": "trade", "E": ms, "T": ms, "s": "BTCUSDT", "t": number, "p": price, "q": "2",
            "m": False}  # fmt: skip
    return {"stream": "btcusdt@trade", "data": data}


def made(directory: Path) -> Path:
    """A small sound recording."""
    frames = (BOOK, depth(101, 102, b=[["9.123456789", "1"]]), trade(1, 0, "9.123456789"))
    return a_capture(directory / "btcusdt_made.txt", *frames)


BOOK = {"lastUpdateId": 100, "bids": [["9.0", "1"]], "asks": [["10.0", "1"]]}


def test_recorded_gap_is_found_and_none_is_invented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_capture(
        tmp_path / "btcusdt_x.txt", BOOK, depth(101, 102), depth(101, 102), depth(105, 106)
    )
    assert main(["inspect", str(path), "--json", "--png", "-"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    one = json.loads(line)
    assert (one["gaps"], one["resyncs"], one["in_step"]) == (1, 1, False)
    assert (one["venue"], one["instrument"], one["symbol"]) == ("binance", "BTC-USDT", "BTCUSDT")
    assert one["bids"] == [[9.0, 1.0]]


def test_candles_are_of_the_interval_that_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_capture(
        tmp_path / "btcusdt_x.txt", BOOK, depth(101, 101),
        trade(1, 0, "9"), trade(2, 3, "11"), trade(2, 3, "11"), trade(3, 12, "10"),
    )  # fmt: skip
    assert main(["inspect", str(path), "--json", "--png", "-", "--interval", "10"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["trades"] == 3, "a trade that came twice is one"
    first, second = one["candles"]
    assert (first["open"], first["high"], first["low"], first["close"]) == (9, 11, 9, 11)
    assert (first["volume"], first["trades"], second["volume"]) == (4, 2, 2)
    assert one["vwap"] == 10


@pytest.mark.parametrize("wrong", [["--interval", "0"], ["--venue", "kraaken"]])
def test_wrong_choice_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["inspect", "x", *wrong])
    assert wrong[1] in capsys.readouterr().err


def test_picture_never_takes_the_place_of_a_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = made(tmp_path)
    before = recording.read_bytes()
    assert main(["inspect", "--png", str(recording), str(recording)]) == 2
    assert "has to end in .png" in capsys.readouterr().err
    assert recording.read_bytes() == before


def test_text_shows_levels_and_candles_and_hides_no_digit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["inspect", "--png", "-", str(made(tmp_path))]) == 0
    said = capsys.readouterr()
    assert "best levels at the end" in said.out
    assert "candles" in said.out
    assert "sound" in said.out
    assert "\N{HORIZONTAL ELLIPSIS}" not in said.out


def test_changes_without_a_whole_book_are_said_to_lack_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = made(tmp_path)
    lines = [line for line in whole.read_bytes().splitlines(True) if b"lastUpdateId" not in line]
    part = tmp_path / "part"
    part.write_bytes(b"".join(lines))
    assert main(["inspect", "--png", "-", str(part)]) == 0
    said = capsys.readouterr()
    assert "no whole book of BTC-USDT" in said.err
    assert "none" in said.out


def test_file_of_another_venue_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    other.write_bytes(b'1700000000000000000 {"channel":"book","n":1}\n' * 3)
    assert (
        main(["inspect", "--venue", "binance", "--png", "-", str(made(tmp_path)), str(other)]) == 0
    )
    said = capsys.readouterr().err
    assert f"3 of 3 frames of {other} could not be read; is it of another venue?" in said
