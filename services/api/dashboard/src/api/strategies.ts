/** What the gateway tells of strategies, and what a user may have them do. */
import { words } from "../lib/format.ts";
import { attempt } from "./actions.ts";
import { get, patch, post, put } from "./http.ts";

export type Phase = "STARTING" | "RUNNING" | "STOPPING" | "STOPPED" | "FAILED";
export type Params = Readonly<Record<string, unknown>>;

export interface Terms {
  readonly kind: string;
  readonly instruments: readonly string[];
  readonly params: Params;
  readonly is_running: boolean;
  readonly venue: string;
  readonly venues: readonly string[];
}

export interface StrategyMarket {
  readonly venue: string;
  readonly instrument_id: string;
  readonly quantity: string;
  readonly avg_entry_price: string | null;
  readonly realized_pnl: string;
  readonly unrealized_pnl: string;
  readonly fees: string;
  readonly working_orders: number;
}

export interface Decision {
  readonly decided_at: string | null;
  readonly venue: string;
  readonly instrument_id: string;
  readonly inputs: Readonly<Record<string, string>>;
  readonly orders: readonly string[];
}

export interface Strategy {
  readonly id: string;
  readonly phase: Phase;
  readonly terms: Terms | null;
  readonly params: Params;
  readonly revision: number;
  readonly configured: boolean;
  readonly error: string;
  readonly markets: readonly StrategyMarket[];
  readonly decisions?: readonly Decision[] | null;
}

export interface Kind {
  readonly kind: string;
  readonly title: string;
  readonly doc: string;
  readonly params_doc: string;
  readonly params: unknown;
  readonly spanning: boolean;
  readonly problem: string;
}

/** Every strategy by where it is: GET /engine. */
export interface Engine {
  /** Those that should be somewhere, and of which no process says how they are. */
  readonly silent: readonly string[];
}

interface Changed {
  readonly id: string;
  readonly applied: boolean;
  readonly strategy: Strategy | null;
}

const path = (id: string): string => `/strategies/${encodeURIComponent(id)}`;

/** Every strategy with its last decisions left out. */
export const strategy = (id: string, signal?: AbortSignal): Promise<Strategy> =>
  get<Strategy>(path(id), {}, signal);

/** What can be run here; `kind` asks for one alone, also for a file's class. */
export const kinds = async (kind = "", signal?: AbortSignal): Promise<readonly Kind[]> =>
  (await get<{ kinds: Kind[] }>("/strategy-kinds", { kind }, signal)).kinds;

const say = (changed: Changed): string =>
  changed.applied
    ? `${changed.id}: ${words(changed.strategy?.phase ?? "done")}`
    : `${changed.id}: kept until a process is there to run it`;

export const start = (id: string, reason: string): Promise<Changed | null> =>
  attempt(() => post<Changed>(`${path(id)}/start`, { reason }), say);

export const stop = (id: string, flatten: boolean, reason: string): Promise<Changed | null> =>
  attempt(() => post<Changed>(`${path(id)}/stop`, { flatten, reason }, { timeoutMs: 60_000 }), say);

export const flatten = (id: string, reason: string): Promise<Changed | null> =>
  attempt(() => post<Changed>(`${path(id)}/flatten`, { reason }, { timeoutMs: 60_000 }), say);

/** Change parameters while it runs; null puts a default back. */
export const change = (id: string, params: Params, reason: string): Promise<Changed | null> =>
  attempt(() => patch<Changed>(`${path(id)}/params`, { params, reason }), say);

/** Have an id run this from now on, whatever it ran before; also an id that is new. */
export const run = (id: string, terms: Terms, reason: string): Promise<Changed | null> =>
  attempt(
    () =>
      put<Changed>(path(id), {
        kind: terms.kind,
        instruments: terms.instruments,
        params: terms.params,
        is_running: terms.is_running,
        ...(terms.venue === "" ? {} : { venue: terms.venue }),
        ...(terms.venues.length === 0 ? {} : { venues: terms.venues }),
        reason,
      }),
    say,
  );

interface EngineChanged {
  readonly applied: readonly string[];
  readonly pending: readonly string[];
  readonly unchanged: readonly string[];
  readonly refused: readonly { readonly id: string; readonly detail: string }[];
}

/** Start or stop every one of them. */
export const all = (running: boolean, withFlatten: boolean, reason: string): Promise<EngineChanged | null> =>
  attempt(
    () =>
      post<EngineChanged>(
        `/engine/${running ? "start" : "stop"}`,
        running ? { reason } : { flatten: withFlatten, reason },
        { timeoutMs: 60_000 },
      ),
    ({ applied, pending }) =>
      `${applied.length} ${running ? "started" : "stopped"}${pending.length > 0 ? `, ${pending.length} pending` : ""}`,
  );
