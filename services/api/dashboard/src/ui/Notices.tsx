/** The corner where short messages appear. */
import { useStore } from "../store/create.ts";
import { dismiss, notices } from "../store/notices.ts";

export function Notices(): React.ReactNode {
  const shown = useStore(notices);
  return (
    <div className="notices" role="log" aria-live="polite">
      {shown.map((notice) => (
        <div key={notice.id} className={`notice notice-${notice.kind}`} role={notice.kind === "failed" ? "alert" : "status"}>
          <div>
            <p>{notice.text}</p>
            {notice.remedy !== "" && <p className="notice-remedy">{notice.remedy}</p>}
          </div>
          <button type="button" aria-label="Dismiss" onClick={() => dismiss(notice.id)}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}
