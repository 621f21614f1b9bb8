import { expect, test } from "vitest";
import { after } from "./keys.ts";

test.each([
  ["ArrowLeft", -15, 85],
  ["ArrowRight", 15, 115],
  ["+", 15, 85],
  ["-", -15, 115],
])("%s leads from 0…100 to %d…%d", (key, from, to) => {
  expect(after({ from: 0, to: 100 }, key)).toEqual({ from, to });
});

test("zooming in ends where a few candles fill the chart, and other keys are left alone", () => {
  expect(after({ from: 0, to: 5 }, "+")).toEqual({ from: 0, to: 5 });
  expect(after({ from: 0, to: 5 }, "Tab")).toBeNull();
});
