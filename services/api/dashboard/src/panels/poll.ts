/** What no stream tells: asked for again and again while a panel shows it. */
import { useEffect, useRef, useState } from "react";
import { explain } from "../api/http.ts";

export interface Polled<T> {
  readonly data: T | undefined;
  /** Why the last question was not answered; what was known stays. */
  readonly problem: string;
  /** Ask now. */
  readonly again: () => void;
}

/** The newest answer of `ask`, asked every `everyMs`; a new `key` begins anew. */
export function usePoll<T>(key: string, everyMs: number, ask: (signal: AbortSignal) => Promise<T>): Polled<T> {
  const [held, setHeld] = useState<{ key: string; data: T | undefined; problem: string }>({ key, data: undefined, problem: "" });
  const [round, setRound] = useState(0);
  const asking = useRef(ask);
  asking.current = ask;
  useEffect(() => {
    const leave = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    async function look(): Promise<void> {
      try {
        const data = await asking.current(leave.signal);
        if (!leave.signal.aborted) setHeld({ key, data, problem: "" });
      } catch (error) {
        if (leave.signal.aborted) return;
        setHeld((now) => ({ key, data: now.key === key ? now.data : undefined, problem: explain(error)[0] }));
      }
      if (!leave.signal.aborted) timer = setTimeout(() => void look(), everyMs);
    }
    void look();
    return () => {
      leave.abort();
      clearTimeout(timer);
    };
  }, [key, everyMs, round]);
  const mine = held.key === key;
  return { data: mine ? held.data : undefined, problem: mine ? held.problem : "", again: () => setRound((n) => n + 1) };
}
