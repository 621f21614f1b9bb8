/** The way of one order through the platform, from the stamps that its events carry. */
import type { OrderEvent } from "../../api/types.ts";

/** One stretch of the way; times in µs since the first stamp. */
export interface Span {
  readonly name: string;
  readonly kind: "service" | "bus" | "venue";
  readonly from: number;
  readonly to: number;
}

export interface Trace {
  readonly spans: readonly Span[];
  /** When the first stamp was put on, as the gateway wrote it. */
  readonly began: string;
  readonly total: number;
}

export interface Hop {
  readonly service: string;
  readonly received_at: string | null;
  readonly sent_at: string | null;
}

const ANSWERS = new Set(["OrderAccepted", "OrderRejected", "OrderFilled", "OrderExpired"]);

/** µs since 1970 of an ISO time with up to nine digits behind the dot; a browser's own stops at ms. */
export function microsOf(at: string): number {
  const [, whole = "", fraction = ""] = /^(.*?)(?:\.(\d+))?Z$/.exec(at) ?? [];
  return Date.parse(`${whole}Z`) * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

/**
 * The stretches up to the venue's first answer: in a service, between services on the bus, and at the
 * venue. Null where the events carry no stamps.
 */
export function traceOf(events: readonly (OrderEvent & { readonly hops?: readonly Hop[] })[]): Trace | null {
  const sent = events.find((event) => event.event === "OrderSubmitted") ?? events.at(-1);
  const hops = (sent?.hops ?? []).filter((hop) => hop.received_at !== null && hop.sent_at !== null);
  const first = hops[0];
  if (!first?.received_at) return null;
  const zero = microsOf(first.received_at);
  const since = (at: string | null): number => Math.max(0, microsOf(at ?? first.received_at ?? "") - zero);
  const spans: Span[] = [];
  let before: number | null = null;
  for (const hop of hops) {
    const from = since(hop.received_at);
    const to = Math.max(from, since(hop.sent_at));
    if (before !== null && from > before) spans.push({ name: `to ${hop.service}`, kind: "bus", from: before, to: from });
    spans.push({ name: hop.service, kind: "service", from, to });
    before = to;
  }
  const answer = events.find((event) => ANSWERS.has(event.event) && event.sequence > (sent?.sequence ?? 0));
  const heard = answer?.received_at ? since(answer.received_at) : null;
  if (before !== null && heard !== null && heard > before) {
    spans.push({ name: "venue", kind: "venue", from: before, to: heard });
    before = heard;
  }
  return { spans, began: first.received_at, total: before ?? 0 };
}
