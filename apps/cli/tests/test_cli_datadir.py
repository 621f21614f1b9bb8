"""The data directory: ours or refused, one platform at a time, --fresh removes only our files."""

import subprocess
import sys
from pathlib import Path

import pytest

from tickbus_cli import datadir
from tickbus_cli.datadir import DataDir
from tickbus_cli.errors import CliError


def test_a_new_directory_has_no_books_and_a_used_one_has(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "sim")
    assert not data.open("sim", fresh=False)
    data.postgres.mkdir()
    data.close()
    assert DataDir(tmp_path / "sim").open("sim", fresh=False)


def test_fresh_forgets_the_books_and_leaves_what_is_not_ours(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "sim")
    data.open("sim", fresh=False)
    (data.nats / "stream").mkdir(parents=True)
    data.postgres.mkdir()
    (data.path / "notes.txt").write_text("mine", encoding="utf-8")
    data.close()
    again = DataDir(tmp_path / "sim")
    assert not again.open("sim", fresh=True)
    assert not again.nats.exists()
    assert (again.path / "notes.txt").exists()


@pytest.mark.parametrize("fresh", [True, False])
def test_somebody_else_s_directory_is_refused_and_untouched(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(CliError, match="not made by tickbus"):
        DataDir(tmp_path).open("sim", fresh)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_books_of_two_accounts_are_not_mixed(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "d")
    data.open("sim", fresh=False)
    data.close()
    with pytest.raises(CliError, match="'sim'"):
        DataDir(tmp_path / "d").open("binance-live", fresh=True)


def test_a_second_platform_is_refused_naming_the_first(tmp_path: Path) -> None:
    holder = "import sys; from pathlib import Path; from tickbus_cli.datadir import DataDir\n"
    holder += "d = DataDir(Path(sys.argv[1])); d.open('sim', False); d.publish({'nats_url': 'n'})\n"
    holder += "print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "sim")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"up\n"
        with pytest.raises(CliError, match=f"pid {first.pid}"):
            DataDir(tmp_path / "sim").open("sim", fresh=True)
        assert datadir.running(tmp_path / "sim") == {"nats_url": "n"}
        first.kill()
        first.wait()
    assert datadir.running(tmp_path / "sim") is None
    DataDir(tmp_path / "sim").open("sim", fresh=False)


def test_an_unusable_place_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CliError, match="cannot use the data directory") as caught:
        DataDir(tmp_path / "file" / "sim").open("sim", fresh=False)
    assert "--data-dir" in caught.value.remedy
