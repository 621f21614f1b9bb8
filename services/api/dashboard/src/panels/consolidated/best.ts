/** One instrument at all of its venues: the best bid and ask, and what lies between them. */
import type { Price } from "../../api/types.ts";

export interface Consolidated {
  readonly instrument_id: string;
  readonly prices: readonly Price[];
  readonly bid: Price | null;
  readonly ask: Price | null;
  /** Best ask over best bid, in basis points of the middle; below 0 the market is crossed between venues. */
  readonly spreadBps: number | null;
}

/** By instrument, in the order of their names; a stale price is shown but is never the best. */
export function consolidate(prices: readonly Price[]): readonly Consolidated[] {
  const byName = new Map<string, Price[]>();
  for (const price of prices) {
    const there = byName.get(price.instrument_id);
    if (there) there.push(price);
    else byName.set(price.instrument_id, [price]);
  }
  return [...byName]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([instrument_id, all]) => {
      const fresh = all.filter((price) => !price.stale);
      const bid = best(fresh, (price) => price.bid, (a, b) => a > b);
      const ask = best(fresh, (price) => price.ask, (a, b) => a < b);
      return { instrument_id, prices: [...all].sort((a, b) => (a.venue < b.venue ? -1 : 1)), bid, ask, spreadBps: bpsOf(bid?.bid, ask?.ask) };
    });
}

function best(prices: readonly Price[], of: (price: Price) => number | null, beats: (a: number, b: number) => boolean): Price | null {
  let found: Price | null = null;
  for (const price of prices) {
    const value = of(price);
    const before = found ? of(found) : null;
    if (value !== null && value > 0 && (before === null || beats(value, before))) found = price;
  }
  return found;
}

function bpsOf(bid: number | null | undefined, ask: number | null | undefined): number | null {
  if (!bid || !ask) return null;
  return ((ask - bid) / ((ask + bid) / 2)) * 10_000;
}
