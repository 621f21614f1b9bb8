/** The order whose way the system view shows; "" for the newest. */
import { createStore } from "./create.ts";
import { prefer } from "./preferences.ts";

export const traced = createStore("");

/** Show the way of an order. */
export function showTrace(id: string): void {
  traced.set(id);
  prefer({ view: "system" });
}
