/** Dark or light: the user's choice, else the system's; kept in data-theme of the root element. */
import { createStore } from "../store/create.ts";
import { preferences } from "../store/preferences.ts";

export type Shade = "dark" | "light";

const system = matchMedia("(prefers-color-scheme: light)");

function wanted(): Shade {
  const { theme } = preferences.get();
  return theme === "auto" ? (system.matches ? "light" : "dark") : theme;
}

/** The shade in force; charts, which CSS does not reach, follow it. */
export const shade = createStore<Shade>(wanted());

function apply(): void {
  document.documentElement.dataset["theme"] = wanted();
  shade.set(wanted());
}

export function followTheme(): void {
  apply();
  preferences.subscribe(apply);
  system.addEventListener("change", apply);
}

/** The colour of a token such as `--up`, as CSS has it now. */
export function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
