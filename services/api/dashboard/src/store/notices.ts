/** Short messages in the corner: what was done, and what could not be. */
import { createStore } from "./create.ts";

export interface Notice {
  readonly id: number;
  readonly kind: "done" | "failed";
  readonly text: string;
  readonly remedy: string;
}

const SHOWN_MAX = 4;
const DONE_MS = 4_000;
const FAILED_MS = 12_000;
let next = 1;

export const notices = createStore<readonly Notice[]>([]);

/** Show that something was done. */
export function done(text: string): void {
  show({ id: next++, kind: "done", text, remedy: "" }, DONE_MS);
}

/** Show that something could not be done, and what to do about it. */
export function failed(text: string, remedy = ""): void {
  show({ id: next++, kind: "failed", text, remedy }, FAILED_MS);
}

export function dismiss(id: number): void {
  notices.set((now) => now.filter((each) => each.id !== id));
}

function show(notice: Notice, forMs: number): void {
  notices.set((now) => [...now.slice(1 - SHOWN_MAX), notice]);
  setTimeout(() => dismiss(notice.id), forMs);
}
