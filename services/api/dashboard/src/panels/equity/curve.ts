/** Where the curve of the account, or of one strategy, comes from, and what is drawn of it. */
import { get } from "../../api/http.ts";
import type { Curve, Series } from "../../api/types.ts";
import { seconds } from "../../charts/seconds.ts";
import { decimal, negate, subtract, toNumber } from "../../lib/decimal.ts";
import { zoneName, type Zone } from "../../lib/time.ts";

export type Range = "session" | "today" | "month" | "year" | "all";
export type Figure = "equity" | "net_pnl" | "drawdown";

export const RANGES: readonly (readonly [Range, string])[] = [
  ["session", "Session"],
  ["today", "Day"],
  ["month", "Month"],
  ["year", "Year"],
  ["all", "All"],
];

/** The series of `range` in the user's calendar; of every strategy where `byStrategy`. Throws ApiError. */
export function series(range: Range, byStrategy: boolean, zone: Zone, signal: AbortSignal): Promise<Series> {
  const query = { range, by: byStrategy ? "strategy" : "account", tz: zoneName(zone) };
  return get<Series>("/portfolio/series", query, signal);
}

/** The curve of `strategy`, "" for the account. */
export function curveOf(found: Series | null, strategy: string): Curve | undefined {
  return found?.curves.find((curve) => (curve.strategy ?? "") === strategy);
}

export interface Dot {
  readonly time: ReturnType<typeof seconds>;
  readonly value: number;
}

/**
 * What is drawn, one dot a second at most. P&L is that of the range; drawdown goes down from zero.
 */
export function dots(curve: Curve, figure: Figure): readonly Dot[] {
  const base = decimal(curve.baseline?.net_pnl);
  const bySecond = new Map<number, Dot>();
  for (const point of curve.points) {
    const exact =
      figure === "drawdown"
        ? negate(decimal(point.drawdown))
        : figure === "net_pnl"
          ? subtract(decimal(point.net_pnl), base)
          : decimal(point.equity);
    const time = seconds(point.at);
    bySecond.set(time, { time, value: toNumber(exact) });
  }
  return [...bySecond.values()].sort((a, b) => a.time - b.time);
}
