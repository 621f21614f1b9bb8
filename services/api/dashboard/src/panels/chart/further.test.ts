import { expect, test } from "vitest";
import type { Candle } from "../../api/types.ts";
import { furtherOf } from "./further.ts";

const at = (...minutes: number[]): Candle[] =>
  minutes.map((minute) => ({ opened_at: `2026-11-23T02:0${minute}:00.000000Z` }) as Candle);
const minutes = (found: readonly Candle[] | null) => found?.map((each) => Number(each.opened_at?.slice(15, 16)));

test("what goes on is drawn from its last candle on", () => {
  expect(minutes(furtherOf(at(1, 2, 3), at(1, 2, 3)))).toEqual([3]);
  expect(minutes(furtherOf(at(1, 2, 3), at(1, 2, 3, 4, 5)))).toEqual([3, 4, 5]);
});

test("what begins elsewhere, or ends earlier, is drawn anew", () => {
  expect(furtherOf([], at(1, 2))).toBeNull();
  expect(furtherOf(at(1, 2, 3), at(2, 3, 4))).toBeNull();
  expect(furtherOf(at(1, 2, 3), at(1, 2))).toBeNull();
  expect(furtherOf(at(1, 2, 3), [])).toBeNull();
});
