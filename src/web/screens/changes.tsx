import { useInfiniteQuery } from '@tanstack/react-query';
import { useCallback, useDeferredValue, useMemo } from 'react';
import { actorName } from '../../kernel/actor.js';
import type { Change } from '../api.js';
import { answered, api, urlOf } from '../api.js';
import { changedText, SubjectLink } from '../parts/blocks.js';
import { Choice, Field } from '../parts/forms.js';
import type { Column } from '../parts/rows.js';
import { Rows } from '../parts/rows.js';
import { Empty, Failure } from '../parts/states.js';
import { blockPath, navigate, searchOf, useAt, useHref, useQuery } from '../route.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';

const KINDS = [
  ['', 'Everything'],
  ['BlockImposed,BlockExtended,BlockShortened,BlockReleased', 'Blocks'],
  ['ProposalApproved,ProposalDismissed', 'Proposals'],
  ['HeldMailDecided', 'Held mail'],
  ['ExemptionGranted,ExemptionRevoked', 'Exemptions'],
  ['OverrideSet,OverrideRemoved', 'Limits of senders'],
  ['RulesChanged,ShadowRulesChanged,ShadowRulesRemoved,ShadowRulesPromoted', 'Rules'],
  ['PersonChanged,PersonForgotten', 'People'],
] as const;
/** What is about no sender. The administrator of a domain sees none of it. */
const OF_THE_SERVER = /^(?:Rules|Person)/;

const VIAS: Readonly<Record<Change['via'], string>> = {
  page: 'this page',
  cli: 'command line',
  api: 'a program',
  other: 'a file',
};
const PAGE = 200;

type Item = Change & { readonly id: string };

/** Who decided what, when and why. */
export function ChangesScreen() {
  const [query, change] = useQuery();
  const at = useAt();
  const href = useHref();
  const { seesServer } = useRights();
  const filter = useDeferredValue(filterOf(query, at));
  const list = useInfiniteQuery({
    queryKey: ['changes', filter],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam: cursor, signal }) =>
      answered(
        api.GET('/api/v1/changes', {
          params: { query: { ...filter, limit: String(PAGE), cursor } },
          signal,
        }),
      ),
    getNextPageParam: ({ next }) => next ?? undefined,
  });
  const items = useMemo<readonly Item[]>(
    () =>
      list.data?.pages.flatMap((page) => page.items.map((item) => ({ ...item, id: `${item.position}` }))) ??
      [],
    [list.data],
  );
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  const more = useCallback(() => {
    if (!isFetchingNextPage) void fetchNextPage();
  }, [isFetchingNextPage, fetchNextPage]);

  const columns: readonly Column<Item>[] = [
    { key: 'at', title: 'When', width: '10rem', cell: (item) => <Time at={item.at} as="second" /> },
    { key: 'by', title: 'Who', width: '7rem', cell: (item) => actorName(item.by) },
    {
      key: 'what',
      title: 'What',
      width: 'minmax(13rem, 1fr)',
      cell: (item) =>
        item.block === null ? (
          changedText(item)
        ) : (
          <a href={`#${href(blockPath(item.block))}`}>{changedText(item)}</a>
        ),
    },
    {
      key: 'subject',
      title: 'Sender',
      width: 'minmax(13rem, 3fr)',
      cell: ({ subject }) =>
        subject === null ? (
          '–'
        ) : (
          <span>
            <SubjectLink subject={subject} />
          </span>
        ),
    },
    { key: 'why', title: 'Why', width: 'minmax(9rem, 3fr)', cell: ({ why }) => why ?? '–' },
    {
      key: 'via',
      title: 'By',
      width: '8rem',
      cell: ({ via, requestId }) => (
        <span title={requestId === null ? undefined : `Request ${requestId}`}>{VIAS[via]}</span>
      ),
    },
  ];

  const isFiltered = ['by', 'type', 'value', 'via', 'from', 'to'].some((name) => Boolean(query[name]));
  return (
    <>
      <div className="head">
        <h1>Changes</h1>
        <a
          className="button"
          href={urlOf(`/api/v1/changes${searchOf({ ...filter, format: 'csv' })}`)}
          download="changes.csv"
        >
          Export CSV
        </a>
      </div>
      <div className="filters">
        <Choice
          label="What"
          name="type"
          value={query['type'] ?? ''}
          onChange={(event) => change({ type: event.target.value })}
          options={seesServer ? KINDS : KINDS.filter(([value]) => !OF_THE_SERVER.test(value))}
        />
        <Field
          label="Who"
          name="by"
          type="search"
          autoComplete="off"
          value={query['by'] ?? ''}
          onChange={(event) => change({ by: event.target.value })}
        />
        <Field
          label="Sender"
          name="value"
          type="search"
          autoComplete="off"
          value={query['value'] ?? ''}
          onChange={(event) => change({ value: event.target.value })}
        />
        <Choice
          label="By"
          name="via"
          value={query['via'] ?? ''}
          onChange={(event) => change({ via: event.target.value })}
          options={[['', 'Any way'], ...Object.entries(VIAS)]}
        />
        <div className="line">
          <Field
            label="From"
            name="from"
            type="datetime-local"
            value={query['from'] ?? ''}
            onChange={(event) => change({ from: event.target.value })}
          />
          <Field
            label="Until"
            name="to"
            type="datetime-local"
            value={query['to'] ?? ''}
            onChange={(event) => change({ to: event.target.value })}
          />
        </div>
      </div>
      {list.isError && <Failure error={list.error} retry={() => void list.refetch()} />}
      {list.isPending && !list.isError && <p className="quiet loading">Loading…</p>}
      {list.isSuccess && items.length === 0 && (
        <Empty title={isFiltered ? 'No change matches' : 'Nobody has changed anything yet'}>
          {isFiltered ? (
            <>
              <p>Names of people and senders have to be whole here.</p>
              <button type="button" onClick={() => navigate(href('/changes'))}>
                Show all
              </button>
            </>
          ) : (
            <p>What people decide is listed here; what rules did by themselves is in Blocks.</p>
          )}
        </Empty>
      )}
      {items.length > 0 && (
        <Rows
          label="Changes"
          items={items}
          columns={columns}
          open={({ block }) => block !== null && navigate(href(blockPath(block)))}
          more={hasNextPage ? more : undefined}
        />
      )}
      {list.isSuccess && !hasNextPage && items.length > 0 && (
        <p className="quiet">The newest 10,000 changes are kept here; the events of the store have all.</p>
      )}
    </>
  );
}

function filterOf(query: Readonly<Record<string, string>>, at: string | undefined) {
  const until = instantOf(query['to']);
  return {
    by: query['by']?.trim() || undefined,
    type: query['type'] || undefined,
    value: query['value']?.trim().toLowerCase() || undefined,
    via: query['via'] || undefined,
    since: instantOf(query['from']),
    // Of the past nothing later is shown.
    until: at !== undefined && (until === undefined || until > at) ? at : until,
  };
}

/** A day and time in the viewer's zone, as the API takes it. */
function instantOf(local: string | undefined): string | undefined {
  const instant = new Date(local ?? '');
  return Number.isNaN(instant.getTime()) ? undefined : instant.toISOString();
}
