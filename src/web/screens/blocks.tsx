import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback, useDeferredValue, useMemo, useState } from 'react';
import type { Block, ListedBlock } from '../api.js';
import { answered, api, urlOf } from '../api.js';
import { End, Origin, StateTag, SubjectLink, SUBJECT_OPTIONS, whyOf } from '../parts/blocks.js';
import { EditDialog, ImposeDialog, refresh, ReleaseDialog } from '../parts/decisions.js';
import { Dialog } from '../parts/dialog.js';
import { Choice, Field, Form, TextField } from '../parts/forms.js';
import type { Values } from '../parts/forms.js';
import { note } from '../parts/notes.js';
import type { Column } from '../parts/rows.js';
import { Rows } from '../parts/rows.js';
import { Empty, Failure } from '../parts/states.js';
import { blockPath, navigate, searchOf, useAt, useHref, useQuery } from '../route.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';

type State = Block['state'];
type Sort = 'newest' | 'oldest' | 'since' | 'subject' | 'until' | 'refused';

const STATES = [
  ['active', 'In force'],
  ['proposed', 'Proposed'],
  ['released,expired,dismissed,lapsed', 'Ended'],
  ['all', 'All'],
] as const;
const SORTS = [
  ['newest', 'Newest first'],
  ['oldest', 'Oldest first'],
  ['until', 'Ends first'],
  ['refused', 'Refused most'],
  ['subject', 'By name'],
] as const;
const PAGE = 500;
/** The most ids that one request takes. */
const AT_ONCE = 500;

/** All blocks: a grid with filters that are in the URL. */
export function BlocksScreen() {
  const [query, change] = useQuery();
  const at = useAt();
  const href = useHref();
  const { operates, decides } = useRights();
  const [selected, select] = useState<ReadonlySet<string>>(new Set());
  const [dialog, setDialog] = useState<
    { is: 'impose' | 'bulk' } | { is: 'release' | 'edit'; block: Block }
  >();
  const close = (): void => setDialog(undefined);
  const filter = useDeferredValue(filterOf(query, at));
  const list = useInfiniteQuery({
    queryKey: ['blocks', filter],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam: cursor, signal }) =>
      answered(
        api.GET('/api/v1/blocks', {
          params: {
            query: {
              ...filter,
              limit: String(PAGE),
              total: cursor === undefined ? 'true' : undefined,
              cursor,
            },
          },
          signal,
        }),
      ),
    getNextPageParam: ({ next }) => next ?? undefined,
  });
  const items = useMemo(() => list.data?.pages.flatMap((page) => page.items) ?? [], [list.data]);
  const total = list.data?.pages[0]?.total;
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  const more = useCallback(() => {
    if (!isFetchingNextPage) void fetchNextPage();
  }, [isFetchingNextPage, fetchNextPage]);
  const canDecide = decides && at === undefined;

  const columns: readonly Column<ListedBlock>[] = [
    {
      key: 'subject',
      title: 'Subject',
      width: 'minmax(12rem, 2fr)',
      cell: (block) => <SubjectLink subject={block.subject} />,
    },
    { key: 'state', title: 'State', width: '7.5rem', cell: (block) => <StateTag block={block} /> },
    {
      key: 'why',
      title: 'Why',
      width: 'minmax(12rem, 3fr)',
      cell: (block) => (
        <a className="why" href={`#${href(blockPath(block.id))}`}>
          {whyOf(block) || 'No reason given'}
        </a>
      ),
    },
    { key: 'origin', title: 'Rule or person', width: '8rem', cell: (block) => <Origin block={block} /> },
    {
      key: 'since',
      title: 'Since',
      width: '8rem',
      cell: (block) => <Time at={block.since ?? block.proposedAt} />,
    },
    { key: 'end', title: 'Left', width: '8rem', cell: (block) => <End block={block} /> },
    {
      key: 'refused',
      title: 'Refused',
      width: '5rem',
      isNumber: true,
      cell: ({ refused, lastRefusedAt }) =>
        refused === 0 ? '0' : <span title={`last ${lastRefusedAt}`}>{refused.toLocaleString()}</span>,
    },
    ...(canDecide
      ? [
          {
            key: 'act',
            title: 'Actions',
            width: '9.5rem',
            cell: (block: ListedBlock) =>
              block.state === 'active' && (
                <span className="line">
                  <button type="button" onClick={() => setDialog({ is: 'release', block })}>
                    Release
                  </button>
                  {operates && (
                    <button type="button" className="bare" onClick={() => setDialog({ is: 'edit', block })}>
                      Edit
                    </button>
                  )}
                </span>
              ),
          },
        ]
      : []),
  ];

  return (
    <>
      <div className="head">
        <h1>Blocks</h1>
        <div className="line">
          <a
            className="button"
            href={urlOf(`/api/v1/blocks${searchOf({ ...exported(filter), format: 'csv' })}`)}
            download="blocks.csv"
          >
            Export CSV
          </a>
          {operates && at === undefined && (
            <button type="button" className="primary" onClick={() => setDialog({ is: 'impose' })}>
              Block a sender
            </button>
          )}
        </div>
      </div>
      <div className="filters">
        <Field
          label="Search"
          name="q"
          type="search"
          value={query['q'] ?? ''}
          onChange={(event) => change({ q: event.target.value })}
        />
        <Choice
          label="State"
          name="state"
          value={query['state'] ?? 'active'}
          onChange={(event) => change({ state: event.target.value })}
          options={STATES}
        />
        <Choice
          label="Type"
          name="type"
          value={query['type'] ?? ''}
          onChange={(event) => change({ type: event.target.value })}
          options={[['', 'Any'], ...SUBJECT_OPTIONS]}
        />
        <Choice
          label="Order"
          name="sort"
          value={query['sort'] ?? 'newest'}
          onChange={(event) => change({ sort: event.target.value })}
          options={SORTS}
        />
        <p className="quiet" role="status">
          {total !== undefined && `${total.toLocaleString()} ${total === 1 ? 'block' : 'blocks'}`}
        </p>
      </div>
      {list.isError && <Failure error={list.error} retry={() => void list.refetch()} />}
      {list.isPending && !list.isError && <p className="quiet loading">Loading…</p>}
      {list.isSuccess && items.length === 0 && (
        <Empty title={isFiltered(query) ? 'No block matches' : 'Nobody is blocked'}>
          {isFiltered(query) && (
            <button type="button" onClick={() => navigate(href('/blocks'))}>
              Show all that are in force
            </button>
          )}
        </Empty>
      )}
      {items.length > 0 && (
        <Rows
          label="Blocks"
          items={items}
          total={total}
          columns={columns}
          selection={canDecide ? { ids: selected, change: select } : undefined}
          open={(block) => navigate(href(blockPath(block.id)))}
          more={hasNextPage ? more : undefined}
        />
      )}
      {selected.size > 0 && canDecide && (
        <div className="bulk" role="region" aria-label="What is selected">
          <span>{selected.size.toLocaleString()} selected</span>
          <button type="button" onClick={() => setDialog({ is: 'bulk' })}>
            Release them
          </button>
          <button type="button" className="bare" onClick={() => select(new Set())}>
            Select none
          </button>
        </div>
      )}
      {dialog?.is === 'impose' && <ImposeDialog close={close} />}
      {dialog?.is === 'release' && <ReleaseDialog block={dialog.block} close={close} />}
      {dialog?.is === 'edit' && <EditDialog block={dialog.block} close={close} />}
      {dialog?.is === 'bulk' && (
        <BulkReleaseDialog ids={[...selected]} close={close} done={() => select(new Set())} />
      )}
    </>
  );
}

