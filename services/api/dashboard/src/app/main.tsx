/** The page: theme, session and stream, then the panels. */
import { createRoot } from "react-dom/client";
import { identify } from "../store/session.ts";
import "../styles/tokens.css";
import "../styles/base.css";
import "../styles/parts.css";
import "../styles/header.css";
import "../styles/views.css";
import "../styles/strategies.css";
import "../styles/risk.css";
import "../styles/activity.css";
import "../styles/system.css";
import "../styles/panels.css";
import { App } from "./App.tsx";
import { followTheme } from "./theme.ts";

followTheme();
const root = document.getElementById("root");
if (root) createRoot(root).render(<App />);
void identify();
