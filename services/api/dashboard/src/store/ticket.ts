/** What the order ticket holds; the ladder and the chart put prices into it. */
import type { Side } from "../api/types.ts";
import { createStore } from "./create.ts";

export type Kind = "LIMIT" | "MARKET" | "STOP_MARKET" | "STOP_LIMIT" | "TAKE_PROFIT_MARKET" | "TAKE_PROFIT_LIMIT";

/** A time in force; GTD with its minutes. */
export type Lasts = "GTC" | "IOC" | "FOK" | `GTD ${number}`;

export interface Ticket {
  readonly side: Side;
  readonly kind: Kind;
  readonly quantity: string;
  readonly price: string;
  readonly trigger: string;
  readonly lasts: Lasts;
  readonly postOnly: boolean;
  readonly reduceOnly: boolean;
}

export const ticket = createStore<Ticket>({
  side: "BUY",
  kind: "LIMIT",
  quantity: "",
  price: "",
  trigger: "",
  lasts: "GTC",
  postOnly: false,
  reduceOnly: false,
});

/** Change some of it. */
export function fillIn(changes: Partial<Ticket>): void {
  ticket.set((now) => ({ ...now, ...changes }));
}

export const hasLimit = (kind: Kind): boolean => kind === "LIMIT" || kind.endsWith("_LIMIT");
export const hasTrigger = (kind: Kind): boolean => kind !== "LIMIT" && kind !== "MARKET";
