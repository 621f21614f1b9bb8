"""Replay: the same bytes every time, books equal to an independent rebuild, bad files named."""

import gzip
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tickbus.captures import Captures
from tickbus_cli.main import main
from tickbus_cli.replay import _pace
from tickbus_cli.replay_run import ReplayOptions, configured

ROOT = Path(__file__).parents[3]
CAPTURES = Path(os.environ.get("TICKBUS_CAPTURES", ROOT.parent / "shared" / "data"))
BINANCE = CAPTURES / "binance"
SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND

needs_captures = pytest.mark.skipif(
    not BINANCE.is_dir(), reason=f"no captures in {CAPTURES}; set TICKBUS_CAPTURES"
)


def a_capture(path: Path, seconds: int = 60) -> Path:
    """A market that rises 1 bp ten times a second, then falls: momentum's own story."""
    lines = []
    book = {"lastUpdateId": 100, "bids": [["99.99", "50.001"]], "asks": [["100.01", "50.001"]]}
    lines.append(f"{BEGIN} {json.dumps(book, separators=(',', ':'))}")
    mid, update = 10_000, 101
    for n in range(seconds * 10):
        ts = BEGIN + (n + 1) * SECOND // 10
        old, mid = mid, mid + (1 if n < seconds * 5 else -1)
        bids = [[_price(old - 1), "0.0"], [_price(mid - 1), "50.001"]]
        asks = [[_price(old + 1), "0.0"], [_price(mid + 1), "50.001"]]
        event = {"e": "depthUpdate", "E": ts // 10**6, "s": "AAAUSDT", "U": update, "u": update}
        lines.append(_frame(ts, "aaausdt@depth@100ms", {**event, "b": bids, "a": asks}))
        quote = {"u": update, "s": "AAAUSDT", "b": bids[1][0], "B": "50.001", "a": asks[1][0]}
        lines.append(_frame(ts, "aaausdt@bookTicker", {**quote, "A": "50.001"}))
        update += 1
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return path


def _price(hundredths: int) -> str:
    return f"{hundredths / 100:.2f}"


def _frame(ts: int, stream: str, data: dict[str, Any]) -> str:
    return f"{ts} {json.dumps({'stream': stream, 'data': data}, separators=(',', ':'))}"


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    code = main(["replay", *(str(a) for a in arguments), "--json"])
    assert code == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_momentum_buys_the_rise_and_sells_when_it_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = report(capsys, a_capture(tmp_path / "rise.gz"), "--strategy", "momentum")
    assert found["messages"]["gaps"] == found["messages"]["crossed"] == 0
    assert found["messages"]["book_changes"] == 600
    assert found["fills"] >= 2
    (position,) = found["portfolio"]["positions"]
    assert float(position["quantity"]) < 0.02, "what is left is less than a lot"
    assert float(found["portfolio"]["realized_pnl"]) > 0
    assert found["portfolio"]["differences"] == []


def test_the_fees_that_were_reckoned_with_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture, files = a_capture(tmp_path / "rise.gz"), tmp_path / "mine.yaml"
    files.write_text("venue: {fees: {maker: 0.0002, taker: 0.0005}}\n")
    found = report(capsys, capture, "--config", str(files))
    assert found["fee_rates"] == {"maker": "0.0002", "taker": "0.0005"}
    assert main(["replay", str(capture), "--config", str(files)]) == 0
    assert "maker 0.0002, taker 0.0005" in capsys.readouterr().out


def test_report_cuts_no_number_and_no_sentence_in_a_narrow_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    capture = a_capture(tmp_path / "rise.gz")
    found = report(capsys, capture, "--strategy", "momentum")["portfolio"]
    assert main(["replay", str(capture), "--strategy", "momentum"]) == 0
    told = capsys.readouterr().out.splitlines()
    (row,) = (line.split() for line in told if line.startswith("AAA-USDT  ") and "LIVE" not in line)
    assert row[0] == found["positions"][0]["instrument"]
    assert len(row) == len(
        ["position", "quantity", "entry", "mark", "realised", "unrealised", "fees", "net"]
    )
    net = Decimal(row[-1])
    assert abs(net - Decimal(found["positions"][0]["net_pnl"])) < Decimal("1e-8")
    (sums,) = (line for line in told if line.startswith("P&L: "))
    assert sums.endswith(" USDT")


def test_fees_are_those_of_the_venue_whose_the_capture_is_unless_somebody_says_others(
    tmp_path: Path,
) -> None:
    default, mine = ROOT / "config" / "default.yaml", tmp_path / "mine.yaml"
    futures = ReplayOptions(("no file is read",), adapter="binance-usdm")
    settings, source = configured(default, [], futures)
    assert (source, str(settings.venue.fees.taker)) == ("binance-usdm.yaml", "0.0005")
    mine.write_text("venue: {fees: {maker: 0, taker: 0.0001}}\n")
    settings, source = configured(default, [mine], futures)
    assert (source, str(settings.venue.fees.taker)) == ("mine.yaml", "0.0001")
    mine.write_text("ledger: {currency: USDT}\n")
    settings, source = configured(default, [mine], futures)
    assert (source, str(settings.venue.fees.taker)) == ("binance-usdm.yaml", "0.0005")
    _, source = configured(default, [], ReplayOptions(("no file is read",), adapter="kraken"))
    assert source == "default.yaml", "there is no file of that venue"


def test_orders_too_small_to_be_made_are_counted_and_the_first_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = a_capture(tmp_path / "rise.gz")
    given = ("--strategy", "momentum", "--params", "order_notional=0.001")
    found = report(capsys, capture, *given)
    assert found["signals"] == 0
    assert found["orders"]["not_made"]["TOO_SMALL"] >= 1
    (first,) = found["not_made_first"]
    assert first.startswith("momentum 2")
    assert "AAA-USDT: TOO_SMALL, the venue takes " in first
    assert main(["replay", str(capture), *given]) == 0
    told = capsys.readouterr().out
    assert f"not made: {found['orders']['not_made']['TOO_SMALL']} TOO_SMALL" in told


def test_same_capture_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    capture = a_capture(tmp_path / "rise.gz")
    outputs = set()
    for seed in ("1", "2"):
        outputs.add(
            subprocess.run(
                [sys.executable, "-m", "tickbus_cli", "replay", str(capture), "--json"],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
                cwd=ROOT,
                timeout=50,
            ).stdout
        )
    assert len(outputs) == 1


def test_gap_in_the_capture_is_counted_and_the_book_is_not_live_behind_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = gzip.decompress(a_capture(tmp_path / "rise.gz").read_bytes()).splitlines(keepends=True)
    torn = tmp_path / "gap.txt"
    depth = [n for n, line in enumerate(whole) if b"@depth" in line]
    torn.write_bytes(b"".join(line for n, line in enumerate(whole) if n != depth[300]))
    found = report(capsys, torn, "--strategy", "ping-pong")
    assert found["messages"]["gaps"] == 1
    assert found["books"][0]["state"] == "SYNCING"


def test_torn_file_is_read_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = a_capture(tmp_path / "rise.gz")
    data = capture.read_bytes()
    capture.write_bytes(data[: len(data) * 2 // 3])
    found = report(capsys, capture)
    assert found["messages"]["unreadable_lines"] >= 1
    assert 0 < found["messages"]["book_changes"] < 600
    assert "rise.gz" in found["messages"]["problems"][-1]


def test_malformed_frames_are_counted_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = gzip.decompress(a_capture(tmp_path / "rise.gz").read_bytes()).splitlines()
    bad = b'%d {"stream":"aaausdt@depth@100ms","data":{"e":"depthUpdate"' % (BEGIN + SECOND)
    (tmp_path / "bad.txt").write_bytes(b"\n".join([*lines[:20], bad, *lines[20:]]))
    found = report(capsys, tmp_path / "bad.txt")
    assert found["messages"]["malformed"] == 1
    assert found["messages"]["book_changes"] == 600


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.gz", None, "no such file"),
        ("words.txt", b"hello\nworld\n", "not a capture"),
        ("empty.txt", b"", "not a capture"),
        ("other.txt", b'1700000000000000000 {"x":1}\n', "no market data of a known venue"),
    ],
)
def test_file_that_cannot_be_replayed_is_named_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["replay", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert name in error
    assert said in error


@pytest.mark.parametrize(
    ("wrong", "hint"), [("momentun", "did you mean 'momentum'?"), ("x", "momentum, ping-pong")]
)
def test_unknown_strategy_says_which_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str, hint: str
) -> None:
    assert main(["replay", str(a_capture(tmp_path / "a.gz", 2)), "--strategy", wrong]) != 0
    assert hint in capsys.readouterr().err


def _rebuild(files: list[Path], symbol: str) -> tuple[list[list[float]], list[list[float]]]:
    """The last book of a spot capture, straight from its JSON."""
    bids: dict[float, float] = {}
    asks: dict[float, float] = {}
    last: int | None = None
    waiting: list[dict[str, Any]] = []
    for message in Captures(files):
        if message.kind not in ("frame", "rest"):
            continue
        data = json.loads(message.payload)
        if message.kind == "rest" and symbol in message.url and "bids" in data:
            last = data["lastUpdateId"]
            bids = {float(p): float(q) for p, q in data["bids"]}
            asks = {float(p): float(q) for p, q in data["asks"]}
            todo, waiting = [d for d in waiting if d["u"] > last], []
        elif data.get("data", {}).get("e") == "depthUpdate" and data["data"]["s"] == symbol:
            todo = [data["data"]] if last is not None else []
            if last is None:
                waiting.append(data["data"])
        else:
            continue
        for diff in todo:
            for side, levels in ((bids, diff["b"]), (asks, diff["a"])):
                side.update({float(p): float(q) for p, q in levels})
    best_bids = sorted(((p, q) for p, q in bids.items() if q), reverse=True)[:10]
    best_asks = sorted((p, q) for p, q in asks.items() if q)[:10]
    return [list(level) for level in best_bids], [list(level) for level in best_asks]


@pytest.mark.parametrize(("speed", "waits"), [(1.0, [2.0, 3.0]), (10.0, [0.2, 0.3]), (0.0, [])])
def test_speed_is_how_fast_recorded_time_passes(speed: float, waits: list[float]) -> None:
    clock, slept = [50.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 9))
        clock[0] += seconds

    pace = _pace(speed, lambda: clock[0], sleep)
    for second in (0, 2, 5, 5):  # the last one is due at once
        pace(BEGIN + second * SECOND)
    assert slept == waits


