import { expect, test } from "vitest";
import type { Instrument, Price } from "../api/types.ts";
import { titleOf } from "./title.ts";

const instrument = { instrument_id: "BTC-USDT", venue: "sim", tick_size: "0.10" } as Instrument;
const prices = [{ instrument_id: "BTC-USDT", venue: "sim", last_price: 60_237.8 } as Price];

test("the tab tells the price of the chosen market, and that trading is held up", () => {
  expect(titleOf("ACTIVE", instrument, prices)).toBe("60,237.8 BTC-USDT · tickbus");
  expect(titleOf("HALTED", instrument, prices)).toBe("HALTED · 60,237.8 BTC-USDT · tickbus");
  expect(titleOf(undefined, undefined, [])).toBe("tickbus");
});
