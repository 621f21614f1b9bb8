import { expect, test } from "vitest";
import type { Service } from "../../api/types.ts";
import { arrivalsOf, errorsOf, ratesOf, refusedOf } from "./rates.ts";

const service = (uptime_s: number, counts: Record<string, number>, errors: Record<string, number> = {}): Service => ({
  service: "feed",
  instance: "1",
  version: "0.1.0",
  ready: true,
  waiting_for: "",
  uptime_s,
  counts,
  gauges: {},
  latency_us: {},
  errors,
  metrics_url: "",
});

test("rates are differences over the time between", () => {
  const before = service(10, { "Trade/handled": 100, "Trade/published": 50 });
  const now = service(12, { "Trade/handled": 140, "Quote/handled": 20, "Trade/published": 50 });
  expect(ratesOf(before, now)).toEqual({ handled: 30, published: 0 });
});

test("a process that was started again has no rate yet", () => {
  expect(ratesOf(undefined, service(1, {}))).toBe(null);
  expect(ratesOf(service(100, {}), service(1, {}))).toBe(null);
});

test("errors are counted over their kinds", () => {
  expect(errorsOf(service(1, {}, { bug: 1, gap: 2 }))).toBe(3);
});

test("what callers did wrong is no error of the service", () => {
  const gateway = service(1, { "Request/refused_unknown": 3, "Quote/handled": 7 });
  expect(refusedOf(gateway)).toEqual({ refused_unknown: 3 });
  expect(errorsOf(gateway)).toBe(0);
});

test("messages are as late as the slowest way by which they come", () => {
  const hop = (p99: number, count = 1) => ({ p50: 1, p99, count });
  const risk = { ...service(1, {}), service: "risk", latency_us: { "feed>risk": hop(20), "strategy>risk": hop(90), "book>risk": hop(99, 0), tick_to_order: hop(500) } };
  expect(arrivalsOf(risk)).toEqual([["strategy", 90], ["feed", 20]]);
});
