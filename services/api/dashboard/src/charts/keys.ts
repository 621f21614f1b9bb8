/** A chart without a mouse: arrows pan, plus and minus zoom, Home shows all, End the newest. */
import type { IChartApi } from "lightweight-charts";

/** What is visible, in places on the time axis. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

const PART = 0.15;
const NARROWEST = 4;

/** What is visible after `key`; null where the key is none of a chart's. */
export function after({ from, to }: Span, key: string): Span | null {
  const width = to - from;
  const by = width * PART;
  switch (key) {
    case "ArrowLeft":
      return { from: from - by, to: to - by };
    case "ArrowRight":
      return { from: from + by, to: to + by };
    case "+":
    case "=":
      return width - 2 * by < NARROWEST ? { from, to } : { from: from + by, to: to - by };
    case "-":
      return { from: from - by, to: to + by };
    default:
      return null;
  }
}

/** Do what `key` means to `chart`; false where it means nothing. */
export function press(chart: IChartApi, key: string): boolean {
  const scale = chart.timeScale();
  if (key === "Home") {
    scale.fitContent();
    return true;
  }
  if (key === "End") {
    scale.scrollToRealTime();
    return true;
  }
  const now = scale.getVisibleLogicalRange();
  const next = now && after(now, key);
  if (next) scale.setVisibleLogicalRange(next);
  return next !== null;
}
