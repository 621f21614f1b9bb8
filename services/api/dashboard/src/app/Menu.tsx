/** Theme, time zone and the user. */
import { useEffect, useRef, useState } from "react";
import { useStore } from "../store/create.ts";
import { prefer, preferences, type Theme } from "../store/preferences.ts";
import { logout, session } from "../store/session.ts";
import type { Zone } from "../lib/time.ts";
import { zoneName } from "../lib/time.ts";
import { Choice } from "../ui/Choice.tsx";

const THEMES: readonly (readonly [Theme, string])[] = [
  ["auto", "System"],
  ["dark", "Dark"],
  ["light", "Light"],
];
const ZONES: readonly (readonly [Zone, string])[] = [
  ["local", "Local"],
  ["utc", "UTC"],
];

export function Menu(): React.ReactNode {
  const [open, setOpen] = useState(false);
  const { theme, zone } = useStore(preferences);
  const who = useStore(session);
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return undefined;
    const outside = (event: Event): void => {
      if (!(event.target instanceof Node) || !element.current?.contains(event.target)) setOpen(false);
    };
    const escape = (event: KeyboardEvent): void => {
      if (event.key === "Escape") setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("keydown", escape);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("keydown", escape);
    };
  }, [open]);
  if (who.state !== "signed-in") return null;
  const { me } = who;
  return (
    <div className="menu" ref={element}>
      <button type="button" className="button menu-button" aria-expanded={open} onClick={() => setOpen(!open)}>
        {me.user}
      </button>
      {open && (
        <div className="menu-sheet">
          <p className="menu-who">
            {me.user}, {me.role}
            {me.local ? ", on this machine" : ""}
          </p>
          <div className="menu-row">
            <span>Theme</span>
            <Choice label="Theme" value={theme} options={THEMES} onChange={(value) => prefer({ theme: value })} />
          </div>
          <div className="menu-row">
            <span title={zoneName("local")}>Times</span>
            <Choice label="Time zone" value={zone} options={ZONES} onChange={(value) => prefer({ zone: value })} />
          </div>
          {!me.local && (
            <button type="button" className="button" onClick={() => void logout()}>
              Log out
            </button>
          )}
        </div>
      )}
    </div>
  );
}
