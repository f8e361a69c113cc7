import type { ReactNode } from 'react';
import type { UseQueryResult } from '@tanstack/react-query';
import { ApiError } from '../api.js';
import { InOwnZone } from '../time.js';

/** What a list shows while it has nothing. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children}
    </div>
  );
}

/** Why something did not work, and what to do. */
export function Failure({ error, retry }: { error: Error; retry?: () => void }) {
  const isOurs = error instanceof ApiError;
  const advice =
    isOurs && error.status === 403
      ? 'An administrator can give you another role.'
      : isOurs && (error.status === 0 || error.status >= 500)
        ? 'It may be over in a moment.'
        : undefined;
  return (
    <div className="failure" role="alert">
      <p>
        <strong>
          <InOwnZone text={error.message} />
        </strong>{' '}
        {advice}
      </p>
      {isOurs && error.requestId !== null && error.status >= 500 && (
        <p className="quiet">Request {error.requestId}</p>
      )}
      {retry !== undefined && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** The data of a query, or why it is not there. */
export function Loaded<Data>({
  query,
  children,
}: {
  query: UseQueryResult<Data>;
  children: (data: Data) => ReactNode;
}) {
  if (query.data !== undefined)
    return (
      <>
        {query.isError && <Failure error={query.error} retry={() => void query.refetch()} />}
        {children(query.data)}
      </>
    );
  if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} />;
  return <p className="quiet loading">Loading…</p>;
}
