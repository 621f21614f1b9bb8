/** What can be run here, asked once per page and again when a kind is missing. */
import { useEffect, useState } from "react";
import { explain } from "../../api/http.ts";
import { kinds as ask, type Kind } from "../../api/strategies.ts";

export interface Kinds {
  readonly all: readonly Kind[];
  readonly problem: string;
}

let known: readonly Kind[] = [];

/** Every shipped kind, and `kind` too where it is a file's class. */
export function useKinds(kind = ""): Kinds {
  const [kinds, setKinds] = useState<Kinds>({ all: known, problem: "" });
  useEffect(() => {
    if (known.length > 0 && (kind === "" || known.some((each) => each.kind === kind))) {
      setKinds({ all: known, problem: "" });
      return undefined;
    }
    const leave = new AbortController();
    load(kind, leave.signal).then(
      (all) => setKinds({ all, problem: "" }),
      (error: unknown) => {
        if (!leave.signal.aborted) setKinds({ all: known, problem: explain(error)[0] });
      },
    );
    return () => leave.abort();
  }, [kind]);
  return kinds;
}

async function load(kind: string, signal: AbortSignal): Promise<readonly Kind[]> {
  const shipped = await ask("", signal);
  const more = kind === "" || shipped.some((each) => each.kind === kind) ? [] : await ask(kind, signal);
  known = [...shipped, ...more];
  return known;
}
