"""The gateway's views of the market that come from several venues."""

from tickbus.events import ConsolidatedTop
from tickbus_api.views import ConsolidatedView


def test_consolidated_view_names_every_venue_the_best_first() -> None:
    top = ConsolidatedTop(
        1, 1_700_000_000_000_000_000, "BTC-USDT",
        (("okx", 100.0, 1.0), ("kraken", 99.5, 3.0)), (("kraken", 101.0, 2.0),),
    )  # fmt: skip
    view = ConsolidatedView.of(top).model_dump()
    assert view["instrument_id"] == "BTC-USDT"
    assert view["bids"] == [("okx", 100.0, 1.0), ("kraken", 99.5, 3.0)]
    assert view["asks"] == [("kraken", 101.0, 2.0)]
    assert view["updated_at"].startswith("2023-11-14T22:13:20")
