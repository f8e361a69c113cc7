import { useInfiniteQuery } from '@tanstack/react-query';
import type { AnswerOf, Block } from '../api.js';
import { answered, api } from '../api.js';
import { ReplyTold } from '../parts/blocks.js';
import { Failure } from '../parts/states.js';
import type { TableColumn } from '../parts/table.js';
import { Table } from '../parts/table.js';
import { Time } from '../time.js';

const PAGE = 50;
const STAGES = { auth: 'sign-in', rcpt: 'recipient', data: 'message' } as const;

type Refusal = AnswerOf<'/api/v1/blocks/{id}/refusals'>['items'][number];

const COLUMNS: readonly TableColumn<Refusal>[] = [
  { title: 'When', cell: ({ at }) => <Time at={at} as="second" /> },
  { title: 'Times', isNumber: true, cell: ({ count }) => count.toLocaleString() },
  { title: 'Stage', cell: ({ stage }) => STAGES[stage] },
  {
    title: 'From',
    cell: ({ ip, ehlo }) => <span className="mono">{[ip, ehlo].filter(Boolean).join(' ') || '–'}</span>,
  },
  {
    title: 'Sender',
    cell: ({ account, returnPath }) => account ?? (returnPath === '' ? 'none (a bounce)' : returnPath) ?? '–',
  },
  { title: 'Told', cell: ({ reply }) => <ReplyTold reply={reply} /> },
];

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
        <p className="quiet">No refusal is on record.</p>
      )}
      {items.length > 0 && (
        <Table
          label="Refusals"
          items={items.map((item, index) => ({ ...item, key: `${index}` }))}
          keyOf={({ key }) => key}
          columns={COLUMNS}
        />
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
