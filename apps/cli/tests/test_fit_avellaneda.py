"""tickbus fit-avellaneda: the numbers of a recording, and clear words for one that is too thin."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tickbus_cli.main import main

ROOT = Path(__file__).parents[3]
CAPTURES = Path(os.environ.get("TICKBUS_CAPTURES", ROOT.parent / "shared" / "data"))
BINANCE = CAPTURES / "binance"
BEGIN = 1_700_000_000_000

needs_captures = pytest.mark.skipif(
    not BINANCE.is_dir(), reason=f"no captures in {CAPTURES}; set TICKBUS_CAPTURES"
)


def a_capture(path: Path, seconds: int) -> Path:
    """A quote a second, and a buyer who takes up to n levels of a cent, n = 1, 2, 1, 3, ..."""
    lines = []
    book = {"e": "depthUpdate", "E": BEGIN, "s": "AAAUSDT", "U": 1, "u": 1}
    levels = {"b": [["99.99", "5"]], "a": [["100.01", "5"]]}
    lines.append(_frame(BEGIN, "aaausdt@depth@100ms", {**book, **levels}))
    for n in range(seconds):
        ms = BEGIN + n * 1_000
        quote = {"u": n + 1, "s": "AAAUSDT", "b": "99.99", "B": "5", "a": "100.01", "A": "5"}
        lines.append(_frame(ms, "aaausdt@bookTicker", quote))
        reached = ((n + 1) & -(n + 1)).bit_length()  # 1 half of the time, 2 a quarter, ...
        for level in range(reached):
            price = f"{100.01 + level / 100:.2f}"
            trade = {"e": "trade", "E": ms, "s": "AAAUSDT", "t": n * 10 + level, "p": price}
            trade |= {"q": "1", "T": ms + 1, "m": False}
            lines.append(_frame(ms + 1, "aaausdt@trade", trade))
    path.write_text("\n".join(lines) + "\n")
    return path


def _frame(ms: int, stream: str, data: dict[str, Any]) -> str:
    text = json.dumps({"stream": stream, "data": data}, separators=(",", ":"))
    return f"{ms * 1_000_000} {text}"


def test_orders_that_halve_with_each_level_have_a_kappa_of_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit-avellaneda", str(a_capture(tmp_path / "a.txt", 2_000)), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["instrument"] == "AAA-USDT"
    assert 1_999 <= found["orders"] <= 2_000, "before the first price nothing counts"
    # A level is 1 bp, and each is reached by half as many: exp(-kappa) = 1/2.
    assert found["kappa"] == pytest.approx(0.693, rel=0.15)
    assert found["half_spread_bps"] == pytest.approx(1.0)


def test_report_says_what_the_numbers_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit-avellaneda", str(a_capture(tmp_path / "a.txt", 500))]) == 0
    said = capsys.readouterr().out
    for words in ("per second and side", "gamma", "R squared", "params: { kappa:"):
        assert words in said


def test_recording_that_is_too_thin_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit-avellaneda", str(a_capture(tmp_path / "a.txt", 5))]) == 2
    assert "5 market orders" in capsys.readouterr().err
    assert main(["fit-avellaneda", str(tmp_path / "a.txt"), "--instrument", "B-C"]) == 2
    assert "the capture has AAA-USDT" in capsys.readouterr().err


@pytest.mark.captures
@needs_captures
@pytest.mark.parametrize("name", ["spot/btcusdt_20240808.gz", "usdm/ethusdt_20240808.gz"])
def test_real_tapes_fall_off_with_the_distance(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit-avellaneda", str(BINANCE / name), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["orders"] > 3_000
    assert 0.5 < found["kappa"] < 5
    assert found["r_squared"] > 0.7
    counted = [rate["counted"] for rate in found["rates"]]
    assert counted == sorted(counted, reverse=True)
