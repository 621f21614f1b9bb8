"""Captures: three formats, compressed or not, torn or whole, merged by time."""

import gzip
import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tickbus.captures import CaptureError, Captures

DATA = Path(os.environ.get("TICKBUS_CAPTURES", Path(__file__).parents[4] / "shared" / "data"))
SECOND = 1_000_000_000
TIMED = (
    b'1700000000000000000 {"stream":"btcusdt@trade","data":{}}\n'
    b'1700000001000000000 {"lastUpdateId":5,"bids":[],"asks":[]}\n'
    b'1700000002000000000 {"stream":"btcusdt@trade","data":{}}\n'
)
MARKED = (
    b"wss://venue/stream <-> 1700000000.5\n"
    b'wss://venue/stream <- 1700000000.6: {"subscribe":1}\n'
    b'1700000001.5: {"stream":"ethusdt@trade"}\n'
    b'https://venue/depth?symbol=ETHUSDT -> 1700000001.75: {"lastUpdateId":1}\n'
    b'configuration: {"x":1}\n'
)
LINES = [
    {"t": "header", "format": 2},
    {"t": "connect", "conn": "a", "ts": 1700000000.0},
    {"t": "http", "url": "https://venue/list", "ts": 1700000000.25, "data": "{}"},
    {"t": "send", "conn": "a", "ts": 1700000000.5, "data": "sub"},
    {"t": "recv", "conn": "a", "ts": 1700000000.75, "data": '{"e":"trade"}'},
]
JSON_LINES = "".join(json.dumps(line) + "\n" for line in LINES).encode()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_timed_lines_plain_or_compressed(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    messages = list(Captures([write(tmp_path / "a.bin", pack(TIMED))]))
    assert [m.kind for m in messages] == ["frame", "rest", "frame"]
    assert messages[1].url == "/depth?symbol=BTCUSDT", "the file's own symbol"
    assert messages[0].ts_recv == 1_700_000_000 * SECOND
    assert [m.line for m in messages] == [1, 2, 3]


def test_microseconds_are_told_by_their_digits(tmp_path: Path) -> None:
    (message,) = Captures([write(tmp_path / "a", b'1700000000000001 {"stream":"x@trade"}\n')])
    assert message.ts_recv == 1_700_000_000_000_001_000


def test_marked_lines(tmp_path: Path) -> None:
    messages = list(Captures([write(tmp_path / "a.txt", MARKED)]))
    assert [m.kind for m in messages] == ["connect", "sent", "frame", "rest"]
    assert messages[2].payload == b'{"stream":"ethusdt@trade"}'
    assert messages[3].url == "https://venue/depth?symbol=ETHUSDT"
    assert messages[3].ts_recv == 1_700_000_001_750_000_000


def test_json_lines(tmp_path: Path) -> None:
    messages = list(Captures([write(tmp_path / "a.jsonl", JSON_LINES)]))
    assert [m.kind for m in messages] == ["connect", "rest", "sent", "frame"]
    assert messages[-1].payload == b'{"e":"trade"}'
    assert messages[-1].ts_recv == 1_700_000_000_750_000_000


def test_json_line_of_another_shape_is_reported_and_left_out(tmp_path: Path) -> None:
    captures = Captures([write(tmp_path / "a.jsonl", JSON_LINES + b'[1]\n{"x":1}\n' + JSON_LINES)])
    assert len(list(captures)) == 8
    assert [problem.line for problem in captures.problems] == [6, 7]


def test_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="a directory; name the files in it"):
        Captures([tmp_path])


def test_file_named_twice_is_refused_and_an_empty_one_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a", TIMED)
    with pytest.raises(CaptureError, match="named twice"):
        Captures([file, file])
    with pytest.raises(CaptureError, match="empty"):
        list(Captures([write(tmp_path / "b", b"")]))


def test_damaged_zip_and_impossible_time_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.txt", TIMED * 2_000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    captures = Captures([path])
    assert list(captures)
    assert "damaged" in captures.problems[-1].text
    line = b'{"t":"recv","ts":%s,"conn":"x","data":"{}"}\n'
    captures = Captures([write(tmp_path / "b", line % b"1e400" + line % b"1")])
    assert len(list(captures)) == 1
    assert captures.problems[0].line == 1


def test_recording_says_what_it_was_read_with(tmp_path: Path) -> None:
    head = b'{"t":"header","format":2,"exchange":"sim","adapter":"okx"}\n'
    captures = Captures(
        [write(tmp_path / "a", head + b'{"t":"recv","ts":1,"conn":"x","data":"{}"}\n')]
    )
    assert len(list(captures)) == 1
    assert captures.adapter == "okx"


def test_several_files_are_merged_by_time(tmp_path: Path) -> None:
    files = [write(tmp_path / "a", TIMED), write(tmp_path / "b", MARKED)]
    times = [message.ts_recv for message in Captures(files)]
    assert times == sorted(times)
    assert len(times) == 7


def test_clock_that_stepped_back_keeps_the_files_own_order(tmp_path: Path) -> None:
    first, second, third = TIMED.splitlines(keepends=True)
    messages = list(Captures([write(tmp_path / "a", second + first + third)]))
    assert [m.kind for m in messages] == ["rest", "frame", "frame"]
    assert messages[1].ts_recv == messages[0].ts_recv


def test_torn_line_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    captures = Captures([write(tmp_path / "a", TIMED + b"17000000\n" + TIMED)])
    assert len(list(captures)) == 6
    (problem,) = captures.problems
    assert (problem.line, problem.source) == (4, str(tmp_path / "a"))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_truncated_file_is_read_as_far_as_it_goes(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    data = b"".join(
        b'%d {"stream":"btcusdt@trade","n":%d}\n' % (1_700_000_000 * SECOND + n, n * n * 7919)
        for n in range(50_000)
    )
    packed = pack(data)
    captures = Captures([write(tmp_path / "a", packed[: len(packed) // 2])])
    count = sum(1 for _ in captures)
    assert count < 50_000
    assert "damaged" in captures.problems[-1].text


@pytest.mark.parametrize("data", [b"", b"hello\n", b"\x00\x01\x02", b"PK\x03\x04zip"])
def test_file_that_is_no_capture_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CaptureError, match=r"odd\.bin"):
        list(Captures([write(tmp_path / "odd.bin", data)]))


def test_missing_file_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no such file"):
        Captures([tmp_path / "none"])


def test_progress_reaches_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = write(tmp_path / "a", TIMED * 10_000)
    list(Captures([path], lambda done, total: seen.append((done, total))))
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


@pytest.mark.captures
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no captures in {DATA}; set TICKBUS_CAPTURES")
@pytest.mark.parametrize(
    ("files", "frames"),
    [
        (["binance/spot/btcusdt_20240808.gz", "binance/spot/btcusdt_20240809.gz"], 99_573),
        (["binance/usdm/ethusdt_20240808.gz"], 74_654),
        (["binance/capture/BINANCE_20211012_ws.txt.zst"], 265),
        (["bybit/BYBIT_20260809.jsonl.zst"], 3_227),
        (["coinbase/COINBASE_20260809.jsonl.zst"], 1_030),
        (["binance/wire_2026/usdm_streams_20260927.txt"], 29),
    ],
)
def test_recorded_files_are_read_whole(files: list[str], frames: int) -> None:
    captures = Captures([DATA / file for file in files])
    assert Counter(message.kind for message in captures)["frame"] == frames
    assert captures.problems == []
