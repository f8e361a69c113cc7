import type { ReactNode } from 'react';

/** A table that may be wider than the screen: it scrolls by itself, by keyboard, too. */
export function TableScroll({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="table-scroll wide" tabIndex={0} role="region" aria-label={label}>
      <table>{children}</table>
    </div>
  );
}

/** How much of a limit is reached: in words and as a bar. */
export function Share({ share }: { share: number }) {
  const percent = Math.round(share * 100);
  return (
    <>
      {percent.toLocaleString()} %
      <div className="bar" aria-hidden="true">
        <span className={share >= 1 ? 'over' : undefined} style={{ width: `${Math.min(100, percent)}%` }} />
      </div>
    </>
  );
}
