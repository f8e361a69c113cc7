import type { ReactNode } from 'react';
import { useId, useLayoutEffect, useRef } from 'react';

/**
 * The browser's own dialog: it keeps the focus, closes on Escape, and gives the focus back.
 *
 * @param stays only its buttons close it
 */
export function Dialog({
  title,
  close,
  stays = false,
  children,
}: {
  title: string;
  close: () => void;
  stays?: boolean;
  children: ReactNode;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  // Closed while it is still in the document: then the focus goes back to where it was.
  useLayoutEffect(() => {
    const element = dialog.current!;
    if (!element.open) element.showModal();
    return () => element.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        if (!stays) close();
      }}
      onClose={() => {
        // Chromium lets nobody prevent a second Escape.
        if (stays) dialog.current?.showModal();
      }}
      onClick={(event) => {
        // A click beside it.
        if (event.target === dialog.current && !stays) close();
      }}
    >
      <div className="dialog-body">
        <h2 id={id}>{title}</h2>
        {children}
      </div>
    </dialog>
  );
}
