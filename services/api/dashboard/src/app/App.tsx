/** Login, or the header with the chosen view under it. */
import { useEffect } from "react";
import { useStore } from "../store/create.ts";
import { preferences } from "../store/preferences.ts";
import { identify, session } from "../store/session.ts";
import { hub, useLink } from "../stream/use.ts";
import { Notices } from "../ui/Notices.tsx";
import { Guarded } from "./Guarded.tsx";
import { Header } from "./Header.tsx";
import { Login } from "./Login.tsx";
import { panels, views } from "./registry.ts";

const ASK_AGAIN_MS = 2_000;

export function App(): React.ReactNode {
  const now = useStore(session);
  useEffect(() => {
    if (now.state !== "away") return undefined;
    const timer = setTimeout(() => void identify(), ASK_AGAIN_MS);
    return () => clearTimeout(timer);
  }, [now]);
  return (
    <>
      {now.state === "signed-in" && <Desk />}
      {now.state === "signed-out" && <Login />}
      {(now.state === "asking" || now.state === "away") && <Waiting detail={now.state === "away" ? now.detail : ""} />}
      <Notices />
    </>
  );
}

function Waiting({ detail }: { detail: string }): React.ReactNode {
  return (
    <main className="waiting" role="status">
      <h1>tickbus</h1>
      <p>{detail ? `${detail}; trying again` : "asking the gateway"}</p>
    </main>
  );
}

function Desk(): React.ReactNode {
  const { view } = useStore(preferences);
  const chosen = views.find((each) => each.id === view) ?? views[0];
  const link = useLink();
  useEffect(() => hub.start(), []);
  return (
    <div className="desk" data-link={link.state}>
      <Header />
      <main className={`view view-${chosen?.id ?? ""}`} aria-label={chosen?.title}>
        {panels
          .filter((panel) => panel.view === chosen?.id)
          .map(({ area, component: Panel }) => (
            <Guarded key={area} area={area}>
              <Panel />
            </Guarded>
          ))}
      </main>
      <footer className="credits">
        <span>
          Charts by{" "}
          <a href="https://www.tradingview.com/" rel="noreferrer" target="_blank">
            TradingView Lightweight Charts
          </a>
        </span>
        <a href="/docs">API</a>
      </footer>
    </div>
  );
}
