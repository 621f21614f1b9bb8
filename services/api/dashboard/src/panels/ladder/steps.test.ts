import { describe, expect, it } from "vitest";
import type { Depth, Order } from "../../api/types.ts";
import { ladder } from "./levels.ts";
import { deepened, inSteps, stepsOf } from "./steps.ts";

const book = (bids: Depth["bids"], asks: Depth["asks"]): Depth =>
  ({ instrument_id: "BTC-USDT", venue: "sim", bids, asks, spread: 0.02 }) as unknown as Depth;

describe("the ladder in steps", () => {
  it("offers multiples of the tick, none too coarse for the price", () => {
    expect(stepsOf("0.01", 150).map((step) => step.text)).toEqual(["0.01", "0.05", "0.1"]);
    expect(stepsOf("0.10", 60_000).map((step) => step.ticks)).toEqual([1, 5, 10, 50, 100, 500, 1_000]);
    expect(stepsOf("0.01", null).map((step) => step.ticks)).toEqual([1]);
  });

  it("adds up what is within a step, away from the middle, and loses nothing", () => {
    const depth = book([[100.09, 1], [100.0, 2], [99.99, 4]], [[100.11, 1], [100.2, 2], [100.21, 4]]);
    const coarse = inSteps(depth, "0.01", 10);
    expect(coarse.bids).toEqual([[100, 3], [99.9, 4]]);
    expect(coarse.asks).toEqual([[100.2, 3], [100.3, 4]]);
    expect(coarse.spread).toBe(0.02);
    expect(inSteps(depth, "0.01", 1)).toBe(depth);
  });

  it("keeps a price that is a multiple of the step in its own row, whatever floats make of it", () => {
    // 0.3 / 0.1 is 2.9999999999999996, 60000.7 / 0.1 is 600006.9999999999.
    expect(inSteps(book([[0.3, 1]], [[60_000.7, 1]]), "0.1", 1).bids).toEqual([[0.3, 1]]);
    for (const ticks of [5, 10, 50]) {
      const price = Number((ticks * 0.1 * 7).toFixed(1));
      const coarse = inSteps(book([[price, 1]], [[price, 2]]), "0.1", ticks);
      expect([coarse.bids, coarse.asks]).toEqual([[[price, 1]], [[price, 2]]]);
    }
  });

  it("takes the best levels from what is newest and the rest from what goes deeper", () => {
    const live = book([[100, 5], [99, 5]], [[101, 5]]);
    const deep = book([[100.5, 1], [99, 1], [98, 1]], [[101, 1], [102, 1]]);
    const both = deepened(live, deep);
    expect(both.bids).toEqual([[100, 5], [99, 5], [98, 1]]);
    expect(both.asks).toEqual([[101, 5], [102, 1]]);
    expect(deepened(live, undefined)).toBe(live);
  });

  it("shows what is ours in the row that it was added up in", () => {
    const depth = inSteps(book([[100.09, 1], [100.0, 2]], [[100.11, 1]]), "0.01", 10);
    const ours = (price: string, side: string): Order =>
      ({
        instrument_id: "BTC-USDT", venue: "sim", side, price, leaves_quantity: "0.5", working: true,
        trigger_price: null,
      }) as Order;
    const orders = [ours("100.09", "BUY"), ours("100.01", "BUY"), ours("100.11", "SELL")];
    const view = ladder(depth, orders, 10, { tickSize: "0.01", ticks: 10 });
    expect(view.bids[0]).toMatchObject({ price: 100, size: 3, ours: "1" });
    expect(view.asks[0]).toMatchObject({ price: 100.2, ours: "0.5" });
  });
});
