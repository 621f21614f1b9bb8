import { describe, expect, it } from "vitest";
import type { Instrument, Position, Price } from "../../api/types.ts";
import { plain } from "../../lib/decimal.ts";
import type { Ticket } from "../../store/ticket.ts";
import { isComplete, preview } from "./check.ts";

const instrument = {
  symbol: "BTCUSDT", instrument_id: "BTC-USDT", venue: "sim", base: "BTC", quote: "USDT",
  tick_size: "0.01", lot_size: "0.00001", quantity_min: "0.00001", quantity_max: "9000",
  market_quantity_max: "180", price_min: "0.01", price_max: "1000000",
  notional_min: "5.00000000", notional_max: "9000000", trading: true,
} satisfies Instrument;
const price = { bid: 60_000, ask: 60_001 } as Price;
const position = { quantity: "0.5" } as Position;
const balances = [
  { venue: "sim", asset: "USDT", free: "1000.5", locked: "0", total: "1000.5" },
  { venue: "sim", asset: "BTC", free: "1.25", locked: "0", total: "1.25" },
];

const a = (changes: Partial<Ticket>): Ticket => ({
  side: "BUY", kind: "LIMIT", quantity: "0.01", price: "60000", trigger: "",
  lasts: "GTC", postOnly: false, reduceOnly: false, ...changes,
});
const seen = (changes: Partial<Ticket>) => preview(a(changes), { instrument, price, position, balances });

describe("the ticket before anybody is asked", () => {
  it("says what the order is worth, what is held after it, and what pays for it", () => {
    const buy = seen({});
    expect(buy.notional && plain(buy.notional)).toBe("600");
    expect(buy.after && plain(buy.after)).toBe("0.51");
    expect(buy.free && plain(buy.free)).toBe("1000.5");
    const sell = seen({ side: "SELL", quantity: "0.7" });
    expect(sell.after && plain(sell.after)).toBe("-0.2");
    expect(sell.free && plain(sell.free)).toBe("1.25");
    expect(buy.problems).toEqual({});
  });

  it("pays for both sides of a future with the quote asset", () => {
    const future = { ...instrument, instrument_id: "BTC-USDT-PERP" };
    const short = preview(a({ side: "SELL" }), { instrument: future, price, position: undefined, balances });
    expect([short.pays, short.free && plain(short.free)]).toEqual(["USDT", "1000.5"]);
    expect(short.after && plain(short.after)).toBe("-0.01");
    expect(seen({ side: "SELL" }).pays).toBe("BTC");
  });

  it("values a market order at the other side of the market", () => {
    const { notional } = seen({ kind: "MARKET", price: "" });
    expect(notional && plain(notional)).toBe("600.01");
  });

  it.each([
    [{ quantity: "0.000015" }, "quantity", "not a multiple of 0.00001"],
    [{ quantity: "0" }, "quantity", "must be above 0"],
    [{ quantity: "x" }, "quantity", "not a number"],
    [{ quantity: "0.00001" }, "quantity", "worth less than 5 USDT"],
    [{ quantity: "9001" }, "quantity", "more than 9000"],
    [{ kind: "MARKET", quantity: "181" }, "quantity", "more than 180"],
    [{ price: "60000.005" }, "price", "not a multiple of 0.01"],
    [{ price: "2000000" }, "price", "above 1000000"],
    [{ kind: "STOP_MARKET", trigger: "1.001" }, "trigger", "not a multiple of 0.01"],
  ] as const)("names what is wrong with %o", (changes, field, problem) => {
    expect(seen(changes).problems[field]).toBe(problem);
  });

  it("holds empty fields against nobody, but is not complete without them", () => {
    expect(seen({ quantity: "", price: "" }).problems).toEqual({});
    expect(isComplete(a({ price: "" }))).toBe(false);
    expect(isComplete(a({ kind: "MARKET", price: "" }))).toBe(true);
    expect(isComplete(a({ kind: "STOP_LIMIT" }))).toBe(false);
  });
});
