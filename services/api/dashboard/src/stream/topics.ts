/**
 * Every topic that panels may follow: how news change what is known, and the route to poll until
 * the stream serves it. A panel adds its topic here, with the type in `TopicData`.
 */
import { alertsAfter, type Alert, type Alerts } from "../api/alerts.ts";
import { get } from "../api/http.ts";
import type { Engine, Strategy } from "../api/strategies.ts";
import type {
  Candle,
  Depth,
  Fill,
  Instrument,
  Level,
  Order,
  Platform,
  Portfolio,
  Price,
  Risk,
  Status,
  Trade,
} from "../api/types.ts";

/** One topic family: what comes before the colon of its name. */
export interface Topic<T> {
  readonly poll: (argument: string, signal: AbortSignal, known: T | undefined) => Promise<T>;
  readonly pollMs: number;
  /** What a snapshot says; without it, its data as they are. `known` is what was, for histories. */
  readonly snapshot?: (data: unknown, known: T | undefined) => T;
  /** What is known after a delta; without it, the delta replaces everything. */
  readonly delta?: (known: T, data: unknown) => T;
  /** Whether the stream has it; otherwise it is always polled. */
  readonly streamed: boolean;
}

/** Topic family → what a subscriber reads. */
export interface TopicData {
  prices: readonly Price[];
  depth: Depth;
  /** Like `depth`, further down. */
  book: Depth;
  trades: readonly Trade[];
  candles: readonly Candle[];
  orders: readonly Order[];
  fills: readonly Fill[];
  portfolio: Portfolio;
  status: Status;
  risk: Risk;
  instruments: readonly Instrument[];
  platform: Platform;
  strategies: readonly Strategy[];
  engine: Engine;
  /** Those that are on. */
  alerts: readonly Alert[];
}

export type Family = keyof TopicData;
export type TopicName = Family | `${Family}:${string}`;
export type FamilyOf<N extends string> = N extends `${infer F}:${string}` ? F & Family : N & Family;

export const TRADES_MAX = 200;
export const FILLS_MAX = 300;
export const CANDLES_MAX = 1_000;
const CLOSED_KEPT = 50;

const topics: { readonly [F in Family]: Topic<TopicData[F]> } = {
  prices: {
    streamed: true,
    pollMs: 1_000,
    poll: async (_, signal) => (await get<{ prices: Price[] }>("/prices", {}, signal)).prices,
    snapshot: (data) => listOf<Price>(data, "prices"),
    delta: (known, data) => merge(known, listOf<Price>(data, "prices"), marketKey),
  },
  depth: {
    streamed: true,
    pollMs: 500,
    poll: (argument, signal) => {
      const { instrument, venue } = marketOf(argument);
      return get<Depth>("/depth", { symbol: instrument, venue, levels: 20 }, signal);
    },
    delta: (known, data) => depthAfter(known, data as Partial<Depth>),
  },
  book: {
    streamed: false,
    pollMs: 1_000,
    poll: (argument, signal) => {
      const { instrument, venue } = marketOf(argument);
      return get<Depth>("/depth", { symbol: instrument, venue, levels: 1_000 }, signal);
    },
  },
  trades: {
    streamed: true,
    pollMs: 1_000,
    poll: async (argument, signal) => {
      const { instrument, venue } = marketOf(argument);
      const query = { symbol: instrument, venue, limit: 100 };
      return (await get<{ trades: Trade[] }>("/trades", query, signal)).trades;
    },
    // The newest first, as the stream says them and the tape shows them.
    snapshot: (data) => listOf<Trade>(data, "trades"),
    delta: (known, data) => [...listOf<Trade>(data, "trades"), ...known].slice(0, TRADES_MAX),
  },
  candles: {
    streamed: true,
    pollMs: 2_000,
    poll: async (argument, signal, known) => {
      const [market = "", interval = "1m"] = splitLast(argument);
      const { instrument, venue } = marketOf(market);
      const limit = known && known.length > 0 ? 3 : 500;
      const query = { symbol: instrument, venue, interval, limit };
      const answer = await get<{ candles: Candle[] }>("/candles", query, signal);
      return candlesAfter(known ?? [], answer.candles);
    },
    snapshot: (data) => candlesAfter([], listOf<Candle>(data, "candles")),
    delta: (known, data) => candlesAfter(known, listOf<Candle>(data, "candles")),
  },
  orders: {
    streamed: true,
    pollMs: 1_000,
    poll: async (_, signal) =>
      (await get<{ orders: Order[] }>("/orders", { working: true, limit: 500 }, signal)).orders,
    snapshot: (data) => ordersAfter([], listOf<Order>(data, "orders")),
    delta: (known, data) => ordersAfter(known, listOf<Order>(data, "orders")),
  },
  fills: {
    streamed: true,
    pollMs: 1_000,
    poll: async (_, signal) => (await get<{ fills: Fill[] }>("/fills", { limit: 200 }, signal)).fills,
    // A fill stays one: those that were polled, and are older than the snapshot, are kept.
    snapshot: (data, known) => fillsAfter(known ?? [], listOf<Fill>(data, "fills")),
    delta: (known, data) => fillsAfter(known, listOf<Fill>(data, "fills")),
  },
  portfolio: {
    streamed: true,
    pollMs: 1_000,
    poll: (_, signal) => get<Portfolio>("/portfolio", {}, signal),
  },
  status: { streamed: true, pollMs: 2_000, poll: (_, signal) => get<Status>("/status", {}, signal) },
  risk: { streamed: true, pollMs: 1_000, poll: (_, signal) => get<Risk>("/risk/state", {}, signal) },
  instruments: {
    streamed: false,
    pollMs: 10_000,
    poll: async (_, signal) =>
      (await get<{ instruments: Instrument[] }>("/instruments", {}, signal)).instruments,
  },
  platform: {
    streamed: false,
    pollMs: 30_000,
    poll: (_, signal) => get<Platform>("/platform", {}, signal),
  },
  strategies: {
    streamed: true,
    pollMs: 1_000,
    poll: async (_, signal) => (await get<{ strategies: Strategy[] }>("/strategies", {}, signal)).strategies,
    snapshot: (data) => listOf<Strategy>(data, "strategies"),
    delta: (_, data) => listOf<Strategy>(data, "strategies"),
  },
  engine: { streamed: false, pollMs: 3_000, poll: (_, signal) => get<Engine>("/engine", {}, signal) },
  alerts: {
    streamed: true,
    pollMs: 5_000,
    poll: async (_, signal) => (await get<Alerts>("/alerts", { limit: 0 }, signal)).active,
    snapshot: (data) => alertsAfter([], listOf<Alert>(data, "alerts")),
    delta: (known, data) => alertsAfter(known, listOf<Alert>(data, "alerts")),
  },
};

