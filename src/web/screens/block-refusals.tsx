import { useInfiniteQuery } from '@tanstack/react-query';
import type { Block } from '../api.js';
import { answered, api } from '../api.js';
import { Failure } from '../parts/states.js';
import { Time } from '../time.js';

const PAGE = 50;
const STAGES = { auth: 'sign-in', rcpt: 'recipient', data: 'message' } as const;

/** What was refused, one by one. */
export function Refusals({ block: { id, since } }: { block: Block }) {
  const list = useInfiniteQuery({
    // Apart from the block: what an event makes old is not read anew page by page.
    queryKey: ['refusals', id],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam: cursor, signal }) =>
      answered(
        api.GET('/api/v1/blocks/{id}/refusals', {
          params: { path: { id }, query: { limit: String(PAGE), cursor } },
          signal,
        }),
      ),
    getNextPageParam: ({ next }) => next ?? undefined,
    enabled: since !== null,
  });
  if (since === null) return null;
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <section className="panel" aria-labelledby="refusals">
      <div className="head">
        <h2 id="refusals">Refusals, oldest first</h2>
        <button type="button" onClick={() => void list.refetch()} disabled={list.isFetching}>
          Read again
        </button>
      </div>
      {list.isError && <Failure error={list.error} retry={() => void list.refetch()} />}
      {list.isSuccess && items.length === 0 && !list.hasNextPage && (
        <p className="quiet">Nothing has been refused so far.</p>
      )}
      {items.length > 0 && (
        <div className="table-scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col" className="number">
                  Times
                </th>
                <th scope="col">Stage</th>
                <th scope="col">From</th>
                <th scope="col">Sender</th>
                <th scope="col">Told</th>
              </tr>
            </thead>
            <tbody>
              {items.map(({ at, count, stage, ip, ehlo, account, returnPath, reply }, index) => (
                <tr key={index}>
                  <td>
                    <Time at={at} />
                  </td>
                  <td className="number">{count.toLocaleString()}</td>
                  <td>{STAGES[stage]}</td>
                  <td className="mono">{[ip, ehlo].filter(Boolean).join(' ') || '–'}</td>
                  <td>{account ?? (returnPath === '' ? 'none (a bounce)' : returnPath) ?? '–'}</td>
                  <td>
                    <code>{reply}</code>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {list.hasNextPage && (
        <div className="buttons">
          <button type="button" onClick={() => void list.fetchNextPage()} disabled={list.isFetching}>
            Show more
          </button>
        </div>
      )}
      <p className="quiet" role="status">
        {list.isFetching
          ? 'Reading…'
          : items.length > 0 && `${items.length.toLocaleString()} rows are shown.`}
      </p>
    </section>
  );
}
