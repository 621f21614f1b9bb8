import { describe, expect, it } from "vitest";
import type { Depth, Order } from "../../api/types.ts";
import { ladder as inRows } from "./levels.ts";

const depth = {
  instrument_id: "BTC-USDT", venue: "sim",
  bids: [[100, 4], [99, 2]], asks: [[101, 1], [102, 8]],
} as unknown as Depth;
const order = (changes: Partial<Order>): Order =>
  ({
    instrument_id: "BTC-USDT", venue: "sim", side: "BUY", price: "100.00", leaves_quantity: "0.5",
    working: true, trigger_price: null, ...changes,
  }) as Order;

const ladder = (book: Depth, orders: readonly Order[], count: number) =>
  inRows(book, orders, count, { tickSize: "0.01", ticks: 1 });

describe("the ladder", () => {
  it("shows what is ours at its price, summed", () => {
    const view = ladder(depth, [order({}), order({ leaves_quantity: "0.25" })], 10);
    expect(view.bids.map((row) => row.ours)).toEqual(["0.75", ""]);
    expect(view.asks.map((row) => row.ours)).toEqual(["", ""]);
  });

  it("leaves out what does not stand in this book", () => {
    const others = [
      order({ venue: "other" }), order({ instrument_id: "ETH-USDT" }), order({ working: false }),
      order({ trigger_price: "99" }), order({ side: "SELL" }), order({ price: null }),
    ];
    expect(ladder(depth, others, 10).bids.every((row) => row.ours === "")).toBe(true);
  });

  it("measures bars against the largest size shown", () => {
    expect(ladder(depth, [], 1).bids[0]?.share).toBe(1);
    expect(ladder(depth, [], 2).bids.map((row) => row.share)).toEqual([0.5, 0.25]);
  });
});
