/**
 * One WebSocket to the gateway that lives for as long as the page: it comes back by itself.
 *
 * After a reconnect every topic is asked for again, with the last sequence number seen, so that the
 * gateway replays what was missed. Silence is broken by a ping after a second; nothing heard for
 * STALE_MS makes the connection stale, and after DEAD_MS it is given up and made anew.
 */
import { backoffMs } from "./backoff.ts";
import { decode, isTopicMessage, type Message, type TopicMessage, type Wish } from "./messages.ts";

export const STALE_MS = 3_000;
export const DEAD_MS = 10_000;
const PING_MS = 1_000;
const CHECK_MS = 500;

/** "absent": the gateway answers but has no stream (or not for us), so poll. */
export type Phase = "connecting" | "live" | "stale" | "absent" | "closed";

/** What of a WebSocket is used; tests bring their own. */
export interface Wire {
  send(text: string): void;
  close(): void;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
}

export interface World {
  connect(): Wire;
  now(): number;
  chance(): number;
  after(ms: number, call: () => void): () => void;
}

export interface Listener {
  /** The gateway said something, whatever it was. */
  heard(): void;
  topic(message: TopicMessage): void;
  /** The gateway cannot serve `topic`; "" when it did not say which. */
  refused(topic: string, code: string, detail: string): void;
  phase(phase: Phase): void;
  /** The gateway closed because it does not know us any more: a login of a quarter of an hour ended. */
  signedOut(): void;
}

/** The code with which the gateway closes on whoever may not listen; but also on who does not. */
const NOT_ALLOWED = 1008;
const TOO_SLOW = "STREAM_STALLED";

export class StreamSocket {
  private wire: Wire | null = null;
  private topics = new Map<string, number>();
  private tries = 0;
  private heardAt = 0;
  private pingedAt = 0;
  private opened = false;
  private phaseNow: Phase = "connecting";
  private cancelRetry: (() => void) | null = null;
  private cancelCheck: (() => void) | null = null;

  constructor(
    private readonly world: World,
    private readonly listener: Listener,
  ) {}

  /** Connect, and stay so until `stop`. */
  start(): void {
    this.tries = 0;
    this.connect();
    this.check();
  }

  /** Try at once, for example because the computer woke up. */
  wake(): void {
    if (this.wire && this.opened) {
      this.ping();
    } else if (this.cancelRetry) {
      this.cancelRetry();
      this.connect();
    }
  }

  stop(): void {
    this.cancelRetry?.();
    this.cancelCheck?.();
    this.cancelRetry = this.cancelCheck = null;
    this.drop();
    this.say("closed");
  }

  subscribe(topic: string): void {
    if (this.topics.has(topic)) return;
    this.topics.set(topic, 0);
    if (this.opened) this.send({ op: "subscribe", topics: [topic] });
  }

  unsubscribe(topic: string): void {
    if (this.topics.delete(topic) && this.opened) this.send({ op: "unsubscribe", topics: [topic] });
  }

  private connect(): void {
    this.cancelRetry = null;
    const wire = this.world.connect();
    this.wire = wire;
    this.heardAt = this.world.now();
    wire.onopen = () => {
      if (wire !== this.wire) return;
      this.opened = true;
      this.heardAt = this.world.now();
      this.resume();
    };
    wire.onmessage = (event) => {
      if (wire === this.wire && typeof event.data === "string") this.heard(event.data);
    };
    wire.onclose = (event) => {
      if (wire !== this.wire) return;
      if (event.code === NOT_ALLOWED && !event.reason.startsWith(TOO_SLOW)) this.listener.signedOut();
      this.lost();
    };
  }

  private resume(): void {
    const topics = [...this.topics.keys()];
    if (topics.length === 0) return;
    const seen = [...this.topics].filter(([, seq]) => seq > 0);
    this.send({
      op: "subscribe",
      topics,
      ...(seen.length > 0 ? { resume: Object.fromEntries(seen) } : {}),
    });
  }

  private heard(text: string): void {
    const message = decode(text);
    if (!message) return;
    this.heardAt = this.world.now();
    this.tries = 0;
    this.listener.heard();
    this.say("live");
    this.take(message);
  }

  private take(message: Message): void {
    if (message.kind === "error") {
      this.listener.refused(message.topic ?? "", message.code, message.detail);
    } else if (isTopicMessage(message)) {
      const seen = this.topics.get(message.topic);
      if (seen === undefined) return;
      this.topics.set(message.topic, message.kind === "gap" ? 0 : message.seq);
      this.listener.topic(message);
    }
  }

  private lost(): void {
    const wasOpen = this.opened;
    this.wire = null;
    this.opened = false;
    // Closed before it opened: the gateway is away, or it has no stream. Polling tells which.
    this.say(wasOpen ? "connecting" : "absent");
    const wait = backoffMs(this.tries, this.world.chance());
    this.tries += 1;
    this.cancelRetry = this.world.after(wait, () => this.connect());
  }

  private check(): void {
    this.cancelCheck = this.world.after(CHECK_MS, () => this.check());
    if (!this.wire) return;
    const now = this.world.now();
    const quiet = now - this.heardAt;
    if (quiet > DEAD_MS) {
      const opened = this.opened;
      this.drop();
      this.opened = opened;
      this.lost();
    } else if (this.opened) {
      if (quiet > STALE_MS) this.say("stale");
      if (quiet > PING_MS && now - this.pingedAt > PING_MS) this.ping();
    }
  }

  private ping(): void {
    this.pingedAt = this.world.now();
    this.send({ op: "ping" });
  }

  private send(wish: Wish): void {
    this.wire?.send(JSON.stringify(wish));
  }

  private drop(): void {
    const wire = this.wire;
    this.wire = null;
    this.opened = false;
    if (!wire) return;
    wire.onopen = wire.onmessage = wire.onclose = null;
    wire.close();
  }

  private say(phase: Phase): void {
    if (phase === this.phaseNow) return;
    this.phaseNow = phase;
    this.listener.phase(phase);
  }
}
