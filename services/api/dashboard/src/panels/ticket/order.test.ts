import { describe, expect, it } from "vitest";
import type { Instrument } from "../../api/types.ts";
import type { Ticket } from "../../store/ticket.ts";
import { mayRest, orderOf } from "./order.ts";

const instrument = { instrument_id: "BTC-USDT", venue: "sim" } as Instrument;
const a = (changes: Partial<Ticket>): Ticket => ({
  side: "BUY", kind: "LIMIT", quantity: " 0.01 ", price: "60000", trigger: "61000",
  lasts: "GTC", postOnly: true, reduceOnly: false, ...changes,
});
const NOW = Date.parse("2026-11-22T10:00:30Z");
const order = (changes: Partial<Ticket>) => orderOf(a(changes), instrument, NOW);

describe("what is asked for", () => {
  it("has the fields of its type and no others", () => {
    expect(order({})).toEqual({
      symbol: "BTC-USDT", venue: "sim", side: "BUY", type: "LIMIT", quantity: "0.01", price: "60000",
      time_in_force: "GTC", post_only: true,
    });
    expect(Object.keys(order({ kind: "MARKET", lasts: "IOC" }))).toEqual(["symbol", "venue", "side", "type", "quantity"]);
    expect(order({ kind: "STOP_MARKET" })).not.toHaveProperty("price");
    expect(order({ kind: "TAKE_PROFIT_LIMIT", lasts: "FOK" })).toMatchObject({
      price: "60000", trigger_price: "61000", time_in_force: "FOK",
    });
  });

  it("ends with a whole minute, not before it should", () => {
    expect(order({ lasts: "GTD 5" })).toMatchObject({ time_in_force: "GTD", expires_at: "2026-11-22T10:06:00.000Z" });
  });

  it("rests only where something may rest", () => {
    expect(mayRest(a({ lasts: "GTD 60" }))).toBe(true);
    expect(order({ lasts: "IOC" })).not.toHaveProperty("post_only");
    expect(order({ kind: "STOP_LIMIT" })).not.toHaveProperty("post_only");
  });
});
