"""A package under a license that we do not accept is found, whichever way it tells of it."""

import pytest

from licenses import (
    ROOT,
    Package,
    Rules,
    expression,
    installed,
    is_accepted,
    locked,
    refused,
    rules,
)

RULES = Rules(
    frozenset({"MIT", "Apache-2.0", "BSD-3-Clause"}),
    {"MIT License": "MIT", "Apache 2.0": "Apache-2.0", "BSD License": "BSD-3-Clause"},
)


@pytest.mark.parametrize(
    "text",
    [
        "MIT", "MIT License", "MIT OR GPL-3.0-only", "GPL-3.0-only OR MIT", "MIT AND Apache-2.0",
        "(GPL-2.0-only AND MIT) OR Apache-2.0", "MIT AND (GPL-3.0-only OR Apache-2.0)",
        "Apache-2.0 WITH LLVM-exception", "GPL-2.0-only AND MIT OR Apache-2.0",
    ],
)  # fmt: skip
def test_what_is_accepted(text: str) -> None:
    assert is_accepted(text, RULES)


@pytest.mark.parametrize(
    "text",
    [
        "", "GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT", "MIT Apache-2.0", "MIT AND", "OR MIT",
        "(MIT OR Apache-2.0) AND GPL-3.0-only", "Apache-2.0 OR", "Proprietary, all rights reserved",
    ],
)  # fmt: skip
def test_what_is_not(text: str) -> None:
    assert not is_accepted(text, RULES)


@pytest.mark.parametrize(
    ("said", "classifiers", "found"),
    [
        ({"License-Expression": "MIT", "License": "GPL"}, [], "MIT"),
        ({"License": "Apache 2.0"}, ["License :: OSI Approved :: BSD License"], "Apache-2.0"),
        ({"License": "Copyright\n all"}, ["License :: OSI Approved :: BSD License"],
         "BSD-3-Clause"),
        ({}, ["License :: OSI Approved :: BSD License", "License :: OSI Approved :: MIT License"],
         "BSD-3-Clause AND MIT"),
        ({}, ["Topic :: MIT License"], ""),
        ({"License": "see file"}, [], "see file"),
    ],
)  # fmt: skip
def test_where_it_is_told(said: dict[str, str], classifiers: list[str], found: str) -> None:
    assert expression(said, classifiers, RULES) == found


def test_the_package_its_license_and_the_remedy_are_named() -> None:
    (line,) = refused([Package("viral", "1.0", "GPL-3.0-only"), Package("fine", "2", "MIT")], RULES)
    assert line.startswith("viral 1.0: its license is GPL-3.0-only, which is not accepted.")
    assert "requirements/licenses.toml" in line
    (line,) = refused([Package("mute", "1.0", "")], RULES)
    assert "not told" in line


def test_all_that_is_installed_here_is_accepted() -> None:
    known = rules()
    packages = [*installed(known), *locked(ROOT)]
    assert {"msgspec", "react"} <= {each.name for each in packages}
    assert refused(packages, known) == []
