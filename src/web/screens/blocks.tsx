import { useDeferredValue, useMemo, useState } from 'react';
import type { Block, ListedBlock } from '../api.js';
import { urlOf } from '../api.js';
import { End, Origin, StateTag, subjectName, SubjectLink, shortWhyOf, whyOf } from '../parts/blocks.js';
import { BulkDialog } from '../parts/bulk.js';
import { EditDialog, ImposeDialog, ReleaseDialog } from '../parts/decisions.js';
import type { Column } from '../parts/rows.js';
import { Rows } from '../parts/rows.js';
import { Empty, Failure } from '../parts/states.js';
import type { Query } from '../route.js';
import { blockPath, navigate, proposalPath, searchOf, useAt, useHref, useQuery } from '../route.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';
import { BlockFilters } from './block-filters.js';
import type { Sort } from './block-filters.js';
import type { BlockFilter } from './block-pages.js';
import { useBlockPages } from './block-pages.js';
import { useMedia } from '../media.js';

const NONE: ReadonlySet<string> = new Set();
const DIRECTION_TAGS = { inbound: 'arriving', outbound: 'sending', all: 'both ways' } as const;

/** All blocks: a grid with filters that are in the URL. */
export function BlocksScreen() {
  const [query, change] = useQuery();
  const at = useAt();
  const href = useHref();
  const { operates, decides } = useRights();
  const [selected, select] = useState<ReadonlySet<string> | 'all'>(NONE);
  const [dialog, setDialog] = useState<
    { is: 'impose' | 'bulk' } | { is: 'release' | 'edit'; block: Block }
  >();
  const close = (): void => setDialog(undefined);
  const filter = useDeferredValue(useMemo(() => filterOf(query, at), [query, at]));
  const pages = useBlockPages(filter);
  const { rows, total, first, failed } = pages;
  const isRoomy = useMedia('(min-width: 100rem)');
  const canDecide = decides && at === undefined;

  const hasOneState = filter.state === 'active';
  const columns = useMemo<readonly Column<ListedBlock>[]>(
    () => [
      {
        key: 'subject',
        title: 'Subject',
        width: 'minmax(13rem, 4fr)',
        cell: (block) => (
          <span title={subjectName(block.subject)}>
            <SubjectLink subject={block.subject} />{' '}
            {block.direction !== 'outbound' && <span className="tag">{DIRECTION_TAGS[block.direction]}</span>}
          </span>
        ),
      },
      // It says nothing where all are in force.
      ...(hasOneState
        ? []
        : [
            {
              key: 'state',
              title: 'State',
              width: '6.5rem',
              cell: (block: ListedBlock) => <StateTag block={block} />,
            },
          ]),
      {
        key: 'why',
        title: 'Why',
        width: 'minmax(8rem, 3fr)',
        cell: (block) => (
          <a className="why" href={`#${href(blockPath(block.id))}`} title={whyOf(block)}>
            {shortWhyOf(block) || 'No reason given'}
          </a>
        ),
      },
      {
        key: 'origin',
        title: 'By',
        width: '6rem',
        cell: (block) => <Origin block={block} />,
      },
      {
        key: 'since',
        title: 'Since',
        width: '6.5rem',
        cell: (block) => <Time at={block.since ?? block.proposedAt} as="ago" />,
      },
      {
        key: 'end',
        title: 'Left',
        width: hasOneState ? '7rem' : '9.5rem',
        cell: (block) => <End block={block} />,
      },
      {
        key: 'refused',
        title: 'Refused',
        width: '4.5rem',
        isNumber: true,
        cell: ({ refused, lastRefusedAt }) => (
          <span title={lastRefusedAt === null ? undefined : `last ${lastRefusedAt}`}>
            {refused === null ? '–' : refused.toLocaleString()}
          </span>
        ),
      },
      ...(isRoomy
        ? [
            {
              key: 'last',
              title: 'Last refused',
              width: '7rem',
              cell: ({ lastRefusedAt }: ListedBlock) => <Time at={lastRefusedAt} as="ago" />,
            },
          ]
        : []),
      ...(canDecide
        ? [
            {
              key: 'act',
              title: 'Actions',
              width: '8.5rem',
              cell: (block: ListedBlock) =>
                block.state === 'active' ? (
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
                ) : (
                  block.state === 'proposed' && (
                    <a className="button" href={`#${href(proposalPath(block.id))}`}>
                      Decide
                    </a>
                  )
                ),
            },
          ]
        : []),
    ],
    [canDecide, hasOneState, href, isRoomy, operates],
  );
  const { sort: _, ...matching } = filter;
  const matchingKey = JSON.stringify(matching);
  const [allOf, setAllOf] = useState('');
  // All that match another search were never meant.
  if (selected === 'all' && allOf !== matchingKey) select(NONE);
  const isAllMatching = selected === 'all';
  const everything = useMemo(
    () => ({ has: () => true, size: Infinity }) as unknown as ReadonlySet<string>,
    [],
  );
  const count = isAllMatching ? (total ?? rows.length) : selected.size;
  const ids = isAllMatching ? undefined : selected;

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
      <BlockFilters query={query} change={change} at={at} total={total} />
      {failed?.error && <Failure error={failed.error} retry={() => void failed.refetch()} />}
      {first.isPending && rows.length === 0 && <p className="quiet loading">Loading…</p>}
      {first.isSuccess && rows.length === 0 && (
        <Empty title={isFiltered(query) ? 'No block matches' : 'Nobody is blocked'}>
          {isFiltered(query) && (
            <button type="button" onClick={() => navigate(href('/blocks'))}>
              Show all that are in force
            </button>
          )}
        </Empty>
      )}
      {rows.length > 0 && (
        <Rows
          label="Blocks"
          items={rows}
          total={total}
          columns={columns}
          selection={canDecide ? { ids: isAllMatching ? everything : selected, change: select } : undefined}
          open={(block) => navigate(href(blockPath(block.id)))}
          onRange={pages.onRange}
        />
      )}
      {count > 0 && canDecide && (
        <div className="bulk" role="region" aria-label="What is selected">
          <span role="status">
            {isAllMatching ? `All ${count.toLocaleString()} matching` : count.toLocaleString()} selected
          </span>
          {!isAllMatching && filter.state === 'active' && total !== undefined && total > count && (
            <button type="button" onClick={() => (setAllOf(matchingKey), select('all'))}>
              Select all {total.toLocaleString()} matching
            </button>
          )}
          <button type="button" onClick={() => setDialog({ is: 'bulk' })}>
            Release them
          </button>
          <button type="button" className="bare" onClick={() => select(NONE)}>
            Select none
          </button>
        </div>
      )}
      {dialog?.is === 'impose' && <ImposeDialog close={close} />}
      {dialog?.is === 'release' && <ReleaseDialog block={dialog.block} close={close} />}
      {dialog?.is === 'edit' && <EditDialog block={dialog.block} close={close} />}
      {dialog?.is === 'bulk' && (
        <BulkDialog
          action="release"
          count={count}
          chunks={(signal) => pages.chunks(ids, signal)}
          close={close}
          done={(done) =>
            select((now) => (now === 'all' ? NONE : new Set([...now].filter((id) => !done.has(id)))))
          }
        />
      )}
    </>
  );
}

function filterOf(query: Readonly<Record<string, string>>, at: string | undefined): BlockFilter {
  const state = query['state'] ?? 'active';
  const sort = (query['sort'] ?? 'newest') as Sort;
  return {
    at,
    state: state === 'all' ? undefined : state,
    type: query['type'] || undefined,
    q: query['q'] || undefined,
    rule: query['rule'] || undefined,
    origin: (query['origin'] || undefined) as BlockFilter['origin'],
    direction: (query['direction'] || undefined) as BlockFilter['direction'],
    // Of the past it is not known which ended first then.
    sort: at !== undefined && (sort === 'until' || sort === 'refused') ? ('newest' as const) : sort,
  };
}

/** An export has two orders. */
const exported = (filter: BlockFilter) => ({
  ...(filter as Query),
  sort: filter.sort === 'oldest' ? 'oldest' : 'newest',
});

const isFiltered = (query: Readonly<Record<string, string>>): boolean =>
  ['q', 'state', 'type', 'rule', 'origin', 'direction'].some((name) => Boolean(query[name]));
