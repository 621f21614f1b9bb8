import { beforeEach, expect, test, vi } from "vitest";
import { get, whenSignedOut } from "./http.ts";

const asked: string[] = [];
let signedOut = 0;
let renewal: () => Promise<Response>;
let isOver = true;

beforeEach(() => {
  asked.length = signedOut = 0;
  isOver = true;
  whenSignedOut(() => (signedOut += 1));
  vi.stubGlobal("fetch", (path: string, init: RequestInit) => {
    asked.push(path);
    if (!path.endsWith("/auth/refresh")) return Promise.resolve(isOver ? problem(401) : Response.json({ fine: true }));
    if (!init.signal) throw new Error("it would wait for ever");
    return renewal();
  });
});

const problem = (status: number): Response => Response.json({ code: "X", detail: "no", status }, { status });

test("a session that is over is renewed, and the request sent again", async () => {
  renewal = () => {
    isOver = false;
    return Promise.resolve(new Response());
  };
  await expect(get("/orders")).resolves.toEqual({ fine: true });
  expect(asked).toEqual(["/api/v1/orders", "/api/v1/auth/refresh", "/api/v1/orders"]);
  expect(signedOut).toBe(0);
});

test("who cannot be renewed is signed out", async () => {
  renewal = () => Promise.resolve(problem(401));
  await expect(get("/orders")).rejects.toMatchObject({ status: 401 });
  expect(signedOut).toBe(1);
});

test.each([() => Promise.resolve(problem(503)), () => Promise.reject(new Error("the line is cut"))])(
  "a bus or a gateway that is away signs nobody out",
  async (away) => {
    renewal = away;
    await expect(get("/orders")).rejects.toMatchObject({ code: "LOGIN_NOT_RENEWED" });
    expect(signedOut).toBe(0);
  },
);
