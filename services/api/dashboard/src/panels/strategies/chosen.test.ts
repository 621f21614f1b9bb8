import { expect, test } from "vitest";
import type { Strategy } from "../../api/strategies.ts";
import { known } from "./chosen.ts";

const strategy = (id: string): Strategy => ({ id, phase: "RUNNING" }) as Strategy;

test("strategies of which no process answers are listed with the others, and marked", () => {
  const all = known([strategy("b"), strategy("d")], ["d", "a"]);
  expect(all.map((each) => [each.id, each.of?.phase, each.silent])).toEqual([
    ["a", undefined, true],
    ["b", "RUNNING", false],
    ["d", "RUNNING", true],
  ]);
});
