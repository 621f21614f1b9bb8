/** Events a second of a service, from what it counted at two moments. */
import type { Service } from "../../api/types.ts";

export interface Rates {
  readonly handled: number;
  readonly published: number;
}

export const keyOf = (service: Service): string => `${service.service}/${service.instance}`;

function sum(counts: Readonly<Record<string, number>>, ending: string): number {
  return Object.entries(counts).reduce((total, [name, count]) => (name.endsWith(ending) ? total + count : total), 0);
}

/** What `now` handled and published a second since `before`; null where it is another process. */
export function ratesOf(before: Service | undefined, now: Service): Rates | null {
  const seconds = before ? now.uptime_s - before.uptime_s : 0;
  if (!before || seconds <= 0) return null;
  const rate = (ending: string): number => Math.max(0, (sum(now.counts, ending) - sum(before.counts, ending)) / seconds);
  return { handled: rate("/handled"), published: rate("/published") };
}

/** How many errors it counted, of whatever kind. */
export function errorsOf(service: Service): number {
  return Object.values(service.errors).reduce((total, count) => total + count, 0);
}

/** What callers did wrong, by kind: no fault of the service. */
export function refusedOf(service: Service): Readonly<Record<string, number>> {
  const own = Object.entries(service.counts).filter(([name]) => name.startsWith("Request/"));
  return Object.fromEntries(own.map(([name, count]) => [name.slice("Request/".length), count]));
}

/** The ways by which messages come to it, the slowest first, as p99 since it started, in µs. */
export function arrivalsOf(service: Service): readonly (readonly [from: string, p99: number])[] {
  const ending = `>${service.service}`;
  return Object.entries(service.latency_us)
    .filter(([hop, of]) => hop.endsWith(ending) && of.count > 0)
    .map(([hop, of]) => [hop.slice(0, -ending.length), of.p99] as const)
    .sort((a, b) => b[1] - a[1]);
}
