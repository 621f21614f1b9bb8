"""A service may be replaced: another book passes the contract of books, a wrong one does not."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import test_contracts_aside
import test_contracts_books
import test_contracts_market
import test_contracts_orders

from contract import EXIT_USAGE, SERVICES, main
from tickbus.runtime.main import METRICS_PORTS

HERE = Path(__file__).parent
TOOL = HERE.parents[1] / "tools" / "contract.py"
SECONDS_MAX = 300
"""For a run of pytest within a test, on a machine that has other things to do."""
MODULES: tuple[Any, ...] = (
    test_contracts_aside, test_contracts_books, test_contracts_market, test_contracts_orders,
)  # fmt: skip


def check_book(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = f"{sys.executable} {HERE / 'other_book.py'}"
    return subprocess.run(
        [sys.executable, TOOL, "book", command, "-q", "-n0", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=SECONDS_MAX, check=False,
    )  # fmt: skip


@pytest.mark.slow(20)
@pytest.mark.timeout(SECONDS_MAX + 30)
def test_a_book_without_a_line_of_ours_passes() -> None:
    done = check_book()
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


@pytest.mark.slow(10)
@pytest.mark.timeout(SECONDS_MAX + 30)
def test_a_wrong_one_fails_and_it_is_said_where() -> None:
    done = check_book("-k", "test_book", OTHER_BOOK_WRONG="1")
    assert done.returncode == 1, done.stdout
    assert "assert (100.0, 0.0, 101.0, 3.0) == (99.5, 4.0, 101.0, 3.0)" in done.stdout


def test_every_service_has_a_contract_of_its_own() -> None:
    assert set(SERVICES) == set(METRICS_PORTS)
    marks = [
        mark for m in MODULES for f in vars(m).values() for mark in getattr(f, "pytestmark", ())
    ]
    assert {mark.args[0] for mark in marks if mark.name == "contract"} == set(SERVICES)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (("brook", "true"), "there are feed, book, strategy"),
        ((), "there is no such service"),
        (("book", "./not-there --fast"), "./not-there is no program that can be run"),
        (("book", "'unclosed"), "quote it as for a shell"),
    ],
)
def test_what_cannot_be_checked_is_said(
    wish: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(wish) == EXIT_USAGE
    assert said in capsys.readouterr().err
