import { beforeEach, expect, test, vi } from "vitest";
import type { NewOrder } from "./actions.ts";

vi.mock("../stream/use.ts", () => ({ hub: { hurry: () => undefined } }));
const { place } = await import("./actions.ts");

const order: NewOrder = { symbol: "BTC-USDT", venue: "sim", side: "BUY", quantity: "0.1" };
const placed = { ...order, state: "OPEN" };
const keys: string[] = [];
let answers: (Response | Error)[] = [];

beforeEach(() => {
  keys.length = 0;
  vi.useFakeTimers({ now: 1_700_000_000_000, toFake: ["Date"] });
  vi.stubGlobal("fetch", (_: string, init: RequestInit) => {
    keys.push((init.headers as Record<string, string>)["Idempotency-Key"] ?? "");
    const answer = answers.shift() ?? new Error("asked too often");
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  });
});

const ok = (): Response => Response.json(placed, { status: 201 });
const refused = (status: number): Response => Response.json({ code: "X", detail: "no", status }, { status });

test("an order that nobody answered for is the same one when it is sent again", async () => {
  answers = [new Error("the line is cut"), refused(503), ok(), ok()];
  for (const _ of answers.slice()) await place(order);
  expect(keys[0]).toMatch(/^\w+-\w+-\w+-\w+$/);
  expect(new Set(keys.slice(0, 3)).size).toBe(1);
  expect(keys[3]).not.toBe(keys[2]);
});

test("an order that was refused, another one, and one of a while ago get keys of their own", async () => {
  answers = [refused(422), new Error("the line is cut"), ok(), new Error("the line is cut"), ok()];
  await place(order);
  await place(order);
  await place({ ...order, side: "SELL" });
  await place(order);
  vi.setSystemTime(1_700_000_061_000);
  await place(order);
  expect(new Set(keys).size).toBe(4); // the fourth goes on with the second, which nobody answered for
  expect(keys[3]).toBe(keys[1]);
});
