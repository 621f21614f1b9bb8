/** The instrument that the trading panels are about, and those that tables show. */
import type { Instrument } from "../api/types.ts";
import { useTopic } from "../stream/use.ts";
import { useStore } from "./create.ts";
import { prefer, preferences } from "./preferences.ts";

export const marketName = (of: { instrument_id: string; venue: string }): string =>
  `${of.instrument_id}@${of.venue}`;

export function select(of: { instrument_id: string; venue: string }): void {
  prefer({ instrument: marketName(of) });
}

/** The chosen instrument: the user's, else the first; undefined while none is known. */
export function useInstrument(): Instrument | undefined {
  const { instrument } = useStore(preferences);
  const all = useTopic("instruments").data;
  return all?.find((each) => marketName(each) === instrument) ?? all?.[0];
}

/** Instruments by `marketName`, for tables that show several. */
export function useInstruments(): ReadonlyMap<string, Instrument> {
  const all = useTopic("instruments").data;
  return byName(all ?? []);
}

let seen: readonly Instrument[] = [];
let names = new Map<string, Instrument>();

function byName(all: readonly Instrument[]): ReadonlyMap<string, Instrument> {
  if (all !== seen) {
    seen = all;
    names = new Map(all.map((each) => [marketName(each), each]));
  }
  return names;
}
