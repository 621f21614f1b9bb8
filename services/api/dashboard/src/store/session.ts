/** Who uses the page: found out at the start, changed by login and logout. */
import { ApiError, get, post, whenSignedOut } from "../api/http.ts";
import type { Me } from "../api/types.ts";
import { createStore } from "./create.ts";

export type Session =
  | { readonly state: "asking" }
  | { readonly state: "away"; readonly detail: string }
  | { readonly state: "signed-out" }
  | { readonly state: "signed-in"; readonly me: Me };

/** Who we are for a gateway that has no accounts. */
const EVERYBODY: Me = {
  user: "local",
  role: "admin",
  scopes: ["read", "trade", "strategies", "risk", "admin"],
  local: true,
};

export const session = createStore<Session>({ state: "asking" });

whenSignedOut(() => session.set({ state: "signed-out" }));

/** Ask the gateway who we are. */
export async function identify(): Promise<void> {
  try {
    session.set({ state: "signed-in", me: await get<Me>("/auth/me") });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) session.set({ state: "signed-out" });
    else if (error.status === 404) session.set({ state: "signed-in", me: EVERYBODY });
    else session.set({ state: "away", detail: error.message });
  }
}

/** Log in; the session lives in cookies that no script can read. Throws ApiError. */
export async function login(user: string, password: string): Promise<void> {
  await post("/auth/login", { user, password });
  await identify();
}

export async function logout(): Promise<void> {
  try {
    await post("/auth/logout");
  } finally {
    session.set({ state: "signed-out" });
  }
}

/** Whether the user may do what needs `scope`. */
export function may(now: Session, scope: string): boolean {
  return now.state === "signed-in" && now.me.scopes.includes(scope);
}
