"""The audit fails for a known hole, and never passes in silence when nothing was looked at."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from audit import first_pin, main, read

HOLE = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.1", "3.0"], "description": ""}
PINS = """# made by a program
leaky==2.0 ; os_name == 'posix' \\
    --hash=sha256:0
    # via x
sound==1.0 \\
    --hash=sha256:1
"""
FOUND: dict[str, Any] = {
    "dependencies": [
        {"name": "leaky", "version": "2.0", "vulns": [HOLE]},
        {"name": "sound", "version": "1.0", "vulns": []},
        {"name": "private", "skip_reason": "not there"},
    ],
    "fixes": [],
}


def test_a_hole_is_named_with_what_helps() -> None:
    found = read(FOUND, {})
    assert (found.audited, found.skipped) == (2, ("private",))
    assert found.holes == (
        "leaky 2.0: PYSEC-1; fixed in 2.1, 3.0: make pins ARGS='--upgrade-package leaky'",
    )


@pytest.mark.parametrize("name", ["PYSEC-1", "CVE-1"])
def test_a_hole_may_be_accepted_by_any_of_its_names(name: str) -> None:
    assert read(FOUND, {name: "not reached"}).holes == ()
    assert read(FOUND, {"CVE-2": "another"}).holes


def test_a_hole_without_a_fix_says_what_to_do() -> None:
    report = {
        "dependencies": [{"name": "x", "version": "1", "vulns": [HOLE | {"fix_versions": []}]}]
    }
    assert "not fixed yet" in read(report, {}).holes[0]


def pretend(tmp_path: Path, said: str, code: int, complaint: str = "") -> str:
    program = tmp_path / "pip-audit"
    (tmp_path / "said").write_text(said)
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
        f"cat {tmp_path}/said; echo '{complaint}' >&2; exit {code}\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


@pytest.fixture
def pins(tmp_path: Path) -> str:
    file = tmp_path / "pins.txt"
    file.write_text(PINS)
    return str(file)


def test_the_first_pin_is_taken_with_its_hashes_and_no_more() -> None:
    assert first_pin(PINS) == "leaky==2.0 ; os_name == 'posix' \\\n    --hash=sha256:0\n"


def test_a_hole_fails_the_check(
    tmp_path: Path, pins: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([pretend(tmp_path, json.dumps(FOUND), 1), pins]) == 1
    said = capsys.readouterr()
    assert "PYSEC-1" in said.err
    assert said.out == "audit: 2 packages, 1 known holes; NOT AUDITED: private\n"


def test_data_that_cannot_be_reached_is_said(
    tmp_path: Path, pins: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([pretend(tmp_path, "", 1, "ERROR: no route"), pins]) == 0
    assert capsys.readouterr().out == "audit: NOTHING WAS AUDITED: ERROR: no route\n"
    assert main([str(tmp_path / "nothing"), pins]) == 0
    assert "NOTHING WAS AUDITED" in capsys.readouterr().out
    none = {"dependencies": [{"name": "private", "skip_reason": "not there"}]}
    assert main([pretend(tmp_path, json.dumps(none), 0), pins]) == 0
    said = capsys.readouterr().out
    assert said == "audit: NOTHING WAS AUDITED: the data does not even know leaky==2.0\n"
    assert (tmp_path / "asked").read_text().count("\n") == 2, "all are not asked for in vain"
