/** The strategy that the panels of the strategies view are about. */
import { useMemo } from "react";
import type { Strategy } from "../../api/strategies.ts";
import { createStore, useStore } from "../../store/create.ts";
import { useTopic } from "../../stream/use.ts";

const chosen = createStore("");

export function choose(id: string): void {
  chosen.set(id);
}

/** A strategy as far as it is known. */
export interface Known {
  readonly id: string;
  /** What its process last said; undefined where none ever did. */
  readonly of: Strategy | undefined;
  /** No process answers for it: what is known of it may be old. */
  readonly silent: boolean;
}

export interface Strategies {
  readonly all: readonly Known[] | undefined;
  readonly chosen: Known | undefined;
  readonly problem: string;
}

/** All strategies by id, and the chosen one: the user's, else the first. */
export function useStrategies(): Strategies {
  const { data, problem } = useTopic("strategies");
  const engine = useTopic("engine");
  const silent = engine.data?.silent;
  const id = useStore(chosen);
  const all = useMemo(() => data && known(data, silent ?? []), [data, silent]);
  return { all, chosen: all?.find((each) => each.id === id) ?? all?.[0], problem: problem || engine.problem };
}

/** `told` and those of `silent` that nobody tells of, by id. */
export function known(told: readonly Strategy[], silent: readonly string[]): readonly Known[] {
  const quiet = new Set(silent);
  const found = told.map((of): Known => ({ id: of.id, of, silent: quiet.delete(of.id) }));
  const unheard = [...quiet].map((id): Known => ({ id, of: undefined, silent: true }));
  return [...found, ...unheard].sort((a, b) => (a.id < b.id ? -1 : 1));
}
