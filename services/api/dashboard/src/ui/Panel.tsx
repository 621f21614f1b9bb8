/** A panel: a title bar with what belongs there, and a body that scrolls by itself. */
import type { ReactNode } from "react";

interface Props {
  readonly title: string;
  /** Beside the title: choices, counts. */
  readonly tools?: ReactNode;
  readonly children: ReactNode;
  /** Why what is shown may not be so: shown in the bar. */
  readonly problem?: string;
  readonly className?: string;
  /** What the body holds can be read alone, so that keys must reach the body to scroll it. */
  readonly readOnly?: boolean;
  /** false: the title is only for those who cannot see the bar. */
  readonly titled?: boolean;
}

export function Panel({ title, tools, children, problem = "", className = "", readOnly = false, titled = true }: Props): ReactNode {
  return (
    <section className={`panel ${className}`} aria-label={title}>
      <header className="panel-bar">
        <h2 className={titled ? "" : "hidden"}>{title}</h2>
        {problem !== "" && (
          <span className="panel-problem" role="status" title={problem}>
            {problem}
          </span>
        )}
        <div className="panel-tools">{tools}</div>
      </header>
      <div className="panel-body" {...(readOnly ? { tabIndex: 0, role: "region", "aria-label": title } : {})}>
        {children}
      </div>
    </section>
  );
}

/** What a panel says when there is nothing to show. */
export function Empty({ children }: { children: ReactNode }): ReactNode {
  return <p className="empty">{children}</p>;
}
