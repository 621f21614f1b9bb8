/** What risk would say of an order, asked a moment after the last change of the ticket. */
import { useEffect, useState } from "react";
import type { NewOrder } from "../../api/actions.ts";
import { ApiError, post } from "../../api/http.ts";
import { money } from "../../lib/format.ts";
import { backoffMs } from "../../stream/backoff.ts";

const SETTLE_MS = 350;
const UNREACHABLE = 0;
const TOO_MANY = 429;

export interface Verdict {
  readonly state: "none" | "passes" | "refused";
  readonly text: string;
  readonly remedy: string;
}

const NONE: Verdict = { state: "none", text: "", remedy: "" };

/** The answer of POST /orders/validate. */
export interface Validation {
  readonly passes: boolean;
  readonly reason: string;
  readonly detail: string;
  readonly meaning: string;
  readonly remedy: string;
  readonly fee: string | null;
  readonly currency: string;
}

/** Risk's verdict on `order`; nothing while there is none, or nobody can tell: then it is asked again. */
export function useRisk(order: NewOrder | null): Verdict {
  const [verdict, setVerdict] = useState<Verdict>(NONE);
  const text = order ? JSON.stringify(order) : "";
  useEffect(() => {
    setVerdict(NONE);
    if (text === "") return undefined;
    const leave = new AbortController();
    let timer = setTimeout(() => void look(0), SETTLE_MS);
    async function look(tries: number): Promise<void> {
      const found = await ask(text, leave.signal);
      if (leave.signal.aborted) return;
      if (found) setVerdict(found);
      else timer = setTimeout(() => void look(tries + 1), backoffMs(tries, Math.random()));
    }
    return () => {
      clearTimeout(timer);
      leave.abort();
    };
  }, [text]);
  return verdict;
}

/** The verdict; null where the gateway could not tell just now. */
async function ask(text: string, signal: AbortSignal): Promise<Verdict | null> {
  try {
    const answer = await post<Validation>("/orders/validate", JSON.parse(text), { signal });
    return verdictOn(answer);
  } catch (error) {
    if (!(error instanceof ApiError)) return NONE; // another order is asked about by now
    if (error.status === 422) return refused(error.message, error.remedy);
    const passes = error.status === UNREACHABLE || error.status === TOO_MANY || error.status >= 500;
    return passes ? null : NONE;
  }
}

/** `answer` in a line. */
export function verdictOn({ passes, meaning, detail, remedy, fee, currency }: Validation): Verdict {
  if (!passes) return refused(detail ? `${meaning} (${detail})` : meaning, remedy);
  const cost = fee === null ? "" : `, fee about ${money(fee)} ${currency}`;
  return { state: "passes", text: `Risk lets it pass${cost}`, remedy: "" };
}

const refused = (text: string, remedy: string): Verdict => ({
  state: "refused",
  text: `Refused: ${text}`,
  remedy,
});
