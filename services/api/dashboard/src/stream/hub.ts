/**
 * What the page knows, topic by topic, and where it comes from: the stream, or a poll until the
 * stream has it. Listeners are told at most once a frame, whatever the rate of the news.
 */
import { ApiError, explain, refresh } from "../api/http.ts";
import { createStore, type Store } from "../store/create.ts";
import { backoffMs } from "./backoff.ts";
import type { TopicMessage } from "./messages.ts";
import { StreamSocket, STALE_MS, type Phase, type Wire } from "./socket.ts";
import { topicOf, type Topic } from "./topics.ts";

export interface TopicState<T> {
  readonly data: T | undefined;
  /** When news last came, in ms since 1970; 0 for never. */
  readonly at: number;
  readonly problem: string;
}

/** `live` is the stream, `polling` is REST; `stale` is neither for three seconds. */
export interface Link {
  readonly state: "connecting" | "live" | "polling" | "stale";
  /** When the gateway was last heard, in ms since 1970. */
  readonly heardAt: number;
}

interface Entry {
  readonly name: string;
  readonly topic: Topic<unknown>;
  readonly argument: string;
  readonly listeners: Set<() => void>;
  state: TopicState<unknown>;
  isStreamed: boolean;
  stopPolling: (() => void) | null;
}

const JUDGE_MS = 500;

/** How the link is, `quietMs` after anything was heard (Infinity: nothing ever was). */
export function judged(phase: Phase, quietMs: number, now: number): Link {
  if (quietMs === Infinity) return { state: "connecting", heardAt: now };
  const heardAt = now - quietMs;
  if (phase === "live") return { state: "live", heardAt };
  return { state: quietMs <= STALE_MS ? "polling" : "stale", heardAt };
}

const NOTHING: TopicState<unknown> = { data: undefined, at: 0, problem: "" };

export class Hub {
  readonly link: Store<Link> = createStore<Link>({ state: "connecting", heardAt: 0 });
  private readonly entries = new Map<string, Entry>();
  private readonly changed = new Set<Entry>();
  private frame = 0;
  private phase: Phase = "connecting";
  private heardAt = 0;
  private readonly socket: StreamSocket;

  constructor(connect: () => Wire) {
    this.socket = new StreamSocket(
      {
        connect,
        now: () => performance.now(),
        chance: Math.random,
        after: (ms, call) => {
          const timer = setTimeout(call, ms);
          return () => clearTimeout(timer);
        },
      },
      {
        heard: () => {
          this.heardAt = performance.now();
        },
        topic: (message) => this.onTopic(message),
        refused: (topic, code, detail) => this.onRefused(topic, code, detail),
        phase: (phase) => this.onPhase(phase),
        signedOut: () => void refresh(),
      },
    );
  }

  /** Listen until the returned function is called: as long as somebody is logged in. */
  start(): () => void {
    const wake = (): void => {
      if (!document.hidden) this.socket.wake();
    };
    const timer = setInterval(() => this.judge(), JUDGE_MS);
    addEventListener("online", wake);
    document.addEventListener("visibilitychange", wake);
    this.socket.start();
    return () => {
      clearInterval(timer);
      removeEventListener("online", wake);
      document.removeEventListener("visibilitychange", wake);
      this.socket.stop();
      this.heardAt = 0;
    };
  }

  /** Follow `name` until the returned function is called; the last one to leave ends it. */
  subscribe(name: string, listener: () => void): () => void {
    const entry = this.entry(name);
    entry.listeners.add(listener);
    if (entry.listeners.size === 1) this.open(entry);
    return () => {
      entry.listeners.delete(listener);
      if (entry.listeners.size === 0) this.close(entry);
    };
  }

  read(name: string): TopicState<unknown> {
    return this.entries.get(name)?.state ?? NOTHING;
  }

  /** Ask again now for what is polled, because something was just done. */
  hurry(...names: string[]): void {
    for (const name of names) {
      const entry = this.entries.get(name);
      if (entry?.stopPolling) {
        entry.stopPolling();
        this.poll(entry, 0);
      }
    }
  }

