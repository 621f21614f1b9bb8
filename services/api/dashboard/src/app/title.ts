/** The title of the browser's tab: what a trader wants to see of a page that is behind others. */
import { useEffect } from "react";
import type { Instrument, Price, TradingState } from "../api/types.ts";
import { placesOf } from "../lib/decimal.ts";
import { market, words } from "../lib/format.ts";
import { marketName } from "../store/market.ts";

/** Whether trading is held up, and the price of the chosen market. */
export function titleOf(
  state: TradingState | undefined,
  instrument: Instrument | undefined,
  prices: readonly Price[],
): string {
  const held = state && state !== "ACTIVE" ? words(state).toUpperCase() : "";
  const price = instrument && prices.find((each) => marketName(each) === marketName(instrument));
  const shown = price && `${market(price.last_price ?? price.mid, placesOf(instrument.tick_size))} ${instrument.instrument_id}`;
  return [held, shown, "tickbus"].filter((part) => part).join(" · ");
}

/** Keep the title so as long as somebody is at the desk. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
  }, [title]);
  useEffect(
    () => () => {
      document.title = "tickbus";
    },
    [],
  );
}
