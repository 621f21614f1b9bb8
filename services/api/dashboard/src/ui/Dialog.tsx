/** A question that must be answered before anything else; Escape means no. */
import { useLayoutEffect, useRef, type ReactNode } from "react";

interface Props {
  readonly title: string;
  readonly children: ReactNode;
  readonly onClose: () => void;
}

export function Dialog({ title, children, onClose }: Props): ReactNode {
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const dialog = element.current;
    if (dialog && !dialog.open) dialog.showModal();
    // Before it leaves the page: then the focus goes back to where it came from.
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      className="dialog"
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        // The dialog itself is hit only outside of what it holds.
        if (event.target === element.current) onClose();
      }}
    >
      <div className="dialog-inner">
        <h2>{title}</h2>
        {children}
      </div>
    </dialog>
  );
}
