import { beforeEach, describe, expect, it } from "vitest";
import { backoffMs, LONGEST_MS } from "./backoff.ts";
import type { TopicMessage } from "./messages.ts";
import { DEAD_MS, STALE_MS, StreamSocket, type Phase, type Wire } from "./socket.ts";

class FakeWire implements Wire {
  sent: unknown[] = [];
  closed = false;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.closed = true;
  }

  says(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

/** Time that passes only when told to. */
class Clock {
  now = 0;
  private timers: { at: number; call: () => void }[] = [];

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.now + ms, call };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((each) => each !== timer);
    };
  }

  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.timers.filter((each) => each.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((each) => each !== next);
      this.now = next.at;
      next.call();
    }
    this.now = end;
  }
}

let clock: Clock;
let wires: FakeWire[];
let phases: Phase[];
let heard: TopicMessage[];
let refused: string[];
let socket: StreamSocket;

beforeEach(() => {
  clock = new Clock();
  wires = [];
  phases = [];
  heard = [];
  refused = [];
  socket = new StreamSocket(
    {
      connect: () => {
        const wire = new FakeWire();
        wires.push(wire);
        return wire;
      },
      now: () => clock.now,
      chance: () => 1,
      after: (ms, call) => clock.after(ms, call),
    },
    {
      heard: () => undefined,
      topic: (message) => heard.push(message),
      refused: (topic) => refused.push(topic),
      phase: (phase) => phases.push(phase),
      signedOut: () => phases.push("closed"),
    },
  );
});

function wire(): FakeWire {
  const last = wires.at(-1);
  if (!last) throw new Error("nothing connected");
  return last;
}

function open(): FakeWire {
  socket.start();
  wire().onopen?.();
  wire().says({ kind: "hello", run: "r", version: "1", at: "" });
  return wire();
}

describe("the stream of the page", () => {
  it("asks for its topics once it is open, and passes on what they say", () => {
    socket.subscribe("prices");
    const first = open();
    expect(first.sent).toEqual([{ op: "subscribe", topics: ["prices"] }]);
    first.says({ topic: "prices", seq: 1, kind: "snapshot", data: { prices: [] } });
    first.says({ topic: "nobody asked", seq: 1, kind: "snapshot", data: 1 });
    expect(heard.map((message) => message.topic)).toEqual(["prices"]);
    expect(phases).toEqual(["live"]);
  });

  it("resumes after the last number seen when it comes back", () => {
    socket.subscribe("orders");
    socket.subscribe("prices");
    const first = open();
    first.says({ topic: "orders", seq: 41, kind: "snapshot", data: [] });
    first.says({ topic: "orders", seq: 42, kind: "delta", data: [] });
    first.onclose?.({ code: 1006, reason: "" });
    clock.pass(500);
    wire().onopen?.();
    expect(wires).toHaveLength(2);
    expect(wire().sent).toEqual([
      { op: "subscribe", topics: ["orders", "prices"], resume: { orders: 42 } },
    ]);
    expect(phases).toEqual(["live", "connecting"]);
  });

  it("asks from the beginning after a gap", () => {
    socket.subscribe("orders");
    const first = open();
    first.says({ topic: "orders", seq: 9, kind: "delta", data: [] });
    first.says({ topic: "orders", seq: 0, kind: "gap", data: null });
    first.onclose?.({ code: 1006, reason: "" });
    clock.pass(500);
    wire().onopen?.();
    expect(wire().sent).toEqual([{ op: "subscribe", topics: ["orders"] }]);
  });

  it("is stale after three seconds of silence, asks after one, and is well again with one word", () => {
    const first = open();
    clock.pass(1_500);
    expect(first.sent).toContainEqual({ op: "ping" });
    expect(phases).toEqual(["live"]);
    clock.pass(STALE_MS - 1_000);
    expect(phases).toEqual(["live", "stale"]);
    first.says({ kind: "heartbeat", at: "" });
    expect(phases).toEqual(["live", "stale", "live"]);
    expect(wires).toHaveLength(1);
  });

  it("gives up a connection that stays silent and makes another", () => {
    const first = open();
    clock.pass(DEAD_MS + 1_000);
    expect(first.closed).toBe(true);
    clock.pass(1_000);
    expect(wires).toHaveLength(2);
  });

  it("says that there is no stream where none opens, and waits longer each time", () => {
    socket.start();
    wire().onclose?.({ code: 1006, reason: "" });
    expect(phases).toEqual(["absent"]);
    clock.pass(499);
    expect(wires).toHaveLength(1);
    clock.pass(1);
    expect(wires).toHaveLength(2);
    wire().onclose?.({ code: 1006, reason: "" });
    clock.pass(999);
    expect(wires).toHaveLength(2);
    clock.pass(1);
    expect(wires).toHaveLength(3);
  });

  it("has the login renewed when it is told that it may not listen, but not when it was slow", () => {
    open().onclose?.({ code: 1008, reason: "STREAM_STALLED: nothing was read for 30 s" });
    expect(phases).not.toContain("closed");
    clock.pass(500);
    wire().onopen?.();
    wire().onclose?.({ code: 1008, reason: "UNAUTHENTICATED: the token has expired" });
    expect(phases).toContain("closed");
    clock.pass(1_000);
    expect(wires).toHaveLength(3);
  });

  it("stays away once it was stopped, and comes back when it is started again", () => {
    const first = open();
    socket.stop();
    clock.pass(60_000);
    expect(first.closed).toBe(true);
    socket.wake();
    expect(wires).toHaveLength(1);
    socket.start();
    expect(wires).toHaveLength(2);
  });

  it("hears no more of a topic that it left", () => {
    socket.subscribe("prices");
    const first = open();
    socket.unsubscribe("prices");
    first.says({ topic: "prices", seq: 2, kind: "delta", data: [] });
    expect(first.sent.at(-1)).toEqual({ op: "unsubscribe", topics: ["prices"] });
    expect(heard).toEqual([]);
  });

  it("passes on which topic the gateway refuses, and survives what it cannot read", () => {
    const first = open();
    first.onmessage?.({ data: "{" });
    first.says({ kind: "error", code: "UNKNOWN_TOPIC", detail: "no", topic: "trades:x@y" });
    expect(refused).toEqual(["trades:x@y"]);
  });
});

describe("waiting between tries", () => {
  it("grows to a limit and is spread by chance", () => {
    expect(backoffMs(0, 1)).toBe(500);
    expect(backoffMs(0, 0)).toBe(250);
    expect(backoffMs(3, 1)).toBe(4_000);
    expect(backoffMs(50, 1)).toBe(LONGEST_MS);
  });
});
