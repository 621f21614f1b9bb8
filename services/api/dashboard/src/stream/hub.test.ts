import { describe, expect, it } from "vitest";
import { judged } from "./hub.ts";

describe("how the link is", () => {
  it("is live while the stream speaks, and polling while only routes answer", () => {
    expect(judged("live", 400, 10_000)).toEqual({ state: "live", heardAt: 9_600 });
    expect(judged("absent", 2_900, 10_000).state).toBe("polling");
  });

  it("is stale after three seconds, and knows since when", () => {
    expect(judged("stale", 3_100, 10_000)).toEqual({ state: "stale", heardAt: 6_900 });
    expect(judged("connecting", 60_000, 100_000)).toEqual({ state: "stale", heardAt: 40_000 });
  });

  it("connects as long as nothing was ever heard", () => {
    expect(judged("connecting", Infinity, 10_000).state).toBe("connecting");
  });
});
