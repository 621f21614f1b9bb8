"""A scrape is held against the declared list, in both directions."""

from pathlib import Path

import pytest

import metrics

LIST = """
groups: {all: [feed, book]}
sections:
  - title: All
    metrics:
      - {name: "tickbus_{service}_ready", type: gauge, unit: "1", services: all, meaning: Well.}
      - {name: "tickbus_{service}_errors_total", type: counter, unit: events, services: all,
         meaning: Ill., when: something is, labels: {kind: errors}}
      - {name: "tickbus_feed_books", type: gauge, unit: books, services: [feed], meaning: Kept.,
         labels: {state: [LIVE, STALE]}, when: there are any}
      - {name: "tickbus_{service}_took_seconds", type: histogram, unit: seconds, services: all,
         meaning: Long., when: it did, labels: {hop: hops}}
hops: {"{service}>{service}": far}
errors: {lost: gone, "venue_{code}": said}
"""
READY = "# TYPE tickbus_feed_ready gauge\ntickbus_feed_ready 1\n"
ERRORS = "# TYPE tickbus_feed_errors_total counter\ntickbus_feed_errors_total{kind=%r} 1\n"
HISTOGRAM = """# TYPE tickbus_feed_took_seconds histogram
tickbus_feed_took_seconds_bucket{hop="feed>book",le="1"} 2
tickbus_feed_took_seconds_bucket{hop="feed>book",le="+Inf"} 2
tickbus_feed_took_seconds_count{hop="feed>book"} 2
tickbus_feed_took_seconds_sum{hop="feed>book"} 1
"""


@pytest.fixture
def known(tmp_path: Path) -> metrics.Declared:
    path = tmp_path / "metrics.yaml"
    path.write_text(LIST, encoding="utf-8")
    return metrics.declared(path)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (READY, None),
        (READY + HISTOGRAM, None),
        (READY + ERRORS.replace("%r", '"lost"'), None),
        (READY + ERRORS.replace("%r", '"venue_1003"'), None),
        ("", "feed does not export tickbus_feed_ready, and no `when` says why"),
        (READY + "tickbus_feed_more 1\n", "feed exports tickbus_feed_more, which is not declared"),
        (READY + ERRORS.replace("%r", '"lots"'), 'kind="lots", which is not declared'),
        (READY + 'tickbus_feed_books{state="DEAD"} 1\n', 'state="DEAD", which is not declared'),
        (READY + "tickbus_feed_books 1\n", "has the labels [], and is declared with ['state']"),
        (READY.replace(" gauge", " histogram"), "declared as a gauge"),
        (READY + HISTOGRAM.replace("feed>book", "far"), 'hop="far", which is not declared'),
    ],
)
def test_what_differs_is_said(known: metrics.Declared, text: str, wrong: str | None) -> None:
    found = metrics.problems("feed", text, known)
    if wrong is None:
        assert found == []
    else:
        assert any(wrong in each for each in found), found


def test_a_service_exports_what_is_declared_for_it(known: metrics.Declared) -> None:
    assert "tickbus_feed_books" in known.of("feed")
    assert "tickbus_feed_books" not in known.of("book")
    assert set(known.samples()["tickbus_feed_took_seconds_bucket"].labels) == {"hop", "le"}


def test_a_name_is_declared_once(tmp_path: Path) -> None:
    twice = tmp_path / "twice.yaml"
    twice.write_text(LIST.replace("tickbus_feed_books", "tickbus_{service}_ready"), "utf-8")
    with pytest.raises(ValueError, match="declared twice"):
        metrics.declared(twice)
