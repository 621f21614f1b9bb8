/** What a user may have the platform do, with a word about how it went. */
import { done, failed } from "../store/notices.ts";
import { hub } from "../stream/use.ts";
import { ApiError, explain, post, put, remove } from "./http.ts";
import type { Order, Side, TradingState } from "./types.ts";
import { words } from "../lib/format.ts";

export interface NewOrder {
  readonly symbol: string;
  readonly venue: string;
  readonly side: Side;
  readonly quantity: string;
  readonly price?: string | null;
  readonly type?: string;
  readonly trigger_price?: string;
  readonly time_in_force?: string;
  readonly expires_at?: string;
  readonly post_only?: boolean;
  readonly reduce_only?: boolean;
}

const OURS = ["orders", "fills", "portfolio", "risk", "strategies"];

/** For how long an order whose outcome nobody told is the same one when it is sent again. */
const UNSURE_MS = 60_000;
/** The last order whose outcome nobody told: it may be at the venue. */
let unsure: { readonly text: string; readonly key: string; readonly at: number } | null = null;

/**
 * Place an order; the outcome, null when it was refused (which has then been said). Where nobody said
 * what became of it, the same order sent again goes under the same key, and so is placed once.
 */
export function place(order: NewOrder): Promise<Order | null> {
  const text = JSON.stringify(order);
  const now = Date.now();
  const key = unsure?.text === text && now - unsure.at < UNSURE_MS ? unsure.key : newKey();
  return attempt(
    async () => {
      try {
        const placed = await post<Order>("/orders", order, { headers: { "Idempotency-Key": key } });
        if (unsure?.key === key) unsure = null;
        return placed;
      } catch (error) {
        if (isUnsure(error)) unsure = { text, key, at: Date.now() };
        throw error;
      }
    },
    (placed) => `${placed.side} ${placed.quantity} ${placed.symbol}: ${words(placed.state)}`,
  );
}

/** Whether what was asked for may have been done all the same. */
function isUnsure(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status >= 500);
}

/** A name that no other order has. Not `randomUUID`: a page that came without TLS does not have it. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
}

export function cancel(order: Order): Promise<Order | null> {
  return attempt(
    () => remove<Order>(`/orders/${encodeURIComponent(order.id)}`),
    (after) => `${order.side} ${order.quantity} ${order.symbol}: ${words(after.state)}`,
  );
}

export interface Changes {
  readonly price?: string;
  readonly quantity?: string;
  readonly trigger_price?: string;
}

export function replace(order: Order, changes: Changes): Promise<Order | null> {
  return attempt(
    () => put<Order>(`/orders/${encodeURIComponent(order.id)}`, changes),
    (after) => `replaced by ${after.side} ${after.quantity} ${after.symbol}: ${words(after.state)}`,
  );
}

export function cancelAll(query: { symbol?: string; venue?: string; strategy?: string }): Promise<unknown> {
  return attempt(
    () => remove<{ canceled: string[]; pending: string[] }>("/orders", query),
    ({ canceled, pending }) =>
      `${canceled.length} canceled${pending.length > 0 ? `, ${pending.length} pending` : ""}`,
  );
}

export function setTrading(state: TradingState, reason: string): Promise<unknown> {
  return attempt(
    () => put("/risk/state", { state, reason }),
    () => `trading is ${words(state)}`,
  );
}

/** The kill switch: every working order of every account, verified at the venue. */
export function kill(reason: string, flatten: boolean): Promise<unknown> {
  return attempt(
    () => post<{ summary?: string }>("/kill", { reason, flatten }, { timeoutMs: 60_000 }),
    (report) => `kill switch: ${report.summary ?? "verified"}`,
  );
}

/** Do `what`, say how it went, and have the panels look again. */
export async function attempt<T>(what: () => Promise<T>, success: (answer: T) => string): Promise<T | null> {
  try {
    const answer = await what();
    done(success(answer));
    return answer;
  } catch (error) {
    failed(...explain(error));
    return null;
  } finally {
    hub.hurry(...OURS);
  }
}