/** The family of topic `name`, and what follows the colon. */
export function topicOf(name: string): { topic: Topic<unknown>; argument: string } {
  const at = name.indexOf(":");
  const family = (at < 0 ? name : name.slice(0, at)) as Family;
  return { topic: topics[family] as Topic<unknown>, argument: at < 0 ? "" : name.slice(at + 1) };
}

/** `BTC-USDT@sim` in its parts. */
export function marketOf(argument: string): { instrument: string; venue: string } {
  const [instrument = "", venue = ""] = argument.split("@");
  return { instrument, venue };
}

/** A list, whether it comes bare, under its name, or as a single thing. */
export function listOf<T>(data: unknown, name: string): readonly T[] {
  if (Array.isArray(data)) return data as T[];
  if (typeof data !== "object" || data === null) return [];
  const inner = (data as Record<string, unknown>)[name];
  return Array.isArray(inner) ? (inner as T[]) : [data as T];
}

/** `known` with the things of `news` in the place of those with the same key, new ones last. */
export function merge<T>(known: readonly T[], news: readonly T[], key: (each: T) => string): readonly T[] {
  const byKey = new Map(known.map((each) => [key(each), each]));
  for (const each of news) byKey.set(key(each), each);
  return [...byKey.values()];
}

/** A book after its changed levels; size 0 takes a level away. */
export function depthAfter(known: Depth, delta: Partial<Depth>): Depth {
  return {
    ...known,
    ...delta,
    bids: levelsAfter(known.bids, delta.bids ?? [], -1),
    asks: levelsAfter(known.asks, delta.asks ?? [], 1),
  };
}

function levelsAfter(known: readonly Level[], changed: readonly Level[], order: 1 | -1): readonly Level[] {
  if (changed.length === 0) return known;
  const sizes = new Map(known.map(([price, size]) => [price, size]));
  for (const [price, size] of changed) {
    if (size === 0) sizes.delete(price);
    else sizes.set(price, size);
  }
  return [...sizes].sort((a, b) => (a[0] - b[0]) * order);
}

/** Candles oldest first, with `news` (in any order) over those of the same time. */
export function candlesAfter(known: readonly Candle[], news: readonly Candle[]): readonly Candle[] {
  const all = merge(known, news, (candle) => candle.opened_at);
  return [...all].sort((a, b) => (a.opened_at < b.opened_at ? -1 : 1)).slice(-CANDLES_MAX);
}

/** Orders newest first: every working one, and the last closed ones. */
export function ordersAfter(known: readonly Order[], news: readonly Order[]): readonly Order[] {
  const all = [...merge(known, news, (order) => order.id)].sort((a, b) =>
    (a.created_at ?? "") < (b.created_at ?? "") ? 1 : -1,
  );
  let closed = 0;
  return all.filter((order) => order.working || ++closed <= CLOSED_KEPT);
}

function fillsAfter(known: readonly Fill[], news: readonly Fill[]): readonly Fill[] {
  const all = merge(known, news, (fill) => `${fill.venue}/${fill.instrument_id}/${fill.id}`);
  return [...all].sort((a, b) => ((a.at ?? "") < (b.at ?? "") ? 1 : -1)).slice(0, FILLS_MAX);
}

const marketKey = (price: Price): string => `${price.instrument_id}@${price.venue}`;

function splitLast(argument: string): [string, string] {
  const at = argument.lastIndexOf(":");
  return at < 0 ? [argument, ""] : [argument.slice(0, at), argument.slice(at + 1)];
}
