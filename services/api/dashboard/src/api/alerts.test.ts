import { expect, test } from "vitest";
import { alertsAfter, type Alert } from "./alerts.ts";

const alert = (id: string, changes: Partial<Alert> = {}): Alert =>
  ({ id, title: id, count: 1, cleared_at: null, ...changes }) as Alert;

test("alerts that begin come first, changed ones keep their place, those that are over go", () => {
  const known = [alert("b"), alert("a")];
  const after = alertsAfter(known, [alert("c"), alert("b", { count: 2 }), alert("a", { cleared_at: "2026-01-01T00:00:00Z" })]);
  expect(after.map(({ id, count }) => [id, count])).toEqual([["c", 1], ["b", 2]]);
});