  private entry(name: string): Entry {
    let entry = this.entries.get(name);
    if (!entry) {
      entry = {
        name,
        ...topicOf(name),
        listeners: new Set(),
        state: NOTHING,
        isStreamed: false,
        stopPolling: null,
      };
      this.entries.set(name, entry);
    }
    return entry;
  }

  private open(entry: Entry): void {
    if (entry.topic.streamed) this.socket.subscribe(entry.name);
    // The poll fills the page at once; the first snapshot of the stream ends it.
    this.poll(entry, 0);
  }

  private close(entry: Entry): void {
    if (entry.topic.streamed) this.socket.unsubscribe(entry.name);
    entry.stopPolling?.();
    entry.stopPolling = null;
    entry.isStreamed = false;
    this.entries.delete(entry.name);
  }

  private onTopic(message: TopicMessage): void {
    const entry = this.entries.get(message.topic);
    // null: the gateway does not know it yet; the poll goes on and says why.
    if (!entry || message.kind === "gap" || message.data === null) return;
    const known = entry.state.data;
    const { snapshot, delta } = entry.topic;
    if (message.kind === "snapshot") {
      this.tell(entry, snapshot ? snapshot(message.data, known) : message.data);
    } else if (known !== undefined) {
      this.tell(entry, delta ? delta(known, message.data) : message.data);
    } else {
      return;
    }
    entry.isStreamed = true;
    entry.stopPolling?.();
    entry.stopPolling = null;
  }

  private onRefused(name: string, code: string, detail: string): void {
    const entry = this.entries.get(name);
    if (!entry) return;
    if (code === "UNKNOWN_TOPIC") {
      console.info(`stream: ${name} is polled instead (${detail})`);
    } else {
      // It is not up to date; the next news of it say that it is again.
      this.tell(entry, entry.state.data, detail);
    }
  }

  private onPhase(phase: Phase): void {
    this.phase = phase;
    if (phase === "connecting" || phase === "absent") {
      for (const entry of this.entries.values()) {
        entry.isStreamed = false;
        if (!entry.stopPolling && entry.listeners.size > 0) this.poll(entry, entry.topic.pollMs);
      }
    }
    this.judge();
  }

  private judge(): void {
    const quiet = this.heardAt > 0 ? performance.now() - this.heardAt : Infinity;
    const link = judged(this.phase, quiet, Date.now());
    const before = this.link.get();
    // While it is well, nobody has to be told when it was heard last.
    if (link.state !== before.state) this.link.set(link);
  }

  private poll(entry: Entry, firstMs: number): void {
    const leave = new AbortController();
    let timer = 0;
    let tries = 0;
    const ask = async (): Promise<void> => {
      let wait = entry.topic.pollMs;
      try {
        const data = await entry.topic.poll(entry.argument, leave.signal, entry.state.data);
        if (leave.signal.aborted) return;
        tries = 0;
        this.heardAt = performance.now();
        this.tell(entry, data);
      } catch (error) {
        if (leave.signal.aborted) return;
        if (error instanceof ApiError && error.status > 0) this.heardAt = performance.now();
        wait = Math.max(wait, backoffMs(tries++, Math.random()));
        this.tell(entry, entry.state.data, explain(error)[0]);
      }
      timer = window.setTimeout(() => void ask(), document.hidden ? wait * 4 : wait);
    };
    timer = window.setTimeout(() => void ask(), firstMs);
    entry.stopPolling = () => {
      leave.abort();
      clearTimeout(timer);
    };
  }

  private tell(entry: Entry, data: unknown, problem = ""): void {
    entry.state = { data, problem, at: problem ? entry.state.at : Date.now() };
    this.changed.add(entry);
    // A hidden page has no frames; it still must not lag behind for ever.
    this.frame ||= document.hidden
      ? window.setTimeout(() => this.flush(), 250)
      : requestAnimationFrame(() => this.flush());
  }

  private flush(): void {
    this.frame = 0;
    const changed = [...this.changed];
    this.changed.clear();
    for (const entry of changed) for (const listener of [...entry.listeners]) listener();
  }
}
