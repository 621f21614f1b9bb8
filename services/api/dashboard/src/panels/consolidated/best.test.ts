import { expect, test } from "vitest";
import type { Price } from "../../api/types.ts";
import { consolidate } from "./best.ts";

const price = (instrument_id: string, venue: string, bid: number | null, ask: number | null, stale = false): Price =>
  ({ instrument_id, venue, bid, ask, stale }) as Price;

test("the best bid and ask come from whoever has them", () => {
  const [btc] = consolidate([price("BTC-USDT", "okx", 100, 102), price("BTC-USDT", "binance", 99, 101)]);
  expect([btc?.bid?.venue, btc?.ask?.venue]).toEqual(["okx", "binance"]);
  expect(btc?.prices.map((each) => each.venue)).toEqual(["binance", "okx"]);
  expect(btc?.spreadBps).toBeCloseTo(99.5, 1);
});

test("a stale price is shown and never the best", () => {
  const [btc] = consolidate([price("BTC-USDT", "a", 100, 101), price("BTC-USDT", "b", 105, 99, true)]);
  expect([btc?.bid?.venue, btc?.ask?.venue, btc?.prices.length]).toEqual(["a", "a", 2]);
});

test("venues may be crossed between each other, and a side may be empty", () => {
  const [crossed, empty] = consolidate([
    price("A-USDT", "a", 101, 102),
    price("A-USDT", "b", 98, 100),
    price("B-USDT", "a", null, 5),
  ]);
  expect(crossed?.spreadBps).toBeLessThan(0);
  expect([empty?.bid, empty?.ask?.ask, empty?.spreadBps]).toEqual([null, 5, null]);
});
