"""The crowd: deterministic, never an empty or crossed book, and moves worth trading."""

from hashlib import sha256

import pytest

from tickbus_exchange.app import Exchange
from tickbus_exchange.config import DEFAULT_BALANCES, DEFAULT_LISTINGS, ExchangeConfig
from tickbus_exchange.engine.orders import Trade
from tickbus_exchange.tape import AggTrade

START_MS = 1_800_000_000_000
STEP_MS = 20


class Market:
    """A market on a clock of its own."""

    def __init__(self, seed: int, intensity: float = 1.0) -> None:
        self.now_ms = START_MS
        config = ExchangeConfig(
            seed=seed, intensity=intensity, listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES
        )
        self.exchange = Exchange(config, lambda: self.now_ms)
        self.trades: list[Trade] = []
        self.exchange.venue.observers.append(self)

    def on_reports(self, reports: object) -> None:
        raise AssertionError("the crowd's accounts are not reported")

    def on_trades(self, symbol: str, trades: list[Trade], aggregates: list[AggTrade]) -> None:
        self.trades += trades

    def on_book(self, symbol: str) -> None:
        book = self.exchange.venue.engine.markets[symbol].book
        assert not book.is_crossed()
        assert book.bids.keys
        assert book.asks.keys

    def run(self, seconds: float) -> dict[str, list[float]]:
        """Return each symbol's mid price per step."""
        mids: dict[str, list[float]] = {s: [] for s in self.exchange.venue.rules}
        for _ in range(int(seconds * 1_000 / STEP_MS)):
            self.now_ms += STEP_MS
            self.exchange.step()
            for symbol, path in mids.items():
                book = self.exchange.venue.engine.markets[symbol].book
                path.append((book.bids.best_price() + book.asks.best_price()) / 2)
        return mids


def test_same_seed_same_market_other_seed_another() -> None:
    prints = []
    for seed in (7, 7, 8):
        market = Market(seed)
        market.run(20)
        prints.append(sha256(repr(market.trades).encode()).hexdigest())
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("seed", [1, 2])
def test_books_are_deep_tight_and_the_price_moves_enough(seed: int) -> None:
    market = Market(seed)
    mids = market.run(120)
    for symbol, path in mids.items():
        book = market.exchange.venue.engine.markets[symbol].book
        assert len(book.bids.keys) > 50
        assert len(book.asks.keys) > 50
        spread = book.asks.best_price() - book.bids.best_price()
        assert spread / path[-1] < 5e-4
    window = 5_000 // STEP_MS
    moves = sum(
        any(abs(path[i + window] / path[i] - 1) > 30e-4 for i in range(start, start + window))
        for path in mids.values()
        for start in range(0, len(path) - 2 * window, window)
    )
    assert moves >= 6  # 30 bps within 5 s, several times a minute over the three symbols
    assert len(market.trades) > 1_000


def test_the_price_stays_near_home_for_an_hour_of_trends() -> None:
    market = Market(3)
    fair = market.exchange.crowd.corners["BTCUSDT"].fair
    path = [fair.advance(0.1) for _ in range(36_000)]
    assert max(path) / min(path) < 1.12
    assert max(path) / min(path) > 1.01


def test_intensity_zero_is_a_book_that_stands_still() -> None:
    market = Market(1, intensity=0.0)
    mids = market.run(2)
    assert market.trades == []
    assert all(len(set(path)) == 1 for path in mids.values())


def test_a_stalled_process_does_not_make_up_for_lost_time() -> None:
    market = Market(1)
    market.run(1)
    before = market.exchange.venue.events_total
    market.now_ms += 3_600_000
    market.exchange.step()
    assert market.exchange.venue.events_total - before < 500
