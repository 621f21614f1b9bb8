/** What the API is asked for, from what the ticket holds. */
import type { NewOrder } from "../../api/actions.ts";
import type { Instrument } from "../../api/types.ts";
import { hasLimit, type Lasts, type Ticket } from "../../store/ticket.ts";

/** How long an order may last: the choice, its text, and what it means. */
export const LASTS: readonly (readonly [Lasts, string, string])[] = [
  ["GTC", "GTC", "until it is canceled"],
  ["IOC", "IOC", "what fills at once; the rest is canceled"],
  ["FOK", "FOK", "all of it at once, or nothing"],
  ["GTD 5", "5 minutes", "then what is left is canceled"],
  ["GTD 60", "1 hour", "then what is left is canceled"],
  ["GTD 480", "8 hours", "then what is left is canceled"],
  ["GTD 1440", "1 day", "then what is left is canceled"],
];

const MINUTE_MS = 60_000;

/** Whether the order may be one that only rests: it has a limit, and stays. */
export function mayRest({ kind, lasts }: Ticket): boolean {
  return kind === "LIMIT" && lasts !== "IOC" && lasts !== "FOK";
}

/** The order of `held` at `now` (ms since 1970); fields that its type does not have are left out. */
export function orderOf(held: Ticket, instrument: Instrument, now: number): NewOrder {
  return {
    symbol: instrument.instrument_id,
    venue: instrument.venue,
    side: held.side,
    type: held.kind,
    quantity: held.quantity.trim(),
    ...(hasLimit(held.kind) ? { price: held.price.trim(), ...lastsOf(held.lasts, now) } : {}),
    ...(held.kind === "LIMIT" || held.kind === "MARKET" ? {} : { trigger_price: held.trigger.trim() }),
    ...(mayRest(held) && held.postOnly ? { post_only: true } : {}),
    ...(held.reduceOnly ? { reduce_only: true } : {}),
  };
}

function lastsOf(lasts: Lasts, now: number): Pick<NewOrder, "time_in_force" | "expires_at"> {
  const [kind = "GTC", minutes] = lasts.split(" ");
  if (minutes === undefined) return { time_in_force: kind };
  // Whole minutes, the next one: it stays the same order as long as the user looks at it.
  const end = Math.ceil(now / MINUTE_MS + Number(minutes)) * MINUTE_MS;
  return { time_in_force: kind, expires_at: new Date(end).toISOString() };
}
