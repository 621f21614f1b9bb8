import { expect, test } from "vitest";
import { microsOf, traceOf } from "./trace.ts";

const hop = (service: string, received: string, sent: string) => ({
  service,
  received_at: `2026-11-22T02:44:49.${received}Z`,
  sent_at: `2026-11-22T02:44:49.${sent}Z`,
});
const feed = hop("feed", "201039", "201169");
const strategy = hop("strategy", "201944", "202111");
const risk = hop("risk", "203027", "203281");
const execution = hop("execution", "203900", "204100");
const event = (sequence: number, name: string, received: string, hops: readonly ReturnType<typeof hop>[]) => ({
  sequence,
  event: name,
  at: null,
  received_at: `2026-11-22T02:44:49.${received}Z`,
  body: {},
  hops,
});

test("an ISO time is read to the microsecond", () => {
  expect(microsOf("1970-01-01T00:00:01.000002Z")).toBe(1_000_002);
  expect(microsOf("1970-01-01T00:00:01Z")).toBe(1_000_000);
  expect(microsOf("1970-01-01T00:00:01.5Z")).toBe(1_500_000);
  expect(microsOf("1970-01-01T00:00:00.123456789Z")).toBe(123_456);
});

test("the way of an order: services, the bus between them, and the venue", () => {
  const trace = traceOf([
    event(1, "SubmitOrder", "201039", [feed, strategy]),
    event(2, "OrderApproved", "201039", [feed, strategy, risk]),
    event(3, "OrderSubmitted", "201039", [feed, strategy, risk, execution]),
    event(4, "OrderAccepted", "206100", []),
    event(5, "OrderCanceled", "999999", []),
  ]);
  expect(trace?.spans.map(({ name, from, to }) => [name, from, to])).toEqual([
    ["feed", 0, 130],
    ["to strategy", 130, 905],
    ["strategy", 905, 1072],
    ["to risk", 1072, 1988],
    ["risk", 1988, 2242],
    ["to execution", 2242, 2861],
    ["execution", 2861, 3061],
    ["venue", 3061, 5061],
  ]);
  expect(trace?.total).toBe(5061);
  const parts = trace!.spans.reduce((sum, { from, to }) => sum + to - from, 0);
  expect(parts).toBe(trace?.total);
});

test("an order that risk refused ends there", () => {
  const trace = traceOf([event(1, "SubmitOrder", "201039", [feed, strategy]), event(2, "OrderDenied", "201039", [feed, strategy, risk])]);
  expect(trace?.spans.at(-1)).toEqual({ name: "risk", kind: "service", from: 1988, to: 2242 });
});

test("clocks that disagree never make a stretch negative, and no stamps make no trace", () => {
  const early = hop("strategy", "201100", "201050");
  const trace = traceOf([event(1, "SubmitOrder", "201039", [feed, early])]);
  expect(trace?.spans.every(({ from, to }) => to >= from)).toBe(true);
  expect(traceOf([])).toBe(null);
  expect(traceOf([event(1, "SubmitOrder", "201039", [])])).toBe(null);
});