type Filter = ReturnType<typeof filterOf>;

function filterOf(query: Readonly<Record<string, string>>, at: string | undefined) {
  const state = query['state'] ?? 'active';
  const sort = (query['sort'] ?? 'newest') as Sort;
  return {
    at,
    state: state === 'all' ? undefined : (state as State),
    type: (query['type'] || undefined) as Block['subject']['type'] | undefined,
    q: query['q'] || undefined,
    rule: query['rule'] || undefined,
    // Of the past it is not known which ended first then.
    sort: at !== undefined && (sort === 'until' || sort === 'refused') ? ('newest' as const) : sort,
  };
}

/** An export has two orders. */
const exported = (filter: Filter) => ({ ...filter, sort: filter.sort === 'oldest' ? 'oldest' : 'newest' });

const isFiltered = (query: Readonly<Record<string, string>>): boolean =>
  ['q', 'state', 'type', 'rule'].some((name) => Boolean(query[name]));

/** Releases many, and says of each that could not be released why. */
function BulkReleaseDialog({
  ids,
  close,
  done,
}: {
  ids: readonly string[];
  close: () => void;
  done: () => void;
}) {
  const client = useQueryClient();
  const [failed, setFailed] = useState<readonly { id: string; detail: string }[]>([]);
  const send = async ({ note: text = '' }: Values): Promise<void> => {
    const faults: { id: string; detail: string }[] = [];
    for (let first = 0; first < ids.length; first += AT_ONCE) {
      const some = ids.slice(first, first + AT_ONCE);
      const body = {
        action: 'release' as const,
        ids: some,
        ...(text.trim() === '' ? {} : { note: text.trim() }),
      };
      const { items } = await answered(api.POST('/api/v1/blocks/actions', { body }));
      for (const { id, problem } of items) if (problem !== null) faults.push({ id, detail: problem.detail });
    }
    refresh(client);
    note(`Released ${(ids.length - faults.length).toLocaleString()} of ${ids.length.toLocaleString()}.`);
    if (faults.length === 0) {
      done();
      close();
    } else setFailed(faults);
  };
  return (
    <Dialog title={`Release ${ids.length.toLocaleString()} blocks`} close={close}>
      {failed.length > 0 ? (
        <>
          <p>These could not be released:</p>
          <ul>
            {failed.map(({ id, detail }) => (
              <li key={id}>{detail}</li>
            ))}
          </ul>
          <div className="buttons">
            <button type="button" onClick={close}>
              Close
            </button>
          </div>
        </>
      ) : (
        <Form send={send} action={`Release ${ids.length.toLocaleString()}`} danger cancel={close}>
          {(fault) => <TextField label="Note (for your colleagues)" name="note" fault={fault('note')} />}
        </Form>
      )}
    </Dialog>
  );
}
