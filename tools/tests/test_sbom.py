"""A list of parts says exactly what an image holds: the pins that are meant for Linux."""

import pytest

from licenses import ROOT, rules
from release import services
from sbom import environment, of_dashboard, of_image, pins

AT = "2026-01-02T03:04:05+00:00"
PINS = """
# made by a program
h11==0.16.0 \\
    --hash=sha256:00 \\
    --hash=sha256:01
    # via uvicorn
tzdata==2026.6 ; sys_platform == 'win32' \\
    --hash=sha256:02
typing-extensions==4.16.0 ; python_full_version < '3.13' \\
    --hash=sha256:03
uvloop==0.23.0 ; sys_platform != 'win32' \\
    --hash=sha256:04
"""


def test_pins_of_other_machines_are_left_out() -> None:
    where = {**environment(ROOT), "python_full_version": "3.13.0"}
    assert pins(PINS, where) == [("h11", "0.16.0"), ("uvloop", "0.23.0")]
    older = {**where, "python_full_version": "3.12.1"}
    assert ("typing-extensions", "4.16.0") in pins(PINS, older)


@pytest.mark.parametrize("service", services(ROOT))
def test_an_image_is_listed_exactly(service: str) -> None:
    made = of_image(ROOT, service, "1.2.3", AT, rules())
    listed = {(part["name"], part["version"]) for part in made["components"]}
    expected = set()
    for name in ("common", service):
        text = (ROOT / f"requirements/images/{name}.txt").read_text(encoding="utf-8")
        expected |= set(pins(text, environment(ROOT)))
    assert listed == expected
    assert len(made["components"]) == len(listed), "each once"
    about = made["metadata"]["component"]
    assert (about["name"], about["version"]) == (f"tickbus-{service}", "1.2.3")
    own = [part["purl"] for part in about["components"]]
    assert own == [
        "pkg:pypi/tickbus@1.2.3", "pkg:pypi/tickbus-orderbook@1.2.3",
        f"pkg:pypi/tickbus-{service}@1.2.3",
    ]  # fmt: skip
    assert all(part["licenses"] for part in made["components"])


def test_the_same_parts_make_the_same_list() -> None:
    known = rules()
    one, again = (of_image(ROOT, "risk", "1.2.3", AT, known) for _ in range(2))
    assert one == again
    assert one["serialNumber"] != of_image(ROOT, "feed", "1.2.3", AT, known)["serialNumber"]


def test_the_dashboard_lists_what_its_page_holds_and_not_what_builds_it() -> None:
    made = of_dashboard(ROOT, "1.2.3", AT)
    names = {part["name"] for part in made["components"]}
    assert {"react", "lightweight-charts"} <= names
    assert not {"vite", "typescript"} & names
