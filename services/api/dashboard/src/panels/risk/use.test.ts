import { expect, test } from "vitest";
import { levelOf, orderOf, partOf } from "./use.ts";

test.each([
  [null, null, "free"],
  ["0", 0, "free"],
  ["0.7999", 0.7999, "free"],
  ["0.8", 0.8, "near"],
  ["0.9999", 0.9999, "near"],
  ["1", 1, "reached"],
  ["1.25", 1.25, "reached"],
  ["-0.1", 0, "free"],
] as const)("%s of a limit: %s, %s", (used, part, level) => {
  expect(partOf(used)).toBe(part);
  expect(levelOf(partOf(used))).toBe(level);
});

test("what is about everything comes first, strategies last", () => {
  const scopes = ["strategy:b", "venue:sim", "global", "strategy:a", "instrument:BTC-USDT"];
  expect(scopes.sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1))).toEqual([
    "global",
    "venue:sim",
    "instrument:BTC-USDT",
    "strategy:a",
    "strategy:b",
  ]);
});
