/** Which candles a chart that shows some of them already has yet to draw. */
import type { Candle } from "../../api/types.ts";

/**
 * Of `candles` those from the last one `before` on; null where all have to be drawn anew: they begin
 * elsewhere, or end earlier, as after a reconnection, and a chart cannot take candles back.
 */
export function furtherOf(before: readonly Candle[], candles: readonly Candle[]): readonly Candle[] | null {
  const last = before.at(-1)?.opened_at ?? "";
  const end = candles.at(-1)?.opened_at ?? "";
  if (last === "" || end < last || candles[0]?.opened_at !== before[0]?.opened_at) return null;
  return candles.filter((each) => each.opened_at >= last);
}
