/** The time of charts. */
import type { UTCTimestamp } from "lightweight-charts";

/** Seconds since 1970, which charts count in. */
export function seconds(at: string): UTCTimestamp {
  return Math.floor(Date.parse(at) / 1000) as UTCTimestamp;
}
