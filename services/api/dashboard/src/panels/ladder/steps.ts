/** The book in coarser steps: what stands at several prices, added up in one row. */
import type { Depth, Level } from "../../api/types.ts";
import { decimal, multiply, plain, placesOf, toNumber } from "../../lib/decimal.ts";

/** Steps that the ladder offers, in ticks. */
const TICKS = [1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000] as const;
/** A coarser step than this part of the price would leave no ladder. */
const COARSEST = 1 / 500;

export interface Step {
  readonly ticks: number;
  /** As a price: "0.50". */
  readonly text: string;
}

/** What an instrument of this tick size, worth about `price`, may be shown in; one tick comes first. */
export function stepsOf(tickSize: string, price: number | null | undefined): readonly Step[] {
  const tick = decimal(tickSize);
  const most = (price ?? 0) * COARSEST;
  return TICKS.filter((ticks) => ticks === 1 || ticks * toNumber(tick) <= most).map((ticks) => ({
    ticks,
    text: plain(multiply(tick, decimal(ticks))),
  }));
}

/**
 * `live` with the levels of `deep` below its own: the first is news ten times a second of the best
 * levels, the second was asked for a while ago and goes further down.
 */
export function deepened(live: Depth, deep: Depth | undefined): Depth {
  if (!deep) return live;
  const below = (own: readonly Level[], further: readonly Level[], side: 1 | -1): readonly Level[] => {
    const last = own.at(-1)?.[0];
    return last === undefined ? further : [...own, ...further.filter(([price]) => (price - last) * side > 0)];
  };
  return { ...live, bids: below(live.bids, deep.bids, -1), asks: below(live.asks, deep.asks, 1) };
}

/** The row that a price belongs to, counted in steps from zero: bids go down to theirs, asks up. */
export function rowOf(price: number, tick: number, ticks: number, side: "BUY" | "SELL"): number {
  // Whole ticks first: a price is one, but a float may be a hair beside it.
  const part = Math.round(price / tick) / ticks;
  return side === "BUY" ? Math.floor(part) : Math.ceil(part);
}

/** `depth` in rows of `ticks` ticks; as it is for one. */
export function inSteps(depth: Depth, tickSize: string, ticks: number): Depth {
  if (ticks <= 1) return depth;
  const tick = toNumber(decimal(tickSize));
  const places = placesOf(tickSize);
  const rows = (levels: readonly Level[], side: "BUY" | "SELL"): readonly Level[] => {
    const sizes = new Map<number, number>();
    for (const [price, size] of levels) {
      const row = rowOf(price, tick, ticks, side);
      sizes.set(row, (sizes.get(row) ?? 0) + size);
    }
    return [...sizes].map(([row, size]) => [Number((row * ticks * tick).toFixed(places)), size] as const);
  };
  return { ...depth, bids: rows(depth.bids, "BUY"), asks: rows(depth.asks, "SELL") };
}
