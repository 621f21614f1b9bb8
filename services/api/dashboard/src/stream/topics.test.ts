import { describe, expect, it } from "vitest";
import type { Candle, Depth, Order } from "../api/types.ts";
import { candlesAfter, depthAfter, listOf, marketOf, ordersAfter, topicOf } from "./topics.ts";

const candle = (opened_at: string, close: number): Candle =>
  ({ opened_at, open: 1, high: 1, low: 1, close, volume: 1 }) as Candle;
const order = (id: string, working: boolean, created_at: string): Order =>
  ({ id, working, created_at }) as Order;

describe("what is known after news", () => {
  it("changes the levels of a book, takes empty ones away and keeps the best first", () => {
    const book = { bids: [[100, 1], [99, 2]], asks: [[101, 1]], sequence: 1 } as unknown as Depth;
    const after = depthAfter(book, { bids: [[99, 0], [98, 5], [100, 3]], asks: [[100.5, 2]], sequence: 2 });
    expect(after.bids).toEqual([[100, 3], [98, 5]]);
    expect(after.asks).toEqual([[100.5, 2], [101, 1]]);
    expect(after.sequence).toBe(2);
  });

  it("keeps candles in order of time, the newest word for each", () => {
    const known = candlesAfter([], [candle("b", 2), candle("a", 1)]);
    expect(known.map((each) => each.opened_at)).toEqual(["a", "b"]);
    expect(candlesAfter(known, [candle("b", 7), candle("c", 3)]).map((each) => each.close)).toEqual([1, 7, 3]);
  });

  it("shows the newest trade first, as the stream tells them", () => {
    const trades = (...ids: string[]) => ({ trades: ids.map((id) => ({ id })) });
    const { topic } = topicOf("trades:BTC-USDT@sim");
    const told = topic.delta?.(topic.snapshot?.(trades("3", "2", "1"), undefined), trades("5", "4"));
    expect(told).toEqual(trades("5", "4", "3", "2", "1").trades);
  });

  it("never drops a working order, however many have closed since", () => {
    const old = order("old", true, "2026-01-01");
    const closed = Array.from({ length: 200 }, (_, n) => order(`c${n}`, false, `2026-02-01T00:00:${n}`));
    const after = ordersAfter([old], closed);
    expect(after).toContain(old);
    expect(after.length).toBeLessThan(100);
  });

  it("takes a list bare, under its name, or as one thing", () => {
    expect(listOf([1], "orders")).toEqual([1]);
    expect(listOf({ orders: [1, 2] }, "orders")).toEqual([1, 2]);
    expect(listOf({ id: "x" }, "orders")).toEqual([{ id: "x" }]);
    expect(listOf(null, "orders")).toEqual([]);
  });

  it("finds the family of a topic and the market in it", () => {
    expect(topicOf("candles:BTC-USDT@sim:1m").argument).toBe("BTC-USDT@sim:1m");
    expect(marketOf("BTC-USDT@sim")).toEqual({ instrument: "BTC-USDT", venue: "sim" });
  });
});
