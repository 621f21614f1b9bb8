import { describe, expect, it } from "vitest";
import type { Candle, Fill } from "../../api/types.ts";
import { lastNotAfter, marksOf, tradedIn } from "./marks.ts";

const candles = ["2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"].map((opened_at) => ({ opened_at }) as Candle);
const fill = (at: string, side: "BUY" | "SELL", quantity: string): Fill => ({ at, side, quantity }) as Fill;

describe("our fills on the candles", () => {
  it("sums them per candle and side", () => {
    const fills = [
      fill("2026-01-01T00:00:59.999Z", "BUY", "0.1"),
      fill("2026-01-01T00:00:01Z", "BUY", "0.20"),
      fill("2026-01-01T00:01:00Z", "SELL", "0.3"),
    ];
    expect([...tradedIn(fills, candles).values()]).toEqual([
      { BUY: "0.3", SELL: "0" },
      { BUY: "0", SELL: "0.3" },
    ]);
    const marks = marksOf(fills, candles, { BUY: "g", SELL: "r" });
    expect(marks.map((mark) => [mark.shape, mark.position])).toEqual([
      ["arrowUp", "belowBar"],
      ["arrowDown", "aboveBar"],
    ]);
  });

  it("leaves out what is older than the first candle", () => {
    expect(tradedIn([fill("2025-12-31T23:59:59Z", "BUY", "1")], candles).size).toBe(0);
    expect(lastNotAfter([], 5)).toBeUndefined();
  });
});
