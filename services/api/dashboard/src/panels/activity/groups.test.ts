import { expect, test } from "vitest";
import type { Fill } from "../../api/types.ts";
import { plain } from "../../lib/decimal.ts";
import { grouped } from "./groups.ts";

const fill = (at: string | null, side: "BUY" | "SELL", price: string, quantity: string): Fill => ({
  id: `${at}`,
  order_id: "o",
  strategy: "s",
  symbol: "BTCUSDT",
  instrument_id: "BTC-USDT",
  venue: "sim",
  venue_order_id: "1",
  side,
  price,
  quantity,
  fee: "0.1",
  fee_asset: "USDT",
  liquidity: "TAKER",
  at,
  fee_value: "0.1",
});

test("fills are grouped by year, month and day, with exact sums", () => {
  const years = grouped(
    [
      fill("2026-11-22T23:59:59.9Z", "BUY", "0.1", "3"),
      fill("2026-11-22T00:00:00Z", "SELL", "0.2", "1"),
      fill("2026-11-01T12:00:00Z", "BUY", "1", "1"),
      fill("2025-01-31T12:00:00Z", "BUY", "5", "1"),
    ],
    "utc",
  );
  expect(years.map((year) => [year.name, year.count])).toEqual([["2026", 3], ["2025", 1]]);
  const november = years[0]!.groups[0]!;
  expect(november.groups.map((each) => [each.name, each.fills.length])).toEqual([["2026-11-22", 2], ["2026-11-01", 1]]);
  expect([november.bought, november.sold, november.fees].map(plain)).toEqual(["1.3", "0.2", "0.3"]);
});

test("a fill without a time has a group of its own, and no fills have none", () => {
  expect(grouped([fill(null, "BUY", "1", "1")], "utc").map((each) => each.count)).toEqual([1]);
  expect(grouped([], "utc")).toEqual([]);
});

test("a fee in the base currency counts at the price of its fill, one in a third currency not at all", () => {
  const unvalued = { ...fill("2026-11-22T12:00:00Z", "BUY", "60000", "0.001"), fee_value: null };
  const fees = (asset: string): string => plain(grouped([{ ...unvalued, fee: "0.000001", fee_asset: asset }], "utc")[0]!.fees);
  expect([fees("BTC"), fees("USDT"), fees("BNB")]).toEqual(["0.06", "0.000001", "0"]);
});