def test_slow_work_is_caught_up_with_and_not_waited_for_twice() -> None:
    clock, slept = [50.0], list[float]()
    pace = _pace(1.0, lambda: clock[0], slept.append)
    pace(BEGIN)
    clock[0] += 7.0  # the work of the first second took seven
    pace(BEGIN + SECOND)
    pace(BEGIN + 8 * SECOND)
    assert slept == [1.0]


@pytest.mark.parametrize("wrong", [["--speed", "2x"], ["--venue", "krakken"]])
def test_what_cannot_be_chosen_is_refused_with_the_choice(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", "x", *wrong])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert wrong[1] in said
    assert "choose from" in said


@needs_captures
@pytest.mark.captures
def test_book_of_a_venue_whose_keys_are_no_symbols_is_in_the_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = CAPTURES / "bybit" / "2024-12-01_XRPUSDT_ob500.data.zip"
    (book,) = report(capsys, path, "--strategy", "momentum")["books"]
    assert (book["symbol"], book["in_step"], len(book["bids"])) == ("XRPUSDT", True, 10)


@needs_captures
@pytest.mark.captures
@pytest.mark.parametrize(
    ("files", "symbols", "changes"),
    [
        (["spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz"], ["BTCUSDT"], 6_493),
        (["usdm/btcusdt_20240808.gz"], ["BTCUSDT"], 6_547),
        (
            [f"capture/BINANCE_20211012_{part}.txt.zst" for part in ("exchangeinfo", "http", "ws")],
            ["NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR"],
            172,
        ),
    ],
)
def test_real_captures_rebuild_without_gaps_to_the_same_book(
    capsys: pytest.CaptureFixture[str], files: list[str], symbols: list[str], changes: int
) -> None:
    paths = [BINANCE / file for file in files]
    found = report(capsys, *paths, "--strategy", "momentum")
    assert found["messages"]["gaps"] == found["messages"]["crossed"] == 0
    assert found["messages"]["book_changes"] == changes
    books = {book["symbol"]: book for book in found["books"]}
    assert sorted(books) == sorted(symbols)
    for symbol in symbols:
        assert (books[symbol]["bids"], books[symbol]["asks"]) == _rebuild(paths, symbol)
