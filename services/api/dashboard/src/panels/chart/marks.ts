/** Our fills as marks on candles. */
import type { SeriesMarker, Time } from "lightweight-charts";
import type { Candle, Fill, Side } from "../../api/types.ts";
import { seconds } from "../../charts/seconds.ts";
import { add, decimal, plain } from "../../lib/decimal.ts";

/** One mark per candle and side, oldest first. */
export function marksOf(
  fills: readonly Fill[],
  candles: readonly Candle[],
  colours: Readonly<Record<Side, string>>,
): SeriesMarker<Time>[] {
  const marks: SeriesMarker<Time>[] = [];
  for (const [time, sides] of tradedIn(fills, candles)) {
    for (const side of ["BUY", "SELL"] as const) {
      if (sides[side] === "0") continue;
      marks.push({
        time: time as Time,
        position: side === "BUY" ? "belowBar" : "aboveBar",
        shape: side === "BUY" ? "arrowUp" : "arrowDown",
        color: colours[side],
        size: 1,
      });
    }
  }
  return marks.sort((a, b) => (a.time as number) - (b.time as number));
}

/** Candle (its opening, in seconds) → what we bought and sold in it, "0" for nothing. */
export function tradedIn(
  fills: readonly Fill[],
  candles: readonly Candle[],
): ReadonlyMap<number, Readonly<Record<Side, string>>> {
  const opens = candles.map((candle) => seconds(candle.opened_at));
  const sums = new Map<number, Record<Side, string>>();
  for (const fill of fills) {
    const time = fill.at ? lastNotAfter(opens, seconds(fill.at)) : undefined;
    if (time === undefined) continue;
    const sides = sums.get(time) ?? { BUY: "0", SELL: "0" };
    sides[fill.side] = plain(add(decimal(sides[fill.side]), decimal(fill.quantity)));
    sums.set(time, sides);
  }
  return sums;
}

/** The largest of `sorted` that is not above `value`: a search by halves. */
export function lastNotAfter(sorted: readonly number[], value: number): number | undefined {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) <= value) low = middle + 1;
    else high = middle;
  }
  return sorted[low - 1];
}
