/** How a panel follows a topic: `const prices = useTopic("prices")`. */
import { useCallback, useSyncExternalStore } from "react";
import { API } from "../api/http.ts";
import { useStore } from "../store/create.ts";
import { Hub, type Link, type TopicState } from "./hub.ts";
import type { Wire } from "./socket.ts";
import type { FamilyOf, TopicData, TopicName } from "./topics.ts";

function connect(): Wire {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  // A browser's socket gives its handlers more than they ask for; the types see a difference there.
  return new WebSocket(`${scheme}//${location.host}${API}/stream`) as unknown as Wire;
}

export const hub = new Hub(connect);

const NOTHING: TopicState<never> = { data: undefined, at: 0, problem: "" };

/** What is known of a topic; null follows nothing. The component is drawn anew with each news. */
export function useTopic<N extends TopicName>(name: N | null): TopicState<TopicData[FamilyOf<N>]> {
  const subscribe = useCallback(
    (listener: () => void) => (name === null ? () => undefined : hub.subscribe(name, listener)),
    [name],
  );
  const read = useCallback(() => (name === null ? NOTHING : hub.read(name)), [name]);
  return useSyncExternalStore(subscribe, read) as TopicState<TopicData[FamilyOf<N>]>;
}

/** Whether the gateway is heard, and how. */
export function useLink(): Link {
  return useStore(hub.link);
}
