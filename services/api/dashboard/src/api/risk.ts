/** What the gateway tells of limits and refusals, and how limits are changed and everything is closed. */
import { attempt } from "./actions.ts";
import { get, post, put } from "./http.ts";
import type { Side } from "./types.ts";

export interface Limit {
  readonly scope: string;
  readonly name: string;
  readonly value: string | null;
  readonly configured: string | null;
  readonly actor: string;
  readonly reason: string;
  readonly changed_at: string | null;
}

export interface Usage {
  readonly scope: string;
  readonly name: string;
  readonly limit: string;
  /** null: each order meets this limit anew. */
  readonly used: string | null;
  /** Of the limit; may be above 1. */
  readonly used_part: string | null;
  readonly unit: string;
  readonly where: string;
}

export interface Denial {
  readonly sequence: number;
  readonly at: string | null;
  readonly what: string;
  readonly order_id: string;
  readonly strategy: string;
  readonly instrument_id: string;
  readonly venue: string;
  readonly reason: string;
  readonly detail: string;
  readonly limit: string;
  readonly value: string;
  readonly scope: string;
}

export interface FlattenPlan {
  readonly token: string;
  readonly expires_at: string | null;
  readonly cancels: readonly string[];
  readonly closes: readonly {
    readonly venue: string;
    readonly instrument_id: string;
    readonly side: Side;
    readonly quantity: string;
    readonly value: string | null;
  }[];
  readonly value: string;
  readonly currency: string;
}

export const limits = async (signal?: AbortSignal): Promise<readonly Limit[]> =>
  (await get<{ limits: Limit[] }>("/risk/limits", {}, signal)).limits;

export const usage = async (signal?: AbortSignal): Promise<readonly Usage[]> =>
  (await get<{ limits: Usage[] }>("/risk/usage", {}, signal)).limits;

export const denials = (
  query: { reason?: string; strategy?: string; cursor?: string; limit: number },
  signal?: AbortSignal,
): Promise<{ denials: readonly Denial[]; next_cursor: string | null }> => get("/risk/denials", query, signal);

/** Change a limit at once; null goes back to the configured one. */
export const setLimit = (limit: Limit, value: string | null, reason: string): Promise<unknown> =>
  attempt(
    () => put("/risk/limits", { scope: limit.scope, name: limit.name, value, reason }),
    () => `${limit.name} of ${limit.scope}: ${value ?? "as configured"}`,
  );

/** Ask what closing everything would do. Throws ApiError. */
export const planFlatten = (reason: string): Promise<FlattenPlan> => post<FlattenPlan>("/flatten", { reason });

/** Do what was planned; a token is good once, for a minute. */
export const confirmFlatten = (plan: FlattenPlan): Promise<unknown> =>
  attempt(
    () => post("/flatten/confirm", { token: plan.token }, { timeoutMs: 60_000 }),
    () => "everything is being closed; trading stays halted until it is resumed",
  );
