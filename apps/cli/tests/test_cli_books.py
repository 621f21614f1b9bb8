"""Whose books a platform keeps, and what stands for no strategy."""

from pathlib import Path

import pytest

from tickbus.config import ConfigError, load
from tickbus_cli import main, new, profile
from tickbus_cli.datadir import DataDir
from tickbus_cli.errors import CliError
from tickbus_strategy.config import all_entries

ROOT = Path(__file__).parents[3]
DEFAULT = ROOT / "config" / "default.yaml"


def test_perpetuals_of_the_simulated_exchange_have_books_of_their_own(tmp_path: Path) -> None:
    sim = profile.choose("sim", live=False)
    overlay = ROOT / "config" / "venues" / "simulated-usdm.yaml"
    spot = profile.books_of(sim, load([DEFAULT], {}))
    futures = profile.books_of(sim, load([DEFAULT, overlay], {}))
    assert (spot, futures) == ("sim", "sim-binance-usdm")
    first = DataDir(tmp_path)
    first.open(spot, fresh=False)
    first.close()
    with pytest.raises(CliError, match="holds the books of 'sim', not of 'sim-binance-usdm'"):
        DataDir(tmp_path).open(futures, fresh=False)


@pytest.mark.parametrize("taken", ["manual", "risk", "external"])
def test_no_strategy_has_the_id_of_somebody_else(taken: str, tmp_path: Path) -> None:
    with pytest.raises(CliError, match=f"{taken}' is no strategy's id"):
        new.named(taken)
    file = tmp_path / "own.yaml"
    file.write_text(f"strategies: [{{id: {taken}, kind: momentum, instruments: [BTC-USDT]}}]\n")
    with pytest.raises(ConfigError, match=f"the id '{taken}' is taken"):
        all_entries(load([DEFAULT, file], {}))


def test_file_name_that_is_no_format_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--api-url", "http://127.0.0.1:1"]
    assert main.main(["export", "fills", "-o", str(tmp_path / "x.xlsx"), *where]) == 2
    assert "'xlsx' is no format" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
