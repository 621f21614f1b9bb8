import { describe, expect, it } from "vitest";
import type { Curve, SeriesPoint } from "../../api/types.ts";
import { curveOf, dots } from "./curve.ts";

const point = (at: string, equity: string, net_pnl: string, drawdown: string): SeriesPoint =>
  ({ at, equity, net_pnl, drawdown }) as SeriesPoint;
const curve = {
  strategy: null,
  baseline: point("2026-01-01T00:00:00Z", "1000", "40.5", "0"),
  points: [
    point("2026-01-01T00:00:10.2Z", "1001", "41.5", "0"),
    point("2026-01-01T00:00:10.9Z", "999", "39.5", "2"),
    point("2026-01-01T00:00:11Z", "998", "38.5", "3"),
  ],
} as unknown as Curve;

describe("the curve of the account", () => {
  it("measures P&L from before the range, and draws the last of each second", () => {
    expect(dots(curve, "net_pnl").map((dot) => dot.value)).toEqual([-1, -2]);
  });

  it("draws equity as it is, and drawdown downwards", () => {
    expect(dots(curve, "equity").map((dot) => dot.value)).toEqual([999, 998]);
    expect(dots(curve, "drawdown").map((dot) => dot.value)).toEqual([-2, -3]);
  });

  it("finds a strategy's curve, and the account's without a name", () => {
    const found = { currency: "USDT", curves: [curve, { ...curve, strategy: "pp" }] } as never;
    expect(curveOf(found, "")).toBe(curve);
    expect(curveOf(found, "pp")?.strategy).toBe("pp");
    expect(curveOf(null, "")).toBeUndefined();
  });
});
