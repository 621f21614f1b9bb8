import { expect, test } from "vitest";
import { changesOf, fieldsOf, problemOf, valueOf, type Field } from "./schema.ts";

const schema = {
  $ref: "#/$defs/Params",
  $defs: {
    Params: {
      type: "object",
      description: "`order_notional` (quote currency): per\n order. `patience`: how long it waits. `mode`: which one.",
      properties: {
        order_notional: { type: "string", format: "decimal", default: "100" },
        profit_bps: { type: "number", minimum: 0, maximum: 1000, default: 5 },
        window_s: { type: "number", exclusiveMinimum: 0, default: 2.5 },
        patience: { type: "integer", minimum: 0, default: 2 },
        allow_short: { type: "boolean", default: false },
        mode: { $ref: "#/$defs/Mode", default: "calm" },
      },
      required: ["profit_bps"],
    },
    Mode: { enum: ["calm", "quick"] },
  },
};

const fields = fieldsOf(schema);
const field = (name: string): Field => fields.find((each) => each.name === name)!;

test("every property becomes a field of its kind, with its default and its help", () => {
  expect(fields.map((each) => [each.name, each.kind, each.standard])).toEqual([
    ["order_notional", "decimal", "100"],
    ["profit_bps", "number", "5"],
    ["window_s", "number", "2.5"],
    ["patience", "integer", "2"],
    ["allow_short", "boolean", "false"],
    ["mode", "choice", ""],
  ]);
  expect(field("order_notional").help).toBe("quote currency: per order.");
  expect(field("patience").help).toBe("how long it waits.");
  expect(field("profit_bps").bounds).toBe("≥ 0, ≤ 1000");
  expect(field("mode").choices).toEqual(["calm", "quick"]);
});

test("a schema that describes nothing has no fields", () => {
  expect(fieldsOf(null)).toEqual([]);
  expect(fieldsOf({ $ref: "#/$defs/gone" })).toEqual([]);
  expect(fieldsOf({ $ref: "#/$defs/round", $defs: { round: { $ref: "#/$defs/round" } } })).toEqual([]);
});

test.each([
  ["profit_bps", "", "is needed"],
  ["profit_bps", "-1", "must be at least 0"],
  ["profit_bps", "1001", "must be at most 1000"],
  ["profit_bps", "five", "must be a number"],
  ["window_s", "0", "must be above 0"],
  ["window_s", "0.1", ""],
  ["patience", "1.5", "must be a whole number"],
  ["patience", "", ""],
])("%s = %j: %j", (name, text, problem) => {
  expect(problemOf(field(name), text)).toBe(problem);
});

test("exact amounts stay text, numbers become numbers, an empty field is the default again", () => {
  expect(valueOf(field("order_notional"), "0.10000000000000000001")).toBe("0.10000000000000000001");
  expect(valueOf(field("profit_bps"), " 7.5 ")).toBe(7.5);
  expect(valueOf(field("allow_short"), "true")).toBe(true);
  expect(valueOf(field("patience"), "")).toBe(null);
});

test("only what differs from what is in force is sent", () => {
  const inForce = { order_notional: "100", profit_bps: 5, allow_short: false };
  const typed = { order_notional: "100", profit_bps: "6", window_s: "2.5", allow_short: "true", patience: "" };
  expect(changesOf(fields, inForce, typed)).toEqual({ profit_bps: 6, allow_short: true, patience: null });
});
