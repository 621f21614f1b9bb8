/** What travels over /api/v1/stream, as docs/streaming.md has it. */

export type Wish =
  | { op: "subscribe"; topics: string[]; resume?: Record<string, number> }
  | { op: "unsubscribe"; topics: string[] }
  | { op: "ping" };

export interface TopicMessage {
  readonly topic: string;
  readonly seq: number;
  readonly kind: "snapshot" | "delta" | "gap";
  readonly data: unknown;
}

export interface ErrorMessage {
  readonly kind: "error";
  readonly code: string;
  readonly detail: string;
  readonly remedy?: string;
  readonly topic?: string;
}

/** A word that is not about a topic. */
export interface Word {
  readonly kind: "hello" | "heartbeat" | "pong" | "subscribed";
  readonly run?: string;
  readonly version?: string;
  readonly at?: string;
}

export type Message = TopicMessage | ErrorMessage | Word;

/** The message that `text` holds, null for what is none. */
export function decode(text: string): Message | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("kind" in value)) return null;
  return value as Message;
}

export function isTopicMessage(message: Message): message is TopicMessage {
  return message.kind === "snapshot" || message.kind === "delta" || message.kind === "gap";
}
