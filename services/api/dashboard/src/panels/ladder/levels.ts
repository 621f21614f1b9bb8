/** The rows of the ladder: levels of the book with what is ours at each. */
import type { Depth, Level, Order, Side } from "../../api/types.ts";
import { add, decimal, plain, toNumber } from "../../lib/decimal.ts";
import { rowOf } from "./steps.ts";

export interface LadderRow {
  readonly price: number;
  readonly size: number;
  /** The share of the largest size shown, 0 to 1: the bar. */
  readonly share: number;
  /** What is left of our orders at this price; "" for none. */
  readonly ours: string;
  readonly orders: readonly Order[];
}

export interface LadderView {
  /** Best first. */
  readonly bids: readonly LadderRow[];
  readonly asks: readonly LadderRow[];
}

/** What one row of the depth stands for. */
export interface Grain {
  readonly tickSize: string;
  readonly ticks: number;
}

/** The best `count` rows of each side of `depth`, which is in rows of `grain`. */
export function ladder(depth: Depth, orders: readonly Order[], count: number, grain: Grain): LadderView {
  const tick = toNumber(decimal(grain.tickSize));
  const mine = orders.filter(
    (order) =>
      order.working &&
      order.price !== null &&
      order.instrument_id === depth.instrument_id &&
      order.venue === depth.venue &&
      // An untriggered stop is no part of the book.
      order.trigger_price === null,
  );
  const bids = depth.bids.slice(0, count);
  const asks = depth.asks.slice(0, count);
  const largest = Math.max(0, ...bids.map(([, size]) => size), ...asks.map(([, size]) => size));
  const row = (price: number, side: Side): number => rowOf(price, tick, grain.ticks, side);
  const rows = (levels: readonly Level[], side: Side): LadderRow[] =>
    levels.map(([price, size]) => {
      const here = mine.filter((order) => order.side === side && row(toNumber(decimal(order.price)), side) === row(price, side));
      const ours = here.map((order) => decimal(order.leaves_quantity)).reduce(add, decimal("0"));
      return {
        price,
        size,
        share: largest > 0 ? size / largest : 0,
        ours: here.length > 0 ? plain(ours) : "",
        orders: here,
      };
    });
  return { bids: rows(bids, "BUY"), asks: rows(asks, "SELL") };
}
